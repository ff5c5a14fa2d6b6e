//! The one reader of the bus: membership, sequence checks, and what peers and emitters ask of this node.
//!
//! Everything runs inline in the order in which it arrived, so that the order of one origin is kept. A panic ends the
//! handling of one message, nothing else.

use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sockeye_bus::{Event, Events, Inbound, Topic};
use sockeye_proto::bus::{Envelope, Message, Origin, native};
use sockeye_proto::id::NodeId;
use tokio::time::{Instant, sleep_until};

use super::acks::RemoteAcks;
use super::bridge_python::PythonReader;
use super::core::Core;
use super::metrics::{Kind, Sender};
use super::peers::{ALL_TOPIC, Boot};
use super::pending::{Entry, Progress};
use super::sequences::{Track, Verdict};

/// Emitters whose numbers are remembered. They come and go without a word, so the quietest are forgotten.
const EMITTERS: usize = 2048;

/// Lost peers are waited for after an outage if they were lost so shortly before it: this node may have been deaf.
const LOST_BUT_AWAITED: Duration = Duration::from_secs(30);

pub(super) struct Reader {
    core: Arc<Core>,
    python: PythonReader,
    /// Every node that was heard, member or not yet, until it is silent for too long.
    nodes: HashMap<NodeId, Heard>,
    emitters: HashMap<[u8; 6], Heard>,
    /// After an outage: who has not been heard on the new link. The spool is held until this is empty, or until the
    /// bus's own deadline.
    awaited: HashSet<NodeId>,
    lost: Vec<(NodeId, Instant)>,
    /// When the first peer is due to be declared lost.
    check_at: Instant,
    conflict_named: bool,
}

/// What is known about an origin from its messages.
struct Heard {
    /// Its messages to everyone.
    all: Track,
    /// Its messages to this node only.
    own: Track,
    at: Instant,
    /// The process that sent its last heartbeat.
    boot: Option<Boot>,
}

impl Heard {
    fn new(at: Instant) -> Self {
        Self { all: Track::default(), own: Track::default(), at, boot: None }
    }
}

impl Reader {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let check_at = Instant::now() + core.settings.peer_timeout;
        Self {
            core,
            python: PythonReader::default(),
            nodes: HashMap::new(),
            emitters: HashMap::new(),
            awaited: HashSet::new(),
            lost: Vec::new(),
            check_at,
            conflict_named: false,
        }
    }

    /// Reads until the bus is closed.
    pub(super) async fn run(mut self, mut events: Events) {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.guarded(event),
                    None => return,
                },
                () = sleep_until(self.check_at) => {
                    // A heartbeat that waits here already counts as heard.
                    for _ in 0..events.len() {
                        match events.try_recv() {
                            Ok(event) => self.guarded(event),
                            Err(_) => break,
                        }
                    }
                    self.check_silence();
                }
            }
        }
    }

    fn guarded(&mut self, event: Event) {
        if catch_unwind(AssertUnwindSafe(|| self.event(event))).is_err() {
            self.core.metrics.undecodable("panic");
            tracing::error!("handling a message from the bus panicked; the message was skipped");
        }
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Message(Inbound { topic: Topic::Channel, payload }) => {
                self.python.receive(&self.core, &payload)
            }
            Event::Message(Inbound { topic, payload }) => self.native(&topic, &payload),
            Event::Up { first, .. } => self.link_up(first),
            Event::Down { reason } => {
                tracing::warn!(bus = self.core.bus.describe(), reason, "the link to the bus is down");
                self.core.set_linked(false);
                self.core.pending.link_lost();
            }
        }
    }

    fn link_up(&mut self, first: bool) {
        tracing::info!(bus = self.core.bus.describe(), "the link to the bus is up");
        let now = Instant::now();
        // Nobody could be heard meanwhile: everyone's time begins anew.
        for heard in self.nodes.values_mut() {
            heard.at = now;
        }
        self.check_at = now + self.core.settings.peer_timeout;
        self.core.set_linked(true);
        self.core.beat(true);
        if first {
            return;
        }
        self.lost.retain(|(_, at)| now.saturating_duration_since(*at) < LOST_BUT_AWAITED);
        self.awaited =
            self.core.peers.ids().into_iter().chain(self.lost.iter().map(|&(node, _)| node)).collect();
        // A node that is awaited but no peer has no other way to be given up.
        for &node in &self.awaited {
            self.nodes.entry(node).or_insert_with(|| Heard::new(now));
        }
        if self.awaited.is_empty() {
            self.core.bus.release();
        }
    }

    fn native(&mut self, topic: &Topic, payload: &Bytes) {
        let (origin, sequence) = match native::peek(payload) {
            Ok(peeked) => peeked,
            Err(error) => return self.core.metrics.undecodable(error.kind()),
        };
        if origin == self.core.origin {
            // Only heartbeats have no number; an own one may be that of another process with this id.
            if sequence == 0 {
                self.own_echo(payload);
            }
            return;
        }
        let sender = match origin {
            Origin::Node(_) => Sender::Node,
            Origin::Emitter(_) => Sender::Emitter,
        };
        let heard = self.heard(origin);
        let track = if *topic == Topic::All { &mut heard.all } else { &mut heard.own };
        match track.message(sequence) {
            Verdict::Fresh { lost: 0 } => {}
            Verdict::Fresh { lost } => self.count_gap(origin, lost),
            Verdict::Duplicate => return self.core.metrics.duplicates.inc(),
        }
        let message = match native::decode(payload, &self.core.settings.limits) {
            Ok(Envelope { message, .. }) => message,
            Err(error) => return self.core.metrics.undecodable(error.kind()),
        };
        self.core.metrics.received(kind(&message), sender);
        match origin {
            Origin::Node(node) => self.node_says(node, message),
            Origin::Emitter(_) => self.anyone_says(None, message),
        }
    }

    /// The entry of an origin, marked as heard now.
    fn heard(&mut self, origin: Origin) -> &mut Heard {
        let now = Instant::now();
        match origin {
            Origin::Node(node) => {
                self.no_longer_awaited(node);
                let heard = self.nodes.entry(node).or_insert_with(|| Heard::new(now));
                heard.at = now;
                heard
            }
            Origin::Emitter(id) => {
                if self.emitters.len() >= EMITTERS && !self.emitters.contains_key(&id) {
                    self.forget_quiet_emitters();
                }
                let heard = self.emitters.entry(id).or_insert_with(|| Heard::new(now));
                heard.at = now;
                heard
            }
        }
    }

    fn forget_quiet_emitters(&mut self) {
        let mut times: Vec<Instant> = self.emitters.values().map(|heard| heard.at).collect();
        let (_, &mut median, _) = times.select_nth_unstable(EMITTERS / 2);
        self.emitters.retain(|_, heard| heard.at > median);
    }

    fn count_gap(&self, origin: Origin, lost: u64) {
        self.core.metrics.gaps.inc_by(lost);
        tracing::warn!(?origin, lost, "messages did not arrive here");
    }

    fn node_says(&mut self, node: NodeId, message: Message) {
        match message {
            Message::Heartbeat { boot, incarnation, sequences, hello, name, version } => {
                self.heartbeat(node, Boot { boot, incarnation }, &sequences);
                if self.core.peers.heard(node, name, version, Instant::now()) {
                    tracing::info!(%node, "a node joined the cluster");
                    self.core.count_nodes();
                }
                self.lost.retain(|&(other, _)| other != node);
                if hello {
                    self.core.beat_to(node);
                }
            }
            Message::Leaving => {
                if let Some(mut heard) = self.nodes.remove(&node) {
                    let lost = heard.all.close() + heard.own.close();
                    if lost > 0 {
                        self.count_gap(Origin::Node(node), lost);
                    }
                }
                self.lost.retain(|&(other, _)| other != node);
                self.no_longer_awaited(node);
                self.remove_peer(node, "left the cluster");
            }
            Message::Answer { request, part, more, answer } => {
                self.core.pending.feed(request, |entry| match entry {
                    Entry::Gather(gather) => gather.answer(node, part, more, answer),
                    Entry::Collect(_) => Progress::Waiting,
                });
            }
            Message::AckCount { request, recipients } => {
                self.core.pending.feed(request, |entry| match entry {
                    Entry::Collect(collect) => collect.count(node, recipients),
                    Entry::Gather(_) => Progress::Waiting,
                });
            }
            Message::Acks { request, acks } => {
                self.core.pending.feed(request, |entry| match entry {
                    Entry::Collect(collect) => collect.acks(node, acks),
                    Entry::Gather(_) => Progress::Waiting,
                });
            }
            other => self.anyone_says(Some(node), other),
        }
    }

    /// What nodes and emitters may say alike. An emitter hears nothing, so what asks for an answer is not answered.
    fn anyone_says(&self, node: Option<NodeId>, message: Message) {
        let Some(local) = self.core.local() else { return };
        match message {
            Message::Emit { namespace, event, args, target, volatile, reply } => match (reply, node) {
                (Some(reply), Some(node)) => {
                    let acks = RemoteAcks::new(&self.core, node, reply.request);
                    let sink = Arc::clone(&acks);
                    let asked = local.emit_with_ack(&namespace, &event, &args, &target, reply.ttl, sink);
                    acks.asked(asked);
                }
                _ => {
                    local.emit(&namespace, &event, &args, &target, volatile);
                }
            },
            Message::Join { namespace, target, rooms } => local.join(&namespace, &target, &rooms),
            Message::Leave { namespace, target, rooms } => local.leave(&namespace, &target, &rooms),
            Message::Disconnect { namespace, target, close } => local.disconnect(&namespace, &target, close),
            Message::CloseRoom { namespace, room } => local.close_room(&namespace, &room),
            Message::ServerEvent { namespace, event, args } => {
                if let Some(node) = node {
                    self.core.server_event(&local, node, &namespace, &event, args, |_| {});
                }
            }
            Message::Request { id, ttl, query } => {
                if let Some(node) = node {
                    self.core.serve(&local, node, id, ttl, query);
                }
            }
            Message::Answer { .. }
            | Message::AckCount { .. }
            | Message::Acks { .. }
            | Message::Heartbeat { .. }
            | Message::Leaving
            | Message::Unknown(_) => {}
        }
    }

    /// Another process under this node's id would be taken for an echo: everything it says would be lost.
    fn own_echo(&mut self, payload: &Bytes) {
        let Ok(Envelope { message: Message::Heartbeat { boot, incarnation, name, .. }, .. }) =
            native::decode(payload, &self.core.settings.limits)
        else {
            return;
        };
        if (Boot { boot, incarnation }) != self.core.me && !std::mem::replace(&mut self.conflict_named, true)
        {
            tracing::error!(node = %self.core.node, name, "another node uses this node's id: neither hears the other");
        }
    }

    fn heartbeat(&mut self, node: NodeId, boot: Boot, sequences: &[(String, u64)]) {
        let now = Instant::now();
        let heard = self.nodes.entry(node).or_insert_with(|| Heard::new(now));
        if heard.boot.replace(boot).is_some_and(|before| before != boot) {
            // The numbers begin anew, and what the earlier process owed will not come.
            *heard = Heard { boot: Some(boot), ..Heard::new(now) };
            tracing::warn!(%node, "a node was restarted under its old id");
            self.core.pending.peer_lost(node);
        }
        let own = self.core.node.to_string();
        let Some(heard) = self.nodes.get_mut(&node) else { return };
        let mut lost = 0;
        for (topic, sent) in sequences {
            if topic == ALL_TOPIC {
                lost += heard.all.claim(*sent);
            } else if *topic == own {
                lost += heard.own.claim(*sent);
            }
        }
        if lost > 0 {
            self.count_gap(Origin::Node(node), lost);
        }
    }

    /// Declares peers lost that were silent for too long, unless nobody could be heard.
    fn check_silence(&mut self) {
        let now = Instant::now();
        let timeout = self.core.settings.peer_timeout;
        if !self.core.is_linked() {
            self.check_at = now + timeout;
            return;
        }
        // If this process was held up, its peers' heartbeats may still be on their way to it.
        let held_up = now.saturating_duration_since(self.check_at);
        if held_up > self.core.settings.heartbeat {
            for heard in self.nodes.values_mut() {
                heard.at += held_up;
            }
        }
        let silent: Vec<NodeId> =
            self.nodes.iter().filter(|(_, heard)| heard.at + timeout <= now).map(|(&node, _)| node).collect();
        for node in silent {
            self.nodes.remove(&node);
            self.remove_peer(node, "is lost: it was silent for too long");
            self.lost.push((node, now));
        }
        self.lost.retain(|(_, at)| now.saturating_duration_since(*at) < LOST_BUT_AWAITED);
        let first = self.nodes.values().map(|heard| heard.at).min();
        self.check_at = first.unwrap_or(now) + timeout;
    }

    fn remove_peer(&mut self, node: NodeId, why: &str) {
        if self.core.peers.remove(node) {
            tracing::warn!(%node, "a node {why}");
            self.core.count_nodes();
            self.core.pending.peer_lost(node);
        }
    }

    /// Lets the bus go on when this was the last one to wait for. One that died in the outage is waited for until the
    /// bus's own deadline: it may as well need that long to come back, and would miss everything.
    fn no_longer_awaited(&mut self, node: NodeId) {
        if !self.awaited.is_empty() && self.awaited.remove(&node) && self.awaited.is_empty() {
            self.core.bus.release();
        }
    }
}

fn kind(message: &Message) -> Kind {
    match message {
        Message::Emit { .. } => Kind::Emit,
        Message::Join { .. } | Message::Leave { .. } | Message::CloseRoom { .. } => Kind::Rooms,
        Message::Disconnect { .. } => Kind::Disconnect,
        Message::Request { .. } => Kind::Request,
        Message::Answer { .. } => Kind::Response,
        Message::AckCount { .. } | Message::Acks { .. } => Kind::Ack,
        Message::ServerEvent { .. } => Kind::ServerEvent,
        Message::Heartbeat { .. } | Message::Leaving => Kind::Control,
        Message::Unknown(_) => Kind::Unknown,
    }
}
