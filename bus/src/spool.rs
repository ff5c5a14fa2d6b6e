//! The spool: what `publish` accepted and the broker has not yet taken. Pure: no clock, no lock, no I/O.
//!
//! An entry leaves in one of two ways: into a [`Flight`], where it gets its sequence number and ends as published or is
//! retried, or dropped from the front for age or space. Both ways it is handed to the caller exactly once, which is
//! what makes the counts exact.

use crate::message::{Outbound, Topic};
use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// A message that waits, since when, and who wants to know (a slot of [`Slots`](crate::receipt::Slots)).
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) out: Outbound,
    pub(crate) at: Instant,
    pub(crate) slot: Option<u32>,
}

/// Bytes of memory that a waiting message takes.
pub(crate) fn cost(out: &Outbound) -> usize {
    let topic = if let Topic::Node(id) = &out.topic { id.len() } else { 0 };
    out.payload.capacity() + topic + size_of::<Entry>()
}

/// The batch under way. It belongs to the supervisor, outlives a broken link, and keeps its numbers.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    pub(crate) batch: Vec<Outbound>,
    pub(crate) slots: Vec<Option<u32>>,
    /// Messages at the front that are settled already.
    pub(crate) done: usize,
    /// How often the message at the front broke a link.
    pub(crate) attempts: u32,
}

impl Flight {
    /// Messages that are not settled.
    pub(crate) fn len(&self) -> usize {
        self.batch.len() - self.done
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The last sequence numbers of one topic.
#[derive(Copy, Clone, Debug, Default)]
struct Numbers {
    given: u64,
    taken: u64,
}

#[derive(Debug)]
pub(crate) struct Spool {
    queue: VecDeque<Entry>,
    bytes: usize,
    max_bytes: usize,
    max_age: Duration,
    /// Entries ever accepted; the entry at the back of the queue is the one with this number.
    accepted: u64,
    /// What [`Flight`] holds: number of its first entry, messages, bytes.
    flight_first: u64,
    flight_len: usize,
    flight_bytes: usize,
    all: Numbers,
    others: HashMap<Topic, Numbers>,
}

impl Spool {
    pub(crate) fn new(max_bytes: usize, max_age: Duration) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            max_bytes,
            max_age,
            accepted: 0,
            flight_first: 0,
            flight_len: 0,
            flight_bytes: 0,
            all: Numbers::default(),
            others: HashMap::new(),
        }
    }

    /// Whether a message of this cost could ever be held.
    pub(crate) fn fits(&self, cost: usize) -> bool {
        cost <= self.max_bytes
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        self.bytes += cost(&entry.out);
        self.accepted += 1;
        self.queue.push_back(entry);
    }

    /// The oldest entry, if the queue is over its bound. Call until `None` after each push.
    pub(crate) fn overflow(&mut self) -> Option<Entry> {
        if self.bytes > self.max_bytes { self.pop() } else { None }
    }

    /// The oldest entry, if it is too old. Call until `None`.
    pub(crate) fn expired(&mut self, now: Instant) -> Option<Entry> {
        let front = self.queue.front()?;
        if now.saturating_duration_since(front.at) > self.max_age { self.pop() } else { None }
    }

    /// The oldest entry.
    pub(crate) fn pop(&mut self) -> Option<Entry> {
        let entry = self.queue.pop_front()?;
        self.bytes -= cost(&entry.out);
        if self.queue.is_empty() && self.queue.capacity() > 16_384 {
            // What an outage needed is not kept for life.
            self.queue = VecDeque::new();
        }
        Some(entry)
    }

    /// Moves the oldest messages into an empty flight and gives them their numbers.
    pub(crate) fn take(&mut self, flight: &mut Flight, messages: usize, bytes: usize) {
        debug_assert!(flight.is_empty());
        flight.batch.clear();
        flight.slots.clear();
        flight.done = 0;
        flight.attempts = 0;
        self.flight_first = self.accepted - self.queue.len() as u64;
        let mut taken = 0;
        while let Some(front) = self.queue.front() {
            let size = cost(&front.out);
            if !flight.batch.is_empty() && (flight.batch.len() >= messages || taken + size > bytes) {
                break;
            }
            let Some(mut entry) = self.pop() else { break };
            taken += size;
            self.number(&mut entry.out);
            flight.batch.push(entry.out);
            flight.slots.push(entry.slot);
        }
        self.flight_len = flight.batch.len();
        self.flight_bytes = taken;
    }

    /// Notes that the next `messages` of the flight are settled.
    pub(crate) fn settle(&mut self, flight: &mut Flight, messages: usize) {
        for out in flight.batch.iter().skip(flight.done).take(messages) {
            let Some(at) = out.stamp else { continue };
            let Some(number) = out.payload.get(at..at + 8).and_then(|b| b.try_into().ok()) else { continue };
            self.numbers(&out.topic, |n| n.taken = u64::from_be_bytes(number));
        }
        flight.done += messages;
        self.flight_first += messages as u64;
        self.flight_len -= messages;
        if self.flight_len == 0 {
            self.flight_bytes = 0;
        }
    }

    fn number(&mut self, out: &mut Outbound) {
        let Some(at) = out.stamp else { return };
        if at.checked_add(8).is_none_or(|end| end > out.payload.len()) {
            out.stamp = None;
            return;
        }
        let payload = &mut out.payload;
        self.numbers(&out.topic, |n| {
            n.given += 1;
            payload[at..at + 8].copy_from_slice(&n.given.to_be_bytes());
        });
    }

    /// Nearly every message goes to `All`, which therefore needs no hashing.
    fn numbers(&mut self, topic: &Topic, change: impl FnOnce(&mut Numbers)) {
        if *topic == Topic::All {
            change(&mut self.all);
        } else if let Some(numbers) = self.others.get_mut(topic) {
            change(numbers);
        } else {
            let mut numbers = Numbers::default();
            change(&mut numbers);
            self.others.insert(topic.clone(), numbers);
        }
    }

    /// The last number of each topic that the broker took. Never the number of a message that may still be retried:
    /// a reader that was told of it would take the retry for a duplicate.
    pub(crate) fn sequences(&self) -> Vec<(Topic, u64)> {
        let all = [(Topic::All, self.all)];
        let others = self.others.iter().map(|(topic, numbers)| (topic.clone(), *numbers));
        all.into_iter().chain(others).filter(|(_, n)| n.taken > 0).map(|(t, n)| (t, n.taken)).collect()
    }

    /// Entries ever accepted.
    pub(crate) fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many of the first `accepted` entries are not settled: 0 when all of them are.
    pub(crate) fn unsettled(&self, accepted: u64) -> usize {
        let queue_first = self.accepted - self.queue.len() as u64;
        let flight = accepted.saturating_sub(self.flight_first).min(self.flight_len as u64);
        (accepted.saturating_sub(queue_first) + flight) as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Messages and bytes that wait, with those under way.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.queue.len() + self.flight_len, self.bytes + self.flight_bytes)
    }
}

#[cfg(test)]
mod tests;
