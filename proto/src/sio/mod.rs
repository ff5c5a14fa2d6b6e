//! Socket.IO 5: packets, their arguments, attachments, and which namespaces a connection joined.
//!
//! * [`args`]: arguments as raw JSON text and attachments; `read` gives them to serde, [`into_args`] takes them from it
//! * [`binary`]: how binary travels inside serde values
//! * [`value`]: any argument
//! * [`json`]: the validator and scanner of JSON texts
//! * `header`: the part of a packet in front of its JSON
//! * [`assembler`]: a packet's text and attachments become one thing
//! * [`msgpack`]: packets in the format of `socket.io-msgpack-parser`
//! * [`parser`]: the choice among these formats, and others
//! * [`mux`]: which namespaces a connection joined

pub mod args;
pub mod assembler;
pub mod binary;
mod header;
pub mod into_args;
pub mod json;
pub mod msgpack;
pub mod mux;
pub mod parser;
mod read;
pub mod value;

pub use args::{Args, ArgsError};
pub use assembler::{Assembler, Inbound};
pub use binary::Binary;
pub use header::RESERVED;
pub use into_args::{Data, IntoArgs, Spread};
pub use mux::{Mux, MuxError, Ticket};
pub use parser::{Parser, Parsers};
pub use value::Value;

/// The kind of a Socket.IO packet, as on the wire.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PacketKind {
    /// A client joins a namespace, or the server says that it did.
    Connect = 0,
    /// One side leaves a namespace.
    Disconnect = 1,
    /// An event, perhaps with an id to acknowledge.
    Event = 2,
    /// The acknowledgement of an event.
    Ack = 3,
    /// The server refuses a namespace.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// An acknowledgement with attachments.
    BinaryAck = 6,
}

impl PacketKind {
    /// The kind of this digit, `b'0'` to `b'6'`.
    #[must_use]
    pub const fn from_digit(digit: u8) -> Option<Self> {
        Some(match digit {
            b'0' => Self::Connect,
            b'1' => Self::Disconnect,
            b'2' => Self::Event,
            b'3' => Self::Ack,
            b'4' => Self::ConnectError,
            b'5' => Self::BinaryEvent,
            b'6' => Self::BinaryAck,
            _ => return None,
        })
    }

    /// Its digit on the wire.
    #[must_use]
    pub const fn digit(self) -> u8 {
        b'0' + self as u8
    }

    /// Whether attachments follow packets of this kind.
    #[must_use]
    pub const fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }

    /// A short fixed name, for metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect => "disconnect",
            Self::Event => "event",
            Self::Ack => "ack",
            Self::ConnectError => "connect_error",
            Self::BinaryEvent => "binary_event",
            Self::BinaryAck => "binary_ack",
        }
    }
}

#[cfg(test)]
mod args_tests;
#[cfg(test)]
mod assembler_tests;
