//! What travels over a bus: topics, and the messages that leave and arrive.

use bytes::Bytes;
use std::fmt;

/// Where a message goes. How a topic is spelt on the wire is the driver's business.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Everything that takes part in the cluster.
    All,
    /// One node, by the text of its id.
    Node(Box<str>),
    /// The channel exactly as its owner named it: for dialects of other implementations.
    Channel,
}

impl Topic {
    /// The topic of one node.
    pub fn node(id: impl Into<Box<str>>) -> Self {
        Self::Node(id.into())
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Node(id) => write!(f, "node {id}"),
            Self::Channel => f.write_str("channel"),
        }
    }
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Where it goes.
    pub topic: Topic,
    /// The bytes, opaque to the bus but for `stamp`.
    pub payload: Vec<u8>,
    /// Offset in `payload` of eight bytes into which the supervisor writes the message's sequence number (big endian)
    /// at the moment it really leaves. Numbers count per topic from 1; dropped messages take none, a retried message
    /// keeps its own. An offset that does not fit the payload is ignored.
    pub stamp: Option<usize>,
}

impl Outbound {
    /// A message without a stamp.
    pub fn new(topic: Topic, payload: Vec<u8>) -> Self {
        Self { topic, payload, stamp: None }
    }

    /// A message whose sequence number is written at `offset`.
    pub fn stamped(topic: Topic, payload: Vec<u8>, offset: usize) -> Self {
        Self { topic, payload, stamp: Some(offset) }
    }
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// The topic that it was heard on.
    pub topic: Topic,
    /// The bytes as they were published.
    pub payload: Bytes,
}

/// What the broker said when it took a message.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// How many subscribers the broker handed the message to, where it counts them (Redis: the reply of `PUBLISH`).
    /// `None` also for a message that was taken while its answer was lost.
    pub receivers: Option<u64>,
}
