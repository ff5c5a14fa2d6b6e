//! Ordinary serde values become arguments.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde::Serialize;

use super::args::{Args, ArgsError};
use super::{Binary, Value, binary};

/// What can be sent with an event or as an acknowledgement.
///
/// | Value | Arguments |
/// |---|---|
/// | `()` | none |
/// | a number, text, `bool`, `Vec`, `Option`, map, [`Value`], [`Binary`] | one |
/// | `&T` or [`Data<T>`] where `T: Serialize` | one, whatever `T` is |
/// | a tuple of up to eight `Serialize` values | as many |
/// | [`Args`] | those, unchanged |
///
/// A [`Binary`] anywhere inside becomes an attachment. (JavaScript peers refuse packets with more than ten.)
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as Socket.IO arguments",
    label = "not something that becomes arguments",
    note = "send a value of your own type as one argument with `&value` or `Data(value)`, where its type has `#[derive(Serialize)]`",
    note = "send several arguments as a tuple, `(a, b)`, and no argument as `()`"
)]
pub trait IntoArgs {
    /// The arguments.
    ///
    /// # Errors
    /// [`ArgsError::Unsendable`] when serde cannot write a value as JSON, a map whose keys are lists for example.
    fn into_args(self) -> Result<Args, ArgsError>;
}

/// Marks any serde value as one argument.
///
/// As something to send, `Data(value)` is `&value` by value. As a handler's parameter it is the event's first argument.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, Ord, PartialOrd)]
pub struct Data<T>(pub T);

/// Marks a list as several arguments: `Spread(vec)` sends each element as an argument of its own.
///
/// A tuple by value does the same without it. As a handler's parameter it is all of the event's arguments:
/// `Spread((room, text)): Spread<(String, String)>`.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash, Ord, PartialOrd)]
pub struct Spread<T>(pub T);

impl<T: Serialize> IntoArgs for Spread<T> {
    fn into_args(self) -> Result<Args, ArgsError> {
        written(|json| {
            serde_json::to_writer(&mut *json, &self.0).map_err(|error| unsendable(0, &error))?;
            match json.first() {
                Some(b'[') => Ok(()),
                _ => {
                    let reason = "Spread takes a list or a tuple, whose elements become the arguments".into();
                    Err(ArgsError::Unsendable { index: 0, reason })
                }
            }
        })
    }
}

thread_local! {
    /// Where texts are written before their length is known; empty while one is being written.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The largest capacity that [`SCRATCH`] keeps.
const KEPT: usize = 64 * 1024;

/// The arguments whose whole text, brackets included, `write` writes. They are one allocation of the exact size.
fn written(write: impl FnOnce(&mut Vec<u8>) -> Result<(), ArgsError>) -> Result<Args, ArgsError> {
    let mut json = SCRATCH.try_with(Cell::take).unwrap_or_default();
    json.clear();
    let (written, attachments) = binary::collecting(|| write(&mut json));
    let args = written.map(|()| Args::trusted(Bytes::copy_from_slice(&json), attachments));
    if json.capacity() <= KEPT {
        // It fails only while the thread ends.
        let _ = SCRATCH.try_with(|scratch| scratch.set(json));
    }
    args
}

fn one<T: Serialize + ?Sized>(value: &T) -> Result<Args, ArgsError> {
    written(|json| {
        json.push(b'[');
        serde_json::to_writer(&mut *json, value).map_err(|error| unsendable(0, &error))?;
        json.push(b']');
        Ok(())
    })
}

fn unsendable(index: usize, error: &serde_json::Error) -> ArgsError {
    ArgsError::Unsendable { index, reason: error.to_string() }
}

impl IntoArgs for () {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(Args::empty())
    }
}

impl IntoArgs for Args {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(self)
    }
}

impl IntoArgs for &Args {
    fn into_args(self) -> Result<Args, ArgsError> {
        Ok(self.clone())
    }
}

impl<T: Serialize + ?Sized> IntoArgs for &T {
    fn into_args(self) -> Result<Args, ArgsError> {
        one(self)
    }
}

impl<T: Serialize> IntoArgs for Data<T> {
    fn into_args(self) -> Result<Args, ArgsError> {
        one(&self.0)
    }
}

macro_rules! one {
    ($([$($parameters:tt)*] $type:ty,)*) => {
        $(impl<$($parameters)*> IntoArgs for $type {
            fn into_args(self) -> Result<Args, ArgsError> {
                one(&self)
            }
        })*
    };
}

one! {
    [] bool, [] char,
    [] i8, [] i16, [] i32, [] i64, [] i128, [] isize,
    [] u8, [] u16, [] u32, [] u64, [] u128, [] usize,
    [] f32, [] f64,
    [] String, [] Cow<'_, str>, [] Box<str>,
    [] serde_json::Value, [] Value, [] Binary,
    [T: Serialize] Vec<T>,
    [T: Serialize] Option<T>,
    [K: Serialize, V: Serialize] BTreeMap<K, V>,
    [K: Serialize, V: Serialize, S] HashMap<K, V, S>,
}

macro_rules! several {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Serialize),*> IntoArgs for ($($name,)*) {
            fn into_args(self) -> Result<Args, ArgsError> {
                written(|json| {
                    $(
                        json.push(if $index == 0 { b'[' } else { b',' });
                        serde_json::to_writer(&mut *json, &self.$index).map_err(|error| unsendable($index, &error))?;
                    )*
                    json.push(b']');
                    Ok(())
                })
            }
        }
    };
}

several!(A 0);
several!(A 0, B 1);
several!(A 0, B 1, C 2);
several!(A 0, B 1, C 2, D 3);
several!(A 0, B 1, C 2, D 3, E 4);
several!(A 0, B 1, C 2, D 3, E 4, F 5);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
several!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
