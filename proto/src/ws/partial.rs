//! What a decoder keeps while a frame or a fragmented message is incomplete.

use std::str::from_utf8;

use super::decode::{Flow, Frame, whole};
use super::header::{Header, MAX_HEADER, unmask};
use super::{MAX_EMPTY_FRAGMENTS, Opcode};
use crate::DecodeError;

/// How much memory at most is set aside for bytes that were announced but have not come.
const RESERVE: usize = 16 * 1024;

/// How far a step came.
#[derive(Debug)]
pub(super) enum Progress {
    /// All of the input was taken, or nothing is due yet.
    More,
    /// A frame was handed on.
    Delivered(Flow),
    /// A close frame was handed on.
    Closed(Flow),
}

#[derive(Debug, Default)]
pub(super) struct Partial {
    /// The beginning of a header.
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The frame whose payload is coming.
    frame: Option<Incoming>,
    /// The payload so far of a control frame that came in pieces.
    control: Vec<u8>,
    /// The data message under way.
    message: Option<Message>,
}

#[derive(Debug)]
struct Incoming {
    opcode: Opcode,
    fin: bool,
    /// Bytes that have not come.
    left: usize,
    /// Turned so that it begins with what meets the next byte.
    mask: [u8; 4],
}

#[derive(Debug)]
struct Message {
    content: Content,
    empty_fragments: u16,
}

#[derive(Debug)]
enum Content {
    Text(Text),
    Binary(Vec<u8>),
}

/// Text that is known to be valid, and the bytes of a character behind it that is not complete.
#[derive(Debug, Default)]
struct Text {
    valid: String,
    tail: [u8; 4],
    tail_len: usize,
}

impl Partial {
    /// Whether there is nothing to keep.
    pub(super) fn is_empty(&self) -> bool {
        self.header_len == 0 && self.frame.is_none() && self.message.is_none()
    }

    pub(super) fn buffered(&self) -> usize {
        self.control.len() + self.message.as_ref().map_or(0, Message::len)
    }

    /// Takes bytes up to the end of the frame under way, or all of them. Returns how many.
    pub(super) fn advance(
        &mut self,
        input: &mut [u8],
        max_payload: usize,
        sink: &mut impl FnMut(Frame<'_>) -> Flow,
    ) -> Result<(usize, Progress), DecodeError> {
        let mut used = 0;
        let mut frame = match self.frame.take() {
            Some(frame) => frame,
            None => match self.begin(input, max_payload)? {
                (taken, Some(frame)) => {
                    used = taken;
                    frame
                }
                (taken, None) => return Ok((taken, Progress::More)),
            },
        };

        let len = frame.left.min(input.len() - used);
        let data = &mut input[used..used + len];
        used += len;
        unmask(data, frame.mask);
        frame.mask.rotate_left(len % 4);
        frame.left -= len;

        let progress = if frame.opcode.is_control() {
            self.take_control(&frame, data, sink)?
        } else {
            self.take_data(&frame, data, sink)?
        };
        if frame.left > 0 {
            self.frame = Some(frame);
        }
        Ok((used, progress))
    }

    /// Completes the header. Returns how many bytes it took, and the frame once it is known.
    fn begin(&mut self, input: &[u8], max_payload: usize) -> Result<(usize, Option<Incoming>), DecodeError> {
        let had = usize::from(self.header_len);
        let taken = input.len().min(MAX_HEADER - had);
        self.header[had..had + taken].copy_from_slice(&input[..taken]);
        let room = max_payload.saturating_sub(self.message.as_ref().map_or(0, Message::len));
        let known = &self.header[..had + taken];
        let Some(header) = Header::parse(known, self.message.is_some(), room)? else {
            // Less than a whole header, so that all of the input is in it.
            self.header_len = known.len() as u8;
            return Ok((taken, None));
        };
        self.header_len = 0;

        match header.opcode {
            Opcode::Text => self.message = Some(Message::new(Content::Text(Text::default()))),
            Opcode::Binary => self.message = Some(Message::new(Content::Binary(Vec::new()))),
            _ => {}
        }
        if let Some(message) = &mut self.message
            && !header.opcode.is_control()
        {
            message.expect(header.len, header.fin)?;
        }
        let frame = Incoming { opcode: header.opcode, fin: header.fin, left: header.len, mask: header.mask };
        Ok((header.size - had, Some(frame)))
    }

    fn take_control(
        &mut self,
        frame: &Incoming,
        data: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> Flow,
    ) -> Result<Progress, DecodeError> {
        if frame.left > 0 {
            self.control.extend_from_slice(data);
            return Ok(Progress::More);
        }
        let flow = if self.control.is_empty() {
            sink(whole(frame.opcode, data)?)
        } else {
            self.control.extend_from_slice(data);
            let control = std::mem::take(&mut self.control);
            sink(whole(frame.opcode, &control)?)
        };
        Ok(if frame.opcode == Opcode::Close { Progress::Closed(flow) } else { Progress::Delivered(flow) })
    }

    fn take_data(
        &mut self,
        frame: &Incoming,
        data: &[u8],
        sink: &mut impl FnMut(Frame<'_>) -> Flow,
    ) -> Result<Progress, DecodeError> {
        // A data frame is only begun with a message, see `begin`.
        let Some(message) = &mut self.message else { return Err(DecodeError::LoneContinuation) };
        message.push(data)?;
        if frame.left > 0 || !frame.fin {
            return Ok(Progress::More);
        }
        let flow = match self.message.take().map(|message| message.content) {
            Some(Content::Text(text)) if text.tail_len > 0 => return Err(DecodeError::BadUtf8),
            Some(Content::Text(text)) => sink(Frame::Text(&text.valid)),
            Some(Content::Binary(data)) => sink(Frame::Binary(&data)),
            None => Flow::Continue,
        };
        Ok(Progress::Delivered(flow))
    }
}

impl Message {
    fn new(content: Content) -> Self {
        Self { content, empty_fragments: 0 }
    }

    fn len(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.valid.len() + text.tail_len,
            Content::Binary(data) => data.len(),
        }
    }

    /// A fragment of `len` bytes begins.
    fn expect(&mut self, len: usize, fin: bool) -> Result<(), DecodeError> {
        if len == 0 && !fin {
            self.empty_fragments += 1;
            if self.empty_fragments > MAX_EMPTY_FRAGMENTS {
                return Err(DecodeError::TooManyFragments);
            }
        }
        // Not all of `len`: a client that announces much and sends nothing shall cost little.
        match &mut self.content {
            Content::Text(text) => text.valid.reserve(len.min(RESERVE)),
            Content::Binary(data) => data.reserve(len.min(RESERVE)),
        }
        Ok(())
    }

    fn push(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        match &mut self.content {
            Content::Text(text) => text.push(data),
            Content::Binary(buffer) => {
                buffer.extend_from_slice(data);
                Ok(())
            }
        }
    }
}

impl Text {
    /// Appends bytes that may begin and end within a character.
    fn push(&mut self, mut data: &[u8]) -> Result<(), DecodeError> {
        while self.tail_len > 0
            && let Some((byte, rest)) = data.split_first()
        {
            data = rest;
            self.tail[self.tail_len] = *byte;
            self.tail_len += 1;
            // At four bytes it is either whole or wrong, so that the tail is never longer.
            if let Some(char) = prefix(&self.tail[..self.tail_len])? {
                self.valid.push_str(char);
                self.tail_len = 0;
            }
        }
        match prefix(data)? {
            Some(text) => self.valid.push_str(text),
            None => {
                let cut = from_utf8(data).map_or_else(|e| e.valid_up_to(), str::len);
                let (good, tail) = data.split_at(cut);
                self.valid.push_str(from_utf8(good).map_err(|_| DecodeError::BadUtf8)?);
                self.tail[..tail.len()].copy_from_slice(tail);
                self.tail_len = tail.len();
            }
        }
        Ok(())
    }
}

/// `bytes` as text, or `None` if it ends within a character.
fn prefix(bytes: &[u8]) -> Result<Option<&str>, DecodeError> {
    match from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.error_len().is_none() => Ok(None),
        Err(_) => Err(DecodeError::BadUtf8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcing_much_costs_little() {
        for first in [0x81, 0x82] {
            let mut partial = Partial::default();
            let mut input = [first, 0xff, 0, 0, 0, 0, 0x3f, 0, 0, 0, 0, 0, 0, 0, b'x'];
            let (used, _) = partial.advance(&mut input, usize::MAX, &mut |_| Flow::Continue).unwrap();
            assert_eq!((used, partial.buffered()), (input.len(), 1));
            let capacity = match partial.message.unwrap().content {
                Content::Text(text) => text.valid.capacity(),
                Content::Binary(data) => data.capacity(),
            };
            assert!(capacity <= 2 * RESERVE, "{capacity}");
        }
    }
}
