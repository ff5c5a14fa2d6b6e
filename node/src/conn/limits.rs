//! The bounds of what may wait for one client.

/// What happens to a client that does not keep up. Whatever the policy, one that took nothing for
/// [`OutboxLimits::max_age`] is disconnected with the reason `slow`, and no more than the hard bounds is kept for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowPolicy {
    /// Volatile events are dropped beyond the soft bounds; beyond the hard ones the client is disconnected as `slow`.
    #[default]
    DropVolatile,
    /// Volatile events are dropped beyond the soft bounds, and all others beyond the hard ones: a client that is slow for
    /// a while stays connected, and misses something. Acks and what belongs to the connection are never dropped: if there is no
    /// room for these, the client is disconnected as `slow`.
    DropEvents,
    /// Nothing is dropped: beyond the hard bounds the client is disconnected as `slow`.
    Close,
}

/// When a client that does not read loses volatile events, and when it loses the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxLimits {
    /// From this many queued bytes on, volatile events are dropped and the client is not read from. Default 256 KiB.
    pub soft_bytes: usize,
    /// The same by number of packets. Default 4,096.
    pub soft_packets: usize,
    /// Above this many queued bytes the client is disconnected as `slow`; a single larger packet is still sent. Default 4 MiB.
    pub hard_bytes: usize,
    /// The same by number of packets. Default 16,384.
    pub hard_packets: usize,
    /// A client that took no byte for this long while packets wait is disconnected as `slow`. Default 20 s.
    pub max_age: std::time::Duration,
    /// What happens beyond the bounds.
    pub policy: SlowPolicy,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            soft_bytes: 256 * 1024,
            soft_packets: 4096,
            hard_bytes: 4 * 1024 * 1024,
            hard_packets: 16_384,
            max_age: std::time::Duration::from_secs(20),
            policy: SlowPolicy::default(),
        }
    }
}
