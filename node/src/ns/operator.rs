//! Whom to send to, and sending it: to this node's own clients first, then over the bus.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use sockeye_proto::{
    bus::Target,
    id::{NodeId, SocketId},
    sio::{Args, IntoArgs},
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, timeout_at},
};

use super::{Namespace, event_packet, socket::IntoRooms};
use crate::{
    cluster::{AckSink, RemoteAck},
    engine::Engine,
    error::{Answer, CallError, EmitError, Gathered, Partial},
    sent::Sent,
};

/// How long acks are waited for when nobody said.
pub(crate) const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How much later than the caller the cluster may say that the time is over.
const REMOTE_GRACE: Duration = Duration::from_millis(100);

/// A selection of clients of one namespace, on all nodes, and what to do with them.
///
/// Made by [`Io`](crate::Io) and [`Socket`](crate::Socket); every method narrows or widens the selection and returns it. The
/// targets are the union of all rooms named with `to` (everyone if there is none) less the members of all rooms named with
/// `except`. A client in several of the rooms is one target. A socket's id is the name of its own room.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `emit` or another action"]
pub struct Broadcast {
    engine: Arc<Engine>,
    ns: Arc<Namespace>,
    target: Target,
    /// `to` was called, even if with an empty list: then nobody is meant, not everyone.
    addressed: bool,
    local: bool,
    volatile: bool,
    timeout: Duration,
}

impl Broadcast {
    pub(crate) fn new(engine: Arc<Engine>, ns: Arc<Namespace>) -> Self {
        Self {
            engine,
            ns,
            target: Target::default(),
            addressed: false,
            local: false,
            volatile: false,
            timeout: DEFAULT_ACK_TIMEOUT,
        }
    }

    /// Adds the members of these rooms. An empty list adds nobody, and does not mean everyone.
    pub fn to(mut self, rooms: impl IntoRooms) -> Self {
        self.addressed = true;
        self.target.rooms.extend(rooms.into_rooms());
        self
    }

    /// Leaves out the members of these rooms.
    pub fn except(mut self, rooms: impl IntoRooms) -> Self {
        self.target.except.extend(rooms.into_rooms());
        self
    }

    /// Only clients of this node.
    pub fn local(mut self) -> Self {
        self.local = true;
        self
    }

    /// The event may be dropped for clients that do not keep up, and while the bus is away.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// How long to wait for acks; 10 s if not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn nobody(&self) -> bool {
        self.addressed && self.target.rooms.is_empty()
    }

    fn is_remote(&self) -> bool {
        !self.local && !self.nobody()
    }

    /// Sends an event to all targets: local ones now, others over the bus.
    pub fn emit(self, event: &str, args: impl IntoArgs) -> Sent {
        let packet = match event_packet(&self.ns.path, event, args, None) {
            Ok(packet) => packet,
            Err(error) => return Sent::failed(error),
        };
        if self.nobody() {
            return Sent::local(0);
        }
        let args = match packet.args() {
            Some(args) if self.is_remote() => Some(args.clone()),
            _ => None,
        };
        self.ns.show_broadcast(&self.engine, &packet, &self.target);
        let reached = self.ns.broadcast(&self.engine, packet, &self.target, self.volatile);
        let remote = args.and_then(|args| {
            self.engine.cluster().emit(&self.ns.path, event, &args, &self.target, self.volatile)
        });
        Sent::with_remote(reached, remote)
    }

    /// Sends the event `message` to all targets.
    pub fn send(self, args: impl IntoArgs) -> Sent {
        self.emit("message", args)
    }

    /// Sends an event that every target has to answer, and returns the answers as they come.
    ///
    /// # Errors
    /// The event cannot be sent at all.
    pub fn emit_with_ack(self, event: &str, args: impl IntoArgs) -> Result<Acks, EmitError> {
        let packet = event_packet(&self.ns.path, event, args, None)?;
        let args = packet.args().cloned().unwrap_or_default();
        let (sender, receiver) = mpsc::unbounded_channel();
        let deadline = Instant::now() + self.timeout;
        let mut acks = Acks {
            receiver,
            deadline,
            asked: 0,
            answered: 0,
            gone: 0,
            refused: 0,
            remote_open: false,
            missing_nodes: Vec::new(),
            ready: VecDeque::new(),
            local: None,
        };
        if self.nobody() {
            return Ok(acks);
        }
        self.ns.show_broadcast(&self.engine, &packet, &self.target);
        let sink = Arc::new(LocalSink(sender.clone()));
        let asked = self.engine.ask_local(&self.ns, event, &args, &self.target, self.timeout, sink);
        acks.asked = asked.recipients;
        acks.refused = asked.refused;
        acks.local = Some(Forget { ns: self.ns.clone(), id: asked.id });
        if self.is_remote() {
            acks.remote_open = true;
            self.engine.cluster().emit_with_ack(
                &self.ns.path,
                event,
                &args,
                &self.target,
                self.timeout,
                sender,
            );
        }
        Ok(acks)
    }

    /// Sends an event to one client, named by its id with `to`, and waits for its answer; from several targets the first.
    ///
    /// # Errors
    /// [`CallError::Timeout`]; [`CallError::Disconnected`] as soon as it is known that no target is connected, or that the
    /// one that was asked is gone; [`CallError::TooManyPending`] if it is on this node and owes
    /// [`Limits::max_pending_acks`](crate::Limits::max_pending_acks) answers already.
    pub async fn call(self, event: &str, args: impl IntoArgs) -> Result<Args, CallError> {
        let timeout = self.timeout;
        let mut acks = self.emit_with_ack(event, args)?;
        match acks.next().await {
            Some(answer) => Ok(answer.args),
            None if acks.refused > 0 && acks.refused == acks.asked => Err(CallError::TooManyPending),
            None if acks.is_finished() && Instant::now() < acks.deadline => Err(CallError::Disconnected),
            None => Err(CallError::Timeout(timeout)),
        }
    }

    /// The targets enter these rooms. Remote ones a moment later.
    pub fn join(self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        if self.nobody() || rooms.is_empty() {
            return;
        }
        self.ns.rooms.join_all(&self.target, &rooms, &self.engine.guard);
        if !self.local {
            self.engine.cluster().join(&self.ns.path, &self.target, &rooms);
        }
    }

    /// The targets leave these rooms. Remote ones a moment later.
    pub fn leave(self, rooms: impl IntoRooms) {
        let rooms = rooms.into_rooms();
        if self.nobody() || rooms.is_empty() {
            return;
        }
        self.ns.rooms.leave_all(&self.target, &rooms);
        if !self.local {
            self.engine.cluster().leave_rooms(&self.ns.path, &self.target, &rooms);
        }
    }

    /// Disconnects the targets from the namespace; with `close` their whole connections.
    pub fn disconnect(self, close: bool) {
        if self.nobody() {
            return;
        }
        for socket in self.ns.rooms.collect(&self.target) {
            socket.disconnect(close);
        }
        if !self.local {
            self.engine.cluster().disconnect(&self.ns.path, &self.target, close);
        }
    }

    /// The ids of the targets, on all nodes, in no order.
    pub async fn sockets(self) -> Partial<Vec<String>> {
        if self.nobody() {
            return Partial { value: Vec::new(), missing: Vec::new() };
        }
        let remote = if self.local {
            None
        } else {
            Some(self.engine.cluster().members(&self.ns.path, &self.target).await)
        };
        let mut value: Vec<String> = Vec::with_capacity(self.ns.rooms.count(&self.target));
        self.ns.rooms.select(&self.target, |socket| value.push(socket.id.to_string()));
        let mut missing = Vec::new();
        if let Some(remote) = remote {
            value.extend(remote.value);
            missing = remote.missing;
        }
        Partial { value, missing }
    }

    /// How many targets there are on all nodes.
    pub async fn count(self) -> Partial<u64> {
        if self.nobody() {
            return Partial { value: 0, missing: Vec::new() };
        }
        let local = self.ns.rooms.count(&self.target) as u64;
        if self.local {
            return Partial { value: local, missing: Vec::new() };
        }
        let remote = self.engine.cluster().count(&self.ns.path, &self.target).await;
        Partial { value: local + remote.value, missing: remote.missing }
    }
}

/// Answers of this node's clients go the same way as those of other nodes.
struct LocalSink(UnboundedSender<RemoteAck>);

impl AckSink for LocalSink {
    fn ack(&self, from: SocketId, answer: Option<Args>) {
        let sid = from.to_string();
        // Nobody listens any more when the caller stopped waiting.
        let _ = self.0.send(match answer {
            Some(args) => RemoteAck::Answer { sid, args },
            None => RemoteAck::Gone { sid },
        });
    }
}

/// Takes the entry out when the caller stops waiting.
#[derive(Debug)]
struct Forget {
    ns: Arc<Namespace>,
    id: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.ns.forget_ack(self.id);
    }
}

/// The answers to a broadcast, as they come.
#[derive(Debug)]
pub struct Acks {
    receiver: UnboundedReceiver<RemoteAck>,
    deadline: Instant,
    asked: usize,
    answered: usize,
    gone: usize,
    /// Of those who are gone, who were not asked because they owe too many answers.
    refused: usize,
    remote_open: bool,
    missing_nodes: Vec<NodeId>,
    ready: VecDeque<Answer>,
    local: Option<Forget>,
}

impl Acks {
    /// The next answer; `None` when everyone has answered or is gone, or when the time is over.
    pub async fn next(&mut self) -> Option<Answer> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Some(answer);
            }
            if self.is_finished() {
                return None;
            }
            // The cluster's own deadline is a moment later; what it says then names the nodes that did not report.
            let grace = if self.remote_open { REMOTE_GRACE } else { Duration::ZERO };
            let event = timeout_at(self.deadline + grace, self.receiver.recv()).await.ok()??;
            self.note(event);
        }
    }

    fn note(&mut self, event: RemoteAck) {
        match event {
            RemoteAck::Expect { recipients, .. } => self.asked += recipients as usize,
            RemoteAck::Answer { sid, args } => {
                self.answered += 1;
                self.ready.push_back(Answer { sid, args });
            }
            RemoteAck::Gone { .. } => self.gone += 1,
            RemoteAck::Missing { node, owed } => {
                // Its clients went with it.
                self.gone += owed as usize;
                self.missing_nodes.push(node);
            }
            RemoteAck::Complete => self.remote_open = false,
        }
    }

    /// Whether nothing more can come: everyone has answered or is gone.
    pub fn is_finished(&self) -> bool {
        !self.remote_open && self.answered + self.gone >= self.asked && self.ready.is_empty()
    }

    /// How many clients are known to have been asked so far. Final once [`next`](Self::next) has returned `None`.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// Waits for all answers.
    pub async fn gather(mut self) -> Gathered<Answer> {
        let mut answers = Vec::with_capacity(self.asked);
        while let Some(answer) = self.next().await {
            answers.push(answer);
        }
        let missing = self.asked.saturating_sub(self.answered);
        drop(self.local.take());
        Gathered { answers, missing, missing_nodes: std::mem::take(&mut self.missing_nodes) }
    }
}
