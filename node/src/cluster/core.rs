//! What the handle, the reader and the keeper of one cluster node share.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use sockeye_bus::Bus;
use sockeye_proto::bus::Origin;
use sockeye_proto::id::NodeId;
use sockeye_proto::limits::Limits;
use tokio::runtime::Handle;

use super::bridge_python::Bridge;
use super::local::{Local, Nobody};
use super::metrics::{ClusterMetrics, Published};
use super::outcomes::Outcomes;
use super::peers::{Boot, Peers};
use super::pending::Pending;
use super::serve::{Handlers, Questions};

pub(super) struct Core {
    pub(super) node: NodeId,
    pub(super) origin: Origin,
    pub(super) me: Boot,
    pub(super) settings: Settings,
    pub(super) bus: Bus,
    /// Where tasks run, also those for callers that are on no runtime.
    pub(super) runtime: Handle,
    pub(super) peers: Peers,
    pub(super) pending: Pending,
    pub(super) metrics: Arc<ClusterMetrics>,
    /// Present if this node takes part in a cluster of python-socketio nodes.
    pub(super) bridge: Option<Bridge>,
    pub(super) handlers: Arc<Handlers>,
    pub(super) questions: Questions,
    pub(super) outcomes: Outcomes,
    local: OnceLock<Weak<dyn Local>>,
    /// Whether the link is up, as the reader has seen it.
    linked: AtomicBool,
}

/// The part of the configuration that is needed later on.
pub(super) struct Settings {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) heartbeat: Duration,
    pub(super) peer_timeout: Duration,
    pub(super) request_timeout: Duration,
    pub(super) python_ack_timeout: Duration,
    pub(super) leave_timeout: Duration,
    /// What becomes of messages that are published while the link is away.
    pub(super) offline: Published,
    /// Limits of native messages.
    pub(super) limits: Limits,
    /// Limits of messages on the foreign channel.
    pub(super) python_limits: Limits,
}

impl Core {
    pub(super) fn new(
        node: NodeId,
        me: Boot,
        settings: Settings,
        bus: Bus,
        bridge_python: bool,
        metrics: Arc<ClusterMetrics>,
    ) -> Self {
        metrics.nodes.set(1);
        Self {
            node,
            origin: Origin::Node(node),
            me,
            settings,
            bus,
            runtime: Handle::current(),
            peers: Peers::default(),
            pending: Pending::new(Arc::clone(&metrics)),
            metrics,
            bridge: bridge_python.then(|| Bridge::new(node)),
            handlers: Arc::default(),
            questions: Questions::default(),
            outcomes: Outcomes::default(),
            local: OnceLock::new(),
            linked: AtomicBool::new(false),
        }
    }

    /// Names this node's sockets; the first call counts.
    pub(super) fn attach(&self, local: Weak<dyn Local>) {
        let _ = self.local.set(local);
    }

    /// This node's sockets.
    pub(super) fn local(&self) -> Arc<dyn Local> {
        self.local.get().and_then(Weak::upgrade).unwrap_or_else(|| Arc::new(Nobody))
    }

    /// Whether the link is up and the reader knows it.
    pub(super) fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Acquire)
    }

    pub(super) fn set_linked(&self, linked: bool) {
        self.linked.store(linked, Ordering::Release);
    }

    pub(super) fn count_nodes(&self) {
        self.metrics.nodes.set(1 + self.peers.len() as i64);
    }
}
