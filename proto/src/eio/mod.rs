//! Engine.IO 4: packets, polling payloads, requests, and the state of one session.
//!
//! The rules are those of the [Engine.IO protocol], and where it leaves something open those of the JavaScript server
//! (version 6), because every client in use was tested against it.
//!
//! * [`packet`]: one packet in its text form
//! * [`payload`]: several packets in one polling body
//! * [`request`]: what an HTTP request asks for, from its method and query
//! * [`session`]: heartbeat, upgrade and end of one session, without a clock
//!
//! [Engine.IO protocol]: https://socket.io/docs/v4/engine-io-protocol/

pub mod packet;
pub mod payload;
pub mod request;
pub mod session;

pub use packet::Packet;
pub use payload::{decode_payload, encode_payload};
pub use request::{Method, Request, RequestError};
pub use session::{CloseReason, Due, Lane, Overlap, Session, Settings, Step, open_json};

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
