//! Frames to clients: not masked and never fragmented.

use super::{MAX_CONTROL, Opcode};

/// The header of an unfragmented, unmasked frame with `len` bytes of payload: the bytes, and how many of them count (2,
/// 4 or 10).
#[inline]
#[must_use]
pub fn header(opcode: Opcode, len: usize) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    bytes[0] = 0x80 | opcode as u8;
    if let Ok(len) = u8::try_from(len)
        && len < 126
    {
        bytes[1] = len;
        (bytes, 2)
    } else if let Ok(len) = u16::try_from(len) {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&len.to_be_bytes());
        (bytes, 4)
    } else {
        bytes[1] = 127;
        bytes[2..].copy_from_slice(&(len as u64).to_be_bytes());
        (bytes, 10)
    }
}

/// Appends a whole frame to `out`. A control frame's payload must not exceed [`MAX_CONTROL`] bytes.
#[inline]
pub fn write_frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    debug_assert!(!opcode.is_control() || payload.len() <= MAX_CONTROL, "no peer accepts this");
    let (header, used) = header(opcode, payload.len());
    out.reserve(used + payload.len());
    out.extend_from_slice(&header[..used]);
    out.extend_from_slice(payload);
}

/// A close frame. Without a code it is empty, and `reason` is dropped, which needs one; a reason longer than 123 bytes
/// is cut at a character.
#[must_use]
pub fn close_frame(code: Option<u16>, reason: &str) -> Vec<u8> {
    let mut payload = Vec::new();
    if let Some(code) = code {
        payload.extend_from_slice(&code.to_be_bytes());
        let cut = reason.floor_char_boundary(MAX_CONTROL - 2);
        payload.extend_from_slice(&reason.as_bytes()[..cut]);
    }
    let mut out = Vec::new();
    write_frame(&mut out, Opcode::Close, &payload);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_the_shortest_form() {
        for (len, want) in [
            (0, &[0x81, 0][..]),
            (125, &[0x81, 125]),
            (126, &[0x81, 126, 0, 126]),
            (65_535, &[0x81, 126, 255, 255]),
            (65_536, &[0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let (bytes, used) = header(Opcode::Text, len);
            assert_eq!(&bytes[..used], want);
        }
    }

    #[test]
    fn writes_behind_what_is_there() {
        let mut out = vec![7];
        write_frame(&mut out, Opcode::Binary, b"ab");
        write_frame(&mut out, Opcode::Pong, b"");
        assert_eq!(out, [7, 0x82, 2, b'a', b'b', 0x8a, 0]);
    }

    #[test]
    fn close_frames_fit() {
        assert_eq!(close_frame(None, "lost"), [0x88, 0]);
        assert_eq!(close_frame(Some(1009), "big"), [0x88, 5, 3, 241, b'b', b'i', b'g']);
        let long = close_frame(Some(1000), &"é".repeat(100));
        assert_eq!(long[1], 2 + 122);
        assert!(std::str::from_utf8(&long[4..]).is_ok());
    }
}
