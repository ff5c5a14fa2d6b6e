//! Lost and repeated messages are counted, to the last one.

use sockeye_bus::{Bus, BusConfig, Outbound, Topic};
use sockeye_proto::bus::{Message, Origin, Target, native};
use sockeye_proto::name::NamespacePath;

use std::sync::Arc;

use super::{args, cluster, eventually, id};

#[tokio::test(start_paused = true)]
async fn a_gap_is_counted_by_its_size() {
    let [a, b] = cluster("losses-gap").await;
    let sid = b.local.socket(1, &[]);
    a.emit("n", 0, &Target::everyone());
    eventually("the first one arrived", || b.local.got(&sid).len() == 1).await;
    b.faults.lose(3);
    for number in 1..=5 {
        a.emit("n", number, &Target::everyone());
    }
    eventually("the rest arrived", || b.local.got(&sid).len() == 3).await;
    assert_eq!(b.local.got(&sid), ["n [0]", "n [4]", "n [5]"]);
    assert_eq!(b.gaps(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_lost_end_is_noticed_through_the_heartbeats() {
    let [a, b] = cluster("losses-end").await;
    let sid = b.local.socket(1, &[]);
    a.emit("n", 0, &Target::everyone());
    eventually("the first one arrived", || b.local.got(&sid).len() == 1).await;
    b.faults.lose(2);
    a.emit("n", 1, &Target::everyone());
    a.emit("n", 2, &Target::everyone());
    eventually("the loss is noticed", || b.gaps() == 2).await;
    a.emit("n", 3, &Target::everyone());
    eventually("the next one arrived", || b.local.got(&sid).len() == 2).await;
    assert_eq!(b.gaps(), 2, "counted once");
}

#[tokio::test(start_paused = true)]
async fn a_lost_end_is_noticed_when_the_sender_leaves() {
    let [a, b] = cluster("losses-leave").await;
    let sid = b.local.socket(1, &[]);
    a.emit("n", 0, &Target::everyone());
    eventually("the first one arrived", || b.local.got(&sid).len() == 1).await;
    b.faults.lose(1);
    a.emit("n", 1, &Target::everyone());
    a.cluster.leave().await;
    eventually("the loss is noticed", || b.gaps() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_one_node_is_noticed_by_that_node() {
    let [a, b] = cluster("losses-direct").await;
    assert_eq!(a.cluster.count(&super::root(), &Target::everyone()).await.missing, []);
    a.faults.lose_direct(1);
    assert_eq!(a.cluster.count(&super::root(), &Target::everyone()).await.missing, [id(2)]);
    eventually("the loss is noticed", || a.gaps() == 1).await;
    assert_eq!(b.gaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_twice_is_handled_once() {
    let [a, b] = cluster("losses-twice").await;
    let sid = b.local.socket(1, &[]);
    b.faults.repeat(2);
    for number in 0..3 {
        a.emit("n", number, &Target::everyone());
    }
    eventually("all arrived", || b.local.got(&sid).len() >= 3).await;
    eventually("the copies arrived", || b.metric("sockeye_bus_duplicates_total", &[]) == 2).await;
    assert_eq!(b.local.got(&sid), ["n [0]", "n [1]", "n [2]"]);
    assert_eq!(b.gaps(), 0);
}

/// Publishes what somebody else made.
fn outsider(bus: &str) -> Bus {
    let (bus, _events) = Bus::open(BusConfig::new(format!("memory://{bus}")), Arc::new(())).unwrap();
    bus
}

fn emit(number: u32) -> Message {
    Message::Emit {
        namespace: NamespacePath::root(),
        event: "ev".into(),
        args: args(number),
        target: Target::everyone(),
        volatile: false,
        reply: None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_emitter_is_heard_and_its_numbers_are_checked_but_it_is_no_peer() {
    let [a] = cluster("losses-emitter").await;
    let sid = a.local.socket(1, &[]);
    let bus = outsider("losses-emitter");
    let origin = Origin::Emitter([9; 6]);
    let send = |number: u32| {
        let payload = native::encode(&origin, &emit(number));
        bus.publish_detached(Outbound::stamped(Topic::All, payload, native::SEQUENCE_AT));
    };
    send(1);
    eventually("it arrived", || a.local.got(&sid).len() == 1).await;
    a.faults.lose(1);
    send(2);
    send(3);
    eventually("the rest arrived", || a.local.got(&sid).len() == 2).await;
    assert_eq!(a.gaps(), 1);
    assert!(a.peers().is_empty());
    assert_eq!(a.metric("sockeye_bus_received_total", &["emit", "emitter"]), 2);
}

#[tokio::test(start_paused = true)]
async fn the_memory_for_emitters_is_bounded() {
    let [a] = cluster("losses-emitters").await;
    let sid = a.local.socket(1, &[]);
    let bus = outsider("losses-emitters");
    for number in 0..10_000_u32 {
        let [b0, b1, b2, b3] = number.to_be_bytes();
        let payload = native::encode(&Origin::Emitter([1, 0, b0, b1, b2, b3]), &emit(number));
        bus.publish_detached(Outbound::stamped(Topic::All, payload, native::SEQUENCE_AT));
    }
    eventually("all arrived", || a.local.got(&sid).len() == 10_000).await;
    assert_eq!(a.gaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_understood_is_counted_and_skipped() {
    let [a] = cluster("losses-garbage").await;
    let sid = a.local.socket(1, &[]);
    let bus = outsider("losses-garbage");
    let whole = native::encode(&Origin::Emitter([7; 6]), &emit(1));
    let mut newer = whole.clone();
    newer[0] = 250;
    for payload in
        [&b""[..], b"\x01", b"not a message", &whole[..whole.len() / 2], &newer, &vec![0xC1; 10 << 20]]
    {
        bus.publish_detached(Outbound::new(Topic::All, payload.to_vec()));
    }
    bus.publish_detached(Outbound::new(Topic::All, whole));
    eventually("the good one arrived", || a.local.got(&sid).len() == 1).await;
    assert_eq!(a.metric("sockeye_bus_decode_errors_total", &[]), 6);
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_again_after_a_broken_link_is_handled_once() {
    let [a, b] = cluster("losses-hiccup").await;
    let sid = b.local.socket(1, &[]);
    a.faults.hiccup();
    for number in 0..10 {
        a.emit("n", number, &Target::everyone());
    }
    eventually("all arrived", || b.local.got(&sid).len() == 10).await;
    eventually("they came twice", || b.metric("sockeye_bus_duplicates_total", &[]) > 0).await;
    let expected: Vec<String> = (0..10).map(|number| format!("n [{number}]")).collect();
    assert_eq!(b.local.got(&sid), expected);
    assert_eq!(b.gaps(), 0);
}
