//! Options that bound what a client may take.

use std::time::Duration;

use sockeye_proto::Limits;

use super::ServerBuilder;
use crate::{conn::outbox::OutboxLimits, limits::LimitsMode};

impl ServerBuilder {
    /// How much of everything one client may send, and have kept for it: see [`Limits`]. Also sets what
    /// [`max_payload`](Self::max_payload) sets.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.max_payload = limits.max_payload;
        self.limits = limits;
        self
    }

    /// Whether what is beyond a limit is refused, or only counted and logged; refused if not said.
    pub fn limits_mode(mut self, mode: LimitsMode) -> Self {
        self.limits_mode = mode;
        self
    }

    /// What may wait for a client that does not read, and what happens when more does.
    pub fn outbox_limits(mut self, limits: OutboxLimits) -> Self {
        self.outbox = limits;
        self
    }

    /// How long the end of the server waits for handlers and for clients to take their last packets; 10 s if not said.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }
}
