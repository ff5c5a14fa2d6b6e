//! Ids: of nodes, of sockets, of Engine.IO sessions and of requests between nodes.
//!
//! Nothing here draws random numbers: the caller brings them, so that tests are repeatable and the crate stays pure.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use sha2::Sha256;

use crate::name::NamespacePath;

// === NodeId ===

/// One process of a cluster: six random bytes, drawn when it starts.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct NodeId([u8; 6]);

/// The text was not twelve lowercase hexadecimal digits.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a node id is twelve lowercase hexadecimal digits")]
pub struct NodeIdError;

impl NodeId {
    /// The node id made of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 6]) -> Self {
        Self(bytes)
    }

    /// Its six bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 6] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let digits = text.as_bytes();
        let mut id = [0; 6];
        if digits.len() != 12 {
            return Err(NodeIdError);
        }
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex(pair[0])? << 4 | hex(pair[1])?;
        }
        Ok(Self(id))
    }
}

fn hex(digit: u8) -> Result<u8, NodeIdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NodeIdError),
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = NodeId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a node id (six bytes, or twelve hexadecimal digits)")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<NodeId, E> {
                bytes.try_into().map(NodeId).map_err(|_| E::invalid_length(bytes.len(), &self))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<NodeId, E> {
                text.parse().map_err(E::custom)
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Id)
        } else {
            deserializer.deserialize_bytes(Id)
        }
    }
}

// === SocketId ===

/// One socket, that is one connection in one namespace.
///
/// 20 characters of base64url, of 15 random bytes. It is public (clients learn each other's), so it says nothing about the
/// Engine.IO session, whose id is a secret.
///
/// Clients of Engine.IO 3 are not told their ids: they take the session's for the one in `/`, and put `NAMESPACE#` in
/// front of it elsewhere. Their sockets have these ids, so that what such a client says of itself means it.
#[derive(Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
pub struct SocketId(Text);

#[derive(Clone, Eq, PartialEq, Hash, Ord, PartialOrd)]
enum Text {
    Own([u8; 20]),
    Legacy(Arc<str>),
}

impl SocketId {
    /// The id made of 15 random bytes.
    #[must_use]
    pub fn from_random(random: [u8; 15]) -> Self {
        let mut text = [b'A'; 20];
        // 15 bytes fill 20 characters exactly.
        let _ = URL_SAFE_NO_PAD.encode_slice(random, &mut text);
        Self(Text::Own(text))
    }

    /// The id that a client of Engine.IO 3 takes for its own in a namespace.
    #[must_use]
    pub fn legacy(namespace: &NamespacePath, session: &Sid) -> Self {
        let session = session.text();
        let text = if namespace.is_root() {
            Arc::from(session.as_str())
        } else {
            [namespace.as_str(), "#", session.as_str()].concat().into()
        };
        Self(Text::Legacy(text))
    }

    /// Reads an id; `None` for any text that neither [`SocketId::from_random`] nor [`SocketId::legacy`] can make.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if !Self::is_id(text) {
            return None;
        }
        Some(Self(match text.as_bytes().try_into() {
            Ok(own) => Text::Own(own),
            Err(_) => Text::Legacy(text.into()),
        }))
    }

    /// Whether [`SocketId::parse`] reads this text; allocates nothing.
    #[must_use]
    pub fn is_id(text: &str) -> bool {
        let is_base64 =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        // As the version of a session's id, its first byte, begins them. Others may name rooms by 40 characters, too.
        let is_sid = |text: &str| matches!(text.as_bytes(), [b'A', b'Q'..=b'Z' | b'a'..=b'f', ..]);
        match text.len() {
            20 => is_base64(text),
            40 => is_base64(text) && is_sid(text),
            // "/a#" and a session's id are the least.
            43.. if text.starts_with('/') => {
                text.split_at_checked(text.len() - 40).is_some_and(|(namespace, session)| {
                    namespace.ends_with('#') && is_base64(session) && is_sid(session)
                })
            }
            _ => false,
        }
    }

    /// What tells this socket from others in its namespace: all of the id, or the session's part of one that a client of
    /// Engine.IO 3 made. (Clients of Socket.IO 1.x take that for the whole in every namespace.)
    #[must_use]
    pub fn key(&self) -> &str {
        Self::key_of(self.as_str())
    }

    /// The same of the text of an id.
    #[must_use]
    pub fn key_of(id: &str) -> &str {
        if id.starts_with('/') { id.get(id.len().saturating_sub(40)..).unwrap_or(id) } else { id }
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Own(text) => std::str::from_utf8(text).unwrap_or_default(),
            Text::Legacy(text) => text,
        }
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SocketId({self})")
    }
}

impl Serialize for SocketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Id;
        impl Visitor<'_> for Id {
            type Value = SocketId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a socket id (20 characters of base64url, or of Engine.IO 3)")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<SocketId, E> {
                SocketId::parse(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Id)
    }
}

// === Sid ===

const SID_VERSION: u8 = 1;
const SID_MAC_AT: usize = 22;

/// An Engine.IO session id. Opaque to clients; to nodes it says which process holds the session.
///
/// 30 bytes: version 1, node 6, boot 2, random 13, MAC 8. As text 40 characters of base64url.
#[derive(Copy, Clone, Eq, PartialEq, Hash)]
pub struct Sid([u8; 30]);

/// The text of a [`Sid`], on the stack.
#[derive(Copy, Clone, Eq, PartialEq, Hash)]
pub struct SidText([u8; 40]);

impl Sid {
    /// The node that made it.
    #[must_use]
    pub fn node(&self) -> NodeId {
        let mut node = [0; 6];
        node.copy_from_slice(&self.0[1..7]);
        NodeId(node)
    }

    /// Which start of that node made it: two bytes that differ from one start to the next.
    #[must_use]
    pub const fn boot(&self) -> [u8; 2] {
        [self.0[7], self.0[8]]
    }

    /// 64 of its random bits: enough to find a session among those of one node.
    #[must_use]
    pub fn key(&self) -> u64 {
        let mut key = [0; 8];
        key.copy_from_slice(&self.0[9..17]);
        u64::from_le_bytes(key)
    }

    /// Its text, as clients see it.
    #[must_use]
    pub fn text(&self) -> SidText {
        let mut text = [b'A'; 40];
        // 30 bytes fill 40 characters exactly.
        let _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        SidText(text)
    }
}

impl SidText {
    /// Its 40 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl std::ops::Deref for SidText {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for SidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text().as_str())
    }
}

/// Shows the node and the boot only: a whole session id in a log would let its reader take the session over.
impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [high, low] = self.boot();
        write!(f, "Sid({}/{high:02x}{low:02x}, …)", self.node())
    }
}

// === SidKeys ===

/// The cluster's secrets, ready to sign and verify session ids (HMAC-SHA256, the first 8 bytes of it).
#[derive(Clone)]
pub struct SidKeys {
    /// States that have taken in their key and the label already; the first one signs.
    keyed: Vec<Hmac<Sha256>>,
}

/// Why a session id was refused.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SidError {
    /// Not 40 characters of base64url, or of another version.
    #[error("the session id is malformed")]
    Malformed,
    /// Its MAC was not made with any of the secrets.
    #[error("the session id was not made by this cluster")]
    Forged,
}

impl SidKeys {
    /// Takes the secrets: the first one signs, all of them verify, so that secrets can be rotated one node at a time.
    ///
    /// Without any secret nothing verifies.
    #[must_use]
    pub fn new<S: AsRef<[u8]>>(secrets: &[S]) -> Self {
        let keyed = secrets
            .iter()
            .filter_map(|secret| <Hmac<Sha256>>::new_from_slice(secret.as_ref()).ok())
            .map(|mac| mac.chain_update(b"sockeye session id\0"))
            .collect();
        Self { keyed }
    }

    /// A new session id. `random` must come from a cryptographic source: it is what keeps ids from being guessed.
    #[must_use]
    pub fn mint(&self, node: NodeId, boot: [u8; 2], random: [u8; 13]) -> Sid {
        let mut sid = [0; 30];
        sid[0] = SID_VERSION;
        sid[1..7].copy_from_slice(&node.0);
        sid[7..9].copy_from_slice(&boot);
        sid[9..SID_MAC_AT].copy_from_slice(&random);
        if let Some(keyed) = self.keyed.first() {
            let mac = keyed.clone().chain_update(&sid[..SID_MAC_AT]).finalize().into_bytes();
            sid[SID_MAC_AT..].copy_from_slice(&mac[..8]);
        }
        Sid(sid)
    }

    /// Reads a session id that a client sent. The MAC is compared in constant time.
    ///
    /// # Errors
    /// [`SidError`]: malformed text, or a MAC that no secret made.
    pub fn verify(&self, text: &str) -> Result<Sid, SidError> {
        let mut sid = [0; 30];
        if text.len() != 40 || URL_SAFE_NO_PAD.decode_slice(text, &mut sid) != Ok(30) || sid[0] != SID_VERSION
        {
            return Err(SidError::Malformed);
        }
        let (signed, mac) = sid.split_at(SID_MAC_AT);
        let genuine =
            |keyed: &Hmac<Sha256>| keyed.clone().chain_update(signed).verify_truncated_left(mac).is_ok();
        if self.keyed.iter().any(genuine) { Ok(Sid(sid)) } else { Err(SidError::Forged) }
    }
}

/// Shows how many secrets there are, never a secret.
impl fmt::Debug for SidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SidKeys({} secrets)", self.keyed.len())
    }
}

// === RequestId ===

/// A request of one node to others; unique within the process that asks.
#[derive(
    Copy, Clone, Debug, Default, Eq, PartialEq, Hash, Ord, PartialOrd, serde::Serialize, serde::Deserialize,
)]
pub struct RequestId(pub u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: NodeId = NodeId([0, 0x1f, 2, 3, 4, 0xff]);

    #[test]
    fn node_ids_are_hexadecimal_text() {
        assert_eq!(NODE.to_string(), "001f020304ff");
        assert_eq!("001f020304ff".parse(), Ok(NODE));
        for bad in ["", "001f020304f", "001f020304fff", "001F020304ff", "001f020304fg", "é01f020304f"] {
            assert_eq!(bad.parse::<NodeId>(), Err(NodeIdError), "{bad}");
        }
        let json = serde_json::to_string(&NODE).unwrap();
        assert_eq!(json, "\"001f020304ff\"");
        assert_eq!(serde_json::from_str::<NodeId>(&json).unwrap(), NODE);
        let packed = rmp_serde::to_vec(&NODE).unwrap();
        assert_eq!(packed, [0xc4, 6, 0, 0x1f, 2, 3, 4, 0xff]);
        assert_eq!(rmp_serde::from_slice::<NodeId>(&packed).unwrap(), NODE);
    }

    #[test]
    fn socket_ids_are_twenty_characters() {
        let id = SocketId::from_random([0xff; 15]);
        assert_eq!(id.as_str(), "____________________");
        assert_eq!(SocketId::parse(id.as_str()), Some(id));
        assert_eq!(SocketId::parse("short"), None);
        assert_eq!(SocketId::parse("AAAAAAAAAAAAAAAAAAA="), None);
        assert_eq!(SocketId::parse("AAAAAAAAAAAAAAAAAAé"), None);
    }

    #[test]
    fn clients_of_engine_io_3_make_their_ids_themselves() {
        let sid = SidKeys::new(&["secret"]).mint(NODE, [7, 9], [3; 13]);
        let root = SocketId::legacy(&NamespacePath::root(), &sid);
        assert_eq!(root.as_str(), sid.text().as_str());
        let chat = SocketId::legacy(&"/chat".into(), &sid);
        assert_eq!(chat.as_str(), format!("/chat#{sid}"));
        let odd = SocketId::legacy(&"/é#/".into(), &sid);
        for id in [&root, &chat, &odd] {
            assert_eq!(SocketId::parse(id.as_str()).as_ref(), Some(id));
        }
        let text = sid.to_string();
        let other = format!("B{}", &text[1..]);
        for bad in [
            other,
            format!("chat#{text}"),
            format!("#{text}"),
            format!("/chat{text}"),
            format!("/é{}", &text[1..]),
        ] {
            assert_eq!(SocketId::parse(&bad), None, "{bad}");
        }
        assert_eq!((chat.key(), root.key(), odd.key()), (&*text, &*text, &*text));
        let own = SocketId::from_random([0; 15]);
        assert_eq!(own.key(), own.as_str());
        assert_eq!(size_of::<SocketId>(), 24);
    }

    #[test]
    fn a_sid_describes_itself_to_whoever_has_the_secret() {
        let keys = SidKeys::new(&["a", "b"]);
        let sid = keys.mint(NODE, [7, 9], [3; 13]);
        assert_eq!((sid.node(), sid.boot()), (NODE, [7, 9]));
        assert_eq!(sid.to_string().len(), 40);
        assert_eq!(keys.verify(&sid.text()), Ok(sid));
        assert_eq!(SidKeys::new(&["b", "a"]).verify(&sid.text()), Ok(sid), "a rotated secret still verifies");
        assert_eq!(SidKeys::new(&["b"]).verify(&sid.text()), Err(SidError::Forged));
        assert_eq!(SidKeys::new::<&str>(&[]).verify(&sid.text()), Err(SidError::Forged));
        assert!(!format!("{sid:?} {keys:?}").contains(sid.text().as_str()));
    }

    #[test]
    fn every_changed_character_of_a_sid_is_noticed() {
        let keys = SidKeys::new(&[[0_u8; 200]]);
        let text = keys.mint(NODE, [7, 9], [3; 13]).to_string();
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert!(keys.verify(std::str::from_utf8(&changed).unwrap()).is_err(), "at {at}");
        }
        for bad in ["", "AAAA", &text[..39], &format!("{text}A"), &format!("{}=", &text[..39])] {
            assert_eq!(keys.verify(bad), Err(SidError::Malformed), "{bad}");
        }
    }
}
