//! Namespaces: their handlers, who is in their rooms, and the acks they wait for. Knows connections only as something to
//! push packets to, and nothing of HTTP or the bus.

pub(crate) mod acks;
pub(crate) mod answers;
mod blocking;
pub(crate) mod builder;
pub(crate) mod class;
pub(crate) mod connect;
pub(crate) mod context;
mod data;
pub(crate) mod describe;
pub(crate) mod extract;
pub(crate) mod fetch;
pub(crate) mod greeted;
pub(crate) mod handler;
pub(crate) mod hooks;
pub(crate) mod inbox;
pub(crate) mod layers;
pub(crate) mod middleware;
pub(crate) mod namespaces;
pub(crate) mod operator;
pub(crate) mod pattern;
pub(crate) mod rate;
pub(crate) mod remote;
pub(crate) mod rooms;
mod session;
pub(crate) mod socket;
pub(crate) mod unicast;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use futures_util::future::BoxFuture;
use smallvec::SmallVec;
use sockeye_proto::{
    Time,
    bus::Target,
    id::{NodeId, SocketId},
    name::NamespacePath,
    prepared::{Packet, Prepared},
    sio::{Args, IntoArgs, RESERVED},
};

use crate::{
    conn::{
        Conn,
        outbox::{Item, Pushed},
    },
    engine::Engine,
    error::EmitError,
    io::Io,
    log,
    reason::DisconnectReason,
};
use acks::Acks;
use layers::Handlers;
use namespaces::{Dynamic, Matcher};
use pattern::Captures;
use rooms::Rooms;

/// A handler of server-to-server events: gets the sender and the arguments, returns the answer.
pub(crate) type ServerEventCall = Arc<dyn Fn(NodeId, Args) -> BoxFuture<'static, Option<Args>> + Send + Sync>;

/// What a dynamic namespace was made of.
struct Origin {
    of: Arc<Dynamic>,
    captures: Captures,
}

/// One namespace of this node.
pub(crate) struct Namespace {
    pub(crate) path: NamespacePath,
    /// What stands for it in metrics: its path, or the pattern of a dynamic one.
    pub(crate) label: NamespacePath,
    pub(crate) handlers: Arc<Handlers>,
    /// Of a dynamic namespace, where it comes from.
    origin: Option<Origin>,
    pub(crate) rooms: Rooms,
    pub(crate) acks: Acks,
    started: AtomicBool,
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Namespace").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Namespace {
    pub(crate) fn new(path: NamespacePath, handlers: Handlers) -> Self {
        let (label, handlers) = (path.clone(), Arc::new(handlers));
        Self {
            path,
            label,
            handlers,
            origin: None,
            rooms: Rooms::new(),
            acks: Acks::default(),
            started: AtomicBool::new(false),
        }
    }

    pub(crate) fn dynamic(path: NamespacePath, of: &Arc<Dynamic>, captures: Captures) -> Self {
        let (label, handlers) = (of.label.clone(), of.handlers.clone());
        let origin = Some(Origin { of: of.clone(), captures });
        Self {
            path,
            label,
            handlers,
            origin,
            rooms: Rooms::new(),
            acks: Acks::default(),
            started: AtomicBool::new(false),
        }
    }

    /// Tells the application's classes, once, that the namespace is there.
    pub(crate) fn start(self: &Arc<Self>, engine: &Arc<Engine>) {
        if self.handlers.starts.is_empty() || self.started.swap(true, Ordering::AcqRel) {
            return;
        }
        for start in &self.handlers.starts {
            hooks::look(engine, &self.path, || start(Io::new(engine.clone(), self.clone())));
        }
    }

    /// Whether it exists only while somebody is in it.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.origin.is_some()
    }

    /// Whether clients may ask for it without a predicate's leave.
    pub(crate) fn asks_nobody(&self) -> bool {
        !matches!(&self.origin, Some(origin) if matches!(origin.of.matcher, Matcher::When(_)))
    }

    /// What a placeholder of the pattern stands for in this namespace's path.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let captures = &self.origin.as_ref()?.captures;
        let (_, range) = captures.iter().find(|(of, _)| **of == *name)?;
        self.path.get(range.clone())
    }

    /// All placeholders in the order of the pattern, with what they stand for.
    pub(crate) fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let captures = self.origin.iter().flat_map(|origin| &origin.captures);
        captures.map(|(name, range)| (&**name, &self.path[range.clone()]))
    }

    /// Nobody waits any longer for what this ack would bring.
    pub(crate) fn forget_ack(&self, id: u64) {
        self.released(id, &self.acks.forget(id));
    }

    /// Gives up the acks whose time is over; returns how many answers never came.
    pub(crate) fn expire_acks(&self, now: Time) -> usize {
        let expired = self.acks.expire(now);
        expired.iter().for_each(|(id, sockets)| self.released(*id, sockets));
        expired.iter().map(|(_, sockets)| sockets.len()).sum()
    }

    /// These sockets owe that ack no more: what a client never answers must not gather.
    fn released(&self, id: u64, sockets: &[SocketId]) {
        for socket in sockets.iter().filter_map(|socket| self.rooms.get(socket)) {
            socket.owe_no_more(id);
        }
    }

    /// Sends a packet to everyone on this node whom the target means; returns how many.
    pub(crate) fn broadcast(
        &self,
        engine: &Engine,
        packet: Packet,
        target: &Target,
        volatile: bool,
    ) -> usize {
        if self.rooms.is_empty() {
            return 0;
        }
        fan_out(engine, packet, volatile, |push| self.rooms.select(target, push))
    }

    /// Sends the same packet to a list of sockets.
    pub(crate) fn push_all(&self, engine: &Engine, packet: Packet, sockets: &[Arc<socket::SocketInner>]) {
        fan_out(engine, packet, false, |push| sockets.iter().for_each(push));
    }
}

/// Pushes one packet to every socket that `each` hands to its argument; returns how many took it.
fn fan_out(
    engine: &Engine,
    packet: Packet,
    volatile: bool,
    each: impl FnOnce(&mut dyn FnMut(&Arc<socket::SocketInner>)),
) -> usize {
    let binary = packet.has_binary();
    let packet = Arc::new(Prepared::with_parser(packet, engine.config.parser.clone()));
    let mut fanout = Fanout::new(engine);
    each(&mut |socket| {
        // Built for the first recipient, if there is any: until then each push would have to compute how long it is.
        let _ = packet.websocket();
        let pushed = socket.deliver(Item::Shared(packet.clone()), volatile, fanout.now);
        fanout.note(&socket.conn, pushed);
    });
    let reached = fanout.finish();
    tracing::trace!(
        target: log::SOCKET_IO,
        namespace = %packet.packet().namespace,
        event = packet.packet().event_name(),
        recipients = reached,
        "sent an event to this node's clients"
    );
    engine.metrics.packets_sent(binary, false, reached as u64);
    reached
}

/// Gathers what a fan-out leaves to do: connections for the flushers, in one go each, and clients that are too slow.
struct Fanout<'a> {
    engine: &'a Engine,
    now: Time,
    dirty: SmallVec<[Vec<Arc<Conn>>; 4]>,
    slow: Vec<Arc<Conn>>,
    reached: usize,
    dropped: u64,
    skipped: u64,
}

impl<'a> Fanout<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self {
            engine,
            now: engine.clock.now(),
            dirty: (0..engine.flusher_count()).map(|_| Vec::new()).collect(),
            slow: Vec::new(),
            reached: 0,
            dropped: 0,
            skipped: 0,
        }
    }

    fn note(&mut self, conn: &Arc<Conn>, pushed: Pushed) {
        match pushed {
            Pushed::Queued => self.reached += 1,
            Pushed::Dirty => {
                self.reached += 1;
                self.dirty[self.engine.flusher_index(conn.key())].push(conn.clone());
            }
            Pushed::Dropped => self.dropped += 1,
            Pushed::Skipped => self.skipped += 1,
            Pushed::Overflow => self.slow.push(conn.clone()),
            Pushed::Closed => {}
        }
    }

    /// Runs outside of the rooms' locks: closing a connection takes it out of rooms.
    fn finish(self) -> usize {
        for (index, dirty) in self.dirty.into_iter().enumerate() {
            if !dirty.is_empty() {
                self.engine.flusher_at(index).extend(dirty.into_iter());
            }
        }
        if self.dropped > 0 {
            self.engine.metrics.outbox_dropped("volatile", self.dropped);
        }
        if self.skipped > 0 {
            self.engine.metrics.outbox_dropped("overflow", self.skipped);
        }
        for conn in self.slow {
            conn.close(DisconnectReason::Slow);
        }
        self.reached
    }
}

/// Makes the packet of an event that the application emits.
pub(crate) fn event_packet(
    namespace: &NamespacePath,
    event: &str,
    args: impl IntoArgs,
    id: Option<u64>,
) -> Result<Packet, EmitError> {
    if RESERVED.contains(&event) {
        return Err(EmitError::Reserved(event.to_owned()));
    }
    let args = args.into_args()?;
    Ok(Packet::event(namespace.clone(), event, args, id))
}
