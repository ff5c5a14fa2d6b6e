//! A validator and scanner of JSON texts (RFC 8259), for everything that clients and other nodes send.
//!
//! It says whether a text is JSON and where its parts are, in one pass, without allocating and without recursion.
//! Values are never converted here: arguments stay text until somebody asks for them. As `JSON.parse` does, it lets
//! escaped lone surrogates (`"\ud800"`) and numbers of any size pass.

use std::ops::Range;

use crate::DecodeError;

/// How deep arrays and objects may nest at most, whatever the configured limit says: the kinds of the open ones are
/// kept in one integer, and serde_json's own limit is the same.
pub const DEEPEST: usize = 127;

/// Checks that `text` is exactly one JSON value, with whitespace around it at most.
///
/// # Errors
/// [`DecodeError::BadJson`], or [`DecodeError::TooDeep`] when more than `max_depth` arrays and objects nest.
pub fn validate(text: &str, max_depth: usize) -> Result<(), DecodeError> {
    let bytes = text.as_bytes();
    let end = value(bytes, skip_space(bytes, 0), max_depth)?;
    expect_end(bytes, end)
}

/// Checks that `text` is exactly one JSON value and returns it without the whitespace around it.
pub(crate) fn validate_any(text: &str, max_depth: usize) -> Result<&str, DecodeError> {
    validate(text, max_depth)?;
    Ok(text.trim_matches([' ', '\n', '\r', '\t']))
}

/// Checks that `text` is exactly one JSON array and returns it without the whitespace around it.
///
/// # Errors
/// [`DecodeError::BadPayload`] for other values, and as [`validate`].
pub fn validate_array(text: &str, max_depth: usize) -> Result<Range<usize>, DecodeError> {
    let bytes = text.as_bytes();
    let start = skip_space(bytes, 0);
    let end = value(bytes, start, max_depth)?;
    expect_end(bytes, end)?;
    if bytes.get(start) == Some(&b'[') { Ok(start..end) } else { Err(DecodeError::BadPayload) }
}

/// Whether a text has more than `most` values; keys of objects are none. Short texts cannot and are not looked at. A text
/// that is no JSON has none.
pub(crate) fn has_more_values(text: &str, most: usize) -> bool {
    struct Count(usize);
    impl Watch for Count {
        fn scalar(&mut self, _: &[u8]) {
            self.0 += 1;
        }
        fn open(&mut self, _: bool, _: usize) {
            self.0 += 1;
        }
    }
    // Each value but the outermost needs two bytes at least: its own, and a comma or bracket.
    if text.len() / 2 < most {
        return false;
    }
    let mut count = Count(0);
    let bytes = text.as_bytes();
    watched(bytes, skip_space(bytes, 0), DEEPEST, &mut count).is_ok() && count.0 > most
}

/// The first position from `at` that is not whitespace.
#[inline(always)]
pub(crate) fn skip_space(bytes: &[u8], at: usize) -> usize {
    match bytes.get(at) {
        Some(byte) if *byte > b' ' => at,
        _ => skip_some_space(bytes, at),
    }
}

#[inline(never)]
fn skip_some_space(bytes: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = bytes.get(at) {
        at += 1;
    }
    at
}

pub(crate) fn expect_end(bytes: &[u8], at: usize) -> Result<(), DecodeError> {
    if skip_space(bytes, at) == bytes.len() { Ok(()) } else { Err(DecodeError::BadJson) }
}

/// Checks the value that begins at `at` (no whitespace in front of it) and returns where it ends.
pub(crate) fn value(bytes: &[u8], at: usize, max_depth: usize) -> Result<usize, DecodeError> {
    scan(bytes, at, Open::NONE, max_depth, &mut ())
}

/// As [`value`], and tells `watch` what is seen on the way.
pub(crate) fn watched(
    bytes: &[u8],
    at: usize,
    max_depth: usize,
    watch: &mut impl Watch,
) -> Result<usize, DecodeError> {
    scan(bytes, at, Open::NONE, max_depth, watch)
}

/// Checks what follows the comma behind an array's first element, up to the array's end, and returns where that is.
pub(crate) fn rest_of_array(
    bytes: &[u8],
    after_comma: usize,
    max_depth: usize,
) -> Result<usize, DecodeError> {
    scan(bytes, skip_space(bytes, after_comma), Open::NONE.push(false, max_depth)?, max_depth, &mut ())
}

/// Hears what a scan passes, in the order of the text.
pub(crate) trait Watch {
    /// An object's key, as its raw text within the quotes.
    fn key(&mut self, _raw: &[u8]) {}
    /// A string, number or word, as its raw text.
    fn scalar(&mut self, _raw: &[u8]) {}
    /// An array or object begins at `at`.
    fn open(&mut self, _object: bool, _at: usize) {}
    /// The innermost array or object ends in front of `end`.
    ///
    /// # Errors
    /// What it returns ends the scan.
    fn close(&mut self, _object: bool, _end: usize) -> Result<(), DecodeError> {
        Ok(())
    }
}

impl Watch for () {}

/// The arrays and objects that are open around a position, innermost in the lowest bit (1 is an object).
#[derive(Copy, Clone)]
struct Open {
    kinds: u128,
    depth: usize,
}

impl Open {
    const NONE: Self = Self { kinds: 0, depth: 0 };

    #[inline]
    fn push(self, object: bool, max_depth: usize) -> Result<Self, DecodeError> {
        if self.depth >= max_depth.min(DEEPEST) {
            return Err(DecodeError::TooDeep);
        }
        Ok(Self { kinds: self.kinds << 1 | u128::from(object), depth: self.depth + 1 })
    }

    #[inline]
    fn pop(self) -> Self {
        Self { kinds: self.kinds >> 1, depth: self.depth - 1 }
    }

    fn in_object(self) -> bool {
        self.kinds & 1 == 1
    }
}

fn scan<W: Watch>(
    bytes: &[u8],
    mut at: usize,
    mut open: Open,
    max_depth: usize,
    watch: &mut W,
) -> Result<usize, DecodeError> {
    loop {
        // Here a value begins.
        let scalar_end = match bytes.get(at) {
            Some(b'"') => string(bytes, at + 1)?,
            Some(b'-' | b'0'..=b'9') => number(bytes, at)?,
            Some(b't') => word(bytes, at, b"true")?,
            Some(b'f') => word(bytes, at, b"false")?,
            Some(b'n') => word(bytes, at, b"null")?,
            Some(bracket @ (b'{' | b'[')) => {
                let object = *bracket == b'{';
                open = open.push(object, max_depth)?;
                watch.open(object, at);
                at = skip_space(bytes, at + 1);
                match (bytes.get(at), object) {
                    // The loop below closes it.
                    (Some(b'}'), true) | (Some(b']'), false) => 0,
                    (_, true) => {
                        at = key(bytes, at, watch)?;
                        continue;
                    }
                    (_, false) => continue,
                }
            }
            _ => return Err(DecodeError::BadJson),
        };
        if scalar_end != 0 {
            watch.scalar(&bytes[at..scalar_end]);
            at = scalar_end;
        }
        // Here a value has ended.
        loop {
            if open.depth == 0 {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            match (bytes.get(at), open.in_object()) {
                (Some(b','), false) => at = skip_space(bytes, at + 1),
                (Some(b','), true) => at = key(bytes, skip_space(bytes, at + 1), watch)?,
                (Some(b']'), false) | (Some(b'}'), true) => {
                    at += 1;
                    watch.close(open.in_object(), at)?;
                    open = open.pop();
                    continue;
                }
                _ => return Err(DecodeError::BadJson),
            }
            break;
        }
    }
}

/// Checks a key and the colon behind it; returns where its value begins.
#[inline]
fn key<W: Watch>(bytes: &[u8], at: usize, watch: &mut W) -> Result<usize, DecodeError> {
    if bytes.get(at) != Some(&b'"') {
        return Err(DecodeError::BadJson);
    }
    let end = string(bytes, at + 1)?;
    watch.key(&bytes[at + 1..end - 1]);
    let colon = skip_space(bytes, end);
    if bytes.get(colon) != Some(&b':') {
        return Err(DecodeError::BadJson);
    }
    Ok(skip_space(bytes, colon + 1))
}

fn word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, DecodeError> {
    let end = at + word.len();
    if bytes.get(at..end) == Some(word) { Ok(end) } else { Err(DecodeError::BadJson) }
}

/// Checks the string whose opening quote is in front of `at`; returns the position behind its closing quote.
#[inline]
pub(crate) fn string(bytes: &[u8], mut at: usize) -> Result<usize, DecodeError> {
    loop {
        at = plain_run(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at + 1)?,
            _ => return Err(DecodeError::BadJson),
        }
    }
}

#[inline(never)]
fn escape(bytes: &[u8], at: usize) -> Result<usize, DecodeError> {
    match bytes.get(at) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 1),
        Some(b'u') => match bytes.get(at + 1..at + 5) {
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => Ok(at + 5),
            _ => Err(DecodeError::BadJson),
        },
        _ => Err(DecodeError::BadJson),
    }
}

/// The first position from `at` that ends a run of plain string content: a quote, a backslash, a control character or
/// the end of the text. Eight bytes at a time.
#[inline(always)]
pub(crate) fn plain_run(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        // Sets the high bit of each byte that is wanted; a borrow can only spoil bytes above the first one set.
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        let found = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGH;
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        at += 1;
    }
    at
}

/// Checks the number that begins at `at` and returns where it ends.
pub(crate) fn number(bytes: &[u8], mut at: usize) -> Result<usize, DecodeError> {
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = bytes.get(at) {
            at += 1;
        }
        at = digits(bytes, at)?;
    }
    Ok(at)
}

#[inline]
fn digits(bytes: &[u8], first: usize) -> Result<usize, DecodeError> {
    let mut at = first;
    while let Some(b'0'..=b'9') = bytes.get(at) {
        at += 1;
    }
    if at == first { Err(DecodeError::BadJson) } else { Ok(at) }
}

// === Parts of valid texts ===

/// The elements of an array, each as its text. The text must be valid; what is not valid ends the iteration.
pub(crate) fn elements(array: &str) -> impl Iterator<Item = &str> {
    parts(array, b'[', b']').map(|(_, element)| element)
}

/// The members of an object, keys as their raw text within the quotes. The text must be valid; what is not valid ends
/// the iteration.
pub(crate) fn members(object: &str) -> impl Iterator<Item = (&str, &str)> {
    parts(object, b'{', b'}')
}

fn parts(text: &str, opening: u8, closing: u8) -> impl Iterator<Item = (&str, &str)> {
    let bytes = text.as_bytes();
    let start = skip_space(bytes, 0);
    let mut next = (bytes.get(start) == Some(&opening)).then(|| skip_space(bytes, start + 1));
    if next.and_then(|at| bytes.get(at)) == Some(&closing) {
        next = None;
    }
    std::iter::from_fn(move || {
        let begin = next.take()?;
        let (name, begin) = match opening {
            b'{' => {
                let value = key(bytes, begin, &mut ()).ok()?;
                (text.get(begin + 1..string(bytes, begin + 1).ok()? - 1)?, value)
            }
            _ => ("", begin),
        };
        let end = value(bytes, begin, DEEPEST).ok()?;
        let behind = skip_space(bytes, end);
        next = (bytes.get(behind) == Some(&b',')).then(|| skip_space(bytes, behind + 1));
        Some((name, text.get(begin..end)?))
    })
}

/// The text of a string, given as what stands within its quotes. `None` when its escapes make no text (a lone
/// surrogate).
pub(crate) fn unescape(raw: &str) -> Option<std::borrow::Cow<'_, str>> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Some(raw.into());
    }
    let mut quoted = String::with_capacity(raw.len() + 2);
    quoted.push('"');
    quoted.push_str(raw);
    quoted.push('"');
    serde_json::from_str::<String>(&quoted).ok().map(Into::into)
}

#[cfg(test)]
mod tests;
