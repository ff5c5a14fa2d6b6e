//! The form in which one connection's client takes packets.

use bytes::Bytes;
use sockeye_proto::{
    eio::payload_v3::Dialect,
    prepared::{
        Prepared,
        v3::{Payload, push_binary_frame},
    },
    ws::{Opcode, header},
};

/// How packets are written for a client. One comparison, for all clients of Engine.IO 4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    #[default]
    V4,
    V3 {
        /// The client takes binary messages as base64 only, on the transport that it has now.
        base64: bool,
        /// What is known of how it reads text payloads.
        dialect: Dialect,
    },
}

impl Form {
    /// The form after an upgrade: another transport may take binary messages otherwise.
    pub(crate) fn on_websocket(self, base64: bool) -> Self {
        match self {
            Self::V4 => Self::V4,
            Self::V3 { dialect, .. } => Self::V3 { base64, dialect },
        }
    }

    /// The WebSocket frames of a packet.
    pub(super) fn frames(self, packet: &Prepared) -> &Bytes {
        match self {
            Self::V4 => packet.websocket(),
            Self::V3 { base64, .. } => packet.websocket_v3(base64),
        }
    }

    /// The length of a binary message's frame.
    pub(super) fn binary_frame_len(self, data: &[u8]) -> usize {
        let payload = match self {
            Self::V4 => data.len(),
            Self::V3 { base64: false, .. } => 1 + data.len(),
            Self::V3 { base64: true, .. } => 2 + data.len().div_ceil(3) * 4,
        };
        header(Opcode::Binary, payload).1 + payload
    }

    /// A binary message's frame, where it is not simply the message.
    pub(super) fn binary_frame(self, data: &[u8]) -> Option<Vec<u8>> {
        let Self::V3 { base64, .. } = self else { return None };
        let mut frame = Vec::new();
        push_binary_frame(data, base64, &mut frame);
        Some(frame)
    }

    /// How to write a polling payload for this client of Engine.IO 3, given what is in it.
    ///
    /// Of JSON that is not ASCII nobody knows in which way the client reads it before it has written some itself, so it is
    /// sent in a form that can be read in one way only. (python-engineio's old client counts the characters of text
    /// payloads differently from all others, but not those of octets.)
    pub(super) fn payload(self, binary: bool, ascii: bool) -> Payload {
        match self {
            Self::V4 => Payload::Text,
            Self::V3 { base64: false, .. } if binary => Payload::Octets,
            Self::V3 { dialect: Dialect::Plain, .. } => Payload::Text,
            Self::V3 { .. } if ascii => Payload::Text,
            Self::V3 { base64: false, .. } => Payload::Octets,
            Self::V3 { base64: true, .. } => Payload::Ascii,
        }
    }
}
