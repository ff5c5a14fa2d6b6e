//! What was published and lost, and of what nobody was told.

use sockeye_bus::{DropReason, Observer};
use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

/// Listens to the bus, counts, and passes everything on.
pub(crate) struct Ledger {
    next: Arc<dyn Observer>,
    published: AtomicU64,
    lost: [AtomicU64; DropReason::ALL.len() + 1],
    invalid: AtomicU64,
    /// Losses since the last flush that no receipt told of.
    untold: AtomicU64,
    /// Counts the flushes. A receipt from before the last one does not take back what that flush has told already.
    page: AtomicU32,
}

impl Ledger {
    pub(crate) fn new(next: Arc<dyn Observer>) -> Self {
        Self {
            next,
            published: AtomicU64::new(0),
            lost: Default::default(),
            invalid: AtomicU64::new(0),
            untold: AtomicU64::new(0),
            page: AtomicU32::new(0),
        }
    }

    pub(crate) fn page(&self) -> u32 {
        self.page.load(Relaxed)
    }

    /// Something could not be sent at all.
    pub(crate) fn invalid(&self) {
        self.invalid.fetch_add(1, Relaxed);
        self.untold.fetch_add(1, Relaxed);
    }

    /// A receipt of that page told its owner of losses.
    pub(crate) fn told(&self, page: u32, losses: u64) {
        if page == self.page() {
            // Never fails: the closure always has an answer.
            let _ = self.untold.fetch_update(Relaxed, Relaxed, |untold| Some(untold.saturating_sub(losses)));
        }
    }

    /// Turns the page and returns what was not told on it.
    pub(crate) fn turn(&self) -> u64 {
        self.page.fetch_add(1, Relaxed);
        self.untold.swap(0, Relaxed)
    }

    pub(crate) fn published_so_far(&self) -> u64 {
        self.published.load(Relaxed)
    }

    pub(crate) fn invalid_so_far(&self) -> u64 {
        self.invalid.load(Relaxed)
    }

    pub(crate) fn lost_so_far(&self) -> u64 {
        self.lost.iter().map(|count| count.load(Relaxed)).sum()
    }

    pub(crate) fn lost_for(&self, reason: DropReason) -> u64 {
        self.lost[place(reason)].load(Relaxed)
    }
}

/// Reasons that a newer bus may have share the last place.
fn place(reason: DropReason) -> usize {
    DropReason::ALL.iter().position(|known| *known == reason).unwrap_or(DropReason::ALL.len())
}

impl Observer for Ledger {
    fn connected(&self, up: bool) {
        self.next.connected(up);
    }

    fn reconnecting(&self) {
        self.next.reconnecting();
    }

    fn published(&self, messages: u64) {
        self.published.fetch_add(messages, Relaxed);
        self.next.published(messages);
    }

    fn dropped(&self, reason: DropReason, messages: u64) {
        self.lost[place(reason)].fetch_add(messages, Relaxed);
        self.untold.fetch_add(messages, Relaxed);
        self.next.dropped(reason, messages);
    }

    fn spooled(&self, messages: usize, bytes: usize) {
        self.next.spooled(messages, bytes);
    }

    fn probe_failed(&self) {
        self.next.probe_failed();
    }

    fn lagged(&self, messages: u64) {
        self.next.lagged(messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_is_told_once() {
        let ledger = Ledger::new(Arc::new(()));
        let page = ledger.page();
        ledger.dropped(DropReason::Expired, 3);
        ledger.invalid();
        ledger.told(page, 1);
        assert_eq!(ledger.turn(), 3, "one of four was told by its receipt");
        ledger.dropped(DropReason::Closed, 1);
        ledger.told(page, 1);
        assert_eq!(ledger.turn(), 1, "a receipt of the old page takes nothing from the new one");
        assert_eq!(ledger.turn(), 0);
        assert_eq!((ledger.lost_so_far(), ledger.lost_for(DropReason::Expired)), (4, 3));
        assert_eq!(ledger.invalid_so_far(), 1);
    }
}
