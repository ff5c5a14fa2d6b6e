//! Files beside the sockets, and the application behind both.

use axum::{Router, routing::get};
use sockeye::{Server, StaticFiles};
use tokio::sync::oneshot;

use crate::support::{
    Client, Http,
    server::{listen, unique},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sockets_come_first_then_files_then_the_application() {
    let folder = std::env::temp_dir().join(format!("{}-{}", unique("sockeye-static"), std::process::id()));
    std::fs::create_dir_all(folder.join("assets/deep")).expect("a folder");
    for (file, content) in [
        ("page.html", "<h1>page</h1>"),
        ("assets/app.js", "let a = 1;"),
        ("assets/index.html", "the index"),
        ("assets/deep/index.html", "the deep index"),
        ("secret.txt", "nobody's business"),
    ] {
        std::fs::write(folder.join(file), content).expect("a file");
    }
    let files = StaticFiles::new()
        .map("/", folder.join("page.html"))
        .map("/socket.io/", folder.join("assets"))
        .map("/static", folder.join("assets"));
    let app = Router::new()
        .route("/static/made.js", get(async || "made by the application"))
        .route("/static/app.js", get(async || "never seen").post(async || "posted"))
        .route("/api", get(async || "the application"));

    let server =
        Server::builder().bus(format!("memory://{}", unique("static"))).build().await.expect("it is built");
    let listener = listen().await;
    let addr = listener.local_addr().expect("it is bound");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn({
        let (server, app) = (server.clone(), files.before(app));
        async move { server.serve_with(listener, app, async { drop(stopped.await) }).await }
    });

    let mut http = Http::connect(addr).await;
    for (path, kind, body) in [
        ("/", "text/html; charset=utf-8", "<h1>page</h1>"),
        ("/static/app.js", "text/javascript; charset=utf-8", "let a = 1;"),
        ("/static/app.js?v=2", "text/javascript; charset=utf-8", "let a = 1;"),
        ("/static/", "text/html; charset=utf-8", "the index"),
        ("/static", "text/html; charset=utf-8", "the index"),
        ("/static/deep/", "text/html; charset=utf-8", "the deep index"),
        ("/static/made.js", "text/plain; charset=utf-8", "made by the application"),
        ("/api", "text/plain; charset=utf-8", "the application"),
    ] {
        let answer = http.get(path).await;
        assert_eq!((answer.status, answer.text()), (200, body), "{path}");
        assert_eq!(answer.header("content-type"), Some(kind), "{path}");
    }
    for path in ["/static/../secret.txt", "/static/%2e%2e/secret.txt", "/static/none.js", "/none"] {
        assert_eq!(http.get(path).await.status, 404, "{path}");
    }
    let answer = http.request("HEAD", "/static/app.js", &[], b"").await;
    assert_eq!((answer.status, answer.header("content-length")), (200, Some("10")));
    assert_eq!(http.post("/static/app.js", "x").await.text(), "posted", "files are only read");
    // No file hides the sockets.
    assert!(http.get("/socket.io/?EIO=4&transport=polling").await.text().starts_with("0{"));
    Client::connect(addr).await.vanish();

    let _ = stop.send(());
    serving.await.expect("serving does not panic");
    std::fs::remove_dir_all(folder).expect("the folder is still there");
}
