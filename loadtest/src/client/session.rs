//! The sockets of a run over WebSocket: their stages, and what a workload may do with them.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use crate::fault::{Fault, Faults};
use crate::net::{Io, LinkId};
use crate::target::Target;
use crate::wire::{http, socketio::Namespace, websocket};

/// Names a socket while it is open; numbers are small, to be used as an index, and used again.
pub type SocketRef = LinkId;

/// Why a socket ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It never became ready: no connection, no handshake, no namespace, or not in time.
    NotOpened,
    /// It was ready, and the server or the network ended it.
    ByServer,
    /// [`Sockets::close`] was called, and the server has closed the connection too.
    AsAsked,
}

/// How far a socket has come.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// No socket.
    Free,
    /// Waits for the TCP connection.
    Dialing,
    /// Waits for the answer 101.
    Upgrading,
    /// Waits for the Engine.IO handshake packet.
    Opening,
    /// Waits for the answer to the namespace CONNECT.
    Joining,
    /// In use.
    Ready,
    /// We have sent a close frame and wait for the end.
    Closing,
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) stage: Stage,
    endpoint: usize,
    /// Tells sockets of the same number apart.
    generation: u32,
    /// The parts so far of a message in several frames.
    pub(super) fragments: Option<Vec<u8>>,
}

/// What all sockets share.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) target: Target,
    pub(super) faults: Faults,
    pub(super) sessions: Vec<Session>,
    pub(super) pings: u64,
    /// Sockets that have to reach another stage soon: opening ones and closing ones, oldest first.
    deadlines: VecDeque<(SocketRef, u32, Instant)>,
    next_endpoint: usize,
    requests: Vec<Vec<u8>>,
    pub(super) join_namespace: Vec<u8>,
    pub(super) pong: Vec<u8>,
    close: Vec<u8>,
}

impl Book {
    pub(super) fn new(target: Target) -> Self {
        let requests = target
            .endpoints
            .iter()
            .map(|endpoint| http::upgrade_request(&endpoint.host, &target.path))
            .collect();
        Self {
            requests,
            join_namespace: websocket::text(target.namespace.connect().as_bytes()),
            target,
            faults: Faults::default(),
            sessions: Vec::new(),
            pings: 0,
            deadlines: VecDeque::new(),
            next_endpoint: 0,
            pong: websocket::text(b"3"),
            close: websocket::close(),
        }
    }

    pub(super) fn upgrade_request(&self, id: SocketRef) -> &[u8] {
        &self.requests[self.sessions[id.0].endpoint]
    }

    /// Forgets a socket; returns the stage it was in.
    pub(super) fn remove(&mut self, id: SocketRef) -> Stage {
        let session = &mut self.sessions[id.0];
        session.fragments = None;
        std::mem::replace(&mut session.stage, Stage::Free)
    }

    /// The sockets that should have got further by now.
    pub(super) fn overdue(&mut self, now: Instant) -> Option<(SocketRef, Stage)> {
        while let Some(&(id, generation, since)) = self.deadlines.front() {
            let session = &self.sessions[id.0];
            let waits =
                session.generation == generation && !matches!(session.stage, Stage::Free | Stage::Ready);
            if waits && now.duration_since(since) < self.target.patience {
                return None;
            }
            self.deadlines.pop_front();
            if waits {
                return Some((id, session.stage));
            }
        }
        None
    }
}

/// What a workload does with its sockets.
#[derive(Debug)]
pub struct Sockets<'a> {
    pub(super) io: &'a mut Io,
    pub(super) book: &'a mut Book,
}

impl Sockets<'_> {
    /// Begins a socket to the next server in turn.
    ///
    /// # Errors
    /// When this machine has no descriptor or port left.
    pub fn open(&mut self, now: Instant) -> io::Result<SocketRef> {
        let endpoint = self.book.next_endpoint % self.book.target.endpoints.len();
        let id = self.io.connect(self.book.target.endpoints[endpoint].address)?;
        self.book.next_endpoint += 1;
        let session = Session { stage: Stage::Dialing, endpoint, generation: 0, fragments: None };
        if id.0 == self.book.sessions.len() {
            self.book.sessions.push(session);
        } else {
            let generation = self.book.sessions[id.0].generation.wrapping_add(1);
            self.book.sessions[id.0] = Session { generation, ..session };
        }
        self.watch(id, now);
        Ok(id)
    }

    /// Queues frames; those of one callback leave in one write.
    pub fn send(&mut self, id: SocketRef, frames: &[u8]) {
        self.io.send(id, frames);
    }

    /// The queue of a socket, to write frames in place; `None` when it is closed.
    pub fn outbox(&mut self, id: SocketRef) -> Option<&mut Vec<u8>> {
        self.io.outbox(id)
    }

    /// Ends a socket in order: a close frame, then the server closes the connection.
    pub fn close(&mut self, id: SocketRef, now: Instant) {
        if self.is_ready(id) {
            self.book.sessions[id.0].stage = Stage::Closing;
            self.io.send(id, &self.book.close);
            self.watch(id, now);
        }
    }

    /// Whether the namespace is joined and nobody has closed the socket.
    #[must_use]
    pub fn is_ready(&self, id: SocketRef) -> bool {
        self.book.sessions.get(id.0).is_some_and(|session| session.stage == Stage::Ready)
    }

    /// Counts faults.
    pub fn fault(&mut self, fault: Fault, n: u64, example: impl std::fmt::Display) {
        self.book.faults.add(fault, n, example);
    }

    /// The faults so far.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.book.faults
    }

    /// How many Engine.IO pings were answered so far.
    #[must_use]
    pub fn pings(&self) -> u64 {
        self.book.pings
    }

    /// The namespace that all sockets join.
    #[must_use]
    pub fn namespace(&self) -> &Namespace {
        &self.book.target.namespace
    }

    /// What the run is pointed at.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.book.target
    }

    /// How many connections are open or being opened.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.io.open()
    }

    fn watch(&mut self, id: SocketRef, now: Instant) {
        let generation = self.book.sessions[id.0].generation;
        self.book.deadlines.push_back((id, generation, now));
    }
}
