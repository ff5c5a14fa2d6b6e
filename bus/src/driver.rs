//! The seam for brokers: a driver moves opaque bytes between topics, and nothing else.
//!
//! A driver connects once when asked and reports failure; it never retries, buffers for later, resubscribes or probes.
//! All of that is the supervisor's, once for every broker. The feature `conformance` holds the checks that a driver must
//! pass; `examples/custom_driver.rs` is a whole driver in one file.

use crate::{
    error::{Error, ErrorKind},
    message::{Delivery, Inbound, Outbound, Topic},
};
pub use futures_util::future::BoxFuture;
use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

/// What a broker can do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// A message to [`Topic::Node`] travels to that node only (otherwise every node gets and filters it).
    pub direct: bool,
    /// Subscribing to one more topic costs next to nothing.
    pub cheap_topics: bool,
    /// How far back a new subscriber can read; `None`: only what is published from now on.
    pub replay: Option<Duration>,
    /// Messages of one publisher arrive in the order in which they left.
    pub ordered: bool,
    /// Longest payload in bytes.
    pub max_payload: Option<usize>,
    /// A link hears what it published itself, if it subscribes to that topic.
    pub echoes_own: bool,
    /// [`Delivery::receivers`] is filled in.
    pub counts_receivers: bool,
}

/// A broker: how to open links to it.
pub trait Driver: Send + Sync + 'static {
    /// What this broker can do.
    fn caps(&self) -> Caps;

    /// Opens one link. When it resolves, the subscriptions are in force: whatever anybody publishes from then on is
    /// heard. An empty `subscribe` asks for a link that only writes.
    ///
    /// # Errors
    /// The broker cannot be reached or refuses; the supervisor tries again later.
    fn connect<'a>(&'a self, subscribe: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>>;

    /// The broker in words for logs and metrics, e.g. `redis://127.0.0.1:6379/0`. No credentials.
    fn describe(&self) -> String;

    /// How many links hear something at this moment, those of this process included, if the driver knows it without
    /// asking anybody: a number that it keeps up to date. With it a node that is alone saves the work of publishing.
    fn listeners(&self) -> Option<Arc<AtomicUsize>> {
        None
    }
}

impl fmt::Debug for dyn Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({})", self.describe())
    }
}

/// An open link: its two halves. Dropping both ends it at once, without waiting for the broker.
pub struct Link {
    /// The half that publishes.
    pub tx: Box<dyn Tx>,
    /// The half that hears; `None` when nothing was subscribed.
    pub rx: Option<Box<dyn Rx>>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("listens", &self.rx.is_some()).finish_non_exhaustive()
    }
}

/// The publishing half of a link.
pub trait Tx: Send {
    /// Publishes a batch in order and waits until the broker has answered for all of it. The answers are one per
    /// message, in order: `Err` for a message that the broker refused for good while the link is well (it is dropped
    /// and counted as [`Refused`](crate::DropReason::Refused)).
    ///
    /// # Errors
    /// The link broke, or the broker is not able to take messages now. Everything after the first `sent` messages is
    /// sent again on the next link, with its sequence numbers kept.
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>>;

    /// Changes what the link hears. When it resolves, the change is in force.
    ///
    /// # Errors
    /// The link is then renewed with the wanted topics.
    fn watch<'a>(&'a mut self, add: &'a [Topic], remove: &'a [Topic]) -> BoxFuture<'a, Result<(), Error>> {
        let _ = (add, remove);
        Box::pin(async {
            Err(Error::new(ErrorKind::Unsupported, "this driver cannot change topics on an open link"))
        })
    }

    /// Resolves when the link breaks while nothing is being sent. Drivers that cannot notice keep the default, which
    /// never resolves; the supervisor's probe finds out then.
    fn closed(&mut self) -> BoxFuture<'_, Error> {
        Box::pin(std::future::pending())
    }
}

/// The hearing half of a link.
pub trait Rx: Send {
    /// Waits for the next message. Must be cancel-safe: dropping the future loses no message.
    ///
    /// # Errors
    /// [`ErrorKind::Lagged`] tells of lost messages and the link goes on; anything else means that it broke.
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>>;

    /// A message that is there already, without waiting. The default says there is none, which is right but slower.
    fn try_recv(&mut self) -> Option<Result<Inbound, Error>> {
        None
    }
}

/// A batch could not be sent whole: the link is to be renewed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct SendError {
    /// How many messages from the front of the batch the broker took for sure.
    pub sent: usize,
    /// What happened.
    pub error: Error,
}
