//! Long-polling: a GET waits for packets, a POST brings some.

use std::{
    future::poll_fn,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use sockeye_proto::{
    eio::{
        Protocol, TransportKind,
        packet::Packet as EioPacket,
        payload::decode_payload,
        request::RequestError,
        session::{Lane, Overlap},
    },
    error::DecodeError,
};

use super::{
    compression::{self, Encoding},
    error_text, leaving,
    polling_v3::{self, Posted},
    refuse,
};
use crate::{
    conn::{Conn, Received, outbox::PollBody},
    limits::Limit,
    log,
    reason::DisconnectReason,
};

/// How long a client's close packet waits for the GET that the client sent with it.
const OVERTAKEN: Duration = Duration::from_millis(50);

/// A GET: answered when there is something to say.
pub(crate) async fn get(conn: Arc<Conn>, wanted: Option<Encoding>) -> Response<Body> {
    if conn.transport() != TransportKind::Polling {
        return refuse(RequestError::BadRequest);
    }
    if is_late(&conn) {
        return refuse(RequestError::UnknownSid);
    }
    match conn.with_session(|session| session.poll_started()) {
        Ok(()) => {}
        // Two GETs at once: nobody can tell which of them the client still reads.
        Err(Overlap::Busy) => {
            conn.close(DisconnectReason::TransportError);
            return refuse(RequestError::BadRequest);
        }
        // The session is over, and its last packets are waiting.
        Err(Overlap::NotPolling) if conn.transport() == TransportKind::Polling => {
            return answer(&conn, poll_fn(|cx| take(&conn, cx)).await, wanted).await;
        }
        Err(Overlap::NotPolling) => return refuse(RequestError::BadRequest),
    }
    conn.engine.metrics.polls_waiting.inc();
    let mut ends = PollEnds { conn: &conn, answered: false };
    conn.outbox.begin_poll();
    if conn.with_session(|session| session.polls_get_noop()) {
        conn.outbox.release_poll();
    }
    let found = poll_fn(|cx| take(&conn, cx)).await;
    ends.answered = true;
    answer(&conn, found, wanted).await
}

/// Whether the heartbeat ended with this request, or before it. The timer has its own grain; a client that comes a moment too
/// late is told so all the same.
fn is_late(conn: &Arc<Conn>) -> bool {
    conn.meet_deadline();
    conn.closed() == Some(DisconnectReason::PingTimeout)
}

fn take(conn: &Conn, cx: &mut Context<'_>) -> Poll<(PollBody, Vec<u8>)> {
    let engine = &conn.engine;
    let mut body = Vec::new();
    match conn.outbox.take_poll(&mut body, engine.config.session.max_payload, engine.clock.now(), cx.waker())
    {
        Some(found) => Poll::Ready((found, body)),
        None => Poll::Pending,
    }
}

async fn answer(
    conn: &Conn,
    (found, mut body): (PollBody, Vec<u8>),
    mut wanted: Option<Encoding>,
) -> Response<Body> {
    let something = matches!(found, PollBody::Packets | PollBody::Uncompressed);
    if !something && conn.closed().is_some() && conn.transport() == TransportKind::Polling {
        conn.forget();
    }
    let lone = match conn.protocol {
        Protocol::V4 => [&b"6"[..], b"1"],
        Protocol::V3 => [&b"1:6"[..], b"1:1"],
    };
    match found {
        PollBody::Packets => {}
        PollBody::Uncompressed => wanted = None,
        PollBody::Noop => body.extend_from_slice(lone[0]),
        PollBody::Close => body.extend_from_slice(lone[1]),
        // Stock clients take a packet `1` for the end of the session they wanted; an error makes them come back.
        PollBody::Leaving => return leaving(),
    }
    tracing::trace!(target: log::ENGINE_IO, connection = %log::Name(conn), bytes = body.len(), "sent");
    packets(conn, body, wanted).await
}

struct PollEnds<'a> {
    conn: &'a Arc<Conn>,
    answered: bool,
}

impl Drop for PollEnds<'_> {
    fn drop(&mut self) {
        self.conn.engine.metrics.polls_waiting.dec();
        self.conn.with_session(|session| session.poll_ended());
        // The client hung up on a GET that waited, which is how long-polling loses its transport. Not so where the whole
        // server is torn down.
        if !self.answered && tokio::runtime::Handle::try_current().is_ok() {
            self.conn.close(DisconnectReason::TransportError);
        }
    }
}

/// A POST: its packets are handled in order before it is answered.
pub(crate) async fn post<B>(conn: Arc<Conn>, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let engine = &conn.engine;
    if conn.transport() != TransportKind::Polling {
        return refuse(RequestError::BadRequest);
    }
    // In version 3 the heartbeat begins with the client, in a POST.
    if conn.protocol == Protocol::V3 && is_late(&conn) {
        return refuse(RequestError::UnknownSid);
    }
    let octets = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/octet-stream"));
    // In version 4 binary messages are base64.
    let unfit = octets && conn.protocol == Protocol::V4;
    let started = conn.with_session(|session| session.post_started());
    if unfit || started.is_err() {
        if unfit || started == Err(Overlap::Busy) {
            conn.close(DisconnectReason::TransportError);
        }
        return refuse(RequestError::BadRequest);
    }
    let _ended = PostEnds(&conn);
    let max_payload = engine.config.session.max_payload;
    let reading = tokio::time::timeout(engine.config.request_timeout, read(request, max_payload));
    let read = tokio::select! {
        biased;
        read = reading => read,
        () = conn.ended() => return refuse(RequestError::UnknownSid),
    };
    let body = match read {
        Ok(Ok(body)) => body,
        Ok(Err(TooLarge::Body)) => {
            engine.metrics.limit_rejected("payload");
            let mut response = error_text(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(r#"{{"code":3,"message":"The request is larger than {max_payload} bytes"}}"#),
            );
            // What is left of the body is not read.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            return response;
        }
        Ok(Err(TooLarge::Broken)) => return refuse(RequestError::BadRequest),
        Err(_) => {
            engine.metrics.limit_rejected("request_time");
            return error_text(
                StatusCode::REQUEST_TIMEOUT,
                r#"{"code":3,"message":"The request's body took too long"}"#.into(),
            );
        }
    };
    engine.metrics.received_polling(body.len());
    let most = engine.guard.ceilings().max_packets_per_payload;
    if conn.protocol == Protocol::V3 {
        match Posted::read(&conn, &body, octets) {
            Ok(posted) => handle(&conn, posted.packets(&conn, most)).await,
            Err(error) => drop(conn.fail(error)),
        }
        return ok();
    }
    let Ok(text) = str::from_utf8(&body) else {
        conn.close(DisconnectReason::ParseError);
        return refuse(RequestError::BadRequest);
    };
    handle(&conn, decode_payload(text, most)).await;
    ok()
}

fn ok() -> Response<Body> {
    let mut response = Response::new(Body::from("ok"));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// Handles packets in order, as fast as handlers and the client's own reading allow.
async fn handle(conn: &Arc<Conn>, packets: impl Iterator<Item = Result<EioPacket<'_>, DecodeError>>) {
    let engine = &conn.engine;
    let guard = &engine.guard;
    for (n, packet) in packets.enumerate() {
        if n == guard.limits().max_packets_per_payload && !guard.enforces() {
            guard.met(Limit::Packets, 1, 0);
        }
        if matches!(packet, Ok(EioPacket::Close)) {
            wait_for_get(conn).await;
        }
        match packet.map_or_else(|error| conn.fail(error), |packet| conn.receive(Lane::Main, packet)) {
            Received::Full(backlog) => {
                let settings = &engine.config.session;
                conn.with_session(|session| session.pause_heartbeat(engine.clock.now(), settings));
                poll_fn(|cx| if backlog.has_room(cx.waker()) { Poll::Ready(()) } else { Poll::Pending })
                    .await;
                conn.with_session(|session| session.resume_heartbeat(engine.clock.now()));
            }
            Received::Closed => break,
            _ => {}
        }
        if conn.outbox.is_long() {
            wait_for_poll(conn).await;
        }
    }
}

/// Gives the client time to fetch the answers to what it has sent so far, instead of queueing more of them than it may
/// leave unread. It has a GET of its own for that.
async fn wait_for_poll(conn: &Conn) {
    let config = &conn.engine.config;
    let fetched = async {
        while conn.outbox.pause_reader(&config.outbox) && conn.closed().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    // One that does not fetch them is slow, which the outbox finds out.
    let _ = tokio::time::timeout(config.request_timeout, fetched).await;
}

/// A client that leaves has a GET waiting, which ends with its session. The two come on connections of their own, and the
/// POST may be the first to be seen; without the GET it would find no session, and take that for a fault.
async fn wait_for_get(conn: &Conn) {
    let comes = async {
        while !conn.with_session(|session| session.is_polled()) && conn.closed().is_none() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let _ = tokio::time::timeout(OVERTAKEN, comes).await;
}

struct PostEnds<'a>(&'a Arc<Conn>);

impl Drop for PostEnds<'_> {
    fn drop(&mut self) {
        self.0.with_session(|session| session.post_ended());
    }
}

enum TooLarge {
    Body,
    Broken,
}

async fn read<B>(request: Request<B>, limit: usize) -> Result<Bytes, TooLarge>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    let body = request.into_body();
    if body.size_hint().lower() > limit as u64 {
        return Err(TooLarge::Body);
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut more: Vec<u8> = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            tracing::debug!(%error, "a POST broke off");
            TooLarge::Broken
        })?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + more.len() + data.len() > limit {
            return Err(TooLarge::Body);
        }
        // Nearly every body comes in one piece, which is not copied.
        if first.is_empty() && more.is_empty() {
            first = data;
            continue;
        }
        if more.is_empty() {
            more.extend_from_slice(&std::mem::take(&mut first));
        }
        more.extend_from_slice(&data);
    }
    Ok(if more.is_empty() { first } else { more.into() })
}

/// A response that carries packets, compressed if that is worth it.
pub(crate) async fn packets(conn: &Conn, body: Vec<u8>, wanted: Option<Encoding>) -> Response<Body> {
    let (body, kind) = match conn.protocol {
        Protocol::V4 => (body, "text/plain; charset=UTF-8"),
        Protocol::V3 => polling_v3::answer(conn, body),
    };
    let mut headers = HeaderMap::new();
    let body = match conn.engine.config.http.compression {
        Some(threshold) if body.len() >= threshold => compression::apply(body, wanted, &mut headers).await,
        _ => body.into(),
    };
    conn.engine.metrics.sent_polling(body.len());
    let mut response = Response::new(Body::from(body));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if conn.jsonp.is_some() {
        // It is a script and nothing else, whatever a browser might find in it.
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
