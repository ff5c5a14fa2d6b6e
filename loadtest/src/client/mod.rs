//! Socket.IO clients that cost next to nothing.

mod polling;
mod session;
mod websocket;

pub use polling::{Pollers, PollingWorkload};
pub use session::{Ended, SocketRef, Sockets};
pub use websocket::{Clients, Workload};
