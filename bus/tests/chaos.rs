//! A bus on virtual time while its broker misbehaves at random. Whatever happens: every receipt resolves, the counts
//! add up to the last message, what never left is not at the broker, and what left did so in order.

mod support;

use rand::{Rng, SeedableRng, rngs::StdRng};
use sockeye_bus::{Bus, BusConfig, DropReason, Event, Outbound, Topic};
use std::{collections::BTreeMap, time::Duration};
use support::{broker::Broker, counts::Counter, soon};
use tokio::time::sleep;

const SEEDS: u64 = 150;

#[tokio::test(start_paused = true)]
async fn the_counts_add_up_whatever_the_broker_does() {
    for seed in 0..SEEDS {
        run(seed).await;
    }
}

async fn run(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let broker = Broker::new();
    let counter = Counter::new();
    let config = BusConfig {
        subscribe: if random.random() { vec![Topic::All] } else { Vec::new() },
        spool_bytes: random.random_range(2_000..60_000),
        spool_age: Duration::from_secs(random.random_range(1..20)),
        batch_messages: random.random_range(1..50),
        event_queue: random.random_range(1..50),
        ..BusConfig::default()
    };
    let (bus, mut events) =
        Bus::with_driver(Box::new(broker.clone()), config, counter.clone()).expect("opens");
    let reader = tokio::spawn({
        let bus = bus.clone();
        let patient = random.random::<bool>();
        async move {
            while let Some(event) = events.recv().await {
                if matches!(event, Event::Up { .. }) && !patient {
                    bus.release();
                }
            }
        }
    });
    let mut receipts = Vec::new();
    for _ in 0..random.random_range(10..120) {
        match random.random_range(0..12) {
            0 => broker.cut(),
            1 => broker.take_half(),
            2 => broker.mood(|m| m.refuse = !m.refuse),
            3 => broker.mood(|m| m.stall = !m.stall),
            4 => broker.mood(|m| m.deaf = !m.deaf),
            5 => bus.publish_control(Outbound::new(Topic::Channel, b"control".to_vec())),
            6 | 7 => sleep(Duration::from_millis(random.random_range(0..8_000))).await,
            _ => {
                for _ in 0..random.random_range(1..60) {
                    let number = receipts.len() as u64;
                    let payload = [[0; 8], number.to_be_bytes()].concat();
                    receipts.push(bus.publish(Outbound::stamped(Topic::All, payload, 0)));
                }
                if random.random() {
                    sleep(Duration::from_millis(random.random_range(0..50))).await;
                }
            }
        }
    }
    if random.random() {
        broker.mood(|m| (m.refuse, m.stall, m.deaf) = (false, false, false));
    }
    soon("close", bus.close()).await;
    check(seed, &broker, &counter, receipts).await;
    drop(bus);
    soon("the end of the events", reader).await.expect("the reader");
}

async fn check(seed: u64, broker: &Broker, counter: &Counter, receipts: Vec<sockeye_bus::Receipt>) {
    let number =
        |payload: &[u8], at: usize| u64::from_be_bytes(payload[at..at + 8].try_into().expect("eight"));
    let mut arrived: BTreeMap<u64, u64> = BTreeMap::new();
    for (_, out) in broker.log().iter().filter(|(_, out)| out.topic == Topic::All) {
        let (sequence, emitted) = (number(&out.payload, 0), number(&out.payload, 8));
        let before = arrived.insert(sequence, emitted);
        assert!(before.is_none_or(|b| b == emitted), "seed {seed}: number {sequence} means two messages");
    }
    let emitted = receipts.len() as u64;
    assert!(arrived.values().is_sorted_by(|a, b| a < b), "seed {seed}: out of order: {arrived:?}");
    let sequences: Vec<u64> = arrived.keys().copied().collect();
    assert_eq!(sequences, (1..=arrived.len() as u64).collect::<Vec<_>>(), "seed {seed}: numbers have a gap");
    let mut published = 0;
    for (at, receipt) in receipts.into_iter().enumerate() {
        let there = arrived.values().any(|emitted| *emitted == at as u64);
        match soon("a receipt", receipt).await {
            Ok(_) => {
                published += 1;
                assert!(there, "seed {seed}: {at} was published and did not arrive");
            }
            // Only what was under way when the bus was closed may have arrived without an answer.
            Err(error) if error.reason == DropReason::Closed => {}
            Err(error) => assert!(!there, "seed {seed}: {at} arrived and was dropped: {error}"),
        }
    }
    let counts = counter.now();
    assert_eq!(counts.published, published, "seed {seed}");
    counts.account_for(emitted);
}
