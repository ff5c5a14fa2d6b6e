//! The pub/sub buses of Sockeye: one seam for brokers, one supervisor for their links.
//!
//! # Map of this crate
//!
//! * [`bus`]: [`Bus`], the handle: publish, receipts, flush, close; what a process uses.
//! * [`config`], [`observer`], [`receipt`], [`error`], [`message`]: what a bus can be told, what it tells, and the words
//!   that both use.
//! * [`mod@driver`]: the seam for brokers ([`Driver`], [`Tx`], [`Rx`], [`Caps`]) and nothing else.
//! * [`mod@url`]: from a URL to a driver.
//! * [`memory`], [`redis`]: the brokers. `mailbox`: a bounded queue for those that cannot be made to wait.
//! * `conformance` (feature `conformance`): what every driver must do, as checks for other crates to run.
//! * `spool`: accepted and not yet published messages; bounds, sequence numbers, exact accounting. Pure.
//! * `state`: what handles and supervisor share, under one lock. `flush`: waiting for what is in it.
//! * `supervisor`: the only reconnect, resubscribe, hold, probe and close of all brokers.
//!
//! # What is guaranteed
//!
//! * [`Bus::publish`] never waits. Every message it was given ends as published or as dropped with a reason, and is
//!   counted once ([`Observer`]).
//! * Messages leave in the order of `publish`. A batch whose answer was lost with its link is sent again, first, with
//!   its sequence numbers kept: on the wire a message may appear twice, never out of order.
//! * After an outage nothing old leaves before [`Bus::release`] or a deadline, so that nobody who is still subscribing
//!   again misses it.

pub mod bus;
pub mod config;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod driver;
pub mod error;
mod flush;
mod mailbox;
pub mod memory;
pub mod message;
pub mod observer;
pub mod receipt;
pub mod redis;
mod spool;
mod state;
mod supervisor;
pub mod url;

pub use crate::{
    bus::{Bus, Events},
    config::{BusConfig, OnOutage},
    driver::{BoxFuture, Caps, Driver, Link, Rx, SendError, Tx},
    error::{DropReason, Error, ErrorKind, FlushError, PublishError},
    message::{Delivery, Inbound, Outbound, Topic},
    observer::{Event, Observer},
    receipt::Receipt,
    url::driver,
};
