//! What became of the events: output, counts, exit status.

use crate::cli::Operation;
use serde::Serialize;
use sockeye_emitter::{Delivery, EmitError, Error};
use std::{
    fmt,
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

/// Why the program ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// The broker was not reached, so nothing was sent.
    Unreached(String),
    /// Standard input or output failed.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::Usage(text) => {
                complain(format_args!("{text}\nFor more information, try '--help'."));
                ExitCode::from(2)
            }
            Self::Unreached(text) => {
                complain(format_args!("nothing was sent: {text}"));
                ExitCode::from(1)
            }
            Self::Io(error) => {
                complain(format_args!("{error}"));
                ExitCode::from(1)
            }
        }
    }
}

fn complain(text: fmt::Arguments<'_>) {
    // If nobody can be told, the exit status still says it.
    let _ = writeln!(io::stderr(), "sockeye-emit: {text}");
}

/// What became of one event.
#[derive(Debug)]
pub(crate) enum Outcome {
    Taken(Delivery),
    Lost { reason: &'static str, text: String },
}

impl Outcome {
    /// The line says nothing that could be sent.
    pub(crate) fn wrong(text: String) -> Self {
        Self::Lost { reason: "input", text }
    }

    /// There is no broker.
    pub(crate) fn unreached(error: &Error) -> Self {
        Self::Lost { reason: "unreached", text: error.to_string() }
    }

    /// The broker did not take it in time.
    pub(crate) fn given_up(within: Duration, cause: Option<Error>) -> Self {
        let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
        Self::Lost { reason: "timeout", text: format!("the broker did not take it within {within:?}{cause}") }
    }
}

impl From<Result<Delivery, EmitError>> for Outcome {
    fn from(result: Result<Delivery, EmitError>) -> Self {
        match result {
            Ok(delivery) => Self::Taken(delivery),
            Err(error) => Self::Lost { reason: error.reason().as_str(), text: error.reason().to_string() },
        }
    }
}

/// One line of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    receivers: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

pub(crate) struct Report {
    out: Option<BufWriter<StdoutLock<'static>>>,
    quiet: bool,
    /// Progress is shown, and is on the terminal's line now.
    terminal: bool,
    shown: bool,
    start: Instant,
    taken: u64,
    lost: u64,
    /// Most subscribers that heard one; `None` if the broker does not say.
    heard: Option<u64>,
}

impl Report {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self {
            out: json.then(|| BufWriter::new(io::stdout().lock())),
            quiet,
            terminal: !quiet && io::stderr().is_terminal(),
            shown: false,
            start: Instant::now(),
            taken: 0,
            lost: 0,
            heard: None,
        }
    }

    /// The outcome of the one operation of this run.
    pub(crate) fn one(&mut self, operation: &Operation, outcome: &Outcome, broker: &str) -> io::Result<()> {
        let (name, event) = (operation.name(), operation.event());
        self.count(outcome);
        self.record(None, event.is_none().then_some(name), event, outcome)?;
        let what = event.unwrap_or(name);
        match outcome {
            Outcome::Taken(_) if self.quiet => {}
            Outcome::Taken(Delivery { receivers }) => {
                let heard = receivers.map(|count| format!(", {}", hearing(count))).unwrap_or_default();
                let _ = writeln!(io::stderr(), "{what}: taken by {broker}{heard}");
            }
            Outcome::Lost { text, .. } => complain(format_args!("{what}: lost: {text}")),
        }
        Ok(())
    }

    /// The outcome of one line; `None`: it named no event.
    pub(crate) fn line(&mut self, number: u64, event: Option<&str>, outcome: &Outcome) -> io::Result<()> {
        self.count(outcome);
        self.record(Some(number), None, event, outcome)?;
        if let Outcome::Lost { text, .. } = outcome {
            self.say(format_args!("line {number}: {text}"));
        }
        Ok(())
    }

    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Taken(Delivery { receivers }) => {
                self.taken += 1;
                self.heard = self.heard.max(*receivers);
            }
            Outcome::Lost { .. } => self.lost += 1,
        }
    }

    fn record(
        &mut self,
        line: Option<u64>,
        operation: Option<&str>,
        event: Option<&str>,
        outcome: &Outcome,
    ) -> io::Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let (receivers, error, message) = match outcome {
            Outcome::Taken(Delivery { receivers }) => (*receivers, None, None),
            Outcome::Lost { reason, text } => (None, Some(*reason), Some(text.as_str())),
        };
        serde_json::to_writer(&mut *out, &Record { line, operation, event, receivers, error, message })?;
        out.write_all(b"\n")
    }

    /// Something that is wrong, on a line of its own.
    pub(crate) fn say(&mut self, text: fmt::Arguments<'_>) {
        self.clear();
        complain(text);
    }

    /// Something that is only worth knowing.
    pub(crate) fn mention(&mut self, text: fmt::Arguments<'_>) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// Hands over what was written so far, and shows how far it is.
    pub(crate) fn progress(&mut self, read: u64) -> io::Result<()> {
        if let Some(out) = &mut self.out {
            out.flush()?;
        }
        if self.terminal {
            let Self { taken, lost, .. } = self;
            let _ = write!(io::stderr(), "\r\x1b[K{read} lines read, {taken} events taken, {lost} lost");
            self.shown = true;
        }
        Ok(())
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    /// How many became what, in how long.
    pub(crate) fn summary(&mut self, broker: &str) {
        self.clear();
        if self.quiet && self.lost == 0 {
            return;
        }
        let seconds = self.start.elapsed().as_secs_f64();
        let rate = (self.taken as f64 / seconds.max(1e-3)).round();
        let heard = match (self.taken, self.heard) {
            (0, _) | (_, None | Some(1..)) => "",
            (_, Some(0)) => "; nobody heard any: is a node running, with this channel?",
        };
        let Self { taken, lost, .. } = self;
        let _ = writeln!(
            io::stderr(),
            "{taken} {} taken by {broker} in {seconds:.2} s ({rate}/s), {lost} lost{heard}",
            if *taken == 1 { "event" } else { "events" }
        );
    }

    /// The exit status. `whole`: everything that was there to be sent was read.
    pub(crate) fn finish(mut self, whole: bool) -> Result<ExitCode, Failure> {
        if let Some(out) = &mut self.out {
            out.flush()?;
        }
        Ok(if self.lost == 0 && whole { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

fn hearing(receivers: u64) -> String {
    match receivers {
        0 => "nobody heard it: is a node running, with this channel?".to_owned(),
        1 => "1 subscriber heard it".to_owned(),
        several => format!("{several} subscribers heard it"),
    }
}
