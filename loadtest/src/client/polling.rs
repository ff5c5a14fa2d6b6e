//! Socket.IO over long-polling, as stock clients do it: one connection with a GET always under way, another for POSTs.

use std::io;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::fault::{Fault, Faults};
use crate::interrupt::Interrupt;
use crate::net::{Handler, Io, LinkId, Reactor, Turn};
use crate::target::Target;
use crate::wire::http::{self, Response};
use crate::wire::socketio::Packet;

/// Between packets of one body.
const SEPARATOR: u8 = 0x1e;

/// What a scenario does with polling clients.
pub trait PollingWorkload {
    /// An event or an ack came for the client of this number.
    fn packet(&mut self, pollers: &mut Pollers, client: usize, packet: Packet<'_>, now: Instant);
    /// Called before each wait for events.
    ///
    /// # Errors
    /// Ends the run.
    fn turn(&mut self, pollers: &mut Pollers, now: Instant) -> anyhow::Result<Turn>;
}

/// The polling clients of a run.
#[derive(Debug)]
pub struct Pollers {
    target: Target,
    faults: Faults,
    clients: Vec<Poller>,
    /// Which client a link belongs to, and whether it is the one for POSTs.
    owners: Vec<Option<(usize, bool)>>,
    ready: usize,
    /// Clients with something to post.
    eager: Vec<usize>,
}

#[derive(Debug)]
struct Poller {
    host: String,
    get: LinkId,
    post: LinkId,
    stage: Stage,
    get_request: Vec<u8>,
    post_head: Vec<u8>,
    /// Packets that wait for the POST under way to be answered.
    pending: Vec<u8>,
    posting: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Stage {
    Opening,
    Joining,
    Ready,
    Dead,
}

impl Pollers {
    /// Opens so many clients and waits until all have joined the namespace.
    ///
    /// # Errors
    /// When one of them cannot, or after Ctrl-C.
    pub fn open(target: Target, count: usize, interrupt: Interrupt) -> anyhow::Result<(Self, Reactor)> {
        let mut reactor = Reactor::new(target.sources.clone(), interrupt)?;
        let mut pollers = Self {
            target,
            faults: Faults::default(),
            clients: Vec::new(),
            owners: Vec::new(),
            ready: 0,
            eager: Vec::new(),
        };
        for client in 0..count {
            pollers.add(reactor.io(), client)?;
        }
        pollers.run(&mut reactor, &mut Joining { count, since: Instant::now() })?;
        Ok((pollers, reactor))
    }

    /// Runs a workload to its end.
    ///
    /// # Errors
    /// What the workload's turn returns, or `Interrupted`.
    pub fn run(&mut self, reactor: &mut Reactor, workload: &mut impl PollingWorkload) -> anyhow::Result<()> {
        let mut running = Running { pollers: self, workload, result: Ok(()) };
        reactor.run(&mut running)?;
        running.result
    }

    /// Queues an Engine.IO packet; those of one callback leave in one POST, once no other POST is under way.
    pub fn send(&mut self, client: usize, packet: impl FnOnce(&mut Vec<u8>)) {
        let poller = &mut self.clients[client];
        if poller.pending.is_empty() {
            self.eager.push(client);
        } else {
            poller.pending.push(SEPARATOR);
        }
        packet(&mut poller.pending);
    }

    /// How many clients were opened.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// Whether no client was opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// How many clients are in use.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.ready
    }

    /// Whether this client is in use.
    #[must_use]
    pub fn is_ready(&self, client: usize) -> bool {
        self.clients[client].stage == Stage::Ready
    }

    /// What the run is pointed at.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Counts faults.
    pub fn fault(&mut self, fault: Fault, n: u64, example: impl std::fmt::Display) {
        self.faults.add(fault, n, example);
    }

    /// The faults so far.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    fn add(&mut self, io: &mut Io, client: usize) -> io::Result<()> {
        let endpoint = &self.target.endpoints[client % self.target.endpoints.len()];
        let (get, post) = (io.connect(endpoint.address)?, io.connect(endpoint.address)?);
        for (link, posts) in [(get, false), (post, true)] {
            self.owners.resize(self.owners.len().max(link.0 + 1), None);
            self.owners[link.0] = Some((client, posts));
        }
        let request = format!("{}?EIO=4&transport=polling", self.target.path);
        io.send(get, &http::get_request(&endpoint.host, &request));
        self.clients.push(Poller {
            host: endpoint.host.clone(),
            get,
            post,
            stage: Stage::Opening,
            get_request: Vec::new(),
            post_head: Vec::new(),
            pending: Vec::new(),
            posting: false,
        });
        Ok(())
    }

    /// The answer to the first GET: the session is open.
    fn opened(&mut self, io: &mut Io, client: usize, body: &[u8]) -> Result<(), &'static str> {
        let sid = body
            .strip_prefix(b"0")
            .and_then(|json| serde_json::from_slice::<serde_json::Value>(json).ok())
            .and_then(|json| Some(json.get("sid")?.as_str()?.to_owned()))
            .ok_or("a handshake without a sid")?;
        let poller = &mut self.clients[client];
        let request = format!("{}?EIO=4&transport=polling&sid={sid}", self.target.path);
        poller.get_request = http::get_request(&poller.host, &request);
        poller.post_head = http::post_head(&poller.host, &request);
        poller.stage = Stage::Joining;
        io.send(poller.get, &poller.get_request);
        let connect = self.target.namespace.connect();
        self.send(client, |out| out.extend_from_slice(connect.as_bytes()));
        Ok(())
    }

    /// Posts what is waiting, where no POST is under way.
    fn post(&mut self, io: &mut Io) {
        while let Some(client) = self.eager.pop() {
            let poller = &mut self.clients[client];
            if poller.posting || poller.pending.is_empty() || poller.stage == Stage::Dead {
                continue;
            }
            if let Some(outbox) = io.outbox(poller.post) {
                outbox.extend_from_slice(&poller.post_head);
                http::finish_post(outbox, &poller.pending);
                poller.pending.clear();
                poller.posting = true;
            }
        }
    }

    fn end(&mut self, io: &mut Io, client: usize, fault: Fault, why: &str) {
        let poller = &mut self.clients[client];
        let stage = std::mem::replace(&mut poller.stage, Stage::Dead);
        if stage == Stage::Dead {
            return;
        }
        for link in [poller.get, poller.post] {
            io.close(link);
            self.owners[link.0] = None;
        }
        self.ready -= usize::from(stage == Stage::Ready);
        self.faults.add(fault, 1, why);
    }
}

struct Running<'a, W> {
    pollers: &'a mut Pollers,
    workload: &'a mut W,
    result: anyhow::Result<()>,
}

impl<W: PollingWorkload> Running<'_, W> {
    fn response(
        &mut self,
        io: &mut Io,
        (client, posts): (usize, bool),
        response: &Response<'_>,
        now: Instant,
    ) -> Result<(), &'static str> {
        if response.status != 200 {
            return Err("a status that is not 200");
        }
        if response.last {
            return Err("the server ends the connection after this response");
        }
        let poller = &mut self.pollers.clients[client];
        if posts {
            poller.posting = false;
            if !poller.pending.is_empty() {
                self.pollers.eager.push(client);
            }
            return Ok(());
        }
        if poller.stage == Stage::Opening {
            return self.pollers.opened(io, client, &response.body);
        }
        io.send(poller.get, &poller.get_request);
        for packet in response.body.split(|&byte| byte == SEPARATOR) {
            self.packet(client, packet, now)?;
        }
        Ok(())
    }

    fn packet(&mut self, client: usize, packet: &[u8], now: Instant) -> Result<(), &'static str> {
        let pollers = &mut *self.pollers;
        match packet.split_first() {
            Some((b'2', _)) => pollers.send(client, |out| out.push(b'3')),
            Some((b'6', _)) => {}
            Some((b'4', packet)) => {
                let stage = pollers.clients[client].stage;
                match (pollers.target.namespace.parse(packet), stage) {
                    (Some(Packet::Connect), Stage::Joining) => {
                        pollers.clients[client].stage = Stage::Ready;
                        pollers.ready += 1;
                    }
                    (Some(packet @ (Packet::Event { .. } | Packet::Ack { .. })), Stage::Ready) => {
                        self.workload.packet(pollers, client, packet, now);
                    }
                    _ => return Err("a Socket.IO packet out of place"),
                }
            }
            _ => return Err("an Engine.IO packet out of place"),
        }
        Ok(())
    }
}

impl<W: PollingWorkload> Handler for Running<'_, W> {
    fn connected(&mut self, _io: &mut Io, _id: LinkId, _now: Instant) {}

    fn received(&mut self, io: &mut Io, id: LinkId, bytes: &[u8], now: Instant) -> usize {
        let mut used = 0;
        while let Some(owner) = self.pollers.owners[id.0]
            && used < bytes.len()
        {
            let result = match http::response(&bytes[used..]) {
                Ok(None) => break,
                Ok(Some(response)) => {
                    used += response.len;
                    self.response(io, owner, &response, now)
                }
                Err(why) => Err(why.0),
            };
            if let Err(why) = result {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]);
                let why = format!("{why}: {text}");
                self.pollers.end(io, owner.0, Fault::Protocol, &why);
                return bytes.len();
            }
        }
        self.pollers.post(io);
        used
    }

    fn closed(&mut self, io: &mut Io, id: LinkId, error: Option<io::Error>, _now: Instant) {
        if let Some((client, _)) = self.pollers.owners[id.0].take() {
            let fault = if self.pollers.clients[client].stage == Stage::Ready {
                Fault::Closed
            } else {
                Fault::Connect
            };
            let why = error.map_or_else(|| "the server closed the connection".to_owned(), |e| e.to_string());
            self.pollers.end(io, client, fault, &why);
        }
    }

    fn turn(&mut self, io: &mut Io, now: Instant) -> Turn {
        let turn = self.workload.turn(self.pollers, now).unwrap_or_else(|error| {
            self.result = Err(error);
            Turn::Done
        });
        self.pollers.post(io);
        turn
    }
}

/// Waits until all clients are ready.
struct Joining {
    count: usize,
    since: Instant,
}

impl PollingWorkload for Joining {
    fn packet(&mut self, _: &mut Pollers, _: usize, _: Packet<'_>, _: Instant) {}

    fn turn(&mut self, pollers: &mut Pollers, now: Instant) -> anyhow::Result<Turn> {
        if pollers.ready() == self.count {
            return Ok(Turn::Done);
        }
        if let Some((fault, _, example)) = pollers.faults().iter().next() {
            bail!("cannot open a polling client: {}: {example}", fault.as_str());
        }
        if now.duration_since(self.since) > pollers.target.patience {
            bail!("only {} of {} polling clients were ready in time", pollers.ready(), self.count);
        }
        Ok(Turn::Wait(Duration::from_millis(50)))
    }
}
