//! Why a socket was disconnected.

use std::fmt;

use sockeye_proto::eio::session::CloseReason;

/// Why a socket was disconnected. [`as_str`](Self::as_str) gives the names of the JavaScript server's documentation, and
/// `slow`, which is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The client left the namespace.
    ClientNamespaceDisconnect,
    /// The application disconnected the socket.
    ServerNamespaceDisconnect,
    /// The client did not answer a heartbeat in time.
    PingTimeout,
    /// The client closed the connection, or it broke without an error.
    TransportClose,
    /// The connection broke with an error.
    TransportError,
    /// The client sent what is no Engine.IO packet.
    ParseError,
    /// The server closed the connection: a packet that is no Socket.IO, no namespace joined in time, a second transport.
    ForcedClose,
    /// The application closed the whole connection.
    ForcedServerClose,
    /// The node is going down; the client reconnects to another.
    ServerShuttingDown,
    /// The client did not read what was sent to it and the queue reached its bound.
    Slow,
}

impl DisconnectReason {
    /// All of them, for metrics.
    pub(crate) const ALL: [Self; 10] = [
        Self::ClientNamespaceDisconnect,
        Self::ServerNamespaceDisconnect,
        Self::PingTimeout,
        Self::TransportClose,
        Self::TransportError,
        Self::ParseError,
        Self::ForcedClose,
        Self::ForcedServerClose,
        Self::ServerShuttingDown,
        Self::Slow,
    ];

    /// The documented name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ForcedServerClose => "forced server close",
            Self::ServerShuttingDown => "server shutting down",
            Self::Slow => "slow",
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::PingTimeout => Self::PingTimeout,
            CloseReason::TransportClose => Self::TransportClose,
            CloseReason::TransportError => Self::TransportError,
            CloseReason::ParseError => Self::ParseError,
            CloseReason::ServerShutdown => Self::ServerShuttingDown,
            _ => Self::ForcedClose,
        }
    }
}
