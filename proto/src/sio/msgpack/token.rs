//! Msgpack, one value's header after another. Every length is compared with what is there before anything is done with
//! it, so that no header can ask for more than the bytes that came.

use crate::DecodeError;

/// A scalar, or the header of what follows.
#[derive(Copy, Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    Nil,
    Bool(bool),
    Uint(u64),
    /// Mostly negative; the form does not say.
    Int(i64),
    Float(f64),
    Str(&'a str),
    Bin(&'a [u8]),
    /// A value of another type, and whether its form says by itself how long it is.
    Ext {
        kind: i8,
        data: &'a [u8],
        fixed: bool,
    },
    /// So many values follow.
    Array(usize),
    /// So many pairs of values follow.
    Map(usize),
}

/// A position in a message.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(DecodeError::BadMsgpack)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(DecodeError::BadMsgpack)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A length in one, two or four bytes, as the low bits of the form say.
    fn len(&mut self, form: u8) -> Result<usize, DecodeError> {
        Ok(match form {
            0 => self.bytes::<1>()?[0].into(),
            1 => u16::from_be_bytes(self.bytes()?).into(),
            _ => u32::from_be_bytes(self.bytes()?) as usize,
        })
    }

    fn str(&mut self, len: usize) -> Result<Token<'a>, DecodeError> {
        std::str::from_utf8(self.take(len)?).map(Token::Str).map_err(|_| DecodeError::BadMsgpack)
    }

    fn ext(&mut self, len: usize, fixed: bool) -> Result<Token<'a>, DecodeError> {
        let [kind] = self.bytes()?;
        Ok(Token::Ext { kind: kind as i8, data: self.take(len)?, fixed })
    }

    /// Each value takes a byte at least.
    fn container(
        &self,
        len: usize,
        values: usize,
        token: fn(usize) -> Token<'a>,
    ) -> Result<Token<'a>, DecodeError> {
        if len.saturating_mul(values) > self.rest.len() {
            return Err(DecodeError::BadMsgpack);
        }
        Ok(token(len))
    }

    pub(super) fn next(&mut self) -> Result<Token<'a>, DecodeError> {
        let [first] = self.bytes()?;
        Ok(match first {
            0x00..=0x7f => Token::Uint(first.into()),
            0x80..=0x8f => self.container((first & 0x0f).into(), 2, Token::Map)?,
            0x90..=0x9f => self.container((first & 0x0f).into(), 1, Token::Array)?,
            0xa0..=0xbf => self.str((first & 0x1f).into())?,
            0xc0 => Token::Nil,
            0xc1 => return Err(DecodeError::BadMsgpack),
            0xc2 | 0xc3 => Token::Bool(first == 0xc3),
            0xc4..=0xc6 => {
                let len = self.len(first - 0xc4)?;
                Token::Bin(self.take(len)?)
            }
            0xc7..=0xc9 => {
                let len = self.len(first - 0xc7)?;
                self.ext(len, false)?
            }
            0xca => Token::Float(f32::from_be_bytes(self.bytes()?).into()),
            0xcb => Token::Float(f64::from_be_bytes(self.bytes()?)),
            0xcc => Token::Uint(u8::from_be_bytes(self.bytes()?).into()),
            0xcd => Token::Uint(u16::from_be_bytes(self.bytes()?).into()),
            0xce => Token::Uint(u32::from_be_bytes(self.bytes()?).into()),
            0xcf => Token::Uint(u64::from_be_bytes(self.bytes()?)),
            0xd0 => Token::Int(i8::from_be_bytes(self.bytes()?).into()),
            0xd1 => Token::Int(i16::from_be_bytes(self.bytes()?).into()),
            0xd2 => Token::Int(i32::from_be_bytes(self.bytes()?).into()),
            0xd3 => Token::Int(i64::from_be_bytes(self.bytes()?)),
            0xd4..=0xd8 => self.ext(1 << (first - 0xd4), true)?,
            0xd9..=0xdb => {
                let len = self.len(first - 0xd9)?;
                self.str(len)?
            }
            0xdc | 0xdd => {
                let len = self.len(first - 0xdc + 1)?;
                self.container(len, 1, Token::Array)?
            }
            0xde | 0xdf => {
                let len = self.len(first - 0xde + 1)?;
                self.container(len, 2, Token::Map)?
            }
            0xe0..=0xff => Token::Int((first as i8).into()),
        })
    }

    /// Passes over one value, however deep it is.
    pub(super) fn skip(&mut self) -> Result<(), DecodeError> {
        let mut left: u64 = 1;
        while left > 0 {
            left -= 1;
            match self.next()? {
                Token::Array(len) => left += len as u64,
                Token::Map(len) => left += 2 * len as u64,
                _ => {}
            }
            // What is still to come takes a byte each.
            if left > self.rest.len() as u64 {
                return Err(DecodeError::BadMsgpack);
            }
        }
        Ok(())
    }
}

impl Token<'_> {
    /// Whether JavaScript's decoder makes `undefined` of it.
    pub(super) fn is_undefined(&self) -> bool {
        matches!(self, Self::Ext { kind: 0, data: [_], fixed: true })
    }

    /// The same, or nil, which Python's peers write instead.
    pub(super) fn is_absent(&self) -> bool {
        self.is_undefined() || *self == Self::Nil
    }
}
