//! Requests that the server acknowledges.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};

use super::Setting;
use super::meter::{Meter, Phase, Timing};
use super::opening::Opening;
use super::requests::Requests;
use crate::client::{Clients, Ended, Pollers, PollingWorkload, SocketRef, Sockets, Workload};
use crate::fault::{Fault, Faults};
use crate::net::Turn;
use crate::progress::Progress;
use crate::report::{Report, Unit};
use crate::wire::socketio::Packet;

/// How the packets travel.
#[derive(Copy, Clone, PartialEq, Eq, Debug, ValueEnum)]
pub enum Transport {
    /// A WebSocket from the beginning.
    Websocket,
    /// HTTP long-polling: a GET always under way, a POST for each request.
    Polling,
}

/// Sockets send requests and wait for their acks
///
/// Every socket sends `message-with-ack padding` and keeps --window requests under way: --window 1 is one socket
/// asking and waiting, --window 16 is a busy connection whose requests travel together. An ack must be the one of
/// a request under way, come once, and bring back what was sent.
#[derive(Clone, Debug, Args)]
pub struct Acks {
    /// Sockets
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50, value_parser = crate::cli::positive)]
    pub connections: usize,
    /// Requests under way at the same time, for each socket
    #[arg(short, long, value_name = "W", default_value_t = 1, value_parser = crate::cli::positive)]
    pub window: usize,
    /// Bytes of padding in each request and in each ack
    #[arg(short, long, value_name = "BYTES", default_value_t = 128)]
    pub payload: usize,
    /// How the packets travel
    #[arg(long, value_enum, default_value_t = Transport::Websocket)]
    pub transport: Transport,
    /// When to measure.
    #[command(flatten)]
    pub timing: Timing,
}

impl Acks {
    /// Runs the scenario.
    ///
    /// # Errors
    /// When the sockets cannot be opened, all of them end, nothing is answered, or the user interrupts.
    pub fn run(&self, setting: Setting<'_>) -> anyhow::Result<Report> {
        let Setting { target, progress, interrupt } = setting;
        let mut asking = Asking {
            meter: Meter::new(self.timing, &target.pids),
            requests: Requests::new(
                &target.namespace,
                self.connections,
                self.window,
                self.payload,
                target.patience,
            ),
            over: false,
            progress,
        };
        let faults = match self.transport {
            Transport::Websocket => {
                let mut clients = Clients::new(target, interrupt)?;
                let mut opening = Opening::new(self.connections, 64, None, asking.progress);
                clients.run(&mut opening)?;
                let opened = opening.opened();
                let mut sockets = OverWebSocket::new(&mut asking, opened);
                clients.run(&mut sockets)?;
                clients.take_faults()
            }
            Transport::Polling => {
                let (mut pollers, mut reactor) = Pollers::open(target, self.connections, interrupt)?;
                let mut polling = OverPolling { asking: &mut asking, begun: false, live: self.connections };
                pollers.run(&mut reactor, &mut polling)?;
                pollers.faults().clone()
            }
        };
        let measured = asking.meter.measured();
        let transport = self.transport.to_possible_value();
        let transport = transport.as_ref().map_or("", |value| value.get_name());
        Ok(Report::new("acks", Unit::REQUEST, faults)
            .setting("connections", self.connections)
            .setting("window", self.window)
            .setting("payload", self.payload)
            .setting("transport", transport)
            .measured(measured.context("the run was not measured")?)
            .latency("request", asking.requests.latencies().summary()))
    }
}

/// What is the same over both transports.
struct Asking<'a> {
    requests: Requests,
    meter: Meter,
    /// No new requests.
    over: bool,
    progress: &'a mut Progress,
}

impl Asking<'_> {
    /// Returns whether the run is at its end.
    fn turn(&mut self, now: Instant, faults: &Faults) -> anyhow::Result<bool> {
        let answered = self.requests.answered();
        match self.meter.turn(now, answered)? {
            Phase::Begin => self.requests.forget_latencies(),
            Phase::Over => self.over = true,
            Phase::WarmUp | Phase::Measure => {}
        }
        let (elapsed, planned) = self.meter.elapsed(now);
        self.progress.show(now, || {
            let rate = answered as f64 / elapsed.as_secs_f64().max(1e-3);
            format!("{elapsed:.1?} of {planned:.1?}: {rate:.0} requests/s, errors: {faults}")
        });
        Ok(self.over && self.requests.under_way() == 0)
    }

    /// Takes an ack in. Returns the request to send in its place.
    #[inline]
    fn answer(
        &mut self,
        client: usize,
        id: u64,
        args: &[u8],
        now: Instant,
        fault: impl FnMut(Fault, &str),
    ) -> Option<usize> {
        let slot = self.requests.answer(client, id, args, now, fault)?;
        (!self.over).then_some(slot)
    }
}

struct OverWebSocket<'a, 'b> {
    asking: &'a mut Asking<'b>,
    /// By client.
    sockets: Vec<Option<SocketRef>>,
    /// Clients by socket number.
    clients: Vec<Option<usize>>,
    begun: bool,
}

impl<'a, 'b> OverWebSocket<'a, 'b> {
    fn new(asking: &'a mut Asking<'b>, sockets: Vec<SocketRef>) -> Self {
        let size = sockets.iter().map(|id| id.0 + 1).max().unwrap_or(0);
        let mut clients = vec![None; size];
        for (client, id) in sockets.iter().enumerate() {
            clients[id.0] = Some(client);
        }
        Self { asking, sockets: sockets.into_iter().map(Some).collect(), clients, begun: false }
    }

    #[inline]
    fn ask(&mut self, sockets: &mut Sockets<'_>, client: usize, slot: usize, now: Instant) {
        if let Some(id) = self.sockets[client]
            && let Some(outbox) = sockets.outbox(id)
        {
            self.asking.requests.ask_framed(client, slot, now, outbox);
        }
    }
}

impl Workload for OverWebSocket<'_, '_> {
    fn ready(&mut self, _: &mut Sockets<'_>, _: SocketRef, _: Instant) {}

    fn packet(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, packet: Packet<'_>, now: Instant) {
        if let Packet::Ack { id: ack, args } = packet
            && let Some(&Some(client)) = self.clients.get(id.0)
        {
            let fault = |fault, example: &str| sockets.fault(fault, 1, example);
            if let Some(slot) = self.asking.answer(client, ack, args, now, fault) {
                self.ask(sockets, client, slot, now);
            }
        }
    }

    fn ended(&mut self, _: &mut Sockets<'_>, id: SocketRef, _: Ended, _: Instant) {
        if let Some(client) = self.clients.get_mut(id.0).and_then(Option::take) {
            self.sockets[client] = None;
            self.asking.requests.forget(client);
        }
    }

    fn turn(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<Turn> {
        if self.clients.iter().all(Option::is_none) {
            bail!("all sockets are gone");
        }
        if self.asking.turn(now, sockets.faults())? {
            return Ok(Turn::Done);
        }
        let again = if self.begun {
            let fault = |fault, example: &str| sockets.fault(fault, 1, example);
            self.asking.requests.overdue(now, fault)?
        } else {
            self.begun = true;
            self.asking.requests.all()
        };
        if !self.asking.over {
            for (client, slot) in again {
                self.ask(sockets, client, slot, now);
            }
        }
        Ok(Turn::Wait(Duration::from_millis(10)))
    }
}

struct OverPolling<'a, 'b> {
    asking: &'a mut Asking<'b>,
    begun: bool,
    live: usize,
}

impl OverPolling<'_, '_> {
    fn ask(&mut self, pollers: &mut Pollers, client: usize, slot: usize, now: Instant) {
        let requests = &mut self.asking.requests;
        pollers.send(client, |out| requests.ask_bare(client, slot, now, out));
    }
}

impl PollingWorkload for OverPolling<'_, '_> {
    fn packet(&mut self, pollers: &mut Pollers, client: usize, packet: Packet<'_>, now: Instant) {
        if let Packet::Ack { id, args } = packet {
            let fault = |fault, example: &str| pollers.fault(fault, 1, example);
            if let Some(slot) = self.asking.answer(client, id, args, now, fault) {
                self.ask(pollers, client, slot, now);
            }
        }
    }

    fn turn(&mut self, pollers: &mut Pollers, now: Instant) -> anyhow::Result<Turn> {
        if pollers.ready() < self.live {
            self.live = pollers.ready();
            for client in (0..pollers.len()).filter(|&client| !pollers.is_ready(client)) {
                self.asking.requests.forget(client);
            }
        }
        if self.live == 0 {
            bail!("all clients are gone");
        }
        if self.asking.turn(now, pollers.faults())? {
            return Ok(Turn::Done);
        }
        let again = if self.begun {
            let fault = |fault, example: &str| pollers.fault(fault, 1, example);
            self.asking.requests.overdue(now, fault)?
        } else {
            self.begun = true;
            self.asking.requests.all()
        };
        if !self.asking.over {
            for (client, slot) in again {
                if pollers.is_ready(client) {
                    self.ask(pollers, client, slot, now);
                }
            }
        }
        Ok(Turn::Wait(Duration::from_millis(10)))
    }
}
