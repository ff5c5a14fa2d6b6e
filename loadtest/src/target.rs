//! Where the servers are, and how to reach them.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use crate::wire::socketio::Namespace;

/// One server: what to connect to and what to write into the `Host` header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The address of the TCP connection.
    pub address: SocketAddr,
    /// The authority of the URL.
    pub host: String,
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        Self { address, host: address.to_string() }
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// Reads `http://host:port`, `ws://host:port` or `host:port`.
    fn from_str(url: &str) -> Result<Self, String> {
        let rest = match url.split_once("://") {
            Some(("http" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => {
                return Err("TLS is not supported: point it at the server behind the proxy".to_owned());
            }
            Some((scheme, _)) => return Err(format!("unknown scheme {scheme}://, use http://")),
            None => url,
        };
        let host = rest.trim_end_matches('/');
        if host.is_empty() || host.contains(['/', '?', '@']) {
            return Err("expected http://host:port, the path goes to --path".to_owned());
        }
        let port_given = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let full = if port_given { host.to_owned() } else { format!("{host}:80") };
        let address = full
            .to_socket_addrs()
            .map_err(|error| format!("{full}: {error}"))?
            .next()
            .ok_or_else(|| format!("{full}: no address"))?;
        Ok(Self { address, host: host.to_owned() })
    }
}

/// The servers of a run and what is the same for every connection to them.
#[derive(Clone, Debug)]
pub struct Target {
    /// The servers, used in turn. Never empty.
    pub endpoints: Vec<Endpoint>,
    /// The Engine.IO path with a slash at both ends.
    pub path: String,
    /// The namespace that is joined.
    pub namespace: Namespace,
    /// Local addresses to connect from, in turn; empty = the system's choice.
    pub sources: Vec<IpAddr>,
    /// The server's processes, whose CPU time and memory are measured; empty = not measured.
    pub pids: Vec<u32>,
    /// How long anything may take that is waited for: a connection until it is ready, a message, an ack.
    pub patience: Duration,
}

impl Target {
    /// One server with the usual path and namespace, whose process is `pid`.
    #[must_use]
    pub fn local(address: SocketAddr, pid: u32) -> Self {
        Self {
            endpoints: vec![address.into()],
            path: "/socket.io/".to_owned(),
            namespace: Namespace::new("/"),
            sources: Vec::new(),
            pids: vec![pid],
            patience: Duration::from_secs(10),
        }
    }

    /// A path as [`Target::path`] wants it.
    #[must_use]
    pub fn normal_path(path: &str) -> String {
        match path.trim_matches('/') {
            "" => "/".to_owned(),
            inner => format!("/{inner}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_in_every_form_that_is_understood() {
        for url in ["http://127.0.0.1:3000", "ws://127.0.0.1:3000/", "127.0.0.1:3000"] {
            let endpoint: Endpoint = url.parse().expect(url);
            assert_eq!(endpoint.address.to_string(), "127.0.0.1:3000");
            assert_eq!(endpoint.host, "127.0.0.1:3000");
        }
        let endpoint: Endpoint = "http://127.0.0.1".parse().expect("without a port");
        assert_eq!(endpoint.address.port(), 80);
        for url in ["https://a:1", "ftp://a:1", "http://a:1/socket.io/", ""] {
            assert!(url.parse::<Endpoint>().is_err(), "{url}");
        }
    }

    #[test]
    fn paths_get_their_slashes() {
        for (given, normal) in [("socket.io", "/socket.io/"), ("/a/b", "/a/b/"), ("/", "/"), ("", "/")] {
            assert_eq!(Target::normal_path(given), normal);
        }
    }
}
