//! Two servers, measured in interleaved rounds.

mod rounds;
mod rows;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

pub use rounds::Cell;
pub use rows::{Row, Work};
pub use table::{Line, Table};

use crate::interrupt::Interrupt;
use crate::process;
use crate::progress::Progress;
use crate::scenario::Timing;
use crate::stats::Verdict;

const EXAMPLES: &str = "\
Examples:
  sockeye-loadtest compare --rounds 10 'target/release/examples/acceptance --listen 127.0.0.1:0' \\
      'loadtest/peers/socketioxide/target/release/peer-socketioxide --listen 127.0.0.1:0'
  sockeye-loadtest compare --rows acks-w1,connect --rounds 20 --fail-if-more './new --listen 127.0.0.1:0' './old --listen 127.0.0.1:0'
  sockeye-loadtest compare --list-rows";

/// Two servers, measured in interleaved rounds, in a table of costs and ratios
///
/// Each server is a shell command that prints `listening on ADDR`. Every round starts both anew, pinned to one core
/// with the generator on another, and measures row after row, first the one server and then the other, in changing
/// order. A ratio is that of two measurements of one round: machines drift by a third within minutes, so only
/// those belong together. With six rounds or more the table says whether a difference is sure (sign test, 95 %).
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Compare {
    /// The server that is judged: a command that prints `listening on ADDR`
    #[arg(required_unless_present = "list_rows")]
    a: Option<String>,
    /// The server that it is compared with
    #[arg(required_unless_present = "list_rows")]
    b: Option<String>,
    /// What to call them
    #[arg(long, value_name = "A,B", value_delimiter = ',', num_args = 1, default_value = "A,B")]
    names: Vec<String>,
    /// How often to measure everything
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = crate::cli::positive)]
    rounds: usize,
    /// Which rows to measure; all by default
    #[arg(long, value_name = "ROW", value_delimiter = ',')]
    rows: Vec<String>,
    /// Show the names of the rows and what they do
    #[arg(long)]
    list_rows: bool,
    /// How long and when to measure.
    #[command(flatten)]
    timing: Timing,
    /// Connections in the rows of idle memory
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = crate::cli::positive)]
    idle_connections: usize,
    /// The core of the servers
    #[arg(long, value_name = "CORE", default_value_t = 0)]
    server_core: usize,
    /// The core of the generator
    #[arg(long, value_name = "CORE", default_value_t = 1)]
    generator_core: usize,
    /// Leave the choice of cores to the system
    #[arg(long)]
    no_pin: bool,
    /// Up to which relative difference the servers count as equal
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    tolerance: f64,
    /// Exit with 1 if A surely costs more than B in any row
    #[arg(long)]
    fail_if_more: bool,
    /// How long a server may take to start
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = crate::cli::duration)]
    start_timeout: Duration,
    /// Write the result to a file as JSON; `-` is standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
}

impl Compare {
    /// Measures and prints the table.
    ///
    /// # Errors
    /// When a row does not exist, a server cannot be started, or nothing could be measured.
    pub fn run(self, interrupt: &Interrupt) -> anyhow::Result<ExitCode> {
        let all = rows::all(self.timing, self.idle_connections);
        if self.list_rows {
            for row in &all {
                crate::cli::print(&format_args!("{:<20} {}\n", row.name, row.title))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let rows = rows::pick(all, &self.rows)?;
        let (Some(a), Some(b)) = (&self.a, &self.b) else {
            bail!("two commands are needed");
        };
        let [name_a, name_b] = self.names.as_slice() else {
            bail!("--names takes two names with a comma between");
        };
        let server_core = (!self.no_pin).then_some(self.server_core);
        if !self.no_pin {
            let core = self.generator_core;
            process::pin_to(core).with_context(|| format!("cannot use core {core} for the generator"))?;
        }
        let mut progress = if self.quiet { Progress::quiet() } else { Progress::to_stderr() };
        let names = [name_a.clone(), name_b.clone()];
        let outcome = rounds::Rounds {
            commands: [a, b],
            names: &names,
            rows: &rows,
            rounds: self.rounds,
            server_core,
            start_timeout: self.start_timeout,
            interrupt,
        }
        .measure(&mut progress);
        progress.clear();
        let outcome = outcome?;
        let table = Table::new(names, [a.clone(), b.clone()], &rows, &outcome, self.tolerance);
        crate::cli::write_result(self.json.as_deref(), &table, &table.to_json())?;
        interrupt.check()?;
        let more = table.lines.iter().any(|line| line.comparison.is_some_and(|c| c.verdict == Verdict::More));
        let wrong = outcome.failures.iter().any(|failures| !failures.is_empty());
        Ok(if wrong || (self.fail_if_more && more) { ExitCode::from(1) } else { ExitCode::SUCCESS })
    }
}
