//! Waiting for messages to be settled, at no cost while nobody waits.

use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Tells whoever waits that messages were settled.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    changed: Notify,
    waiting: AtomicUsize,
}

impl Settled {
    /// Some messages were settled.
    pub(crate) fn tell(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Waits until `done` holds, which may change whenever messages are settled.
    pub(crate) async fn until(&self, done: impl Fn() -> bool) {
        let _waiting = Waiting::new(&self.waiting);
        loop {
            // Registered before the look, so that no change between the two is missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if done() {
                return;
            }
            changed.await;
        }
    }
}

/// Counts one that waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
