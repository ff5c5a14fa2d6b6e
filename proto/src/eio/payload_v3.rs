//! Several packets in one polling body of Engine.IO 3: each behind its length, as text or as octets.
//!
//! *Text* is `<length>:<packet>` for each packet, where the length counts UTF-16 code units (JavaScript's `length`) and
//! binary messages are base64. *Octets* are, for each packet, a byte 0 (text) or 1 (binary), the decimal digits of the
//! length in bytes as numbers 0 to 9, a byte 255, and the packet.
//!
//! Two generations of clients read text differently. Those of Socket.IO 1.x ("doubled" here) put UTF-8 into characters
//! U+0000 to U+00FF before the length is counted, and expect the same; those of 2.x do not. Their requests look alike, so
//! [`read_text`] tells them apart by what they say; and text that consists of ASCII is the same for both.

use std::borrow::Cow;
use std::iter::FusedIterator;

use super::{Packet, packet};
use crate::DecodeError;

/// Digits of a length. No payload that a limit lets through needs more.
const MAX_DIGITS: usize = 10;

/// One packet of a payload, not decoded yet.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A packet in its text form, see [`Packet::decode_text_v3`].
    Text(&'a str),
    /// A packet in its binary form, see [`Packet::decode_binary_v3`].
    Binary(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// The packet.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn decode(self) -> Result<Packet<'a>, DecodeError> {
        match self {
            Self::Text(text) => Packet::decode_text_v3(text),
            Self::Binary(data) => Packet::decode_binary_v3(data),
        }
    }
}

/// The packets of a text payload, one by one.
///
/// An error is the last item: what follows a wrong length has no meaning. Behind `max_packets` packets comes
/// [`DecodeError::TooManyPackets`]; an empty body is [`DecodeError::EmptyPacket`]. A length that is not a number, ends in
/// the middle of a character or goes beyond the body is [`DecodeError::BadLength`].
#[must_use]
pub fn decode_text(body: &str, max_packets: usize) -> TextPayload<'_> {
    TextPayload { rest: Some(body), left: max_packets }
}

/// The iterator that [`decode_text`] gives.
#[derive(Clone, Debug)]
pub struct TextPayload<'a> {
    rest: Option<&'a str>,
    left: usize,
}

impl<'a> Iterator for TextPayload<'a> {
    type Item = Result<Piece<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(left) = self.left.checked_sub(1) else { return Some(Err(DecodeError::TooManyPackets)) };
        self.left = left;
        Some(split_text(rest).map(|(packet, rest)| {
            self.rest = (!rest.is_empty()).then_some(rest);
            Piece::Text(packet)
        }))
    }
}

impl FusedIterator for TextPayload<'_> {}

/// The first packet of a text payload, and what follows it.
fn split_text(body: &str) -> Result<(&str, &str), DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::EmptyPacket);
    }
    let head = body.as_bytes();
    let colon = head.iter().take(MAX_DIGITS + 1).position(|byte| *byte == b':');
    let colon = colon.filter(|at| *at > 0).ok_or(DecodeError::BadLength)?;
    let mut units = 0_usize;
    for digit in &head[..colon] {
        if !digit.is_ascii_digit() {
            return Err(DecodeError::BadLength);
        }
        units = units.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    }
    // The colon is ASCII, so that what follows it is whole text.
    let rest = &body[colon + 1..];
    let end = end_of(rest, units).ok_or(DecodeError::BadLength)?;
    Ok(rest.split_at(end))
}

/// How many bytes the first `units` UTF-16 code units of `text` have, if there are as many and they end with a character.
fn end_of(text: &str, units: usize) -> Option<usize> {
    // No character has fewer bytes than code units.
    let ascii = text.as_bytes().get(..units)?.is_ascii();
    if ascii {
        return Some(units);
    }
    let mut left = units;
    for (at, character) in text.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some(text.len())
}

/// The packets of a payload of octets, one by one; the end and errors as with [`decode_text`]. Text that is not UTF-8 is
/// [`DecodeError::BodyNotText`].
#[must_use]
pub fn decode_octets(body: &[u8], max_packets: usize) -> OctetPayload<'_> {
    OctetPayload { rest: Some(body), left: max_packets }
}

/// The iterator that [`decode_octets`] gives.
#[derive(Clone, Debug)]
pub struct OctetPayload<'a> {
    rest: Option<&'a [u8]>,
    left: usize,
}

impl<'a> Iterator for OctetPayload<'a> {
    type Item = Result<Piece<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(left) = self.left.checked_sub(1) else { return Some(Err(DecodeError::TooManyPackets)) };
        self.left = left;
        Some(split_octets(rest).map(|(packet, rest)| {
            self.rest = (!rest.is_empty()).then_some(rest);
            packet
        }))
    }
}

impl FusedIterator for OctetPayload<'_> {}

fn split_octets(body: &[u8]) -> Result<(Piece<'_>, &[u8]), DecodeError> {
    let (binary, head) = match body {
        [] => return Err(DecodeError::EmptyPacket),
        [0, head @ ..] => (false, head),
        [1, head @ ..] => (true, head),
        _ => return Err(DecodeError::BadLength),
    };
    let end = head.iter().take(MAX_DIGITS + 1).position(|byte| *byte == 255);
    let end = end.filter(|at| *at > 0).ok_or(DecodeError::BadLength)?;
    let mut length = 0_usize;
    for digit in &head[..end] {
        if *digit > 9 {
            return Err(DecodeError::BadLength);
        }
        length = length.saturating_mul(10).saturating_add(usize::from(*digit));
    }
    let (data, rest) = head[end + 1..].split_at_checked(length).ok_or(DecodeError::BadLength)?;
    let piece = if binary {
        Piece::Binary(data)
    } else {
        Piece::Text(std::str::from_utf8(data).map_err(|_| DecodeError::BodyNotText)?)
    };
    Ok((piece, rest))
}

/// How a client of Engine.IO 3 means the characters of a text payload.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// It has not said anything that would tell.
    #[default]
    Unknown,
    /// As they are: Socket.IO 2.x.
    Plain,
    /// As the bytes of UTF-8: Socket.IO 1.x.
    Doubled,
}

/// Reads the text of one packet of a text payload as its client means it, and says what was learnt about the client.
///
/// While the client is unknown, text whose characters are all below U+0100 and make sense as UTF-8 is taken for doubled.
/// (Plain text of that kind is garbage like `Ã©`, which is what doubled text looks like to those who do not expect it.)
#[must_use]
pub fn read_text(text: &str, dialect: Dialect) -> (Cow<'_, str>, Dialect) {
    if dialect == Dialect::Plain || text.is_ascii() {
        return (Cow::Borrowed(text), dialect);
    }
    let bytes: Result<Vec<u8>, _> = text.chars().map(|c| u8::try_from(u32::from(c))).collect();
    match bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(meant) => (Cow::Owned(meant), Dialect::Doubled),
        // One that doubles never says this.
        None => (Cow::Borrowed(text), Dialect::Plain),
    }
}

/// Text as clients of Socket.IO 1.x write it into text payloads.
#[must_use]
pub fn double(text: &str) -> String {
    text.bytes().map(char::from).collect()
}

/// How many UTF-16 code units `text` has.
#[must_use]
pub fn utf16_len(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// Appends a packet in its text form to a text payload.
pub fn push_text(packet: &str, out: &mut Vec<u8>) {
    push_decimal(utf16_len(packet), b'0', out);
    out.push(b':');
    out.extend_from_slice(packet.as_bytes());
}

/// Appends a binary message to a text payload.
pub fn push_base64(data: &[u8], out: &mut Vec<u8>) {
    push_decimal(2 + data.len().div_ceil(3) * 4, b'0', out);
    out.push(b':');
    packet::encode_binary_v3(data, out);
}

/// Appends a packet in its text form to a payload of octets.
pub fn push_text_octets(packet: &[u8], out: &mut Vec<u8>) {
    out.push(0);
    push_decimal(packet.len(), 0, out);
    out.push(255);
    out.extend_from_slice(packet);
}

/// Appends a binary message to a payload of octets.
pub fn push_binary_octets(data: &[u8], out: &mut Vec<u8>) {
    out.push(1);
    push_decimal(1 + data.len(), 0, out);
    out.extend_from_slice(&[255, 4]);
    out.extend_from_slice(data);
}

/// Appends `packets` in the form that [`decode_text`] reads.
pub fn encode_text<'a, 'p: 'a>(packets: impl IntoIterator<Item = &'a Packet<'p>>, out: &mut Vec<u8>) {
    for packet in packets {
        match packet {
            Packet::Binary(data) => push_base64(data, out),
            other => push_text(&text_of(other), out),
        }
    }
}

/// Appends `packets` in the form that [`decode_octets`] reads.
pub fn encode_octets<'a, 'p: 'a>(packets: impl IntoIterator<Item = &'a Packet<'p>>, out: &mut Vec<u8>) {
    for packet in packets {
        match packet {
            Packet::Binary(data) => push_binary_octets(data, out),
            other => push_text_octets(text_of(other).as_bytes(), out),
        }
    }
}

fn text_of(packet: &Packet<'_>) -> String {
    let mut text = Vec::new();
    packet.encode_text(&mut text);
    // Everything but binary messages is text.
    String::from_utf8(text).unwrap_or_default()
}

fn push_decimal(number: usize, zero: u8, out: &mut Vec<u8>) {
    let digits = number.checked_ilog10().unwrap_or(0);
    for place in (0..=digits).rev() {
        out.push(zero + (number / 10_usize.pow(place) % 10) as u8);
    }
}

#[cfg(test)]
#[path = "payload_v3_tests.rs"]
mod tests;
