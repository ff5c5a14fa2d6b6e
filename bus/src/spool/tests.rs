//! The spool against a model: whatever happens in whatever order, each message ends once and in order.

use super::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Push {
        bytes: usize,
        stamped: bool,
        node: bool,
    },
    Wait(u64),
    Expire,
    /// Fill the flight if it is empty.
    Take {
        messages: usize,
        bytes: usize,
    },
    /// So many messages of the flight are settled.
    Settle(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push = (0..300usize, any::<bool>(), any::<bool>());
    let step = prop_oneof![
        6 => push.prop_map(|(bytes, stamped, node)| Step::Push { bytes, stamped, node }),
        1 => (0..8u64).prop_map(Step::Wait),
        1 => Just(Step::Expire),
        3 => (1..6usize, 1..2000usize).prop_map(|(messages, bytes)| Step::Take { messages, bytes }),
        3 => (0..7usize).prop_map(Step::Settle),
    ];
    proptest::collection::vec(step, 0..200)
}

/// Payload: eight bytes for the stamp, then the message's own number.
fn message(own: u64, bytes: usize, stamped: bool, node: bool) -> Outbound {
    let mut payload = [[0; 8], own.to_be_bytes()].concat();
    payload.resize(16 + bytes, 0);
    let topic = if node { Topic::node("n") } else { Topic::All };
    Outbound { topic, payload, stamp: stamped.then_some(0) }
}

fn number(out: &Outbound, at: usize) -> u64 {
    u64::from_be_bytes(out.payload[at..at + 8].try_into().expect("eight bytes"))
}

proptest! {
    #[test]
    fn every_message_ends_once_and_in_order(steps in steps()) {
        const MAX_BYTES: usize = 4000;
        let max_age = Duration::from_secs(10);
        let mut now = Instant::now();
        let mut spool = Spool::new(MAX_BYTES, max_age);
        let mut flight = Flight::default();
        let (mut pushed, mut dropped, mut left, mut settled) = (0u64, Vec::new(), Vec::new(), 0usize);
        for step in steps {
            match step {
                Step::Push { bytes, stamped, node } => {
                    let out = message(pushed, bytes, stamped, node);
                    pushed += 1;
                    if !spool.fits(cost(&out)) {
                        pushed -= 1;
                        continue;
                    }
                    spool.push(Entry { out, at: now, slot: None });
                    while let Some(entry) = spool.overflow() {
                        dropped.push(number(&entry.out, 8));
                    }
                }
                Step::Wait(seconds) => now += Duration::from_secs(seconds),
                Step::Expire => while let Some(entry) = spool.expired(now) {
                    prop_assert!(now - entry.at > max_age);
                    dropped.push(number(&entry.out, 8));
                },
                Step::Take { messages, bytes } => if flight.is_empty() {
                    spool.take(&mut flight, messages, bytes);
                    let size: usize = flight.batch.iter().map(cost).sum();
                    prop_assert!(flight.len() <= messages && (size <= bytes || flight.len() == 1));
                    left.extend(flight.batch.iter().cloned());
                },
                Step::Settle(messages) => {
                    let messages = messages.min(flight.len());
                    spool.settle(&mut flight, messages);
                    settled += messages;
                }
            }
            let (waiting, bytes) = spool.size();
            prop_assert_eq!(pushed, (dropped.len() + settled + waiting) as u64, "every message is somewhere, once");
            let under_way: usize = if flight.is_empty() { 0 } else { flight.batch.iter().map(cost).sum() };
            prop_assert!(bytes <= MAX_BYTES + under_way);
            prop_assert_eq!(spool.unsettled(pushed), waiting);
            prop_assert_eq!(spool.unsettled(0), 0);
        }
        // What left did so in order, with numbers without a gap on each topic, of which the settled ones are told.
        let own: Vec<u64> = left.iter().map(|out| number(out, 8)).collect();
        prop_assert!(own.is_sorted_by(|a, b| a < b));
        prop_assert!(own.iter().all(|own| !dropped.contains(own)));
        for topic in [Topic::All, Topic::node("n")] {
            let stamped = |out: &&Outbound| out.topic == topic && out.stamp.is_some();
            let numbers: Vec<u64> = left.iter().filter(stamped).map(|out| number(out, 0)).collect();
            prop_assert_eq!(&numbers, &(1..=numbers.len() as u64).collect::<Vec<_>>());
            let taken = left.iter().take(settled).filter(stamped).count() as u64;
            let told = spool.sequences().into_iter().find(|(t, _)| *t == topic).map_or(0, |(_, n)| n);
            prop_assert_eq!(told, taken);
        }
    }
}
