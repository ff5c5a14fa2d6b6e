//! The seam to this node's own sockets, and the values that cross it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sockeye_proto::bus::{SocketFields, SocketInfo, Target};
use sockeye_proto::id::{NodeId, SocketId};
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::Args;

/// What the cluster asks of this node's own sockets.
///
/// Every method is called from the one task that reads the bus (or from a task that serves one request), so none
/// of them may block or wait. A namespace that this node does not have is an empty one, not an error.
pub(crate) trait Local: Send + Sync + 'static {
    /// Sends an event to the local sockets that `target` selects and returns how many they were.
    fn emit(&self, namespace: &str, event: &str, args: &Args, target: &Target, volatile: bool) -> usize;

    /// Sends an event that asks for an answer and returns the number of recipients.
    ///
    /// Each recipient causes exactly one [`AckSink::ack`] within `ttl`, or none if it stays silent; the call may
    /// come before this method returns. After `ttl` the sink is dropped.
    fn emit_with_ack(
        &self,
        namespace: &str,
        event: &str,
        args: &Args,
        target: &Target,
        ttl: Duration,
        sink: Arc<dyn AckSink>,
    ) -> usize;

    /// Puts the selected local sockets into `rooms`; returns how many were selected.
    fn join(&self, namespace: &str, target: &Target, rooms: &[RoomName]) -> usize;

    /// Takes the selected local sockets out of `rooms`; returns how many were selected.
    fn leave(&self, namespace: &str, target: &Target, rooms: &[RoomName]) -> usize;

    /// Disconnects the selected local sockets from the namespace, or with `close` their whole connections; returns how
    /// many were selected.
    fn disconnect(&self, namespace: &str, target: &Target, close: bool) -> usize;

    /// Takes every local socket out of `room`; returns how many were in it.
    fn close_room(&self, namespace: &str, room: &RoomName) -> usize;

    /// The ids of the selected local sockets.
    fn members(&self, namespace: &str, target: &Target) -> Vec<SocketId>;

    /// How many local sockets are selected.
    fn count(&self, namespace: &str, target: &Target) -> usize;

    /// Some of the selected local sockets, from a place on: bounded by `limit`, by bytes and by work.
    fn sockets(
        &self,
        namespace: &str,
        target: &Target,
        from: u64,
        limit: usize,
        fields: &SocketFields,
    ) -> SocketsPage;

    /// One local socket.
    fn socket(&self, namespace: &str, id: &str, fields: &SocketFields) -> Option<SocketInfo>;

    /// The namespaces that have local sockets, and how many each has.
    fn namespaces(&self) -> Vec<(NamespacePath, u64)>;

    /// Rooms with local sockets in the order of their names, how many are in each, and whether others follow.
    fn rooms(&self, namespace: &str, after: Option<&RoomName>, limit: usize) -> RoomsPage;

    /// Runs this node's handler of an event that another node sent to it; `None` if there is no handler.
    fn server_event(
        &self,
        namespace: &str,
        event: &str,
        args: Args,
        from: NodeId,
    ) -> BoxFuture<'static, Option<Args>>;
}

/// Some of the sockets of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SocketsPage {
    /// They, in the order of their places.
    pub(crate) sockets: Vec<SocketInfo>,
    /// The place to go on from; `None` if nothing follows.
    pub(crate) next: Option<u64>,
}

/// Some of the rooms of one node in the order of their names, how many sockets are in each, and whether others follow.
pub(crate) type RoomsPage = (Vec<(RoomName, u64)>, bool);

/// Where the answers of one emit's recipients go.
pub(crate) trait AckSink: Send + Sync {
    /// One recipient answered, or went away before it did (`None`). Never blocks.
    fn ack(&self, from: SocketId, answer: Option<Args>);
}

/// What the other nodes report about one emit that asks for answers, in the order in which it became known.
#[derive(Clone, Debug)]
#[allow(dead_code, reason = "a report is whole even if its reader only counts")]
pub(crate) enum RemoteAck {
    /// So many sockets of `node` were asked.
    ///
    /// `None` is a node of another product, which does not say how many: one is reported with each answer that comes
    /// from there, and one at the deadline if a single socket was addressed that no native node has.
    Expect {
        /// The node that asked them.
        node: Option<NodeId>,
        /// Sockets asked.
        recipients: u64,
    },
    /// One of them answered.
    Answer {
        /// The node that it is connected to; `None` is a node of another product.
        node: Option<NodeId>,
        /// Its id; for an answer that came through a python-socketio node the room that was addressed, which is
        /// the socket's id whenever a single socket was.
        sid: String,
        /// What it answered.
        args: Args,
    },
    /// One of them disconnected before it answered.
    Gone {
        /// Its id.
        sid: String,
    },
    /// This node's answers, or the rest of them, will not come.
    Missing {
        /// The node that did not report in time or was lost.
        node: NodeId,
        /// How many of the sockets that it said it had asked are lost with it.
        owed: u64,
    },
    /// Every node that can has said how many sockets it asked.
    Asked,
    /// Nothing else follows: every node's answers are in, or the time is over.
    Complete,
}

/// What could be collected from the other nodes, and which of them did not answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partial<T> {
    /// What the nodes that answered said. This node's own part is not in it.
    pub(crate) value: T,
    /// Nodes that were alive when the request began and did not answer (in full). Empty: complete.
    pub(crate) missing: Vec<NodeId>,
}

/// One other node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PeerInfo {
    /// Its id.
    pub(crate) node: NodeId,
    /// The name its operator gave it.
    pub(crate) name: String,
    /// The version it runs.
    pub(crate) version: String,
    /// How long ago it was last heard.
    pub(crate) silent_for: Duration,
}

/// No sockets: what a node has before its server was named and after it is gone. Peers that ask get an answer.
pub(super) struct Nobody;

impl Local for Nobody {
    fn emit(&self, _: &str, _: &str, _: &Args, _: &Target, _: bool) -> usize {
        0
    }

    fn emit_with_ack(
        &self,
        _: &str,
        _: &str,
        _: &Args,
        _: &Target,
        _: Duration,
        _: Arc<dyn AckSink>,
    ) -> usize {
        0
    }

    fn join(&self, _: &str, _: &Target, _: &[RoomName]) -> usize {
        0
    }

    fn leave(&self, _: &str, _: &Target, _: &[RoomName]) -> usize {
        0
    }

    fn disconnect(&self, _: &str, _: &Target, _: bool) -> usize {
        0
    }

    fn close_room(&self, _: &str, _: &RoomName) -> usize {
        0
    }

    fn members(&self, _: &str, _: &Target) -> Vec<SocketId> {
        Vec::new()
    }

    fn count(&self, _: &str, _: &Target) -> usize {
        0
    }

    fn sockets(&self, _: &str, _: &Target, _: u64, _: usize, _: &SocketFields) -> SocketsPage {
        SocketsPage::default()
    }

    fn socket(&self, _: &str, _: &str, _: &SocketFields) -> Option<SocketInfo> {
        None
    }

    fn namespaces(&self) -> Vec<(NamespacePath, u64)> {
        Vec::new()
    }

    fn rooms(&self, _: &str, _: Option<&RoomName>, _: usize) -> RoomsPage {
        (Vec::new(), false)
    }

    fn server_event(&self, _: &str, _: &str, _: Args, _: NodeId) -> BoxFuture<'static, Option<Args>> {
        Box::pin(std::future::ready(None))
    }
}
