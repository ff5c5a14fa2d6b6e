//! The header of a frame from a client, and the mask that it carries.

use super::{MAX_CONTROL, Opcode};
use crate::DecodeError;

/// The longest header of a client's frame: two bytes, a length of eight and a mask of four.
pub(super) const MAX_HEADER: usize = 14;

/// A parsed header.
#[derive(Copy, Clone, Debug)]
pub(super) struct Header {
    pub(super) opcode: Opcode,
    pub(super) fin: bool,
    /// Bytes of the header itself.
    pub(super) size: usize,
    /// Bytes of the payload; within the room that was left.
    pub(super) len: usize,
    pub(super) mask: [u8; 4],
}

impl Header {
    /// Parses the header at the start of `bytes`; `None` if it is not all there. `in_message` says whether a fragmented
    /// message is under way, `room` how many bytes of payload the message may still get.
    ///
    /// What the first two bytes rule out is refused as soon as those are there.
    #[inline]
    pub(super) fn parse(bytes: &[u8], in_message: bool, room: usize) -> Result<Option<Self>, DecodeError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x70 != 0 {
            return Err(DecodeError::ReservedBits);
        }
        let fin = first & 0x80 != 0;
        let Some(opcode) = Opcode::from_bits(first & 0x0f) else { return Err(DecodeError::ReservedOpcode) };
        if second & 0x80 == 0 {
            return Err(DecodeError::Unmasked);
        }
        match opcode {
            Opcode::Continuation if !in_message => return Err(DecodeError::LoneContinuation),
            Opcode::Text | Opcode::Binary if in_message => return Err(DecodeError::InterruptedMessage),
            Opcode::Close | Opcode::Ping | Opcode::Pong if !fin => {
                return Err(DecodeError::ControlFragmented);
            }
            _ => {}
        }
        let (len, rest) = match second & 0x7f {
            126 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from(u16::from_be_bytes(*len)), rest),
                None => return Ok(None),
            },
            // The top bit must be clear (5.2), which needs no check of its own: no limit allows such a length.
            127 => match rest.split_first_chunk() {
                Some((len, rest)) => (u64::from_be_bytes(*len), rest),
                None => return Ok(None),
            },
            len => (u64::from(len), rest),
        };
        let (limit, error) = if opcode.is_control() {
            (MAX_CONTROL, DecodeError::ControlTooLong)
        } else {
            (room, DecodeError::FrameTooLarge)
        };
        let len = usize::try_from(len).ok().filter(|len| *len <= limit).ok_or(error)?;
        let Some((mask, rest)) = rest.split_first_chunk() else { return Ok(None) };
        Ok(Some(Self { opcode, fin, size: bytes.len() - rest.len(), len, mask: *mask }))
    }
}

/// Undoes masking in place. The first byte of `data` meets the first byte of `mask`.
#[inline]
pub(super) fn unmask(data: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    // Eight bytes are two turns of the mask, so that the tail begins with its first byte again.
    let (words, tail) = data.as_chunks_mut();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in tail.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmasks_every_length() {
        for len in 0..70 {
            let mut data: Vec<u8> = (0..len).collect();
            let mask = [0x12, 0xab, 0x00, 0xff];
            unmask(&mut data, mask);
            for (i, byte) in data.iter().enumerate() {
                assert_eq!(usize::from(byte ^ mask[i % 4]), i);
            }
        }
    }

    #[test]
    fn needs_the_whole_header() {
        let full = [0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 5, 1, 2, 3, 4];
        for end in 0..full.len() {
            assert!(Header::parse(&full[..end], false, 10).unwrap().is_none(), "{end}");
        }
        let header = Header::parse(&full, false, 10).unwrap().unwrap();
        assert_eq!((header.size, header.len, header.mask), (MAX_HEADER, 5, [1, 2, 3, 4]));
    }
}
