//! The supervisor on virtual time, with a broker that does what the test says.

mod support;

use sockeye_bus::{Bus, BusConfig, DropReason, Event, Events, OnOutage, Outbound, Topic};
use std::{sync::Arc, time::Duration};
use support::{
    broker::Broker,
    counts::{Counter, Counts},
    soon,
};
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn node() -> Topic {
    Topic::node("me")
}

fn listening() -> BusConfig {
    BusConfig { subscribe: vec![Topic::All, node()], ..BusConfig::default() }
}

fn open(broker: &Broker, config: BusConfig) -> (Bus, Events, Arc<Counter>) {
    let counter = Counter::new();
    let (bus, events) = Bus::with_driver(Box::new(broker.clone()), config, counter.clone()).expect("opens");
    (bus, events, counter)
}

fn text(text: &str) -> Outbound {
    Outbound::new(Topic::All, text.as_bytes().to_vec())
}

fn numbered(at: u64) -> Outbound {
    Outbound::stamped(Topic::All, vec![0; 8 + at as usize % 3], 0)
}

fn numbers(broker: &Broker) -> Vec<u64> {
    let number = |out: &Outbound| u64::from_be_bytes(out.payload[..8].try_into().expect("eight bytes"));
    broker.log().iter().map(|(_, out)| number(out)).collect()
}

async fn event(events: &mut Events) -> Event {
    soon("an event", events.recv()).await.expect("the bus is open")
}

async fn up(events: &mut Events, first: bool, epoch: u64) {
    assert_eq!(event(events).await, Event::Up { first, epoch });
}

async fn down(events: &mut Events) -> String {
    match event(events).await {
        Event::Down { reason } => reason,
        other => panic!("not down: {other:?}"),
    }
}

async fn counts(counter: &Counter, what: &str, condition: impl Fn(&Counts) -> bool) -> Counts {
    support::until(what, || condition(&counter.now())).await;
    counter.now()
}

#[tokio::test(start_paused = true)]
async fn a_deaf_link_is_found_within_15_seconds_and_renewed() {
    let broker = Broker::new();
    let (bus, mut events, counter) = open(&broker, listening());
    up(&mut events, true, 1).await;
    sleep(60 * SECOND).await;
    assert!(bus.is_connected() && events.try_recv().is_err(), "a link that works is left alone");
    broker.mood(|m| m.deaf = true);
    let since = Instant::now();
    let reason = down(&mut events).await;
    assert!(since.elapsed() <= 15 * SECOND, "found after {:?}", since.elapsed());
    assert!(reason.contains("do not come back"), "{reason}");
    assert_eq!(counter.now().probe_failed, 1);
    broker.mood(|m| m.deaf = false);
    up(&mut events, false, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_stalled_link_is_found_also_when_nothing_is_subscribed() {
    for config in [listening(), BusConfig::default()] {
        let broker = Broker::new();
        let (bus, mut events, _) = open(&broker, config);
        up(&mut events, true, 1).await;
        broker.mood(|m| m.stall = true);
        let since = Instant::now();
        down(&mut events).await;
        assert!(since.elapsed() <= 15 * SECOND, "found after {:?}", since.elapsed());
        let error = bus.connected(SECOND).await.expect_err("stalled");
        assert!(!error.to_string().is_empty());
        broker.mood(|m| m.stall = false);
        up(&mut events, false, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_is_waited_for_and_its_link_is_not_taken_for_deaf() {
    let broker = Broker::new();
    let config = BusConfig { event_queue: 4, ..listening() };
    let (_slow, mut events, counter) = open(&broker, config);
    let (fast, _fast_events, _) = open(&broker, BusConfig::default());
    soon("a link", fast.connected(SECOND)).await.expect("up");
    for at in 0..1000 {
        fast.publish(text(&at.to_string())).await.expect("publishing never waits for a reader");
    }
    sleep(300 * SECOND).await;
    assert_eq!(counter.now().down, 0, "the link was kept all the time");
    up(&mut events, true, 1).await;
    for at in 0..1000 {
        match event(&mut events).await {
            Event::Message(message) => assert_eq!(message.payload, at.to_string().as_bytes()),
            other => panic!("unexpected {other:?}"),
        }
    }
    sleep(60 * SECOND).await;
    assert_eq!(counter.now().down, 0);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_spool_is_held_until_released_and_control_is_not() {
    let broker = Broker::new();
    let (bus, mut events, counter) = open(&broker, listening());
    up(&mut events, true, 1).await;
    bus.publish(text("before")).await.expect("taken");
    broker.mood(|m| m.refuse = true);
    broker.cut();
    assert!(matches!(event(&mut events).await, Event::Message(_)));
    down(&mut events).await;
    bus.publish_detached(text("1"));
    bus.publish_detached(text("2"));
    bus.publish_control(text("forgotten: there is no link"));
    broker.mood(|m| m.refuse = false);
    up(&mut events, false, 2).await;
    bus.publish_detached(text("3"));
    bus.publish_control(text("hello"));
    assert!(matches!(event(&mut events).await, Event::Message(m) if m.payload == b"hello"[..]));
    assert_eq!(broker.texts(), ["before", "hello"]);
    assert_eq!(bus.spooled().0, 3);
    bus.release();
    soon("a flush", bus.flush(SECOND)).await.expect("flushed");
    assert_eq!(broker.texts(), ["before", "hello", "1", "2", "3"]);
    counter.now().account_for(4);
}

#[tokio::test(start_paused = true)]
async fn the_hold_ends_by_itself_at_its_deadline() {
    let broker = Broker::new();
    let (bus, mut events, _) = open(&broker, listening());
    up(&mut events, true, 1).await;
    broker.cut();
    down(&mut events).await;
    bus.publish_detached(text("held"));
    up(&mut events, false, 2).await;
    let since = Instant::now();
    soon("a flush", bus.flush(60 * SECOND)).await.expect("flushed");
    assert_eq!(since.elapsed().as_secs(), 5, "the default deadline");
}

#[tokio::test(start_paused = true)]
async fn a_first_link_is_no_outage_but_a_writer_lets_others_come_back_first() {
    let broker = Broker::new();
    broker.mood(|m| m.refuse = true);
    let (node_bus, mut node_events, _) = open(&broker, listening());
    let (writer, mut writer_events, _) = open(&broker, BusConfig::default());
    node_bus.publish_detached(text("node"));
    writer.publish_detached(text("writer"));
    sleep(10 * SECOND).await;
    assert!(broker.log().is_empty());
    broker.mood(|m| m.refuse = false);
    up(&mut node_events, true, 1).await;
    soon("a flush", node_bus.flush(SECOND)).await.expect("at once");
    up(&mut writer_events, true, 1).await;
    assert_eq!(broker.texts(), ["node"]);
    soon("a flush", writer.flush(60 * SECOND)).await.expect("after a while");
    assert_eq!(broker.texts(), ["node", "writer"]);
    let calm = Broker::new();
    let (writer, _events, _) = open(&calm, BusConfig::default());
    let since = Instant::now();
    writer.publish(text("at once")).await.expect("taken");
    assert_eq!(since.elapsed(), Duration::ZERO, "the broker was there from the beginning");
}

#[tokio::test(start_paused = true)]
async fn waits_between_attempts_grow_up_to_their_bound_and_are_random() {
    let broker = Broker::new();
    broker.mood(|m| m.refuse = true);
    let (_bus, _events, counter) = open(&broker, listening());
    sleep(120 * SECOND).await;
    let connects = broker.connects();
    let waits: Vec<Duration> = connects.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(waits.iter().all(|wait| *wait <= 2 * SECOND + Duration::from_millis(2)), "{waits:?}");
    // 120 s of waits that are 1 s on average; far from both ends for a fair coin of any taste.
    assert!((70..240).contains(&connects.len()), "{} attempts", connects.len());
    assert!(waits[10..].windows(2).any(|w| w[0].abs_diff(w[1]) > Duration::from_millis(50)), "{waits:?}");
    assert_eq!(counter.now().reconnecting, connects.len() as u64);
}

#[tokio::test(start_paused = true)]
async fn messages_expire_also_while_there_is_no_link() {
    let broker = Broker::new();
    broker.mood(|m| m.refuse = true);
    let (bus, _events, counter) = open(&broker, listening());
    let receipt = bus.publish(text("old"));
    sleep(20 * SECOND).await;
    bus.publish_detached(text("young"));
    sleep(12 * SECOND).await;
    assert_eq!(counter.now().lost(DropReason::Expired), 1);
    assert_eq!(receipt.await.expect_err("expired").reason, DropReason::Expired);
    assert_eq!(bus.spooled().0, 1);
    broker.mood(|m| m.refuse = false);
    soon("a flush", bus.flush(10 * SECOND)).await.expect("flushed");
    assert_eq!(broker.texts(), ["young"]);
    counter.now().account_for(2);
}

#[tokio::test(start_paused = true)]
async fn a_full_spool_drops_the_oldest_and_dropped_messages_take_no_numbers() {
    let broker = Broker::new();
    broker.mood(|m| m.refuse = true);
    let config = BusConfig { spool_bytes: 100_000, batch_messages: 16, ..listening() };
    let (bus, mut events, counter) = open(&broker, config);
    for at in 0..5000 {
        bus.publish_detached(numbered(at));
    }
    let (kept, bytes) = bus.spooled();
    assert!(bytes <= 100_000 && kept > 100, "{kept} messages, {bytes} bytes");
    assert_eq!(counter.now().lost(DropReason::Overflow), 5000 - kept as u64);
    let too_large = bus.publish(Outbound::new(Topic::All, vec![0; 100_000])).await.expect_err("too large");
    assert_eq!(too_large.reason, DropReason::TooLarge);
    broker.mood(|m| m.refuse = false);
    up(&mut events, true, 1).await;
    soon("a flush", bus.flush(10 * SECOND)).await.expect("flushed");
    assert_eq!(numbers(&broker), (1..=kept as u64).collect::<Vec<_>>());
    assert_eq!(bus.sequences(), [(Topic::All, kept as u64)]);
    counter.now().account_for(5001);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_cut_is_retried_first_with_its_numbers() {
    let broker = Broker::new();
    let config = BusConfig { batch_messages: 10, ..listening() };
    let (bus, mut events, counter) = open(&broker, config);
    up(&mut events, true, 1).await;
    broker.mood(|m| m.stall = true);
    for at in 0..30 {
        bus.publish_detached(numbered(at));
    }
    // The first batch is under way; it breaks, and again in the middle.
    sleep(Duration::from_millis(10)).await;
    broker.mood(|m| m.stall = false);
    broker.take_half();
    down(&mut events).await;
    assert_eq!(numbers(&broker), (1..=5).collect::<Vec<_>>(), "half of it got through");
    assert_eq!(bus.sequences(), [(Topic::All, 5)], "only what the broker has taken is told to others");
    up(&mut events, false, 2).await;
    // Far beyond the age: what is under way is exempt, what waits is not.
    bus.release();
    soon("a flush", bus.flush(60 * SECOND)).await.expect("flushed");
    assert_eq!(numbers(&broker), (1..=30).collect::<Vec<_>>());
    let counts = counter.now();
    assert_eq!(counts.published, 30);
    counts.account_for(30);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_does_not_expire_and_what_waits_does() {
    let broker = Broker::new();
    let config = BusConfig { batch_messages: 3, ..listening() };
    let (bus, mut events, counter) = open(&broker, config);
    up(&mut events, true, 1).await;
    broker.mood(|m| m.stall = true);
    for at in 0..5 {
        bus.publish_detached(numbered(at));
    }
    sleep(40 * SECOND).await;
    let counts = counter.now();
    assert_eq!((counts.published, counts.lost(DropReason::Expired)), (0, 2));
    broker.mood(|m| m.stall = false);
    soon("a flush", bus.flush(60 * SECOND)).await.expect("flushed");
    assert_eq!(numbers(&broker), [1, 2, 3]);
    counter.now().account_for(5);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_breaks_every_link_is_given_up_and_its_neighbours_are_not() {
    let broker = Broker::new();
    let (bus, mut events, counter) = open(&broker, listening());
    up(&mut events, true, 1).await;
    broker.poison(b"poison");
    let releasing = tokio::spawn({
        let bus = bus.clone();
        async move {
            while events.recv().await.is_some() {
                bus.release()
            }
        }
    });
    bus.publish_detached(text("a"));
    let receipt = bus.publish(text("poison"));
    bus.publish_detached(text("b"));
    assert_eq!(soon("a verdict", receipt).await.expect_err("given up").reason, DropReason::Refused);
    soon("a flush", bus.flush(600 * SECOND)).await.expect("flushed");
    assert_eq!(broker.texts(), ["a", "b"]);
    counter.now().account_for(3);
    bus.close().await;
    releasing.await.expect("the events end");
}

#[tokio::test(start_paused = true)]
async fn a_refused_message_fails_alone() {
    let broker = Broker::new();
    let (bus, _events, counter) = open(&broker, listening());
    broker.refuse(b"no");
    let (a, no, b) = (bus.publish(text("a")), bus.publish(text("no")), bus.publish(text("b")));
    assert_eq!(a.await.expect("taken").receivers, Some(1));
    assert_eq!(no.await.expect_err("refused").reason, DropReason::Refused);
    b.await.expect("taken");
    let counts = counter.now();
    assert_eq!((counts.published, counts.down), (2, 0));
    counts.account_for(3);
}

#[tokio::test(start_paused = true)]
async fn closing_flushes_past_a_hold_and_counts_what_is_left() {
    let broker = Broker::new();
    let (bus, mut events, counter) = open(&broker, listening());
    up(&mut events, true, 1).await;
    broker.cut();
    down(&mut events).await;
    bus.publish_detached(text("held"));
    up(&mut events, false, 2).await;
    bus.publish_control(text("leaving"));
    bus.close().await;
    assert_eq!(broker.texts(), ["leaving", "held"]);
    counter.now().account_for(1);

    let (bus, mut events, counter) = open(&broker, listening());
    up(&mut events, true, 1).await;
    broker.mood(|m| m.stall = true);
    let receipts: Vec<_> = (0..600).map(|at| bus.publish(text(&at.to_string()))).collect();
    let since = Instant::now();
    bus.close().await;
    assert_eq!(since.elapsed().as_secs(), 5, "the default time for it");
    for receipt in receipts {
        assert_eq!(receipt.await.expect_err("closed").reason, DropReason::Closed);
    }
    assert_eq!(bus.publish(text("late")).await.expect_err("closed").reason, DropReason::Closed);
    counter.now().account_for(601);
    assert_eq!(counter.now().lost(DropReason::Closed), 601);
    while events.recv().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_closes_in_the_background() {
    let broker = Broker::new();
    let (bus, mut events, counter) = open(&broker, BusConfig::default());
    let second = bus.clone();
    let receipt = second.publish(text("last words"));
    drop((bus, second));
    receipt.await.expect("flushed");
    while event_or_end(&mut events).await {}
    assert_eq!(broker.texts(), ["last words"]);
    counter.now().account_for(1);
}

async fn event_or_end(events: &mut Events) -> bool {
    soon("an event or the end", events.recv()).await.is_some()
}

#[tokio::test(start_paused = true)]
async fn without_a_link_fail_refuses_and_drop_forgets() {
    for policy in [OnOutage::Fail, OnOutage::Drop] {
        let broker = Broker::new();
        let config = BusConfig { on_outage: policy, ..listening() };
        let (bus, mut events, counter) = open(&broker, config);
        up(&mut events, true, 1).await;
        broker.mood(|m| m.stall = true);
        bus.publish_detached(text("accepted"));
        sleep(Duration::from_millis(10)).await;
        broker.mood(|m| {
            m.stall = false;
            m.refuse = true;
        });
        broker.cut();
        down(&mut events).await;
        let error = bus.publish(text("offline")).await.expect_err("offline");
        assert_eq!(error.reason, DropReason::Offline);
        broker.mood(|m| m.refuse = false);
        up(&mut events, false, 2).await;
        bus.release();
        bus.publish(text("online")).await.expect("taken");
        let kept = broker.texts().contains(&"accepted".to_owned());
        assert_eq!(kept, policy == OnOutage::Fail, "{policy:?}: {:?}", broker.texts());
        counter.now().account_for(3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_nobody_reads_goes_on() {
    let broker = Broker::new();
    let (bus, events, counter) = open(&broker, BusConfig { event_queue: 1, ..listening() });
    drop(events);
    for round in 0..50 {
        soon("a link", bus.connected(60 * SECOND)).await.expect("up");
        bus.publish_detached(text("x"));
        bus.release();
        broker.cut();
        counts(&counter, "the cut is noticed", |c| c.down > round).await;
    }
    soon("a link", bus.connected(60 * SECOND)).await.expect("up");
    bus.release();
    soon("a flush", bus.flush(60 * SECOND)).await.expect("flushed");
    counter.now().account_for(50);
}

#[tokio::test(start_paused = true)]
async fn a_silent_reader_does_not_stop_a_writer_from_coming_back() {
    let broker = Broker::new();
    let (bus, mut events, counter) = open(&broker, BusConfig { event_queue: 1, ..BusConfig::default() });
    for round in 0..20 {
        soon("a link", bus.connected(60 * SECOND)).await.expect("up");
        broker.cut();
        counts(&counter, "the cut is noticed", |c| c.down > round).await;
    }
    bus.publish(text("x")).await.expect("taken");
    assert_eq!(event(&mut events).await, Event::Up { first: true, epoch: 1 });
    let mut last = None;
    while let Ok(Some(event)) = timeout(SECOND, events.recv()).await {
        last = Some(event);
    }
    assert_eq!(last, Some(Event::Up { first: false, epoch: 21 }), "the last state is known in the end");
}
