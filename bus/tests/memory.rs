//! The embedded bus through the whole stack: what a process sees that never leaves itself.

use sockeye_bus::{Bus, BusConfig, Event, Events, Outbound, Topic};
use std::{sync::Arc, time::Duration};

const SOON: Duration = Duration::from_secs(10);

fn open(url: &str, subscribe: &[Topic]) -> (Bus, Events) {
    let config = BusConfig { subscribe: subscribe.to_vec(), ..BusConfig::new(url) };
    Bus::open(config, Arc::new(())).expect("a good URL")
}

async fn message(events: &mut Events) -> Vec<u8> {
    loop {
        match tokio::time::timeout(SOON, events.recv()).await.expect("in time").expect("open") {
            Event::Message(message) => return message.payload.to_vec(),
            Event::Up { .. } => {}
            Event::Down { reason } => panic!("down: {reason}"),
        }
    }
}

#[tokio::test]
async fn numbers_count_per_topic_in_the_order_of_publishing() {
    let node = Topic::node("b");
    let (bus, mut events) = open("memory://numbers", &[Topic::All, node.clone()]);
    bus.connected(SOON).await.expect("up");
    let stamped =
        |topic: &Topic, tag: u8| Outbound::stamped(topic.clone(), vec![tag, 0, 0, 0, 0, 0, 0, 0, 0], 1);
    for tag in 1..=3 {
        bus.publish_detached(stamped(&Topic::All, tag));
    }
    bus.publish_detached(stamped(&node, 4));
    bus.publish(Outbound::stamped(Topic::All, vec![5], 1))
        .await
        .expect("a stamp that does not fit is ignored");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(message(&mut events).await);
    }
    let last = |tag: u8, number: u8| vec![tag, 0, 0, 0, 0, 0, 0, 0, number];
    assert_eq!(seen, [last(1, 1), last(2, 2), last(3, 3), last(4, 1), vec![5]]);
    let mut sequences = bus.sequences();
    sequences.sort_by_key(|(topic, _)| topic.to_string());
    assert_eq!(sequences, [(Topic::All, 3), (node, 1)]);
}

#[tokio::test]
async fn channels_and_names_keep_apart_and_topics_can_change() {
    let (a, _a) = open("memory://apart", &[]);
    let (_b, mut b) = open("memory://apart?channel=other", &[Topic::All]);
    let (c, mut c_events) = open("memory://apart", &[Topic::Channel]);
    for bus in [&a, &c] {
        bus.connected(SOON).await.expect("up");
    }
    let hello = |topic| Outbound::new(topic, b"hello".to_vec());
    assert_eq!(a.publish(hello(Topic::All)).await.expect("taken").receivers, Some(0));
    c.watch(&[Topic::All], &[Topic::Channel]);
    let heard = async {
        while a.publish(hello(Topic::All)).await.expect("taken").receivers == Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, heard).await.expect("the change is made");
    assert_eq!(message(&mut c_events).await, b"hello");
    assert_eq!(a.publish(hello(Topic::Channel)).await.expect("taken").receivers, Some(0));
    assert!(matches!(b.recv().await, Some(Event::Up { first: true, epoch: 1 })));
    assert!(b.try_recv().is_err(), "another channel hears nothing");
}

#[tokio::test]
async fn a_closed_bus_says_so_and_its_reader_sees_the_end() {
    let (bus, mut events) = open("memory://closed", &[Topic::All]);
    bus.publish_detached(Outbound::new(Topic::All, b"last words".to_vec()));
    bus.close().await;
    let error = bus.publish(Outbound::new(Topic::All, b"too late".to_vec())).await.expect_err("closed");
    assert_eq!(
        error.to_string(),
        "a message of 8 bytes to topic 'all' was not published: the bus was closed before the broker took it"
    );
    assert!(bus.connected(SOON).await.is_err());
    while events.recv().await.is_some() {}
}

#[tokio::test]
async fn a_bus_knows_whether_it_is_alone() {
    let (node, _node_events) = open("memory://alone", &[Topic::All]);
    node.connected(SOON).await.expect("up");
    assert!(!node.has_listeners());
    let (writer, _writer_events) = open("memory://alone", &[]);
    writer.connected(SOON).await.expect("up");
    assert!(writer.has_listeners(), "a bus that only writes is not among the listeners");
    assert!(!node.has_listeners());
    let (other, _other_events) = open("memory://alone", &[Topic::Channel]);
    assert!(other.has_listeners(), "before its own link is up too");
    other.connected(SOON).await.expect("up");
    assert!(node.has_listeners() && other.has_listeners());
    other.close().await;
    let gone = async {
        while node.has_listeners() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, gone).await.expect("the other one has left");
}
