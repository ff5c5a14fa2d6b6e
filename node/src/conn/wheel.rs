//! One timer for all connections: heartbeats, upgrade and connect timeouts, and the expiry of silent polling sessions.
//!
//! A connection costs eight bytes here and nothing while its deadline is far away. A deadline that moves later (each pong
//! moves it) is noticed only when the old one comes up.

use parking_lot::Mutex;
use sockeye_proto::Time;
use std::time::Duration;

const SLOTS: usize = 256;

/// The key of a connection and the tick that it is noted for.
type Entry = (u64, u64);

/// A ring of slots, each of which holds the keys of the connections to look at in that tick.
#[derive(Debug)]
pub(crate) struct Wheel {
    slots: Box<[Mutex<Vec<Entry>>]>,
    tick: u64,
}

impl Wheel {
    /// `shortest` is the shortest delay that matters; ticks are a fraction of it.
    pub(crate) fn new(shortest: Duration) -> Self {
        let tick = (shortest.as_millis() as u64 / 16).clamp(2, 250);
        Self { slots: (0..SLOTS).map(|_| Mutex::default()).collect(), tick }
    }

    pub(crate) fn tick(&self) -> Duration {
        Duration::from_millis(self.tick)
    }

    /// Has the connection looked at by `at`, or earlier where that is beyond the horizon. Returns the time noted, by which
    /// the caller tells this entry from an older one.
    pub(crate) fn schedule(&self, key: u64, at: Time, now: Time) -> u64 {
        let slot = self.slot(at, now);
        self.slots[slot as usize % SLOTS].lock().push((key, slot));
        slot
    }

    /// The entry that `schedule` would make.
    pub(crate) fn slot(&self, at: Time, now: Time) -> u64 {
        let earliest = now.0 / self.tick + 1;
        at.0.div_ceil(self.tick).clamp(earliest, earliest + SLOTS as u64 - 2)
    }

    /// All entries of the ticks that have passed since `last` (exclusive) up to `now`; returns the new `last`.
    pub(crate) fn due(&self, last: u64, now: Time, out: &mut Vec<Entry>) -> u64 {
        let current = now.0 / self.tick;
        let from = (last + 1).max(current.saturating_sub(SLOTS as u64 - 1));
        for tick in from..=current {
            let mut slot = self.slots[tick as usize % SLOTS].lock();
            slot.retain(|entry| {
                let due = entry.1 <= current;
                if due {
                    out.push(*entry);
                }
                !due
            });
            if slot.is_empty() && slot.capacity() > 1024 {
                *slot = Vec::new();
            }
        }
        current.max(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_up_once_and_not_before_its_time() {
        let wheel = Wheel::new(Duration::from_millis(1600));
        assert_eq!(wheel.tick(), Duration::from_millis(100));
        let mut out = Vec::new();
        let note = wheel.schedule(7, Time(950), Time(0));
        let last = wheel.due(0, Time(900), &mut out);
        assert!(out.is_empty());
        let last = wheel.due(last, Time(1000), &mut out);
        assert_eq!(out, [(7, note)]);
        out.clear();
        wheel.due(last, Time(50_000), &mut out);
        assert!(out.is_empty());
    }

    #[test]
    fn a_far_deadline_comes_up_at_the_horizon() {
        let wheel = Wheel::new(Duration::from_millis(1600));
        wheel.schedule(1, Time(10_000_000), Time(0));
        let mut out = Vec::new();
        wheel.due(0, Time(100 * SLOTS as u64), &mut out);
        assert_eq!(out.len(), 1);
    }

    #[test]
    fn a_deadline_in_the_past_comes_up_in_the_next_tick() {
        let wheel = Wheel::new(Duration::from_millis(1600));
        let mut out = Vec::new();
        let last = wheel.due(0, Time(5000), &mut out);
        wheel.schedule(1, Time(10), Time(5000));
        wheel.due(last, Time(5100), &mut out);
        assert_eq!(out.len(), 1);
    }
}
