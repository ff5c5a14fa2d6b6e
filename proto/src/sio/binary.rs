//! How binary travels inside serde values.
//!
//! serde_json has no binary, so a [`Binary`] somewhere inside a value becomes a placeholder in the text and an
//! attachment beside it. The attachments pass through a thread-local, which is in use only while [`super::Args`] are
//! written or read: outside of that a [`Binary`] is ordinary serde bytes. Uses may nest (a `Serialize` that writes other
//! arguments), and a panic leaves nothing behind.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Error as _, Serialize, SerializeStruct as _, Serializer};

use super::args::Attachments;
use super::json::{self, Watch};
use crate::DecodeError;

/// Bytes that are sent as an attachment, anywhere inside an argument: `("a.png", Binary(bytes))`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Ord, PartialOrd)]
pub struct Binary(pub Bytes);

pub(super) const PLACEHOLDER: &str = "_placeholder";
pub(super) const NUM: &str = "num";

// === The thread-local ===

#[derive(Copy, Clone, PartialEq, Eq)]
enum Mode {
    Off,
    /// Arguments are being written: attachments go to `SINK`.
    Write,
    /// Arguments without attachments are being read.
    ReadPlain,
    /// Arguments with attachments are being read: they are in `SOURCE`.
    Read,
}

/// What is going on in this thread. Copied out and back, so that the way without binary costs two accesses to a
/// thread-local that has no destructor.
#[derive(Copy, Clone)]
struct State {
    mode: Mode,
    /// Where the attachments of the arguments being written begin in `SINK`; those before belong to outer uses.
    first: usize,
    /// How long `SINK` is.
    end: usize,
}

thread_local! {
    static STATE: Cell<State> = const { Cell::new(State { mode: Mode::Off, first: 0, end: 0 }) };
    static SINK: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
    static SOURCE: RefCell<Attachments> = const { RefCell::new(Attachments::NONE) };
}

/// Runs `write`, which serialises arguments, and returns what it returned and the attachments that it met.
pub(super) fn collecting<R>(write: impl FnOnce() -> R) -> (R, Attachments) {
    struct Restore(State);
    impl Restore {
        fn take(&self) -> Vec<Bytes> {
            let now = STATE.replace(self.0);
            match now.end > self.0.end {
                true => SINK.try_with(|sink| sink.borrow_mut().split_off(self.0.end)).unwrap_or_default(),
                false => Vec::new(),
            }
        }
    }
    impl Drop for Restore {
        fn drop(&mut self) {
            drop(self.take());
        }
    }
    let outer = STATE.get();
    let restore = Restore(outer);
    STATE.set(State { mode: Mode::Write, first: outer.end, end: outer.end });
    let result = write();
    let attachments = restore.take();
    (result, attachments.into())
}

/// Runs `read`, which deserialises arguments that have these attachments.
pub(super) fn providing<R>(attachments: &Attachments, read: impl FnOnce() -> R) -> R {
    struct Restore {
        state: State,
        source: Option<Attachments>,
    }
    impl Drop for Restore {
        fn drop(&mut self) {
            STATE.set(self.state);
            if let Some(source) = self.source.take() {
                // What was provided is dropped after the borrow has ended.
                drop(SOURCE.try_with(|current| current.replace(source)));
            }
        }
    }
    let state = STATE.get();
    let (mode, source) = match attachments.is_empty() {
        true => (Mode::ReadPlain, None),
        false => (Mode::Read, SOURCE.try_with(|current| current.replace(attachments.clone())).ok()),
    };
    let restore = Restore { state, source };
    STATE.set(State { mode, ..state });
    let result = read();
    drop(restore);
    result
}

/// Puts an attachment into the arguments being written. Returns its number; `None` outside of such writing.
fn attach(bytes: &Bytes) -> Option<usize> {
    let state = STATE.get();
    if state.mode != Mode::Write {
        return None;
    }
    SINK.try_with(|sink| sink.borrow_mut().push(bytes.clone())).ok()?;
    STATE.set(State { end: state.end + 1, ..state });
    Some(state.end - state.first)
}

/// Whether arguments with attachments are being read, so that placeholders mean something.
pub(super) fn resolves_placeholders() -> bool {
    STATE.get().mode == Mode::Read
}

/// The attachment of this number, in the arguments being read.
pub(super) fn attachment<E: de::Error>(num: Option<u64>) -> Result<Bytes, E> {
    let found = SOURCE.try_with(|source| {
        let source = source.borrow();
        num.and_then(|num| source.get(usize::try_from(num).ok()?).cloned()).ok_or(source.len())
    });
    match found {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(count)) => {
            Err(E::custom(format_args!("a placeholder refers to none of the {count} attachments")))
        }
        Err(_) => Err(E::custom("binary cannot be read while the thread ends")),
    }
}

// === impl Binary ===

pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    if STATE.get().mode != Mode::Write {
        return serializer.serialize_bytes(bytes);
    }
    let num = attach(bytes).ok_or_else(|| S::Error::custom("binary cannot be sent while the thread ends"))?;
    let mut placeholder = serializer.serialize_struct("Placeholder", 2)?;
    placeholder.serialize_field(PLACEHOLDER, &true)?;
    placeholder.serialize_field(NUM, &num)?;
    placeholder.end()
}

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Binary {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match STATE.get().mode {
            Mode::Read | Mode::ReadPlain => deserializer.deserialize_any(BinaryVisitor),
            Mode::Off | Mode::Write => {
                serde_bytes::ByteBuf::deserialize(deserializer).map(|bytes| Self(bytes.into_vec().into()))
            }
        }
    }
}

struct BinaryVisitor;

impl<'de> Visitor<'de> for BinaryVisitor {
    type Value = Binary;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("binary")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Binary, E> {
        Ok(Binary(Bytes::copy_from_slice(bytes)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Binary, A::Error> {
        let (mut marked, mut num) = (false, None);
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                PLACEHOLDER => marked = map.next_value::<super::Value>()? == super::Value::Bool(true),
                NUM => num = map.next_value::<super::Value>()?.as_index(),
                _ => drop(map.next_value::<de::IgnoredAny>()?),
            }
        }
        match marked && resolves_placeholders() {
            true => attachment(num).map(Binary),
            false => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

impl From<Vec<u8>> for Binary {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&[u8]> for Binary {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<Bytes> for Binary {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl Deref for Binary {
    type Target = Bytes;
    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl AsRef<[u8]> for Binary {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

// === Placeholders in texts ===

/// Checks that every placeholder of a valid text refers to one of `count` attachments.
///
/// A peer's parser stops at a placeholder that refers to none, so such a text must not be passed on to it.
pub(super) fn check_placeholders(text: &[u8], count: usize) -> Result<(), DecodeError> {
    let mut placeholders = Placeholders { count, open: Vec::new() };
    json::watched(text, 0, json::DEEPEST, &mut placeholders).map(drop)
}

struct Placeholders {
    count: usize,
    open: Vec<Candidate>,
}

/// An open object (or array, which has no keys) that may turn out to be a placeholder.
#[derive(Default)]
struct Candidate {
    key: Key,
    marked: bool,
    valid: bool,
}

#[derive(Default)]
enum Key {
    #[default]
    Other,
    Placeholder,
    Num,
}

impl Placeholders {
    fn value(&mut self, is_true: bool, num: Option<f64>) {
        let Some(object) = self.open.last_mut() else { return };
        match object.key {
            Key::Placeholder => object.marked = is_true,
            Key::Num => {
                object.valid =
                    num.is_some_and(|num| num >= 0.0 && num.fract() == 0.0 && num < self.count as f64)
            }
            Key::Other => {}
        }
    }
}

impl Watch for Placeholders {
    fn key(&mut self, raw: &[u8]) {
        let name = std::str::from_utf8(raw).ok().and_then(json::unescape);
        if let Some(object) = self.open.last_mut() {
            object.key = match name.as_deref() {
                Some(PLACEHOLDER) => Key::Placeholder,
                Some(NUM) => Key::Num,
                _ => Key::Other,
            };
        }
    }

    fn scalar(&mut self, raw: &[u8]) {
        if let Some(Candidate { key: Key::Placeholder | Key::Num, .. }) = self.open.last() {
            let num = std::str::from_utf8(raw).ok().and_then(|raw| raw.parse().ok());
            self.value(raw == b"true", num);
        }
    }

    fn open(&mut self, _object: bool, _at: usize) {
        self.value(false, None);
        self.open.push(Candidate::default());
    }

    fn close(&mut self, _object: bool, _end: usize) -> Result<(), DecodeError> {
        match self.open.pop() {
            Some(Candidate { marked: true, valid: false, .. }) => Err(DecodeError::BadPlaceholder),
            _ => Ok(()),
        }
    }
}
