//! Msgpack values become JSON text and attachments, in one pass and without recursion.

use std::io::Write as _;

use bytes::Bytes;
use smallvec::SmallVec;

use super::time;
use super::token::{Reader, Token};
use crate::sio::binary::{NUM, PLACEHOLDER};
use crate::sio::json;
use crate::{DecodeError, Limits};

/// Floats below this have no gaps between integers, and JavaScript writes them without a fraction or an exponent.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// An array or object that is being written.
struct Open {
    object: bool,
    /// Values, or pairs of them, that are still to come.
    left: usize,
    empty: bool,
}

/// What has been written.
pub(super) struct Writer<'l> {
    limits: &'l Limits,
    json: Vec<u8>,
    binaries: Vec<Bytes>,
    /// Bytes of the msgpack that are not binary.
    size: usize,
    /// Values that may still come.
    room: usize,
    /// There is a map with `"_placeholder": true` in it.
    lookalike: bool,
    open: SmallVec<[Open; 8]>,
}

impl<'l> Writer<'l> {
    /// `size` is that of the whole message.
    pub(super) fn new(size: usize, limits: &'l Limits) -> Self {
        // Most of a large message may be binary.
        let json = Vec::with_capacity((size + size / 4).min(1024));
        let room = limits.max_json_values;
        Self { limits, json, binaries: Vec::new(), size, room, lookalike: false, open: SmallVec::new() }
    }

    /// Writes one value.
    pub(super) fn value(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        let token = reader.next()?;
        self.token(token)?;
        self.finish(reader)
    }

    /// Writes a list of the next values.
    pub(super) fn list(&mut self, values: usize, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.token(Token::Array(values))?;
        self.finish(reader)
    }

    /// What was written: JSON and the binary in it.
    pub(super) fn into_parts(mut self) -> Result<(Bytes, Vec<Bytes>), DecodeError> {
        if self.lookalike && !self.binaries.is_empty() {
            return Err(DecodeError::BadPlaceholder);
        }
        if self.size > self.limits.max_json_len {
            return Err(DecodeError::JsonTooLong);
        }
        self.json.shrink_to_fit();
        Ok((self.json.into(), self.binaries))
    }

    fn finish(&mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        while let Some(open) = self.open.last_mut() {
            if open.left == 0 {
                self.json.push(if open.object { b'}' } else { b']' });
                self.open.pop();
                continue;
            }
            open.left -= 1;
            let key = if open.object { Some(key(reader)?) } else { None };
            let token = reader.next()?;
            if key.is_some() && token.is_undefined() {
                continue;
            }
            if !std::mem::take(&mut open.empty) {
                self.json.push(b',');
            }
            if let Some(key) = key {
                self.lookalike |= key == Token::Str(PLACEHOLDER) && token == Token::Bool(true);
                self.key(key);
            }
            self.token(token)?;
        }
        Ok(())
    }

    /// Writes a scalar, or opens what is none.
    fn token(&mut self, token: Token<'_>) -> Result<(), DecodeError> {
        self.room = self.room.checked_sub(1).ok_or(DecodeError::TooManyValues)?;
        match token {
            Token::Str(text) => string(text, &mut self.json),
            Token::Bin(data) => self.binary(data)?,
            Token::Ext { kind, data, fixed } => self.ext(kind, data, fixed)?,
            Token::Array(len) => self.open(false, len)?,
            Token::Map(len) => self.open(true, len)?,
            _ => scalar(token, &mut self.json),
        }
        Ok(())
    }

    fn open(&mut self, object: bool, left: usize) -> Result<(), DecodeError> {
        self.check_depth()?;
        self.json.push(if object { b'{' } else { b'[' });
        self.open.push(Open { object, left, empty: true });
        Ok(())
    }

    fn check_depth(&self) -> Result<(), DecodeError> {
        let deepest = self.limits.max_json_depth.min(json::DEEPEST);
        if self.open.len() < deepest { Ok(()) } else { Err(DecodeError::TooDeep) }
    }

    fn key(&mut self, key: Token<'_>) {
        match key {
            Token::Str(text) => string(text, &mut self.json),
            _ => {
                self.json.push(b'"');
                scalar(key, &mut self.json);
                self.json.push(b'"');
            }
        }
        self.json.push(b':');
    }

    fn binary(&mut self, data: &[u8]) -> Result<(), DecodeError> {
        if self.binaries.len() >= self.limits.max_binary_values {
            return Err(DecodeError::TooManyAttachments);
        }
        // As deep as JSON that a client attaches binary to.
        self.check_depth()?;
        // A `Vec` takes everything.
        let _ = write!(self.json, "{{\"{PLACEHOLDER}\":true,\"{NUM}\":{}}}", self.binaries.len());
        self.binaries.push(Bytes::copy_from_slice(data));
        self.size = self.size.saturating_sub(data.len());
        Ok(())
    }

    fn ext(&mut self, kind: i8, data: &[u8], fixed: bool) -> Result<(), DecodeError> {
        match (kind, data) {
            (0, _) if !fixed => self.binary(data)?,
            (0, [_]) => self.json.extend_from_slice(b"null"),
            (0, &[a, b, c, d, e, f, g, h]) => {
                time::write(Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])), &mut self.json)
            }
            _ => match time::timestamp(data).filter(|_| kind == -1) {
                Some(millis) => time::write(millis, &mut self.json),
                None => {
                    self.open(false, 0)?;
                    let _ = write!(self.json, "{kind},");
                    self.binary(data)?;
                    self.json.push(b']');
                    self.open.pop();
                }
            },
        }
        Ok(())
    }
}

/// A map's key, if it is one that can be text.
fn key<'a>(reader: &mut Reader<'a>) -> Result<Token<'a>, DecodeError> {
    match reader.next()? {
        Token::Bin(_) | Token::Ext { .. } | Token::Array(_) | Token::Map(_) => Err(DecodeError::BadMsgpack),
        key => Ok(key),
    }
}

/// Appends a number or a word.
pub(super) fn scalar(token: Token<'_>, out: &mut Vec<u8>) {
    // A `Vec` takes everything.
    let _ = match token {
        Token::Nil => out.write_all(b"null"),
        Token::Bool(value) => write!(out, "{value}"),
        Token::Uint(number) => write!(out, "{number}"),
        Token::Int(number) => write!(out, "{number}"),
        Token::Float(number) if number.fract() == 0.0 && number.abs() < EXACT => {
            write!(out, "{}", number as i64)
        }
        // Infinite ones and NaN become `null`.
        Token::Float(number) => serde_json::to_writer(&mut *out, &number).map_err(Into::into),
        _ => Ok(()),
    };
}

/// Appends a string with its quotes.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut at = 0;
    loop {
        let end = json::plain_run(bytes, at);
        out.extend_from_slice(&bytes[at..end]);
        let Some(byte) = bytes.get(end) else { break };
        let short = match byte {
            b'"' | b'\\' => *byte,
            0x08 => b'b',
            b'\t' => b't',
            b'\n' => b'n',
            0x0c => b'f',
            b'\r' => b'r',
            _ => 0,
        };
        let _ = match short {
            0 => write!(out, "\\u{byte:04x}"),
            _ => out.write_all(&[b'\\', short]),
        };
        at = end + 1;
    }
    out.push(b'"');
}
