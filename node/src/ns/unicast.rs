//! One client, and how to send to it.

use std::time::Duration;

use sockeye_proto::{
    prepared::Packet,
    sio::{Args, IntoArgs},
};

use super::{
    operator::{Broadcast, DEFAULT_ACK_TIMEOUT},
    socket::{IntoRooms, Socket},
};
use crate::{error::CallError, log, sent::Sent};

/// One client and flags for what is sent to it, as [`Broadcast`] is for many.
///
/// ```
/// # async fn run(socket: sockeye::Socket) -> Result<(), sockeye::CallError> {
/// use std::time::Duration;
///
/// socket.volatile().emit("position", (12, 34)); // not worth waiting for
/// let answer = socket.timeout(Duration::from_secs(2)).call("sure?", ()).await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is sent before `emit` or another action"]
pub struct Unicast<'a> {
    socket: &'a Socket,
    volatile: bool,
    compress: bool,
    timeout: Duration,
}

impl<'a> Unicast<'a> {
    pub(crate) fn new(socket: &'a Socket) -> Self {
        Self { socket, volatile: false, compress: true, timeout: DEFAULT_ACK_TIMEOUT }
    }

    /// The event may be dropped when the client does not keep up.
    pub fn volatile(mut self) -> Self {
        self.volatile = true;
        self
    }

    /// Whether the long-polling answer that carries the event may be compressed; true if not said. See [`Broadcast::compress`].
    pub fn compress(mut self, compress: bool) -> Self {
        self.compress = compress;
        self
    }

    /// How long to wait for an ack; 10 s if not said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Everyone else in the namespace, with the same flags.
    pub fn broadcast(self) -> Broadcast {
        let others = self.socket.io().all().except(self.socket.id().as_str());
        let broadcast = others.timeout(self.timeout).compress(self.compress);
        if self.volatile { broadcast.volatile() } else { broadcast }
    }

    /// The members of one or more rooms, but not this socket, with the same flags.
    pub fn to(self, rooms: impl IntoRooms) -> Broadcast {
        self.broadcast().to(rooms)
    }

    /// Sends an event to this client. See [`Socket::emit`].
    pub fn emit(self, event: &str, args: impl IntoArgs) -> Sent {
        let inner = &self.socket.0;
        let packet = match super::event_packet(&inner.ns.path, event, args, None) {
            Ok(packet) => Packet { compress: self.compress, ..packet },
            Err(error) => return Sent::failed(error),
        };
        let engine = &inner.conn.engine;
        tracing::trace!(target: log::SOCKET_IO, namespace = %inner.ns.path, socket = %inner.id, event, "sent an event");
        inner.ns.show_unicast(engine, &packet, &inner.id);
        engine.metrics.packets_sent(packet.has_binary(), false, 1);
        let pushed = inner.deliver(inner.conn.item(&packet), self.volatile, engine.clock.now());
        Sent::local(usize::from(inner.conn.settle(pushed)))
    }

    /// Sends the event `message` to this client.
    pub fn send(self, args: impl IntoArgs) -> Sent {
        self.emit("message", args)
    }

    /// Sends an event to this client and waits for its ack.
    ///
    /// # Errors
    /// [`CallError::Timeout`], [`CallError::Disconnected`] as soon as the client is gone.
    pub async fn call(self, event: &str, args: impl IntoArgs) -> Result<Args, CallError> {
        let io = self.socket.io();
        let this = io.to(self.socket.id()).local().compress(self.compress);
        this.timeout(self.timeout).call(event, args).await
    }
}
