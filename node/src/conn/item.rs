//! One queued packet, in the form in which it waits.

use std::sync::Arc;

use bytes::Bytes;
use sockeye_proto::{
    prepared::{Packet, Prepared, encode_polling},
    ws::{Opcode, header},
};

/// One queued Engine.IO message.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A packet that is shared with other recipients, framed once for all of them.
    Shared(Arc<Prepared>),
    /// The text of one Engine.IO packet that only this client gets.
    Text(Bytes),
    /// A binary message that only this client gets.
    Binary(Bytes),
    /// A WebSocket control frame, complete. Means nothing to long-polling.
    Frame(Bytes),
}

impl Item {
    /// A packet with one recipient is kept as text; with attachments it needs the frames of a shared one.
    pub(crate) fn single(packet: &Packet) -> Self {
        if packet.has_binary() {
            return Self::Shared(Arc::new(Prepared::new(packet.clone())));
        }
        let mut text = Vec::new();
        encode_polling(packet, &mut text);
        Self::Text(text.into())
    }

    pub(crate) fn websocket_len(&self) -> usize {
        match self {
            Self::Shared(packet) => packet.websocket().len(),
            Self::Text(text) => header(Opcode::Text, text.len()).1 + text.len(),
            Self::Binary(data) => header(Opcode::Binary, data.len()).1 + data.len(),
            Self::Frame(frame) => frame.len(),
        }
    }

    /// What the packet counts against the bounds, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Shared(packet) => packet.len_hint(),
            Self::Text(bytes) | Self::Binary(bytes) | Self::Frame(bytes) => bytes.len(),
        }
    }

    /// Appends the WebSocket bytes from `skip` on.
    pub(crate) fn write_websocket(&self, out: &mut Vec<u8>, skip: usize) {
        match self {
            Self::Shared(packet) => out.extend_from_slice(&packet.websocket()[skip..]),
            Self::Text(text) => write_frame(Opcode::Text, text, out, skip),
            Self::Binary(data) => write_frame(Opcode::Binary, data, out, skip),
            Self::Frame(frame) => out.extend_from_slice(&frame[skip..]),
        }
    }
}

/// Appends one frame from `skip` on.
fn write_frame(opcode: Opcode, payload: &[u8], out: &mut Vec<u8>, skip: usize) {
    let (head, used) = header(opcode, payload.len());
    if skip < used {
        out.extend_from_slice(&head[skip..used]);
        out.extend_from_slice(payload);
    } else {
        out.extend_from_slice(&payload[skip - used..]);
    }
}
