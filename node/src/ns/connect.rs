//! How a client gets into a namespace, or is refused.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context as Cx, Poll, Waker},
};

use bytes::Bytes;
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::value::RawValue;
use sockeye_proto::{eio::Protocol, name::NamespacePath, prepared::Packet, sio::Ticket};

use super::{
    Namespace,
    context::Context,
    namespaces::{Dynamic, Matcher, NamespaceRequest},
    pattern::Captures,
    socket::{Socket, SocketInner},
};
use crate::{conn::Conn, log, reason::DisconnectReason};

/// Why a connect handler does not let a client in: the client's `connect_error` gets the message and the data.
///
/// Without a message the client is told `Connection rejected by server`.
#[derive(Clone, Debug, Default)]
pub struct ConnectRefused {
    message: Option<String>,
    data: Option<Box<RawValue>>,
}

impl ConnectRefused {
    /// A refusal with a message.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), data: None }
    }

    /// Adds data for the client. Data that cannot be serialised is logged and left out.
    #[must_use]
    pub fn data(mut self, data: &impl Serialize) -> Self {
        match serde_json::value::to_raw_value(data) {
            Ok(data) => self.data = Some(data),
            Err(error) => tracing::error!(%error, "the data of a refusal cannot be serialised"),
        }
        self
    }

    /// What the client is told.
    pub fn message(&self) -> &str {
        self.message.as_deref().unwrap_or("Connection rejected by server")
    }

    /// What the client is sent.
    pub(crate) fn packet(&self, namespace: &NamespacePath, protocol: Protocol) -> Packet {
        if protocol == Protocol::V3 {
            let payload = match &self.data {
                Some(data) => data.get().to_owned(),
                None => serde_json::Value::from(self.message()).to_string(),
            };
            return Packet::connect_error(namespace.clone(), payload);
        }
        #[derive(Serialize)]
        struct Payload<'a> {
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
        }
        let payload = Payload { message: self.message(), data: self.data.as_deref() };
        let payload = serde_json::to_vec(&payload).unwrap_or_else(|_| br#"{"message":"refused"}"#.to_vec());
        Packet::connect_error(namespace.clone(), payload)
    }
}

impl std::fmt::Display for ConnectRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for ConnectRefused {}

impl From<&str> for ConnectRefused {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for ConnectRefused {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// Asks the predicates in order whether there is such a namespace for this client, which was noted as being joined.
pub(crate) fn ask(
    conn: &Arc<Conn>,
    path: NamespacePath,
    candidates: Vec<Arc<Dynamic>>,
    auth: Option<Bytes>,
    ticket: Ticket,
) {
    let request = NamespaceRequest { path, auth, handshake: conn.handshake.clone() };
    let asking = {
        let (conn, request) = (conn.clone(), request.clone());
        async move {
            for candidate in candidates {
                let Matcher::When(predicate) = &candidate.matcher else { continue };
                if predicate(request.clone()).await {
                    let ns = conn.engine.namespaces.open(&request.path, &candidate, Captures::default());
                    return begin(&conn, &ns, request.auth, ticket);
                }
            }
            unknown(&conn, request.path, ticket);
        }
    };
    let mut asking = AssertUnwindSafe(asking).catch_unwind().boxed();
    let decided = match asking.as_mut().poll(&mut Cx::from_waker(Waker::noop())) {
        Poll::Ready(decided) => decided,
        Poll::Pending => {
            let (conn, path) = (conn.clone(), request.path);
            conn.engine.clone().spawn(async move {
                if let Err(panic) = asking.await {
                    conn.engine.handler_panicked(&path, &*panic);
                    unknown(&conn, path, ticket);
                }
            });
            return;
        }
    };
    if let Err(panic) = decided {
        conn.engine.handler_panicked(&request.path, &*panic);
        unknown(conn, request.path, ticket);
    }
}

/// There is no such namespace.
fn unknown(conn: &Arc<Conn>, path: NamespacePath, ticket: Ticket) {
    conn.refuse(&path, ticket);
    conn.no_such_namespace(path);
}

/// Runs the connect handler of a namespace for a client that asked to join it. The namespace was noted as being joined.
pub(crate) fn begin(conn: &Arc<Conn>, ns: &Arc<Namespace>, auth: Option<Bytes>, ticket: Ticket) {
    let engine = &conn.engine;
    ns.start(engine);
    let socket = SocketInner::new(conn.new_socket_id(&ns.path), conn, ns, auth, ticket);
    ns.rooms.insert(&socket);
    let Some(call) = &ns.handlers.connect else {
        finish(&socket, ticket, Ok(()));
        return;
    };
    let started = catch_unwind(AssertUnwindSafe(|| {
        let mut deciding = call.call(Context::connect(Socket(socket.clone())));
        match deciding.as_mut().poll(&mut Cx::from_waker(Waker::noop())) {
            Poll::Ready(decision) => Ok(decision),
            Poll::Pending => Err(deciding),
        }
    }));
    let deciding = match started {
        Ok(Ok(decision)) => return finish(&socket, ticket, decision),
        Ok(Err(deciding)) => deciding,
        Err(panic) => return finish(&socket, ticket, Err(panicked(&socket, &*panic))),
    };
    engine.spawn(async move {
        let decision = match AssertUnwindSafe(deciding).catch_unwind().await {
            Ok(decision) => decision,
            Err(panic) => Err(panicked(&socket, &*panic)),
        };
        finish(&socket, ticket, decision);
    });
}

fn panicked(socket: &SocketInner, panic: &(dyn std::any::Any + Send)) -> ConnectRefused {
    socket.conn.engine.handler_panicked(&socket.ns.path, panic);
    ConnectRefused::new("Internal server error")
}

fn finish(socket: &Arc<SocketInner>, ticket: Ticket, decision: Result<(), ConnectRefused>) {
    let (conn, ns) = (&socket.conn, &socket.ns);
    let metrics = &conn.engine.metrics;
    match decision {
        Ok(()) if conn.accept(&ns.path, ticket, socket) => {
            metrics.namespace_connect("ok");
            tracing::debug!(
                target: log::SOCKET_IO,
                namespace = %ns.path,
                socket = %socket.id,
                connection = %log::Name(conn),
                "a client joined"
            );
            socket.connected();
            // The connection may have ended between the two: then nobody else ends this socket.
            if let Some(reason) = conn.closed() {
                socket.closed(reason);
            }
        }
        // The handler let the client in, but it left meanwhile: the disconnect handler must hear of it.
        Ok(()) => {
            metrics.namespace_connect("gone");
            socket.closed(conn.closed().unwrap_or(DisconnectReason::ClientNamespaceDisconnect));
        }
        Err(refused) => {
            metrics.namespace_connect("refused");
            tracing::debug!(
                target: log::SOCKET_IO,
                namespace = %ns.path,
                connection = %log::Name(conn),
                reason = refused.message(),
                "a client was refused"
            );
            conn.refuse(&ns.path, ticket);
            if socket.refused() {
                conn.send(&refused.packet(&ns.path, conn.protocol));
            }
        }
    }
}
