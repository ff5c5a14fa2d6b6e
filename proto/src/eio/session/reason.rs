//! Why sessions end.

/// Why a session ended, in JavaScript's words where it has some.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The client did not answer a ping in time.
    PingTimeout,
    /// The client closed the transport or said that it leaves.
    TransportClose,
    /// The transport failed, or the client broke its rules (overlapping polls, a heartbeat in the wrong direction).
    TransportError,
    /// The client sent something that is no packet.
    ParseError,
    /// This server closed the connection.
    ForcedClose,
    /// This server is going down.
    ServerShutdown,
    /// The client did not take what was sent to it.
    Slow,
}

impl CloseReason {
    /// The word that handlers, logs and metrics get.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PingTimeout => "ping timeout",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::ParseError => "parse error",
            Self::ForcedClose => "forced close",
            Self::ServerShutdown => "server shutting down",
            Self::Slow => "slow",
        }
    }
}
