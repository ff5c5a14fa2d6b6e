//! TCP connections, thousands of them, in one loop on one thread.
//!
//! The generator shares the machine with the server it measures, so it must cost little: one edge-triggered
//! readiness queue, one read buffer for all connections, one write per connection and turn.

mod io;
mod reactor;

pub use io::{Io, LinkId};
pub use reactor::{Handler, Reactor, Turn};
