//! Packets in the forms of Engine.IO 3.
//!
//! Over WebSocket only attachments differ from version 4, so that a packet without any has the same bytes for all clients.
//! In polling payloads every packet differs, and in three ways, see [`Payload`].

use std::sync::OnceLock;

use bytes::Bytes;

use super::{MESSAGE, Parts, Prepared, base64_len, push_header};
use crate::eio::{packet::encode_binary_v3, payload_v3};
use crate::sio::parser::Message;
use crate::ws::Opcode;

/// How the packets of a polling payload are written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// As text, with attachments in base64.
    Text,
    /// As text, with attachments in base64 and JSON in ASCII: the same for clients of Socket.IO 1.x and 2.x, which
    /// disagree about anything else.
    Ascii,
    /// As octets, with attachments as they are.
    Octets,
}

/// What was built already; most packets need none of it.
#[derive(Debug, Default)]
pub(super) struct Forms {
    binary: OnceLock<Bytes>,
    base64: OnceLock<Bytes>,
    text: OnceLock<Bytes>,
    ascii: OnceLock<Bytes>,
    octets: OnceLock<Bytes>,
}

impl Prepared {
    fn v3(&self) -> &Forms {
        self.v3.get_or_init(Box::default)
    }

    /// [`Prepared::websocket`] for a client of Engine.IO 3; with `base64` its attachments are text frames. Built on first
    /// use.
    #[must_use]
    pub fn websocket_v3(&self, base64: bool) -> &Bytes {
        if !self.has_binary_message() {
            return self.websocket();
        }
        let form = if base64 { &self.v3().base64 } else { &self.v3().binary };
        form.get_or_init(|| {
            // About as much; base64 grows.
            let mut out = Vec::with_capacity(self.websocket().len() + 16);
            self.each_message(|message| match message {
                Part::Text(text) => {
                    push_header(&mut out, Opcode::Text, text.len());
                    out.extend_from_slice(text);
                }
                Part::Binary(data) => push_binary_frame(data, base64, &mut out),
            });
            out.shrink_to_fit();
            out.into()
        })
    }

    /// [`Prepared::polling`] for a client of Engine.IO 3. Payloads of several packets need nothing between them. Built on
    /// first use.
    #[must_use]
    pub fn polling_v3(&self, payload: Payload) -> &Bytes {
        let forms = self.v3();
        let form = match payload {
            Payload::Text => &forms.text,
            Payload::Ascii => &forms.ascii,
            Payload::Octets => &forms.octets,
        };
        // What another parser wrote may be no JSON.
        let payload = match payload {
            Payload::Ascii if !matches!(self.parts(), Parts::Json(_)) => Payload::Text,
            payload => payload,
        };
        form.get_or_init(|| {
            let mut out = Vec::with_capacity(self.websocket().len() + 16);
            self.each_message(|message| match message {
                Part::Text(text) => push_text(text, payload, &mut out),
                Part::Binary(data) => push_binary(data, payload, &mut out),
            });
            out.shrink_to_fit();
            out.into()
        })
    }

    /// Whether everything in the packet is ASCII text, so that all text payloads of it are the same.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        !self.has_binary_message() && self.polling_v3(Payload::Text).is_ascii()
    }

    /// Whether a message of the packet is binary.
    #[must_use]
    pub fn has_binary_message(&self) -> bool {
        match self.parts() {
            Parts::Json(_) => self.packet.has_binary(),
            Parts::Messages(messages) => messages.iter().any(|message| matches!(message, Message::Binary(_))),
        }
    }

    fn each_message(&self, mut each: impl FnMut(Part<'_>)) {
        match self.parts() {
            Parts::Json(text) => {
                let mut bytes = Vec::with_capacity(text.len);
                text.write(&mut bytes);
                each(Part::Text(&bytes));
                self.packet.attachments().iter().for_each(|data| each(Part::Binary(data)));
            }
            Parts::Messages(messages) => {
                for message in messages {
                    match message {
                        Message::Text(text) => each(Part::Text(&[&[MESSAGE], text.as_bytes()].concat())),
                        Message::Binary(data) => each(Part::Binary(data)),
                    }
                }
            }
        }
    }
}

/// One Engine.IO message of a packet.
enum Part<'a> {
    /// With its type.
    Text(&'a [u8]),
    /// Without.
    Binary(&'a [u8]),
}

/// Appends a binary message as a WebSocket frame.
pub fn push_binary_frame(data: &[u8], base64: bool, out: &mut Vec<u8>) {
    if base64 {
        push_header(out, Opcode::Text, 2 + base64_len(data));
        encode_binary_v3(data, out);
    } else {
        push_header(out, Opcode::Binary, 1 + data.len());
        out.push(4);
        out.extend_from_slice(data);
    }
}

/// Appends a binary message to a payload.
pub fn push_binary(data: &[u8], payload: Payload, out: &mut Vec<u8>) {
    match payload {
        Payload::Text | Payload::Ascii => payload_v3::push_base64(data, out),
        Payload::Octets => payload_v3::push_binary_octets(data, out),
    }
}

/// Appends the text of an Engine.IO packet with one recipient to a payload. Made ASCII, it has to be a Socket.IO packet with
/// JSON.
pub fn push_text(packet: &[u8], payload: Payload, out: &mut Vec<u8>) {
    if payload == Payload::Octets {
        return payload_v3::push_text_octets(packet, out);
    }
    // Every packet is text.
    let packet = std::str::from_utf8(packet).unwrap_or_default();
    if payload == Payload::Ascii && !packet.is_ascii() {
        payload_v3::push_text(&escape_json(packet), out);
    } else {
        payload_v3::push_text(packet, out);
    }
}

/// The text of a message with everything in its JSON that is not ASCII as `\u….`. A namespace is no JSON.
fn escape_json(packet: &str) -> String {
    let begin = match packet.find('/') {
        // `4`, the kind, perhaps the number of attachments, and the namespace up to the comma.
        Some(slash) if packet[..slash].bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => {
            packet[slash..].find(',').map_or(packet.len(), |comma| slash + comma)
        }
        _ => 0,
    };
    let mut escaped = String::with_capacity(packet.len() + packet.len() / 2);
    escaped.push_str(&packet[..begin]);
    for character in packet[begin..].chars() {
        if character.is_ascii() {
            escaped.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            escaped.push_str("\\u");
            for shift in [12, 8, 4, 0] {
                let digit = u32::from(*unit >> shift) & 15;
                escaped.extend(char::from_digit(digit, 16));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eio::payload_v3::{decode_octets, decode_text};
    use crate::prepared::Packet;
    use crate::sio::Binary;
    use crate::ws::write_frame;

    fn event(namespace: &str, args: impl crate::sio::IntoArgs) -> Prepared {
        Prepared::new(Packet::event(namespace.into(), "ev", args.into_args().unwrap(), None))
    }

    fn text(prepared: &Prepared, payload: Payload) -> &str {
        std::str::from_utf8(prepared.polling_v3(payload)).unwrap()
    }

    #[test]
    fn without_attachments_websockets_are_the_same_in_both_versions() {
        let packet = event("/", "é😀");
        for base64 in [false, true] {
            assert_eq!(packet.websocket_v3(base64).as_ptr(), packet.websocket().as_ptr());
        }
    }

    #[test]
    fn attachments_have_a_type() {
        // As recorded from socket.io 4.8 with a client of Socket.IO 2.
        let packet = event("/", (Binary::from(&b"\x01\x02\x03\xff"[..]), "é"));
        let head = "451-[\"ev\",{\"_placeholder\":true,\"num\":0},\"é\"]";
        let (mut binary, mut base64) = (Vec::new(), Vec::new());
        write_frame(&mut binary, Opcode::Text, head.as_bytes());
        write_frame(&mut binary, Opcode::Binary, b"\x04\x01\x02\x03\xff");
        write_frame(&mut base64, Opcode::Text, head.as_bytes());
        write_frame(&mut base64, Opcode::Text, b"b4AQID/w==");
        assert_eq!(packet.websocket_v3(false), &binary);
        assert_eq!(packet.websocket_v3(true), &base64);
        assert_eq!(text(&packet, Payload::Text), format!("44:{head}10:b4AQID/w=="));
        let mut octets = vec![0, 4, 5, 255];
        octets.extend_from_slice(head.as_bytes());
        octets.extend_from_slice(b"\x01\x05\xff\x04\x01\x02\x03\xff");
        assert_eq!(packet.polling_v3(Payload::Octets), &octets);
    }

    #[test]
    fn lengths_count_utf16_and_json_can_be_ascii() {
        let packet = event("/é[", "€😀");
        assert_eq!(text(&packet, Payload::Text), "18:42/é[,[\"ev\",\"€😀\"]");
        assert_eq!(text(&event("/n", "€😀"), Payload::Text), "17:42/n,[\"ev\",\"€😀\"]");
        assert_eq!(text(&event("/é", "€😀"), Payload::Ascii), "32:42/é,[\"ev\",\"\\u20ac\\ud83d\\ude00\"]");
        assert_eq!(text(&event("/", "a/é,"), Payload::Ascii), "20:42[\"ev\",\"a/\\u00e9,\"]");
        assert_eq!(text(&event("/", "ascii"), Payload::Ascii), text(&event("/", "ascii"), Payload::Text));
        assert!(event("/", "ascii").is_ascii() && !event("/", "é").is_ascii());
        assert!(!event("/", Binary::default()).is_ascii());
    }

    #[test]
    fn all_forms_say_the_same() {
        let packet =
            event("/näme", ("\u{1}é\u{ffff}😀\u{10ffff}", Binary::from(&b"xyz"[..]), Binary::default()));
        let read = |payload| {
            let bytes = packet.polling_v3(payload).clone();
            let pieces: Vec<String> = match payload {
                Payload::Octets => decode_octets(&bytes, 9)
                    .map(|piece| format!("{:?}", piece.unwrap().decode().unwrap()))
                    .collect(),
                _ => decode_text(std::str::from_utf8(&bytes).unwrap(), 9)
                    .map(|piece| format!("{:?}", piece.unwrap().decode().unwrap()))
                    .collect(),
            };
            pieces
        };
        assert_eq!(read(Payload::Text), read(Payload::Octets));
        assert_eq!(read(Payload::Text)[1..], read(Payload::Ascii)[1..]);
        let json = |payload| {
            let bytes = packet.polling_v3(payload);
            let first = decode_text(std::str::from_utf8(bytes).unwrap(), 9).next().unwrap().unwrap();
            let payload_v3::Piece::Text(first) = first else { panic!("text") };
            serde_json::from_str::<serde_json::Value>(&first[first.find('[').unwrap()..]).unwrap()
        };
        assert_eq!(json(Payload::Text), json(Payload::Ascii));
    }
}
