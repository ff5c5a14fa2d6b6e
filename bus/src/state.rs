//! What the handles of a bus and its one supervisor share.

use crate::{
    config::{BusConfig, OnOutage},
    driver::Caps,
    error::{DropReason, Error, PublishError},
    flush::Settled,
    message::{Delivery, Outbound, Topic},
    observer::Observer,
    receipt::{Outcome, Receipt, Slots},
    spool::{Entry, Flight, Spool, cost},
};
use parking_lot::Mutex;
use std::{collections::VecDeque, sync::Arc, task::Waker};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

/// Control messages that may wait while a batch is under way; more push out the oldest.
const CONTROL_LIMIT: usize = 1024;

pub(crate) struct Shared {
    pub(crate) config: BusConfig,
    pub(crate) caps: Caps,
    pub(crate) name: String,
    pub(crate) observer: Arc<dyn Observer>,
    /// A leaf lock: nothing is called, woken or dropped under it that could take another one.
    pub(crate) state: Mutex<State>,
    /// Wakes the writer of the link.
    pub(crate) work: Notify,
    /// Wakes whatever else the supervisor is at: the bus is to be closed.
    pub(crate) closing: Notify,
    pub(crate) status: watch::Sender<Status>,
    settled: Settled,
}

/// What `connected` waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Status {
    pub(crate) up: bool,
    pub(crate) closed: bool,
    pub(crate) error: Option<Error>,
}

pub(crate) struct State {
    pub(crate) spool: Spool,
    pub(crate) slots: Slots,
    pub(crate) control: VecDeque<Outbound>,
    /// Topics that the link has to hear, and changes of them that the open link has not made yet.
    pub(crate) topics: Vec<Topic>,
    pub(crate) watch: Vec<Change>,
    pub(crate) up: bool,
    /// The spool waits for the peers to be back.
    pub(crate) held: bool,
    pub(crate) close_by: Option<Instant>,
    pub(crate) closed: bool,
    /// The supervisor found nothing to do; whoever brings work wakes it.
    pub(crate) parked: bool,
}

/// A change of what an open link hears.
pub(crate) enum Change {
    Add(Topic),
    Remove(Topic),
}

/// What the supervisor does next on an open link.
pub(crate) enum Work {
    Watch(Vec<Change>),
    Control(Vec<Outbound>),
    /// The flight that was handed in has messages to send.
    Send,
    Nothing,
    /// The bus is closing and everything has been sent.
    Done,
}

impl Shared {
    pub(crate) fn new(config: BusConfig, caps: Caps, name: String, observer: Arc<dyn Observer>) -> Self {
        let state = State {
            spool: Spool::new(config.spool_bytes, config.spool_age),
            slots: Slots::default(),
            control: VecDeque::new(),
            topics: config.subscribe.clone(),
            watch: Vec::new(),
            up: false,
            held: false,
            close_by: None,
            closed: false,
            parked: false,
        };
        Self {
            config,
            caps,
            name,
            observer,
            state: Mutex::new(state),
            work: Notify::new(),
            closing: Notify::new(),
            status: watch::Sender::new(Status::default()),
            settled: Settled::default(),
        }
    }

    pub(crate) fn publish(self: &Arc<Self>, out: Outbound) -> Receipt {
        match self.accept(out, |slots| Some(slots.open())) {
            Ok(Some(slot)) => Receipt::waiting(Arc::clone(self), slot),
            Ok(None) => Receipt::settled(Ok(Delivery::default())),
            Err(error) => Receipt::settled(Err(error)),
        }
    }

    pub(crate) fn publish_detached(&self, out: Outbound) {
        // Counted already; nobody wants to know.
        let _ = self.accept(out, |_| None);
    }

    /// Into the spool, or refused and counted; never blocks.
    fn accept(
        &self,
        out: Outbound,
        slot: impl FnOnce(&mut Slots) -> Option<u32>,
    ) -> Result<Option<u32>, PublishError> {
        let now = Instant::now();
        let size = cost(&out);
        let mut state = self.state.lock();
        if let Some(reason) = self.refuses(&state, &out, size) {
            drop(state);
            self.observer.dropped(reason, 1);
            return Err(lost(out, reason));
        }
        let slot = slot(&mut state.slots);
        state.spool.push(Entry { out, at: now, slot });
        let mut losses = Losses::default();
        while let Some(entry) = state.spool.overflow() {
            losses.note(&mut state.slots, entry, DropReason::Overflow);
        }
        let wake = std::mem::take(&mut state.parked);
        drop(state);
        if wake {
            self.work.notify_one();
        }
        self.report(DropReason::Overflow, losses);
        Ok(slot)
    }

    fn refuses(&self, state: &State, out: &Outbound, size: usize) -> Option<DropReason> {
        if state.closed || state.close_by.is_some() {
            Some(DropReason::Closed)
        } else if self.caps.max_payload.is_some_and(|max| out.payload.len() > max) || !state.spool.fits(size)
        {
            Some(DropReason::TooLarge)
        } else if !state.up && self.config.on_outage != OnOutage::Buffer {
            Some(DropReason::Offline)
        } else {
            None
        }
    }

    /// Past the spool and its hold; forgotten when there is no link.
    pub(crate) fn publish_control(&self, out: Outbound) {
        let mut state = self.state.lock();
        if !state.up || state.closed {
            return;
        }
        let oldest = if state.control.len() >= CONTROL_LIMIT { state.control.pop_front() } else { None };
        state.control.push_back(Outbound { stamp: None, ..out });
        let wake = std::mem::take(&mut state.parked);
        drop(state);
        drop(oldest);
        if wake {
            self.work.notify_one();
        }
    }

    /// Ends the hold.
    pub(crate) fn release(&self) {
        let mut state = self.state.lock();
        state.held = false;
        let wake = std::mem::take(&mut state.parked);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Changes what is heard, from now and on every link to come.
    pub(crate) fn change_topics(&self, add: &[Topic], remove: &[Topic]) {
        let mut state = self.state.lock();
        let State { topics, watch, up, .. } = &mut *state;
        for topic in remove {
            if let Some(at) = topics.iter().position(|t| t == topic) {
                watch.push(Change::Remove(topics.swap_remove(at)));
            }
        }
        for topic in add {
            if !topics.contains(topic) {
                topics.push(topic.clone());
                watch.push(Change::Add(topic.clone()));
            }
        }
        if !*up {
            watch.clear();
        }
        let wake = std::mem::take(&mut state.parked);
        drop(state);
        if wake {
            self.work.notify_one();
        }
    }

    /// Closing begins, if it has not begun: flush until `by`, then leave.
    pub(crate) fn begin_close(&self, by: Instant) {
        self.state.lock().close_by.get_or_insert(by);
        self.closing.notify_one();
        self.work.notify_one();
    }

    /// What to do next. Fills an empty flight from the spool.
    pub(crate) fn next_work(&self, flight: &mut Flight) -> Work {
        let now = Instant::now();
        let mut losses = Losses::default();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let work = if !state.watch.is_empty() {
            Work::Watch(std::mem::take(&mut state.watch))
        } else if !state.control.is_empty() {
            Work::Control(state.control.drain(..).collect())
        } else {
            let free = !state.held || state.close_by.is_some();
            if free && flight.is_empty() {
                while let Some(entry) = state.spool.expired(now) {
                    losses.note(&mut state.slots, entry, DropReason::Expired);
                }
                state.spool.take(flight, self.config.batch_messages, self.config.batch_bytes);
            }
            if free && !flight.is_empty() {
                Work::Send
            } else if state.close_by.is_some() {
                Work::Done
            } else {
                state.parked = true;
                Work::Nothing
            }
        };
        drop(guard);
        self.report(DropReason::Expired, losses);
        work
    }

    /// The broker has answered for the next messages of the flight: `answers` in order, then `silent` more that it took
    /// without saying anything.
    pub(crate) fn settle(&self, flight: &mut Flight, answers: Vec<Result<Delivery, Error>>, silent: usize) {
        let mut taken = 0;
        let mut losses = Losses::default();
        let mut state = self.state.lock();
        let total = (answers.len() + silent).min(flight.len());
        let quiet = std::iter::repeat_with(|| Ok(Delivery::default()));
        for (at, answer) in (flight.done..flight.done + total).zip(answers.into_iter().chain(quiet)) {
            let slot = flight.slots[at];
            match answer {
                Ok(delivery) => {
                    taken += 1;
                    losses.wakers.extend(slot.and_then(|s| state.slots.settle(s, || Ok(delivery))));
                }
                Err(error) => {
                    tracing::warn!(%error, bus = %self.name, "the broker refused a message");
                    losses.count += 1;
                    let refused = || Err(lost_ref(&flight.batch[at], DropReason::Refused));
                    losses.wakers.extend(slot.and_then(|s| state.slots.settle(s, refused)));
                }
            }
        }
        state.spool.settle(flight, total);
        let size = state.spool.size();
        drop(state);
        if taken > 0 {
            self.observer.published(taken);
        }
        self.observer.spooled(size.0, size.1);
        self.report(DropReason::Refused, losses);
        self.settled();
    }

    /// Drops the next messages of the flight.
    pub(crate) fn abandon(&self, flight: &mut Flight, messages: usize, reason: DropReason) {
        let mut losses = Losses::default();
        let mut state = self.state.lock();
        for at in flight.done..flight.done + messages {
            losses.count += 1;
            let outcome = || Err(lost_ref(&flight.batch[at], reason));
            losses.wakers.extend(flight.slots[at].and_then(|s| state.slots.settle(s, outcome)));
        }
        state.spool.settle(flight, messages);
        drop(state);
        self.report(reason, losses);
        self.settled();
    }

    /// Drops what has waited too long, and tells the observer what is left.
    pub(crate) fn expire(&self) {
        let now = Instant::now();
        let mut losses = Losses::default();
        let mut state = self.state.lock();
        while let Some(entry) = state.spool.expired(now) {
            losses.note(&mut state.slots, entry, DropReason::Expired);
        }
        let size = state.spool.size();
        drop(state);
        self.observer.spooled(size.0, size.1);
        self.report(DropReason::Expired, losses);
        self.settled();
    }

    /// Drops everything that waits.
    pub(crate) fn discard(&self, reason: DropReason) {
        let mut losses = Losses::default();
        let mut state = self.state.lock();
        while let Some(entry) = state.spool.pop() {
            losses.note(&mut state.slots, entry, reason);
        }
        drop(state);
        self.report(reason, losses);
        self.settled();
    }

    fn report(&self, reason: DropReason, losses: Losses) {
        if losses.count > 0 {
            self.observer.dropped(reason, losses.count);
        }
        for waker in losses.wakers {
            waker.wake();
        }
    }

    fn settled(&self) {
        self.settled.tell();
    }

    /// Waits until everything that was accepted before the call is settled.
    pub(crate) async fn flushed(&self) {
        let accepted = self.state.lock().spool.accepted();
        self.settled.until(|| self.state.lock().spool.unsettled(accepted) == 0).await;
    }
}

/// Collected under the lock, told after it.
#[derive(Default)]
struct Losses {
    count: u64,
    wakers: Vec<Waker>,
}

impl Losses {
    fn note(&mut self, slots: &mut Slots, entry: Entry, reason: DropReason) {
        self.count += 1;
        let Entry { out, slot, .. } = entry;
        self.wakers
            .extend(slot.and_then(|slot| slots.settle(slot, || -> Outcome { Err(lost(out, reason)) })));
    }
}

fn lost(out: Outbound, reason: DropReason) -> PublishError {
    PublishError { reason, bytes: out.payload.len(), topic: out.topic }
}

fn lost_ref(out: &Outbound, reason: DropReason) -> PublishError {
    PublishError { reason, bytes: out.payload.len(), topic: out.topic.clone() }
}
