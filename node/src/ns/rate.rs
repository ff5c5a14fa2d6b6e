//! How fast one socket's events come.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use sockeye_proto::Limits;

use crate::conn::Clock;

/// Events between two looks at the clock, where the burst is large enough not to notice.
const STEP: u32 = 64;

/// What all sockets may send, computed once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventRate {
    /// Every so many events the clock is asked.
    step: u32,
    /// Microseconds that so many events take at the rate that is allowed in the long run.
    cost: u64,
    /// How far ahead of that rate a socket may be, in microseconds.
    burst: u64,
}

impl EventRate {
    /// `None` if events are not limited.
    pub(crate) fn new(limits: &Limits) -> Option<Self> {
        let rate = u64::from(limits.events_per_second);
        if rate == 0 {
            return None;
        }
        let burst = limits.event_burst.max(1);
        let step = (burst / 8).clamp(1, STEP);
        Some(Self {
            step,
            cost: u64::from(step) * 1_000_000 / rate,
            burst: u64::from(burst) * 1_000_000 / rate,
        })
    }
}

/// One socket's token bucket. Nothing refills it: what counts is when the events that came would all have been due.
///
/// Only the connection's reader writes to it, so that plain loads and stores do.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    since: AtomicU32,
    due: AtomicU64,
}

impl Pace {
    /// Counts an event; returns how long the socket has to pause if it is too far ahead.
    #[inline]
    pub(crate) fn event(&self, rate: &EventRate, clock: Clock) -> Option<Duration> {
        let since = self.since.load(Ordering::Relaxed) + 1;
        if since < rate.step {
            self.since.store(since, Ordering::Relaxed);
            return None;
        }
        self.since.store(0, Ordering::Relaxed);
        self.step(rate, clock.micros())
    }

    fn step(&self, rate: &EventRate, now: u64) -> Option<Duration> {
        let due = self.due.load(Ordering::Relaxed).max(now) + rate.cost;
        self.due.store(due, Ordering::Relaxed);
        (due - now).checked_sub(rate.burst).filter(|ahead| *ahead > 0).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(events_per_second: u32, event_burst: u32) -> EventRate {
        EventRate::new(&Limits { events_per_second, event_burst, ..Limits::default() }).unwrap()
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let (rate, pace) = (rate(10, 5), Pace::default());
        assert_eq!((rate.step, rate.cost, rate.burst), (1, 100_000, 500_000));
        for _ in 0..5 {
            assert_eq!(pace.step(&rate, 1_000), None);
        }
        assert_eq!(pace.step(&rate, 1_000), Some(Duration::from_millis(100)));
        // One is let through each tenth of a second, however many came before.
        assert_eq!(pace.step(&rate, 201_000), None);
        assert_eq!(pace.step(&rate, 201_000), Some(Duration::from_millis(100)));
        // Silence gives the burst back, and no more than that.
        for _ in 0..5 {
            assert_eq!(pace.step(&rate, 900_000_000), None);
        }
        assert!(pace.step(&rate, 900_000_000).is_some());
    }

    #[test]
    fn a_large_burst_is_counted_in_steps() {
        let (rate, pace, clock) = (rate(1, 1000), Pace::default(), Clock::start());
        let free = (0..10_000).take_while(|_| pace.event(&rate, clock).is_none()).count();
        assert!((1000 - 64..=1000 + 64).contains(&free), "{free}");
        assert!(EventRate::new(&Limits { events_per_second: 0, ..Limits::default() }).is_none());
    }
}
