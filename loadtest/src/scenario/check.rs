//! What a subscriber has seen of a numbered stream: order, duplicates, losses.

/// What a message was to the subscriber that got it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The next one, or a later one: those between are missing so far.
    InOrder,
    /// One that was missing: later ones came before it.
    Late,
    /// One that was there already, or was sent before the subscriber listened.
    Again,
}

/// The stream as one subscriber saw it. Numbers are those of all messages of a run; a room's members get every
/// `step`-th.
#[derive(Clone, Debug, Default)]
pub struct Track {
    next: u64,
    missing: Vec<u64>,
}

impl Track {
    /// Waits for the message of this number first.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { next: first, missing: Vec::new() }
    }

    /// Takes a message's number in.
    #[inline]
    pub fn see(&mut self, number: u64, step: u64) -> Seen {
        if number >= self.next {
            while number > self.next {
                self.missing.push(self.next);
                self.next += step;
            }
            self.next = number + step;
            return Seen::InOrder;
        }
        match self.missing.iter().position(|&missing| missing == number) {
            Some(index) => {
                self.missing.swap_remove(index);
                Seen::Late
            }
            None => Seen::Again,
        }
    }

    /// Whether the message of this number is still to come.
    #[must_use]
    pub fn lacks(&self, number: u64) -> bool {
        number >= self.next || self.missing.contains(&number)
    }

    /// How many of the messages below `end` have not come, and the number of one of them.
    #[must_use]
    pub fn lost(&self, end: u64, step: u64) -> Option<(u64, u64)> {
        let tail = end.saturating_sub(self.next).div_ceil(step);
        let example = self.missing.first().copied().or((tail > 0).then_some(self.next));
        Some((self.missing.len() as u64 + tail, example?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_in_order_lacks_nothing() {
        let mut track = Track::new(1);
        for number in [1, 4, 7] {
            assert_eq!(track.see(number, 3), Seen::InOrder);
        }
        assert_eq!(track.lost(10, 3), None);
        assert_eq!(track.lost(11, 3), Some((1, 10)));
    }

    #[test]
    fn losses_reorderings_and_duplicates_are_told_apart() {
        let mut track = Track::new(0);
        assert_eq!(track.see(0, 1), Seen::InOrder);
        assert_eq!(track.see(3, 1), Seen::InOrder);
        assert!(track.lacks(1) && track.lacks(4) && !track.lacks(0));
        assert_eq!(track.see(2, 1), Seen::Late);
        assert_eq!(track.see(2, 1), Seen::Again);
        assert_eq!(track.see(3, 1), Seen::Again);
        assert_eq!(track.lost(4, 1), Some((1, 1)));
    }
}
