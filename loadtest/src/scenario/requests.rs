//! Requests under way, many for each client, and whether their answers are right.

use std::time::{Duration, Instant};

use anyhow::bail;

use crate::fault::Fault;
use crate::stats::Histogram;
use crate::wire::socketio::Namespace;
use crate::wire::websocket::Numbered;

/// The smallest ack id; all have seven digits, so that all requests are equally long.
const FIRST: u64 = 1_000_000;
const DIGITS: usize = 7;
/// How many ids there are.
const IDS: u64 = 9_000_000;
/// How often to look for requests that are not answered.
const LOOK: Duration = Duration::from_millis(250);

/// A place for one request of a client. Its ids are those that leave the same remainder.
#[derive(Copy, Clone, Debug, Default)]
struct Slot {
    /// How many requests it has had.
    turn: u64,
    sent: Option<Instant>,
}

/// The requests of all clients.
#[derive(Debug)]
pub(super) struct Requests {
    window: usize,
    /// `window` slots for each client.
    slots: Vec<Slot>,
    framed: Numbered,
    bare: Numbered,
    /// What every ack brings, as our encoder writes it.
    expected: Vec<u8>,
    answered: u64,
    under_way: usize,
    latencies: Histogram,
    patience: Duration,
    looked: Option<Instant>,
}

impl Requests {
    pub(super) fn new(
        namespace: &Namespace,
        clients: usize,
        window: usize,
        payload: usize,
        patience: Duration,
    ) -> Self {
        let padding = "x".repeat(payload);
        let event = namespace.event();
        let after = format!("[\"message-with-ack\",\"{padding}\"]");
        Self {
            window,
            slots: vec![Slot::default(); clients * window],
            framed: Numbered::framed(event.as_bytes(), DIGITS, after.as_bytes()),
            bare: Numbered::bare(event.as_bytes(), DIGITS, after.as_bytes()),
            expected: format!("[\"{padding}\"]").into_bytes(),
            answered: 0,
            under_way: 0,
            latencies: Histogram::default(),
            patience,
            looked: None,
        }
    }

    /// Every slot of every client.
    pub(super) fn all(&self) -> Vec<(usize, usize)> {
        (0..self.slots.len()).map(|index| (index / self.window, index % self.window)).collect()
    }

    /// Writes a slot's next request as a WebSocket frame.
    pub(super) fn ask_framed(&mut self, client: usize, slot: usize, now: Instant, out: &mut Vec<u8>) {
        let id = self.ask(client, slot, now);
        self.framed.write(out, id);
    }

    /// Writes a slot's next request as an Engine.IO packet.
    pub(super) fn ask_bare(&mut self, client: usize, slot: usize, now: Instant, out: &mut Vec<u8>) {
        let id = self.ask(client, slot, now);
        self.bare.write(out, id);
    }

    #[inline]
    fn ask(&mut self, client: usize, slot: usize, now: Instant) -> u64 {
        let place = &mut self.slots[client * self.window + slot];
        place.turn += 1;
        if place.sent.replace(now).is_none() {
            self.under_way += 1;
        }
        Self::id(self.window, slot, place.turn)
    }

    #[inline]
    fn id(window: usize, slot: usize, turn: u64) -> u64 {
        let window = window as u64;
        FIRST + (turn % (IDS / window)) * window + slot as u64
    }

    /// Takes an ack in. Returns the slot that is free now, or `None` if the ack belongs to no request under way.
    #[inline]
    pub(super) fn answer(
        &mut self,
        client: usize,
        id: u64,
        args: &[u8],
        now: Instant,
        mut fault: impl FnMut(Fault, &str),
    ) -> Option<usize> {
        let slot = id.checked_sub(FIRST)? as usize % self.window;
        let place = &mut self.slots[client * self.window + slot];
        let known = Self::id(self.window, slot, place.turn) == id;
        let Some(sent) = place.sent.take_if(|_| known) else {
            let previous = place.turn > 0 && Self::id(self.window, slot, place.turn - 1) == id;
            if known || previous {
                fault(Fault::Duplicate, "an ack");
            } else {
                fault(Fault::Unexpected, "an ack to no request");
            }
            return None;
        };
        if args != self.expected && !same_json(args, &self.expected) {
            let text = String::from_utf8_lossy(&args[..args.len().min(60)]);
            fault(Fault::WrongContent, &text);
        }
        self.under_way -= 1;
        self.answered += 1;
        self.latencies.record(now.duration_since(sent));
        Some(slot)
    }

    /// Forgets the requests of a client that is gone.
    pub(super) fn forget(&mut self, client: usize) {
        let begin = client * self.window;
        for slot in &mut self.slots[begin..begin + self.window] {
            self.under_way -= usize::from(slot.sent.take().is_some());
        }
    }

    /// Gives up the requests that wait for longer than anyone should. Returns their slots.
    ///
    /// # Errors
    /// When nothing was ever answered.
    pub(super) fn overdue(
        &mut self,
        now: Instant,
        mut fault: impl FnMut(Fault, &str),
    ) -> anyhow::Result<Vec<(usize, usize)>> {
        let looked = *self.looked.get_or_insert(now);
        if now.duration_since(looked) < LOOK {
            return Ok(Vec::new());
        }
        self.looked = Some(now);
        let mut overdue = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let late = |sent: &mut Instant| now.duration_since(*sent) > self.patience;
            if slot.sent.take_if(late).is_some() {
                self.under_way -= 1;
                fault(Fault::Lost, "an ack");
                overdue.push((index / self.window, index % self.window));
            }
        }
        if self.answered == 0 && !overdue.is_empty() {
            bail!(
                "nothing was acknowledged within {:?}: does the server implement `message-with-ack`?",
                self.patience
            );
        }
        Ok(overdue)
    }

    /// How many were answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// How many wait for their ack.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// From sending to the ack.
    pub(super) fn latencies(&self) -> &Histogram {
        &self.latencies
    }

    /// Begins the distribution anew.
    pub(super) fn forget_latencies(&mut self) {
        self.latencies.clear();
    }
}

/// Whether two JSON texts mean the same; for servers that write JSON with other blanks or escapes.
#[cold]
fn same_json(one: &[u8], other: &[u8]) -> bool {
    let parse = |text| serde_json::from_slice::<serde_json::Value>(text).ok();
    parse(one).is_some_and(|value| Some(value) == parse(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> Requests {
        let namespace = Namespace::new("/");
        Requests::new(&namespace, 2, 3, 1, Duration::from_secs(5))
    }

    #[test]
    fn a_request_is_answered_once_with_its_own_content() {
        let (mut requests, now) = (requests(), Instant::now());
        let mut out = Vec::new();
        requests.ask_bare(1, 2, now, &mut out);
        assert_eq!(out, b"421000005[\"message-with-ack\",\"x\"]");
        let mut faults = Vec::new();
        let mut answer = |requests: &mut Requests, client, id, args: &[u8]| {
            requests.answer(client, id, args, now, |fault, _| faults.push(fault))
        };
        assert_eq!(answer(&mut requests, 0, 1_000_005, b"[\"x\"]"), None);
        assert_eq!(answer(&mut requests, 1, 1_000_005, b"[ \"x\" ]"), Some(2), "spaces mean nothing");
        assert_eq!(answer(&mut requests, 1, 1_000_005, b"[\"x\"]"), None);
        requests.ask_bare(1, 2, now, &mut out);
        assert_eq!(answer(&mut requests, 1, 1_000_005, b"[\"x\"]"), None, "an old one");
        assert_eq!(answer(&mut requests, 1, 1_000_008, b"[\"y\"]"), Some(2));
        assert_eq!(faults, [Fault::Unexpected, Fault::Duplicate, Fault::Duplicate, Fault::WrongContent]);
        assert_eq!((requests.answered(), requests.under_way()), (2, 0));
    }

    #[test]
    fn what_is_never_answered_is_lost_and_a_client_that_goes_is_forgotten() {
        let (mut requests, now) = (requests(), Instant::now());
        for (client, slot) in requests.all() {
            requests.ask_framed(client, slot, now, &mut Vec::new());
        }
        requests.forget(0);
        assert_eq!(requests.under_way(), 3);
        let id = FIRST + 3;
        assert_eq!(requests.answer(1, id, b"[\"x\"]", now, |_, _| {}), Some(0));
        let mut lost = 0;
        let mut look = |seconds| {
            let later = now + Duration::from_secs(seconds);
            requests.overdue(later, |_, _| lost += 1).expect("answers came")
        };
        assert_eq!(look(0), []);
        assert_eq!(look(6), [(1, 1), (1, 2)]);
        assert_eq!(lost, 2);
    }

    #[test]
    fn a_server_that_never_answers_is_an_error() {
        let (mut requests, now) = (requests(), Instant::now());
        requests.ask_framed(0, 0, now, &mut Vec::new());
        requests.overdue(now, |_, _| {}).expect("too early to tell");
        let later = now + Duration::from_secs(6);
        assert!(requests.overdue(later, |_, _| {}).is_err());
    }
}
