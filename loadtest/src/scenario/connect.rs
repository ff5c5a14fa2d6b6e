//! Connections that come and go.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use clap::Args;

use super::Setting;
use super::meter::{Meter, Phase, Timing};
use super::opening::{first_faults, join_frame};
use crate::client::{Clients, Ended, SocketRef, Sockets, Workload};
use crate::fault::Fault;
use crate::net::Turn;
use crate::progress::Progress;
use crate::report::{Report, Unit};
use crate::stats::Histogram;
use crate::wire::socketio::Packet;

/// How long a `join` may stay unanswered before it is sent again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// After so many failures in a row there is no point in going on.
const HOPELESS: usize = 30;

/// Sockets connect, join a room, and close, one after the other
///
/// A connection is the WebSocket handshake, the namespace, a `join` with its ack, and the closing handshake;
/// --concurrency of them are under way at the same time. The latency is from the first packet to the ack of
/// `join`. Many seconds of this need more than one source address (--source), because a closed port rests.
#[derive(Clone, Debug, Args)]
pub struct Connect {
    /// Connections under way at the same time
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = crate::cli::positive)]
    pub concurrency: usize,
    /// Rooms that the sockets join in turn
    #[arg(long, value_name = "R", default_value_t = 1, value_parser = crate::cli::positive)]
    pub rooms: usize,
    /// When to measure.
    #[command(flatten)]
    pub timing: Timing,
}

impl Connect {
    /// Runs the scenario.
    ///
    /// # Errors
    /// When connections fail one after the other, or the user interrupts.
    pub fn run(&self, setting: Setting<'_>) -> anyhow::Result<Report> {
        let Setting { target, progress, interrupt } = setting;
        let mut cycling = Cycling {
            concurrency: self.concurrency,
            rooms: self.rooms,
            frames: Vec::new(),
            states: Vec::new(),
            under_way: 0,
            begun: 0,
            completed: 0,
            failures: 0,
            looked: None,
            latencies: Histogram::default(),
            meter: Meter::new(self.timing, &target.pids),
            over: false,
            progress,
        };
        let mut clients = Clients::new(target, interrupt)?;
        clients.run(&mut cycling)?;
        let measured = cycling.meter.measured();
        Ok(Report::new("connect", Unit::CONNECTION, clients.take_faults())
            .setting("concurrency", self.concurrency)
            .setting("rooms", self.rooms)
            .measured(measured.context("the run was not measured")?)
            .latency("connect and join", cycling.latencies.summary()))
    }
}

/// A connection under way.
#[derive(Copy, Clone, Debug)]
struct State {
    begun: Instant,
    /// When `join` was last sent; `None` before, and once it is answered.
    asked: Option<Instant>,
    room: usize,
}

struct Cycling<'a> {
    concurrency: usize,
    rooms: usize,
    /// The `join` frame of each room.
    frames: Vec<Vec<u8>>,
    /// By socket number.
    states: Vec<Option<State>>,
    under_way: usize,
    begun: usize,
    completed: u64,
    failures: usize,
    looked: Option<Instant>,
    latencies: Histogram,
    meter: Meter,
    over: bool,
    progress: &'a mut Progress,
}

impl Cycling<'_> {
    fn fill(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<()> {
        while !self.over && self.under_way < self.concurrency {
            let id = match sockets.open(now) {
                Ok(id) => id,
                Err(error) => {
                    sockets.fault(Fault::Connect, 1, error);
                    self.failures += 1;
                    if self.failures > HOPELESS {
                        bail!("cannot connect: {}", first_faults(sockets));
                    }
                    return Ok(());
                }
            };
            self.states.resize(self.states.len().max(id.0 + 1), None);
            self.states[id.0] = Some(State { begun: now, asked: None, room: self.begun % self.rooms });
            self.begun += 1;
            self.under_way += 1;
        }
        Ok(())
    }

    /// Sends again what a server has overlooked.
    fn ask_again(&mut self, sockets: &mut Sockets<'_>, now: Instant) {
        let looked = *self.looked.get_or_insert(now);
        if now.duration_since(looked) < ASK_AGAIN / 4 {
            return;
        }
        self.looked = Some(now);
        for (index, state) in self.states.iter_mut().enumerate() {
            if let Some(state) = state
                && let Some(asked) = &mut state.asked
                && now.duration_since(*asked) >= ASK_AGAIN
            {
                *asked = now;
                let example = "the `join` sent when the namespace was joined";
                sockets.fault(Fault::JoinUnanswered, 1, example);
                self.failures += 1;
                sockets.send(crate::net::LinkId(index), &self.frames[state.room]);
            }
        }
    }
}

impl Workload for Cycling<'_> {
    fn ready(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, now: Instant) {
        if let Some(Some(state)) = self.states.get_mut(id.0) {
            state.asked = Some(now);
            sockets.send(id, &self.frames[state.room]);
        }
    }

    fn packet(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, packet: Packet<'_>, now: Instant) {
        if matches!(packet, Packet::Ack { .. })
            && let Some(Some(state)) = self.states.get_mut(id.0)
            && state.asked.take().is_some()
        {
            self.failures = 0;
            self.latencies.record(now.duration_since(state.begun));
            sockets.close(id, now);
        }
    }

    fn ended(&mut self, _: &mut Sockets<'_>, id: SocketRef, why: Ended, _: Instant) {
        if self.states.get_mut(id.0).and_then(Option::take).is_some() {
            self.under_way -= 1;
            if why == Ended::AsAsked {
                self.completed += 1;
            } else {
                self.failures += 1;
            }
        }
    }

    fn turn(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<Turn> {
        if self.frames.is_empty() {
            let process = std::process::id();
            self.frames =
                (0..self.rooms).map(|room| join_frame(sockets, &format!("load-{process}-{room}"))).collect();
        }
        if self.failures > HOPELESS {
            bail!("connections fail: {}", first_faults(sockets));
        }
        match self.meter.turn(now, self.completed)? {
            Phase::Begin => self.latencies.clear(),
            Phase::Over => self.over = true,
            Phase::WarmUp | Phase::Measure => {}
        }
        let (completed, (elapsed, planned)) = (self.completed, self.meter.elapsed(now));
        self.progress.show(now, || {
            let rate = completed as f64 / elapsed.as_secs_f64().max(1e-3);
            let errors = sockets.faults();
            format!("{elapsed:.1?} of {planned:.1?}: {rate:.0} connections/s, errors: {errors}")
        });
        if self.over && self.under_way == 0 {
            return Ok(Turn::Done);
        }
        self.ask_again(sockets, now);
        self.fill(sockets, now)?;
        Ok(Turn::Wait(Duration::from_millis(10)))
    }
}
