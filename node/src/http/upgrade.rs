//! From an HTTP request to a WebSocket.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use sha1::{Digest, Sha1};
use sockeye_proto::{
    eio::{TransportKind, packet::Packet as EioPacket, request::RequestError, session::Lane},
    ws::{Decoder, Flow, Frame, Opcode, close_frame, write_frame},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Newcomer, error_text, open_text, refuse};
use crate::{
    conn::{
        Conn, Received,
        outbox::{Item, Sink},
        task::{self, Reader, Stream},
    },
    engine::Engine,
    log,
    reason::DisconnectReason,
};

/// Whether a request wants to become a WebSocket.
///
/// What it offers in `Sec-WebSocket-Extensions` is not looked at: see [`ServerBuilder::compression_threshold`] for why.
///
/// [`ServerBuilder::compression_threshold`]: crate::ServerBuilder::compression_threshold
pub(crate) fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The 101 response, if the request keeps to RFC 6455 §4.2.1; and what becomes of the connection afterwards.
fn switch<B>(request: &mut Request<B>) -> Result<(Response<Body>, OnUpgrade), Box<Response<Body>>> {
    let headers = request.headers();
    let upgrades = headers.get_all(header::CONNECTION).iter().any(|value| {
        value
            .to_str()
            .is_ok_and(|value| value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade")))
    });
    if !upgrades {
        tracing::debug!("a WebSocket request without `Connection: upgrade`: does a proxy strip it?");
        return Err(Box::new(refuse(RequestError::BadRequest)));
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = error_text(
            StatusCode::UPGRADE_REQUIRED,
            r#"{"code":3,"message":"Bad request: WebSocket version 13 is needed"}"#.into(),
        );
        response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    let Some(key) = key else { return Err(Box::new(refuse(RequestError::BadRequest))) };
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = base64::engine::general_purpose::STANDARD.encode(hash.finalize());
    let Ok(accept) = HeaderValue::from_str(&accept) else {
        return Err(Box::new(refuse(RequestError::BadRequest)));
    };
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(Box::new(refuse(RequestError::BadRequest)));
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((response, upgrade))
}

/// What a connection turned out to run over, and what was read of it already.
enum Wire {
    Tcp(Arc<TcpStream>, Vec<u8>),
    Other(Box<dyn Stream>),
}

impl Wire {
    /// Gets back to the TCP stream, so that nothing of hyper's is kept and others than the task may write.
    ///
    /// Streams of a `foreign` accept loop may still gather small writes.
    fn recover(upgraded: Upgraded, foreign: bool) -> Self {
        let tcp = |io: TokioIo<TcpStream>, first: Bytes| {
            let stream = io.into_inner();
            if foreign {
                let _ = stream.set_nodelay(true);
            }
            Self::Tcp(Arc::new(stream), first.to_vec())
        };
        let upgraded = match upgraded.downcast::<TokioIo<TcpStream>>() {
            Ok(parts) => return tcp(parts.io, parts.read_buf),
            Err(upgraded) => upgraded,
        };
        match hyper_util::server::conn::auto::upgrade::downcast::<TokioIo<TcpStream>>(upgraded) {
            Ok(parts) => tcp(parts.io, parts.read_buf),
            Err(upgraded) => Self::Other(Box::new(TokioIo::new(upgraded))),
        }
    }
}

/// Opens a session that is a WebSocket from the start; the answer in any case.
pub(super) fn open<B>(
    engine: &Arc<Engine>,
    mut request: Request<B>,
    newcomer: Newcomer,
    own: bool,
) -> Result<Response<Body>, Box<Response<Body>>> {
    let (response, upgrade) =
        switch(&mut request).inspect_err(|_| engine.metrics.handshake("websocket", "bad_request"))?;
    let server = engine.clone();
    engine.spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            server.metrics.handshake("websocket", "broken");
            return;
        };
        server.metrics.handshakes_ok[1].inc();
        match Wire::recover(upgraded, !own) {
            Wire::Tcp(stream, first) => {
                let conn = welcome(&server, newcomer, Sink::Tcp(stream.clone()));
                drop(server);
                task::run(conn, stream, Reader::new(Decoder::new()), first).await;
            }
            Wire::Other(stream) => {
                let conn = welcome(&server, newcomer, Sink::Stream);
                drop(server);
                Box::pin(task::run_stream(conn, stream, Reader::new(Decoder::new()), Vec::new())).await;
            }
        }
    });
    Ok(response)
}

fn welcome(engine: &Arc<Engine>, newcomer: Newcomer, sink: Sink) -> Arc<Conn> {
    let conn = newcomer.enter(engine, sink);
    // The task that comes next sends it: no need to wake a flusher.
    conn.outbox.claim();
    let text = format!("0{}", open_text(&conn));
    conn.settle(conn.push(Item::Text(text.into()), false, engine.clock.now()));
    conn.opened();
    conn
}

/// Offers a session that uses long-polling a WebSocket to move to.
/// With `base64` a client of Engine.IO 3 takes binary messages only so on it.
pub(crate) fn probe<B>(conn: Arc<Conn>, mut request: Request<B>, base64: bool) -> Response<Body> {
    let engine = conn.engine.clone();
    let settings = &engine.config.session;
    if !engine.config.websocket {
        engine.metrics.upgrade("refused");
        return refuse(RequestError::UnknownTransport);
    }
    let (response, upgrade) = match switch(&mut request) {
        Ok(switched) => switched,
        Err(response) => {
            engine.metrics.upgrade("refused");
            return *response;
        }
    };
    if let Err(error) = conn.with_session(|session| session.begin_probe(engine.clock.now(), settings)) {
        engine.metrics.upgrade("refused");
        if error == RequestError::BadRequest && settings.allow_upgrades {
            engine.spawn(turn_away(upgrade));
            return response;
        }
        return refuse(error);
    }
    conn.deadline_moved_closer();
    let timeout = settings.upgrade_timeout;
    engine.clone().spawn(async move {
        let mut probe = Probe { conn: &conn, over: false };
        let moved = match upgrade.await {
            Ok(upgraded) => negotiate(&mut probe, upgraded, timeout).await,
            Err(_) => None,
        };
        drop(probe);
        match moved {
            Some((wire, decoder, rest)) => {
                engine.metrics.upgraded(conn.protocol);
                tracing::debug!(target: log::ENGINE_IO, connection = %log::Name(&conn), "moved to WebSocket");
                let form = conn.outbox.form().on_websocket(base64);
                match wire {
                    Wire::Tcp(stream, _) => {
                        conn.outbox.switch(Sink::Tcp(stream.clone()), form);
                        task::start(conn, stream, Reader::new(decoder), rest);
                    }
                    Wire::Other(stream) => {
                        conn.outbox.switch(Sink::Stream, form);
                        Box::pin(task::run_stream(conn, stream, Reader::new(decoder), rest)).await;
                    }
                }
            }
            // The client decided and was gone in the same moment.
            None if conn.transport() == TransportKind::WebSocket => {
                engine.metrics.upgraded(conn.protocol);
                conn.close(DisconnectReason::TransportClose);
                conn.forget();
            }
            None => engine.metrics.upgrade("failed"),
        }
    });
    response
}

/// A WebSocket for a session that has one, or is being probed by one, is closed as soon as it is open: so the JavaScript
/// server does it, and a client finds an end where it did not expect a refusal.
async fn turn_away(upgrade: OnUpgrade) {
    if let Ok(upgraded) = upgrade.await {
        let _ = Wire::recover(upgraded, true).write_all(&close_frame(None, "")).await;
    }
}

/// A WebSocket that may become the session's transport. When it comes to nothing, the session is told, once.
struct Probe<'a> {
    conn: &'a Arc<Conn>,
    /// The session knows how it ended.
    over: bool,
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.conn.with_session(|session| session.probe_lost());
        }
    }
}

/// Answers the probe and waits for the client's decision. Whatever goes wrong here ends only this transport.
async fn negotiate(
    probe: &mut Probe<'_>,
    upgraded: Upgraded,
    timeout: Duration,
) -> Option<(Wire, Decoder, Vec<u8>)> {
    let conn = probe.conn;
    let mut wire = Wire::recover(upgraded, true);
    let mut decoder = Decoder::new();
    let exchange = async {
        let mut input = match &mut wire {
            Wire::Tcp(_, first) => std::mem::take(first),
            Wire::Other(_) => Vec::new(),
        };
        loop {
            let (mut upgraded, mut failed, mut replies) = (false, false, Vec::new());
            let fed = decoder.feed(&mut input, conn.engine.config.session.max_payload, |frame: Frame<'_>| {
                let packet = match frame {
                    Frame::Text(text) => EioPacket::decode_text(text).ok(),
                    Frame::Ping(data) => {
                        write_frame(&mut replies, Opcode::Pong, data);
                        return Flow::Continue;
                    }
                    Frame::Pong(_) => return Flow::Continue,
                    Frame::Binary(_) | Frame::Close { .. } => None,
                };
                match packet.map(|packet| conn.receive(Lane::Probe, packet)) {
                    Some(Received::Probe) => {
                        write_frame(&mut replies, Opcode::Text, b"3probe");
                        Flow::Continue
                    }
                    Some(Received::Handled) => Flow::Continue,
                    Some(Received::Upgraded) => {
                        probe.over = true;
                        upgraded = true;
                        Flow::Pause
                    }
                    ended => {
                        probe.over |= matches!(ended, Some(Received::DropProbe));
                        failed = true;
                        Flow::Pause
                    }
                }
            });
            let Ok(consumed) = fed else { return None };
            if !replies.is_empty() {
                wire.write_all(&replies).await?;
                // A GET that waits has to come back, so that the client can stop polling.
                conn.outbox.release_poll();
            }
            if failed {
                let _ = wire.write_all(&close_frame(None, "")).await;
                return None;
            }
            if upgraded {
                return Some(input.split_off(consumed));
            }
            input = wire.read().await?;
        }
    };
    let rest = tokio::select! {
        rest = tokio::time::timeout(timeout, exchange) => rest.ok()??,
        () = conn.ended() => return None,
    };
    Some((wire, decoder, rest))
}

impl Wire {
    async fn write_all(&mut self, mut bytes: &[u8]) -> Option<()> {
        match self {
            Self::Tcp(stream, _) => {
                while !bytes.is_empty() {
                    stream.writable().await.ok()?;
                    match stream.try_write(bytes) {
                        Ok(written) => bytes = &bytes[written..],
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => return None,
                    }
                }
                Some(())
            }
            Self::Other(stream) => {
                stream.write_all(bytes).await.ok()?;
                stream.flush().await.ok()
            }
        }
    }

    async fn read(&mut self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 1024];
        let read = match self {
            Self::Tcp(stream, _) => loop {
                stream.readable().await.ok()?;
                match stream.try_read(&mut buffer) {
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    read => break read.ok()?,
                }
            },
            Self::Other(stream) => stream.read(&mut buffer).await.ok()?,
        };
        buffer.truncate(read);
        (read > 0).then_some(buffer)
    }
}
