//! Packets to clients, and their bytes: built once for each transport, shared by all recipients.
//!
//! What is said here of bytes is Engine.IO 4; [`v3`] has the forms for older clients.

pub mod v3;

use std::borrow::Cow;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::id::SocketId;
use crate::name::NamespacePath;
use crate::sio::parser::{Message, Parsers};
use crate::sio::{Args, PacketKind, json};
use crate::ws::{self, Opcode};

/// What precedes a Socket.IO packet within Engine.IO: the packet type *message*.
const MESSAGE: u8 = b'4';
/// Between the packets of a polling payload.
const SEPARATOR: u8 = 0x1e;
/// What precedes base64 within a polling payload.
const BINARY: u8 = b'b';

/// A Socket.IO packet to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Its kind, of the binary sort when there are attachments.
    pub kind: PacketKind,
    /// The namespace that it belongs to.
    pub namespace: NamespacePath,
    /// The id of an acknowledgement, wanted or given.
    pub id: Option<u64>,
    /// The rest.
    pub body: Body,
    /// Whether the answer of long-polling that carries it may be compressed. It may, unless this is set to false.
    pub compress: bool,
}

/// What a packet says beyond its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    None,
    /// The text of one JSON value, for CONNECT and CONNECT_ERROR.
    Json(Bytes),
    /// An event.
    Event {
        /// Its name.
        name: Box<str>,
        /// Its arguments.
        args: Args,
    },
    /// An acknowledgement's arguments.
    Args(Args),
}

impl Packet {
    /// Tells a client that it is in a namespace, and its id there.
    #[must_use]
    pub fn connect(namespace: NamespacePath, sid: &SocketId) -> Self {
        let json = format!("{{\"sid\":\"{sid}\"}}").into();
        Self { kind: PacketKind::Connect, namespace, id: None, body: Body::Json(json), compress: true }
    }

    /// Tells a client of Engine.IO 3 that it is in a namespace. It makes its id there itself, see
    /// [`SocketId::legacy`](crate::id::SocketId::legacy).
    #[must_use]
    pub fn connect_v3(namespace: NamespacePath) -> Self {
        Self { kind: PacketKind::Connect, namespace, id: None, body: Body::None, compress: true }
    }

    /// Refuses a namespace. `json` is the text of a JSON object, `{"message":…}` and perhaps `"data":…`. (Clients of
    /// Engine.IO 3 get the data itself, or the message as a string.)
    #[must_use]
    pub fn connect_error(namespace: NamespacePath, json: impl Into<Bytes>) -> Self {
        Self {
            kind: PacketKind::ConnectError,
            namespace,
            id: None,
            body: Body::Json(json.into()),
            compress: true,
        }
    }

    /// Puts a client out of a namespace.
    #[must_use]
    pub fn disconnect(namespace: NamespacePath) -> Self {
        Self { kind: PacketKind::Disconnect, namespace, id: None, body: Body::None, compress: true }
    }

    /// An event; with an id the client is asked to acknowledge it.
    #[must_use]
    pub fn event(namespace: NamespacePath, name: impl Into<Box<str>>, args: Args, id: Option<u64>) -> Self {
        let kind = if args.has_binary() { PacketKind::BinaryEvent } else { PacketKind::Event };
        Self { kind, namespace, id, body: Body::Event { name: name.into(), args }, compress: true }
    }

    /// The acknowledgement of a client's event.
    #[must_use]
    pub fn ack(namespace: NamespacePath, id: u64, args: Args) -> Self {
        let kind = if args.has_binary() { PacketKind::BinaryAck } else { PacketKind::Ack };
        Self { kind, namespace, id: Some(id), body: Body::Args(args), compress: true }
    }

    /// The arguments of an event or an acknowledgement.
    #[must_use]
    pub fn args(&self) -> Option<&Args> {
        match &self.body {
            Body::None | Body::Json(_) => None,
            Body::Event { args, .. } | Body::Args(args) => Some(args),
        }
    }

    /// The name of an event.
    #[must_use]
    pub fn event_name(&self) -> Option<&str> {
        match &self.body {
            Body::Event { name, .. } => Some(name),
            Body::None | Body::Json(_) | Body::Args(_) => None,
        }
    }

    /// The packet as the default parser writes it, without what Engine.IO puts in front, and without its attachments.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        Text::new(self).write(&mut out);
        // Behind the packet type of Engine.IO.
        String::from_utf8(out.split_off(1)).unwrap_or_default()
    }

    /// Whether attachments follow the text.
    #[must_use]
    pub fn has_binary(&self) -> bool {
        matches!(self.kind, PacketKind::BinaryEvent | PacketKind::BinaryAck)
    }

    /// The attachments that follow the text.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        match &self.body {
            Body::None | Body::Json(_) => &[],
            Body::Event { args, .. } | Body::Args(args) => args.attachments(),
        }
    }
}

/// A packet for many recipients: `Arc<Prepared>` is what they share.
#[derive(Debug)]
pub struct Prepared {
    packet: Packet,
    parser: Parsers,
    /// Of other parsers than the default one, whose messages need not exist to be framed.
    messages: OnceLock<Vec<Message>>,
    websocket: OnceLock<Bytes>,
    polling: OnceLock<Bytes>,
    /// Boxed, because servers without clients of version 3 never need it.
    v3: OnceLock<Box<v3::Forms>>,
}

impl Prepared {
    /// A packet for the default parser. Nothing is built yet.
    #[must_use]
    pub const fn new(packet: Packet) -> Self {
        Self::with_parser(packet, Parsers::Json)
    }

    /// A packet for any parser. Nothing is built yet.
    #[must_use]
    pub const fn with_parser(packet: Packet, parser: Parsers) -> Self {
        Self {
            packet,
            parser,
            messages: OnceLock::new(),
            websocket: OnceLock::new(),
            polling: OnceLock::new(),
            v3: OnceLock::new(),
        }
    }

    /// The packet itself.
    #[must_use]
    pub const fn packet(&self) -> &Packet {
        &self.packet
    }

    /// How many messages of Engine.IO it consists of.
    #[must_use]
    pub fn messages(&self) -> usize {
        match &self.parser {
            Parsers::Json => 1 + self.packet.attachments().len(),
            other => self.encoded(other).len(),
        }
    }

    /// All WebSocket frames of the packet, with their headers. Built on first use.
    #[must_use]
    pub fn websocket(&self) -> &Bytes {
        self.websocket.get_or_init(|| {
            let mut out = Vec::new();
            self.parts().write_websocket(&mut out);
            out.into()
        })
    }

    /// All Engine.IO packets of the packet, joined as a polling payload joins them. Built on first use.
    #[must_use]
    pub fn polling(&self) -> &Bytes {
        self.polling.get_or_init(|| {
            let mut out = Vec::new();
            self.parts().write_polling(&mut out);
            out.into()
        })
    }

    /// How many bytes [`Prepared::websocket`] has, without building them.
    #[must_use]
    pub fn len_hint(&self) -> usize {
        self.websocket.get().map_or_else(|| self.parts().websocket_len(), Bytes::len)
    }

    fn parts(&self) -> Parts<'_> {
        match &self.parser {
            Parsers::Json => Parts::Json(Text::new(&self.packet)),
            other => Parts::Messages(self.encoded(other)),
        }
    }

    fn encoded(&self, parser: &Parsers) -> &[Message] {
        self.messages.get_or_init(|| parser.encode(&self.packet))
    }
}

/// Appends what [`Prepared::websocket`] would be for the default parser, for a packet with one recipient.
pub fn encode_websocket(packet: &Packet, out: &mut Vec<u8>) {
    Parts::Json(Text::new(packet)).write_websocket(out);
}

/// Appends what [`Prepared::polling`] would be for the default parser, for a packet with one recipient.
pub fn encode_polling(packet: &Packet, out: &mut Vec<u8>) {
    Parts::Json(Text::new(packet)).write_polling(out);
}

/// Appends a binary message as it stands in a polling payload.
pub fn push_binary_polling(data: &[u8], out: &mut Vec<u8>) {
    out.push(BINARY);
    let begin = out.len();
    out.resize(begin + base64_len(data), 0);
    // The slice is as long as padded base64 is.
    let _ = STANDARD.encode_slice(data, &mut out[begin..]);
}

/// How many bytes [`push_binary_polling`] appends.
#[must_use]
pub const fn binary_polling_len(data: &[u8]) -> usize {
    1 + base64_len(data)
}

const fn base64_len(data: &[u8]) -> usize {
    data.len().div_ceil(3) * 4
}

/// The Engine.IO messages of a packet.
enum Parts<'a> {
    /// A text and the packet's attachments.
    Json(Text<'a>),
    /// What another parser made.
    Messages(&'a [Message]),
}

impl Parts<'_> {
    fn websocket_len(&self) -> usize {
        let frame = |len: usize| ws::header(Opcode::Text, len).1 + len;
        match self {
            Parts::Json(text) => {
                let attachments = text.packet.attachments().iter();
                frame(text.len) + attachments.map(|bytes| frame(bytes.len())).sum::<usize>()
            }
            Parts::Messages(messages) => {
                let frames = messages.iter().map(|message| match message {
                    Message::Text(text) => frame(1 + text.len()),
                    Message::Binary(data) => frame(data.len()),
                });
                frames.sum()
            }
        }
    }

    fn polling_len(&self) -> usize {
        match self {
            Parts::Json(text) => {
                let attachments = text.packet.attachments().iter();
                text.len + attachments.map(|bytes| 1 + binary_polling_len(bytes)).sum::<usize>()
            }
            Parts::Messages(messages) => {
                let packets = messages.iter().map(|message| match message {
                    Message::Text(text) => 1 + text.len(),
                    Message::Binary(data) => binary_polling_len(data),
                });
                packets.sum::<usize>() + messages.len().saturating_sub(1)
            }
        }
    }

    fn write_websocket(&self, out: &mut Vec<u8>) {
        out.reserve_exact_if_empty(self.websocket_len());
        match self {
            Parts::Json(text) => {
                push_header(out, Opcode::Text, text.len);
                text.write(out);
                for attachment in text.packet.attachments() {
                    push_header(out, Opcode::Binary, attachment.len());
                    out.extend_from_slice(attachment);
                }
            }
            Parts::Messages(messages) => {
                for message in *messages {
                    match message {
                        Message::Text(text) => {
                            push_header(out, Opcode::Text, 1 + text.len());
                            out.push(MESSAGE);
                            out.extend_from_slice(text.as_bytes());
                        }
                        Message::Binary(data) => {
                            push_header(out, Opcode::Binary, data.len());
                            out.extend_from_slice(data);
                        }
                    }
                }
            }
        }
    }

    fn write_polling(&self, out: &mut Vec<u8>) {
        out.reserve_exact_if_empty(self.polling_len());
        match self {
            Parts::Json(text) => {
                text.write(out);
                for attachment in text.packet.attachments() {
                    out.push(SEPARATOR);
                    push_binary_polling(attachment, out);
                }
            }
            Parts::Messages(messages) => {
                for (index, message) in messages.iter().enumerate() {
                    if index > 0 {
                        out.push(SEPARATOR);
                    }
                    match message {
                        Message::Text(text) => {
                            out.push(MESSAGE);
                            out.extend_from_slice(text.as_bytes());
                        }
                        Message::Binary(data) => push_binary_polling(data, out),
                    }
                }
            }
        }
    }
}

trait Reserve {
    /// A buffer of its own has the exact size, so that it becomes [`Bytes`] as it is; one that collects packets grows
    /// as vectors do.
    fn reserve_exact_if_empty(&mut self, additional: usize);
}

impl Reserve for Vec<u8> {
    fn reserve_exact_if_empty(&mut self, additional: usize) {
        if self.is_empty() { self.reserve_exact(additional) } else { self.reserve(additional) }
    }
}

fn push_header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    let (header, used) = ws::header(opcode, len);
    out.extend_from_slice(&header[..used]);
}

/// The text of a packet, measured and ready to be written.
struct Text<'a> {
    packet: &'a Packet,
    /// The event's name as JSON, without quotes.
    name: Cow<'a, str>,
    len: usize,
}

impl<'a> Text<'a> {
    fn new(packet: &'a Packet) -> Self {
        let mut text = Text { packet, name: Cow::Borrowed(""), len: 2 };
        if packet.kind.is_binary() {
            text.len += decimal_len(packet.attachments().len() as u64) + 1;
        }
        if !packet.namespace.is_root() {
            text.len += packet.namespace.len() + 1;
        }
        text.len += packet.id.map_or(0, decimal_len);
        text.len += match &packet.body {
            Body::None => 0,
            Body::Json(json) => json.len(),
            Body::Args(args) => args.json_bytes().len(),
            Body::Event { name, args } => {
                text.name = escaped(name);
                // The bracket in front of the arguments becomes the comma behind the name.
                text.name.len() + if args.is_empty() { 4 } else { 3 + args.json_bytes().len() }
            }
        };
        text
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Packet { kind, namespace, id, body, .. } = self.packet;
        out.extend_from_slice(&[MESSAGE, kind.digit()]);
        if kind.is_binary() {
            push_decimal(out, self.packet.attachments().len() as u64);
            out.push(b'-');
        }
        if !namespace.is_root() {
            out.extend_from_slice(namespace.as_bytes());
            out.push(b',');
        }
        if let Some(id) = id {
            push_decimal(out, *id);
        }
        match body {
            Body::None => {}
            Body::Json(json) => out.extend_from_slice(json),
            Body::Args(args) => out.extend_from_slice(args.json_bytes()),
            Body::Event { args, .. } => {
                out.extend_from_slice(b"[\"");
                out.extend_from_slice(self.name.as_bytes());
                if args.is_empty() {
                    out.extend_from_slice(b"\"]");
                } else {
                    out.extend_from_slice(b"\",");
                    out.extend_from_slice(&args.json_bytes()[1..]);
                }
            }
        }
    }
}

fn escaped(name: &str) -> Cow<'_, str> {
    if json::plain_run(name.as_bytes(), 0) == name.len() {
        return Cow::Borrowed(name);
    }
    // Text always becomes JSON.
    let quoted = serde_json::to_string(name).unwrap_or_else(|_| "\"\"".to_owned());
    Cow::Owned(quoted[1..quoted.len() - 1].to_owned())
}

fn decimal_len(number: u64) -> usize {
    number.checked_ilog10().unwrap_or(0) as usize + 1
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sio::{Binary, IntoArgs as _};

    fn polling(packet: Packet) -> String {
        String::from_utf8(Prepared::new(packet).polling().to_vec()).unwrap()
    }

    fn root() -> NamespacePath {
        NamespacePath::root()
    }

    #[test]
    fn packets_have_the_text_of_the_protocol() {
        let chat = || NamespacePath::from("/chat");
        let sid = SocketId::from_random([0; 15]);
        let event = |name, args, id| polling(Packet::event(root(), name, args, id));
        assert_eq!(polling(Packet::connect(root(), &sid)), "40{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\"}");
        assert_eq!(polling(Packet::connect(chat(), &sid)), "40/chat,{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\"}");
        assert_eq!(polling(Packet::connect_v3(root())), "40");
        assert_eq!(polling(Packet::connect_v3(chat())), "40/chat,");
        assert_eq!(polling(Packet::connect_error(root(), "{\"message\":\"no\"}")), "44{\"message\":\"no\"}");
        assert_eq!(polling(Packet::disconnect(root())), "41");
        assert_eq!(polling(Packet::disconnect(chat())), "41/chat,");
        assert_eq!(event("ev", Args::empty(), None), "42[\"ev\"]");
        assert_eq!(event("ev", (1, "a").into_args().unwrap(), Some(0)), "420[\"ev\",1,\"a\"]");
        assert_eq!(
            event("\"\n", 1.into_args().unwrap(), Some(u64::MAX)),
            "4218446744073709551615[\"\\\"\\n\",1]"
        );
        assert_eq!(polling(Packet::ack(chat(), 10, Args::empty())), "43/chat,10[]");
        let binary = (Binary::from(&b"\x01\x02\xff"[..]), Binary::default()).into_args().unwrap();
        assert_eq!(
            event("ev", binary.clone(), None),
            "452-[\"ev\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]\u{1e}bAQL/\u{1e}b"
        );
        assert!(polling(Packet::ack(chat(), 7, binary)).starts_with("462-/chat,7[{"));
        let spaced = Args::from_parts(Bytes::from_static(b"[ ]"), vec![]).unwrap();
        assert_eq!(event("ev", spaced, None), "42[\"ev\"]");
    }

    #[test]
    fn websocket_bytes_are_whole_frames_of_the_exact_size() {
        let args = ("x".repeat(200), Binary(vec![7; 70_000].into())).into_args().unwrap();
        for packet in [
            Packet::disconnect(root()),
            Packet::event("/n".into(), "é\u{1}", args.clone(), Some(12)),
            Packet::ack(root(), 3, args),
        ] {
            let prepared = Prepared::new(packet.clone());
            let hint = prepared.len_hint();
            let mut alone = Vec::new();
            encode_websocket(&packet, &mut alone);
            assert_eq!((alone.capacity(), alone.len()), (hint, hint));
            assert_eq!(prepared.websocket(), &alone);
            assert_eq!(prepared.len_hint(), hint);
            let mut polling = Vec::new();
            encode_polling(&packet, &mut polling);
            assert_eq!(polling.capacity(), polling.len());
            let mut behind = vec![1];
            encode_websocket(&packet, &mut behind);
            assert_eq!(behind[1..], alone);

            let text_len = polling.split(|byte| *byte == SEPARATOR).next().unwrap().len();
            let (header, used) = ws::header(Opcode::Text, text_len);
            assert_eq!(alone[..used], header[..used]);
            assert_eq!(alone[used..used + text_len], polling[..text_len]);
            let rest = &alone[used + text_len..];
            match packet.attachments() {
                [] => assert!(rest.is_empty()),
                [attachment] => {
                    let mut frame = Vec::new();
                    ws::write_frame(&mut frame, Opcode::Binary, attachment);
                    assert_eq!(rest, frame);
                }
                _ => unreachable!(),
            }
        }
    }
}
