//! Finds a connection by its Engine.IO session id.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use sockeye_proto::id::Sid;

use super::Conn;

const SHARDS: usize = 16;

/// Keys are random bits already.
#[derive(Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 keys are hashed")
    }
    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

type Shard = HashMap<u64, Arc<Conn>, BuildHasherDefault<Identity>>;

/// All connections of this node. The shard locks are leaves.
#[derive(Debug)]
pub(crate) struct Registry {
    shards: [Mutex<Shard>; SHARDS],
    len: AtomicUsize,
}

/// The 64 random bits of a session id that the registry and the timer wheel use as its short name.
pub(crate) fn key(sid: &Sid) -> u64 {
    sid.key()
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()), len: AtomicUsize::new(0) }
    }

    fn shard(&self, key: u64) -> &Mutex<Shard> {
        // The map uses the high and low bits; the shard takes some from the middle.
        &self.shards[(key >> 24) as usize % SHARDS]
    }

    /// False if the key is taken: the caller draws another id.
    pub(crate) fn insert(&self, conn: &Arc<Conn>) -> bool {
        let key = conn.key();
        let mut shard = self.shard(key).lock();
        if shard.contains_key(&key) {
            return false;
        }
        shard.insert(key, conn.clone());
        self.len.fetch_add(1, Ordering::Relaxed);
        true
    }

    pub(crate) fn get(&self, key: u64) -> Option<Arc<Conn>> {
        self.shard(key).lock().get(&key).cloned()
    }

    pub(crate) fn remove(&self, key: u64) -> bool {
        let removed = self.shard(key).lock().remove(&key).is_some();
        if removed {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Conn>> {
        self.shards.iter().flat_map(|shard| shard.lock().values().cloned().collect::<Vec<_>>()).collect()
    }
}
