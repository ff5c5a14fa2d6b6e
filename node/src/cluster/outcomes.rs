//! What this node's peers changed here: how many sockets each change found, for those who ask.

use std::collections::VecDeque;

use parking_lot::Mutex;
use sockeye_proto::id::{NodeId, RequestId};

/// Changes that are remembered. Whoever wants to know asks right behind the change.
const REMEMBERED: usize = 4 * 1024;

/// The last changes of all peers. The lock is a leaf.
#[derive(Default)]
pub(super) struct Outcomes(Mutex<VecDeque<(NodeId, RequestId, u64)>>);

impl Outcomes {
    /// A change of `node` found so many sockets. Emitters hear nothing and need no memory.
    pub(super) fn note(&self, node: Option<NodeId>, change: Option<RequestId>, found: usize) {
        let (Some(node), Some(change)) = (node, change) else { return };
        let mut known = self.0.lock();
        if known.len() == REMEMBERED {
            known.pop_front();
        }
        known.push_back((node, change, found as u64));
    }

    /// How many a change found; `None` if it did not come, or came too long ago.
    pub(super) fn of(&self, node: NodeId, change: RequestId) -> Option<u64> {
        let known = self.0.lock();
        known.iter().rev().find(|(of, id, _)| (*of, *id) == (node, change)).map(|(_, _, found)| *found)
    }
}
