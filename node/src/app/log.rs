//! The log: to standard error, for people or for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
}

/// What is logged, and how.
#[derive(Debug)]
pub(crate) struct Log {
    /// Checked already.
    pub(crate) filter: String,
    pub(crate) format: Format,
}

/// Logs from here on.
pub(crate) fn start(log: &Log) {
    let builder =
        tracing_subscriber::fmt().with_env_filter(EnvFilter::new(&log.filter)).with_writer(std::io::stderr);
    match log.format {
        Format::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
}
