//! Everything that waits for other nodes, and the one heap of deadlines that ends the waiting.
//!
//! Nothing waits without a deadline. A lost peer ends its part of every entry at once, so that deadlines are only
//! reached because of nodes that live but do not answer.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;
use sockeye_proto::id::{NodeId, RequestId};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::acks::{Collect, RemoteAcks};
use super::metrics::ClusterMetrics;
use super::requests::Gather;

/// Heap entries of finished work that are tolerated before the heap is swept.
const STALE_DEADLINES: usize = 1024;

/// The pending entries of one node.
pub(super) struct Pending {
    /// Guards the entries and the heap. Leaf: nothing is locked and no user code runs under it; answers are handed
    /// to channels that never block.
    state: Mutex<State>,
    /// Wakes the keeper when an earlier deadline than the one it sleeps for was added.
    earlier: Notify,
    metrics: Arc<ClusterMetrics>,
}

struct State {
    next: u64,
    entries: HashMap<RequestId, Entry>,
    deadlines: BinaryHeap<Reverse<Deadline>>,
    /// How many of the deadlines are for entries; those of finished entries stay in the heap for a while.
    entry_deadlines: usize,
    /// Set by the end of the node: nothing is accepted any more.
    closed: bool,
}

/// Something that waits.
pub(super) enum Entry {
    /// A request that collects one answer of each peer.
    Gather(Gather),
    /// An emit that collects acks.
    Collect(Collect),
}

/// What is due at some time.
pub(super) enum Due {
    /// This entry ends with what it has.
    Entry(RequestId),
    /// These acks for another node have waited long enough for company.
    Flush(Arc<RemoteAcks>),
}

struct Deadline {
    at: Instant,
    due: Due,
}

impl PartialEq for Deadline {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Deadline {}

impl PartialOrd for Deadline {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Deadline {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

/// What an entry says after something was fed to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits on.
    Waiting,
    /// Everything is in, or nobody listens any more.
    Done,
}

/// Why an entry ends before everything is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its time is over.
    Deadline,
    /// This node's link to the bus broke or this node leaves.
    Cut,
}

impl Pending {
    pub(super) fn new(metrics: Arc<ClusterMetrics>) -> Self {
        // A random start, so that an answer to an earlier process of this node's id matches nothing. Below 2^53,
        // because python-socketio peers see the number as a JSON number.
        let next = u64::from(rand::random::<u32>()) << 16;
        Self {
            state: Mutex::new(State {
                next,
                entries: HashMap::new(),
                deadlines: BinaryHeap::new(),
                entry_deadlines: 0,
                closed: false,
            }),
            earlier: Notify::new(),
            metrics,
        }
    }

    /// Draws the id of a new entry.
    pub(super) fn id(&self) -> RequestId {
        let mut state = self.state.lock();
        state.next += 1;
        RequestId(state.next)
    }

    /// Adds an entry; must happen before its message is published. After [`Self::close`] it ends at once.
    pub(super) fn open(&self, id: RequestId, at: Instant, entry: Entry) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return self.end(entry, Reason::Cut);
        }
        if matches!(entry, Entry::Collect(_)) {
            self.metrics.acks_pending.inc();
        }
        state.entries.insert(id, entry);
        state.sweep();
        let earlier = state.push(at, Due::Entry(id));
        drop(state);
        if earlier {
            self.earlier.notify_one();
        }
    }

    /// Has `acks` flushed at `at`, or at once after [`Self::close`].
    pub(super) fn flush_at(&self, at: Instant, acks: Arc<RemoteAcks>) {
        let mut state = self.state.lock();
        if state.closed {
            drop(state);
            return acks.flush();
        }
        let earlier = state.push(at, Due::Flush(acks));
        drop(state);
        if earlier {
            self.earlier.notify_one();
        }
    }

    /// Feeds an emit that collects acks, if it still waits, and ends it when it is done.
    pub(super) fn feed_acks(&self, id: RequestId, feed: impl FnOnce(&mut Collect) -> Progress) {
        self.feed(id, |entry| match entry {
            Entry::Collect(collect) => feed(collect),
            Entry::Gather(_) => Progress::Waiting,
        });
    }

    /// Feeds a request, if it still waits, and ends it when it is done.
    pub(super) fn feed_request(&self, id: RequestId, feed: impl FnOnce(&mut Gather) -> Progress) {
        self.feed(id, |entry| match entry {
            Entry::Gather(gather) => feed(gather),
            Entry::Collect(_) => Progress::Waiting,
        });
    }

    /// Feeds an entry, if it still waits, and ends it when it is done.
    pub(super) fn feed(&self, id: RequestId, feed: impl FnOnce(&mut Entry) -> Progress) {
        let mut state = self.state.lock();
        let Some(entry) = state.entries.get_mut(&id) else { return };
        if feed(entry) == Progress::Done
            && let Some(entry) = state.entries.remove(&id)
        {
            drop(state);
            self.finish(entry);
        }
    }

    /// Forgets an entry whose caller went away.
    pub(super) fn abandon(&self, id: RequestId) {
        let entry = self.state.lock().entries.remove(&id);
        if let Some(entry) = entry {
            self.closed_one(&entry);
            match entry {
                Entry::Gather(gather) => gather.abandon(&self.metrics),
                Entry::Collect(_) => {}
            }
        }
    }

    /// A peer is gone: what it owes will not come.
    pub(super) fn peer_lost(&self, node: NodeId) {
        self.update_all(|entry| match entry {
            Entry::Gather(gather) => gather.peer_lost(node),
            Entry::Collect(collect) => collect.peer_lost(node),
        });
    }

    /// The link broke: answers to requests are lost with it. Acks may still come, the recipients keep them.
    pub(super) fn link_lost(&self) {
        self.update_all(|entry| match entry {
            Entry::Gather(gather) => gather.cut(),
            Entry::Collect(_) => Progress::Waiting,
        });
    }

    fn update_all(&self, mut update: impl FnMut(&mut Entry) -> Progress) {
        let mut state = self.state.lock();
        let done: Vec<Entry> = state
            .entries
            .extract_if(|_, entry| update(entry) == Progress::Done)
            .map(|(_, entry)| entry)
            .collect();
        drop(state);
        done.into_iter().for_each(|entry| self.finish(entry));
    }

    /// Ends everything, now and from now on.
    pub(super) fn close(&self) -> Vec<Arc<RemoteAcks>> {
        let mut state = self.state.lock();
        state.closed = true;
        let entries: Vec<Entry> = state.entries.drain().map(|(_, entry)| entry).collect();
        let deadlines = std::mem::take(&mut state.deadlines);
        drop(state);
        for entry in entries {
            self.closed_one(&entry);
            self.end(entry, Reason::Cut);
        }
        deadlines
            .into_iter()
            .filter_map(|Reverse(deadline)| match deadline.due {
                Due::Flush(acks) => Some(acks),
                Due::Entry(_) => None,
            })
            .collect()
    }

    /// Ends what is due and returns the ack batches that are to be sent now, and the next deadline.
    pub(super) fn due(&self, now: Instant) -> (Vec<Arc<RemoteAcks>>, Option<Instant>) {
        let mut flushes = Vec::new();
        let mut over = Vec::new();
        let mut state = self.state.lock();
        while let Some(Reverse(first)) = state.deadlines.peek()
            && first.at <= now
        {
            match state.deadlines.pop() {
                Some(Reverse(Deadline { due: Due::Flush(acks), .. })) => flushes.push(acks),
                Some(Reverse(Deadline { due: Due::Entry(id), .. })) => {
                    state.entry_deadlines -= 1;
                    over.extend(state.entries.remove(&id));
                }
                None => break,
            }
        }
        let next = state.deadlines.peek().map(|Reverse(first)| first.at);
        drop(state);
        for entry in over {
            self.closed_one(&entry);
            self.end(entry, Reason::Deadline);
        }
        (flushes, next)
    }

    /// Waits until a deadline was added that is earlier than all others.
    pub(super) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    fn closed_one(&self, entry: &Entry) {
        if matches!(entry, Entry::Collect(_)) {
            self.metrics.acks_pending.dec();
        }
    }

    fn finish(&self, entry: Entry) {
        self.closed_one(&entry);
        match entry {
            Entry::Gather(gather) => gather.finish(&self.metrics),
            Entry::Collect(collect) => collect.finish(&self.metrics),
        }
    }

    fn end(&self, entry: Entry, reason: Reason) {
        match entry {
            Entry::Gather(mut gather) => {
                gather.cut();
                gather.finish(&self.metrics);
            }
            Entry::Collect(mut collect) => {
                collect.cut(reason);
                collect.finish(&self.metrics);
            }
        }
    }
}

impl State {
    /// Whether this deadline is now the first.
    fn push(&mut self, at: Instant, due: Due) -> bool {
        self.entry_deadlines += usize::from(matches!(due, Due::Entry(_)));
        let earlier = self.deadlines.peek().is_none_or(|Reverse(first)| at < first.at);
        self.deadlines.push(Reverse(Deadline { at, due }));
        earlier
    }

    /// Entries that finished early leave their deadlines behind; fast requests with long deadlines would pile up.
    fn sweep(&mut self) {
        if self.entry_deadlines > 2 * self.entries.len() + STALE_DEADLINES {
            let entries = &self.entries;
            self.deadlines.retain(|Reverse(deadline)| match &deadline.due {
                Due::Entry(id) => entries.contains_key(id),
                Due::Flush(_) => true,
            });
            self.entry_deadlines = self.entries.len();
        }
    }
}
