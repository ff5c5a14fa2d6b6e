//! The command line.

mod parse;

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

pub use parse::{duration, positive};

use crate::compare::Compare;
use crate::interrupt::Interrupt;
use crate::process;
use crate::progress::Progress;
use crate::report::Report;
use crate::scenario::{Acks, Connect, Fanout, Idle, Setting};
use crate::target::{Endpoint, Target};
use crate::wire::socketio::Namespace;

const EXAMPLES: &str = "\
Examples:
  # 1,000 subscribers in a room, 16 messages under way, CPU of the server whose process is 4711
  sockeye-loadtest fanout --url http://127.0.0.1:3000 --pid 4711 --connections 1000 --window 16

  # 50 sockets that ask and wait, over long-polling
  sockeye-loadtest acks --transport polling --url http://127.0.0.1:3000 --pid $(pidof myserver)

  # two servers, ten rounds, a table of all rows
  sockeye-loadtest compare 'myserver --listen 127.0.0.1:3001' 'other --listen 127.0.0.1:3002' --rounds 10

The server must know a few events: `join` room (acks), `emit-to` {to, event, args} (emits to rooms),
`message-with-ack` A… (acks A…). Sockeye's example `acceptance` is such a server, so are the programs under
loadtest/peers.

On a machine with few cores, give the server one core and the generator another (--core, taskset), or both are
measured while they push each other aside; `compare` does that by itself.

Exit status: 0 all went well, 1 something was lost, doubled, refused or slower than allowed, 2 the command line is
wrong, 3 the run could not be made.";

/// Puts load on a Socket.IO server, checks what comes back, and says what it cost.
#[derive(Debug, Parser)]
#[command(name = "sockeye-loadtest", version, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = "\
Examples:
  sockeye-loadtest fanout --url http://127.0.0.1:3000 -n 1000 -w 1          # one message at a time
  sockeye-loadtest fanout --url http://127.0.0.1:3000 -n 5000 -w 16 -p 1024 # bursts of large messages
  sockeye-loadtest fanout --url http://127.0.0.1:3000 -n 1000 --rooms 100   # 100 rooms of 10")]
    Fanout(Run<Fanout>),
    #[command(after_help = "\
Examples:
  sockeye-loadtest acks --url http://127.0.0.1:3000 -n 50 -w 1    # each socket asks and waits
  sockeye-loadtest acks --url http://127.0.0.1:3000 -n 50 -w 16   # 16 requests under way on each socket
  sockeye-loadtest acks --url http://127.0.0.1:3000 --transport polling")]
    Acks(Run<Acks>),
    #[command(after_help = "\
Examples:
  sockeye-loadtest connect --url http://127.0.0.1:3000 --pid 4711
  sockeye-loadtest connect --url http://127.0.0.1:3000 --duration 60s --source 127.0.0.2,127.0.0.3")]
    Connect(Run<Connect>),
    #[command(after_help = "\
Examples:
  sockeye-loadtest idle --url http://127.0.0.1:3000 --pid 4711 -n 15000
  sockeye-loadtest idle --url http://127.0.0.1:3000 --pid 4711 --hold 10m   # over many heartbeats")]
    Idle(Run<Idle>),
    Compare(Compare),
}

// A scenario with what all of them have in common. No doc comment: clap would show it in place of the scenario's.
#[derive(Debug, Args)]
struct Run<S: Args> {
    #[command(flatten)]
    scenario: S,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Common options")]
struct Common {
    /// The server; several are used in turn
    #[arg(short, long, value_name = "URL", default_value = "http://127.0.0.1:3000", value_delimiter = ',')]
    url: Vec<Endpoint>,
    /// The server's Engine.IO path
    #[arg(long, default_value = "/socket.io/")]
    path: String,
    /// The namespace to join
    #[arg(long, default_value = "/")]
    namespace: String,
    /// The server's process, to measure its CPU and memory; several are added up
    #[arg(long, value_name = "PID", value_delimiter = ',')]
    pid: Vec<u32>,
    /// Local addresses to connect from, in turn; each has about 28,000 ports to one server
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    source: Vec<IpAddr>,
    /// Keep the generator on this core
    #[arg(long, value_name = "CORE")]
    core: Option<usize>,
    /// How long to wait for a connection, a message or an ack
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    timeout: Duration,
    /// Write the result to a file as JSON; `-` is standard output, in place of the text
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

impl Cli {
    /// Does what the command line says.
    ///
    /// # Errors
    /// When the run cannot be made.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let interrupt = Interrupt::on_signals().context("cannot handle signals")?;
        process::allow_all_descriptors().ok();
        match self.command {
            Command::Fanout(run) => run.common.run(interrupt, |to| run.scenario.run(to)),
            Command::Acks(run) => run.common.run(interrupt, |to| run.scenario.run(to)),
            Command::Connect(run) => run.common.run(interrupt, |to| run.scenario.run(to)),
            Command::Idle(run) => run.common.run(interrupt, |to| run.scenario.run(to)),
            Command::Compare(compare) => compare.run(&interrupt),
        }
    }
}

impl Common {
    fn run(
        self,
        interrupt: Interrupt,
        scenario: impl FnOnce(Setting<'_>) -> anyhow::Result<Report>,
    ) -> anyhow::Result<ExitCode> {
        if let Some(core) = self.core {
            process::pin_to(core).with_context(|| format!("cannot use core {core}"))?;
        }
        let mut progress = if self.quiet { Progress::quiet() } else { Progress::to_stderr() };
        let target = Target {
            endpoints: self.url,
            path: Target::normal_path(&self.path),
            namespace: Namespace::new(&self.namespace),
            sources: self.source,
            pids: self.pid,
            patience: self.timeout,
        };
        let result = scenario(Setting { target, progress: &mut progress, interrupt });
        progress.clear();
        let report = result?;
        write_result(self.json.as_deref(), &report, &report.to_json())?;
        Ok(if report.faults.total() == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Prints a result, and writes its JSON form where it is wanted.
pub(crate) fn write_result(
    json: Option<&std::path::Path>,
    text: &dyn std::fmt::Display,
    value: &serde_json::Value,
) -> anyhow::Result<()> {
    match json {
        Some(path) if path.as_os_str() == "-" => print(&format_args!("{value:#}\n")),
        Some(path) => {
            print(text)?;
            std::fs::write(path, format!("{value:#}\n"))
                .with_context(|| format!("cannot write {}", path.display()))
        }
        None => print(text),
    }
}

/// Prints; a reader that has gone, such as `head`, is no error.
pub(crate) fn print(text: &dyn std::fmt::Display) -> anyhow::Result<()> {
    match std::io::stdout().write_all(text.to_string().as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_scenario_has_examples_that_parse() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string);
            let examples: Vec<Vec<String>> = help
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.trim().strip_prefix("sockeye-loadtest "))
                .map(|line| line.split('#').next().unwrap_or_default())
                .map(|line| parse::words(&format!("sockeye-loadtest {line}")))
                .collect();
            assert!(!examples.is_empty(), "{}", command.get_name());
            for example in examples {
                if let Err(error) = Cli::try_parse_from(&example) {
                    panic!("{example:?}: {error}");
                }
            }
        }
    }
}
