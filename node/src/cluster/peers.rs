//! Who else is in the cluster: the table that everyone reads, and the heartbeats that keep it.

use std::collections::BTreeMap;

use parking_lot::RwLock;
use sockeye_bus::Topic;
use sockeye_proto::bus::Message;
use sockeye_proto::id::NodeId;
use tokio::time::Instant;

use super::core::Core;
use super::local::PeerInfo;

/// How a heartbeat spells the topic that everyone hears; other topics are spelt as the id of their node.
pub(super) const ALL_TOPIC: &str = "*";

/// One process of a node: a restarted node has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Boot {
    /// The part of the session ids that names the process.
    pub(super) boot: [u8; 2],
    /// When it started: milliseconds of its own clock, only ever compared for equality.
    pub(super) incarnation: u64,
}

/// The live peers. Written by the reader only.
#[derive(Default)]
pub(super) struct Peers {
    /// Leaf lock; nothing is done under it.
    table: RwLock<BTreeMap<NodeId, Peer>>,
}

struct Peer {
    name: String,
    version: String,
    heard: Instant,
}

impl Peers {
    /// The ids of the live peers, in order.
    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.table.read().keys().copied().collect()
    }

    /// Which of `nodes` are no live peers.
    pub(super) fn absent(&self, nodes: &[NodeId]) -> Vec<NodeId> {
        let table = self.table.read();
        nodes.iter().copied().filter(|node| !table.contains_key(node)).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.table.read().len()
    }

    /// What is known about the live peers, in order of their ids.
    pub(super) fn infos(&self, now: Instant) -> Vec<PeerInfo> {
        let info = |(&node, peer): (&NodeId, &Peer)| PeerInfo {
            node,
            name: peer.name.clone(),
            version: peer.version.clone(),
            silent_for: now.saturating_duration_since(peer.heard),
        };
        self.table.read().iter().map(info).collect()
    }

    /// Takes in a heartbeat; whether the peer is new.
    pub(super) fn heard(&self, node: NodeId, name: String, version: String, now: Instant) -> bool {
        self.table.write().insert(node, Peer { name, version, heard: now }).is_none()
    }

    /// Whether the peer was there.
    pub(super) fn remove(&self, node: NodeId) -> bool {
        self.table.write().remove(&node).is_some()
    }
}

impl Core {
    /// Tells everyone that this node lives and what it has sent. With `hello` it asks them to do the same at once.
    pub(super) fn beat(&self, hello: bool) {
        let peers = self.peers.ids();
        self.control(Topic::All, &self.heartbeat(&peers, hello));
    }

    /// Answers the hello of one node.
    pub(super) fn beat_to(&self, node: NodeId) {
        self.control(node_topic(node), &self.heartbeat(&[node], false));
    }

    /// A heartbeat that claims what was sent to everyone and to these nodes.
    fn heartbeat(&self, nodes: &[NodeId], hello: bool) -> Message {
        let sent = self.bus.sequences();
        let sent_to =
            |topic: &Topic| sent.iter().find(|(other, _)| other == topic).map_or(0, |&(_, last)| last);
        let mut sequences = vec![(ALL_TOPIC.to_owned(), sent_to(&Topic::All))];
        sequences.extend(nodes.iter().map(|&node| (node.to_string(), sent_to(&node_topic(node)))));
        Message::Heartbeat {
            boot: self.me.boot,
            incarnation: self.me.incarnation,
            sequences,
            hello,
            name: self.settings.name.clone(),
            version: self.settings.version.clone(),
        }
    }
}

/// The topic that only `node` hears.
pub(super) fn node_topic(node: NodeId) -> Topic {
    Topic::node(node.to_string())
}
