//! The one reader of the bus: membership, sequence checks, and what peers and emitters ask of this node.
//!
//! Everything runs inline in the order in which it arrived, so that the order of one origin is kept. A panic ends the
//! handling of one message, nothing else.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sockeye_bus::{Event, Events, Inbound, Topic};
use sockeye_proto::bus::{Envelope, Message, Origin, native};
use sockeye_proto::id::NodeId;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::acks::RemoteAcks;
use super::bridge_python::PythonReader;
use super::core::Core;
use super::metrics::{Kind, Sender};
use super::origins::Origins;
use super::peers::Boot;
use super::sequences::Verdict;

/// So many messages are handled before others get their turn.
const BATCH: usize = 32;

/// Losses are logged at most this often, in sum.
const LOSSES_LOGGED_EVERY: Duration = Duration::from_secs(10);

/// Lost peers are waited for after an outage if they were lost so shortly before it: this node may have been deaf.
const LOST_BUT_AWAITED: Duration = Duration::from_secs(30);

pub(super) struct Reader {
    core: Arc<Core>,
    python: PythonReader,
    origins: Origins,
    /// This node's id as heartbeats spell it.
    me: String,
    /// After an outage: who has not been heard on the new link. The spool is held until this is empty, or until the
    /// bus's own deadline.
    awaited: HashSet<NodeId>,
    lost: Vec<(NodeId, Instant)>,
    /// When the first peer is due to be declared lost.
    check_at: Instant,
    conflict_named: bool,
    /// Losses that were not logged yet, and when that may be done.
    unlogged_losses: (u64, Instant),
}

impl Reader {
    pub(super) fn new(core: Arc<Core>) -> Self {
        let now = Instant::now();
        let check_at = now + core.settings.peer_timeout;
        Self {
            python: PythonReader::default(),
            origins: Origins::default(),
            me: core.node.to_string(),
            core,
            awaited: HashSet::new(),
            lost: Vec::new(),
            check_at,
            conflict_named: false,
            unlogged_losses: (0, now),
        }
    }

    /// Reads until the bus is closed.
    pub(super) async fn run(mut self, mut events: Events) {
        let mut check = pin!(sleep_until(self.check_at));
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => {
                        self.guarded(event);
                        // What else is there costs no look at the timer; but nobody else may starve.
                        if self.drain(&mut events, BATCH) {
                            yield_now().await;
                        }
                    }
                    None => return,
                },
                () = &mut check => {
                    // A heartbeat that waits here already counts as heard.
                    let waiting = events.len();
                    self.drain(&mut events, waiting);
                    self.check_silence();
                }
            }
            if check.deadline() != self.check_at {
                check.as_mut().reset(self.check_at);
            }
        }
    }

    /// Handles what is there, but no more than `most`; whether it was that much.
    fn drain(&mut self, events: &mut Events, most: usize) -> bool {
        for _ in 0..most {
            match events.try_recv() {
                Ok(event) => self.guarded(event),
                Err(_) => return false,
            }
        }
        true
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
                if self.core.is_linked() {
                    tracing::warn!(bus = self.core.bus.describe(), reason, "the link to the bus is down");
                }
                self.core.set_linked(false);
                self.core.pending.link_lost();
            }
        }
    }

    fn link_up(&mut self, first: bool) {
        tracing::info!(bus = self.core.bus.describe(), "the link to the bus is up");
        let now = Instant::now();
        self.origins.excuse_all(now);
        self.check_at = now + self.core.settings.peer_timeout;
        self.core.set_linked(true);
        self.core.beat(true);
        if first {
            return;
        }
        self.lost.retain(|(_, at)| now.saturating_duration_since(*at) < LOST_BUT_AWAITED);
        self.awaited =
            self.core.peers.ids().into_iter().chain(self.lost.iter().map(|&(node, _)| node)).collect();
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
            Origin::Node(node) => {
                self.no_longer_awaited(node);
                Sender::Node
            }
            Origin::Emitter(_) => Sender::Emitter,
        };
        match self.origins.message(origin, topic, sequence, Instant::now()) {
            Verdict::Fresh { lost } => self.count_lost(origin, lost),
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

    fn count_lost(&mut self, origin: Origin, lost: u64) {
        if lost == 0 {
            return;
        }
        self.core.metrics.gaps.inc_by(lost);
        let now = Instant::now();
        let (unlogged, log_at) = &mut self.unlogged_losses;
        *unlogged += lost;
        if now >= *log_at {
            tracing::warn!(lost = *unlogged, last_from = ?origin, "messages of others did not arrive here");
            self.unlogged_losses = (0, now + LOSSES_LOGGED_EVERY);
        }
    }

    fn node_says(&mut self, node: NodeId, message: Message) {
        match message {
            Message::Heartbeat { boot, incarnation, sequences, hello, name, version } => {
                self.heartbeat(node, Boot { boot, incarnation }, &sequences);
                if self.core.peers.heard(node, name.clone(), version, Instant::now()) {
                    tracing::info!(%node, name, "a node joined the cluster");
                    self.core.count_nodes();
                }
                self.lost.retain(|&(other, _)| other != node);
                if hello {
                    self.core.beat_to(node);
                }
            }
            Message::Leaving => {
                let lost = self.origins.goodbye(node);
                self.count_lost(Origin::Node(node), lost);
                self.lost.retain(|&(other, _)| other != node);
                self.no_longer_awaited(node);
                self.remove_peer(node, "left the cluster");
            }
            Message::Answer { request, part, more, answer } => {
                self.core.pending.feed_request(request, |gather| gather.answer(node, part, more, answer));
            }
            Message::AckCount { request, recipients } => {
                self.core.pending.feed_acks(request, |collect| collect.count(node, recipients));
            }
            Message::Acks { request, acks } => {
                self.core.pending.feed_acks(request, |collect| collect.acks(node, acks));
            }
            other => self.anyone_says(Some(node), other),
        }
    }

    /// What nodes and emitters may say alike. An emitter hears nothing, so what asks for an answer is not answered.
    fn anyone_says(&self, node: Option<NodeId>, message: Message) {
        let local = self.core.local();
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
            Message::Join { namespace, target, rooms, confirm } => {
                let found = local.join(&namespace, &target, &rooms);
                self.core.outcomes.note(node, confirm, found);
            }
            Message::Leave { namespace, target, rooms, confirm } => {
                let found = local.leave(&namespace, &target, &rooms);
                self.core.outcomes.note(node, confirm, found);
            }
            Message::Disconnect { namespace, target, close, confirm } => {
                let found = local.disconnect(&namespace, &target, close);
                self.core.outcomes.note(node, confirm, found);
            }
            Message::CloseRoom { namespace, room, confirm } => {
                let found = local.close_room(&namespace, &room);
                self.core.outcomes.note(node, confirm, found);
            }
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
        let pulse = self.origins.heartbeat(node, boot, sequences, &self.me, Instant::now());
        if pulse.restarted {
            tracing::warn!(%node, "a node was restarted under its old id");
            // What the earlier process owed will not come.
            self.core.pending.peer_lost(node);
        }
        self.count_lost(Origin::Node(node), pulse.lost);
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
            self.origins.excuse(held_up);
        }
        for node in self.origins.fall_silent(now, timeout) {
            self.remove_peer(node, "is lost: it was silent for too long");
            self.lost.push((node, now));
        }
        self.lost.retain(|(_, at)| now.saturating_duration_since(*at) < LOST_BUT_AWAITED);
        self.check_at = self.origins.first_heard().unwrap_or(now) + timeout;
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
