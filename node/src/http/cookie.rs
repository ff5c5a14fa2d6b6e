//! The cookie that a load balancer may go by.

use std::{fmt::Write, time::Duration};

use http::HeaderValue;

/// To which requests from other sites a browser adds a cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// To none.
    Strict,
    /// To those that only open a page.
    Lax,
    /// To all; browsers only accept it together with `Secure`.
    None,
}

/// A cookie with the connection's Engine.IO id as its value, set by the answer to the handshake, of long-polling and of WebSocket.
///
/// The server does not read it: it is for load balancers that send a client to the node that it was on. Servers set none unless told to
/// ([`ServerBuilder::cookie`](crate::ServerBuilder::cookie)). The id is a secret of its client, so pages' scripts cannot read the cookie by default.
///
/// ```
/// use sockeye::{Cookie, SameSite, Server};
///
/// // Set-Cookie: io=…; Path=/; HttpOnly; SameSite=None; Secure
/// let builder = Server::builder().cookie(Cookie::new("io").same_site(SameSite::None).secure(true));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Cookie {
    name: String,
    path: String,
    same_site: Option<SameSite>,
    http_only: bool,
    secure: bool,
    max_age: Option<Duration>,
}

impl Cookie {
    /// A cookie of this name with the path `/`, `HttpOnly` and `SameSite=Lax`, until the browser ends: the defaults of the
    /// JavaScript server.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            path: "/".into(),
            same_site: Some(SameSite::Lax),
            http_only: true,
            secure: false,
            max_age: None,
        }
    }

    /// The path below which browsers send it; `/` if not said.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Whether requests from other sites carry it; [`SameSite::Lax`] if not said. `None`: as the browser likes.
    pub fn same_site(mut self, same_site: impl Into<Option<SameSite>>) -> Self {
        self.same_site = same_site.into();
        self
    }

    /// Whether scripts are kept from reading it; true if not said.
    pub fn http_only(mut self, http_only: bool) -> Self {
        self.http_only = http_only;
        self
    }

    /// Whether it is only sent over TLS; false if not said.
    pub fn secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// How long browsers keep it; until they end if not said.
    pub fn max_age(mut self, age: impl Into<Option<Duration>>) -> Self {
        self.max_age = age.into();
        self
    }

    /// What is wrong with these settings, one sentence each; empty if nothing is.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(token) {
            problems.push(format!("cookie: {:?} is no name; write letters, digits, - and _", self.name));
        }
        let path = &self.path;
        if !path.starts_with('/') || !path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';') {
            problems.push(format!(
                "cookie: {path:?} is no path; it begins with a slash and has no semicolon or space"
            ));
        }
        if self.same_site == Some(SameSite::None) && !self.secure {
            problems.push("cookie: browsers refuse SameSite=None without Secure; say `.secure(true)`".into());
        }
        problems
    }

    /// The value of `Set-Cookie`.
    pub(crate) fn header(&self, value: &str) -> Option<HeaderValue> {
        let mut text = format!("{}={value}", self.name);
        if let Some(age) = self.max_age {
            let _ = write!(text, "; Max-Age={}", age.as_secs());
        }
        let _ = write!(text, "; Path={}", self.path);
        if self.http_only {
            text.push_str("; HttpOnly");
        }
        match self.same_site {
            Some(SameSite::Strict) => text.push_str("; SameSite=Strict"),
            Some(SameSite::Lax) => text.push_str("; SameSite=Lax"),
            Some(SameSite::None) => text.push_str("; SameSite=None"),
            None => {}
        }
        if self.secure {
            text.push_str("; Secure");
        }
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_written_as_browsers_read_them() {
        let text = |cookie: &Cookie| cookie.header("abc").unwrap().to_str().unwrap().to_owned();
        assert_eq!(text(&Cookie::new("io")), "io=abc; Path=/; HttpOnly; SameSite=Lax");
        let bare = Cookie::new("io").same_site(None).http_only(false);
        assert_eq!(text(&bare), "io=abc; Path=/");
        let all = Cookie::new("io")
            .path("/live")
            .same_site(SameSite::None)
            .secure(true)
            .max_age(Duration::from_secs(86_400));
        assert_eq!(text(&all), "io=abc; Max-Age=86400; Path=/live; HttpOnly; SameSite=None; Secure");
        assert_eq!(all.problems(), [""; 0]);
    }

    #[test]
    fn what_no_browser_takes_is_a_problem() {
        for name in ["", "a b", "a=b", "a;b", "ü", "a\nb"] {
            assert_eq!(Cookie::new(name).problems().len(), 1, "{name:?}");
        }
        for path in ["", "x", "/a;b", "/a b", "/ü"] {
            assert_eq!(Cookie::new("a").path(path).problems().len(), 1, "{path:?}");
        }
        assert_eq!(Cookie::new("a").same_site(SameSite::None).problems().len(), 1);
    }
}
