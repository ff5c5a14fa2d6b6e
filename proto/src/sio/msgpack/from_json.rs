//! JSON text becomes msgpack, without values in between: one pass counts what each list and object holds, which msgpack
//! says in front, and another one writes.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use super::encode::{array, binary, float, int, map, string, uint};
use crate::DecodeError;
use crate::sio::Args;
use crate::sio::binary::{NUM, PLACEHOLDER};
use crate::sio::json::{self, Watch};

/// Appends a JSON value; nil if the text is none.
pub(super) fn value(json: &[u8], out: &mut Vec<u8>) {
    let at = json::skip_space(json, 0);
    let Ok(shapes) = Shapes::of(json, at, 0) else {
        out.push(0xc0);
        return;
    };
    write(json, at, &shapes, &[], 0, out);
}

/// Appends arguments as a list, whose first element is the event's name if there is one. Arguments that nest more deeply
/// than any peer may send them are left out.
pub(super) fn args(name: Option<&str>, args: &Args, out: &mut Vec<u8>) {
    let json = args.json_bytes();
    let at = json::skip_space(json, 0);
    let shapes = Shapes::of(json, at, args.attachments().len());
    let count = shapes.as_ref().map_or(0, |shapes| shapes.0.first().map_or(0, |list| list.count));
    array(count + usize::from(name.is_some()), out);
    if let Some(name) = name {
        string(name.as_bytes(), out);
    }
    if let Ok(shapes) = shapes {
        write(json, at, &shapes, args.attachments(), 1, out);
    }
}

/// What a list or an object is.
#[derive(Clone, Default)]
struct Shape {
    /// Elements, or members.
    count: usize,
    /// It stands for the attachment of this number.
    placeholder: Option<usize>,
}

/// Those of a text, in the order in which they begin.
#[derive(Default)]
struct Shapes(SmallVec<[Shape; 8]>);

impl Shapes {
    fn of(json: &[u8], at: usize, attachments: usize) -> Result<Self, DecodeError> {
        let mut count = Count { shapes: Self::default(), open: SmallVec::new(), attachments };
        json::watched(json, at, json::DEEPEST, &mut count)?;
        Ok(count.shapes)
    }
}

/// The first pass.
struct Count {
    shapes: Shapes,
    /// Those that are open, innermost last.
    open: SmallVec<[Open; 8]>,
    attachments: usize,
}

struct Open {
    index: usize,
    object: bool,
    key: Key,
    marked: bool,
    num: Option<usize>,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Key {
    Other,
    Placeholder,
    Num,
}

impl Count {
    /// A value is seen: as it is written, if it is a scalar.
    fn value(&mut self, raw: &[u8]) {
        let Some(open) = self.open.last_mut() else { return };
        match open.key {
            Key::Placeholder => open.marked = raw == b"true",
            Key::Num => open.num = index(raw).filter(|num| *num < self.attachments),
            Key::Other => {}
        }
        if !open.object {
            self.shapes.0[open.index].count += 1;
        }
    }
}

/// A placeholder's number. JavaScript has one kind of number only, so `0.0` counts as `0`.
fn index(raw: &[u8]) -> Option<usize> {
    let number: f64 = std::str::from_utf8(raw).ok()?.parse().ok()?;
    (number >= 0.0 && number.fract() == 0.0 && number < 1e9).then_some(number as usize)
}

impl Watch for Count {
    fn key(&mut self, raw: &[u8]) {
        let Some(open) = self.open.last_mut() else { return };
        self.shapes.0[open.index].count += 1;
        if self.attachments > 0 {
            let name = unescape(raw);
            open.key = match &*name {
                name if name == PLACEHOLDER.as_bytes() => Key::Placeholder,
                name if name == NUM.as_bytes() => Key::Num,
                _ => Key::Other,
            };
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        self.value(raw);
    }

    fn open(&mut self, object: bool, _at: usize) {
        self.value(b"");
        let index = self.shapes.0.len();
        self.shapes.0.push(Shape::default());
        self.open.push(Open { index, object, key: Key::Other, marked: false, num: None });
    }

    fn close(&mut self, _object: bool, _end: usize) -> Result<(), DecodeError> {
        if let Some(Open { index, object: true, marked: true, num, .. }) = self.open.pop() {
            self.shapes.0[index].placeholder = num;
        }
        Ok(())
    }
}

/// The second pass. The first `written` lists and objects have their headers already.
fn write(json: &[u8], at: usize, shapes: &Shapes, attachments: &[Bytes], written: usize, out: &mut Vec<u8>) {
    let mut writer = Write { shapes: &shapes.0, attachments, out, next: 0, written, depth: 0, silent: None };
    // The first pass has seen the same text.
    let _ = json::watched(json, at, json::DEEPEST, &mut writer);
}

struct Write<'a> {
    shapes: &'a [Shape],
    attachments: &'a [Bytes],
    out: &'a mut Vec<u8>,
    /// Which list or object begins next.
    next: usize,
    written: usize,
    depth: usize,
    /// How deep the placeholder is whose inside is passed over.
    silent: Option<usize>,
}

impl Watch for Write<'_> {
    fn key(&mut self, raw: &[u8]) {
        if self.silent.is_none() {
            string(&unescape(raw), self.out);
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        if self.silent.is_some() {
            return;
        }
        match raw {
            [b'"', text @ .., b'"'] => string(&unescape(text), self.out),
            b"null" => self.out.push(0xc0),
            b"false" => self.out.push(0xc2),
            b"true" => self.out.push(0xc3),
            _ => number(raw, self.out),
        }
    }

    fn open(&mut self, object: bool, _at: usize) {
        let index = self.next;
        self.next += 1;
        self.depth += 1;
        if self.silent.is_some() || index < self.written {
            return;
        }
        let Some(shape) = self.shapes.get(index) else { return };
        match shape.placeholder.and_then(|num| self.attachments.get(num)) {
            Some(data) => {
                binary(data, self.out);
                self.silent = Some(self.depth);
            }
            None if object => map(shape.count, self.out),
            None => array(shape.count, self.out),
        }
    }

    fn close(&mut self, _object: bool, _end: usize) -> Result<(), DecodeError> {
        if self.silent == Some(self.depth) {
            self.silent = None;
        }
        self.depth -= 1;
        Ok(())
    }
}

fn number(raw: &[u8], out: &mut Vec<u8>) {
    // The text of a number is ASCII.
    let text = std::str::from_utf8(raw).unwrap_or("0");
    if let Ok(number) = text.parse::<u64>() {
        uint(number, out);
    } else if let Ok(number) = text.parse::<i64>() {
        int(number, out);
    } else {
        float(text.parse().unwrap_or(0.0), out);
    }
}

/// The text of a string, given as what stands within its quotes. Halves of surrogate pairs, which UTF-8 has no form for,
/// become U+FFFD, as they do where Node.js writes them.
fn unescape(raw: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr(b'\\', raw) else { return Cow::Borrowed(raw) };
    let mut text = Vec::with_capacity(raw.len());
    text.extend_from_slice(&raw[..first]);
    let mut rest = &raw[first..];
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte != b'\\' {
            text.push(*byte);
            continue;
        }
        let [kind, behind @ ..] = rest else { break };
        rest = behind;
        match kind {
            b'b' => text.push(0x08),
            b'f' => text.push(0x0c),
            b'n' => text.push(b'\n'),
            b'r' => text.push(b'\r'),
            b't' => text.push(b'\t'),
            b'u' => {
                let (mut code, behind) = hex(rest);
                rest = behind;
                if let (0xd800..0xdc00, [b'\\', b'u', low @ ..]) = (code, rest)
                    && let (half @ 0xdc00..0xe000, behind) = hex(low)
                {
                    code = 0x1_0000 + ((code - 0xd800) << 10 | (half - 0xdc00));
                    rest = behind;
                }
                let char = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                text.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => text.push(*other),
        }
    }
    Cow::Owned(text)
}

/// The number that four digits are, and what follows them.
fn hex(raw: &[u8]) -> (u32, &[u8]) {
    let (digits, rest) = raw.split_at(raw.len().min(4));
    let code = digits.iter().fold(0, |code, digit| code << 4 | (*digit as char).to_digit(16).unwrap_or(0));
    (code, rest)
}
