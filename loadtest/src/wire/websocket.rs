//! WebSocket frames (RFC 6455), the client's side.
//!
//! Frames are masked with the key 0, which is a valid mask and leaves the payload as it is. The point of masking,
//! that a web page cannot choose the bytes on the wire, does not concern a load generator.

/// What kind of frame it is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Opcode {
    /// A further part of a fragmented message.
    Continuation,
    /// A text message, or its first part.
    Text,
    /// A binary message, or its first part.
    Binary,
    /// The end of the connection.
    Close,
    /// A question for a sign of life.
    Ping,
    /// The answer to one.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }
}

/// One frame at the beginning of some bytes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// The last frame of its message.
    pub fin: bool,
    /// Its kind.
    pub opcode: Opcode,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes of the frame, header included.
    pub len: usize,
}

/// A frame no server may send.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadFrame(pub &'static str);

/// Finds the frame at the beginning of `bytes`; `None` when it is not there as a whole yet.
///
/// # Errors
/// For masked frames, unknown opcodes, reserved bits and lengths of 2⁶³ and more.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>, BadFrame> {
    let &[first, second, ref rest @ ..] = bytes else {
        return Ok(None);
    };
    if first & 0x70 != 0 {
        return Err(BadFrame("a frame with reserved bits (no extension was agreed)"));
    }
    if second & 0x80 != 0 {
        return Err(BadFrame("a masked frame from a server"));
    }
    let Some(opcode) = Opcode::from_bits(first & 0x0f) else {
        return Err(BadFrame("an unknown opcode"));
    };
    let (header, len) = match second {
        126 => match rest {
            &[a, b, ..] => (4, usize::from(u16::from_be_bytes([a, b]))),
            _ => return Ok(None),
        },
        127 => match rest.first_chunk::<8>() {
            Some(&long) => match usize::try_from(u64::from_be_bytes(long)) {
                Ok(len) if len < usize::MAX / 2 => (10, len),
                _ => return Err(BadFrame("an impossible length")),
            },
            None => return Ok(None),
        },
        short => (2, usize::from(short)),
    };
    Ok(bytes.get(header..header + len).map(|payload| Frame {
        fin: first & 0x80 != 0,
        opcode,
        payload,
        len: header + len,
    }))
}

/// Writes a whole client frame behind `out`.
pub fn write(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.push(0x80 | opcode.bits());
    if let Ok(len) = u8::try_from(payload.len())
        && len < 126
    {
        out.push(0x80 | len);
    } else if let Ok(len) = u16::try_from(payload.len()) {
        out.push(0x80 | 126);
        out.extend_from_slice(&len.to_be_bytes());
    } else {
        out.push(0x80 | 127);
        out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
}

/// A text frame of its own.
#[must_use]
pub fn text(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    write(&mut out, Opcode::Text, payload);
    out
}

/// A close frame with the code 1000.
#[must_use]
pub fn close() -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    write(&mut out, Opcode::Close, &1000u16.to_be_bytes());
    out
}

/// A text in which one number changes, of a fixed number of digits.
#[derive(Clone, Debug)]
pub struct Numbered {
    bytes: Vec<u8>,
    at: usize,
    digits: usize,
}

impl Numbered {
    /// The text is `before`, a number of `digits` digits, `after`; without a frame around it.
    #[must_use]
    pub fn bare(before: &[u8], digits: usize, after: &[u8]) -> Self {
        Self { bytes: [before, &vec![b'0'; digits], after].concat(), at: before.len(), digits }
    }

    /// As [`Numbered::bare`], as a text frame.
    #[must_use]
    pub fn framed(before: &[u8], digits: usize, after: &[u8]) -> Self {
        let bare = Self::bare(before, digits, after);
        let bytes = text(&bare.bytes);
        Self { at: bytes.len() - bare.bytes.len() + bare.at, bytes, digits }
    }

    /// Writes it behind `out`, with this number. Digits that do not fit are cut off at the front.
    pub fn write(&self, out: &mut Vec<u8>, mut number: u64) {
        let at = out.len() + self.at;
        out.extend_from_slice(&self.bytes);
        for digit in out[at..at + self.digits].iter_mut().rev() {
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_frame(payload: &[u8]) -> Vec<u8> {
        let masked = text(payload);
        let mut frame = masked[..masked.len() - payload.len() - 4].to_vec();
        frame[1] &= 0x7f;
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn finds_frames_of_every_length_form_and_waits_for_the_rest() {
        for len in [0, 1, 125, 126, 65535, 65536, 70000] {
            let payload = vec![b'x'; len];
            let mut bytes = server_frame(&payload);
            let whole = bytes.len();
            bytes.extend_from_slice(b"more");
            let frame = parse(&bytes).expect("valid").expect("whole");
            assert_eq!((frame.payload, frame.len), (&payload[..], whole));
            assert!(frame.fin && frame.opcode == Opcode::Text);
            for cut in [0, 1, whole - 1] {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "{len} cut at {cut}");
            }
        }
    }

    #[test]
    fn refuses_what_no_server_may_send() {
        assert!(parse(&[0x81, 0x80, 0, 0, 0, 0]).is_err(), "masked");
        assert!(parse(&[0xc1, 0]).is_err(), "compressed");
        assert!(parse(&[0x83, 0]).is_err(), "opcode 3");
        assert!(parse(&[0x82, 127, 255, 255, 255, 255, 255, 255, 255, 255]).is_err(), "length");
    }

    #[test]
    fn numbers_are_patched_in_place() {
        let numbered = Numbered::framed(b"42[\"m\",", 4, b"]");
        let mut out = b"before".to_vec();
        numbered.write(&mut out, 1234);
        numbered.write(&mut out, 7);
        let expected = [b"before".as_slice(), &text(b"42[\"m\",1234]"), &text(b"42[\"m\",0007]")].concat();
        assert_eq!(out, expected);
    }
}
