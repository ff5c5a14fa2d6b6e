//! Messages between nodes, and from emitters to nodes.
//!
//! * [`message`]: what they say
//! * [`target`]: who is meant
//! * [`socket`]: what they tell about a socket
//! * [`native`]: how Sockeye writes them
//! * [`python`]: how python-socketio writes them

mod list;
pub mod message;
pub mod native;
pub mod python;
pub mod socket;
pub mod target;

pub use message::{Answer, Envelope, Message, Origin, Query, ReplyTo};
pub use socket::{ConnectionInfo, SocketFields, SocketInfo};
pub use target::Target;

use crate::Limits;
use crate::sio::RESERVED;

/// The largest message that is read from a bus, in bytes: eight times what one client may send. A text grows sixfold when
/// another implementation writes each character as an escape, and there are names around it.
#[must_use]
pub const fn max_message(limits: &Limits) -> usize {
    limits.max_payload.saturating_mul(8)
}

/// Whether an event of this name may be sent to clients; the names of the libraries' own events may not.
#[must_use]
pub fn can_be_sent(event: &str) -> bool {
    !RESERVED.contains(&event)
}
