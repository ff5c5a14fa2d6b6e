//! An observer that counts.

use parking_lot::Mutex;
use sockeye_bus::{DropReason, Observer};
use std::{collections::HashMap, sync::Arc};

#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) reconnecting: u64,
    pub(crate) published: u64,
    pub(crate) dropped: HashMap<DropReason, u64>,
    pub(crate) probe_failed: u64,
    pub(crate) lagged: u64,
}

impl Counts {
    pub(crate) fn lost(&self, reason: DropReason) -> u64 {
        self.dropped.get(&reason).copied().unwrap_or_default()
    }

    pub(crate) fn all_lost(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// Every message that was ever given to `publish` has ended in exactly one way.
    #[track_caller]
    pub(crate) fn account_for(&self, emitted: u64) {
        assert_eq!(self.published + self.all_lost(), emitted, "published and dropped make emitted: {self:?}");
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counter(Mutex<Counts>);

impl Counter {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn now(&self) -> Counts {
        self.0.lock().clone()
    }
}

impl Observer for Counter {
    fn connected(&self, up: bool) {
        let mut counts = self.0.lock();
        if up { counts.up += 1 } else { counts.down += 1 }
    }

    fn reconnecting(&self) {
        self.0.lock().reconnecting += 1;
    }

    fn published(&self, messages: u64) {
        self.0.lock().published += messages;
    }

    fn dropped(&self, reason: DropReason, messages: u64) {
        *self.0.lock().dropped.entry(reason).or_default() += messages;
    }

    fn probe_failed(&self) {
        self.0.lock().probe_failed += 1;
    }

    fn lagged(&self, messages: u64) {
        self.0.lock().lagged += messages;
    }
}
