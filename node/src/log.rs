//! What the two layers say of their clients.
//!
//! Each has one target of its own, so that a log filter switches it on or off as a whole: `sockeye::engineio` for sessions,
//! transports and packets, `sockeye::socketio` for namespaces, events and acks. What happens to a client is logged at level
//! `debug`, each packet or event at `trace`. Neither says what packets and events contain, nor the ids of sessions, which
//! are secrets: a connection has a short name instead.

use std::fmt;

use crate::conn::Conn;

/// The target of the Engine.IO layer.
pub(crate) const ENGINE_IO: &str = "sockeye::engineio";
/// The target of the Socket.IO layer.
pub(crate) const SOCKET_IO: &str = "sockeye::socketio";

/// What a connection is called in the log: part of its session's id, which nobody can complete.
pub(crate) struct Name<'a>(pub(crate) &'a Conn);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.key())
    }
}
