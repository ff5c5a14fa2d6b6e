//! One queued packet, in the form in which it waits.

use std::sync::Arc;

use bytes::Bytes;
use sockeye_proto::{
    prepared::{Packet, Prepared, binary_polling_len, encode_polling, push_binary_polling, v3},
    sio::{Parsers, parser::Message},
    ws::{Opcode, header},
};

use super::form::Form;

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
    /// A packet with one recipient is kept as its one message; if it has several it needs the frames of a shared one.
    pub(crate) fn single(packet: &Packet, parser: &Parsers) -> Self {
        if matches!(parser, Parsers::Json) && !packet.has_binary() && packet.compress {
            let mut text = Vec::new();
            encode_polling(packet, &mut text);
            return Self::Text(text.into());
        }
        Self::other(packet, parser)
    }

    #[inline(never)]
    fn other(packet: &Packet, parser: &Parsers) -> Self {
        if packet.compress && !matches!(parser, Parsers::Json) {
            let mut messages = parser.encode(packet);
            match messages.pop() {
                Some(Message::Text(text)) if messages.is_empty() => {
                    return Self::Text(format!("4{text}").into());
                }
                Some(Message::Binary(data)) if messages.is_empty() => return Self::Binary(data),
                _ => {}
            }
        }
        Self::Shared(Arc::new(Prepared::with_parser(packet.clone(), parser.clone())))
    }

    /// Whether an answer with this packet in it may be compressed. One that must not be is never kept as a mere text.
    pub(crate) fn wants_compression(&self) -> bool {
        match self {
            Self::Shared(packet) => packet.packet().compress,
            _ => true,
        }
    }

    pub(crate) fn websocket_len(&self, form: Form) -> usize {
        match self {
            Self::Shared(packet) => form.frames(packet).len(),
            Self::Text(text) => header(Opcode::Text, text.len()).1 + text.len(),
            Self::Binary(data) => form.binary_frame_len(data),
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

    /// How many Engine.IO packets this is to long-polling, and how many bytes of a payload.
    pub(crate) fn polling_size(&self) -> (usize, usize) {
        match self {
            Self::Shared(packet) => (packet.messages(), packet.polling().len()),
            Self::Text(text) => (1, text.len()),
            Self::Binary(data) => (1, binary_polling_len(data)),
            Self::Frame(_) => (0, 0),
        }
    }

    /// Appends those packets.
    pub(crate) fn write_polling(&self, out: &mut Vec<u8>) {
        match self {
            Self::Shared(packet) => out.extend_from_slice(packet.polling()),
            Self::Text(text) => out.extend_from_slice(text),
            Self::Binary(data) => push_binary_polling(data, out),
            Self::Frame(_) => {}
        }
    }

    /// Appends the WebSocket bytes from `skip` on.
    pub(crate) fn write_websocket(&self, form: Form, out: &mut Vec<u8>, skip: usize) {
        match self {
            Self::Shared(packet) => out.extend_from_slice(&form.frames(packet)[skip..]),
            Self::Text(text) => write_frame(Opcode::Text, text, out, skip),
            Self::Binary(data) => match form.binary_frame(data) {
                None => write_frame(Opcode::Binary, data, out, skip),
                Some(frame) => out.extend_from_slice(&frame[skip..]),
            },
            Self::Frame(frame) => out.extend_from_slice(&frame[skip..]),
        }
    }

    /// What a polling payload of Engine.IO 3 has to know before it is written.
    pub(super) fn polling_v3(&self) -> PollingV3 {
        match self {
            Self::Shared(packet) => PollingV3 {
                packets: packet.messages(),
                size: packet.len_hint() * 4 / 3,
                binary: packet.has_binary_message(),
                ascii: packet.is_ascii(),
            },
            Self::Text(text) => {
                PollingV3 { packets: 1, size: text.len(), binary: false, ascii: text.is_ascii() }
            }
            Self::Binary(data) => {
                PollingV3 { packets: 1, size: data.len() * 4 / 3, binary: true, ascii: false }
            }
            Self::Frame(_) => PollingV3 { packets: 0, size: 0, binary: false, ascii: true },
        }
    }

    /// Appends the packets to a polling payload of Engine.IO 3.
    pub(super) fn write_polling_v3(&self, payload: v3::Payload, out: &mut Vec<u8>) {
        match self {
            Self::Shared(packet) => out.extend_from_slice(packet.polling_v3(payload)),
            Self::Text(text) => v3::push_text(text, payload, out),
            Self::Binary(data) => v3::push_binary(data, payload, out),
            Self::Frame(_) => {}
        }
    }
}

/// What an item is to a polling payload of Engine.IO 3.
pub(super) struct PollingV3 {
    pub(super) packets: usize,
    /// About so many bytes.
    pub(super) size: usize,
    pub(super) binary: bool,
    pub(super) ascii: bool,
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
