//! Engine.IO over HTTP: which request is what, and the answers.

pub(crate) mod accept;
pub(crate) mod addresses;
pub(crate) mod compression;
pub(crate) mod cookie;
pub(crate) mod cors;
pub(crate) mod head;
pub(crate) mod hooks;
pub(crate) mod options;
pub(crate) mod polling;
mod polling_v3;
pub(crate) mod proxies;
mod proxy_protocol;
pub(crate) mod upgrade;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use sockeye_proto::{
    eio::{
        Opening, Protocol, TransportKind,
        request::{self, Method, RequestError},
        session::open_json,
    },
    id::Sid,
};

use crate::{
    conn::{Conn, handshake::Handshake, outbox::Sink},
    engine::Engine,
};
use addresses::Slot;
use compression::Encoding;
use cors::{METHODS, Origin};
use head::{Arrival, RequestHead};

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
    arrival: Arrival,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let options = &engine.config.http;
    let head = RequestHead::new(&request, arrival, options.proxies.as_ref());
    let origin = options.cors.check(&head, options.proxies.as_ref());
    let extra = options.hooks.headers(&head);
    let mut response = match *request.method() {
        _ if origin == Origin::Refused => forbidden_origin(engine, "unknown"),
        http::Method::OPTIONS => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(METHODS));
            options.cors.apply_preflight(&origin, request.headers(), response.headers_mut());
            response
        }
        _ => {
            let mut response = route(engine, endpoint, request, arrival).await;
            options.cors.apply(&origin, response.headers_mut());
            response
        }
    };
    hooks::add(extra, response.headers_mut());
    response
}

async fn route<B>(
    engine: &Arc<Engine>,
    endpoint: Endpoint,
    request: Request<B>,
    arrival: Arrival,
) -> Response<Body>
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    let method = match *request.method() {
        http::Method::GET => Method::Get,
        http::Method::POST => Method::Post,
        http::Method::HEAD => Method::Head,
        _ => Method::Other,
    };
    let websocket = upgrade::is_websocket(request.headers());
    let query = request.uri().query().unwrap_or_default().to_owned();
    match request::parse(method, &query, websocket, engine.config.eio3) {
        Ok(request::Request::Open(opening)) => open(engine, endpoint, opening, request, arrival).await,
        Ok(request::Request::Poll { sid }) => match connection(engine, endpoint, sid) {
            Some(conn) => {
                let wanted = wanted_encoding(engine, request.headers());
                // It may be long until there is something to answer.
                drop(request);
                polling::get(conn, wanted).await
            }
            None => unknown(engine, "polling", sid),
        },
        Ok(request::Request::Post { sid }) => match connection(engine, endpoint, sid) {
            Some(conn) => polling::post(conn, request).await,
            None => unknown(engine, "polling", sid),
        },
        Ok(request::Request::Upgrade { sid, base64 }) => match connection(engine, endpoint, sid) {
            Some(conn) => upgrade::probe(conn, request, base64),
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

async fn open<B>(
    engine: &Arc<Engine>,
    endpoint: Endpoint,
    opening: Opening,
    request: Request<B>,
    arrival: Arrival,
) -> Response<Body>
where
    B: Send + 'static,
{
    let transport = opening.transport;
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
    let options = &engine.config.http;
    let wanted = wanted_encoding(engine, request.headers());
    let (handshake, initial) = {
        let head = RequestHead::new(&request, arrival, options.proxies.as_ref());
        if opening.jsonp.is_some() && !options.cors.allows_script(&head, options.proxies.as_ref()) {
            return forbidden_origin(engine, name);
        }
        (Arc::new(Handshake::new(&head)), options.hooks.initial_headers(&head))
    };
    let slot = match Slot::take(engine, handshake.client_addr(), name) {
        Ok(slot) => slot,
        Err(refusal) => return *refusal,
    };
    if let Err(refusal) = options.hooks.allow(engine, transport, &handshake).await {
        return *refusal;
    }
    let sid = engine.mint();
    let newcomer = Newcomer { endpoint, opening, sid, handshake, slot };
    let mut response = match transport {
        TransportKind::Polling => {
            engine.metrics.handshakes_ok[0].inc();
            let conn = newcomer.enter(engine, Sink::Polling);
            let mut body = b"0".to_vec();
            body.extend_from_slice(open_text(&conn).as_bytes());
            if conn.protocol == Protocol::V3 {
                body = polling_v3::one(&body);
            }
            conn.opened();
            polling::packets(&conn, body, wanted).await
        }
        TransportKind::WebSocket => match upgrade::open(engine, request, newcomer, arrival.own) {
            Ok(response) => response,
            Err(refusal) => return *refusal,
        },
    };
    let headers = response.headers_mut();
    if let Some(cookie) = options.cookie.as_ref().and_then(|cookie| cookie.header(sid.text().as_str())) {
        headers.append(header::SET_COOKIE, cookie);
    }
    hooks::add(initial, headers);
    response
}

/// A connection that is about to be opened.
struct Newcomer {
    endpoint: Endpoint,
    opening: Opening,
    sid: Sid,
    handshake: Arc<Handshake>,
    slot: Slot,
}

impl Newcomer {
    fn enter(self, engine: &Arc<Engine>, sink: Sink) -> Arc<Conn> {
        let Self { endpoint, opening, sid, handshake, slot } = self;
        let conn = Conn::open(engine, endpoint, opening, sink, sid, &handshake);
        slot.keep();
        conn
    }
}

/// How an answer may be compressed.
fn wanted_encoding(engine: &Engine, headers: &HeaderMap) -> Option<Encoding> {
    engine.config.http.compression.and_then(|_| Encoding::wanted(headers))
}

/// The web page that sent the request may not.
fn forbidden_origin(engine: &Engine, transport: &str) -> Response<Body> {
    engine.metrics.handshake(transport, "forbidden_origin");
    error_text(
        StatusCode::BAD_REQUEST,
        r#"{"code":3,"message":"Bad request: this origin is not allowed"}"#.into(),
    )
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
