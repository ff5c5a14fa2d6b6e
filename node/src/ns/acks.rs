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
#[derive(Default)]
pub(crate) struct Acks {
    next: AtomicU64,
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
        id
    }

    /// A client answered, or is gone (`None`). False if nobody waits for it: unknown, answered before, or given up.
    pub(crate) fn resolve(&self, id: u64, socket: SocketId, answer: Option<Args>) -> bool {
        let sink = {
            let mut shard = self.shard(id).lock();
            let Some(pending) = shard.get_mut(&id) else { return false };
            match &mut pending.waiting {
                Waiting::One(asked) if *asked == socket => {}
                Waiting::One(_) => return false,
                Waiting::Many(asked) => {
                    if !asked.remove(&socket) {
                        return false;
                    }
                    if !asked.is_empty() {
                        let sink = pending.sink.clone();
                        drop(shard);
                        sink.ack(socket, answer);
                        return true;
                    }
                }
            }
            let Some(pending) = shard.remove(&id) else { return false };
            self.pending.fetch_sub(1, Ordering::Relaxed);
            pending.sink
        };
        sink.ack(socket, answer);
        true
    }

    pub(crate) fn is_pending(&self, id: u64) -> bool {
        self.shard(id).lock().contains_key(&id)
    }

    /// The asker waits no longer.
    pub(crate) fn forget(&self, id: u64) {
        if self.shard(id).lock().remove(&id).is_some() {
            self.pending.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Drops what is past its deadline; returns how many answers never came.
    pub(crate) fn expire(&self, now: Time) -> usize {
        let mut lost = 0;
        if self.len() == 0 {
            return 0;
        }
        for shard in &self.shards {
            let mut shard = shard.lock();
            if shard.is_empty() {
                continue;
            }
            shard.retain(|_, pending| {
                let keep = pending.deadline > now;
                if !keep {
                    self.pending.fetch_sub(1, Ordering::Relaxed);
                    lost += match &pending.waiting {
                        Waiting::One(_) => 1,
                        Waiting::Many(asked) => asked.len(),
                    };
                }
                keep
            });
        }
        lost
    }

    /// Broadcasts and calls that are waiting.
    pub(crate) fn len(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}
