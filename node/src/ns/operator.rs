//! Whom to send to, and sending it: to this node's own clients first, then over the bus.

use std::{sync::Arc, time::Duration};

use sockeye_proto::{
    bus::Target,
    id::{RequestId, SocketId},
    prepared::Packet,
    sio::{Args, IntoArgs},
};

use super::{
    Namespace,
    answers::{Acks, LocalSink},
    event_packet,
    fetch::FetchSockets,
    socket::IntoRooms,
};
use crate::{
    changed::Changed,
    cluster::Cluster,
    engine::Engine,
    error::{CallError, EmitError, Partial},
    sent::Sent,
};

/// How long acks are waited for when nobody said.
pub(crate) const DEFAULT_ACK_TIMEOUT: Duration = Duration::from_secs(10);

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
    compress: bool,
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
            compress: true,
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

    /// Whether long-polling answers that carry the event may be compressed; true if not said. An answer is compressed if one of its
    /// packets may be. Say false for events in which a secret stands beside something that others choose: how short it becomes
    /// tells a listener about the secret (BREACH). Holds for clients of this node; send such events to clients of other nodes from there.
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
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
            Ok(packet) => Packet { compress: self.compress, ..packet },
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
    /// In a cluster with python-socketio nodes only the answers for a single client end before the time is over: those nodes
    /// do not say how many clients of theirs were asked, so more answers may follow at any time.
    ///
    /// # Errors
    /// The event cannot be sent at all.
    pub fn emit_with_ack(self, event: &str, args: impl IntoArgs) -> Result<Acks, EmitError> {
        let packet = event_packet(&self.ns.path, event, args, None)?;
        let packet = Packet { compress: self.compress, ..packet };
        let args = packet.args().cloned().unwrap_or_default();
        let (mut acks, sender) = Acks::new(self.timeout);
        if self.nobody() {
            return Ok(acks);
        }
        self.ns.show_broadcast(&self.engine, &packet, &self.target);
        let sink = LocalSink::new(self.engine.node, sender.clone());
        let asked = self.engine.ask_local(&self.ns, packet, &self.target, self.timeout, sink);
        acks.asked_here(asked, &self.ns);
        if self.is_remote() {
            acks.expect_others();
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
            None if acks.was_refused() => Err(CallError::TooManyPending),
            None if acks.is_finished() && !acks.is_over() => Err(CallError::Disconnected),
            None => Err(CallError::Timeout(timeout)),
        }
    }

    /// The targets enter these rooms: those of this node now, others a moment later. Await the result to know when, and
    /// how many targets there were.
    pub fn join(self, rooms: impl IntoRooms) -> Changed {
        let rooms = rooms.into_rooms();
        if self.nobody() || rooms.is_empty() {
            return Changed::local(0);
        }
        let here = self.ns.rooms.join_all(&self.target, &rooms, &self.engine.guard);
        self.changed(here, |cluster| cluster.join(&self.ns.path, &self.target, &rooms))
    }

    /// The targets leave these rooms: those of this node now, others a moment later. Await the result to know when, and
    /// how many targets there were.
    pub fn leave(self, rooms: impl IntoRooms) -> Changed {
        let rooms = rooms.into_rooms();
        if self.nobody() || rooms.is_empty() {
            return Changed::local(0);
        }
        let here = self.ns.rooms.leave_all(&self.target, &rooms);
        self.changed(here, |cluster| cluster.leave_rooms(&self.ns.path, &self.target, &rooms))
    }

    /// Disconnects the targets from the namespace; with `close` their whole connections. Await the result to know when
    /// those of other nodes are disconnected too, and how many targets there were.
    pub fn disconnect(self, close: bool) -> Changed {
        if self.nobody() {
            return Changed::local(0);
        }
        let here = self.ns.disconnect(&self.target, close);
        self.changed(here, |cluster| cluster.disconnect(&self.ns.path, &self.target, close))
    }

    fn changed(&self, here: usize, others: impl FnOnce(&Cluster) -> RequestId) -> Changed {
        if self.local {
            return Changed::local(here);
        }
        let cluster = self.engine.cluster();
        let change = others(cluster);
        Changed::everywhere(here, cluster.clone(), vec![change])
    }

    /// The ids of the targets, on all nodes, in no order. Of many targets [`fetch_sockets`](Self::fetch_sockets) gives
    /// one page after the other.
    pub async fn sockets(self) -> Partial<Vec<String>> {
        if self.nobody() {
            return Partial { value: Vec::new(), missing: Vec::new() };
        }
        // The question leaves before the look at this node: they work at the same time.
        let remote = (!self.local).then(|| self.engine.cluster().members(&self.ns.path, &self.target));
        let here = self.ns.members(&self.target);
        let mut value: Vec<String> = here.iter().map(SocketId::to_string).collect();
        let mut missing = Vec::new();
        if let Some(remote) = remote {
            let remote = remote.await;
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

    /// The targets themselves, on all nodes, page by page or all together, with what one wants to know about each.
    pub fn fetch_sockets(self) -> FetchSockets {
        let nobody = self.nobody();
        FetchSockets::new(self.engine, self.ns, self.target, self.local, nobody)
    }
}
