//! One Engine.IO connection: its session, the namespaces it joined and what waits to be sent to it.
//!
//! A connection outlives its first transport: long-polling may become WebSocket. It knows nothing about rooms.

mod deadlines;
pub(crate) mod flusher;
mod form;
pub(crate) mod handshake;
mod item;
mod join;
mod limits;
pub(crate) mod outbox;
mod receive;
pub(crate) mod registry;
pub(crate) mod task;
pub(crate) mod wheel;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::{Duration, Instant},
};

use bytes::Bytes;
use parking_lot::Mutex;
use smallvec::SmallVec;
use sockeye_proto::{
    Time,
    eio::{
        Opening, Protocol, TransportKind, jsonp,
        payload_v3::Dialect,
        session::{CloseReason, Session},
    },
    error::DecodeError,
    id::Sid,
    name::NamespacePath,
    prepared::Packet,
    sio::{
        Inbound,
        mux::{Mux, Ticket},
        parser::{AnyDecoder, Parsers},
    },
};
use tokio::sync::Notify;

use crate::{
    engine::Engine, engineio, http::Endpoint, limits::Guard, log, ns::socket::SocketInner,
    reason::DisconnectReason,
};
pub(crate) use receive::{Backlog, Received};

use form::Form;
use handshake::Handshake;
use outbox::{Item, Outbox, PollBody, Pushed, Sink, SlowPolicy};

/// How long a session that the server closed is kept for its client to poll its last packets.
const GOODBYE: Duration = Duration::from_secs(10);

/// Time since the engine began, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Time {
        Time(self.0.elapsed().as_millis() as u64)
    }

    pub(crate) fn micros(self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}

/// What the state machines say, guarded together: one frame is handled at a time.
struct Core {
    session: Session,
    decoder: AnyDecoder,
    mux: Mux<Arc<SocketInner>>,
    /// Set once, by whoever closes the connection.
    closed: Option<DisconnectReason>,
    /// Rung when that happens, for those who wait for it.
    ended: Option<Arc<Notify>>,
}

impl Core {
    fn text<'a>(&mut self, text: &'a str, guard: &Guard) -> Result<Option<Inbound<'a>>, DecodeError> {
        match &mut self.decoder {
            // Asked again, it would read the message twice.
            AnyDecoder::Custom(_) => self.decoder.text(text, guard.ceilings()),
            decoder => guard.decode(|limits| decoder.text(text, limits)),
        }
    }

    fn binary<'a>(&mut self, data: &'a [u8], guard: &Guard) -> Result<Option<Inbound<'a>>, DecodeError> {
        match &mut self.decoder {
            AnyDecoder::MsgPack => guard.decode(|limits| self.decoder.binary(data, limits)),
            decoder => decoder.binary(data, guard.ceilings()),
        }
    }

    /// The client's socket in a namespace, and whether the client never joined any.
    fn member(&self, namespace: &str) -> (Option<Arc<SocketInner>>, bool) {
        (self.mux.get(namespace).cloned(), self.mux.connect_deadline().is_some())
    }
}

/// One connection of a client to this node.
pub(crate) struct Conn {
    pub(crate) sid: Sid,
    pub(crate) engine: Arc<Engine>,
    pub(crate) handshake: Arc<Handshake>,
    pub(crate) outbox: Outbox,
    /// For clients of a raw Engine.IO endpoint: no packet of theirs means anything to Socket.IO.
    pub(crate) raw: Option<Box<engineio::Inbox>>,
    /// The version of Engine.IO that the client speaks.
    pub(crate) protocol: Protocol,
    /// The function that a polling client wants to be called with its packets.
    pub(crate) jsonp: Option<jsonp::Index>,
    /// Which entry of the timer wheel counts; older ones are ignored.
    scheduled: AtomicU64,
    /// Never held while a handler runs, a room is looked up or another lock than a leaf is taken.
    core: Mutex<Core>,
}

impl fmt::Debug for Conn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conn").finish_non_exhaustive()
    }
}

impl Conn {
    /// Opens a session, registers it and has its first deadline watched.
    pub(crate) fn open(
        engine: &Arc<Engine>,
        endpoint: Endpoint,
        opening: Opening,
        sink: Sink,
        sid: Sid,
        handshake: &Arc<Handshake>,
    ) -> Arc<Self> {
        let Opening { transport, protocol, base64, jsonp } = opening;
        let now = engine.clock.now();
        // Only JSON can be written so that nobody can misread it.
        let json = endpoint == Endpoint::SocketIo && matches!(engine.config.parser, Parsers::Json);
        let form = match protocol {
            Protocol::V4 => Form::V4,
            Protocol::V3 if base64 && !json => Form::V3 { base64, dialect: Dialect::Plain },
            Protocol::V3 => Form::V3 { base64, dialect: Dialect::Unknown },
        };
        let (mut sink, mut sid) = (Some(sink), Some(sid));
        loop {
            let conn = Arc::new(Self {
                sid: sid.take().unwrap_or_else(|| engine.mint()),
                engine: engine.clone(),
                handshake: handshake.clone(),
                outbox: Outbox::new(sink.take().unwrap_or(Sink::Polling), form),
                raw: engine.raw_inbox(endpoint).map(Box::new),
                protocol,
                jsonp,
                scheduled: AtomicU64::new(0),
                core: Mutex::new(Core {
                    session: Session::open(now, transport, protocol, &engine.config.session),
                    decoder: engine.config.parser.decoder(),
                    mux: match endpoint {
                        Endpoint::SocketIo => Mux::new(now.plus(engine.config.connect_timeout)),
                        Endpoint::Raw(_) => Mux::without_deadline(),
                    },
                    closed: None,
                    ended: None,
                }),
            });
            if engine.registry.insert(&conn) {
                conn.reschedule(now);
                engine.metrics.connection_opened(transport, protocol);
                tracing::debug!(
                    target: log::ENGINE_IO,
                    connection = %log::Name(&conn),
                    transport = transport.as_str(),
                    protocol = protocol.as_str(),
                    path = conn.handshake.path(),
                    peer = conn.handshake.peer_addr().map(tracing::field::display),
                    "a session was opened"
                );
                // The end of the server may have looked into the registry a moment ago.
                if engine.is_draining() {
                    conn.close(DisconnectReason::ServerShuttingDown);
                }
                return conn;
            }
            sink = Some(conn.outbox.switch(Sink::Closed, form));
        }
    }

    /// The client has been told that its session is open.
    pub(crate) fn opened(self: &Arc<Self>) {
        if self.raw.is_some() {
            engineio::opened(self);
        } else if self.protocol == Protocol::V3 {
            // Its client takes this for granted, and waits.
            self.join(self.core.lock(), NamespacePath::root().as_str(), None);
        }
    }

    /// Which of the server's endpoints this is a client of.
    pub(crate) fn endpoint(&self) -> Endpoint {
        self.raw.as_ref().map_or(Endpoint::SocketIo, |raw| Endpoint::Raw(raw.index))
    }

    /// The short name under which the registry and the timer know this connection.
    pub(crate) fn key(&self) -> u64 {
        registry::key(&self.sid)
    }

    pub(crate) fn transport(&self) -> TransportKind {
        self.core.lock().session.transport()
    }

    /// Runs a step of the session machine.
    pub(crate) fn with_session<R>(&self, f: impl FnOnce(&mut Session) -> R) -> R {
        f(&mut self.core.lock().session)
    }

    // === namespaces ===

    /// Tells the client that there is no such namespace.
    pub(crate) fn no_such_namespace(self: &Arc<Self>, path: NamespacePath) {
        self.engine.metrics.namespace_connect("unknown");
        self.send(&Packet::connect_error(path, Bytes::from_static(br#"{"message":"Invalid namespace"}"#)));
    }

    /// The connect handler said yes. False if the connection was closed meanwhile.
    pub(crate) fn accept(&self, path: &str, ticket: Ticket, socket: &Arc<SocketInner>) -> bool {
        let mut core = self.core.lock();
        core.mux.decided();
        core.closed.is_none() && core.mux.accept(path, ticket, socket.clone())
    }

    pub(crate) fn refuse(&self, path: &str, ticket: Ticket) {
        let mux = &mut self.core.lock().mux;
        mux.decided();
        mux.refuse(path, ticket);
    }

    /// Takes a socket out of its namespace; afterwards its packets are ignored.
    pub(crate) fn leave(&self, path: &str, ticket: Ticket) -> Left {
        let mux = &mut self.core.lock().mux;
        // Not by the id: clients of Engine.IO 3 have the same one again when they join again.
        match mux.get(path).map(|socket| socket.ticket == ticket) {
            Some(true) => {
                mux.leave(path);
                return Left::Joined;
            }
            // The client left, and joined again as another socket.
            Some(false) => return Left::Nothing,
            None => {}
        }
        let waited = mux.is_connecting(path);
        mux.refuse(path, ticket);
        // It still waits where another request of the client does.
        if waited && !mux.is_connecting(path) { Left::Connecting } else { Left::Nothing }
    }

    /// Why the connection ended, if it did.
    pub(crate) fn closed(&self) -> Option<DisconnectReason> {
        self.core.lock().closed
    }

    /// Waits for the end of the connection.
    pub(crate) async fn ended(&self) {
        let ended = {
            let mut core = self.core.lock();
            if core.closed.is_some() {
                return;
            }
            core.ended.get_or_insert_default().clone().notified_owned()
        };
        ended.await;
    }

    /// Every namespace that this connection is in.
    pub(crate) fn sockets(&self) -> Vec<Arc<SocketInner>> {
        self.core.lock().mux.iter().map(|(_, socket)| socket.clone()).collect()
    }

    // === sending ===

    /// Queues a packet that only this client gets.
    pub(crate) fn send(self: &Arc<Self>, packet: &Packet) {
        self.send_with(packet, false);
    }

    /// The same; a volatile packet may be dropped. False if it was not queued.
    pub(crate) fn send_with(self: &Arc<Self>, packet: &Packet, volatile: bool) -> bool {
        self.settle(self.push(self.item(packet), volatile, self.engine.clock.now()))
    }

    /// A packet that only this client gets, as it is queued.
    pub(crate) fn item(&self, packet: &Packet) -> Item {
        Item::single(packet, &self.engine.config.parser)
    }

    pub(crate) fn push(&self, item: Item, volatile: bool, now: Time) -> Pushed {
        self.outbox.push(item, volatile, now, &self.engine.config.outbox)
    }

    /// As [`push`](Self::push), for an event, which may be dropped if the policy for slow clients says so.
    pub(crate) fn push_event(&self, item: Item, volatile: bool, now: Time) -> Pushed {
        match self.push(item, volatile, now) {
            Pushed::Overflow if self.engine.config.outbox.policy == SlowPolicy::DropEvents => Pushed::Skipped,
            pushed => pushed,
        }
    }

    /// Does what a push asks for. True if the packet was queued.
    pub(crate) fn settle(self: &Arc<Self>, pushed: Pushed) -> bool {
        match pushed {
            Pushed::Queued => true,
            Pushed::Dirty => {
                self.engine.flusher(self.key()).add(self.clone());
                true
            }
            Pushed::Dropped => {
                self.engine.metrics.outbox_dropped("volatile", 1);
                false
            }
            Pushed::Skipped => {
                self.engine.metrics.outbox_dropped("overflow", 1);
                false
            }
            Pushed::Overflow => {
                self.close(DisconnectReason::Slow);
                false
            }
            Pushed::Closed => false,
        }
    }

    // === closing ===

    /// Ends the connection. Only the first reason counts; it reaches every namespace's disconnect handler.
    pub(crate) fn close(self: &Arc<Self>, reason: DisconnectReason) -> bool {
        let (sockets, ended): (SmallVec<[Arc<SocketInner>; 1]>, _) = {
            let mut core = self.core.lock();
            if core.closed.is_some() {
                return false;
            }
            core.closed = Some(reason);
            let ended = core.ended.take();
            core.session.close(CloseReason::ForcedClose);
            core.decoder.clear();
            (core.mux.drain().collect(), ended)
        };
        if let Some(ended) = ended {
            ended.notify_waiters();
        }
        let engine = &self.engine;
        if let (Some(addresses), Some(address)) = (&engine.addresses, self.handshake.client_addr()) {
            addresses.leave(address);
        }
        let slow = reason == DisconnectReason::Slow;
        let goodbye = match reason {
            DisconnectReason::ServerShuttingDown => PollBody::Leaving,
            // Its own close packet: it knows.
            DisconnectReason::TransportClose => PollBody::Noop,
            _ => PollBody::Close,
        };
        let lost = self.outbox.close(slow, goodbye);
        if slow {
            engine.metrics.outbox_dropped("slow", lost as u64);
            engine.metrics.limit_rejected(self.outbox.overflow());
        }
        // A client between two GETs has not heard that it was thrown out; it would take an unknown session for a fault and
        // come back.
        if reason == DisconnectReason::ForcedServerClose && self.transport() == TransportKind::Polling {
            let now = engine.clock.now();
            self.schedule(now.plus(GOODBYE), now);
        } else {
            engine.registry.remove(self.key());
        }
        engine.metrics.connection_closed(self.transport(), self.protocol);
        tracing::debug!(
            target: log::ENGINE_IO,
            connection = %log::Name(self),
            transport = self.transport().as_str(),
            %reason,
            "a session was closed"
        );
        for socket in sockets {
            socket.closed(reason);
        }
        if self.raw.is_some() {
            engineio::submit(self, engineio::Job::Close(reason));
        }
        true
    }
}

/// What a socket that had to leave its namespace left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The namespace.
    Joined,
    /// The queue of those who wait for their connect handler.
    Connecting,
    /// It was not in.
    Nothing,
}
