//! The other nodes: who they are, what is sent to them, and what they are asked.
//!
//! * [`Cluster`] here: the handle of one node's part in the cluster
//! * `local`: the seam to this node's own sockets, and the values that cross it
//! * `core`: what the parts below share
//! * `outbound`: what this node sends
//! * `inbound`: the one reader of the bus
//! * `origins`: who was heard, when, and up to which number
//! * `sequences`: duplicates and losses, by the numbers of one origin
//! * `peers`: the table of live peers, and heartbeats
//! * `requests`: questions to all peers, with partial answers
//! * `serve`: answers to the peers' questions
//! * `acks`: acks across nodes, both ends
//! * `outcomes`: what the peers' changes of rooms found here
//! * `pending`: everything that waits, and its deadlines
//! * `keeper`: the task that beats the heart and keeps deadlines
//! * `bridge_python`: the channel of python-socketio
//! * `metrics`: what is counted
//!
//! Two tasks belong to a cluster node: the reader, which handles every message inline in the order of arrival, and the
//! keeper, which sleeps until the next heartbeat or deadline. Callers never wait for either: publishing is a push into
//! the bus's spool.
//!
//! # What is promised
//! * Every request ends: complete, or with the names of the peers that did not answer. A peer that leaves is missing
//!   at once, one that dies when its heartbeats have been away for [`ClusterConfig::peer_timeout`].
//! * Messages of one origin to one topic are handled in order, each at most once. Those that are lost are counted.
//! * Everything that waits has a deadline.

mod acks;
mod bridge_python;
mod core;
mod inbound;
mod keeper;
mod local;
mod metrics;
mod origins;
mod outbound;
mod outcomes;
mod peers;
mod pending;
mod requests;
mod sequences;
mod serve;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sockeye_bus::{Bus, BusConfig, Events, OnOutage, Receipt, Topic};
use sockeye_proto::bus::{Message, SocketFields, SocketInfo, Target};
use sockeye_proto::id::{NodeId, RequestId};
use sockeye_proto::limits::Limits;
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::Args;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

pub(crate) use self::local::{AckSink, Local, Partial, PeerInfo, RemoteAck, RoomsPage, SocketsPage};
pub(crate) use self::metrics::{ACKS_PENDING_HELP, ClusterMetrics};

use self::core::{Core, Settings};
use self::inbound::Reader;
use self::metrics::{Kind, Published};
use self::peers::Boot;

/// Attachments of one message from another node or an emitter. Those are trusted further than clients are.
const BUS_ATTACHMENTS_MAX: usize = 4096;

/// How to take part in a cluster.
#[derive(Clone, Debug)]
pub(crate) struct ClusterConfig {
    /// This node's id; no other process of the cluster may use it.
    pub(crate) node: NodeId,
    /// What marks this process in session ids; with `node` it tells a restarted process from its predecessor.
    pub(crate) boot: [u8; 2],
    /// The name that the peers show for this node.
    pub(crate) name: String,
    /// The version that the peers show for this node.
    pub(crate) version: String,
    /// The bus. `subscribe` is filled in by [`Cluster::start`].
    pub(crate) bus: BusConfig,
    /// Take part in a cluster of python-socketio nodes. (Their write-only emitters are heard in any case.)
    pub(crate) bridge_python: bool,
    /// How often this node tells that it lives. Default 700 ms.
    pub(crate) heartbeat: Duration,
    /// A peer that was not heard for so long is lost. Default 2.2 s: three heartbeats, and in all less than the 3 s
    /// within which a killed node is named.
    pub(crate) peer_timeout: Duration,
    /// How long `members` and `count` wait for a peer that lives but does not answer. Default 2.5 s.
    pub(crate) request_timeout: Duration,
    /// How long answers to an emit of a python-socketio node are passed on. Default 60 s, that node's own default.
    pub(crate) python_ack_timeout: Duration,
    /// How long [`Cluster::leave`] may take to send what is left. Default 3 s.
    pub(crate) leave_timeout: Duration,
    /// Limits of the decoders for what comes over the bus.
    pub(crate) limits: Limits,
}

impl ClusterConfig {
    /// The defaults for one node on one bus.
    pub(crate) fn new(node: NodeId, bus: BusConfig) -> Self {
        let limits = Limits {
            // What the spool can hold at all; `max_message` is eight times this.
            max_payload: bus.spool_bytes / 8,
            max_attachments: BUS_ATTACHMENTS_MAX,
            ..Limits::default()
        };
        Self {
            node,
            boot: rand::random(),
            name: node.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            bus,
            bridge_python: false,
            heartbeat: Duration::from_millis(700),
            peer_timeout: Duration::from_millis(2200),
            request_timeout: Duration::from_millis(2500),
            python_ack_timeout: Duration::from_secs(60),
            leave_timeout: Duration::from_secs(3),
            limits,
        }
    }
}

/// One node's part in the cluster. Dropping it ends its tasks without a goodbye; [`Self::leave`] says goodbye.
pub(crate) struct Cluster {
    core: Arc<Core>,
    reader: AbortHandle,
    keeper: AbortHandle,
}

impl Cluster {
    /// Opens the bus and starts the node's two tasks. Returns at once, whether the broker is there or not.
    ///
    /// # Errors
    /// The bus's URL or an option of it is wrong; the text says what would be right.
    pub(crate) fn start(
        mut config: ClusterConfig,
        metrics: Arc<ClusterMetrics>,
    ) -> Result<Arc<Self>, sockeye_bus::Error> {
        config.bus.subscribe = Self::topics(config.node);
        config.bus.close_timeout = config.leave_timeout / 2;
        let (bus, events) = Bus::open(config.bus.clone(), Arc::clone(&metrics) as _)?;
        Ok(Self::start_on(bus, events, config, metrics))
    }

    /// What a node subscribes to.
    fn topics(node: NodeId) -> Vec<Topic> {
        vec![Topic::All, peers::node_topic(node), Topic::Channel]
    }

    /// Like [`Self::start`], on a bus that is open and subscribed to [`Self::topics`].
    fn start_on(bus: Bus, events: Events, config: ClusterConfig, metrics: Arc<ClusterMetrics>) -> Arc<Self> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let me = Boot { boot: config.boot, incarnation: since_epoch.as_millis() as u64 };
        let python_limits = Limits { max_payload: Limits::default().max_payload, ..config.limits.clone() };
        let settings = Settings {
            name: config.name,
            version: config.version,
            heartbeat: config.heartbeat,
            peer_timeout: config.peer_timeout,
            request_timeout: config.request_timeout,
            python_ack_timeout: config.python_ack_timeout,
            leave_timeout: config.leave_timeout,
            offline: match config.bus.on_outage {
                OnOutage::Buffer => Published::Buffered,
                OnOutage::Fail | OnOutage::Drop => Published::Dropped,
            },
            limits: config.limits,
            python_limits,
        };
        let core = Arc::new(Core::new(config.node, me, settings, bus, config.bridge_python, metrics));
        let reader = tokio::spawn(Reader::new(Arc::clone(&core)).run(events)).abort_handle();
        let keeper = tokio::spawn(keeper::run(Arc::clone(&core))).abort_handle();
        Arc::new(Self { core, reader, keeper })
    }

    /// Names this node's own sockets. Until then what the bus brings for them is skipped. The first call counts.
    pub(crate) fn attach(&self, local: Weak<dyn Local>) {
        self.core.attach(local);
    }

    /// Sends an event to the other nodes' sockets; the caller delivered to its own before.
    ///
    /// The receipt tells what became of the message and may be dropped. There is none for a `volatile` event while the
    /// link is away: that event is not sent, and not counted as lost.
    pub(crate) fn emit(
        &self,
        namespace: &NamespacePath,
        event: &str,
        args: &Args,
        target: &Target,
        volatile: bool,
    ) -> Option<Receipt> {
        self.core.emit(namespace, event, args, target, volatile)
    }

    /// Sends an event that asks for an answer to the other nodes' sockets. What they say goes into `sink`, and
    /// [`RemoteAck::Complete`] last: once every live peer has said how many sockets it asked and all of those have
    /// answered or gone, or after `ttl`. Without peers that is at once.
    ///
    /// While the link is away the event waits in the spool like any other; answers count until `ttl`.
    pub(crate) fn emit_with_ack(
        &self,
        namespace: &NamespacePath,
        event: &str,
        args: &Args,
        target: &Target,
        ttl: Duration,
        sink: UnboundedSender<RemoteAck>,
    ) {
        self.core.emit_with_ack(namespace, event, args, target, ttl, sink);
    }

    /// Puts the other nodes' selected sockets into `rooms`. The outcome can be asked for with [`Self::confirm`].
    pub(crate) fn join(&self, namespace: &NamespacePath, target: &Target, rooms: &[RoomName]) -> RequestId {
        self.core.join(namespace, target, rooms)
    }

    /// Takes the other nodes' selected sockets out of `rooms`. The outcome can be asked for with [`Self::confirm`].
    pub(crate) fn leave_rooms(
        &self,
        namespace: &NamespacePath,
        target: &Target,
        rooms: &[RoomName],
    ) -> RequestId {
        self.core.leave_rooms(namespace, target, rooms)
    }

    /// Disconnects the other nodes' selected sockets from the namespace, or with `close` their connections. The outcome
    /// can be asked for with [`Self::confirm`].
    pub(crate) fn disconnect(&self, namespace: &NamespacePath, target: &Target, close: bool) -> RequestId {
        self.core.disconnect(namespace, target, close)
    }

    /// Takes every socket of the other nodes out of `room`. The outcome can be asked for with [`Self::confirm`].
    pub(crate) fn close_room(&self, namespace: &NamespacePath, room: &RoomName) -> RequestId {
        self.core.close_room(namespace, room)
    }

    /// How many sockets of the other nodes a change of this node selected, once it is done there. A node that forgot or
    /// never heard of it is missing. Ends as [`Self::members`] does.
    pub(crate) fn confirm(&self, change: RequestId) -> impl Future<Output = Partial<u64>> + Send + use<> {
        self.core.confirm(change)
    }

    /// The ids of the other nodes' selected sockets.
    ///
    /// The question leaves now; the future only waits. It ends after at most [`ClusterConfig::request_timeout`], at
    /// once without peers, and at once with all of them missing while the link is away.
    pub(crate) fn members(
        &self,
        namespace: &NamespacePath,
        target: &Target,
    ) -> impl Future<Output = Partial<Vec<String>>> + Send + use<> {
        self.core.members(namespace, target)
    }

    /// How many sockets of the other nodes are selected. Ends as [`Self::members`] does.
    pub(crate) fn count(
        &self,
        namespace: &NamespacePath,
        target: &Target,
    ) -> impl Future<Output = Partial<u64>> + Send + use<> {
        self.core.count(namespace, target)
    }

    /// The next page of each of these nodes, from the place that stands beside it on. Ends as [`Self::members`] does.
    pub(crate) fn sockets(
        &self,
        namespace: &NamespacePath,
        target: &Target,
        from: &[(NodeId, u64)],
        limit: usize,
        fields: &SocketFields,
    ) -> impl Future<Output = Partial<Vec<(NodeId, SocketsPage)>>> + Send + use<> {
        self.core.sockets(namespace, target, from, limit, fields)
    }

    /// A socket of another node, and that node. Ends with the first answer that has it, else as [`Self::members`] does.
    pub(crate) fn socket(
        &self,
        namespace: &NamespacePath,
        id: &str,
        fields: &SocketFields,
    ) -> impl Future<Output = Partial<Option<(NodeId, SocketInfo)>>> + Send + use<> {
        self.core.socket(namespace, id, fields)
    }

    /// The namespaces in which other nodes have sockets, once for each node that has some. Ends as [`Self::members`] does.
    pub(crate) fn namespaces(
        &self,
    ) -> impl Future<Output = Partial<Vec<(NamespacePath, u64)>>> + Send + use<> {
        self.core.namespaces()
    }

    /// Of each other node the first rooms behind a name, and whether others follow. Ends as [`Self::members`] does.
    pub(crate) fn rooms(
        &self,
        namespace: &NamespacePath,
        after: Option<&RoomName>,
        limit: usize,
    ) -> impl Future<Output = Partial<Vec<RoomsPage>>> + Send + use<> {
        self.core.rooms(namespace, after, limit)
    }

    /// Sends an event to the other nodes themselves and collects what their handlers return within `ttl`. A node
    /// without a handler is neither in the value nor missing.
    pub(crate) fn server_call(
        &self,
        namespace: &NamespacePath,
        event: &str,
        args: Args,
        ttl: Duration,
    ) -> impl Future<Output = Partial<Vec<(NodeId, Args)>>> + Send + use<> {
        self.core.server_call(namespace, event, args, ttl)
    }

    /// Sends an event to the other nodes themselves.
    pub(crate) fn server_emit(&self, namespace: &NamespacePath, event: &str, args: Args) -> Receipt {
        self.core.server_emit(namespace, event, args)
    }

    /// The live peers, in order of their ids; this node is not among them.
    pub(crate) fn peers(&self) -> Vec<PeerInfo> {
        self.core.peers.infos(Instant::now())
    }

    /// Whether the link to the bus is up.
    pub(crate) fn bus_connected(&self) -> bool {
        self.core.is_linked()
    }

    /// Says goodbye: sends what waits, announces the departure, so that no peer waits for this node, and closes the
    /// bus. Whatever still waits for the peers ends with what it has. Takes at most about
    /// [`ClusterConfig::leave_timeout`].
    pub(crate) async fn leave(&self) {
        self.keeper.abort();
        for acks in self.core.pending.close() {
            acks.flush();
        }
        // The last heartbeat claims everything that was sent, so that a lost end is noticed: it has to come after it.
        if self.core.is_linked() {
            let flushed = self.core.bus.flush(self.core.settings.leave_timeout / 2).await;
            if let Err(error) = flushed {
                tracing::warn!(%error, "left the cluster before everything was sent");
            }
        }
        self.core.beat(false);
        self.core.publish(Topic::All, Kind::Control, &Message::Leaving);
        // What follows is no outage.
        self.core.set_linked(false);
        self.core.bus.close().await;
        self.reader.abort();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.keeper.abort();
        self.reader.abort();
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("node", &self.core.node)
            .field("bus", &self.core.bus)
            .finish_non_exhaustive()
    }
}
