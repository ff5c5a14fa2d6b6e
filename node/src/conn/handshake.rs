//! What is remembered of the request that opened a connection.

use std::{fmt, net::SocketAddr, time::SystemTime};

use http::{HeaderMap, HeaderName, header};

/// The request that opened a connection: path, query, headers and the peer's address.
///
/// It is kept in one allocation for as long as the connection lives. Headers that only concern the one HTTP exchange
/// (`connection`, `upgrade`, `sec-websocket-*` other than the protocol) are not kept.
pub struct Handshake {
    /// `path ? query \n name : value \n name : value …`, names in lower case.
    text: Box<[u8]>,
    path_end: u32,
    query_end: u32,
    peer: Option<SocketAddr>,
    at: SystemTime,
    secure: bool,
}

impl Handshake {
    pub(crate) fn new(
        path: &str,
        query: &str,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
        secure: bool,
    ) -> Self {
        let mut text = Vec::with_capacity(
            path.len()
                + query.len()
                + headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 2).sum::<usize>()
                + 2,
        );
        text.extend_from_slice(path.as_bytes());
        let path_end = text.len() as u32;
        text.extend_from_slice(query.as_bytes());
        let query_end = text.len() as u32;
        for (name, value) in headers {
            if !is_kept(name) {
                continue;
            }
            text.push(b'\n');
            text.extend_from_slice(name.as_str().as_bytes());
            text.push(b':');
            text.extend_from_slice(value.as_bytes());
        }
        Self { text: text.into_boxed_slice(), path_end, query_end, peer, at: SystemTime::now(), secure }
    }

    /// The path of the request, percent-encoded as it came.
    pub fn path(&self) -> &str {
        str::from_utf8(&self.text[..self.path_end as usize]).unwrap_or("")
    }

    /// The query string without the question mark, percent-encoded as it came.
    pub fn query_string(&self) -> &str {
        str::from_utf8(&self.text[self.path_end as usize..self.query_end as usize]).unwrap_or("")
    }

    /// The first value of a query parameter, decoded; `+` is a space.
    pub fn query(&self, name: &str) -> Option<String> {
        self.query_string().split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key) == name).then(|| decode(value))
        })
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
        self.text[self.query_end as usize..].split(|byte| *byte == b'\n').filter_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
        })
    }

    /// The address that the request came from: a proxy's, where there is one. `None` when embedded in a server that
    /// does not tell.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// When the connection was opened.
    pub fn time(&self) -> SystemTime {
        self.at
    }

    /// Whether the client reached the server, or a proxy that says so in `X-Forwarded-Proto`, over TLS.
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

fn decode(text: &str) -> String {
    let spaced = text.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_query_are_found_again() {
        let mut headers = HeaderMap::new();
        headers.append("X-Many", "a".parse().unwrap());
        headers.append("X-Many", "b: c".parse().unwrap());
        headers.append("Upgrade", "websocket".parse().unwrap());
        let handshake = Handshake::new("/socket.io/", "EIO=4&name=J%C3%BCrgen+K", &headers, None, false);
        assert_eq!(handshake.path(), "/socket.io/");
        assert_eq!(handshake.query("name").as_deref(), Some("Jürgen K"));
        assert_eq!(handshake.query("missing"), None);
        assert_eq!(handshake.header("x-MANY").as_deref(), Some("a, b: c"));
        assert_eq!(handshake.header("upgrade"), None);
    }

    #[test]
    fn debug_output_shows_no_query_and_no_header() {
        let mut headers = HeaderMap::new();
        headers.append("authorization", "Bearer verysecret".parse().unwrap());
        let handshake = Handshake::new("/socket.io/", "token=verysecret", &headers, None, false);
        assert!(!format!("{handshake:?}").contains("verysecret"));
    }
}
