//! Several packets in one polling body: their text forms, joined by [`SEPARATOR`].

use std::iter::FusedIterator;

use memchr::memchr;

use super::Packet;
use crate::DecodeError;

/// Stands between the packets of a payload (ASCII "record separator"). It cannot occur within one: JSON escapes it, and
/// base64 has no such character.
pub const SEPARATOR: u8 = 0x1e;

/// The packets of a polling body, decoded one by one as they are asked for.
///
/// An error is the last item: what follows bytes that could not be read has no meaning. Behind `max_packets` packets
/// comes [`DecodeError::TooManyPackets`]; an empty body is one empty packet and hence
/// [`DecodeError::EmptyPacket`].
#[must_use]
pub fn decode_payload(body: &str, max_packets: usize) -> Payload<'_> {
    Payload { rest: Some(body), left: max_packets }
}

/// The iterator that [`decode_payload`] gives.
#[derive(Clone, Debug)]
pub struct Payload<'a> {
    rest: Option<&'a str>,
    left: usize,
}

impl<'a> Iterator for Payload<'a> {
    type Item = Result<Packet<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        let Some(left) = self.left.checked_sub(1) else { return Some(Err(DecodeError::TooManyPackets)) };
        self.left = left;
        // The separator is ASCII, so that both sides of it are whole text.
        let (text, rest) = match memchr(SEPARATOR, rest.as_bytes()) {
            Some(at) => (&rest[..at], Some(&rest[at + 1..])),
            None => (rest, None),
        };
        let packet = Packet::decode_text(text);
        if packet.is_ok() {
            self.rest = rest;
        }
        Some(packet)
    }
}

impl FusedIterator for Payload<'_> {}

/// Appends `packets` to `out` in the form that [`decode_payload`] reads. Where `out` already holds packets, a separator
/// comes first.
pub fn encode_payload<'a, 'p: 'a>(packets: impl IntoIterator<Item = &'a Packet<'p>>, out: &mut Vec<u8>) {
    for packet in packets {
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        packet.encode_text(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(body: &str, max: usize) -> Vec<Result<Packet<'_>, DecodeError>> {
        decode_payload(body, max).collect()
    }

    #[test]
    fn splits_at_separators() {
        // As python-engineio recorded it.
        let body = "451-2[\"echo\",{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID";
        let packets = decode(body, 16);
        assert_eq!(
            packets,
            [
                Ok(Packet::Message("51-2[\"echo\",{\"_placeholder\":true,\"num\":0}]".into())),
                Ok(Packet::Binary(vec![1, 2, 3].into()))
            ]
        );
        let mut out = Vec::new();
        encode_payload(packets.iter().flatten(), &mut out);
        assert_eq!(out, body.as_bytes());
    }

    #[test]
    fn an_error_is_the_end() {
        assert_eq!(decode("", 16), [Err(DecodeError::EmptyPacket)]);
        assert_eq!(decode("6\u{1e}\u{1e}6", 16), [Ok(Packet::Noop), Err(DecodeError::EmptyPacket)]);
        assert_eq!(decode("6\u{1e}x\u{1e}6", 16), [Ok(Packet::Noop), Err(DecodeError::UnknownPacket)]);
        assert_eq!(decode("6\u{1e}", 16), [Ok(Packet::Noop), Err(DecodeError::EmptyPacket)]);
    }

    #[test]
    fn stops_at_the_limit() {
        let body = vec!["6"; 10_000].join("\u{1e}");
        let packets = decode(&body, 1024);
        assert_eq!(packets.len(), 1025);
        assert!(packets[..1024].iter().all(Result::is_ok));
        assert_eq!(packets[1024], Err(DecodeError::TooManyPackets));
        assert_eq!(decode("6\u{1e}6", 2).len(), 2);
    }
}
