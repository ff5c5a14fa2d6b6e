//! Sends what was queued for many connections in small rounds, so that a large broadcast never holds up anyone else.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::{Clock, Conn, outbox::SCRATCH};
use crate::{log, metrics::Metrics};

/// How many connections are written to before other tasks get their turn.
const ROUND: usize = 32;

/// The connections of one shard that have something to send, in the order in which they got it.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    /// A leaf lock.
    dirty: Mutex<VecDeque<Arc<Conn>>>,
    waker: AtomicWaker,
    stopped: AtomicBool,
}

impl Flusher {
    /// Ends the task.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.waker.wake();
    }

    pub(crate) fn add(&self, conn: Arc<Conn>) {
        let first = {
            let mut dirty = self.dirty.lock();
            dirty.push_back(conn);
            dirty.len() == 1
        };
        if first {
            self.waker.wake();
        }
    }

    pub(crate) fn extend(&self, conns: impl Iterator<Item = Arc<Conn>>) {
        let first = {
            let mut dirty = self.dirty.lock();
            let was_empty = dirty.is_empty();
            dirty.extend(conns);
            was_empty && !dirty.is_empty()
        };
        if first {
            self.waker.wake();
        }
    }

    /// Runs until it is stopped.
    pub(crate) async fn run(self: Arc<Self>, clock: Clock, metrics: Arc<Metrics>) {
        let mut scratch = Vec::with_capacity(SCRATCH);
        let mut round: Vec<Arc<Conn>> = Vec::with_capacity(ROUND);
        loop {
            poll_fn(|cx| {
                self.waker.register(cx.waker());
                let mut dirty = self.dirty.lock();
                if dirty.is_empty() {
                    let stopped = self.stopped.load(Ordering::Acquire);
                    return if stopped { Poll::Ready(()) } else { Poll::Pending };
                }
                let take = dirty.len().min(ROUND);
                round.extend(dirty.drain(..take));
                if dirty.is_empty() && dirty.capacity() > 4096 {
                    *dirty = VecDeque::new();
                }
                Poll::Ready(())
            })
            .await;
            if round.is_empty() {
                return;
            }
            let now = clock.now();
            let mut total = 0;
            for conn in round.drain(..) {
                let mut written = 0;
                conn.outbox.flush(&mut scratch, now, &mut written);
                total += written;
                tracing::trace!(target: log::ENGINE_IO, connection = %log::Name(&conn), bytes = written, "sent");
            }
            metrics.sent_websocket(total);
            tokio::task::yield_now().await;
        }
    }
}
