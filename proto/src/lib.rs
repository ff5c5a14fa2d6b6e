//! The protocols of Sockeye, pure: Engine.IO, Socket.IO, WebSocket framing and the bus envelopes.
//!
//! Nothing in here reads a clock, a socket or the environment: bytes and times come in, values come out. That is
//! what makes every rule of the protocols testable on virtual time and open to fuzzing.
//!
//! # Map of this crate
//!
//! * [`time`]: milliseconds since an origin that the caller chose
//! * [`error`]: what can be wrong with bytes from outside, one small enum for all decoders
//! * [`limits`]: how much of everything one client may send
//! * [`id`]: of nodes, sockets, sessions and requests
//! * [`name`]: of namespaces and rooms
//! * [`eio`]: Engine.IO 4 and 3: packets, polling payloads, requests, the session
//! * [`ws`]: the server's side of WebSocket framing
//! * [`sio`]: Socket.IO 5: packets, arguments, attachments, namespaces
//! * [`query`]: query strings as JSON
//! * [`prepared`]: packets to clients, encoded once for all recipients
//! * [`proxy`]: the PROXY protocol, which load balancers speak before HTTP begins
//! * [`bus`]: messages between nodes and from emitters

pub mod bus;
pub mod eio;
pub mod error;
pub mod id;
pub mod limits;
pub mod name;
pub mod prepared;
pub mod proxy;
pub mod query;
pub mod sio;
pub mod time;
pub mod ws;

pub use error::{DecodeError, Layer};
pub use limits::Limits;
pub use time::Time;
