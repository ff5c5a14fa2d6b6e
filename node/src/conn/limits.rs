//! The bounds of what may wait for one client.

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
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            soft_bytes: 256 * 1024,
            soft_packets: 4096,
            hard_bytes: 4 * 1024 * 1024,
            hard_packets: 16_384,
            max_age: std::time::Duration::from_secs(20),
        }
    }
}
