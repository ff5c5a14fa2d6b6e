//! Gives arguments to serde, and turns its complaints into words about arguments.

use std::cell::Cell;
use std::fmt;

use serde::de::value::UnitDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer as _, SeqAccess, Visitor,
};

use super::args::{Args, ArgsError};
use super::{binary, json};

/// The longest part of a peer's text that an error repeats, in characters.
const LONGEST_QUOTE: usize = 80;

pub(super) fn first<T: DeserializeOwned>(args: &Args) -> Result<T, ArgsError> {
    let bytes = args.json_bytes();
    let begin = json::skip_space(bytes, 1);
    if bytes.get(begin) == Some(&b']') {
        return binary::providing(args.shared_attachments(), || T::deserialize(null::<serde_json::Error>()))
            .map_err(|error| explain(Place::Missing(0), &error));
    }
    let mut text = serde_json::Deserializer::from_slice(&bytes[begin..]);
    binary::providing(args.shared_attachments(), || T::deserialize(&mut text))
        .map_err(|error| explain(Place::At(0), &error))
}

pub(super) fn all<T: DeserializeOwned>(args: &Args) -> Result<T, ArgsError> {
    let mut text = serde_json::Deserializer::from_slice(args.json_bytes());
    let place = Cell::new(Place::List);
    let list = List { text: &mut text, place: &place };
    binary::providing(args.shared_attachments(), || T::deserialize(list))
        .map_err(|error| explain(place.get(), &error))
}

fn null<E: serde::de::Error>() -> UnitDeserializer<E> {
    ().into_deserializer()
}

/// What is being read, for the error.
#[derive(Copy, Clone)]
enum Place {
    List,
    At(usize),
    Missing(usize),
}

fn explain(place: Place, error: &serde_json::Error) -> ArgsError {
    let mut text = error.to_string();
    // serde_json's position counts in a text that the user never sees.
    if error.line() > 0
        && let Some(position) = text.rfind(" at line ")
    {
        text.truncate(position);
    }
    let parts =
        ["invalid type: ", "invalid value: ", "invalid "].iter().find_map(|prefix| text.strip_prefix(prefix));
    let parts = parts.and_then(|parts| {
        // What came may contain anything, what was expected does not.
        let at = parts.rfind(", expected ")?;
        Some((shorten(&parts[..at]), parts[at + ", expected ".len()..].to_owned()))
    });
    match (place, parts) {
        (Place::Missing(index), Some((_, expected))) => ArgsError::Missing { index, expected },
        (Place::Missing(index), None) => ArgsError::Missing { index, expected: format!("no null ({text})") },
        (Place::At(index), Some((found, expected))) => ArgsError::Mismatch { index, expected, found },
        (Place::At(index), None) => ArgsError::Invalid { index, reason: shorten(&text) },
        (Place::List, Some((_, expected))) => ArgsError::NotAList { expected },
        (Place::List, None) => ArgsError::NotAList { expected: shorten(&text) },
    }
}

fn shorten(text: &str) -> String {
    match text.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The list of arguments as serde sees it.
struct List<'a, 'de> {
    text: &'a mut serde_json::Deserializer<serde_json::de::SliceRead<'de>>,
    place: &'a Cell<Place>,
}

impl<'de> List<'_, 'de> {
    /// `wanted`: how many arguments the type has for sure; those that are missing are read from `null`.
    fn read<V: Visitor<'de>>(self, wanted: usize, visitor: V) -> Result<V::Value, serde_json::Error> {
        self.text.deserialize_seq(Arguments { visitor, wanted, place: self.place })
    }
}

macro_rules! as_list {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
            self.read(0, visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for List<'_, 'de> {
    type Error = serde_json::Error;

    as_list! {
        deserialize_any deserialize_seq deserialize_map deserialize_bool deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_identifier
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.read(len, visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.read(len, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.read(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.read(0, visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    /// No arguments were asked for, so all of them are superfluous.
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }
}

struct Arguments<'a, V> {
    visitor: V,
    wanted: usize,
    place: &'a Cell<Place>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Arguments<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<V::Value, A::Error> {
        let counted = Counted { seq: &mut seq, index: 0, wanted: self.wanted, place: self.place };
        let value = self.visitor.visit_seq(counted)?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(value)
    }
}

struct Counted<'a, A> {
    seq: &'a mut A,
    index: usize,
    wanted: usize,
    place: &'a Cell<Place>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Counted<'_, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let index = self.index;
        self.index += 1;
        self.place.set(Place::At(index));
        let mut seed = Some(seed);
        if let Some(value) = self.seq.next_element_seed(Lend(&mut seed))? {
            return Ok(Some(value));
        }
        match seed {
            Some(seed) if index < self.wanted => {
                self.place.set(Place::Missing(index));
                seed.deserialize(null::<A::Error>()).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// A seed that is still there afterwards if it was not used.
struct Lend<'a, T>(&'a mut Option<T>);

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Lend<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T::Value, D::Error> {
        match self.0.take() {
            Some(seed) => seed.deserialize(deserializer),
            None => Err(serde::de::Error::custom("an argument was read twice")),
        }
    }
}
