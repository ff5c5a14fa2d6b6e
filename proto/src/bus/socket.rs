//! What one node tells another about a socket.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::name::RoomName;

/// What is asked about sockets besides their ids. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketFields {
    /// The rooms they are in.
    pub rooms: bool,
    /// The address, the time, the transport, and whether the connection is encrypted.
    pub connection: bool,
    /// Path and query of the request that opened the connection.
    pub url: bool,
    /// What the application stored for others to see.
    pub data: bool,
    /// Names of headers of the request that opened the connection.
    pub headers: Vec<String>,
}

const ROOMS: u32 = 1;
const CONNECTION: u32 = 2;
const URL: u32 = 4;
const DATA: u32 = 8;

impl SocketFields {
    /// All but the headers as one number. New bits may be added, none may change; unknown ones are ignored.
    pub(super) fn bits(&self) -> u32 {
        let bit = |wanted: bool, bit: u32| if wanted { bit } else { 0 };
        bit(self.rooms, ROOMS) | bit(self.connection, CONNECTION) | bit(self.url, URL) | bit(self.data, DATA)
    }

    pub(super) fn from_bits(bits: u32, headers: Vec<String>) -> Self {
        let has = |bit: u32| bits & bit != 0;
        Self { rooms: has(ROOMS), connection: has(CONNECTION), url: has(URL), data: has(DATA), headers }
    }
}

/// A socket as its node describes it; what was not asked for is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketInfo {
    /// Its id.
    pub id: String,
    /// The rooms it is in; its own, the one named after its id, is among them.
    pub rooms: Vec<RoomName>,
    /// How it is connected.
    pub connection: Option<ConnectionInfo>,
    /// Path and query of the request that opened the connection, as they came.
    pub url: Option<String>,
    /// Name and value of each header that was asked for and is there, in the order of asking.
    pub headers: Vec<(String, String)>,
    /// What the application stored: one JSON text.
    pub data: Option<String>,
}

/// The connection of a socket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The client's IP address; empty if it is not known.
    pub address: String,
    /// When it was opened, in milliseconds since 1970.
    pub time: u64,
    /// Over TLS, or to a proxy that says so.
    pub secure: bool,
    /// `polling` or `websocket`.
    pub transport: String,
}

impl SocketInfo {
    /// Bytes that it takes in a message, about.
    #[must_use]
    pub fn size(&self) -> usize {
        let connection = |of: &ConnectionInfo| of.address.len() + of.transport.len() + 16;
        16 + self.id.len()
            + self.rooms.iter().map(|room| room.len() + 2).sum::<usize>()
            + self.connection.as_ref().map_or(0, connection)
            + self.url.as_ref().map_or(0, String::len)
            + self.headers.iter().map(|(name, value)| name.len() + value.len() + 6).sum::<usize>()
            + self.data.as_ref().map_or(0, String::len)
    }
}

/// `[id, rooms, url, data, names, values, address, time, secure, transport]`: one order for ever, newer nodes append.
impl Serialize for SocketInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (names, values): (Vec<&str>, Vec<&str>) =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
        let of = self.connection.as_ref();
        (
            &self.id,
            &self.rooms,
            &self.url,
            &self.data,
            names,
            values,
            of.map(|of| &of.address),
            of.map(|of| of.time),
            of.map(|of| of.secure),
            of.map(|of| &of.transport),
        )
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SocketInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InfoVisitor;

        impl<'de> Visitor<'de> for InfoVisitor {
            type Value = SocketInfo;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a socket")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<SocketInfo, A::Error> {
                let (id, rooms, url, data) =
                    (next(&mut seq)?, next(&mut seq)?, next(&mut seq)?, next(&mut seq)?);
                let (names, values): (Vec<String>, Vec<String>) = (next(&mut seq)?, next(&mut seq)?);
                if names.len() != values.len() {
                    return Err(A::Error::custom("each header has a name and a value"));
                }
                let address: Option<String> = next(&mut seq)?;
                let (time, secure, transport): (Option<u64>, Option<bool>, Option<String>) =
                    (next(&mut seq)?, next(&mut seq)?, next(&mut seq)?);
                let connection = address.map(|address| ConnectionInfo {
                    address,
                    time: time.unwrap_or_default(),
                    secure: secure.unwrap_or_default(),
                    transport: transport.unwrap_or_default(),
                });
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                let headers = names.into_iter().zip(values).collect();
                Ok(SocketInfo { id, rooms, connection, url, headers, data })
            }
        }

        fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(seq: &mut A) -> Result<T, A::Error> {
            seq.next_element()?.ok_or_else(|| A::Error::custom("the socket has too few elements"))
        }

        deserializer.deserialize_seq(InfoVisitor)
    }
}
