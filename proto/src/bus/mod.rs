//! Messages between nodes, and from emitters to nodes.
//!
//! * [`target`]: who is meant

pub mod target;

pub use target::Target;
