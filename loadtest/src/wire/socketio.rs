//! Engine.IO 4 and Socket.IO 5 packets as text.

/// The namespace, in the forms in which packets carry it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Namespace {
    path: String,
    /// Empty for `/`, otherwise the path and a comma.
    prefix: String,
}

impl Namespace {
    /// The namespace of this path; a leading `/` is added if it is missing.
    #[must_use]
    pub fn new(path: &str) -> Self {
        let path = format!("/{}", path.trim_start_matches('/'));
        let prefix = if path == "/" { String::new() } else { format!("{path},") };
        Self { path, prefix }
    }

    /// The path, `/` first.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The Engine.IO packet that joins the namespace.
    #[must_use]
    pub fn connect(&self) -> String {
        format!("40{}", self.prefix)
    }

    /// Everything of an event's Engine.IO packet that stands before its JSON array, or before its ack id.
    #[must_use]
    pub fn event(&self) -> String {
        format!("42{}", self.prefix)
    }

    /// What a Socket.IO packet (without the Engine.IO type) says, if it is one of this namespace.
    #[must_use]
    #[inline]
    pub fn parse<'a>(&self, packet: &'a [u8]) -> Option<Packet<'a>> {
        let (&kind, rest) = packet.split_first()?;
        let rest = if self.prefix.is_empty() {
            // The root namespace has no prefix, all others have one.
            (rest.first() != Some(&b'/')).then_some(rest)?
        } else {
            rest.strip_prefix(self.prefix.as_bytes())?
        };
        Some(match kind {
            b'0' => Packet::Connect,
            b'1' => Packet::Disconnect,
            b'2' => {
                let (id, args) = number(rest);
                Packet::Event { id, args }
            }
            b'3' => match number(rest) {
                (Some(id), args) => Packet::Ack { id, args },
                (None, _) => return None,
            },
            b'4' => Packet::ConnectError(rest),
            _ => return None,
        })
    }
}

/// A Socket.IO packet without attachments.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Packet<'a> {
    /// The namespace was joined.
    Connect,
    /// The server ended the namespace.
    Disconnect,
    /// An event; `args` is the JSON array, its first item the name.
    Event {
        /// The id under which the server wants an ack.
        id: Option<u64>,
        /// JSON array: name, arguments.
        args: &'a [u8],
    },
    /// An ack; `args` is the JSON array of its arguments.
    Ack {
        /// The id that we gave.
        id: u64,
        /// JSON array of arguments.
        args: &'a [u8],
    },
    /// The namespace was refused; JSON with the reason.
    ConnectError(&'a [u8]),
}

/// The decimal number at the beginning, if there is one, and what follows.
#[inline]
#[must_use]
pub fn number(bytes: &[u8]) -> (Option<u64>, &[u8]) {
    let mut value = 0u64;
    let mut at = 0;
    while let Some(&digit) = bytes.get(at)
        && digit.is_ascii_digit()
        && at < 19
    {
        value = value * 10 + u64::from(digit - b'0');
        at += 1;
    }
    ((at > 0).then_some(value), &bytes[at..])
}

/// The numbered event that the fan-out sends: `["m",NUMBER,"padding"]`.
#[derive(Clone, Debug)]
pub struct Numbered {
    /// What follows the number, as our encoder writes it.
    tail: Vec<u8>,
}

/// What an event turned out to be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Recognised {
    /// The event, with its number.
    Number(u64),
    /// The event, with its number, but with another padding.
    Altered(u64),
    /// Another event.
    Other,
}

impl Numbered {
    /// The name of the event.
    pub const EVENT: &'static str = "m";
    const BEFORE: &'static [u8] = b"[\"m\",";

    /// Events with so many bytes of padding.
    #[must_use]
    pub fn new(padding: usize) -> Self {
        Self { tail: format!(",\"{}\"]", "x".repeat(padding)).into_bytes() }
    }

    /// What stands behind the number: `,"padding"]`.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// Recognises the event from its JSON array: at once when the server writes JSON as we do, otherwise by
    /// parsing it. Of the padding only the length is compared, and in every 16th event the bytes.
    #[must_use]
    #[inline]
    pub fn recognise(&self, args: &[u8]) -> Recognised {
        if let Some(rest) = args.strip_prefix(Self::BEFORE)
            && let (Some(number), tail) = number(rest)
            && tail.len() == self.tail.len()
            && (number % 16 != 0 || tail == self.tail)
        {
            return Recognised::Number(number);
        }
        self.recognise_slowly(args)
    }

    #[cold]
    fn recognise_slowly(&self, args: &[u8]) -> Recognised {
        let Ok(values) = serde_json::from_slice::<Vec<serde_json::Value>>(args) else {
            return Recognised::Other;
        };
        let number = match values.as_slice() {
            [name, number, ..] if name == Self::EVENT => number.as_u64(),
            _ => None,
        };
        let Some(number) = number else {
            return Recognised::Other;
        };
        let padding = values.get(2).and_then(|value| value.as_str());
        let same = padding
            .is_some_and(|text| text.len() + 4 == self.tail.len() && text.bytes().all(|byte| byte == b'x'));
        if same && values.len() == 3 { Recognised::Number(number) } else { Recognised::Altered(number) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_the_root_and_of_other_namespaces() {
        let root = Namespace::new("/");
        let admin = Namespace::new("admin");
        assert_eq!((admin.path(), admin.event().as_str()), ("/admin", "42/admin,"));
        assert_eq!((root.connect().as_str(), admin.connect().as_str()), ("40", "40/admin,"));
        assert_eq!(root.parse(b"0{\"sid\":\"x\"}"), Some(Packet::Connect));
        assert_eq!(root.parse(b"0/admin,{}"), None, "another namespace");
        assert_eq!(admin.parse(b"0{}"), None, "another namespace");
        assert_eq!(admin.parse(b"3/admin,12[1]"), Some(Packet::Ack { id: 12, args: b"[1]" }));
        assert_eq!(root.parse(b"2[\"a\"]"), Some(Packet::Event { id: None, args: b"[\"a\"]" }));
        assert_eq!(root.parse(b"3[]"), None, "an ack needs its id");
        assert_eq!(root.parse(b""), None);
    }

    #[test]
    fn numbers_of_any_length_do_not_overflow() {
        assert_eq!(number(b"12]"), (Some(12), b"]".as_slice()));
        assert_eq!(number(b"x"), (None, b"x".as_slice()));
        let (value, rest) = number(b"99999999999999999999999");
        assert_eq!((value, rest.len()), (Some(9_999_999_999_999_999_999), 4));
    }

    #[test]
    fn events_are_recognised_however_the_json_is_spaced() {
        let numbered = Numbered::new(3);
        assert_eq!(numbered.recognise(b"[\"m\",17,\"xxx\"]"), Recognised::Number(17));
        assert_eq!(numbered.recognise(b"[ \"m\", 17, \"xxx\" ]"), Recognised::Number(17));
        assert_eq!(numbered.recognise(b"[\"m\",17,\"xx\"]"), Recognised::Altered(17));
        assert_eq!(numbered.recognise(b"[\"m\",16,\"xyx\"]"), Recognised::Altered(16));
        assert_eq!(numbered.recognise(b"[\"auth\",{}]"), Recognised::Other);
        assert_eq!(numbered.recognise(b"[\"m\""), Recognised::Other);
    }
}
