//! A server under test that this program starts and stops.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::interrupt::Interrupt;

/// How long a server may take from SIGTERM to its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running server. Dropping it stops it: SIGTERM, and SIGKILL if it is still there after five seconds.
#[derive(Debug)]
pub struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts a server from a shell command, on one core if one is given, and waits until it prints
    /// `listening on ADDR`. The command is run with `exec`, so that the process is the server itself.
    ///
    /// # Errors
    /// When it cannot be started, ends, or does not listen within `patience`.
    pub fn start(
        command: &str,
        core: Option<usize>,
        patience: Duration,
        interrupt: &Interrupt,
    ) -> anyhow::Result<Self> {
        let spawned = super::pinned(core, || {
            Command::new("sh")
                .arg("-c")
                .arg(format!("exec {command}"))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
        });
        let mut child = spawned
            .with_context(|| format!("cannot use core {core:?}"))?
            .with_context(|| format!("cannot start `{command}`"))?;
        let (lines, heard) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            // Goes on reading after the first line, so that a talkative server never waits for us.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if let Some(address) = parse_listening(&line) {
                        lines.send(address).ok();
                    }
                }
            });
        }
        let mut server = Self { child, address: SocketAddr::from(([0, 0, 0, 0], 0)) };
        let deadline = Instant::now() + patience;
        loop {
            interrupt.check()?;
            match heard.recv_timeout(Duration::from_millis(50)) {
                Ok(address) => {
                    server.address = address;
                    return Ok(server);
                }
                Err(mpsc::RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    bail!("`{command}` did not print `listening on ADDR` within {patience:?}")
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => {
                    let ended = server.child.wait().context("cannot wait for the server")?;
                    bail!("`{command}` ended before it listened ({ended})");
                }
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Fails if the server has ended by itself.
    ///
    /// # Errors
    /// With its exit status.
    pub fn check(&mut self) -> anyhow::Result<()> {
        if let Ok(Some(status)) = self.child.try_wait() {
            let signal = status.signal().map_or(String::new(), |signal| format!(" by signal {signal}"));
            bail!("the server ended{signal} ({status})");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        if let Ok(pid) = i32::try_from(self.child.id()) {
            kill(Pid::from_raw(pid), Signal::SIGTERM).ok();
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The address of a line `listening on ADDR`, which may also be `http://ADDR`. A server that listens on all
/// addresses is reached on the loopback.
fn parse_listening(line: &str) -> Option<SocketAddr> {
    let address = line.trim().strip_prefix("listening on ")?.trim_start_matches("http://");
    let mut address: SocketAddr = address.trim_end_matches('/').parse().ok()?;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() {
            std::net::Ipv4Addr::LOCALHOST.into()
        } else {
            std::net::Ipv6Addr::LOCALHOST.into()
        });
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn finds_the_address_in_what_servers_print() {
        for (line, expected) in [
            ("listening on 127.0.0.1:3000", Some("127.0.0.1:3000")),
            (" listening on http://[::1]:80/", Some("[::1]:80")),
            ("listening on 0.0.0.0:9", Some("127.0.0.1:9")),
            ("listening on port 3000", None),
            ("hello", None),
        ] {
            let expected = expected.map(|address| address.parse().expect("an address"));
            assert_eq!(parse_listening(line), expected, "{line}");
        }
    }

    #[test]
    fn starts_a_server_and_stops_it_when_dropped() {
        let interrupt = Interrupt::default();
        let command = "sh -c 'echo one; echo listening on 127.0.0.1:7; exec sleep 600'";
        let mut server = Server::start(command, None, SOON, &interrupt).expect("starts");
        assert_eq!(server.address().port(), 7);
        server.check().expect("alive");
        let pid = server.pid();
        assert!(super::super::cpu_time(pid).is_ok());
        drop(server);
        assert!(super::super::cpu_time(pid).is_err(), "still there");
    }

    #[test]
    fn a_server_that_ends_or_is_interrupted_is_an_error() {
        let interrupt = Interrupt::default();
        let error = Server::start("false", None, SOON, &interrupt).expect_err("ended");
        assert!(error.to_string().contains("ended before"), "{error}");
        interrupt.raise();
        let error = Server::start("sleep 600", None, SOON, &interrupt).expect_err("stopped");
        assert!(error.to_string().contains("interrupted"), "{error}");
    }
}
