//! Engine.IO 4 and 3: packets, polling payloads, requests, and the state of one session.
//!
//! The rules are those of the [Engine.IO protocol], and where it leaves something open those of the JavaScript server
//! (version 6), because every client in use was tested against it.
//!
//! * [`packet`]: one packet in its text form
//! * [`payload`]: several packets in one polling body
//! * [`payload_v3`]: the same for Engine.IO 3, as text or as octets
//! * [`jsonp`]: what polling bodies are wrapped in for clients of Engine.IO 3 that load scripts
//! * [`request`]: what an HTTP request asks for, from its method and query
//! * [`session`]: heartbeat, upgrade and end of one session, without a clock
//!
//! [Engine.IO protocol]: https://socket.io/docs/v4/engine-io-protocol/

pub mod jsonp;
pub mod packet;
pub mod payload;
pub mod payload_v3;
pub mod request;
pub mod session;

pub use packet::Packet;
pub use payload::{decode_payload, encode_payload};
pub use request::{Method, Opening, Request, RequestError};
pub use session::{CloseReason, Due, Lane, Overlap, Session, Settings, Step, open_json};

/// The version of Engine.IO that a client speaks.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Version 3: Socket.IO clients 1.x and 2.x.
    V3,
    /// Version 4: Socket.IO clients from 3.x on.
    #[default]
    V4,
}

impl Protocol {
    /// The version as in queries and metrics, `3` or `4`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4 => "4",
        }
    }
}

/// How the packets of a session travel.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// HTTP long-polling: packets to the client answer a GET, packets from it are the body of a POST.
    Polling,
    /// One WebSocket connection.
    WebSocket,
}

impl TransportKind {
    /// The name of this transport in queries and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Polling => "polling",
            Self::WebSocket => "websocket",
        }
    }
}
