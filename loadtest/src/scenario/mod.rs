//! What the generator can do to a server, one module for each scenario.
//!
//! Each has a struct of options, which is also its command line, and `run`, which returns a [`Report`](crate::report::Report).

mod acks;
mod broadcast;
mod check;
mod connect;
mod fanout;
mod idle;
mod meter;
mod opening;
mod requests;

pub use acks::{Acks, Transport};
pub use check::{Seen, Track};
pub use connect::Connect;
pub use fanout::Fanout;
pub use idle::Idle;
pub use meter::{Measured, Timing};

use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::target::Target;

/// What every scenario is given.
#[derive(Debug)]
pub struct Setting<'a> {
    /// The servers.
    pub target: Target,
    /// Where to show how far it is.
    pub progress: &'a mut Progress,
    /// Ends the run early.
    pub interrupt: Interrupt,
}
