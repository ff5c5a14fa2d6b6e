//! Which of an origin's messages were received, are duplicates or were lost.
//!
//! Every origin numbers what it sends to a topic from 1, without holes (the bus gives the number when a message
//! really leaves). Two observations reveal a loss: a number that jumps, and a heartbeat that claims more than was
//! received. The claim is settled only by the *following* heartbeat, because a broker need not keep the order
//! between topics: what a heartbeat claims may still be on its way.

/// What a message's number says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// New; so many messages before it were lost.
    Fresh {
        /// Messages that are now known to be lost.
        lost: u64,
    },
    /// Received before, or older than something received before.
    Duplicate,
}

/// The numbers of one origin on one topic.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Track {
    /// The highest number received.
    last: Option<u64>,
    /// Every number up to this one was received, counted as lost, or sent before this node listened.
    settled: u64,
    /// What the origin's previous heartbeat said it had sent.
    claimed: u64,
    /// How well `settled` is known.
    baseline: Baseline,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Baseline {
    /// Nothing was heard yet: the first message says nothing about those before it.
    #[default]
    None,
    /// One heartbeat was heard. What left just before it may have left before this node listened, so a jump from
    /// here is no loss yet.
    Heard,
    /// This node listens since `settled` or longer.
    Sure,
}

impl Track {
    /// Judges a message. Number 0 means that the sender does not number (heartbeats, single shots).
    pub(super) fn message(&mut self, sequence: u64) -> Verdict {
        if sequence == 0 {
            return Verdict::Fresh { lost: 0 };
        }
        if self.last.is_some_and(|last| sequence <= last) {
            return Verdict::Duplicate;
        }
        let lost = match self.baseline {
            Baseline::None | Baseline::Heard => 0,
            Baseline::Sure => (sequence - 1).saturating_sub(self.settled),
        };
        self.baseline = Baseline::Sure;
        self.last = Some(sequence);
        self.settled = self.settled.max(sequence);
        Verdict::Fresh { lost }
    }

    /// Takes in what a heartbeat claims and returns how many messages are now known to be lost.
    pub(super) fn claim(&mut self, sent: u64) -> u64 {
        let lost = match self.baseline {
            Baseline::None => {
                self.baseline = Baseline::Heard;
                self.settled = sent;
                0
            }
            Baseline::Heard => {
                self.baseline = Baseline::Sure;
                0
            }
            Baseline::Sure => self.claimed.saturating_sub(self.settled),
        };
        self.settled += lost;
        self.claimed = sent;
        lost
    }

    /// Takes in the last claim of an origin that says goodbye after everything else it sent.
    pub(super) fn close(&mut self) -> u64 {
        let claimed = self.claimed;
        self.claim(claimed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Track, Verdict};

    fn fresh(lost: u64) -> Verdict {
        Verdict::Fresh { lost }
    }

    #[test]
    fn a_jump_is_counted_by_its_size() {
        let mut track = Track::default();
        assert_eq!(track.message(7), fresh(0), "what came before we listened is no loss");
        assert_eq!(track.message(8), fresh(0));
        assert_eq!(track.message(12), fresh(3));
        assert_eq!(track.message(13), fresh(0));
    }

    #[test]
    fn the_same_or_an_older_number_is_a_duplicate() {
        let mut track = Track::default();
        assert_eq!(track.message(5), fresh(0));
        assert_eq!(track.message(5), Verdict::Duplicate);
        assert_eq!(track.message(4), Verdict::Duplicate);
        assert_eq!(track.message(6), fresh(0));
    }

    #[test]
    fn an_unnumbered_message_is_always_fresh() {
        let mut track = Track::default();
        assert_eq!(track.message(9), fresh(0));
        assert_eq!(track.message(0), fresh(0));
        assert_eq!(track.message(0), fresh(0));
        assert_eq!(track.message(10), fresh(0));
    }

    #[test]
    fn a_trailing_loss_is_noticed_by_the_second_heartbeat_and_counted_once() {
        let mut track = Track::default();
        assert_eq!(track.claim(10), 0, "a start, not a loss");
        assert_eq!(track.message(11), fresh(0));
        assert_eq!(track.claim(14), 0, "12 to 14 may still be on their way");
        assert_eq!(track.message(12), fresh(0));
        assert_eq!(track.claim(14), 2);
        assert_eq!(track.claim(14), 0);
        assert_eq!(track.message(15), fresh(0));
    }

    #[test]
    fn a_claim_that_overtakes_its_messages_loses_nothing() {
        let mut track = Track::default();
        assert_eq!(track.claim(3), 0);
        assert_eq!(track.message(3), fresh(0), "sent before the first heartbeat, received after it");
        assert_eq!(track.claim(5), 0);
        assert_eq!(track.message(4), fresh(0));
        assert_eq!(track.message(5), fresh(0));
        assert_eq!(track.claim(5), 0);
    }

    #[test]
    fn a_jump_over_a_claim_is_not_counted_twice() {
        let mut track = Track::default();
        assert_eq!(track.message(10), fresh(0));
        assert_eq!(track.claim(10), 0);
        assert_eq!(track.claim(13), 0);
        assert_eq!(track.message(14), fresh(3));
        assert_eq!(track.claim(14), 0);
        assert_eq!(track.claim(14), 0);
    }

    #[test]
    fn what_left_while_this_node_began_to_listen_is_no_loss() {
        let mut track = Track::default();
        assert_eq!(track.claim(10), 0);
        assert_eq!(track.message(12), fresh(0), "11 left before the heartbeat, but after it was written");
        assert_eq!(track.message(14), fresh(1));
    }

    #[test]
    fn a_loss_between_the_first_heartbeats_is_noticed() {
        let mut track = Track::default();
        assert_eq!(track.claim(0), 0);
        assert_eq!(track.claim(2), 0);
        assert_eq!(track.claim(2), 2);
        assert_eq!(track.message(3), fresh(0));
    }

    #[test]
    fn a_goodbye_settles_the_last_claim() {
        let mut track = Track::default();
        assert_eq!(track.message(1), fresh(0));
        assert_eq!(track.claim(1), 0);
        assert_eq!(track.claim(4), 0);
        assert_eq!(track.close(), 3);
        assert_eq!(track.close(), 0);
    }
}
