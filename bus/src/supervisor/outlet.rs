//! The way to the one reader: in order, bounded, and safe to interrupt.

use crate::{bus::Events, message::Inbound, observer::Event};
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Events that have not fitted into the reader's queue yet. What is in here survives the end of a link; the link's
/// reader does not read on before it is empty.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: mpsc::Sender<Event>,
    pending: VecDeque<Event>,
}

impl Outlet {
    pub(super) fn new(capacity: usize) -> (Self, Events) {
        let (sender, events) = mpsc::channel(capacity);
        (Self { sender, pending: VecDeque::new() }, events)
    }

    pub(super) fn message(&mut self, message: Inbound) {
        self.pending.push_back(Event::Message(message));
    }

    pub(super) fn up(&mut self, first: bool, epoch: u64) {
        self.pending.push_back(Event::Up { first, epoch });
    }

    /// A link that came and went before the reader heard of it is not told at all, so that a flapping link cannot fill
    /// the queue of a reader that does not read.
    pub(super) fn down(&mut self, reason: String) {
        let unheard = matches!(self.pending.back(), Some(Event::Up { .. }))
            && matches!(self.pending.iter().nth_back(1), Some(Event::Down { .. }));
        if unheard {
            self.pending.truncate(self.pending.len() - 2);
        }
        self.pending.push_back(Event::Down { reason });
    }

    /// Whether the reader's queue is full and something waits for it.
    pub(super) fn is_blocked(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Hands over what fits without waiting.
    pub(super) fn try_pump(&mut self) {
        while let Some(event) = self.pending.pop_front() {
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.pending.push_front(event);
                    return;
                }
                // Nobody reads any more.
                Err(mpsc::error::TrySendError::Closed(_)) => self.pending.clear(),
            }
        }
    }

    /// Hands over everything. Cancel-safe: an event leaves only when its place in the queue is certain.
    pub(super) async fn pump(&mut self) {
        while !self.pending.is_empty() {
            match self.sender.reserve().await {
                Ok(permit) => {
                    if let Some(event) = self.pending.pop_front() {
                        permit.send(event);
                    }
                }
                Err(_) => self.pending.clear(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(events: &mut Events) -> Vec<Event> {
        std::iter::from_fn(|| events.try_recv().ok()).collect()
    }

    #[test]
    fn a_flapping_link_keeps_the_queue_of_a_silent_reader_short() {
        let (mut outlet, mut events) = Outlet::new(1);
        outlet.up(true, 1);
        for epoch in 2..1000 {
            outlet.down(format!("lost {epoch}"));
            outlet.up(false, epoch);
            outlet.try_pump();
        }
        assert!(outlet.pending.len() <= 3, "{:?}", outlet.pending);
        let mut seen = drain(&mut events);
        while outlet.is_blocked() {
            outlet.try_pump();
            seen.extend(drain(&mut events));
        }
        assert_eq!(seen.first(), Some(&Event::Up { first: true, epoch: 1 }));
        assert_eq!(seen.last(), Some(&Event::Up { first: false, epoch: 999 }));
    }

    #[test]
    fn a_reader_that_is_gone_blocks_nothing() {
        let (mut outlet, events) = Outlet::new(1);
        drop(events);
        outlet.up(true, 1);
        outlet.down("lost".to_owned());
        outlet.try_pump();
        assert!(!outlet.is_blocked());
    }
}
