//! What can go wrong during a run, counted by kind.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A kind of fault.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The TCP connection could not be made.
    Connect,
    /// A connection was not ready (namespace joined), or not closed, in time.
    Timeout,
    /// The server refused the handshake, or answered it with something else.
    Handshake,
    /// The server refused the namespace.
    Namespace,
    /// The server closed a connection that was in use.
    Closed,
    /// Bytes that are not WebSocket, HTTP, Engine.IO or Socket.IO.
    Protocol,
    /// A `join` was not acknowledged within a second and was sent again.
    JoinUnanswered,
    /// A message or an ack that never came.
    Lost,
    /// A message or an ack that came twice.
    Duplicate,
    /// A message that came after one that was sent later.
    OutOfOrder,
    /// A message or an ack with other content than was sent.
    WrongContent,
    /// A message or an ack that nobody had sent or asked for.
    Unexpected,
}

impl Fault {
    /// All kinds, in the order in which they are shown.
    pub const ALL: [Self; 12] = [
        Self::Connect,
        Self::Timeout,
        Self::Handshake,
        Self::Namespace,
        Self::Closed,
        Self::Protocol,
        Self::JoinUnanswered,
        Self::Lost,
        Self::Duplicate,
        Self::OutOfOrder,
        Self::WrongContent,
        Self::Unexpected,
    ];

    /// The name used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Handshake => "handshake",
            Self::Namespace => "namespace refused",
            Self::Closed => "closed by server",
            Self::Protocol => "protocol",
            Self::JoinUnanswered => "join unanswered",
            Self::Lost => "lost",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out of order",
            Self::WrongContent => "wrong content",
            Self::Unexpected => "unexpected",
        }
    }
}

/// Counts of faults, each kind with the text of its first case.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    counts: [u64; Fault::ALL.len()],
    first: [Option<Box<str>>; Fault::ALL.len()],
}

impl Faults {
    /// Counts `n` faults of a kind; `example` is kept if it is the first one.
    pub fn add(&mut self, fault: Fault, n: u64, example: impl fmt::Display) {
        if n == 0 {
            return;
        }
        let index = fault as usize;
        self.counts[index] += n;
        if self.first[index].is_none() {
            self.first[index] = Some(example.to_string().into());
        }
    }

    /// How often this kind happened.
    #[must_use]
    pub fn count(&self, fault: Fault) -> u64 {
        self.counts[fault as usize]
    }

    /// All faults together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Self) {
        for (fault, count, example) in other.iter() {
            self.add(fault, count, example);
        }
    }

    /// The kinds that happened: kind, count, text of the first case.
    pub fn iter(&self) -> impl Iterator<Item = (Fault, u64, &str)> {
        Fault::ALL.into_iter().filter_map(|fault| {
            let count = self.count(fault);
            let example = self.first[fault as usize].as_deref().unwrap_or_default();
            (count > 0).then_some((fault, count, example))
        })
    }
}

impl fmt::Display for Faults {
    /// One line: `none`, or `3 lost, 1 duplicate`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.total() == 0 {
            return f.write_str("none");
        }
        for (index, (fault, count, _)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{count} {}", fault.as_str())?;
        }
        Ok(())
    }
}

impl Serialize for Faults {
    /// A map from kind to `{count, first}`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (fault, count, example) in self.iter() {
            map.serialize_entry(fault.as_str(), &serde_json::json!({ "count": count, "first": example }))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_keeps_the_first_example() {
        let mut faults = Faults::default();
        faults.add(Fault::Lost, 2, "message 7");
        faults.add(Fault::Lost, 1, "message 9");
        faults.add(Fault::Closed, 0, "never shown");
        assert_eq!(faults.to_string(), "3 lost");
        assert_eq!(
            serde_json::to_value(&faults).expect("serialises"),
            serde_json::json!({ "lost": { "count": 3, "first": "message 7" } })
        );
    }

    #[test]
    fn every_kind_has_its_own_slot_and_name() {
        for (index, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, index);
        }
        let mut names = Fault::ALL.map(Fault::as_str);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
