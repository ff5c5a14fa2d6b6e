//! Engine.IO over HTTP: which request is what, and the answers.

pub(crate) mod accept;
pub(crate) mod cors;
pub(crate) mod polling;
pub(crate) mod upgrade;

use std::{net::SocketAddr, sync::Arc};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use sockeye_proto::eio::{
    TransportKind,
    request::{self, Method, RequestError},
    session::open_json,
};

use crate::{
    conn::{Conn, handshake::Handshake, outbox::Sink},
    engine::Engine,
};
use cors::Origin;

/// Marks requests that came through the server's own accept loop.
#[derive(Clone, Copy)]
pub(crate) struct OwnAcceptLoop;

/// What is served at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    SocketIo,
    /// Engine.IO alone; which one of those.
    Raw(usize),
}

/// Whose path it is. The slash at the end may be missing.
pub(crate) fn endpoint(engine: &Engine, path: &str) -> Option<Endpoint> {
    let is = |ours: &str| path == ours || path == ours.trim_end_matches('/');
    if is(&engine.config.path) {
        return Some(Endpoint::SocketIo);
    }
    engine.config.raw.iter().position(|raw| is(&raw.path)).map(Endpoint::Raw)
}

/// Answers a request to the path of an endpoint.
pub(crate) async fn handle<B>(
    engine: &Arc<Engine>,
    endpoint: Endpoint,
    request: Request<B>,
    peer: Option<SocketAddr>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let origin = engine.config.cors.check(request.headers(), false);
    if origin == Origin::Refused {
        engine.metrics.handshake("unknown", "forbidden_origin");
        return error_text(
            StatusCode::BAD_REQUEST,
            r#"{"code":3,"message":"Bad request: this origin is not allowed"}"#.into(),
        );
    }
    let mut response = match *request.method() {
        http::Method::OPTIONS => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            origin.apply_preflight(request.headers(), response.headers_mut());
            return response;
        }
        http::Method::GET => route(engine, endpoint, Method::Get, request, peer).await,
        http::Method::POST => route(engine, endpoint, Method::Post, request, peer).await,
        http::Method::HEAD => route(engine, endpoint, Method::Head, request, peer).await,
        _ => route(engine, endpoint, Method::Other, request, peer).await,
    };
    origin.apply(response.headers_mut());
    response
}

async fn route<B>(
    engine: &Arc<Engine>,
    endpoint: Endpoint,
    method: Method,
    request: Request<B>,
    peer: Option<SocketAddr>,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let websocket = upgrade::is_websocket(request.headers());
    let query = request.uri().query().unwrap_or_default().to_owned();
    match request::parse(method, &query, websocket, false) {
        Ok(request::Request::Open(opening)) => {
            open(engine, endpoint, opening.transport, request, &query, peer)
        }
        Ok(request::Request::Poll { sid }) => match connection(engine, endpoint, sid) {
            Some(conn) => polling::get(conn).await,
            None => unknown(engine, "polling", sid),
        },
        Ok(request::Request::Post { sid }) => match connection(engine, endpoint, sid) {
            Some(conn) => polling::post(conn, request).await,
            None => unknown(engine, "polling", sid),
        },
        Ok(request::Request::Upgrade { sid, .. }) => match connection(engine, endpoint, sid) {
            Some(conn) => upgrade::probe(conn, request),
            None => unknown(engine, "websocket", sid),
        },
        Err(error) => {
            engine.metrics.handshake(if websocket { "websocket" } else { "polling" }, label(error));
            refuse(error)
        }
    }
}

/// The session is not here: it ended, belongs to another node, or was made up.
fn unknown(engine: &Engine, transport: &str, sid: &str) -> Response<Body> {
    let why = match engine.keys.verify(sid) {
        Ok(sid) if sid.node() != engine.node => {
            tracing::debug!(node = %sid.node(), "a request for a session of another node: is the load balancer sticky?");
            "other_node"
        }
        _ => "unknown_sid",
    };
    engine.metrics.handshake(transport, why);
    refuse(RequestError::UnknownSid)
}

/// The connection that a client of this endpoint means.
fn connection(engine: &Engine, endpoint: Endpoint, sid: &str) -> Option<Arc<Conn>> {
    engine.connection(sid).filter(|conn| conn.endpoint() == endpoint)
}

fn open<B>(
    engine: &Arc<Engine>,
    endpoint: Endpoint,
    transport: TransportKind,
    request: Request<B>,
    query: &str,
    peer: Option<SocketAddr>,
) -> Response<Body>
where
    B: Send + 'static,
{
    let name = transport.as_str();
    let offered = match transport {
        TransportKind::Polling => engine.config.polling,
        TransportKind::WebSocket => engine.config.websocket,
    };
    if !offered {
        engine.metrics.handshake(name, label(RequestError::UnknownTransport));
        return refuse(RequestError::UnknownTransport);
    }
    if engine.is_draining() {
        engine.metrics.handshake(name, "draining");
        return leaving();
    }
    let secure = request
        .headers()
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto.as_bytes().starts_with(b"https"));
    let handshake = Handshake::new(request.uri().path(), query, request.headers(), peer, secure);
    match transport {
        TransportKind::Polling => {
            engine.metrics.handshakes_ok[0].inc();
            let conn = Conn::open(engine, endpoint, transport, Sink::Polling, handshake);
            let mut body = b"0".to_vec();
            body.extend_from_slice(open_text(&conn).as_bytes());
            engine.metrics.sent_polling(body.len());
            conn.opened();
            polling::packets(body)
        }
        TransportKind::WebSocket => upgrade::open(engine, endpoint, request, handshake),
    }
}

/// The JSON of the OPEN packet.
pub(crate) fn open_text(conn: &Conn) -> String {
    let engine = &conn.engine;
    let upgrades = conn.transport() == TransportKind::Polling
        && engine.config.session.allow_upgrades
        && engine.config.websocket;
    open_json(conn.sid.text().as_str(), upgrades, &engine.config.session)
}

/// A protocol error, as the JavaScript server words it.
pub(crate) fn refuse(error: RequestError) -> Response<Body> {
    let status = StatusCode::from_u16(error.status()).unwrap_or(StatusCode::BAD_REQUEST);
    error_text(status, error.json())
}

pub(crate) fn error_text(status: StatusCode, json: String) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The node takes no new clients: they shall try another.
pub(crate) fn leaving() -> Response<Body> {
    let mut response = Response::new(Body::from("the server is shutting down"));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

fn label(error: RequestError) -> &'static str {
    match error {
        RequestError::UnknownTransport => "unknown_transport",
        RequestError::UnknownSid => "unknown_sid",
        RequestError::BadHandshakeMethod => "bad_method",
        RequestError::BadRequest => "bad_request",
        RequestError::Forbidden => "forbidden",
        RequestError::UnsupportedVersion => "unsupported_version",
    }
}
