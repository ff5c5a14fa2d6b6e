//! The line that shows how far a run is.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Writes one line to standard error every now and then: in place on a terminal, otherwise a new line every two
/// seconds. Nothing when quiet.
#[derive(Debug)]
pub struct Progress {
    every: Option<Duration>,
    in_place: bool,
    next: Option<Instant>,
    /// In front of each line.
    label: String,
    shown: bool,
}

impl Progress {
    /// For a terminal or a log, whichever standard error is.
    #[must_use]
    pub fn to_stderr() -> Self {
        let in_place = std::io::stderr().is_terminal();
        let every = Duration::from_millis(if in_place { 200 } else { 2000 });
        Self { every: Some(every), in_place, next: None, label: String::new(), shown: false }
    }

    /// Shows nothing.
    #[must_use]
    pub fn quiet() -> Self {
        Self { every: None, ..Self::to_stderr() }
    }

    /// What stands in front of each line from now on.
    pub fn label(&mut self, label: impl Into<String>) {
        self.label = label.into();
    }

    /// Shows a line if it is time for one; cheap if it is not.
    #[inline]
    pub fn show(&mut self, now: Instant, line: impl FnOnce() -> String) {
        let Some(every) = self.every else {
            return;
        };
        let next = *self.next.get_or_insert(now + every);
        if now >= next {
            self.next = Some(now + every);
            self.write(&line());
        }
    }

    fn write(&mut self, line: &str) {
        let mut stderr = std::io::stderr().lock();
        let label = &self.label;
        if self.in_place {
            write!(stderr, "\r\x1b[K{label}{line}").ok();
            self.shown = true;
        } else {
            writeln!(stderr, "{label}{line}").ok();
        }
        stderr.flush().ok();
    }

    /// Removes the line, so that a result can be printed.
    pub fn clear(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
            self.shown = false;
        }
        self.next = None;
    }
}
