//! What can go wrong for an application.

use std::time::Duration;

use sockeye_proto::{
    id::NodeId,
    sio::{Args, ArgsError},
};

/// Why an event was not sent, or not everywhere.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The arguments cannot be serialised.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// The name is one that the protocol keeps for itself.
    #[error("`{0}` is a reserved event name: nobody could tell it from the connection's own events")]
    Reserved(String),
    /// The bus did not take it: clients of other nodes did not get it.
    #[error("the event did not reach the other nodes: {0}")]
    Bus(#[from] sockeye_bus::PublishError),
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The client did not answer in time.
    #[error("the client did not answer within {0:?}")]
    Timeout(Duration),
    /// No such client is connected, or it went while the call waited.
    #[error("the client is not connected")]
    Disconnected,
    /// The client owes so many answers already that it is not asked for another.
    #[error("the client owes too many answers already")]
    TooManyPending,
    /// The event could not be sent.
    #[error(transparent)]
    Emit(#[from] EmitError),
}

/// Why a socket's data cannot be stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// It is not what the type says, or has no form in JSON.
    #[error("a socket's data: {0}")]
    Json(#[from] serde_json::Error),
    /// Every node may ask for it, many at a time: it has to be small.
    #[error("a socket's data may have {most} bytes as JSON at the most, not {size}")]
    TooLarge {
        /// How many bytes it would have.
        size: usize,
        /// How many it may have.
        most: usize,
    },
}

/// What many were asked, as far as it was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered<T> {
    /// The answers.
    pub answers: Vec<T>,
    /// How many were asked and did not answer: too late, or gone.
    pub missing: usize,
    /// Nodes that did not report at all; what their clients would have said is not counted in `missing`.
    pub missing_nodes: Vec<NodeId>,
}

impl<T> Gathered<T> {
    /// Whether everyone who was asked answered.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.missing_nodes.is_empty()
    }
}

/// One client's answer to a broadcast.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The client. An answer that came through a python-socketio node names the room that was addressed instead.
    pub sid: String,
    /// The node that the client is connected to; `None` for one of another product.
    pub node: Option<NodeId>,
    /// What it answered.
    pub args: Args,
}

/// What was collected from the whole cluster, and which nodes did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partial<T> {
    /// What this node and all others that answered know.
    pub value: T,
    /// Nodes that were alive when the question was asked and did not answer. Empty: the value is complete.
    pub missing: Vec<NodeId>,
}

impl<T> From<crate::cluster::Partial<T>> for Partial<T> {
    fn from(others: crate::cluster::Partial<T>) -> Self {
        Self { value: others.value, missing: others.missing }
    }
}
