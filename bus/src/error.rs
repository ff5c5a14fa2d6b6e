//! Errors of links and drivers, and of single messages.

use crate::message::Topic;
use std::{fmt, sync::Arc};

/// What kind of failure an [`Error`] is; decisions are made on this, the text is for people.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL or an option is wrong; trying again cannot help.
    Config,
    /// The broker cannot be reached.
    Connect,
    /// The broker refused the credentials, or TLS failed.
    Auth,
    /// The link was there and broke.
    Lost,
    /// The broker did not answer in time.
    Timeout,
    /// The link looks connected but its own probe is not heard.
    Deaf,
    /// The reader fell behind and the broker's client dropped this many messages; the link itself is well.
    Lagged(u64),
    /// The broker is there and refused this message or subscription.
    Refused,
    /// This driver cannot do that.
    Unsupported,
    /// The bus was closed.
    Closed,
}

/// Something went wrong with a bus or its link. Never contains credentials.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    text: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a text of its own.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into().into(), source: None }
    }

    /// An error caused by another one; the cause is part of the text.
    pub fn caused(
        kind: ErrorKind,
        text: impl fmt::Display,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        Self { kind, text: format!("{text}: {source}").into(), source: Some(Arc::new(source)) }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({:?})", self.kind, self.text)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

/// Why a message was not published.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// The spool was full and this was the oldest message in it.
    Overflow,
    /// It waited longer than the spool keeps messages.
    Expired,
    /// The bus was closed before the broker took it.
    Closed,
    /// It is bigger than the broker or the spool can hold.
    TooLarge,
    /// The link was down and the policy is not to keep messages meanwhile.
    Offline,
    /// The broker refused this message, or broke the link each time it was sent.
    Refused,
}

impl DropReason {
    /// All reasons, for metrics that want a series for each.
    pub const ALL: [Self; 6] =
        [Self::Overflow, Self::Expired, Self::Closed, Self::TooLarge, Self::Offline, Self::Refused];

    /// The reason as a metric label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overflow => "overflow",
            Self::Expired => "expired",
            Self::Closed => "closed",
            Self::TooLarge => "too_large",
            Self::Offline => "offline",
            Self::Refused => "refused",
        }
    }

    fn explain(self) -> &'static str {
        match self {
            Self::Overflow => "the spool was full and newer messages took its place",
            Self::Expired => "it waited for the broker longer than the spool keeps messages",
            Self::Closed => "the bus was closed before the broker took it",
            Self::TooLarge => "it is larger than the broker or the spool can hold",
            Self::Offline => "the broker is away and the bus does not keep messages meanwhile",
            Self::Refused => "the broker refused it",
        }
    }
}

/// A message was lost: which one, and why. It has been counted (see [`Observer::dropped`](crate::Observer::dropped)).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of {bytes} bytes to topic '{topic}' was not published: {}", reason.explain())]
pub struct PublishError {
    /// Why it was lost.
    pub reason: DropReason,
    /// Where it was to go.
    pub topic: Topic,
    /// Length of its payload in bytes.
    pub bytes: usize,
}

/// `flush` ran out of time.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{left} messages had not been taken by the broker when the time was up")]
pub struct FlushError {
    /// Messages that are still waiting.
    pub left: usize,
}
