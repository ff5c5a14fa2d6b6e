//! What became of a change of rooms or a disconnection: a value that may be ignored, looked at, or awaited.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use futures_util::future::join_all;
use sockeye_proto::id::RequestId;

use crate::{cluster::Cluster, error::Partial};

/// A change that this node's own clients have seen already and that is on its way to the others.
///
/// Ignoring it is normal. Awaiting it waits until every node has made the change, and says how many clients it was about:
/// 0 means that nobody was meant. What is sent by this node after the change is handled after it on every other node too,
/// so there is no need to wait for the sake of order.
///
/// ```no_run
/// # async fn f(io: sockeye::Io, sid: &str) {
/// io.to(sid).join("news");                      // and go on
/// let joined = io.to(sid).join("sports").await; // it is done, wherever the client is
/// if joined.value == 0 && joined.missing.is_empty() {
///     println!("{sid} is not connected to any node");
/// }
/// # }
/// ```
///
/// `missing` names the nodes that did not confirm within 2.5 s; while the bus is away, all of them. They make the change
/// when it reaches them. Nodes of python-socketio confirm nothing and are never missing.
#[derive(Debug)]
pub struct Changed {
    here: usize,
    cluster: Option<Arc<Cluster>>,
    changes: Vec<RequestId>,
}

impl Changed {
    pub(crate) fn local(here: usize) -> Self {
        Self { here, cluster: None, changes: Vec::new() }
    }

    pub(crate) fn everywhere(here: usize, cluster: Arc<Cluster>, changes: Vec<RequestId>) -> Self {
        Self { here, cluster: Some(cluster), changes }
    }

    /// How many clients of this node the change was about.
    pub fn here(&self) -> usize {
        self.here
    }
}

impl IntoFuture for Changed {
    type Output = Partial<u64>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let asked =
            self.cluster.iter().flat_map(|cluster| self.changes.iter().map(|id| cluster.confirm(*id)));
        let asked = join_all(asked);
        Box::pin(async move {
            let mut all = Partial { value: self.here as u64, missing: Vec::new() };
            for confirmed in asked.await {
                all.value += confirmed.value;
                all.missing.extend(confirmed.missing);
            }
            all.missing.sort_unstable();
            all.missing.dedup();
            all
        })
    }
}
