//! Time as the state machines see it.

use std::time::Duration;

/// A moment: milliseconds since an origin that the caller chose (for a server its start).
///
/// Eight bytes, totally ordered, and free to construct, so that tests can run hours of a protocol in microseconds.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(pub u64);

impl Time {
    /// The moment that never comes: the deadline of something that waits for nothing.
    pub const NEVER: Self = Self(u64::MAX);

    /// This moment and `d` more, in whole milliseconds; stops at [`Time::NEVER`].
    #[must_use]
    pub fn plus(self, d: Duration) -> Self {
        Self(self.0.saturating_add(millis(d)))
    }

    /// How long ago `earlier` was; zero if it was not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// `d` in whole milliseconds, as many as a `u64` holds.
pub(crate) fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saturates_at_both_ends() {
        assert_eq!(Time(5).plus(Duration::from_secs(1)), Time(1005));
        assert_eq!(Time(5).plus(Duration::MAX), Time::NEVER);
        assert_eq!(Time(5).since(Time(7)), Duration::ZERO);
        assert_eq!(Time(7).since(Time(5)), Duration::from_millis(2));
    }
}
