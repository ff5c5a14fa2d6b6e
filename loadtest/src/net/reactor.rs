//! The loop: waits for readiness, reads, hands bytes to a handler, writes what it queued.

use std::io::{self, Read};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll};

use super::io::{Io, LinkId};
use crate::interrupt::Interrupt;

/// The least room that a read is given.
const READ_ROOM: usize = 64 * 1024;
/// The longest wait, so that an interrupt is seen soon.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// What happens on the connections.
pub trait Handler {
    /// A connection was made.
    fn connected(&mut self, io: &mut Io, id: LinkId, now: Instant);
    /// Bytes came, behind those that were not used the last time. Returns how many are used up.
    fn received(&mut self, io: &mut Io, id: LinkId, bytes: &[u8], now: Instant) -> usize;
    /// The connection was ended by the other side (`None`: in order) or could not be made. It is closed already.
    fn closed(&mut self, io: &mut Io, id: LinkId, error: Option<io::Error>, now: Instant);
    /// Called before each wait.
    fn turn(&mut self, io: &mut Io, now: Instant) -> Turn;
}

/// What to do after a [`Handler::turn`].
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// Wait for events, at most so long.
    Wait(Duration),
    /// Leave the loop; the connections stay open.
    Done,
}

/// The loop and its connections.
#[derive(Debug)]
pub struct Reactor {
    poll: Poll,
    events: Events,
    io: Io,
    buffer: Vec<u8>,
    interrupt: Interrupt,
}

impl Reactor {
    /// A reactor without connections. `sources`: the local addresses to connect from, in turn; empty = the
    /// system's choice.
    ///
    /// # Errors
    /// When the system has no descriptor left for the readiness queue.
    pub fn new(sources: Vec<IpAddr>, interrupt: Interrupt) -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            poll,
            events: Events::with_capacity(1024),
            io: Io::new(registry, sources),
            buffer: vec![0; READ_ROOM],
            interrupt,
        })
    }

    /// The connections, between runs.
    pub fn io(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Runs until the handler is done.
    ///
    /// # Errors
    /// `Interrupted` (as an [`io::Error`] around [`crate::interrupt::Interrupted`]) after Ctrl-C, or when waiting
    /// itself fails.
    pub fn run(&mut self, handler: &mut impl Handler) -> io::Result<()> {
        loop {
            self.interrupt.check().map_err(io::Error::other)?;
            self.io.recycle();
            let wait = match handler.turn(&mut self.io, Instant::now()) {
                Turn::Wait(wait) => wait.min(LONGEST_WAIT),
                Turn::Done => {
                    self.settle(handler);
                    return Ok(());
                }
            };
            self.settle(handler);
            match self.poll.poll(&mut self.events, Some(wait)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            // Readiness is told once: every event of the batch is served before the handler may end the run.
            let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
            for event in &events {
                self.serve(handler, event);
            }
            self.events = events;
        }
    }

    fn serve(&mut self, handler: &mut impl Handler, event: &Event) {
        let id = LinkId(event.token().0);
        let Some(link) = self.io.link(id) else {
            return;
        };
        if !link.connected {
            if event.is_error() || event.is_write_closed() {
                let error = link.stream.take_error().unwrap_or_else(Some);
                return self.end(handler, id, error);
            }
            if !event.is_writable() {
                return;
            }
            link.connected = true;
            handler.connected(&mut self.io, id, Instant::now());
            self.io.resume(id);
        } else if event.is_writable() {
            self.io.resume(id);
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.read(handler, id, event.is_read_closed());
        }
        self.settle(handler);
    }

    fn read(&mut self, handler: &mut impl Handler, id: LinkId, ends: bool) {
        loop {
            let Some(link) = self.io.link(id) else {
                return;
            };
            let kept = link.inbox.len();
            if self.buffer.len() < kept + READ_ROOM {
                self.buffer.resize(2 * kept + READ_ROOM, 0);
            }
            self.buffer[..kept].copy_from_slice(&link.inbox);
            let room = self.buffer.len() - kept;
            let end = match link.stream.read(&mut self.buffer[kept..]) {
                Ok(0) => return self.end(handler, id, None),
                Ok(n) => kept + n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return self.end(handler, id, Some(error)),
            };
            link.inbox.clear();
            let used = handler.received(&mut self.io, id, &self.buffer[..end], Instant::now());
            if used < end
                && let Some(link) = self.io.link(id)
            {
                link.inbox.extend_from_slice(&self.buffer[used..end]);
            }
            // A short read has emptied the socket; more data is a new event.
            if end - kept < room && !ends {
                return;
            }
        }
    }

    fn end(&mut self, handler: &mut impl Handler, id: LinkId, error: Option<io::Error>) {
        self.io.close(id);
        handler.closed(&mut self.io, id, error, Instant::now());
    }

    /// Writes what callbacks have queued, and reports the connections on which that failed.
    fn settle(&mut self, handler: &mut impl Handler) {
        self.io.flush();
        for (id, error) in self.io.take_broken() {
            if self.io.link(id).is_some() {
                self.end(handler, id, Some(error));
            }
        }
    }
}
