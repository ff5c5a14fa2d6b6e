//! CPU time and memory of processes.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};
use serde::Serialize;

use crate::interrupt::{Interrupt, Interrupted};

/// The CPU time of a process with all its threads, user and system together, past threads included.
///
/// Read from the process's CPU clock, which counts nanoseconds; `utime` and `stime` in `/proc` only move in steps
/// of 10 ms.
///
/// # Errors
/// When there is no such process.
pub fn cpu_time(pid: u32) -> io::Result<Duration> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    let clock = clock_getcpuclockid(Pid::from_raw(pid))?;
    Ok(clock_gettime(clock)?.into())
}

/// The CPU time of this process.
///
/// # Errors
/// Does not happen on Linux.
pub fn own_cpu_time() -> io::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// The time that all cores together were not idle since the machine started, in steps of 10 ms.
///
/// # Errors
/// When `/proc/stat` is not readable.
pub fn busy_time() -> io::Result<Duration> {
    parse_busy(&fs::read_to_string("/proc/stat")?)
        .and_then(|ticks| {
            let hertz = sysconf(SysconfVar::CLK_TCK).ok()??;
            Some(Duration::from_secs_f64(ticks as f64 / hertz as f64))
        })
        .ok_or_else(|| io::Error::other("/proc/stat has no line of all cores"))
}

/// user + nice + system + irq + softirq of the line of all cores.
fn parse_busy(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
    match ticks[..] {
        [user, nice, system, _idle, _iowait, irq, softirq, ..] => Some(user + nice + system + irq + softirq),
        _ => None,
    }
}

/// Memory of a process, in KiB. Kernel memory (socket buffers) is not in it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Memory {
    /// Resident: heap, stacks, and the parts of files that are mapped and in use.
    pub resident_kib: u64,
    /// Of it, what belongs to no file: heap and stacks.
    pub anonymous_kib: u64,
}

impl std::ops::Add for Memory {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            resident_kib: self.resident_kib + other.resident_kib,
            anonymous_kib: self.anonymous_kib + other.anonymous_kib,
        }
    }
}

/// The memory of a process, exact where the kernel offers it (`smaps_rollup`), else from `status`, which may be
/// some pages behind.
///
/// # Errors
/// When there is no such process, or it belongs to someone else.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let exact = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"));
    if let Some(memory) = exact.ok().and_then(|text| parse(&text, "Rss", "Anonymous")) {
        return Ok(memory);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse(&status, "VmRSS", "RssAnon").ok_or_else(|| io::Error::other("the process has no memory"))
}

fn parse(text: &str, resident: &str, anonymous: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<u64> {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    };
    Some(Memory { resident_kib: field(resident)?, anonymous_kib: field(anonymous)? })
}

/// Waits until the processes do next to nothing (under 2 % of a core), at most `limit`. Returns whether they do.
///
/// # Errors
/// After Ctrl-C.
pub fn settle(pids: &[u32], limit: Duration, interrupt: &Interrupt) -> Result<bool, Interrupted> {
    const STEP: Duration = Duration::from_millis(50);
    let total = || -> Duration { pids.iter().filter_map(|&pid| cpu_time(pid).ok()).sum() };
    let begun = Instant::now();
    let mut before = total();
    loop {
        interrupt.check()?;
        std::thread::sleep(STEP);
        let after = total();
        if after.saturating_sub(before) < STEP / 50 {
            return Ok(true);
        }
        if begun.elapsed() > limit {
            return Ok(false);
        }
        before = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_both_files_of_the_kernel() {
        let rollup =
            "5572-7ffd ---p 00000000 00:00 0    [rollup]\nRss:   14032 kB\nPss: 1 kB\nAnonymous:  7364 kB\n";
        let status = "Name:\tx\nVmRSS:\t   14032 kB\nRssAnon:\t    7364 kB\n";
        let expected = Memory { resident_kib: 14032, anonymous_kib: 7364 };
        assert_eq!(parse(rollup, "Rss", "Anonymous"), Some(expected));
        assert_eq!(parse(status, "VmRSS", "RssAnon"), Some(expected));
        assert_eq!(parse("Name: kthreadd\n", "VmRSS", "RssAnon"), None);
    }

    #[test]
    fn busy_time_leaves_idle_and_guests_out() {
        let stat = "cpu  10 1 20 9000 50 3 4 0 7 0\ncpu0 1 1 1 1\n";
        assert_eq!(parse_busy(stat), Some(38));
        assert_eq!(parse_busy("intr 1\n"), None);
    }

    #[test]
    fn this_process_is_measured_alike_from_inside_and_outside() {
        let own = std::process::id();
        let before = cpu_time(own).expect("alive");
        let inside = own_cpu_time().expect("readable");
        let after = cpu_time(own).expect("alive");
        assert!(before <= inside && inside <= after);
        assert!(memory(own).expect("alive").resident_kib > 100);
        assert!(busy_time().expect("readable") > Duration::ZERO);
        assert!(cpu_time(u32::MAX).is_err() && memory(0).is_err(), "no such process");
    }
}
