//! Frames from clients, out of the buffer they were read into.
//!
//! A frame that is whole in the input and not a fragment, which is nearly every one, is unmasked and handed on where it
//! lies: nothing is copied or allocated. Only what is incomplete when the input ends is kept, in one [`Box`] that is
//! given back as soon as it is empty.

use super::Opcode;
use super::header::{Header, unmask};
use super::partial::{Partial, Progress};
use crate::DecodeError;

/// A message or control frame of a client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A whole text message, from however many fragments.
    Text(&'a str),
    /// A whole binary message, from however many fragments.
    Binary(&'a [u8]),
    /// A ping with at most 125 bytes, to be answered by a pong with the same.
    Ping(&'a [u8]),
    /// A pong with at most 125 bytes.
    Pong(&'a [u8]),
    /// The client closes; nothing behind this is read.
    Close {
        /// Why, as a number that may be sent (RFC 6455, 7.4); none if the frame was empty.
        code: Option<u16>,
        /// Why, in words; often empty.
        reason: &'a str,
    },
}

/// What the receiver of a frame wants next.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// The next frame.
    Continue,
    /// Nothing before the next call of [`Decoder::feed`].
    Pause,
}

/// An incremental decoder of what one client sends: 16 bytes while no frame is incomplete.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Busy(Box<Partial>),
    /// Behind a close frame or an error.
    Ended,
}

impl Decoder {
    /// A decoder for a new connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is kept from earlier input. False in the midst of a frame or of a fragmented message.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !matches!(self.state, State::Busy(_))
    }

    /// The bytes of messages that are kept until the rest of them comes.
    #[must_use]
    pub fn buffered(&self) -> usize {
        if let State::Busy(partial) = &self.state { partial.buffered() } else { 0 }
    }

    /// Feeds bytes as they were read; they are unmasked in place. Calls `sink` for every whole message and every
    /// control frame, in order, and returns how many bytes were consumed: all of them, or after [`Flow::Pause`] those
    /// up to the end of the frame that paused. The rest is untouched and belongs to the next call.
    ///
    /// Behind a close frame all bytes are consumed and ignored, as RFC 6455, 1.4 demands.
    ///
    /// # Errors
    /// What RFC 6455 forbids, and messages of more than `max_payload` bytes or too many empty fragments; text is checked
    /// as it comes, not at its end. The connection is to be closed with [`DecodeError::close_code`]; further input is
    /// ignored.
    #[inline]
    pub fn feed(
        &mut self,
        input: &mut [u8],
        max_payload: usize,
        mut sink: impl FnMut(Frame<'_>) -> Flow,
    ) -> Result<usize, DecodeError> {
        let result = self.run(input, max_payload, &mut sink);
        if result.is_err() {
            self.state = State::Ended;
        }
        result
    }

    #[inline]
    fn run(
        &mut self,
        input: &mut [u8],
        max_payload: usize,
        sink: &mut impl FnMut(Frame<'_>) -> Flow,
    ) -> Result<usize, DecodeError> {
        let mut at = 0;
        while at < input.len() {
            let rest = &mut input[at..];
            let (used, flow) = match &mut self.state {
                State::Idle => match Header::parse(rest, false, max_payload)? {
                    Some(Header { opcode, fin: true, size, len, mask }) if len <= rest.len() - size => {
                        let payload = &mut rest[size..size + len];
                        unmask(payload, mask);
                        if opcode == Opcode::Close {
                            self.state = State::Ended;
                        }
                        (size + len, sink(whole(opcode, payload)?))
                    }
                    // The box takes the input from here.
                    _ => {
                        self.state = State::Busy(Box::default());
                        continue;
                    }
                },
                State::Busy(partial) => {
                    let (used, progress) = partial.advance(rest, max_payload, sink)?;
                    let flow = match progress {
                        Progress::More => Flow::Continue,
                        Progress::Closed(flow) => {
                            self.state = State::Ended;
                            flow
                        }
                        Progress::Delivered(flow) => {
                            if partial.is_empty() {
                                self.state = State::Idle;
                            }
                            flow
                        }
                    };
                    (used, flow)
                }
                State::Ended => return Ok(input.len()),
            };
            at += used;
            if flow == Flow::Pause {
                break;
            }
        }
        Ok(at)
    }
}

/// The frame with this unmasked payload, which is not a fragment.
#[inline]
pub(super) fn whole(opcode: Opcode, payload: &[u8]) -> Result<Frame<'_>, DecodeError> {
    match opcode {
        Opcode::Text => std::str::from_utf8(payload).map(Frame::Text).map_err(|_| DecodeError::BadUtf8),
        Opcode::Binary => Ok(Frame::Binary(payload)),
        Opcode::Ping => Ok(Frame::Ping(payload)),
        Opcode::Pong => Ok(Frame::Pong(payload)),
        Opcode::Close => close(payload),
        Opcode::Continuation => Err(DecodeError::LoneContinuation),
    }
}

fn close(payload: &[u8]) -> Result<Frame<'_>, DecodeError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return if payload.is_empty() {
            Ok(Frame::Close { code: None, reason: "" })
        } else {
            Err(DecodeError::BadClose)
        };
    };
    let code = u16::from_be_bytes(*code);
    // The codes that may be sent: those of RFC 6455, 7.4.1, those registered since (up to 1014), and those left to
    // libraries and applications.
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(DecodeError::BadClose);
    }
    let reason = std::str::from_utf8(reason).map_err(|_| DecodeError::BadUtf8)?;
    Ok(Frame::Close { code: Some(code), reason })
}
