//! What was lost, and why.

use smallvec::SmallVec;
use sockeye_bus::{DropReason, Error};
use sockeye_proto::{DecodeError, name::NamespacePath, sio::ArgsError};
use std::fmt;

/// A message was lost, or could not be sent at all: which one, and why.
#[derive(Clone)]
pub struct EmitError(Box<Inner>);

#[derive(Clone)]
struct Inner {
    subject: Subject,
    reason: Reason,
    lost: usize,
    of: usize,
}

/// Why a message was lost.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Reason {
    /// An argument cannot be sent.
    Args(ArgsError),
    /// The arguments would not be understood: they nest too deeply, or a text that looks like a placeholder for an
    /// attachment refers to none.
    Invalid(DecodeError),
    /// The event has a name that the libraries use for their own events.
    Reserved,
    /// The namespace has a comma or a question mark in it, which no client could name.
    Namespace,
    /// The message is longer than nodes accept.
    TooLarge {
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is accepted ([`Builder::max_message`](crate::Builder::max_message)).
        limit: usize,
    },
    /// The emitter's dialect has no words for it.
    Dialect(&'static str),
    /// The broker did not get it.
    Lost {
        /// Why.
        reason: DropReason,
        /// What is wrong with the link to the broker, if that is known.
        cause: Option<Error>,
    },
}

impl EmitError {
    pub(crate) fn new(subject: Subject, reason: Reason) -> Self {
        Self::some(subject, reason, 1, 1)
    }

    /// Of the `of` messages that say one operation, `lost` were lost.
    pub(crate) fn some(subject: Subject, reason: Reason, lost: usize, of: usize) -> Self {
        Self(Box::new(Inner { subject, reason, lost, of }))
    }

    /// What was to be done: `emit`, `server_emit`, `join`, `leave`, `disconnect` or `close_room`.
    pub fn operation(&self) -> &'static str {
        self.0.subject.operation
    }

    /// The event's name, if it was one.
    pub fn event(&self) -> Option<String> {
        self.0.subject.event()
    }

    /// Where.
    pub fn namespace(&self) -> &NamespacePath {
        &self.0.subject.namespace
    }

    /// Why.
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { subject, reason, lost, of } = &*self.0;
        write!(f, "{subject} was not published")?;
        if of > &1 {
            write!(f, " ({lost} of {of} messages)")?;
        }
        write!(f, ": {reason}")
    }
}

impl fmt::Debug for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmitError({self})")
    }
}

impl std::error::Error for EmitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.reason {
            Reason::Args(error) => Some(error),
            Reason::Invalid(error) => Some(error),
            Reason::Lost { cause: Some(error), .. } => Some(error),
            _ => None,
        }
    }
}

impl Reason {
    /// The reason in one word, for metrics and scripts.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Args(_) => "args",
            Self::Invalid(_) => "invalid",
            Self::Reserved => "reserved",
            Self::Namespace => "namespace",
            Self::TooLarge { .. } => "too_large",
            Self::Dialect(_) => "dialect",
            Self::Lost { reason, .. } => reason.as_str(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Args(error) => write!(f, "{error}"),
            Self::Invalid(error) => write!(f, "its arguments are not valid: {error}"),
            Self::Reserved => f.write_str(
                "the name is reserved: clients could not tell it from the connection's own events",
            ),
            Self::Namespace => f.write_str("a namespace can have neither ',' nor '?' in its name"),
            Self::TooLarge { bytes, limit } => {
                write!(f, "it takes {bytes} bytes, and nodes accept no more than {limit}")
            }
            Self::Dialect(why) => write!(f, "the Python dialect cannot say it: {why}"),
            Self::Lost { reason, cause } => {
                f.write_str(explain(*reason))?;
                cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
            }
        }
    }
}

fn explain(reason: DropReason) -> &'static str {
    match reason {
        DropReason::Overflow => "the queue was full, and newer messages took its place",
        DropReason::Expired => "the broker did not take it in time",
        DropReason::Closed => "the emitter was closed before the broker took it",
        DropReason::TooLarge => "it is larger than the broker or the queue can hold",
        DropReason::Offline => "the broker is away, and it is not to be kept meanwhile",
        DropReason::Refused => "the broker refused it",
        other => other.as_str(),
    }
}

/// What a receipt is about. Names of up to 24 bytes take no memory of their own.
#[derive(Clone)]
pub(crate) struct Subject {
    operation: &'static str,
    event: Option<SmallVec<[u8; 24]>>,
    namespace: NamespacePath,
}

impl Subject {
    pub(crate) fn new(operation: &'static str, event: Option<&str>, namespace: &NamespacePath) -> Self {
        let event = event.map(|event| SmallVec::from_slice(event.as_bytes()));
        Self { operation, event, namespace: namespace.clone() }
    }

    fn event(&self) -> Option<String> {
        self.event.as_ref().map(|event| String::from_utf8_lossy(event).into_owned())
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.event() {
            Some(event) if self.operation == "emit" => write!(f, "event '{event}' in {}", self.namespace),
            Some(event) => write!(f, "server event '{event}' in {}", self.namespace),
            None => write!(f, "{} in {}", self.operation, self.namespace),
        }
    }
}

/// Something emitted before was not taken by the broker.
#[derive(Clone, Debug)]
pub struct FlushError {
    /// Messages that still wait, and may yet be taken.
    pub waiting: usize,
    /// Messages that were lost since the last flush and that no awaited receipt told of.
    pub lost: u64,
    /// What is wrong with the link to the broker, if that is known.
    pub cause: Option<Error>,
}

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.waiting, self.lost) {
            (waiting, 0) => write!(f, "{waiting} messages were not taken by the broker in time")?,
            (0, lost) => write!(f, "{lost} messages were lost")?,
            (waiting, lost) => {
                write!(f, "{waiting} messages were not taken by the broker in time, {lost} were lost")?;
            }
        }
        self.cause.as_ref().map_or(Ok(()), |cause| write!(f, " ({cause})"))
    }
}

impl std::error::Error for FlushError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
