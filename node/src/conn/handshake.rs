//! What is remembered of the request that opened a connection.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    ops::Deref,
    sync::Arc,
    time::SystemTime,
};

use http::{HeaderName, header};

use crate::http::head::{RequestHead, query_value};

/// The request that opened a connection: path, query, headers, and where it came from.
///
/// [`client_addr`](Self::client_addr), [`host`](Self::host) and [`is_secure`](Self::is_secure) believe
/// [trusted proxies](crate::TrustedProxies), and nobody else. The headers themselves are as they came.
///
/// It is kept in one allocation for as long as the connection lives. Headers that only concern the one HTTP exchange
/// (`connection`, `upgrade`, `sec-websocket-*` other than the protocol) are not kept.
pub struct Handshake {
    /// `path query host \n name : value \n name : value …`, names in lower case.
    text: Box<[u8]>,
    path_end: u32,
    query_end: u32,
    host_end: u32,
    peer: Option<SocketAddr>,
    client: Option<IpAddr>,
    at: SystemTime,
    secure: bool,
}

impl Handshake {
    pub(crate) fn new(head: &RequestHead<'_>) -> Self {
        let (path, query, headers) = (head.path(), head.query_string(), head.headers());
        let host = head.host().unwrap_or_default();
        let lines = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 2);
        let mut text = Vec::with_capacity(path.len() + query.len() + host.len() + lines.sum::<usize>());
        text.extend_from_slice(path.as_bytes());
        let path_end = text.len() as u32;
        text.extend_from_slice(query.as_bytes());
        let query_end = text.len() as u32;
        text.extend_from_slice(host.as_bytes());
        let host_end = text.len() as u32;
        for (name, value) in headers {
            if !is_kept(name) {
                continue;
            }
            text.push(b'\n');
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
        }
        Self {
            text: text.into_boxed_slice(),
            path_end,
            query_end,
            host_end,
            peer: head.peer_addr(),
            client: head.client_addr(),
            at: SystemTime::now(),
            secure: head.is_secure(),
        }
    }

    fn part(&self, from: u32, to: u32) -> &str {
        str::from_utf8(&self.text[from as usize..to as usize]).unwrap_or("")
    }

    /// The path of the request, percent-encoded as it came.
    pub fn path(&self) -> &str {
        self.part(0, self.path_end)
    }

    /// The query string without the question mark, percent-encoded as it came.
    pub fn query_string(&self) -> &str {
        self.part(self.path_end, self.query_end)
    }

    /// The first value of a query parameter, decoded; `+` is a space.
    pub fn query(&self, name: &str) -> Option<String> {
        query_value(self.query_string(), name)
    }

    /// The value of a request header, `name` in any case; several headers of one name are joined with `, `. Bytes that
    /// are not UTF-8 are replaced.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut found: Option<String> = None;
        for (_, value) in self.headers().filter(|(key, _)| key.eq_ignore_ascii_case(name)) {
            let value = String::from_utf8_lossy(value);
            match &mut found {
                Some(all) => {
                    all.push_str(", ");
                    all.push_str(&value);
                }
                None => found = Some(value.into_owned()),
            }
        }
        found
    }

    /// All kept headers: names in lower case, values as they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.text[self.host_end as usize..].split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
    }

    /// Where the connection came from: a proxy, where there is one; with the PROXY protocol what the proxy's header says.
    /// `None` when embedded in a server that does not tell.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The client's address: behind trusted proxies the one that they tell, else the peer's.
    pub fn client_addr(&self) -> Option<IpAddr> {
        self.client
    }

    /// The host name, and the port if one was written, under which the client knows the server: what trusted proxies tell, else
    /// the `Host` header. `None` if that is no host name.
    pub fn host(&self) -> Option<&str> {
        Some(self.part(self.query_end, self.host_end)).filter(|host| !host.is_empty())
    }

    /// When the connection was opened.
    pub fn time(&self) -> SystemTime {
        self.at
    }

    /// Whether the client's connection is encrypted: as trusted proxies tell, else whether
    /// [this server's](crate::SocketIoService::over_tls) is.
    pub fn is_secure(&self) -> bool {
        self.secure
    }
}

impl fmt::Debug for Handshake {
    /// Headers and query may carry secrets: they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("path", &self.path())
            .field("peer", &self.peer)
            .field("client", &self.client)
            .field("secure", &self.secure)
            .finish_non_exhaustive()
    }
}

fn is_kept(name: &HeaderName) -> bool {
    *name != header::CONNECTION
        && *name != header::UPGRADE
        && *name != header::SEC_WEBSOCKET_KEY
        && *name != header::SEC_WEBSOCKET_VERSION
        && *name != header::SEC_WEBSOCKET_EXTENSIONS
}

/// The request that opened the connection, to keep.
#[derive(Clone, Debug)]
pub struct HandshakeRef(pub(crate) Arc<Handshake>);

impl Deref for HandshakeRef {
    type Target = Handshake;
    fn deref(&self) -> &Handshake {
        &self.0
    }
}

#[cfg(test)]
impl Handshake {
    /// Of a request with nothing in it.
    pub(crate) fn empty() -> Self {
        let request = http::Request::new(());
        Self::new(&RequestHead::new(&request, crate::http::head::Arrival::default(), None))
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::http::head::Arrival;

    fn handshake(uri: &str, headers: &[(&str, &str)]) -> Handshake {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Handshake::new(&RequestHead::new(&request.body(()).unwrap(), Arrival::default(), None))
    }

    #[test]
    fn headers_and_query_are_found_again() {
        let headers =
            [("X-Many", "a"), ("X-Many", "b: c"), ("Upgrade", "websocket"), ("Host", "a.example:1")];
        let handshake = handshake("/socket.io/?EIO=4&name=J%C3%BCrgen+K", &headers);
        assert_eq!(handshake.path(), "/socket.io/");
        assert_eq!(handshake.query("name").as_deref(), Some("Jürgen K"));
        assert_eq!(handshake.query("missing"), None);
        assert_eq!(handshake.header("x-MANY").as_deref(), Some("a, b: c"));
        assert_eq!(handshake.header("upgrade"), None);
        assert_eq!(handshake.host(), Some("a.example:1"));
        assert_eq!(handshake.headers().count(), 3);
        assert_eq!(Handshake::empty().host(), None);
    }

    #[test]
    fn debug_output_shows_no_query_and_no_header() {
        let handshake = handshake("/socket.io/?token=verysecret", &[("authorization", "Bearer verysecret")]);
        assert!(!format!("{handshake:?}").contains("verysecret"));
    }
}
