//! The messages of python-socketio's managers, both directions.
//!
//! One message is one JSON object on one shared channel; there is no framing, no membership and no sequence. What is
//! said here was measured with python-socketio 5.11.4, 5.14.1, 5.14.3, 5.15.0 and 5.18.1; the recorded messages are
//! fixtures of this crate's tests.
//!
//! # Dialects
//! They differ in `data`, an event's arguments:
//!
//! | | Versions | `data` | binary |
//! |---|---|---|---|
//! | A | up to 5.13 | the whole message is a pickle | within the pickle |
//! | B1 | 5.14.0, 5.14.1 | the value; several arguments become one list | cannot be sent |
//! | B2 | 5.14.2 to 5.15.0 | the value; several arguments become one list | `binary: true`, `[value, base64…]` |
//! | C | from 5.15.1 | always a list of arguments | `binary: true`, `[[arguments], base64…]` |
//!
//! Read are B1, B2 and C. A message does not say which it is: a list is taken for a list of arguments, as C nodes do, so
//! a list that a B node sent as one argument arrives as several. A pickle is told ([`PythonError::Pickle`]) and never
//! opened: opening one runs whatever its author wrote.
//!
//! Written is what most versions understand: one argument that is neither a list nor binary goes bare (B1's form), one
//! argument with binary inside that is not a list in B2's form, no arguments as `null`, everything else in C's form.
//!
//! # What they cannot carry
//! * **A**, on Redis and Kombu, also reads JSON: one plain argument arrives right, a list or several arguments as one
//!   list inside a list, binary as its placeholders and base64. On aio-pika, Kafka and ZeroMQ it reads none of it. What
//!   an A node or emitter sends is never read.
//! * **B1**: binary arrives as placeholders and base64. **B1 and B2**: several arguments, and one argument that is a
//!   list, arrive as one argument that is the list of them.
//! * **All**: one argument that is `null` arrives as no argument. Exceptions are socket ids only: other rooms in
//!   [`Target::except`] have no effect there. There is no *volatile*, no deadline, no joining, leaving or disconnecting
//!   by room, no closing of whole connections, no asking for members, no count of acknowledgements, and none with binary
//!   ([`encode_callback`] returns `None`): one answer is routed, and only the first counts.
//! * Python drops a message without a namespace, so here it is an error as well. `NaN` and `Infinity`, which Python
//!   writes and JSON does not have, are read as `null`. Integers of any size stay as they are written.

mod decode;
mod encode;

use crate::id::NodeId;
use crate::name::{NamespacePath, RoomName};
use crate::sio::Args;

use super::Target;

pub use decode::decode;
pub use encode::{
    encode_callback, encode_close_room, encode_disconnect, encode_emit, encode_enter_room, encode_leave_room,
};

// Well-formed random UUIDs (version 4) as Python makes them, apart from the node's id in the place of the last digits.
const NODE_TAG: &str = "50c8e7e0d0de4b058000";
const EMITTER_TAG: &str = "50c8e7e0e1174b058000";

/// What a node calls itself in this dialect: 32 hexadecimal digits, a fixed tag and its id. Other Sockeye nodes know by
/// it that they got the message natively already.
#[must_use]
pub fn host_id(node: NodeId) -> String {
    format!("{NODE_TAG}{node}")
}

/// What an emitter calls itself in this dialect. Nodes do not take it for a node's copy.
#[must_use]
pub fn emitter_host_id(emitter: [u8; 6]) -> String {
    format!("{EMITTER_TAG}{}", NodeId::from_bytes(emitter))
}

/// The Sockeye node behind a host id, if there is one.
#[must_use]
pub fn sockeye_node(host_id: &str) -> Option<NodeId> {
    host_id.strip_prefix(NODE_TAG)?.parse().ok()
}

/// A message, and the host that sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    /// `None`: a sender that does not say, and every [`PythonMessage::Callback`], whose host is the addressee.
    pub host: Option<String>,
    /// What it says.
    pub message: PythonMessage,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum PythonMessage {
    /// An event for clients.
    Emit {
        /// Where.
        namespace: NamespacePath,
        /// Its name.
        event: Box<str>,
        /// Its arguments.
        args: Args,
        /// For whom. Sockets that are left out are named by the rooms of their own.
        target: Target,
        /// How to answer, if an answer is wanted.
        callback: Option<Callback>,
    },
    /// Disconnects a socket from a namespace.
    Disconnect {
        /// Which socket.
        sid: String,
        /// Where.
        namespace: NamespacePath,
    },
    /// Puts a socket into a room.
    EnterRoom {
        /// Which socket.
        sid: String,
        /// Which room.
        room: RoomName,
        /// Where.
        namespace: NamespacePath,
    },
    /// Takes a socket out of a room.
    LeaveRoom {
        /// Which socket.
        sid: String,
        /// Which room.
        room: RoomName,
        /// Where.
        namespace: NamespacePath,
    },
    /// Takes everyone out of a room.
    CloseRoom {
        /// Which room.
        room: RoomName,
        /// Where.
        namespace: NamespacePath,
    },
    /// A client's acknowledgement, for the host that asked for it.
    Callback {
        /// Who asked for it.
        host: String,
        /// The room that it gave in [`Callback::room`].
        sid: String,
        /// Where.
        namespace: NamespacePath,
        /// The number that it gave in [`Callback::id`].
        id: u64,
        /// The answer.
        args: Args,
    },
    /// A method that no version known here has.
    Unknown,
}

/// How to answer an event: with [`encode_callback`], to the host that sent it, these three unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callback {
    /// The room that the event was for, mostly a socket id.
    pub room: String,
    /// Where.
    pub namespace: String,
    /// The sender's number for it.
    pub id: u64,
}

/// Why a message is not understood. Nothing of what was sent is in it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum PythonError {
    /// A pickle, of python-socketio before 5.14. It was not opened.
    #[error("a pickle of python-socketio before 5.14, which is never opened: upgrade it to 5.14 or newer")]
    Pickle,
    /// Not JSON, or nested too deeply.
    #[error("not a JSON text")]
    NotJson,
    /// JSON, but not an object.
    #[error("not a JSON object")]
    NotObject,
    /// A field is missing, or `null` where it must not be.
    #[error("the field `{0}` is missing")]
    MissingField(&'static str),
    /// A field has a type or value that it cannot have.
    #[error("the field `{0}` has a wrong type or value")]
    WrongType(&'static str),
    /// An event for an empty list of rooms, which Python does not deliver either.
    #[error("the list of rooms is empty")]
    EmptyRooms,
    /// An event whose name clients refuse.
    #[error("the event has a reserved name")]
    ReservedEvent,
    /// More bytes than are read from a bus.
    #[error("the message exceeds the size limit")]
    TooLarge,
}

impl PythonError {
    /// A short fixed name, for use as a metric's label.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Pickle => "pickle",
            Self::NotJson => "not_json",
            Self::NotObject => "not_object",
            Self::MissingField(_) => "missing_field",
            Self::WrongType(_) => "wrong_type",
            Self::EmptyRooms => "empty_rooms",
            Self::ReservedEvent => "reserved_event",
            Self::TooLarge => "too_large",
        }
    }
}

// === Integer rooms ===

/// In front of the digits of a room that is an integer in Python, where `7` and `"7"` are two rooms. Clients cannot write
/// a name that begins with this by accident.
const INTEGER: &str = "\u{0}int:";

/// The room that is the integer `number` in Python: `room=7` there is `integer_room(7)` here, and not the room `"7"`.
#[must_use]
pub fn integer_room(number: i64) -> RoomName {
    format!("{INTEGER}{number}").into()
}

#[cfg(test)]
mod tests;
