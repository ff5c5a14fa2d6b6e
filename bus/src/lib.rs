//! The pub/sub buses of Sockeye: one seam for brokers, one supervisor for their links.
