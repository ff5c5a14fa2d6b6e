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
            Self::Frame(frame) => frame.len(),
        }
    }

    /// What the packet counts against the bounds, in bytes.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Shared(packet) => packet.len_hint(),
            Self::Text(text) => text.len(),
            Self::Frame(frame) => frame.len(),
        }
    }

    /// Appends the WebSocket bytes from `skip` on.
    pub(crate) fn write_websocket(&self, out: &mut Vec<u8>, skip: usize) {
        match self {
            Self::Shared(packet) => out.extend_from_slice(&packet.websocket()[skip..]),
            Self::Text(text) => {
                let (head, used) = header(Opcode::Text, text.len());
                if skip < used {
                    out.extend_from_slice(&head[skip..used]);
                    out.extend_from_slice(text);
                } else {
                    out.extend_from_slice(&text[skip - used..]);
                }
            }
            Self::Frame(frame) => out.extend_from_slice(&frame[skip..]),
        }
    }
}
