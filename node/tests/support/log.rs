//! What handlers did, in order, for the test to read.

use std::fmt::Display;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::patient;

/// The end that handlers write to: hand it to the server with `state` and take it as `State<Log>`.
#[derive(Clone, Debug)]
pub(crate) struct Log(UnboundedSender<String>);

/// The end that the test reads.
#[derive(Debug)]
pub(crate) struct Lines(UnboundedReceiver<String>);

pub(crate) fn log() -> (Log, Lines) {
    let (log, lines) = unbounded_channel();
    (Log(log), Lines(lines))
}

impl Log {
    pub(crate) fn note(&self, line: impl Display) {
        // The test may be over.
        let _ = self.0.send(line.to_string());
    }
}

impl Lines {
    pub(crate) async fn next(&mut self) -> String {
        patient("a line in the log", self.0.recv()).await.expect("the log is open")
    }

    /// The next line is this one.
    #[track_caller]
    pub(crate) fn expect<'a>(&'a mut self, line: &'a str) -> impl Future<Output = ()> + 'a {
        let caller = std::panic::Location::caller();
        async move {
            let next = self.next().await;
            assert!(next == line, "{caller}: expected {line:?}, the log says {next:?}");
        }
    }

    /// A line that is there already.
    pub(crate) fn try_next(&mut self) -> Option<String> {
        self.0.try_recv().ok()
    }

    /// Nothing was written that was not read.
    #[track_caller]
    pub(crate) fn is_empty(&mut self) {
        if let Ok(line) = self.0.try_recv() {
            panic!("nobody expected {line:?}");
        }
    }
}
