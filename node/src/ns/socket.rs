//! A socket: one client in one namespace.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use sockeye_proto::{
    Time,
    eio::{Protocol, TransportKind},
    id::SocketId,
    name::{NamespacePath, RoomName},
    prepared::Packet,
    sio::{Args, IntoArgs, Ticket},
};

use super::{
    Namespace,
    connect::ConnectRefused,
    inbox::{Inbox, Job},
    operator::Broadcast,
    rate::Pace,
    session::Session,
    unicast::Unicast,
};
use crate::{
    conn::{
        Conn, Left,
        handshake::Handshake,
        outbox::{Item, Pushed},
    },
    error::CallError,
    io::Io,
    limits::Limit,
    log,
    reason::DisconnectReason,
    sent::Sent,
};

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The connect handler has not decided yet: what is sent waits, what comes waits.
    Connecting = 0,
    Connected = 1,
    Closed = 2,
    /// The client was told that it is in; what it was sent before that follows in a moment.
    Greeted = 3,
}

/// What became of an ack that a client shall give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owes {
    /// It is noted.
    This,
    /// The client owes too many already, and is not asked.
    TooMany,
    /// The client is gone.
    Gone,
}

/// What is kept for one client in one namespace.
pub(crate) struct SocketInner {
    pub(crate) id: SocketId,
    pub(crate) phase: AtomicU8,
    pub(crate) ns: Arc<Namespace>,
    pub(crate) conn: Arc<Conn>,
    pub(crate) inbox: Mutex<Inbox>,
    /// The request to join that this is about.
    pub(crate) ticket: Ticket,
    auth: Option<Bytes>,
    pub(crate) session: Session,
    pace: Pace,
}

impl fmt::Debug for SocketInner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket")
            .field("id", &self.id)
            .field("namespace", &self.ns.path)
            .finish_non_exhaustive()
    }
}

impl Drop for SocketInner {
    fn drop(&mut self) {
        if self.ns.is_dynamic() {
            self.conn.engine.namespaces.note_left(self.ns.path.clone());
        }
    }
}

impl SocketInner {
    pub(crate) fn new(
        id: SocketId,
        conn: &Arc<Conn>,
        ns: &Arc<Namespace>,
        auth: Option<Bytes>,
        ticket: Ticket,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            phase: AtomicU8::new(Phase::Connecting as u8),
            ns: ns.clone(),
            conn: conn.clone(),
            inbox: Mutex::default(),
            ticket,
            auth,
            session: Session::default(),
            pace: Pace::default(),
        })
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Connecting,
            1 => Phase::Connected,
            3 => Phase::Greeted,
            _ => Phase::Closed,
        }
    }

    pub(crate) fn auth(&self) -> Option<&Bytes> {
        self.auth.as_ref()
    }

    /// Queues one packet for the client. May be called under a room shard's lock.
    pub(crate) fn deliver(&self, item: Item, volatile: bool, now: Time) -> Pushed {
        if self.phase() == Phase::Connected {
            return self.conn.push_event(item, volatile, now);
        }
        let mut inbox = self.inbox.lock();
        match self.phase() {
            // A volatile packet is for those who listen now.
            Phase::Connecting if volatile => Pushed::Dropped,
            Phase::Connecting | Phase::Greeted => {
                if inbox.hold(item) {
                    Pushed::Queued
                } else {
                    self.conn.outbox.overflowed()
                }
            }
            Phase::Connected => self.conn.push_event(item, volatile, now),
            Phase::Closed => Pushed::Closed,
        }
    }

    /// The client hears that it is connected, and then everything that was sent to it since.
    ///
    /// On a WebSocket that follows a moment later: clients that begin to listen when they know that they are in lose what
    /// reaches them together with that. JavaScript's server has this pause by its nature.
    pub(crate) fn connected(self: &Arc<Self>) {
        let now = self.conn.engine.clock.now();
        let (pushed, later);
        // Before the client can know that it is in: whoever it tells will find it.
        self.ns.rooms.confirm(self);
        {
            let inbox = self.inbox.lock();
            if self.phase() != Phase::Connecting {
                return;
            }
            let connect = match self.conn.protocol {
                Protocol::V4 => Packet::connect(self.ns.path.clone(), &self.id),
                Protocol::V3 => Packet::connect_v3(self.ns.path.clone()),
            };
            // What a push asks for is done below: closing the connection takes this lock again.
            pushed = self.conn.push(self.conn.item(&connect), false, now);
            later = inbox.holds() && self.conn.transport() == TransportKind::WebSocket;
            self.phase.store(Phase::Greeted as u8, Ordering::Release);
        }
        self.conn.engine.metrics.socket_connected(&self.ns.label);
        self.conn.settle(pushed);
        if later {
            self.conn.engine.greeted.add(&self.conn.engine, self.clone());
        } else {
            self.welcome();
        }
    }

    /// Sends what was held back, and lets the client's events in.
    pub(crate) fn welcome(self: &Arc<Self>) {
        let now = self.conn.engine.clock.now();
        let (mut dirty, mut overflow) = (false, false);
        {
            let mut inbox = self.inbox.lock();
            if self.phase() != Phase::Greeted {
                return;
            }
            for item in inbox.take_held() {
                match self.conn.push(item, false, now) {
                    Pushed::Dirty => dirty = true,
                    Pushed::Overflow => overflow = true,
                    _ => {}
                }
            }
            if self.ns.handlers.connected.is_some() {
                inbox.begin();
            }
            self.phase.store(Phase::Connected as u8, Ordering::Release);
        }
        if dirty {
            self.conn.settle(Pushed::Dirty);
        }
        if overflow {
            self.conn.settle(Pushed::Overflow);
        }
        self.run_waiting();
    }

    /// An event from the client. True if the reader has to wait.
    pub(crate) fn on_event(self: &Arc<Self>, name: &str, args: Args, ack: Option<u64>) -> bool {
        let engine = &self.conn.engine;
        tracing::trace!(
            target: log::SOCKET_IO,
            namespace = %self.ns.path,
            socket = %self.id,
            event = name,
            bytes = args.json().len(),
            attachments = args.attachments().len(),
            ack,
            "received an event"
        );
        let ahead = engine.event_rate.as_ref().and_then(|rate| self.pace.event(rate, engine.clock));
        let too_fast = ahead.is_some_and(|ahead| self.slow_down(ahead));
        let Some((call, name)) = self.ns.handlers.event(name) else {
            engine.metrics.unhandled_events.inc();
            return too_fast;
        };
        self.submit(Job::Event { call, name, args, ack }) || too_fast
    }

    /// The client sends events faster than it may: it is read no further for this long.
    #[cold]
    fn slow_down(&self, ahead: Duration) -> bool {
        let guard = &self.conn.engine.guard;
        if guard.passes(Limit::EventRate) {
            return false;
        }
        guard.met(Limit::EventRate, 1, 1);
        self.inbox.lock().rare().pause = Some(Box::pin(tokio::time::sleep(ahead)));
        true
    }

    /// An ack from the client.
    pub(crate) fn on_ack(&self, id: u64, args: Args) {
        if self.ns.acks.resolve(id, &self.id, Some(args)) {
            self.owe_no_more(id);
        } else {
            self.conn.engine.metrics.unexpected_acks.inc();
        }
    }

    /// Answers an event of the client.
    pub(crate) fn send_ack(self: &Arc<Self>, id: u64, args: Args) {
        let packet = Packet::ack(self.ns.path.clone(), id, args);
        let engine = &self.conn.engine;
        engine.metrics.packets_sent(packet.has_binary(), true, 1);
        tracing::trace!(target: log::SOCKET_IO, namespace = %self.ns.path, socket = %self.id, ack = id, "sent an ack");
        self.conn.settle(self.conn.push(self.conn.item(&packet), false, engine.clock.now()));
    }

    /// The client owes an ack. If it is gone already, or owes too many, it is reported as gone at once.
    pub(crate) fn owe(&self, id: u64) -> Owes {
        let guard = &self.conn.engine.guard;
        let owes = {
            let mut inbox = self.inbox.lock();
            let owed = inbox.owed.len();
            if self.phase() == Phase::Closed {
                Owes::Gone
            } else if owed >= guard.ceilings().max_pending_acks {
                Owes::TooMany
            } else {
                inbox.owe(id);
                if owed >= guard.limits().max_pending_acks {
                    guard.met(Limit::PendingAcks, 1, 0);
                }
                return Owes::This;
            }
        };
        if owes == Owes::TooMany {
            guard.met(Limit::PendingAcks, 1, 1);
        }
        self.ns.acks.resolve(id, &self.id, None);
        owes
    }

    /// The client has answered, or whoever asked waits no longer.
    pub(crate) fn owe_no_more(&self, id: u64) {
        self.inbox.lock().owe_no_more(id);
    }

    /// Takes nothing more for the client. Returns what the socket was before, and the acks that the client owes; `None` if
    /// it had ended before.
    fn end(&self) -> Option<(Phase, Vec<u64>)> {
        // Under the lock, so that a client is either let in before this, or not at all.
        let mut inbox = self.inbox.lock();
        let before = self.phase();
        if before == Phase::Closed {
            return None;
        }
        self.phase.store(Phase::Closed as u8, Ordering::Release);
        let held = inbox.take_held();
        let (mut dirty, mut lost) = (false, 0);
        if before == Phase::Greeted {
            // The client is in and has a right to them, if it can still be reached: before the word that it is out.
            let now = self.conn.engine.clock.now();
            for item in held {
                match self.conn.push(item, false, now) {
                    Pushed::Dirty => dirty = true,
                    Pushed::Closed | Pushed::Overflow => lost += 1,
                    _ => {}
                }
            }
        }
        inbox.wake_readers();
        let owed = std::mem::take(&mut inbox.owed);
        drop(inbox);
        if dirty {
            self.conn.settle(Pushed::Dirty);
        }
        self.conn.engine.metrics.undelivered(lost);
        Some((before, owed))
    }

    /// The connect handler refused: the socket never was. False if it had ended before.
    pub(crate) fn refused(self: &Arc<Self>) -> bool {
        let Some((_, owed)) = self.end() else { return false };
        self.ns.rooms.remove(self);
        for id in owed {
            self.ns.acks.resolve(id, &self.id, None);
        }
        self.session.end();
        true
    }

    /// Ends the socket: out of all rooms, its owed acks are reported as gone, and its disconnect handler runs behind the
    /// events that came before. Returns what it was until now.
    pub(crate) fn closed(self: &Arc<Self>, reason: DisconnectReason) -> Phase {
        let Some((before, owed)) = self.end() else { return Phase::Closed };
        let rooms = self.ns.rooms.remove(self);
        if !rooms.is_empty() && self.ns.handlers.disconnect.is_some() {
            self.inbox.lock().rare().rooms = rooms;
        }
        for id in owed {
            self.ns.acks.resolve(id, &self.id, None);
        }
        if matches!(before, Phase::Connected | Phase::Greeted) {
            self.conn.engine.metrics.socket_disconnected(&self.ns.label, reason);
            tracing::debug!(
                target: log::SOCKET_IO,
                namespace = %self.ns.path,
                socket = %self.id,
                %reason,
                "a client left"
            );
        }
        if self.ns.handlers.disconnect.is_some() {
            self.submit(Job::Disconnect(reason));
        } else {
            self.session.end();
        }
        if before != Phase::Connected {
            self.run_waiting();
        }
        before
    }

    /// Takes the socket out of its namespace and tells the client. With `close` the whole connection ends.
    pub(crate) fn disconnect(self: &Arc<Self>, close: bool) {
        if self.phase() == Phase::Closed {
            return;
        }
        if close {
            for socket in self.conn.sockets() {
                socket.disconnect(false);
            }
            self.conn.close(DisconnectReason::ForcedServerClose);
            return;
        }
        // What the client is told depends on what it was told before.
        let told = match self.conn.leave(&self.ns.path, self.ticket) {
            Left::Joined => self.closed(DisconnectReason::ServerNamespaceDisconnect),
            // The connect handler has not decided yet, or does this itself: the client never was in.
            Left::Connecting if self.refused() => Phase::Connecting,
            Left::Connecting | Left::Nothing => Phase::Closed,
        };
        match told {
            Phase::Connected | Phase::Greeted => self.conn.send(&Packet::disconnect(self.ns.path.clone())),
            Phase::Connecting => {
                self.conn.send(&ConnectRefused::default().packet(&self.ns.path, self.conn.protocol))
            }
            Phase::Closed => {}
        }
    }

    pub(crate) fn rooms(&self) -> Vec<RoomName> {
        match self.ns.rooms.of(&self.id) {
            Some(rooms) => rooms,
            None => self.inbox.lock().rare_ref().map(|rare| rare.rooms.clone()).unwrap_or_default(),
        }
    }
}

/// A client in a namespace: the handle that handlers get.
///
/// Cloning it is cheap; keeping it does not keep the client connected. Everything that names rooms or other sockets works
/// across all nodes of the cluster.
#[derive(Clone)]
pub struct Socket(pub(crate) Arc<SocketInner>);

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl PartialEq for Socket {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Socket {}

impl Socket {
    /// The socket's id: 20 characters, unique in the cluster, different in every namespace, and the name of the room that
    /// the socket begins in. (Clients of Engine.IO 3 make longer ones, see [`SocketId`].)
    pub fn id(&self) -> SocketId {
        self.0.id.clone()
    }

    /// The namespace that this socket is in.
    pub fn namespace(&self) -> &NamespacePath {
        &self.0.ns.path
    }

    /// What a placeholder of a [pattern](crate::ServerBuilder::namespace_pattern) stands for in this socket's namespace.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.0.ns.param(name)
    }

    /// The server, seen from this socket's namespace.
    pub fn io(&self) -> Io {
        Io::new(self.0.conn.engine.clone(), self.0.ns.clone())
    }

    /// Whether the client is connected to the namespace. False inside the connect handler.
    pub fn is_connected(&self) -> bool {
        matches!(self.0.phase(), Phase::Connected | Phase::Greeted)
    }

    /// How the client is connected at this moment: long-polling may become WebSocket.
    pub fn transport(&self) -> TransportKind {
        self.0.conn.transport()
    }

    /// The version of Engine.IO that the client speaks: [`Protocol::V3`] for clients of Socket.IO 1.x and 2.x, where
    /// [`allow_eio3`](crate::ServerBuilder::allow_eio3) lets them in.
    pub fn protocol(&self) -> Protocol {
        self.0.conn.protocol
    }

    /// The request that opened the connection.
    pub fn handshake(&self) -> &Handshake {
        &self.0.conn.handshake
    }

    /// Sends an event to this client.
    ///
    /// `args` are no arguments `()`, one argument by reference, or several as a tuple: see [`IntoArgs`]. Inside the connect
    /// handler the event waits until the client knows that it is connected.
    pub fn emit(&self, event: &str, args: impl IntoArgs) -> Sent {
        Unicast::new(self).emit(event, args)
    }

    /// What is sent may be dropped when the client does not keep up: `socket.volatile().emit("position", (x, y))`.
    pub fn volatile(&self) -> Unicast<'_> {
        Unicast::new(self).volatile()
    }

    /// Whether the long-polling answer that carries what is sent may be compressed: `socket.compress(false).emit("token", &token)`. See
    /// [`Broadcast::compress`](crate::Broadcast::compress).
    pub fn compress(&self, compress: bool) -> Unicast<'_> {
        Unicast::new(self).compress(compress)
    }

    /// How long to wait for the client's answer: `socket.timeout(two_seconds).call("sure?", ())`.
    pub fn timeout(&self, timeout: Duration) -> Unicast<'_> {
        Unicast::new(self).timeout(timeout)
    }

    /// Sends the event `message`.
    pub fn send(&self, args: impl IntoArgs) -> Sent {
        self.emit("message", args)
    }

    /// Sends an event to this client and waits for its ack, 10 s if [`timeout`](Self::timeout) does not say otherwise.
    ///
    /// # Errors
    /// [`CallError::Timeout`], [`CallError::Disconnected`] as soon as the client is gone.
    pub async fn call(&self, event: &str, args: impl IntoArgs) -> Result<Args, CallError> {
        Unicast::new(self).call(event, args).await
    }

    /// Enters one or more rooms. Cheap: a map entry on this node, nobody else is told.
    ///
    /// Rooms beyond [`Limits::max_rooms`](crate::Limits::max_rooms), and those with a name longer than
    /// [`Limits::max_room_len`](crate::Limits::max_room_len), are not entered: this is counted in
    /// `sockeye_limit_rejections_total` and logged, and [`rooms`](Self::rooms) tells.
    pub fn join(&self, rooms: impl IntoRooms) {
        self.0.ns.rooms.join(&self.0.id, &rooms.into_rooms(), &self.0.conn.engine.guard);
    }

    /// Leaves one or more rooms. A room ends with its last member.
    pub fn leave(&self, rooms: impl IntoRooms) {
        self.0.ns.rooms.leave(&self.0.id, &rooms.into_rooms());
    }

    /// The rooms of this socket, in no order; the one named after its id is among them unless it was left. In a disconnect
    /// handler, the rooms it was in at the end.
    pub fn rooms(&self) -> Vec<RoomName> {
        self.0.rooms()
    }

    /// Everyone in the namespace but this socket.
    pub fn broadcast(&self) -> Broadcast {
        self.io().all().except(self.id().as_str())
    }

    /// The members of one or more rooms, but not this socket.
    pub fn to(&self, rooms: impl IntoRooms) -> Broadcast {
        self.broadcast().to(rooms)
    }

    /// Everyone in the namespace but this socket and the members of these rooms.
    pub fn except(&self, rooms: impl IntoRooms) -> Broadcast {
        self.broadcast().except(rooms)
    }

    /// Everyone in the namespace on this node but this socket.
    pub fn local(&self) -> Broadcast {
        self.broadcast().local()
    }

    /// Disconnects the client from this namespace; with `close` the whole connection ends. The client does not reconnect
    /// by itself.
    pub fn disconnect(&self, close: bool) {
        self.0.disconnect(close);
    }
}

/// One or several room names.
pub trait IntoRooms {
    /// The names.
    fn into_rooms(self) -> Vec<RoomName>;
}

impl IntoRooms for &str {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self.into()]
    }
}
impl IntoRooms for String {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self.into()]
    }
}
impl IntoRooms for &String {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self.as_str().into()]
    }
}
impl IntoRooms for RoomName {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self]
    }
}
impl IntoRooms for &RoomName {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self.clone()]
    }
}
impl IntoRooms for SocketId {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self.as_str().into()]
    }
}
impl IntoRooms for &SocketId {
    fn into_rooms(self) -> Vec<RoomName> {
        vec![self.as_str().into()]
    }
}
impl<T: Into<RoomName>> IntoRooms for Vec<T> {
    fn into_rooms(self) -> Vec<RoomName> {
        self.into_iter().map(Into::into).collect()
    }
}
impl<T: Clone + Into<RoomName>> IntoRooms for &[T] {
    fn into_rooms(self) -> Vec<RoomName> {
        self.iter().cloned().map(Into::into).collect()
    }
}
impl<T: Into<RoomName>, const N: usize> IntoRooms for [T; N] {
    fn into_rooms(self) -> Vec<RoomName> {
        self.into_iter().map(Into::into).collect()
    }
}
