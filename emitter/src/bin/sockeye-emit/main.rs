//! The command `sockeye-emit`: publish events from a shell.
//!
//! # Map of this program
//!
//! * [`cli`]: the command line, and what it asks for
//! * [`arguments`]: what is written on the command line becomes arguments of an event
//! * [`mod@line`]: one line of standard input becomes an event
//! * [`lines`]: lines of bounded length, from bytes
//! * [`bulk`]: many events from standard input, pipelined
//! * [`report`]: what became of them: output, counts, exit status

mod arguments;
mod bulk;
mod cli;
mod line;
mod lines;
mod report;

use clap::Parser;
use cli::{Cli, Plan, Work};
use report::{Failure, Outcome, Report};
use sockeye_emitter::{Error, ErrorKind};
use std::{process::ExitCode, time::Duration};
use tokio::time::timeout;

fn main() -> ExitCode {
    let done = Cli::parse().plan().and_then(|plan| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let done = runtime.block_on(run(plan));
        // A thread may be reading a terminal, which nobody must wait for.
        runtime.shutdown_background();
        done
    });
    done.unwrap_or_else(|failure| failure.tell())
}

async fn run(plan: Plan) -> Result<ExitCode, Failure> {
    let mut report = Report::new(plan.json, plan.quiet);
    let within = plan.timeout;
    let emitter = match plan.emitter.connect(&plan.bus).await {
        Ok(emitter) => emitter,
        Err(error) if error.kind() == ErrorKind::Config => return Err(Failure::Usage(error.to_string())),
        Err(error) => return unreached(report, &plan.work, &error),
    };
    match plan.work {
        Work::Bulk(targets) => bulk::run(emitter, report, &targets, plan.strict, within).await,
        Work::One(targets, operation) => {
            let receipt = operation.perform(&targets.select(&emitter));
            let outcome = match timeout(within, receipt).await {
                Ok(result) => Outcome::from(result),
                Err(_) => Outcome::given_up(within, emitter.connected(Duration::from_millis(1)).await.err()),
            };
            report.one(&operation, &outcome, emitter.describe())?;
            report.finish(true)
        }
    }
}

/// There is no broker, so nothing was sent.
fn unreached(mut report: Report, work: &Work, error: &Error) -> Result<ExitCode, Failure> {
    match work {
        Work::Bulk(_) => Err(Failure::Unreached(error.to_string())),
        Work::One(_, operation) => {
            report.one(operation, &Outcome::unreached(error), "")?;
            report.finish(true)
        }
    }
}
