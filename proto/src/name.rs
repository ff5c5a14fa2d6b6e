//! Names that travel: of namespaces and of rooms. Cheap to clone, cheap to compare.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The path of a namespace. It always begins with `/`; conversions add it.
#[derive(Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct NamespacePath(Arc<str>);

/// The name of a room within a namespace.
///
/// Any text. (Python's integer rooms are names too; `bus::python` makes and reads those.)
#[derive(Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct RoomName(Arc<str>);

impl NamespacePath {
    /// The namespace `/`, which every client may join without naming it.
    #[must_use]
    pub fn root() -> Self {
        static ROOT: OnceLock<Arc<str>> = OnceLock::new();
        Self(ROOT.get_or_init(|| Arc::from("/")).clone())
    }

    /// Whether this is `/`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == "/"
    }

    /// Whether a client could name this namespace on the wire: it begins with `/` and has neither a comma, which
    /// ends it there, nor a `?`, which begins a query, nor control characters, one of which separates packets.
    #[must_use]
    pub fn can_travel(path: &str) -> bool {
        path.starts_with('/')
            && !path.bytes().any(|byte| matches!(byte, b',' | b'?') || byte.is_ascii_control())
    }
}

impl Default for NamespacePath {
    fn default() -> Self {
        Self::root()
    }
}

impl From<&str> for NamespacePath {
    fn from(path: &str) -> Self {
        match path {
            "" | "/" => Self::root(),
            _ if path.starts_with('/') => Self(Arc::from(path)),
            _ => Self(Arc::from(format!("/{path}"))),
        }
    }
}

impl From<&str> for RoomName {
    fn from(name: &str) -> Self {
        Self(Arc::from(name))
    }
}

impl From<String> for RoomName {
    fn from(name: String) -> Self {
        Self(Arc::from(name))
    }
}

impl From<String> for NamespacePath {
    fn from(path: String) -> Self {
        Self::from(path.as_str())
    }
}

macro_rules! name {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&String> for $name {
            fn from(name: &String) -> Self {
                Self::from(name.as_str())
            }
        }

        impl From<Cow<'_, str>> for $name {
            fn from(name: Cow<'_, str>) -> Self {
                Self::from(&*name)
            }
        }

        impl From<&Self> for $name {
            fn from(name: &Self) -> Self {
                name.clone()
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Name;
                impl serde::de::Visitor<'_> for Name {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a name")
                    }
                    fn visit_str<E>(self, name: &str) -> Result<$name, E> {
                        Ok($name::from(name))
                    }
                }
                deserializer.deserialize_str(Name)
            }
        }
    };
}

name!(NamespacePath);
name!(RoomName);

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn namespaces_always_begin_with_a_slash() {
        assert_eq!(NamespacePath::from("chat"), NamespacePath::from("/chat".to_owned()));
        assert_eq!(NamespacePath::from(""), NamespacePath::root());
        assert!(NamespacePath::from("/").is_root());
        assert!(Arc::ptr_eq(&NamespacePath::root().0, &NamespacePath::from("/").0), "shared");
        assert_eq!(serde_json::from_str::<NamespacePath>("\"a\\u0062\"").unwrap(), "/ab");
    }

    #[test]
    fn names_that_would_break_the_wire_format_are_told() {
        for (path, can) in
            [("/", true), ("/a/b", true), ("a", false), ("/a,b", false), ("/a?b", false), ("/a\u{1e}", false)]
        {
            assert_eq!(NamespacePath::can_travel(path), can, "{path}");
        }
    }

    #[test]
    fn maps_are_asked_by_text() {
        let rooms = HashMap::from([(RoomName::from("a"), 1)]);
        assert_eq!(rooms.get("a"), Some(&1));
        assert_eq!(rooms.get("b"), None);
    }
}
