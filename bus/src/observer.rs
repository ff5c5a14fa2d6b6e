//! What a bus tells its owner: events to the one reader, numbers to the one observer.

use crate::{error::DropReason, message::Inbound};

/// Something that happened on the bus. The one reader gets these in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The link works and its subscriptions are in force.
    Up {
        /// True for the first link of this bus. After any other one the spool is held until
        /// [`Bus::release`](crate::Bus::release).
        first: bool,
        /// Counts the links of this bus from 1.
        epoch: u64,
    },
    /// The link is gone; the bus is trying to get a new one.
    Down {
        /// Why, in words.
        reason: String,
    },
    /// A message came in.
    Message(Inbound),
}

/// Receives the numbers of a bus. The calls come from the bus's own task or from the caller of
/// [`publish`](crate::Bus::publish), hold no lock, and must return at once.
///
/// Every call of `publish` ends in exactly one of [`published`](Self::published) and [`dropped`](Self::dropped).
pub trait Observer: Send + Sync {
    /// The link came up or went down.
    fn connected(&self, up: bool) {
        let _ = up;
    }
    /// An attempt to connect has failed or the link was lost; another attempt follows.
    fn reconnecting(&self) {}
    /// The broker took this many messages.
    fn published(&self, messages: u64) {
        let _ = messages;
    }
    /// This many messages were lost.
    fn dropped(&self, reason: DropReason, messages: u64) {
        let _ = (reason, messages);
    }
    /// What waits now, with what is under way: messages, and bytes of memory they take.
    fn spooled(&self, messages: usize, bytes: usize) {
        let _ = (messages, bytes);
    }
    /// The link's own probe was not heard in time: the link is renewed.
    fn probe_failed(&self) {}
    /// The reader was too slow and this many incoming messages were lost.
    fn lagged(&self, messages: u64) {
        let _ = messages;
    }
}

/// Observes nothing.
impl Observer for () {}
