//! What a handler is called with, before extractors take it apart.

use std::{any::Any, sync::Arc};

use sockeye_proto::sio::{Args, IntoArgs};

use super::{
    hooks::{HandlerError, HandlerErrorKind, look},
    socket::{Socket, SocketInner},
};
use crate::{log, reason::DisconnectReason};

/// What kind of handler runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerKind {
    /// A client wants to join the namespace.
    Connect,
    /// A client is in the namespace.
    Connected,
    /// A client sent an event, which is on its way to its handler.
    Middleware,
    /// A client sent an event.
    Event,
    /// A socket is gone.
    Disconnect,
}

/// One call of a handler: where it comes from and what came with it. Extractors read it.
#[derive(Debug)]
pub struct Context {
    pub(crate) socket: Socket,
    pub(crate) kind: HandlerKind,
    pub(crate) event: Option<Arc<str>>,
    pub(crate) args: Args,
    pub(crate) ack: Option<u64>,
    pub(crate) reason: Option<DisconnectReason>,
}

impl Context {
    pub(crate) fn event(socket: Socket, event: Arc<str>, args: Args, ack: Option<u64>) -> Self {
        Self { socket, kind: HandlerKind::Event, event: Some(event), args, ack, reason: None }
    }

    pub(crate) fn connect(socket: Socket) -> Self {
        Self { socket, kind: HandlerKind::Connect, event: None, args: Args::empty(), ack: None, reason: None }
    }

    pub(crate) fn connected(socket: Socket) -> Self {
        Self { kind: HandlerKind::Connected, ..Self::connect(socket) }
    }

    /// The same event for a middleware, which cannot answer it.
    pub(crate) fn for_middleware(&self) -> Self {
        Self {
            socket: self.socket.clone(),
            kind: HandlerKind::Middleware,
            event: self.event.clone(),
            args: self.args.clone(),
            ack: None,
            reason: None,
        }
    }

    pub(crate) fn disconnect(socket: Socket, reason: DisconnectReason) -> Self {
        Self {
            socket,
            kind: HandlerKind::Disconnect,
            event: None,
            args: Args::empty(),
            ack: None,
            reason: Some(reason),
        }
    }

    /// The socket that the call is about.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Which kind of handler this is for.
    pub fn kind(&self) -> HandlerKind {
        self.kind
    }

    /// The event's name.
    pub fn event_name(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// The event's arguments.
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// Shared state of the given type that was handed to the server's builder.
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.socket.0.conn.engine.state.get::<T>()
    }

    /// Who has to answer, if the client wants an ack. Taken once.
    pub(crate) fn take_reply(&mut self) -> Reply {
        Reply { socket: self.socket.clone(), id: self.ack.take() }
    }
}

impl SocketInner {
    /// Counts and logs an error of a handler, and tells it to those who want to know.
    pub(crate) fn handler_failed(self: &Arc<Self>, error: &HandlerError) {
        let engine = &self.conn.engine;
        engine.metrics.handler_failed(error.kind.as_str());
        let (namespace, event, kind) = (&self.ns.path, error.event.as_deref(), error.kind.as_str());
        match error.kind {
            // Everyone can have events refused.
            HandlerErrorKind::Refused => {
                tracing::debug!(target: log::SOCKET_IO, %namespace, event, %error, "an event was refused");
            }
            HandlerErrorKind::Reply => tracing::error!(%namespace, event, kind, %error, "a handler failed"),
            _ => tracing::warn!(%namespace, event, kind, %error, "a handler failed"),
        }
        for hook in &self.ns.handlers.errors {
            look(engine, namespace, || hook(&Socket(self.clone()), error));
        }
    }
}

/// The right to answer one event, if the client wanted an answer.
#[derive(Debug)]
pub(crate) struct Reply {
    socket: Socket,
    id: Option<u64>,
}

impl Reply {
    pub(crate) fn is_wanted(&self) -> bool {
        self.id.is_some()
    }

    /// Counts an ack that the client waits for and nobody will send.
    pub(crate) fn abandon(&self) {
        if self.is_wanted() {
            self.socket.0.conn.engine.metrics.abandoned_acks.inc();
        }
    }

    pub(crate) fn send(mut self, args: impl IntoArgs) {
        let Some(id) = self.id.take() else { return };
        match args.into_args() {
            Ok(args) => self.socket.0.send_ack(id, args),
            Err(error) => {
                let error =
                    HandlerError { kind: HandlerErrorKind::Reply, event: None, message: error.to_string() };
                self.socket.0.handler_failed(&error);
            }
        }
    }
}
