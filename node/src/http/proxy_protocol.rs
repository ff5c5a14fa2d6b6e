//! The PROXY protocol on the server's own accept loop: which client a load balancer speaks for.

use std::{net::SocketAddr, time::Duration};

use sockeye_proto::{
    DecodeError,
    proxy::{self, ProxyHeader},
};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::head::Arrival;
use crate::engine::Engine;

/// How long a load balancer may take for its header, which it has when it connects.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the header; `None` if the connection is to be closed.
pub(crate) async fn read(engine: &Engine, stream: &mut TcpStream, peer: SocketAddr) -> Option<Arrival> {
    let proxies = engine.config.http.proxies.as_ref();
    if !proxies.is_some_and(|proxies| proxies.contains(peer.ip())) {
        engine.metrics.handshake("unknown", "untrusted_proxy");
        tracing::debug!(%peer, "a connection from an address that is no trusted proxy");
        return None;
    }
    let patience = engine.config.request_timeout.min(PATIENCE);
    match tokio::time::timeout(patience, header(stream)).await {
        Ok(Ok(header)) => {
            Some(Arrival { peer: Some(header.source.unwrap_or(peer)), tls: header.tls, own: true })
        }
        Ok(Err(Some(error))) => {
            engine.metrics.decode_error(error);
            tracing::debug!(%peer, %error, "a connection without a PROXY header");
            None
        }
        Ok(Err(None)) => None,
        Err(_) => {
            engine.metrics.limit_rejected("request_time");
            None
        }
    }
}

/// Takes the header and not one byte more. The error is `None` if the other side hung up.
async fn header(stream: &mut TcpStream) -> Result<ProxyHeader, Option<DecodeError>> {
    let mut read = Vec::new();
    let mut ahead = [0; 256];
    loop {
        let seen = stream.peek(&mut ahead).await.map_err(|_| None)?;
        if seen == 0 {
            return Err(None);
        }
        let before = read.len();
        read.extend_from_slice(&ahead[..seen]);
        let header = proxy::parse(&read)?;
        // What is not complete yet is all header.
        let used = header.map_or(seen, |header| header.len - before);
        stream.read_exact(&mut ahead[..used]).await.map_err(|_| None)?;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}
