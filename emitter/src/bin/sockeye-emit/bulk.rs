//! Many events from standard input, pipelined.

use crate::{
    cli::{Selected, Targets},
    line::{self, Line},
    lines::{Lines, Numbered},
    report::{Failure, Outcome, Report},
};
use sockeye_emitter::{Emitter, Receipt};
use std::{collections::VecDeque, io, pin::pin, process::ExitCode, time::Duration};
use tokio::{
    io::BufReader,
    signal::ctrl_c,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

/// Events that may be under way at once, and the bytes of their lines: enough to keep the broker busy, and a bound for
/// memory while it is away.
const EVENTS: usize = 8192;
const BYTES: usize = 16 << 20;

const TICK: Duration = Duration::from_millis(200);

struct Bulk<'a> {
    emitter: Emitter,
    report: Report,
    targets: &'a Targets,
    selected: Selected,
    strict: bool,
    pending: VecDeque<Pending>,
    bytes: usize,
}

/// An event that is under way.
struct Pending {
    line: u64,
    bytes: usize,
    event: String,
    receipt: Receipt,
}

/// Emits every line; returns when all are taken or lost, or the broker has taken none for `within`.
pub(crate) async fn run(
    emitter: Emitter,
    report: Report,
    targets: &Targets,
    strict: bool,
    within: Duration,
) -> Result<ExitCode, Failure> {
    let selected = targets.select(&emitter);
    let mut bulk = Bulk { emitter, report, targets, selected, strict, pending: VecDeque::new(), bytes: 0 };
    if io::IsTerminal::is_terminal(&io::stdin()) {
        bulk.report.mention(format_args!("reading events from the terminal, one a line; end with Ctrl-D"));
    }
    let mut lines = Lines::new(BufReader::with_capacity(256 << 10, tokio::io::stdin()));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut interrupt = pin!(ctrl_c());
    let (mut reading, mut interrupted, mut away) = (true, false, false);
    let mut give_up = Instant::now() + within;
    while reading || !bulk.pending.is_empty() {
        let room = bulk.pending.len() < EVENTS && bulk.bytes < BYTES;
        tokio::select! {
            biased;
            outcome = front(&mut bulk.pending), if !bulk.pending.is_empty() => {
                give_up = Instant::now() + within;
                reading &= bulk.settled(&outcome)?;
            }
            line = lines.next(), if reading && room => match line? {
                None => reading = false,
                Some(line) => {
                    if bulk.pending.is_empty() {
                        give_up = Instant::now() + within;
                    }
                    reading &= bulk.emit(line)?;
                }
            },
            () = sleep_until(give_up), if !bulk.pending.is_empty() => {
                bulk.give_up(within).await?;
                break;
            }
            _ = ticks.tick() => {
                bulk.report.progress(lines.number())?;
                bulk.look_after(&mut away).await;
            }
            _ = &mut interrupt => {
                let number = lines.number();
                bulk.report.say(format_args!("interrupted after line {number}"));
                if interrupted {
                    bulk.give_up(Duration::ZERO).await?;
                    break;
                }
                (reading, interrupted) = (false, true);
                interrupt.set(ctrl_c());
            }
        }
    }
    bulk.report.summary(bulk.emitter.describe());
    bulk.report.finish(!interrupted)
}

/// What became of the event that was emitted first.
async fn front(pending: &mut VecDeque<Pending>) -> Outcome {
    match pending.front_mut() {
        Some(first) => Outcome::from((&mut first.receipt).await),
        None => std::future::pending().await,
    }
}

impl Bulk<'_> {
    /// Emits a line, or says what is wrong with it. Whether to read on.
    fn emit(&mut self, (number, text): Numbered) -> io::Result<bool> {
        let bytes = text.as_ref().map_or(0, String::len);
        let parsed = text.map_err(str::to_owned).and_then(|text| line::parse(&text));
        match parsed {
            Ok(line) => {
                let receipt = self.send(&line);
                self.bytes += bytes;
                self.pending.push_back(Pending { line: number, bytes, event: line.event, receipt });
                Ok(true)
            }
            Err(text) => {
                self.report.line(number, None, &Outcome::wrong(text))?;
                Ok(!self.strict)
            }
        }
    }

    fn send(&self, line: &Line) -> Receipt {
        let Line { event, args, to, except, namespace, volatile } = line;
        if to.is_none() && except.is_none() && namespace.is_none() && volatile.is_none() {
            return self.selected.sockets.emit(event, args);
        }
        let mut targets = self.targets.clone();
        if let Some(rooms) = to {
            targets.to = Some(rooms.clone());
        }
        if let Some(rooms) = except {
            targets.except.clone_from(rooms);
        }
        if let Some(path) = namespace {
            targets.namespace.clone_from(path);
        }
        targets.volatile = volatile.unwrap_or(targets.volatile);
        targets.select(&self.emitter).sockets.emit(event, args)
    }

    /// The first event is taken or lost. Whether to read on.
    fn settled(&mut self, outcome: &Outcome) -> io::Result<bool> {
        let Some(first) = self.pending.pop_front() else { return Ok(true) };
        self.bytes -= first.bytes;
        self.report.line(first.line, Some(&first.event), outcome)?;
        Ok(!self.strict || matches!(outcome, Outcome::Taken(_)))
    }

    /// The broker has taken nothing for too long: what is under way is lost, and nothing more is read.
    async fn give_up(&mut self, within: Duration) -> io::Result<()> {
        let cause = self.emitter.connected(Duration::from_millis(1)).await.err();
        for Pending { line, event, .. } in self.pending.drain(..) {
            self.report.line(line, Some(&event), &Outcome::given_up(within, cause.clone()))?;
        }
        self.report.say(format_args!("gave up; later lines were not read"));
        Ok(())
    }

    /// Says once when the broker is away, and once when it is back.
    async fn look_after(&mut self, away: &mut bool) {
        let connected = self.emitter.is_connected();
        if connected && *away {
            self.report.mention(format_args!("the broker is back"));
        } else if !connected
            && !*away
            && let Err(error) = self.emitter.connected(Duration::from_millis(1)).await
        {
            self.report.mention(format_args!("waiting for the broker: {error}"));
        }
        *away = !connected;
    }
}
