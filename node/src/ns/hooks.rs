//! Plain functions that look on: at every event that comes, at every event that goes, at every error of a handler.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use sockeye_proto::{
    bus::Target,
    id::SocketId,
    name::{NamespacePath, RoomName},
    prepared::{Body, Packet},
    sio::Args,
};

use super::{Namespace, socket::Socket};
use crate::engine::Engine;

pub(crate) type EventHook = Arc<dyn Fn(&Socket, &str, &Args) + Send + Sync>;
pub(crate) type OutgoingHook = Arc<dyn Fn(&Outgoing<'_>) + Send + Sync>;
pub(crate) type ErrorHook = Arc<dyn Fn(&Socket, &HandlerError) + Send + Sync>;

/// Runs a hook. It only looks on: if it panics, that is counted, and what it looked at goes on.
pub(crate) fn look(engine: &Engine, namespace: &NamespacePath, hook: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(hook)) {
        engine.handler_panicked(namespace, &*panic);
    }
}

/// An event on its way to clients, for [`on_any_outgoing`](crate::NamespaceBuilder::on_any_outgoing).
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    namespace: &'a NamespacePath,
    event: &'a str,
    args: &'a Args,
    to: Recipients<'a>,
}

/// Whom an event goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Recipients<'a> {
    /// One client that was named by its handle.
    Socket(&'a SocketId),
    /// The union of rooms, everyone in the namespace if there is none, less the members of others.
    Rooms {
        /// Whose members get it. A socket's id is the name of its own room.
        rooms: &'a [RoomName],
        /// Whose members do not.
        except: &'a [RoomName],
    },
}

impl Outgoing<'_> {
    /// The namespace that it is sent in.
    pub fn namespace(&self) -> &NamespacePath {
        self.namespace
    }

    /// The event's name.
    pub fn event(&self) -> &str {
        self.event
    }

    /// Its arguments.
    pub fn args(&self) -> &Args {
        self.args
    }

    /// Whom it goes to.
    pub fn to(&self) -> Recipients<'_> {
        self.to
    }
}

impl Namespace {
    /// Whether anybody wants to see what is sent.
    pub(crate) fn is_watched(&self) -> bool {
        !self.handlers.any_outgoing.is_empty()
    }

    /// Shows an event that is about to be sent to many to those who look on.
    pub(crate) fn show_broadcast(&self, engine: &Engine, packet: &Packet, target: &Target) {
        if self.is_watched() {
            self.show(engine, packet, Recipients::Rooms { rooms: &target.rooms, except: &target.except });
        }
    }

    /// The same for an event to one socket.
    pub(crate) fn show_unicast(&self, engine: &Engine, packet: &Packet, socket: &SocketId) {
        if self.is_watched() {
            self.show(engine, packet, Recipients::Socket(socket));
        }
    }

    #[cold]
    fn show(&self, engine: &Engine, packet: &Packet, to: Recipients<'_>) {
        let Body::Event { name, args } = &packet.body else { return };
        let outgoing = Outgoing { namespace: &self.path, event: name, args, to };
        for hook in &self.handlers.any_outgoing {
            look(engine, &self.path, || hook(&outgoing));
        }
    }
}

/// Why an event was not handled, for [`on_error`](crate::NamespaceBuilder::on_error).
#[derive(Clone, Debug)]
pub struct HandlerError {
    pub(crate) kind: HandlerErrorKind,
    pub(crate) event: Option<Arc<str>>,
    pub(crate) message: String,
}

/// What kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandlerErrorKind {
    /// A middleware did not let the event pass.
    Refused,
    /// What the handler asked for was not there or was something else; it was not called.
    Extract,
    /// The handler returned an error.
    Handler,
    /// The handler's answer cannot be serialised.
    Reply,
}

impl HandlerErrorKind {
    /// The label in `sockeye_handler_errors_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Extract => "extract",
            Self::Handler => "handler",
            Self::Reply => "reply",
        }
    }
}

impl HandlerError {
    /// What kind of error it is.
    pub fn kind(&self) -> HandlerErrorKind {
        self.kind
    }

    /// The event; `None` when it is about a client that connects or goes.
    pub fn event(&self) -> Option<&str> {
        self.event.as_deref()
    }

    /// What went wrong, in words.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for HandlerError {}
