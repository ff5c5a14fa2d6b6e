//! Pages, scripts and images beside the sockets.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::{Router, body::Body, extract::Request, response::IntoResponse};
use http::{Method, Response};
use tower::ServiceExt;
use tower_http::services::ServeFile;

/// Which files are served at which URLs: for development and demonstrations. In production a web server in front of the
/// node, or a content delivery network, does it better.
///
/// The rules are those of python-socketio's option `static_files`: a URL that was mapped is a file; otherwise the longest
/// mapped parent is a folder, and what follows in the URL is looked up in it; a URL that ends with a slash means the folder's
/// index. The sockets' own path comes first, then these files, then the application; a file that does not exist is the
/// application's business.
///
/// ```no_run
/// # async fn run(server: sockeye::Server, app: axum::Router) -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::StaticFiles;
///
/// let files = StaticFiles::new()
///     .map("/", "public/index.html")
///     .map("/static", "public/assets") // a folder: /static/app.js is public/assets/app.js
///     .map_as("/feed", "public/feed.bin", "application/atom+xml");
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// server.serve_with(listener, files.before(app), async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing is served before the files are put before an application"]
pub struct StaticFiles {
    /// By URL, without a slash at its end (the root excepted).
    mapped: HashMap<String, Target>,
    index: Option<String>,
}

#[derive(Clone, Debug)]
struct Target {
    path: PathBuf,
    content_type: Option<String>,
}

impl StaticFiles {
    /// No files.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves a file, or what is in a folder, at a URL such as `/` or `/static`. The content type is told from the file's
    /// name; what it does not tell is `application/octet-stream`.
    pub fn map(self, url: &str, path: impl Into<PathBuf>) -> Self {
        self.insert(url, path.into(), None)
    }

    /// The same with a content type; that of every file in it, if it is a folder.
    pub fn map_as(self, url: &str, path: impl Into<PathBuf>, content_type: impl Into<String>) -> Self {
        self.insert(url, path.into(), Some(content_type.into()))
    }

    /// The name of the file that a folder's own URL means; `index.html` if not said.
    pub fn index(mut self, file: impl Into<String>) -> Self {
        self.index = Some(file.into());
        self
    }

    fn insert(mut self, url: &str, path: PathBuf, content_type: Option<String>) -> Self {
        let url = url.trim_matches('/');
        self.mapped.insert(format!("/{url}"), Target { path, content_type });
        self
    }

    /// An application that looks for a file first and hands everything else to `app`.
    pub fn before(self, app: Router) -> Router {
        let files = Arc::new(self);
        Router::new().fallback(async move |request: Request| files.answer(app, request).await)
    }

    async fn answer(&self, app: Router, request: Request) -> Response<Body> {
        let readable = matches!(*request.method(), Method::GET | Method::HEAD);
        let found = if readable { self.find(request.uri().path()) } else { None };
        if let Some((path, content_type)) = found
            && tokio::fs::metadata(&path).await.is_ok_and(|file| file.is_file())
        {
            let served = match content_type.parse() {
                Ok(mime) => ServeFile::new_with_mime(path, &mime).oneshot(request).await,
                Err(_) => ServeFile::new(path).oneshot(request).await,
            };
            return served.into_response();
        }
        app.oneshot(request).await.into_response()
    }

    /// The file that a URL's path means, and its content type.
    fn find(&self, path: &str) -> Option<(PathBuf, String)> {
        let path = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
        let path = path.strip_prefix('/')?;
        let trimmed = path.trim_end_matches('/');
        let directory = path.len() > trimmed.len();
        let mut parent = format!("/{trimmed}");
        loop {
            if let Some(target) = self.mapped.get(&parent) {
                let rest = &trimmed[(parent.len() - 1).min(trimmed.len())..];
                // A mapped URL without a slash at its end is the target itself; the root may be either.
                let whole = rest.is_empty() && (!directory || parent == "/");
                return self.resolve(target, rest.trim_start_matches('/'), directory, whole);
            }
            if parent == "/" {
                return None;
            }
            let cut = parent.rfind('/').unwrap_or(0);
            parent.truncate(cut.max(1));
        }
    }

    fn resolve(
        &self,
        target: &Target,
        rest: &str,
        directory: bool,
        whole: bool,
    ) -> Option<(PathBuf, String)> {
        let mut file = target.path.clone();
        for part in rest.split('/').filter(|part| !part.is_empty()) {
            // Nothing leads out of the folder.
            if part == ".." || part == "." || part.contains(['\\', '\0', ':']) {
                return None;
            }
            file.push(part);
        }
        if (directory && !whole) || file.is_dir() {
            file.push(self.index.as_deref().unwrap_or("index.html"));
        }
        let content_type = target.content_type.clone().unwrap_or_else(|| guess(&file));
        Some((file, content_type))
    }
}

fn guess(file: &Path) -> String {
    let mime = mime_guess::from_path(file).first_or_octet_stream();
    if mime.type_() == "text" { format!("{mime}; charset=utf-8") } else { mime.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &StaticFiles, path: &str) -> Option<(String, String)> {
        files.find(path).map(|(file, kind)| (file.to_string_lossy().into_owned(), kind))
    }

    fn file(files: &StaticFiles, path: &str) -> Option<String> {
        found(files, path).map(|(file, _)| file)
    }

    #[test]
    fn the_longest_mapped_parent_wins() {
        let files = StaticFiles::new()
            .map("/", "public/index.html")
            .map("/static", "assets")
            .map("/static/special/", "special")
            .map("/static/one.css", "elsewhere/one.css");
        assert_eq!(file(&files, "/").as_deref(), Some("public/index.html"));
        assert_eq!(file(&files, "/static/a/b.js").as_deref(), Some("assets/a/b.js"));
        assert_eq!(file(&files, "/static/special/x.js").as_deref(), Some("special/x.js"));
        assert_eq!(file(&files, "/static/one.css").as_deref(), Some("elsewhere/one.css"));
        assert_eq!(file(&files, "/static/").as_deref(), Some("assets/index.html"));
        assert_eq!(file(&files, "/static/deep/").as_deref(), Some("assets/deep/index.html"));
        assert_eq!(file(&files, "/static/special/").as_deref(), Some("special/index.html"));
        assert_eq!(file(&files, "/staticx"), Some("public/index.html/staticx".into()), "a file has no files");
        assert_eq!(file(&StaticFiles::new().map("/a", "b"), "/x"), None);
        assert_eq!(file(&files.clone().index("main.htm"), "/static/").as_deref(), Some("assets/main.htm"));
    }

    #[test]
    fn nothing_leads_out_of_a_folder() {
        let files = StaticFiles::new().map("/static", "assets");
        for path in
            ["/static/../secret", "/static/%2e%2e/secret", "/static/a/..%2f..%2fsecret", "/static/..\\secret"]
        {
            assert_eq!(file(&files, path), None, "{path}");
        }
        assert_eq!(file(&files, "/static/%ff"), None);
        assert_eq!(file(&files, "/static//etc/passwd").as_deref(), Some("assets/etc/passwd"));
    }

    #[test]
    fn the_content_type_is_told_or_guessed() {
        let files = StaticFiles::new().map("/", "p").map_as("/feed", "feeds", "application/atom+xml");
        let kind = |path| found(&files, path).map(|(_, kind)| kind);
        for (path, expected) in [
            ("/a.css", "text/css; charset=utf-8"),
            ("/a.gif", "image/gif"),
            ("/a.html", "text/html; charset=utf-8"),
            ("/a.jpg", "image/jpeg"),
            ("/a.js", "text/javascript; charset=utf-8"),
            ("/a.json", "application/json"),
            ("/a.png", "image/png"),
            ("/a.txt", "text/plain; charset=utf-8"),
            ("/a.unheardof", "application/octet-stream"),
            ("/a", "application/octet-stream"),
            ("/feed/x.html", "application/atom+xml"),
        ] {
            assert_eq!(kind(path).as_deref(), Some(expected), "{path}");
        }
    }
}
