//! Receipts: how a caller of `publish` can learn what became of a message.
//!
//! A receipt is a place in a slab that both the spool's entry and the [`Receipt`] know. The slab grows with the number
//! of messages that wait, never per message, so that a receipt nobody awaits costs no allocation.

use crate::{error::PublishError, message::Delivery, state::Shared};
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// What became of a message.
pub(crate) type Outcome = Result<Delivery, PublishError>;

#[derive(Debug)]
enum Slot {
    Free,
    /// The message waits; the receipt may have been polled.
    Waiting(Option<Waker>),
    /// The message waits and nobody wants to know.
    Abandoned,
    /// The message is settled and the receipt has not been read.
    Settled(Outcome),
}

/// The slab of receipts. A slot is freed when both the message is settled and the receipt was read or dropped.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Slots {
    /// A place for one message.
    pub(crate) fn open(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Slot::Waiting(None);
            return slot;
        }
        self.slots.push(Slot::Waiting(None));
        (self.slots.len() - 1) as u32
    }

    /// The message is settled. The waker is to be woken after the lock is gone.
    pub(crate) fn settle(&mut self, slot: u32, outcome: impl FnOnce() -> Outcome) -> Option<Waker> {
        let place = self.slots.get_mut(slot as usize)?;
        match std::mem::replace(place, Slot::Free) {
            Slot::Waiting(waker) => {
                *place = Slot::Settled(outcome());
                waker
            }
            Slot::Abandoned => {
                self.free.push(slot);
                None
            }
            Slot::Free | Slot::Settled(_) => None,
        }
    }

    /// Reads the outcome, or leaves `waker` to be told. Wakers are handed back, never dropped here: dropping one may
    /// drop a task, and with it a receipt, which needs the lock that this runs under.
    fn read(&mut self, slot: u32, waker: Waker) -> (Option<Outcome>, Option<Waker>) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return (None, Some(waker)) };
        match std::mem::replace(place, Slot::Free) {
            Slot::Waiting(old) => {
                *place = Slot::Waiting(Some(waker));
                (None, old)
            }
            Slot::Settled(outcome) => {
                self.free.push(slot);
                (Some(outcome), Some(waker))
            }
            Slot::Free | Slot::Abandoned => (None, Some(waker)),
        }
    }

    /// The receipt was dropped.
    fn abandon(&mut self, slot: u32) -> Option<Waker> {
        let place = self.slots.get_mut(slot as usize)?;
        match std::mem::replace(place, Slot::Abandoned) {
            Slot::Waiting(waker) => return waker,
            Slot::Settled(_) => self.free.push(slot),
            Slot::Free | Slot::Abandoned => {}
        }
        *place = Slot::Free;
        None
    }
}

enum State {
    Settled(Outcome),
    Waiting(Arc<Shared>, u32),
    Read,
}

/// What became of a published message: await it, or drop it, which changes nothing for the message.
///
/// Resolves to what the broker said once it took the message, and to a [`PublishError`] if the message was lost.
/// Must not be polled again after it has resolved.
pub struct Receipt(State);

impl Receipt {
    pub(crate) fn settled(outcome: Outcome) -> Self {
        Self(State::Settled(outcome))
    }

    pub(crate) fn waiting(shared: Arc<Shared>, slot: u32) -> Self {
        Self(State::Waiting(shared, slot))
    }
}

impl Future for Receipt {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match std::mem::replace(&mut self.0, State::Read) {
            State::Settled(outcome) => Poll::Ready(outcome),
            State::Waiting(shared, slot) => {
                let (outcome, _old) = shared.state.lock().slots.read(slot, cx.waker().clone());
                if let Some(outcome) = outcome {
                    return Poll::Ready(outcome);
                }
                self.0 = State::Waiting(shared, slot);
                Poll::Pending
            }
            State::Read => Poll::Pending,
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let State::Waiting(shared, slot) = &self.0 {
            let waker = shared.state.lock().slots.abandon(*slot);
            drop(waker);
        }
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.0 {
            State::Settled(outcome) => return f.debug_tuple("Receipt").field(outcome).finish(),
            State::Waiting(..) => "waiting",
            State::Read => "read",
        };
        write!(f, "Receipt({state})")
    }
}
