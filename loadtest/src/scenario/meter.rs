//! From when to when is measured, and what the processes used meanwhile.

use std::time::{Duration, Instant};

use clap::Args;
use serde::Serialize;

use crate::process;

/// How long a run warms up and measures.
#[derive(Copy, Clone, Debug, Args)]
pub struct Timing {
    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = crate::cli::duration)]
    pub duration: Duration,
    /// How long to run before measuring
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = crate::cli::duration)]
    pub warmup: Duration,
}

/// Where a run stands.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Runs, but is not measured yet.
    WarmUp,
    /// The call that begins the measurement.
    Begin,
    /// Is measured.
    Measure,
    /// Has been measured: nothing new is begun.
    Over,
}

/// What was used between two moments.
#[derive(Copy, Clone, PartialEq, Debug, Serialize)]
pub struct Measured {
    /// Seconds that were measured.
    pub seconds: f64,
    /// Units of work done in them.
    pub units: u64,
    /// CPU seconds of the server's processes; `None` when it was not measured.
    pub server_cpu_seconds: Option<f64>,
    /// CPU seconds of this process.
    pub generator_cpu_seconds: f64,
    /// CPU seconds of everything else on the machine, where the server was measured. In steps of 10 ms.
    pub others_cpu_seconds: Option<f64>,
}

impl Measured {
    /// Server CPU per unit of work, in microseconds.
    #[must_use]
    pub fn cpu_us_per_unit(&self) -> Option<f64> {
        (self.units > 0).then(|| Some(self.server_cpu_seconds? * 1e6 / self.units as f64))?
    }

    /// Units per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.units as f64 / self.seconds } else { 0.0 }
    }
}

#[derive(Copy, Clone, Debug)]
struct Mark {
    at: Instant,
    units: u64,
    server: Option<Duration>,
    own: Duration,
    busy: Option<Duration>,
}

/// Takes the time and the CPU clocks at the right moments.
#[derive(Debug)]
pub(super) struct Meter {
    timing: Timing,
    pids: Vec<u32>,
    started: Option<Instant>,
    begun: Option<Mark>,
    ended: Option<Mark>,
}

impl Meter {
    pub(super) fn new(timing: Timing, pids: &[u32]) -> Self {
        Self { timing, pids: pids.to_vec(), started: None, begun: None, ended: None }
    }

    /// Where the run stands now, after so many units of work; the first call starts the warm-up.
    pub(super) fn turn(&mut self, now: Instant, units: u64) -> anyhow::Result<Phase> {
        let started = *self.started.get_or_insert(now);
        if self.ended.is_some() {
            return Ok(Phase::Over);
        }
        let Some(begun) = &self.begun else {
            if now.duration_since(started) < self.timing.warmup {
                return Ok(Phase::WarmUp);
            }
            self.begun = Some(self.mark(units)?);
            return Ok(Phase::Begin);
        };
        if now.duration_since(begun.at) < self.timing.duration {
            return Ok(Phase::Measure);
        }
        self.ended = Some(self.mark(units)?);
        Ok(Phase::Over)
    }

    /// How long the run has been going on, and how long it will, without the end of what is under way.
    pub(super) fn elapsed(&self, now: Instant) -> (Duration, Duration) {
        let elapsed = self.started.map_or(Duration::ZERO, |at| now.duration_since(at));
        (elapsed, self.timing.warmup + self.timing.duration)
    }

    /// What was used; `None` when the measurement did not come to its end.
    pub(super) fn measured(&self) -> Option<Measured> {
        let (begun, ended) = (self.begun?, self.ended?);
        let server = ended.server.zip(begun.server).map(|(end, begin)| end.saturating_sub(begin));
        let own = ended.own.saturating_sub(begun.own);
        let busy = ended.busy.zip(begun.busy).map(|(end, begin)| end.saturating_sub(begin));
        Some(Measured {
            seconds: ended.at.duration_since(begun.at).as_secs_f64(),
            units: ended.units - begun.units,
            server_cpu_seconds: server.map(|time| time.as_secs_f64()),
            generator_cpu_seconds: own.as_secs_f64(),
            others_cpu_seconds: busy
                .zip(server)
                .map(|(busy, server)| busy.saturating_sub(server + own).as_secs_f64()),
        })
    }

    fn mark(&self, units: u64) -> anyhow::Result<Mark> {
        Ok(Mark {
            server: server_cpu(&self.pids)?,
            own: process::own_cpu_time()?,
            busy: process::busy_time().ok(),
            at: Instant::now(),
            units,
        })
    }
}

fn server_cpu(pids: &[u32]) -> anyhow::Result<Option<Duration>> {
    if pids.is_empty() {
        return Ok(None);
    }
    let mut total = Duration::ZERO;
    for &pid in pids {
        total +=
            process::cpu_time(pid).map_err(|error| anyhow::anyhow!("the server's process {pid}: {error}"))?;
    }
    Ok(Some(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_follow_the_clock_that_is_given() {
        let timing = Timing { warmup: Duration::from_secs(1), duration: Duration::from_secs(0) };
        let mut meter = Meter::new(timing, &[std::process::id()]);
        let start = Instant::now();
        let mut at = |seconds: u64, units| {
            let now = start + Duration::from_secs(seconds);
            meter.turn(now, units).expect("measurable")
        };
        assert_eq!(at(0, 0), Phase::WarmUp);
        assert_eq!(at(1, 10), Phase::Begin);
        assert_eq!(at(2, 30), Phase::Over);
        assert_eq!(at(3, 99), Phase::Over);
        let measured = meter.measured().expect("over");
        assert_eq!(measured.units, 20);
        assert!(measured.server_cpu_seconds.is_some_and(|time| time >= 0.0));
    }

    #[test]
    fn cost_per_unit() {
        let measured = Measured {
            seconds: 2.0,
            units: 1000,
            server_cpu_seconds: Some(0.004),
            generator_cpu_seconds: 0.0,
            others_cpu_seconds: None,
        };
        assert_eq!(measured.cpu_us_per_unit(), Some(4.0));
        assert_eq!(measured.rate(), 500.0);
        let nothing = Measured { units: 0, ..measured };
        assert_eq!(nothing.cpu_us_per_unit(), None);
    }

    #[test]
    fn a_server_that_is_gone_ends_the_measurement() {
        let timing = Timing { warmup: Duration::ZERO, duration: Duration::ZERO };
        let mut meter = Meter::new(timing, &[u32::MAX]);
        assert!(meter.turn(Instant::now(), 0).is_err());
    }
}
