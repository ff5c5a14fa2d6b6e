//! Where the application has a say: who may open a connection, and what headers the answers have.

use std::{fmt, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::body::Body;
use futures_util::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use sockeye_proto::eio::{TransportKind, request::RequestError};

use super::{error_text, head::RequestHead};
use crate::{
    conn::handshake::{Handshake, HandshakeRef},
    engine::Engine,
};

/// How long the application may think about a request.
const PATIENCE: Duration = Duration::from_secs(10);

type Allow = Arc<dyn Fn(HandshakeRef) -> BoxFuture<'static, Result<(), Forbidden>> + Send + Sync>;
type AddHeaders = Arc<dyn Fn(&RequestHead<'_>, &mut HeaderMap) + Send + Sync>;

/// Why an application refuses a connection: what [`allow_request`](crate::ServerBuilder::allow_request) returns. The client
/// sees the message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Forbidden {
    message: String,
}

impl Forbidden {
    /// With a message for the client.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}

impl Default for Forbidden {
    /// The message `Forbidden`.
    fn default() -> Self {
        Self::new(RequestError::Forbidden.message())
    }
}

/// What the application registered.
#[derive(Default)]
pub(crate) struct Hooks {
    allow: Option<Allow>,
    fixed: HeaderMap,
    each: Vec<AddHeaders>,
    initial: Vec<AddHeaders>,
    problems: Vec<String>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

impl Hooks {
    pub(crate) fn set_allow(&mut self, allow: Allow) {
        self.allow = Some(allow);
    }

    pub(crate) fn add_each(&mut self, hook: AddHeaders) {
        self.each.push(hook);
    }

    pub(crate) fn add_initial(&mut self, hook: AddHeaders) {
        self.initial.push(hook);
    }

    pub(crate) fn add_header(&mut self, name: &str, value: &str) {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(_)) if is_ours(&name) => {
                self.problems.push(format!("response_header: {name} belongs to the protocol"));
            }
            (Ok(name), Ok(value)) => {
                self.fixed.append(name, value);
            }
            _ => self.problems.push(format!("response_header: {name:?} with {value:?} is no header")),
        }
    }

    pub(crate) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// The headers that the answer to a request gets, whatever the answer is.
    pub(crate) fn headers(&self, head: &RequestHead<'_>) -> HeaderMap {
        let mut headers = self.fixed.clone();
        for hook in &self.each {
            hook(head, &mut headers);
        }
        headers
    }

    /// The headers that the answer to an accepted handshake gets, too.
    pub(crate) fn initial_headers(&self, head: &RequestHead<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for hook in &self.initial {
            hook(head, &mut headers);
        }
        headers
    }

    /// Asks the application whether a connection may be opened; the answer if not.
    pub(crate) async fn allow(
        &self,
        engine: &Engine,
        transport: TransportKind,
        handshake: &Arc<Handshake>,
    ) -> Result<(), Box<Response<Body>>> {
        let Some(allow) = &self.allow else { return Ok(()) };
        // The call itself may panic, not only what it returns.
        let asking = async { allow(HandshakeRef(handshake.clone())).await };
        let asked = tokio::time::timeout(PATIENCE, AssertUnwindSafe(asking).catch_unwind()).await;
        let (result, refusal) = match asked {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(forbidden))) => ("forbidden", refuse(transport, &forbidden.message)),
            Ok(Err(_)) => {
                engine.metrics.handler_panics.inc();
                tracing::error!("allow_request panicked: the connection is refused");
                ("error", busy(StatusCode::INTERNAL_SERVER_ERROR))
            }
            Err(_) => {
                tracing::warn!(patience = ?PATIENCE, "allow_request did not answer: the connection is refused");
                ("timeout", busy(StatusCode::SERVICE_UNAVAILABLE))
            }
        };
        engine.metrics.handshake(transport.as_str(), result);
        Err(Box::new(refusal))
    }
}

/// Adds headers of the application to an answer. Those that several have a say in are added, others replaced.
pub(crate) fn add(extra: HeaderMap, headers: &mut HeaderMap) {
    let mut last = None;
    for (name, value) in extra {
        // Repeated names come without their name.
        let first = name.is_some();
        let Some(name) = name.or(last) else { return };
        last = Some(name.clone());
        if is_ours(&name) {
            continue;
        }
        if first && name != header::VARY && name != header::SET_COOKIE {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
}

/// Headers that say how the message is to be read: not the application's business.
fn is_ours(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::UPGRADE,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::CONTENT_ENCODING,
    ]
    .contains(name)
        || name.as_str().starts_with("sec-websocket-")
}

/// The JavaScript server's two ways to say no: JSON to a polling client, a plain text to a WebSocket handshake.
fn refuse(transport: TransportKind, message: &str) -> Response<Body> {
    match transport {
        TransportKind::Polling => {
            let message = serde_json::Value::from(message);
            error_text(StatusCode::FORBIDDEN, format!(r#"{{"code":4,"message":{message}}}"#))
        }
        TransportKind::WebSocket => {
            let mut response = error_text(StatusCode::BAD_REQUEST, message.to_owned());
            let kind = HeaderValue::from_static("text/plain; charset=UTF-8");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            response
        }
    }
}

fn busy(status: StatusCode) -> Response<Body> {
    let mut response = error_text(status, r#"{"code":4,"message":"Forbidden"}"#.into());
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
