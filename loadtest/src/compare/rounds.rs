//! The rounds: servers started, rows measured, servers stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::rows::Row;
use crate::fault::Faults;
use crate::interrupt::{Interrupt, Interrupted};
use crate::process::{self, Server};
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::Setting;
use crate::target::Target;

/// How long a server may go on working after a row before the next one begins anyway.
const SETTLE: Duration = Duration::from_secs(3);

/// One server in one row of one round.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Cell {
    /// Server CPU per unit in µs, or KiB a connection.
    pub cost: f64,
    /// Units per second; 0 where none are counted.
    pub rate: f64,
    /// Half of the latencies are not above it, in µs.
    pub p50_us: Option<f64>,
    /// 99 of 100 latencies are not above it, in µs.
    pub p99_us: Option<f64>,
    /// CPU of the generator, in cores.
    pub generator: f64,
    /// CPU of everything but server and generator, in cores.
    pub others: f64,
}

impl Cell {
    /// The figures of a report; `None` when it has no cost.
    #[must_use]
    pub fn of(report: &Report) -> Option<Self> {
        let measured = report.measured.as_ref();
        let share = |of: fn(&crate::scenario::Measured) -> f64| {
            measured.map_or(0.0, |measured| of(measured) / measured.seconds)
        };
        let latency = report.latencies.first().map(|(_, latency)| latency);
        Some(Self {
            cost: report.cost()?,
            rate: measured.map_or(0.0, |measured| measured.rate()),
            p50_us: latency.map(|latency| latency.p50_us),
            p99_us: latency.map(|latency| latency.p99_us),
            generator: share(|measured| measured.generator_cpu_seconds),
            others: share(|measured| measured.others_cpu_seconds.unwrap_or(0.0)),
        })
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub struct Outcome {
    /// For each row, for each finished round: A and B.
    pub cells: Vec<Vec<[Option<Cell>; 2]>>,
    /// For each row, the faults of A and B.
    pub faults: Vec<[Faults; 2]>,
    /// What could not be measured on A and B: row and reason, with how often.
    pub failures: [BTreeMap<String, u64>; 2],
}

/// What to measure.
#[derive(Debug)]
pub(super) struct Rounds<'a> {
    pub(super) commands: [&'a str; 2],
    pub(super) names: &'a [String; 2],
    pub(super) rows: &'a [Row],
    pub(super) rounds: usize,
    pub(super) server_core: Option<usize>,
    pub(super) start_timeout: Duration,
    pub(super) interrupt: &'a Interrupt,
}

impl Rounds<'_> {
    /// Measures all rounds; after Ctrl-C, what was measured by then, if a round was finished.
    pub(super) fn measure(&self, progress: &mut Progress) -> anyhow::Result<Outcome> {
        let rows = self.rows.len();
        let mut outcome = Outcome {
            cells: vec![Vec::new(); rows],
            faults: vec![Default::default(); rows],
            ..Outcome::default()
        };
        for round in 0..self.rounds {
            match self.round(round, progress, &mut outcome) {
                Err(error) if round > 0 && error.is::<Interrupted>() => break,
                result => result?,
            }
        }
        Ok(outcome)
    }

    fn round(&self, round: usize, progress: &mut Progress, outcome: &mut Outcome) -> anyhow::Result<()> {
        let order = if round.is_multiple_of(2) { [0, 1] } else { [1, 0] };
        let mut servers = [None, None];
        for (index, row) in self.rows.iter().enumerate() {
            let mut cells = [None, None];
            for side in order {
                let (now, all) = (round + 1, self.rounds);
                progress.label(format!("round {now} of {all}, {}, {}: ", row.name, self.names[side]));
                let result = if row.wants_fresh_server() {
                    servers[side] = None;
                    self.cell(row, &mut None, side, progress)
                } else {
                    self.cell(row, &mut servers[side], side, progress)
                };
                match result {
                    Ok(report) => {
                        outcome.faults[index][side].merge(&report.faults);
                        cells[side] = Cell::of(&report);
                    }
                    Err(error) => {
                        self.interrupt.check()?;
                        let failure = format!("{}: {error:#}", row.name);
                        *outcome.failures[side].entry(failure).or_default() += 1;
                        servers[side] = None;
                    }
                }
            }
            outcome.cells[index].push(cells);
        }
        Ok(())
    }

    /// Measures one row on one server, which is started if it is not running.
    fn cell(
        &self,
        row: &Row,
        server: &mut Option<Server>,
        side: usize,
        progress: &mut Progress,
    ) -> anyhow::Result<Report> {
        let command = self.commands[side];
        let server = match server {
            Some(server) => server,
            None => {
                server.insert(Server::start(command, self.server_core, self.start_timeout, self.interrupt)?)
            }
        };
        let pid = server.pid();
        process::settle(&[pid], SETTLE, self.interrupt)?;
        let report = row.measure(Setting {
            target: Target::local(server.address(), pid),
            progress,
            interrupt: self.interrupt.clone(),
        });
        server.check()?;
        let report = report?;
        // What the end of this row gives the server to do must not be charged to the next one.
        process::settle(&[pid], SETTLE, self.interrupt)?;
        Ok(report)
    }
}
