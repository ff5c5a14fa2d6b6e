//! Connections that do nothing.

use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use super::Setting;
use super::opening::{Opening, first_faults};
use crate::client::{Clients, Ended, SocketRef, Sockets, Workload};
use crate::net::Turn;
use crate::process;
use crate::progress::Progress;
use crate::report::{IdleMemory, Report, Unit};
use crate::wire::socketio::Packet;

/// How long a server may be busy after the last socket was opened. Pings wait meanwhile.
const SETTLE: Duration = Duration::from_secs(2);

/// Sockets connect and stay, doing nothing
///
/// Opens --connections sockets, waits until the server has nothing more to do, and reports what its resident
/// memory has grown by, in KiB a connection; kernel memory is not in it. Engine.IO pings are answered meanwhile, and
/// all sockets must still be there at the end. Needs --pid. One process may hold as many sockets as it may open
/// files (`ulimit -n`), and one source address about 28,000 to one server (--source adds more).
#[derive(Clone, Debug, Args)]
pub struct Idle {
    /// Sockets
    #[arg(short = 'n', long, value_name = "N", default_value_t = 15_000, value_parser = crate::cli::positive)]
    pub connections: usize,
    /// Sockets being opened at the same time
    #[arg(long, value_name = "K", default_value_t = 64, value_parser = crate::cli::positive)]
    pub concurrency: usize,
    /// Rooms; each socket joins one of them; 0 = they join none
    #[arg(long, value_name = "R", default_value_t = 0)]
    pub rooms: usize,
    /// How long to hold the sockets before memory is read
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = crate::cli::duration)]
    pub hold: Duration,
}

impl Idle {
    /// Runs the scenario.
    ///
    /// # Errors
    /// When the sockets cannot be opened, the server's memory cannot be read, or the user interrupts.
    pub fn run(&self, setting: Setting<'_>) -> anyhow::Result<Report> {
        let Setting { target, progress, interrupt } = setting;
        let pids = target.pids.clone();
        if pids.is_empty() {
            bail!("idle measures the server's memory: give its process with --pid");
        }
        let limit = process::allow_all_descriptors()?;
        if self.connections as u64 + 32 > limit {
            bail!("this process may open {limit} files, which is too few: use several processes");
        }
        let before = memory(&pids)?;
        let cpu_before = cpu(&pids)?;
        let mut clients = Clients::new(target, interrupt.clone())?;
        let room_of = |ordinal: usize| {
            let room = ordinal % self.rooms.max(1);
            format!("load-{}-{room}", std::process::id())
        };
        let room: Option<&dyn Fn(usize) -> String> = (self.rooms > 0).then_some(&room_of);
        let begun = Instant::now();
        let mut opening = Opening::new(self.connections, self.concurrency, room, progress);
        clients.run(&mut opening)?;
        let opened_in = begun.elapsed();
        let settled = process::settle(&pids, self.hold.min(SETTLE), &interrupt)?;
        let cpu_opened = cpu(&pids)?;
        let mut holding =
            Holding { until: Instant::now() + self.hold, left: self.connections, pings: 0, progress };
        clients.run(&mut holding)?;
        let after = memory(&pids)?;
        let idle_cpu = cpu(&pids)?.saturating_sub(cpu_opened);
        let memory = IdleMemory::new(before, after, holding.left);
        Ok(Report::new("idle", Unit::CONNECTION, clients.take_faults())
            .setting("connections", self.connections)
            .setting("rooms", self.rooms)
            .setting("hold_seconds", self.hold.as_secs_f64())
            .fact("open connections", holding.left as f64)
            .fact("opening seconds", opened_in.as_secs_f64())
            .fact(
                "opening CPU us a connection",
                cpu_opened.saturating_sub(cpu_before).as_secs_f64() * 1e6 / self.connections as f64,
            )
            .fact("idle CPU seconds", idle_cpu.as_secs_f64())
            .fact("pings answered", holding.pings as f64)
            .note_unless(settled, "the server was still busy when the hold began")
            .memory(memory))
    }
}

fn memory(pids: &[u32]) -> anyhow::Result<process::Memory> {
    let mut total = process::Memory::default();
    for &pid in pids {
        total = total
            + process::memory(pid).map_err(|error| anyhow::anyhow!("the server's process {pid}: {error}"))?;
    }
    Ok(total)
}

fn cpu(pids: &[u32]) -> anyhow::Result<Duration> {
    let mut total = Duration::ZERO;
    for &pid in pids {
        total +=
            process::cpu_time(pid).map_err(|error| anyhow::anyhow!("the server's process {pid}: {error}"))?;
    }
    Ok(total)
}

/// Answers pings until the time is over.
struct Holding<'a> {
    until: Instant,
    left: usize,
    pings: u64,
    progress: &'a mut Progress,
}

impl Workload for Holding<'_> {
    fn ready(&mut self, _: &mut Sockets<'_>, _: SocketRef, _: Instant) {}

    fn packet(&mut self, _: &mut Sockets<'_>, _: SocketRef, _: Packet<'_>, _: Instant) {}

    fn ended(&mut self, _: &mut Sockets<'_>, _: SocketRef, _: Ended, _: Instant) {
        self.left -= 1;
    }

    fn turn(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<Turn> {
        self.pings = sockets.pings();
        self.progress.show(now, || {
            let rest = self.until.saturating_duration_since(now);
            let (left, pings) = (self.left, self.pings);
            let errors = sockets.faults();
            format!("holding {left} sockets for {rest:.1?}, {pings} pings, errors: {errors}")
        });
        if self.left == 0 {
            bail!("all sockets are gone: {}", first_faults(sockets));
        }
        Ok(if now >= self.until { Turn::Done } else { Turn::Wait(self.until - now) })
    }
}
