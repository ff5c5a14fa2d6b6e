//! Numbers: latency distributions, and medians with their spread.

mod histogram;
mod spread;

pub use histogram::{Histogram, Latency};
pub use spread::{Comparison, Spread, Verdict};
