//! What nodes and emitters say to each other, without regard to how it is written.

use std::time::Duration;

use super::{SocketFields, SocketInfo, Target};
use crate::id::{NodeId, RequestId};
use crate::name::{NamespacePath, RoomName};
use crate::sio::Args;

/// Who sent a message.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A node.
    Node(NodeId),
    /// An emitter, which is not part of the cluster: random bytes of its own.
    Emitter([u8; 6]),
}

/// A message, its sender, and its place among the sender's messages on the same topic.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The sender.
    pub origin: Origin,
    /// Counts the sender's messages on the topic, so that a receiver notices missing ones. 0: not counted.
    pub sequence: u64,
    /// What it says.
    pub message: Message,
}

/// The sender of an event wants the answers of the clients.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The sender's name for it.
    pub request: RequestId,
    /// For how long it waits, counted from when the message came: clocks need not agree.
    pub ttl: Duration,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// An event for clients.
    Emit {
        /// Where.
        namespace: NamespacePath,
        /// Its name.
        event: Box<str>,
        /// Its arguments.
        args: Args,
        /// For whom.
        target: Target,
        /// May be dropped for clients that are slow.
        volatile: bool,
        /// The clients' acknowledgements are wanted.
        reply: Option<ReplyTo>,
    },
    /// Puts sockets into rooms.
    Join {
        /// Where.
        namespace: NamespacePath,
        /// Which sockets.
        target: Target,
        /// Which rooms.
        rooms: Vec<RoomName>,
        /// The sender may ask with [`Query::Outcome`] how many sockets it changed.
        confirm: Option<RequestId>,
    },
    /// Takes sockets out of rooms.
    Leave {
        /// Where.
        namespace: NamespacePath,
        /// Which sockets.
        target: Target,
        /// Which rooms.
        rooms: Vec<RoomName>,
        /// The sender may ask with [`Query::Outcome`] how many sockets it changed.
        confirm: Option<RequestId>,
    },
    /// Disconnects sockets.
    Disconnect {
        /// Where.
        namespace: NamespacePath,
        /// Which sockets.
        target: Target,
        /// Close their connections too, not only this namespace.
        close: bool,
        /// The sender may ask with [`Query::Outcome`] how many sockets it changed.
        confirm: Option<RequestId>,
    },
    /// Takes everyone out of a room.
    CloseRoom {
        /// Where.
        namespace: NamespacePath,
        /// Which room.
        room: RoomName,
        /// The sender may ask with [`Query::Outcome`] how many sockets it changed.
        confirm: Option<RequestId>,
    },
    /// A question to every node; each gives one [`Message::Answer`], a long one in parts.
    Request {
        /// The asker's name for it.
        id: RequestId,
        /// For how long the asker waits.
        ttl: Duration,
        /// What is asked.
        query: Query,
    },
    /// An event for the other servers' own handlers, without answers.
    ServerEvent {
        /// Where.
        namespace: NamespacePath,
        /// Its name.
        event: Box<str>,
        /// Its arguments.
        args: Args,
    },
    /// One node's answer to a [`Message::Request`], or a part of it.
    Answer {
        /// The asker's name for it.
        request: RequestId,
        /// Which part this is, counted from 0: a hole tells that one was lost.
        part: u32,
        /// Other parts follow.
        more: bool,
        /// The answer.
        answer: Answer,
    },
    /// How many recipients an event had at this node, so many [`Message::Acks`] the sender may expect.
    AckCount {
        /// The sender's name for it.
        request: RequestId,
        /// How many.
        recipients: u64,
    },
    /// What clients of this node answered.
    Acks {
        /// The sender's name for it.
        request: RequestId,
        /// Socket id and answer; `None` when the client went without one.
        acks: Vec<(String, Option<Args>)>,
    },
    /// This node lives.
    Heartbeat {
        /// Which start of the node this is, as in its session ids.
        boot: [u8; 2],
        /// When it started, in milliseconds since 1970 by its own clock: a later start has a greater one.
        incarnation: u64,
        /// The last sequence number that it used on each topic, so that silence on one hides no loss.
        sequences: Vec<(String, u64)>,
        /// The others should send their heartbeats at once.
        hello: bool,
        /// Its name for people.
        name: String,
        /// The version of its program.
        version: String,
    },
    /// This node ends on purpose: no answers are to be expected from it.
    Leaving,
    /// Of a newer node: a kind that this one does not know. To be counted and skipped.
    Unknown(u32),
}

/// What a node asks the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Query {
    /// The ids of sockets.
    Members {
        /// Where.
        namespace: NamespacePath,
        /// Which sockets.
        target: Target,
    },
    /// The number of sockets.
    Count {
        /// Where.
        namespace: NamespacePath,
        /// Which sockets.
        target: Target,
    },
    /// The answer of the server's own handler.
    ServerEvent {
        /// Where.
        namespace: NamespacePath,
        /// Its name.
        event: Box<str>,
        /// Its arguments.
        args: Args,
    },
    /// Some of the sockets, in the order of their places: the next page of a list.
    Sockets {
        /// Where.
        namespace: NamespacePath,
        /// Which sockets.
        target: Target,
        /// The first place that is looked at. A socket keeps its place, so nobody is listed twice.
        from: u64,
        /// How many at the most.
        limit: u32,
        /// What about them.
        fields: SocketFields,
    },
    /// One socket by its id.
    Socket {
        /// Where.
        namespace: NamespacePath,
        /// Its id.
        id: String,
        /// What about it.
        fields: SocketFields,
    },
    /// The namespaces that have sockets.
    Namespaces,
    /// The names of rooms, in order; not those named after a socket that nobody else is in.
    Rooms {
        /// Where.
        namespace: NamespacePath,
        /// Names behind this one.
        after: Option<RoomName>,
        /// How many at the most.
        limit: u32,
    },
    /// How many sockets a change of rooms or a disconnection of the asker found here. As messages are handled in order,
    /// the answer also says that it is done.
    Outcome {
        /// What the change's `confirm` was.
        change: RequestId,
    },
}

/// What a node answers, by the kind of [`Query`].
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Socket ids.
    Members(Vec<String>),
    /// A number of sockets.
    Count(u64),
    /// The handler's answer; `None` if there is no handler.
    ServerEvent(Option<Args>),
    /// Some sockets.
    Sockets {
        /// They.
        sockets: Vec<SocketInfo>,
        /// Where the next page begins; `None` if nothing follows.
        next: Option<u64>,
    },
    /// Namespaces and how many sockets each has.
    Namespaces(Vec<(NamespacePath, u64)>),
    /// Rooms in the order of their names, and how many sockets are in each.
    Rooms {
        /// They.
        rooms: Vec<(RoomName, u64)>,
        /// Others follow behind the last one.
        more: bool,
    },
}

impl Message {
    /// A short fixed name, for metrics and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Emit { .. } => "emit",
            Self::Join { .. } => "join",
            Self::Leave { .. } => "leave",
            Self::Disconnect { .. } => "disconnect",
            Self::CloseRoom { .. } => "close_room",
            Self::Request { .. } => "request",
            Self::ServerEvent { .. } => "server_event",
            Self::Answer { .. } => "answer",
            Self::AckCount { .. } => "ack_count",
            Self::Acks { .. } => "acks",
            Self::Heartbeat { .. } => "heartbeat",
            Self::Leaving => "leaving",
            Self::Unknown(_) => "unknown",
        }
    }
}
