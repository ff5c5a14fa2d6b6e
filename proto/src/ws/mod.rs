//! The server's side of WebSocket framing (RFC 6455), without extensions.
//!
//! Frames to clients are not masked, so that the same bytes serve any number of them ([`encode`]). Frames from clients
//! are decoded out of the buffer they were read into, with memory of their own only for what is incomplete
//! ([`decode`]). The opening handshake is HTTP's and not dealt with here.

pub mod decode;
pub mod encode;
mod header;
mod partial;

pub use decode::{Decoder, Flow, Frame};
pub use encode::{close_frame, header, write_frame};

/// What a frame is.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// The closing handshake.
    Close = 8,
    /// A question that a [`Opcode::Pong`] with the same payload answers.
    Ping = 9,
    /// The answer to a ping, or a sign of life nobody asked for.
    Pong = 10,
}

impl Opcode {
    /// The opcode with this number; none if the number is reserved.
    #[must_use]
    pub fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether frames of this kind may come between the fragments of a message and may not be fragmented themselves.
    #[must_use]
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// The longest payload of a control frame, in bytes.
pub const MAX_CONTROL: usize = 125;

/// How many fragments of one message may be empty. Others are bounded by the payload limit.
pub const MAX_EMPTY_FRAGMENTS: u16 = 256;

#[cfg(test)]
mod tests;
