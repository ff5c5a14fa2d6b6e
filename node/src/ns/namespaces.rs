//! Every namespace of this node: those that were registered by name, and those that come and go with their clients.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use sockeye_proto::{Time, name::NamespacePath};

use super::{
    Namespace,
    layers::Handlers,
    pattern::{Captures, Pattern},
};
use crate::conn::handshake::Handshake;

/// A client's wish to join a namespace that is not registered by name: what a predicate decides about.
#[derive(Clone, Debug)]
pub struct NamespaceRequest {
    pub(crate) path: NamespacePath,
    pub(crate) auth: Option<Bytes>,
    pub(crate) handshake: Arc<Handshake>,
}

impl NamespaceRequest {
    /// The path that the client asked for.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The auth object that the client sent; `None` if it does not fit. Without one it is `{}`.
    pub fn auth<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.auth.as_deref().unwrap_or(b"{}")).ok()
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.handshake
    }
}

/// Decides whether there is such a namespace for this client.
pub(crate) type Predicate = Arc<dyn Fn(NamespaceRequest) -> BoxFuture<'static, bool> + Send + Sync>;

/// Namespaces that exist while somebody is in them, and the handlers that they share.
pub(crate) struct Dynamic {
    pub(crate) matcher: Matcher,
    pub(crate) handlers: Arc<Handlers>,
    /// What stands for all of them in metrics: their paths are the clients' choice.
    pub(crate) label: NamespacePath,
}

pub(crate) enum Matcher {
    Pattern(Pattern),
    When(Predicate),
}

/// Who decides about a path.
pub(crate) enum Found {
    Namespace(Arc<Namespace>),
    /// These predicates, in this order, until one says yes.
    Ask(Vec<Arc<Dynamic>>),
    Nothing,
}

/// All namespaces. Lookups take the read lock of one map; it is a leaf.
pub(crate) struct Namespaces {
    known: RwLock<HashMap<NamespacePath, Arc<Namespace>>>,
    dynamic: Vec<Arc<Dynamic>>,
    /// Dynamic ones that somebody has just left.
    left: Mutex<Vec<NamespacePath>>,
    any_left: AtomicBool,
}

impl Namespaces {
    pub(crate) fn new(named: HashMap<NamespacePath, Arc<Namespace>>, dynamic: Vec<Dynamic>) -> Self {
        Self {
            known: RwLock::new(named),
            dynamic: dynamic.into_iter().map(Arc::new).collect(),
            left: Mutex::default(),
            any_left: AtomicBool::new(false),
        }
    }

    /// One that exists at this moment.
    pub(crate) fn get(&self, path: &str) -> Option<Arc<Namespace>> {
        self.known.read().get(path).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Namespace>> {
        self.known.read().values().cloned().collect()
    }

    /// Those that have acks to give up. Looks at one number of each: there may be ten thousand, and this is asked often.
    pub(crate) fn with_acks_due(&self, now: Time) -> Vec<Arc<Namespace>> {
        self.known.read().values().filter(|ns| ns.acks.is_due(now)).cloned().collect()
    }

    /// Who decides whether a client may ask for this path. Names come before patterns, patterns before predicates.
    pub(crate) fn find(&self, path: &str) -> Found {
        if let Some(ns) = self.get(path)
            && ns.asks_nobody()
        {
            return Found::Namespace(ns);
        }
        if let Some(ns) = self.by_pattern(path) {
            return Found::Namespace(ns);
        }
        let ask: Vec<_> =
            self.dynamic.iter().filter(|of| matches!(of.matcher, Matcher::When(_))).cloned().collect();
        if ask.is_empty() { Found::Nothing } else { Found::Ask(ask) }
    }

    /// One that the application names. Those of a predicate are only known by their clients, unless there is one
    /// predicate alone that could mean them.
    pub(crate) fn of(&self, path: &str) -> Option<Arc<Namespace>> {
        let found = self.get(path).or_else(|| self.by_pattern(path));
        found.or_else(|| {
            let mut predicates = self.dynamic.iter().filter(|of| matches!(of.matcher, Matcher::When(_)));
            match (predicates.next(), predicates.next()) {
                (Some(only), None) => Some(self.open(path, only, Captures::default())),
                _ => None,
            }
        })
    }

    fn by_pattern(&self, path: &str) -> Option<Arc<Namespace>> {
        self.dynamic.iter().find_map(|of| match &of.matcher {
            Matcher::Pattern(pattern) => Some(self.open(path, of, pattern.captures(path)?)),
            Matcher::When(_) => None,
        })
    }

    /// The namespace at a path that belongs to `of`, made if it does not exist. Whoever holds it keeps it alive.
    pub(crate) fn open(&self, path: &str, of: &Arc<Dynamic>, captures: Captures) -> Arc<Namespace> {
        if let Some(ns) = self.get(path) {
            return ns;
        }
        let mut known = self.known.write();
        if let Some(ns) = known.get(path) {
            return ns.clone();
        }
        let path = NamespacePath::from(path);
        let ns = Arc::new(Namespace::dynamic(path.clone(), of, captures));
        known.insert(path.clone(), ns.clone());
        drop(known);
        // If nobody comes in after all, it has to be found again.
        self.note_left(path);
        ns
    }

    /// Somebody left a dynamic namespace, which may have been the last.
    pub(crate) fn note_left(&self, path: NamespacePath) {
        self.left.lock().push(path);
        self.any_left.store(true, Ordering::Release);
    }

    /// Drops dynamic namespaces that nobody is in, holds or waits for.
    pub(crate) fn sweep(&self) {
        if !self.any_left.swap(false, Ordering::AcqRel) {
            return;
        }
        let mut left = std::mem::take(&mut *self.left.lock());
        left.sort_unstable();
        left.dedup();
        let mut held = Vec::new();
        let mut known = self.known.write();
        for path in left {
            // Under the write lock nobody can take another reference: only this map gives them out.
            match known.get(&path).map(Arc::strong_count) {
                Some(1) => drop(known.remove(&path)),
                // Sockets say so when they go; a handle of the application does not.
                Some(_) if known[&path].rooms.is_empty() => held.push(path),
                _ => {}
            }
        }
        drop(known);
        if !held.is_empty() {
            self.left.lock().extend(held);
            self.any_left.store(true, Ordering::Release);
        }
    }
}

impl std::fmt::Debug for Namespaces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespaces").field("known", &self.known.read().len()).finish_non_exhaustive()
    }
}
