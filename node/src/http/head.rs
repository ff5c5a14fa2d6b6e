//! The head of a request, and who sent it: what hooks are shown and what is remembered of a handshake.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use axum::extract::OriginalUri;
use http::{HeaderMap, HeaderName, Method, Request, header};

use super::proxies::{Told, TrustedProxies};

/// How a request reached this process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrival {
    /// Where it came from, if the accept loop tells.
    pub(crate) peer: Option<SocketAddr>,
    /// The accept loop speaks TLS.
    pub(crate) tls: bool,
    /// It is the server's own accept loop.
    pub(crate) own: bool,
}

/// The head of a request: method, path, query, headers, and where it came from. Shown to hooks while the request is
/// being answered.
///
/// [`client_addr`](Self::client_addr), [`host`](Self::host) and [`is_secure`](Self::is_secure) believe
/// [trusted proxies](TrustedProxies), and nobody else.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    peer: Option<SocketAddr>,
    told: Told<'a>,
}

impl<'a> RequestHead<'a> {
    pub(crate) fn new<B>(
        request: &'a Request<B>,
        arrival: Arrival,
        proxies: Option<&TrustedProxies>,
    ) -> Self {
        let uri = full_uri(request);
        let headers = request.headers();
        let direct = Told {
            client: arrival.peer.map(|peer| peer.ip().to_canonical()),
            host: first(headers, &header::HOST).or(uri.authority().map(|name| name.as_str())),
            secure: arrival.tls,
        };
        Self {
            method: request.method(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers,
            peer: arrival.peer,
            told: proxies.map_or(direct, |proxies| proxies.ask(headers, direct)).valid(),
        }
    }

    /// The method.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The path, percent-encoded as it came; in an application that nests routers the whole one.
    pub fn path(&self) -> &'a str {
        self.path
    }

    /// The query string without the question mark, percent-encoded as it came.
    pub fn query_string(&self) -> &'a str {
        self.query
    }

    /// The first value of a query parameter, decoded; `+` is a space.
    pub fn query(&self, name: &str) -> Option<String> {
        query_value(self.query, name)
    }

    /// The headers.
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// The first header of this name, if it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Where the connection came from: a proxy, where there is one. `None` when embedded in a server that does not tell.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's address, behind trusted proxies the one that they tell.
    pub fn client_addr(&self) -> Option<IpAddr> {
        self.told.client
    }

    /// The name, and the port if one was written, under which the client knows the server. `None` if it is no host name.
    pub fn host(&self) -> Option<&'a str> {
        self.told.host
    }

    /// Whether the client's connection is encrypted.
    pub fn is_secure(&self) -> bool {
        self.told.secure
    }
}

impl fmt::Debug for RequestHead<'_> {
    /// Headers and query may carry secrets: they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", self.method)
            .field("path", &self.path)
            .field("told", &self.told)
            .finish_non_exhaustive()
    }
}

/// What the client asked for, whatever part of it a router has taken away.
pub(crate) fn full_uri<B>(request: &Request<B>) -> &http::Uri {
    request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0)
}

pub(crate) fn query_value(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

fn first<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn nobody_is_believed_unless_told_to() {
        let request = request(
            "/socket.io/?a=1",
            &[
                ("host", "a.example:3000"),
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-proto", "https"),
                ("x-forwarded-host", "b.example"),
                ("forwarded", "for=1.2.3.4;proto=https;host=b.example"),
            ],
        );
        let peer = Some("127.0.0.1:9".parse().unwrap());
        let nobody = TrustedProxies::none();
        for proxies in [None, Some(&nobody)] {
            let head = RequestHead::new(&request, Arrival { peer, ..Arrival::default() }, proxies);
            assert_eq!(head.client_addr(), Some([127, 0, 0, 1].into()));
            assert_eq!((head.host(), head.is_secure()), (Some("a.example:3000"), false));
            assert_eq!(head.query("a").as_deref(), Some("1"));
            assert!(
                RequestHead::new(&request, Arrival { tls: true, ..Arrival::default() }, proxies).is_secure()
            );
        }
    }

    #[test]
    fn a_host_that_is_none_is_none() {
        for (host, expected) in [
            ("a.example", Some("a.example")),
            ("[::1]:80", Some("[::1]:80")),
            ("a.example/x", None),
            ("user@a.example", None),
            ("", None),
            ("a b", None),
        ] {
            let request = request("/", &[("host", host)]);
            assert_eq!(RequestHead::new(&request, Arrival::default(), None).host(), expected, "{host}");
        }
        // HTTP/2 has no such header.
        let request = request("http://a.example:1/", &[]);
        assert_eq!(RequestHead::new(&request, Arrival::default(), None).host(), Some("a.example:1"));
    }

    #[test]
    fn the_path_is_the_one_that_the_client_wrote() {
        let mut request = request("/?x=1", &[]);
        request.extensions_mut().insert(OriginalUri("/live/?x=1".parse().unwrap()));
        let head = RequestHead::new(&request, Arrival::default(), None);
        assert_eq!((head.path(), head.query_string()), ("/live/", "x=1"));
    }

    #[test]
    fn debug_output_shows_no_query_and_no_header() {
        let request = request("/?token=verysecret", &[("authorization", "verysecret")]);
        assert!(
            !format!("{:?}", RequestHead::new(&request, Arrival::default(), None)).contains("verysecret")
        );
    }
}
