//! Who was heard, when, and up to which number: nodes, members or not yet, and emitters.

use std::collections::HashMap;
use std::time::Duration;

use sockeye_bus::Topic;
use sockeye_proto::bus::Origin;
use sockeye_proto::id::NodeId;
use tokio::time::Instant;

use super::peers::{ALL_TOPIC, Boot};
use super::sequences::{Track, Verdict};

/// Emitters whose numbers are remembered. They come and go without a word, so the quietest are forgotten.
const EMITTERS: usize = 2048;

/// How long the numbers of a lost node are remembered: should it come back, what it sent meanwhile is a loss to count.
const LOST_NODE_MEMORY: Duration = Duration::from_secs(600);

/// Everyone who was heard.
#[derive(Default)]
pub(super) struct Origins {
    /// Nodes, until they leave or are long lost.
    nodes: HashMap<NodeId, Heard>,
    /// Emitters, at most [`EMITTERS`] of them.
    emitters: HashMap<[u8; 6], Heard>,
}

/// What is known about an origin from its messages.
struct Heard {
    /// Its messages to everyone.
    all: Track,
    /// Its messages to this node only.
    own: Track,
    at: Instant,
    /// It was silent for too long.
    silent: bool,
    /// The process that sent its last heartbeat.
    boot: Option<Boot>,
}

/// What a heartbeat reveals.
pub(super) struct Pulse {
    /// The node is another process than before.
    pub(super) restarted: bool,
    /// So many of its messages are now known to be lost.
    pub(super) lost: u64,
}

impl Heard {
    fn new(at: Instant) -> Self {
        Self { all: Track::default(), own: Track::default(), at, silent: false, boot: None }
    }
}

impl Origins {
    /// Notes that a message came, and judges its number.
    pub(super) fn message(&mut self, origin: Origin, topic: &Topic, sequence: u64, now: Instant) -> Verdict {
        let heard = match origin {
            Origin::Node(node) => self.nodes.entry(node).or_insert_with(|| Heard::new(now)),
            Origin::Emitter(id) => {
                if self.emitters.len() >= EMITTERS && !self.emitters.contains_key(&id) {
                    self.forget_quiet_emitters();
                }
                self.emitters.entry(id).or_insert_with(|| Heard::new(now))
            }
        };
        heard.at = now;
        heard.silent = false;
        if *topic == Topic::All { heard.all.message(sequence) } else { heard.own.message(sequence) }
    }

    fn forget_quiet_emitters(&mut self) {
        let mut times: Vec<Instant> = self.emitters.values().map(|heard| heard.at).collect();
        let (_, &mut median, _) = times.select_nth_unstable(EMITTERS / 2);
        self.emitters.retain(|_, heard| heard.at > median);
    }

    /// Takes in a node's heartbeat, which this node (spelt `me`) received.
    pub(super) fn heartbeat(
        &mut self,
        node: NodeId,
        boot: Boot,
        sequences: &[(String, u64)],
        me: &str,
        now: Instant,
    ) -> Pulse {
        let heard = self.nodes.entry(node).or_insert_with(|| Heard::new(now));
        let restarted = heard.boot.is_some_and(|before| before != boot);
        if restarted {
            // The numbers begin anew.
            *heard = Heard::new(now);
        }
        heard.boot = Some(boot);
        let mut lost = 0;
        for (topic, sent) in sequences {
            if topic == ALL_TOPIC {
                lost += heard.all.claim(*sent);
            } else if topic == me {
                lost += heard.own.claim(*sent);
            }
        }
        Pulse { restarted, lost }
    }

    /// Forgets a node that said goodbye, and returns how many of its messages were lost at the end.
    pub(super) fn goodbye(&mut self, node: NodeId) -> u64 {
        self.nodes.remove(&node).map_or(0, |mut heard| heard.all.close() + heard.own.close())
    }

    /// The nodes that were not heard for `timeout` now. Each is returned once, until it is heard again.
    pub(super) fn fall_silent(&mut self, now: Instant, timeout: Duration) -> Vec<NodeId> {
        let mut fallen = Vec::new();
        self.nodes.retain(|&node, heard| {
            let silence = now.saturating_duration_since(heard.at);
            if !heard.silent && silence >= timeout {
                heard.silent = true;
                fallen.push(node);
            }
            silence < LOST_NODE_MEMORY
        });
        fallen
    }

    /// When the most silent node was heard, of those that are not lost.
    pub(super) fn first_heard(&self) -> Option<Instant> {
        self.nodes.values().filter(|heard| !heard.silent).map(|heard| heard.at).min()
    }

    /// Everyone counts as heard now: until now nobody could be.
    pub(super) fn excuse_all(&mut self, now: Instant) {
        self.nodes.values_mut().filter(|heard| !heard.silent).for_each(|heard| heard.at = now);
    }

    /// For so long nobody could be heard: it is not counted as silence.
    pub(super) fn excuse(&mut self, pause: Duration) {
        self.nodes.values_mut().filter(|heard| !heard.silent).for_each(|heard| heard.at += pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_emitters_does_not_push_out_the_busy_ones() {
        let (mut origins, start) = (Origins::default(), Instant::now());
        let busy = Origin::Emitter([255; 6]);
        for number in 0..100_000_u32 {
            let now = start + Duration::from_millis(number.into());
            let [b0, b1, b2, b3] = number.to_be_bytes();
            let verdict = origins.message(Origin::Emitter([0, 0, b0, b1, b2, b3]), &Topic::All, 1, now);
            assert_eq!(verdict, Verdict::Fresh { lost: 0 });
            let verdict = origins.message(busy, &Topic::All, u64::from(number) + 1, now);
            assert_eq!(verdict, Verdict::Fresh { lost: 0 });
            assert!(origins.emitters.len() <= EMITTERS);
        }
        assert_eq!(origins.message(busy, &Topic::All, 1, start), Verdict::Duplicate, "still remembered");
    }

    #[test]
    fn a_flood_of_emitters_at_one_instant_is_bounded_too() {
        let (mut origins, now) = (Origins::default(), Instant::now());
        for number in 0..10_000_u32 {
            let [b0, b1, b2, b3] = number.to_be_bytes();
            origins.message(Origin::Emitter([0, 0, b0, b1, b2, b3]), &Topic::All, 1, now);
            assert!(origins.emitters.len() <= EMITTERS);
        }
    }
}
