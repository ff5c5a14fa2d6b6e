//! What becomes due for a connection, and when: heartbeats, the first namespace, the patience with a client that does not read.

use std::sync::{Arc, atomic::Ordering};

use sockeye_proto::{
    Time,
    eio::{TransportKind, session::Due},
};

use super::{Conn, GOODBYE};
use crate::reason::DisconnectReason;

impl Conn {
    /// Called by the timer wheel.
    pub(crate) fn on_timer(self: &Arc<Self>, noted: u64, now: Time) {
        if self.scheduled.load(Ordering::Acquire) == noted {
            self.do_what_is_due(now);
        }
    }

    /// Does at once what the timer, whose ticks are coarse, would do a moment later.
    pub(crate) fn meet_deadline(self: &Arc<Self>) {
        let now = self.engine.clock.now();
        if self.next_deadline() <= now {
            self.do_what_is_due(now);
        }
    }

    fn do_what_is_due(self: &Arc<Self>, now: Time) {
        let engine = &self.engine;
        let (mut failed, mut ping) = (None, false);
        {
            let mut core = self.core.lock();
            if core.closed.is_some() {
                drop(core);
                return self.end_goodbye(now);
            }
            loop {
                match core.session.handle_timeout(now, &engine.config.session) {
                    Due::Nothing => break,
                    Due::SendPing => ping = true,
                    Due::DropProbe => {}
                    Due::Fail(reason) => {
                        failed = Some(DisconnectReason::from(reason));
                        break;
                    }
                }
            }
            if core.mux.connect_deadline().is_some_and(|deadline| deadline <= now) {
                failed = Some(DisconnectReason::ForcedClose);
            }
        }
        let max_age = engine.config.outbox.max_age;
        // A polling client that does not poll is silent, not slow: its heartbeat ends it.
        if self.transport() == TransportKind::WebSocket
            && self.outbox.stuck_since().is_some_and(|since| now.since(since) >= max_age)
        {
            failed = Some(DisconnectReason::Slow);
        }
        if let Some(reason) = failed {
            self.close(reason);
            return;
        }
        if ping {
            self.settle(self.outbox.push_ping(now));
        }
        self.reschedule(now);
    }

    /// Notes the next deadline with the timer.
    pub(super) fn reschedule(&self, now: Time) {
        self.schedule(self.next_deadline(), now);
    }

    pub(super) fn schedule(&self, next: Time, now: Time) {
        self.scheduled.store(self.engine.wheel.schedule(self.key(), next, now), Ordering::Release);
    }

    /// Forgets a closed session whose client did not come for its last packets.
    fn end_goodbye(&self, now: Time) {
        match self.outbox.stuck_since() {
            Some(since) if now.since(since) < GOODBYE => self.schedule(since.plus(GOODBYE), now),
            _ => self.forget(),
        }
    }

    /// Nobody needs to find this closed connection any more.
    pub(crate) fn forget(&self) {
        self.engine.registry.remove(self.key());
        self.engine.metrics.undelivered(self.outbox.release());
    }

    /// Has the timer look earlier, if a deadline has come closer than what was noted.
    pub(crate) fn deadline_moved_closer(&self) {
        let now = self.engine.clock.now();
        let next = self.next_deadline();
        if self.engine.wheel.slot(next, now) < self.scheduled.load(Ordering::Acquire) {
            self.reschedule(now);
        }
    }

    fn next_deadline(&self) -> Time {
        let next = {
            let core = self.core.lock();
            let session = core.session.next_deadline();
            core.mux.connect_deadline().map_or(session, |connect| connect.min(session))
        };
        match self.outbox.stuck_since() {
            Some(since) => next.min(since.plus(self.engine.config.outbox.max_age)),
            None => next,
        }
    }
}
