//! Which web pages may talk to the server.

use http::{HeaderMap, HeaderValue, header};

/// Which origins (scheme, host and port of a web page) may connect. A request without an `Origin` header comes from no web
/// page and is always allowed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Cors {
    /// Only the origin of the server itself, as the request's `Host` and, behind a proxy, `X-Forwarded-Host` and
    /// `X-Forwarded-Proto` name it.
    #[default]
    SameOrigin,
    /// The server's own and these.
    Origins(Vec<String>),
    /// Every origin, with credentials: right for public data, dangerous for applications that log in by cookie.
    Any,
    /// No check and no headers: something in front of the server does it.
    Off,
}

/// What was found out about a request's origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// There is none, or nobody cares.
    Silent,
    /// It may connect, and the browser has to be told.
    Allowed(HeaderValue),
    Refused,
}

impl Cors {
    /// `origin` checks the page that a request comes from.
    pub(crate) fn check(&self, headers: &HeaderMap, tls: bool) -> Origin {
        let Some(origin) = headers.get(header::ORIGIN) else { return Origin::Silent };
        if *self == Self::Off {
            return Origin::Silent;
        }
        let Ok(text) = origin.to_str() else { return Origin::Refused };
        let listed = match self {
            Self::Any => true,
            Self::Origins(origins) => origins.iter().any(|allowed| same_origin(allowed, text)),
            Self::SameOrigin | Self::Off => false,
        };
        if listed || is_own(headers, text, tls) {
            return Origin::Allowed(origin.clone());
        }
        Origin::Refused
    }
}

impl Origin {
    /// Adds what the browser wants to see to a response.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        if let Self::Allowed(origin) = self {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
    }

    /// Adds the answer to a preflight request.
    pub(crate) fn apply_preflight(&self, request: &HeaderMap, headers: &mut HeaderMap) {
        self.apply(headers);
        if let Self::Allowed(_) = self {
            headers
                .insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS"));
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            if let Some(wanted) = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
        }
    }
}

fn same_origin(allowed: &str, origin: &str) -> bool {
    allowed.trim_end_matches('/').eq_ignore_ascii_case(origin)
}

/// A browser lets no page set `Host` or `X-Forwarded-*` on a request to another origin without a preflight, which is
/// refused: what they say about ourselves can be believed for this purpose.
fn is_own(headers: &HeaderMap, origin: &str, tls: bool) -> bool {
    let first = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        Some(value.split(',').next().unwrap_or_default().trim().to_owned())
    };
    let direct = if tls { "https" } else { "http" };
    let forwarded = first("x-forwarded-proto");
    let hosts = [first("x-forwarded-host"), first("host")];
    let schemes = [forwarded.as_deref(), Some(direct)];
    hosts.iter().flatten().any(|host| {
        schemes.iter().flatten().any(|scheme| {
            let Some((origin_scheme, origin_host)) = origin.split_once("://") else { return false };
            let port = if *scheme == "https" { ":443" } else { ":80" };
            origin_scheme.eq_ignore_ascii_case(scheme)
                && origin_host
                    .strip_suffix(port)
                    .unwrap_or(origin_host)
                    .eq_ignore_ascii_case(host.strip_suffix(port).unwrap_or(host))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn allowed(cors: &Cors, pairs: &[(&'static str, &str)]) -> bool {
        cors.check(&headers(pairs), false) != Origin::Refused
    }

    #[test]
    fn the_same_origin_is_scheme_and_host_and_port() {
        let cors = Cors::SameOrigin;
        assert!(allowed(&cors, &[("host", "a.example:3000"), ("origin", "http://a.example:3000")]));
        assert!(allowed(&cors, &[("host", "a.example"), ("origin", "http://A.example:80")]));
        assert!(!allowed(&cors, &[("host", "a.example:3000"), ("origin", "https://a.example:3000")]));
        assert!(!allowed(&cors, &[("host", "a.example:3000"), ("origin", "http://a.example:3001")]));
        assert!(!allowed(&cors, &[("host", "example.com"), ("origin", "http://evil-example.com")]));
        assert!(!allowed(&cors, &[("host", "a.example"), ("origin", "null")]));
        assert!(allowed(&cors, &[("host", "a.example")]));
    }

    #[test]
    fn a_proxy_tells_the_scheme_and_the_host() {
        let behind =
            [("host", "10.0.0.1"), ("x-forwarded-host", "a.example"), ("x-forwarded-proto", "https")];
        let mut with = behind.to_vec();
        with.push(("origin", "https://a.example"));
        assert!(allowed(&Cors::SameOrigin, &with));
    }

    #[test]
    fn a_list_allows_itself_and_the_own_origin() {
        let cors = Cors::Origins(vec!["https://app.example".into()]);
        assert!(allowed(&cors, &[("host", "x"), ("origin", "https://app.example")]));
        assert!(allowed(&cors, &[("host", "x"), ("origin", "http://x")]));
        assert!(!allowed(&cors, &[("host", "x"), ("origin", "https://other.example")]));
        assert!(allowed(&Cors::Any, &[("host", "x"), ("origin", "https://other.example")]));
    }
}
