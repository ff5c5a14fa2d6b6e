//! The arguments of an event or an acknowledgement, kept as text until somebody asks for them.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::{binary, json, read};
use crate::DecodeError;

/// Arguments: one whole valid JSON array as text, and the attachments that its placeholders refer to.
///
/// Cheap to clone; sending them on copies the text and parses nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Args {
    /// Valid UTF-8, a valid JSON array, no whitespace around it; placeholders refer to existing attachments.
    json: Bytes,
    attachments: Attachments,
}

/// The attachments of a packet. Without any it is two empty words.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attachments(Option<Arc<[Bytes]>>);

/// Why arguments could not be read as the wanted type, or a value could not become arguments.
///
/// Arguments are counted from 0, the event's name not included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgsError {
    /// The peer sent fewer arguments, and `null` would not do in place of this one.
    #[error("args[{index}] is missing: expected {expected}")]
    Missing {
        /// Which argument.
        index: usize,
        /// What it should be.
        expected: String,
    },
    /// An argument, or something inside of it, has another type or value.
    #[error("args[{index}]: expected {expected}, got {found}")]
    Mismatch {
        /// Which argument.
        index: usize,
        /// What it should be.
        expected: String,
        /// What came, shortened if it is long.
        found: String,
    },
    /// An argument does not fit for another reason, a missing field for example.
    #[error("args[{index}]: {reason}")]
    Invalid {
        /// Which argument.
        index: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// The wanted type is not one that a list of arguments can become.
    #[error("the list of arguments cannot be read as {expected}: ask for a tuple, a Vec or one argument")]
    NotAList {
        /// What the type expects.
        expected: String,
    },
    /// A value cannot be written as JSON.
    #[error("args[{index}] cannot be sent: {reason}")]
    Unsendable {
        /// Which argument.
        index: usize,
        /// What serde says about it.
        reason: String,
    },
}

impl Args {
    /// No arguments.
    #[must_use]
    pub const fn empty() -> Self {
        Self { json: Bytes::from_static(b"[]"), attachments: Attachments(None) }
    }

    /// Takes the text of a JSON array, and attachments.
    ///
    /// # Errors
    /// [`DecodeError::BadJson`] or [`DecodeError::TooDeep`] when the text is not JSON, [`DecodeError::BadPayload`] when
    /// it is not an array, [`DecodeError::BadPlaceholder`] when there are attachments and a placeholder refers to none.
    pub fn from_parts(json: Bytes, attachments: impl Into<Attachments>) -> Result<Self, DecodeError> {
        Self::checked(json, attachments.into(), json::DEEPEST)
    }

    pub(crate) fn checked(
        mut json: Bytes,
        attachments: Attachments,
        max_depth: usize,
    ) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(&json).map_err(|_| DecodeError::BadJson)?;
        let array = json::validate_array(text, max_depth)?;
        if array.len() != json.len() {
            json = json.slice(array);
        }
        let args = Self { json, attachments };
        args.check_placeholders()?;
        Ok(args)
    }

    /// Takes what was validated, or written by serde, already.
    pub(crate) fn trusted(json: Bytes, attachments: Attachments) -> Self {
        Self { json, attachments }
    }

    /// As JavaScript's parser does, placeholders mean something only when there are attachments.
    pub(crate) fn check_placeholders(&self) -> Result<(), DecodeError> {
        if self.has_binary() {
            binary::check_placeholders(&self.json, self.attachments.len())
        } else {
            Ok(())
        }
    }

    /// The arguments as the text of one JSON array, `[]` if there are none.
    #[must_use]
    pub fn json(&self) -> &str {
        std::str::from_utf8(&self.json).unwrap_or("[]")
    }

    /// The same as bytes, which costs nothing.
    #[must_use]
    pub fn json_bytes(&self) -> &Bytes {
        &self.json
    }

    /// The attachments, in the order in which placeholders count them.
    #[must_use]
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    pub(crate) fn shared_attachments(&self) -> &Attachments {
        &self.attachments
    }

    /// Whether there are attachments.
    #[must_use]
    pub fn has_binary(&self) -> bool {
        self.attachments.0.is_some()
    }

    /// The number of arguments. This reads the text once.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.json.get(json::skip_space(&self.json, 1)) == Some(&b']')
    }

    /// Each argument as its JSON text.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        json::elements(self.json())
    }

    /// Reads all arguments: `T` is a tuple, a `Vec`, a struct with one field an argument, or [`super::Value`].
    ///
    /// As in JavaScript, arguments that are missing behind the last one count as `null`, and superfluous ones are
    /// ignored.
    ///
    /// # Errors
    /// [`ArgsError`] says which argument does not fit, what was expected and what came.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        read::all(self)
    }

    /// Reads the first argument; if there is none, `T` is read from `null`.
    ///
    /// # Errors
    /// [`ArgsError`] as [`Args::parse`].
    pub fn first<T: DeserializeOwned>(&self) -> Result<T, ArgsError> {
        read::first(self)
    }

    /// Bytes of the text and of all attachments.
    #[must_use]
    pub fn size(&self) -> usize {
        self.json.len() + self.attachments.iter().map(Bytes::len).sum::<usize>()
    }
}

impl Default for Args {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Args {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json())?;
        match self.attachments.len() {
            0 => Ok(()),
            count => write!(f, " and {count} attachments"),
        }
    }
}

// === Attachments ===

impl Attachments {
    /// No attachments.
    pub const NONE: Self = Self(None);
}

impl From<Vec<Bytes>> for Attachments {
    fn from(list: Vec<Bytes>) -> Self {
        Self((!list.is_empty()).then(|| list.into()))
    }
}

impl From<&[Bytes]> for Attachments {
    fn from(list: &[Bytes]) -> Self {
        Self((!list.is_empty()).then(|| list.into()))
    }
}

impl<const N: usize> From<[Bytes; N]> for Attachments {
    fn from(list: [Bytes; N]) -> Self {
        Self::from(list.as_slice())
    }
}

impl Deref for Attachments {
    type Target = [Bytes];
    fn deref(&self) -> &[Bytes] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for Attachments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}
