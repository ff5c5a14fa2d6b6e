//! The connections themselves: opening, queueing bytes, writing, closing.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

/// Names a connection while it is open. Numbers are small and used again after a connection was closed.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct LinkId(pub usize);

pub(super) struct Link {
    pub(super) stream: TcpStream,
    pub(super) connected: bool,
    /// Bytes of an incomplete frame, waiting for the rest.
    pub(super) inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// How much of `outbox` has been written already.
    written: usize,
    /// In the list of links to write to.
    dirty: bool,
}

/// The open connections and how new ones are made.
#[derive(Debug)]
pub struct Io {
    registry: Registry,
    links: Vec<Option<Link>>,
    free: Vec<usize>,
    /// Numbers of links closed since the last wait: events and bytes of theirs may still be under way.
    retired: Vec<usize>,
    dirty: Vec<LinkId>,
    /// Links whose write failed; the reactor tells the handler.
    broken: Vec<(LinkId, io::Error)>,
    sources: Vec<IpAddr>,
    next_source: usize,
    open: usize,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Io {
    pub(super) fn new(registry: Registry, sources: Vec<IpAddr>) -> Self {
        Self {
            registry,
            links: Vec::new(),
            free: Vec::new(),
            retired: Vec::new(),
            dirty: Vec::new(),
            broken: Vec::new(),
            sources,
            next_source: 0,
            open: 0,
        }
    }

    /// Begins a connection, from the next of the source addresses in turn.
    ///
    /// # Errors
    /// When there is no descriptor, port or route left. A refusal arrives later, as a closed connection.
    pub fn connect(&mut self, to: SocketAddr) -> io::Result<LinkId> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        if !self.sources.is_empty() {
            let source = self.sources[self.next_source % self.sources.len()];
            self.next_source += 1;
            // The port is then chosen by connect(2), so that it needs to be free for this destination only.
            setsockopt(&socket, sockopt::IpBindAddressNoPort, &true)?;
            socket.bind(&SocketAddr::new(source, 0).into())?;
        }
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(nix::errno::Errno::EINPROGRESS as i32) => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        let index = self.free.pop().unwrap_or(self.links.len());
        if let Err(error) =
            self.registry.register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)
        {
            self.free.push(index);
            return Err(error);
        }
        let link = Link {
            stream,
            connected: false,
            inbox: Vec::new(),
            outbox: Vec::new(),
            written: 0,
            dirty: false,
        };
        if index == self.links.len() {
            self.links.push(Some(link));
        } else {
            self.links[index] = Some(link);
        }
        self.open += 1;
        Ok(LinkId(index))
    }

    /// Queues bytes; they leave in one write with everything queued until the current callback returns.
    /// Bytes for a connection that is closed go nowhere.
    pub fn send(&mut self, id: LinkId, bytes: &[u8]) {
        if let Some(outbox) = self.outbox(id) {
            outbox.extend_from_slice(bytes);
        }
    }

    /// The queue of [`Io::send`], to write a frame in place.
    pub fn outbox(&mut self, id: LinkId) -> Option<&mut Vec<u8>> {
        let link = self.links.get_mut(id.0)?.as_mut()?;
        if !link.dirty {
            link.dirty = true;
            self.dirty.push(id);
        }
        Some(&mut link.outbox)
    }

    /// Closes a connection at once; what was queued is forgotten and the handler hears nothing of it.
    pub fn close(&mut self, id: LinkId) {
        // The readiness queue forgets a descriptor by itself when it is closed.
        if self.links.get_mut(id.0).and_then(Option::take).is_some() {
            self.retired.push(id.0);
            self.open -= 1;
        }
    }

    /// Lets the numbers of closed links be used again.
    pub(super) fn recycle(&mut self) {
        self.free.append(&mut self.retired);
    }

    /// How many connections are open or being opened.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open
    }

    pub(super) fn link(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id.0)?.as_mut()
    }

    /// Writes what was queued since the last time.
    pub(super) fn flush(&mut self) {
        while let Some(id) = self.dirty.pop() {
            if let Some(link) = self.links.get_mut(id.0).and_then(Option::as_mut) {
                link.dirty = false;
                if link.connected
                    && let Err(error) = link.write()
                {
                    self.broken.push((id, error));
                }
            }
        }
    }

    /// Writes what is left of one connection's queue.
    pub(super) fn resume(&mut self, id: LinkId) {
        if let Some(link) = self.link(id)
            && let Err(error) = link.write()
        {
            self.broken.push((id, error));
        }
    }

    pub(super) fn take_broken(&mut self) -> Vec<(LinkId, io::Error)> {
        std::mem::take(&mut self.broken)
    }
}

impl Link {
    fn write(&mut self) -> io::Result<()> {
        while self.written < self.outbox.len() {
            match self.stream.write(&self.outbox[self.written..]) {
                Ok(n) => self.written += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.outbox.clear();
        self.written = 0;
        Ok(())
    }
}
