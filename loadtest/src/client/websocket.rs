//! Socket.IO over WebSocket: handshakes, frames, heartbeats.

use std::io;
use std::time::Instant;

use super::session::{Book, Ended, SocketRef, Sockets, Stage};
use crate::fault::{Fault, Faults};
use crate::interrupt::Interrupt;
use crate::net::{Handler, Io, LinkId, Reactor, Turn};
use crate::target::Target;
use crate::wire::http::Head;
use crate::wire::socketio::Packet;
use crate::wire::websocket::{self, Opcode};

/// What a scenario does while it runs.
pub trait Workload {
    /// The namespace of a socket was joined.
    fn ready(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, now: Instant);
    /// An event or an ack came.
    fn packet(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, packet: Packet<'_>, now: Instant);
    /// A socket ended; its number is free again. Faults are counted already.
    fn ended(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, why: Ended, now: Instant);
    /// Called before each wait for events.
    ///
    /// # Errors
    /// Ends the run.
    fn turn(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<Turn>;
}

/// The sockets of a run. They stay open from one workload to the next.
#[derive(Debug)]
pub struct Clients {
    reactor: Reactor,
    book: Book,
}

impl Clients {
    /// No sockets yet, to these servers.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn new(target: Target, interrupt: Interrupt) -> io::Result<Self> {
        Ok(Self { reactor: Reactor::new(target.sources.clone(), interrupt)?, book: Book::new(target) })
    }

    /// Runs a workload to its end.
    ///
    /// # Errors
    /// What the workload's turn returns, or `Interrupted`.
    pub fn run(&mut self, workload: &mut impl Workload) -> anyhow::Result<()> {
        let mut running = Running { book: &mut self.book, workload, result: Ok(()) };
        self.reactor.run(&mut running)?;
        running.result
    }

    /// Counts faults found after a run.
    pub fn fault(&mut self, fault: Fault, n: u64, example: impl std::fmt::Display) {
        self.book.faults.add(fault, n, example);
    }

    /// Gives the faults away; the count begins anew.
    pub fn take_faults(&mut self) -> Faults {
        std::mem::take(&mut self.book.faults)
    }
}

struct Running<'a, W> {
    book: &'a mut Book,
    workload: &'a mut W,
    result: anyhow::Result<()>,
}

impl<W: Workload> Running<'_, W> {
    /// One whole text message. Returns what is wrong with it.
    #[inline]
    fn text(&mut self, io: &mut Io, id: SocketRef, message: &[u8], now: Instant) -> Result<(), &'static str> {
        match message.split_first() {
            Some((b'4', packet)) => self.packet(io, id, packet, now)?,
            Some((b'2', _)) => {
                self.book.pings += 1;
                io.send(id, &self.book.pong);
            }
            Some((b'0', _)) if self.book.sessions[id.0].stage == Stage::Opening => {
                self.book.sessions[id.0].stage = Stage::Joining;
                io.send(id, &self.book.join_namespace);
            }
            Some((b'1', _)) => {
                self.end(io, id, Some((Fault::Closed, "the server sent an Engine.IO close".to_owned())), now)
            }
            Some((b'6', _)) => {}
            _ => return Err("an Engine.IO packet out of place"),
        }
        Ok(())
    }

    #[inline]
    fn packet(
        &mut self,
        io: &mut Io,
        id: SocketRef,
        packet: &[u8],
        now: Instant,
    ) -> Result<(), &'static str> {
        let Some(packet) = self.book.target.namespace.parse(packet) else {
            return Err("a Socket.IO packet that was not asked for");
        };
        match (packet, self.book.sessions[id.0].stage) {
            (Packet::Event { .. } | Packet::Ack { .. }, Stage::Ready) => {
                let book = &mut *self.book;
                self.workload.packet(&mut Sockets { io, book }, id, packet, now);
            }
            (Packet::Connect, Stage::Joining) => {
                self.book.sessions[id.0].stage = Stage::Ready;
                let book = &mut *self.book;
                self.workload.ready(&mut Sockets { io, book }, id, now);
            }
            (Packet::ConnectError(reason), Stage::Joining) => {
                let reason = String::from_utf8_lossy(reason).into_owned();
                self.end(io, id, Some((Fault::Namespace, reason)), now);
            }
            (Packet::Disconnect, Stage::Ready) => {
                let why = "the server disconnected the namespace".to_owned();
                self.end(io, id, Some((Fault::Closed, why)), now);
            }
            (_, Stage::Closing) => {}
            _ => return Err("a Socket.IO packet out of place"),
        }
        Ok(())
    }

    /// One frame. Returns what is wrong with it.
    fn frame(
        &mut self,
        io: &mut Io,
        id: SocketRef,
        frame: &websocket::Frame<'_>,
        now: Instant,
    ) -> Result<(), &'static str> {
        match (frame.opcode, frame.fin) {
            (Opcode::Text, true) => self.text(io, id, frame.payload, now),
            (Opcode::Text, false) => {
                self.book.sessions[id.0].fragments = Some(frame.payload.to_vec());
                Ok(())
            }
            (Opcode::Continuation, fin) => {
                let fragments = &mut self.book.sessions[id.0].fragments;
                let Some(mut message) = fragments.take() else {
                    return Err("a continuation of nothing");
                };
                message.extend_from_slice(frame.payload);
                if fin {
                    return self.text(io, id, &message, now);
                }
                *fragments = Some(message);
                Ok(())
            }
            (Opcode::Ping, _) => {
                if let Some(outbox) = io.outbox(id) {
                    websocket::write(outbox, Opcode::Pong, frame.payload);
                }
                Ok(())
            }
            (Opcode::Pong, _) => Ok(()),
            (Opcode::Close, _) => {
                // After our own close frame the server is to close the connection, which is then the end.
                if self.book.sessions[id.0].stage != Stage::Closing {
                    let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or(&[]));
                    let why = format!("the server sent a WebSocket close frame: {reason}");
                    self.end(io, id, Some((Fault::Closed, why)), now);
                }
                Ok(())
            }
            (Opcode::Binary, _) => Err("a binary message"),
        }
    }

    /// Closes a socket at once, counts why, and tells the workload.
    fn end(&mut self, io: &mut Io, id: SocketRef, why: Option<(Fault, String)>, now: Instant) {
        io.close(id);
        let ended = match self.book.remove(id) {
            Stage::Free => return,
            Stage::Closing => Ended::AsAsked,
            Stage::Ready => Ended::ByServer,
            Stage::Dialing | Stage::Upgrading | Stage::Opening | Stage::Joining => Ended::NotOpened,
        };
        if let Some((fault, example)) = why {
            self.book.faults.add(fault, 1, example);
        }
        let book = &mut *self.book;
        self.workload.ended(&mut Sockets { io, book }, id, ended, now);
    }
}

impl<W: Workload> Handler for Running<'_, W> {
    fn connected(&mut self, io: &mut Io, id: LinkId, _now: Instant) {
        self.book.sessions[id.0].stage = Stage::Upgrading;
        io.send(id, self.book.upgrade_request(id));
    }

    fn received(&mut self, io: &mut Io, id: LinkId, bytes: &[u8], now: Instant) -> usize {
        let mut used = 0;
        if self.book.sessions[id.0].stage == Stage::Upgrading {
            match Head::parse(bytes) {
                Ok(None) => return 0,
                Ok(Some(head)) => match head.check_upgrade() {
                    Ok(()) => {
                        self.book.sessions[id.0].stage = Stage::Opening;
                        used = head.len;
                    }
                    Err(why) => {
                        self.end(io, id, Some((Fault::Handshake, why)), now);
                        return bytes.len();
                    }
                },
                Err(why) => {
                    self.end(io, id, Some((Fault::Handshake, why.0.to_owned())), now);
                    return bytes.len();
                }
            }
        }
        while let Some(rest) = bytes.get(used..)
            && !rest.is_empty()
        {
            let result = match websocket::parse(rest) {
                Ok(None) => break,
                Ok(Some(frame)) => {
                    used += frame.len;
                    self.frame(io, id, &frame, now)
                }
                Err(why) => Err(why.0),
            };
            if let Err(why) = result {
                let text = String::from_utf8_lossy(&rest[..rest.len().min(60)]);
                self.end(io, id, Some((Fault::Protocol, format!("{why}: {text}"))), now);
            }
            // A socket that ended leaves the rest of its bytes unread.
            if self.book.sessions[id.0].stage == Stage::Free {
                return bytes.len();
            }
        }
        used
    }

    fn closed(&mut self, io: &mut Io, id: LinkId, error: Option<io::Error>, now: Instant) {
        let text =
            error.map_or_else(|| "the server closed the connection".to_owned(), |error| error.to_string());
        let why = match self.book.sessions[id.0].stage {
            Stage::Closing | Stage::Free => None,
            Stage::Dialing => Some((Fault::Connect, text)),
            Stage::Upgrading | Stage::Opening | Stage::Joining => Some((Fault::Handshake, text)),
            Stage::Ready => Some((Fault::Closed, text)),
        };
        self.end(io, id, why, now);
    }

    fn turn(&mut self, io: &mut Io, now: Instant) -> Turn {
        while let Some((id, stage)) = self.book.overdue(now) {
            let why = format!("a connection while {stage:?}");
            self.end(io, id, Some((Fault::Timeout, why)), now);
        }
        let book = &mut *self.book;
        match self.workload.turn(&mut Sockets { io, book }, now) {
            Ok(turn) => turn,
            Err(error) => {
                self.result = Err(error);
                Turn::Done
            }
        }
    }
}
