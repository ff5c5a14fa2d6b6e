//! Options that bound what a client may take.

use std::time::Duration;

use sockeye_proto::Limits;

use super::ServerBuilder;
use crate::conn::outbox::OutboxLimits;

impl ServerBuilder {
    /// How much of everything one client may send: attachments, JSON depth, namespaces, name lengths.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.max_payload = limits.max_payload;
        self.limits = limits;
        self
    }

    /// When a client that does not read is cut off.
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
