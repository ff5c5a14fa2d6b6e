//! One Engine.IO packet.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::DecodeError;

/// Padding may be missing and stray bits behind the last byte are ignored, as in every JavaScript decoder.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// One Engine.IO packet, borrowed from the text it was read from.
///
/// Over WebSocket a [`Packet::Binary`] is a binary frame of its own without any prefix; the text form with `b` and
/// base64 exists in polling payloads only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// `0`: the handshake, from the server; JSON text.
    Open(&'a str),
    /// `1`: the session ends.
    Close,
    /// `2`: the heartbeat's question, or `2probe` on a transport to upgrade to.
    Ping(&'a str),
    /// `3`: the heartbeat's answer, or `3probe`.
    Pong(&'a str),
    /// `4`: a text message.
    Message(Cow<'a, str>),
    /// `b`: a binary message.
    Binary(Cow<'a, [u8]>),
    /// `5`: the transport that was probed becomes the session's.
    Upgrade,
    /// `6`: nothing; ends a pending GET.
    Noop,
}

impl<'a> Packet<'a> {
    /// Reads one packet from its text form. Text behind a type that carries none is ignored, as the JavaScript server
    /// does.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPacket`], [`DecodeError::UnknownPacket`], [`DecodeError::BadBase64`].
    #[inline]
    pub fn decode_text(text: &'a str) -> Result<Self, DecodeError> {
        let Some(kind) = text.as_bytes().first() else { return Err(DecodeError::EmptyPacket) };
        // None only behind the first byte of a longer character, which is no packet type.
        let data = text.get(1..).unwrap_or_default();
        match kind {
            b'4' => Ok(Self::Message(Cow::Borrowed(data))),
            b'3' => Ok(Self::Pong(data)),
            b'2' => Ok(Self::Ping(data)),
            b'b' => decode_base64(data),
            b'0' => Ok(Self::Open(data)),
            b'1' => Ok(Self::Close),
            b'5' => Ok(Self::Upgrade),
            b'6' => Ok(Self::Noop),
            _ => Err(DecodeError::UnknownPacket),
        }
    }

    /// Reads one packet from the text form of Engine.IO 3, where base64 has a type of its own: `b4AQID`.
    ///
    /// # Errors
    /// As [`Packet::decode_text`]; base64 of another type than a message is [`DecodeError::UnknownPacket`].
    #[inline]
    pub fn decode_text_v3(text: &'a str) -> Result<Self, DecodeError> {
        match text.as_bytes() {
            [b'b', b'4', ..] => decode_base64(&text[2..]),
            [b'b', ..] => Err(DecodeError::UnknownPacket),
            _ => Self::decode_text(text),
        }
    }

    /// Reads one packet from the binary form of Engine.IO 3, a WebSocket frame or a part of a polling body: the type as a
    /// number, then the data. Only messages are sent in it.
    ///
    /// # Errors
    /// [`DecodeError::EmptyPacket`], [`DecodeError::UnknownPacket`].
    #[inline]
    pub fn decode_binary_v3(data: &'a [u8]) -> Result<Self, DecodeError> {
        match data {
            [] => Err(DecodeError::EmptyPacket),
            [4, data @ ..] => Ok(Self::Binary(Cow::Borrowed(data))),
            _ => Err(DecodeError::UnknownPacket),
        }
    }

    /// Appends the text form of this packet to `out`; a binary message becomes `b` and its base64.
    pub fn encode_text(&self, out: &mut Vec<u8>) {
        let (kind, data) = match self {
            Self::Open(json) => (b'0', *json),
            Self::Close => (b'1', ""),
            Self::Ping(data) => (b'2', *data),
            Self::Pong(data) => (b'3', *data),
            Self::Message(text) => (b'4', &**text),
            Self::Upgrade => (b'5', ""),
            Self::Noop => (b'6', ""),
            Self::Binary(data) => return encode_binary(data, out),
        };
        out.reserve(1 + data.len());
        out.push(kind);
        out.extend_from_slice(data.as_bytes());
    }

    /// The name of this packet's type, for logs and metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Close => "close",
            Self::Ping(_) => "ping",
            Self::Pong(_) => "pong",
            Self::Message(_) => "message",
            Self::Binary(_) => "binary",
            Self::Upgrade => "upgrade",
            Self::Noop => "noop",
        }
    }

    /// How many bytes its content has, the type and base64 not counted.
    #[must_use]
    pub fn content_len(&self) -> usize {
        match self {
            Self::Open(text) | Self::Ping(text) | Self::Pong(text) => text.len(),
            Self::Message(text) => text.len(),
            Self::Binary(data) => data.len(),
            Self::Close | Self::Upgrade | Self::Noop => 0,
        }
    }
}

/// Appends a binary message as polling carries it: `b` and the base64 of `data`.
pub fn encode_binary(data: &[u8], out: &mut Vec<u8>) {
    out.push(b'b');
    encode_base64(data, out);
}

/// Appends a binary message as Engine.IO 3 carries it where there is only text: `b4` and the base64 of `data`.
pub fn encode_binary_v3(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"b4");
    encode_base64(data, out);
}

fn encode_base64(data: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    let room = base64::encoded_len(data.len(), true).unwrap_or_default();
    out.resize(start + room, 0);
    // Cannot fail: the slice has exactly the length that was computed for it.
    let written = BASE64.encode_slice(data, &mut out[start..]).unwrap_or_default();
    out.truncate(start + written);
}

/// The binary message that base64 stands for. The Java client breaks it into lines, which JavaScript's decoders ignore.
fn decode_base64(text: &str) -> Result<Packet<'static>, DecodeError> {
    let decoded = BASE64.decode(text).or_else(|error| {
        if !text.bytes().any(|byte| byte.is_ascii_whitespace()) {
            return Err(error);
        }
        BASE64.decode(text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>())
    });
    decoded.map(|bytes| Packet::Binary(Cow::Owned(bytes))).map_err(|_| DecodeError::BadBase64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_may_be_broken_into_lines() {
        for text in ["bAQID\n", "bAQ\r\nID", "bAQID"] {
            assert_eq!(Packet::decode_text(text), Ok(Packet::Binary(Cow::Borrowed(&[1, 2, 3]))), "{text:?}");
        }
        for text in ["bAQI*\n", "bAQIDA\n"] {
            assert_eq!(Packet::decode_text(text), Err(DecodeError::BadBase64), "{text:?}");
        }
    }

    fn text(packet: &Packet<'_>) -> String {
        let mut out = Vec::new();
        packet.encode_text(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_type_has_its_digit() {
        for (packet, form) in [
            (Packet::Open("{}"), "0{}"),
            (Packet::Close, "1"),
            (Packet::Ping("probe"), "2probe"),
            (Packet::Pong("probe"), "3probe"),
            (Packet::Message("2[\"ä\"]".into()), "42[\"ä\"]"),
            (Packet::Binary(vec![1, 2, 3, 255].into()), "bAQID/w=="),
            (Packet::Upgrade, "5"),
            (Packet::Noop, "6"),
        ] {
            assert_eq!(text(&packet), form);
            assert_eq!(Packet::decode_text(form), Ok(packet));
        }
    }

    #[test]
    fn refuses_what_is_no_packet() {
        assert_eq!(Packet::decode_text(""), Err(DecodeError::EmptyPacket));
        for text in ["7", "9abc", "abc", "é4", "\u{0}", " 4", "😀"] {
            assert_eq!(Packet::decode_text(text), Err(DecodeError::UnknownPacket), "{text:?}");
        }
        for text in ["b*", "bA", "bAQ=ID", "b====", "bé"] {
            assert_eq!(Packet::decode_text(text), Err(DecodeError::BadBase64), "{text:?}");
        }
    }

    #[test]
    fn version_three_gives_binary_a_type() {
        let binary = |data: &[u8]| Ok(Packet::Binary(data.to_vec().into()));
        assert_eq!(Packet::decode_text_v3("b4AQID/w=="), binary(&[1, 2, 3, 255]));
        assert_eq!(Packet::decode_text_v3("b4"), binary(&[]));
        assert_eq!(Packet::decode_text_v3("42[]"), Ok(Packet::Message("2[]".into())));
        assert_eq!(Packet::decode_binary_v3(&[4, 1, 2]), binary(&[1, 2]));
        assert_eq!(Packet::decode_binary_v3(&[4]), binary(&[]));
        for text in ["b", "bAQID", "b2", "bé"] {
            assert_eq!(Packet::decode_text_v3(text), Err(DecodeError::UnknownPacket), "{text}");
        }
        for data in [&[2][..], b"4", &[5, 4], &[255]] {
            assert_eq!(Packet::decode_binary_v3(data), Err(DecodeError::UnknownPacket), "{data:?}");
        }
        assert_eq!(Packet::decode_text_v3("b4*"), Err(DecodeError::BadBase64));
        assert_eq!(Packet::decode_text_v3(""), Err(DecodeError::EmptyPacket));
        assert_eq!(Packet::decode_binary_v3(&[]), Err(DecodeError::EmptyPacket));
    }

    #[test]
    fn is_as_lenient_as_javascript() {
        assert_eq!(Packet::decode_text("1 and more"), Ok(Packet::Close));
        assert_eq!(Packet::decode_text("bAQI"), Ok(Packet::Binary(vec![1, 2].into())));
        assert_eq!(Packet::decode_text("b"), Ok(Packet::Binary(vec![].into())));
    }
}
