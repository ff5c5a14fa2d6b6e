//! Options of the transports: Engine.IO.

use std::{sync::Arc, time::Duration};

use sockeye_proto::eio::TransportKind;

use super::ServerBuilder;
use crate::engineio::{self, Mounted};

impl ServerBuilder {
    /// Serves clients of Engine.IO alone, without Socket.IO, at a path of their own, with the same heartbeats, limits, origins
    /// and transports.
    ///
    /// ```
    /// use sockeye::{Server, engineio::{Client, Message}};
    ///
    /// let builder = Server::builder().engine_io("/engine.io/", |endpoint| {
    ///     endpoint
    ///         .on_open(async |client: Client| {
    ///             client.send("hello");
    ///         })
    ///         .on_message(async |client: Client, message: Message| {
    ///             client.send(message);
    ///         })
    /// });
    /// ```
    pub fn engine_io(
        mut self,
        path: impl Into<String>,
        register: impl FnOnce(engineio::Endpoint) -> engineio::Endpoint,
    ) -> Self {
        let endpoint = Arc::new(register(engineio::Endpoint::default()));
        self.raw.push(Mounted { path: path.into(), endpoint });
        self
    }

    /// The Engine.IO path; `/socket.io/` if not said.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// How often a client is sent a heartbeat; 25 s if not said.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.settings.ping_interval = interval;
        self
    }

    /// How long a client may take to answer a heartbeat; 20 s if not said.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ping_timeout = timeout;
        self
    }

    /// How long a client may take to join its first namespace; 45 s if not said.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a move from long-polling to WebSocket may take; 10 s if not said.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.settings.upgrade_timeout = timeout;
        self
    }

    /// Whether clients may move from long-polling to WebSocket; true if not said.
    pub fn allow_upgrades(mut self, allow: bool) -> Self {
        self.settings.allow_upgrades = allow;
        self
    }

    /// Whether clients of Engine.IO 3 are served, too: those of Socket.IO 1.x and 2.x (`allowEIO3` of the JavaScript
    /// server). False if not said; they are refused with `Unsupported protocol version` then.
    ///
    /// Handlers need not know: [`Socket::protocol`](crate::Socket::protocol) tells. What is different for these clients:
    /// the server lets them into `/` by itself; what others bring as an auth object, they say in the query of the URL, or
    /// behind the namespace; and they make their socket ids of their session's id, so that whoever is told such an id
    /// can take the session over while it uses long-polling. That is how their protocol is.
    ///
    /// ```
    /// use sockeye::Server;
    ///
    /// let builder = Server::builder().allow_eio3(true);
    /// ```
    pub fn allow_eio3(mut self, allow: bool) -> Self {
        self.eio3 = allow;
        self
    }

    /// The transports that are served; both if not said.
    pub fn transports(mut self, transports: impl Into<Vec<TransportKind>>) -> Self {
        self.transports = transports.into();
        self
    }

    /// The largest message that a client may send, in bytes, on both transports; 1,000,000 if not said.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.settings.max_payload = bytes;
        self.limits.max_payload = bytes;
        self
    }
}
