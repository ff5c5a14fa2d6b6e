//! The server under test and the generator as processes: what they use, on which core, started and stopped.

mod affinity;
mod server;
mod usage;

pub use affinity::{allow_all_descriptors, pin_to, pinned};
pub use server::Server;
pub use usage::{Memory, busy_time, cpu_time, memory, own_cpu_time, settle};
