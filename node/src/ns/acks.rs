//! Answers that this node's clients owe: who was asked, and who wants to know.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use sockeye_proto::{Time, id::SocketId, sio::Args};

use crate::cluster::AckSink;

const SHARDS: usize = 8;

/// The pending acks of one namespace. Ids come from one counter, so that all recipients of a broadcast get the same bytes;
/// the pair of id and socket is the key. The shard locks are leaves; sinks are called outside of them.
pub(crate) struct Acks {
    next: AtomicU64,
    /// No deadline is earlier, so that the timer has nothing to do for a namespace where nobody asks.
    soonest: AtomicU64,
    /// Entries in all shards: nothing has to be locked to see that there is none.
    pending: AtomicUsize,
    shards: [Mutex<HashMap<u64, Pending>>; SHARDS],
}

struct Pending {
    waiting: Waiting,
    sink: Arc<dyn AckSink>,
    /// Whoever asked forgets the entry when it stops waiting; this is for askers that cannot (other nodes).
    deadline: Time,
}

enum Waiting {
    One(SocketId),
    Many(HashSet<SocketId>),
}

impl Waiting {
    fn into_sockets(self) -> Vec<SocketId> {
        match self {
            Self::One(socket) => vec![socket],
            Self::Many(sockets) => sockets.into_iter().collect(),
        }
    }
}

impl Default for Acks {
    fn default() -> Self {
        Self {
            next: AtomicU64::new(0),
            soonest: AtomicU64::new(u64::MAX),
            pending: AtomicUsize::new(0),
            shards: Default::default(),
        }
    }
}

impl std::fmt::Debug for Acks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acks").field("pending", &self.len()).finish()
    }
}

impl Acks {
    fn shard(&self, id: u64) -> &Mutex<HashMap<u64, Pending>> {
        &self.shards[id as usize % SHARDS]
    }

    /// Notes that these sockets are about to be asked; returns the ack id of the packet.
    pub(crate) fn open(
        &self,
        sockets: impl ExactSizeIterator<Item = SocketId>,
        sink: Arc<dyn AckSink>,
        deadline: Time,
    ) -> u64 {
        // The oldest Python clients take 0 for "no answer wanted".
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut sockets = sockets;
        let waiting = match (sockets.len(), sockets.next()) {
            (1, Some(socket)) => Waiting::One(socket),
            (_, Some(socket)) => Waiting::Many(std::iter::once(socket).chain(sockets).collect()),
            (_, None) => return id,
        };
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.shard(id).lock().insert(id, Pending { waiting, sink, deadline });
        self.soonest.fetch_min(deadline.0, Ordering::AcqRel);
        id
    }

    /// A client answered, or is gone (`None`). False if nobody waits for it: unknown, answered before, or given up.
    pub(crate) fn resolve(&self, id: u64, socket: &SocketId, answer: Option<Args>) -> bool {
        let sink = {
            let mut shard = self.shard(id).lock();
            let Some(pending) = shard.get_mut(&id) else { return false };
            match &mut pending.waiting {
                Waiting::One(asked) if asked == socket => {}
                Waiting::One(_) => return false,
                Waiting::Many(asked) => {
                    if !asked.remove(socket) {
                        return false;
                    }
                    if !asked.is_empty() {
                        let sink = pending.sink.clone();
                        drop(shard);
                        sink.ack(socket.clone(), answer);
                        return true;
                    }
                }
            }
            let Some(pending) = shard.remove(&id) else { return false };
            Self::shrink(&mut shard);
            self.pending.fetch_sub(1, Ordering::Relaxed);
            pending.sink
        };
        sink.ack(socket.clone(), answer);
        true
    }

    /// The asker waits no longer. Returns who had not answered.
    pub(crate) fn forget(&self, id: u64) -> Vec<SocketId> {
        let pending = {
            let mut shard = self.shard(id).lock();
            let pending = shard.remove(&id);
            Self::shrink(&mut shard);
            pending
        };
        let Some(pending) = pending else { return Vec::new() };
        self.pending.fetch_sub(1, Ordering::Relaxed);
        pending.waiting.into_sockets()
    }

    /// Whether something may be past its deadline.
    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.soonest.load(Ordering::Acquire) <= now.0
    }

    /// Drops what is past its deadline; returns whose answers to what never came.
    pub(crate) fn expire(&self, now: Time) -> Vec<(u64, Vec<SocketId>)> {
        let (mut lost, mut soonest) = (Vec::new(), u64::MAX);
        // What is opened from now on is seen below, or makes the next call look again.
        self.soonest.store(u64::MAX, Ordering::Release);
        for shard in &self.shards {
            let mut shard = shard.lock();
            let gone = shard.extract_if(|_, pending| {
                let over = pending.deadline <= now;
                if !over {
                    soonest = soonest.min(pending.deadline.0);
                }
                over
            });
            lost.extend(gone.map(|(id, pending)| (id, pending.waiting.into_sockets())));
            Self::shrink(&mut shard);
        }
        self.pending.fetch_sub(lost.len(), Ordering::Relaxed);
        self.soonest.fetch_min(soonest, Ordering::AcqRel);
        lost
    }

    /// Gives back memory that a burst of questions has left.
    fn shrink(shard: &mut HashMap<u64, Pending>) {
        if shard.is_empty() && shard.capacity() > 256 {
            *shard = HashMap::new();
        }
    }

    /// Broadcasts and calls that are waiting.
    pub(crate) fn len(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}
