//! The bus goes away and comes back.

use std::time::Duration;

use sockeye_proto::bus::Target;
use tokio::time::{Instant, sleep};

use super::{Node, assembled, cluster, eventually, id};

fn cut(nodes: &[&Node]) {
    nodes.iter().for_each(|node| node.faults.cut());
}

#[tokio::test(start_paused = true)]
async fn peers_are_kept_while_the_bus_is_away() {
    let [a, b] = cluster("outage-peers").await;
    cut(&[&a, &b]);
    eventually("it is noticed", || !a.cluster.bus_connected() && !b.cluster.bus_connected()).await;
    sleep(Duration::from_secs(30)).await;
    assert_eq!(a.peers(), [id(2)]);
    assert_eq!(a.metric("sockeye_bus_connected", &[]), 0);
    a.faults.mend();
    b.faults.mend();
    eventually("it is over", || a.cluster.bus_connected() && b.cluster.bus_connected()).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!((a.peers(), b.peers()), (vec![id(2)], vec![id(1)]));
}

#[tokio::test(start_paused = true)]
async fn what_was_emitted_meanwhile_waits_for_the_slower_node_and_arrives_in_order() {
    let [a, b] = cluster("outage-hold").await;
    let sid = b.local.socket(1, &[]);
    a.emit("n", 0, &Target::everyone());
    eventually("the first one arrived", || b.local.got(&sid).len() == 1).await;
    cut(&[&a, &b]);
    eventually("it is noticed", || !a.cluster.bus_connected()).await;
    for number in 1..=100 {
        a.emit("n", number, &Target::everyone());
    }
    assert_eq!(a.metric("sockeye_bus_publish_total", &["emit", "buffered"]), 100);
    sleep(Duration::from_secs(10)).await;
    a.faults.mend();
    eventually("a is back", || a.cluster.bus_connected()).await;
    // Longer than the peer timeout: b counts as lost, and is waited for all the same.
    sleep(Duration::from_millis(2_500)).await;
    assert!(a.peers().is_empty());
    b.faults.mend();
    eventually("all arrived", || b.local.got(&sid).len() == 101).await;
    let expected: Vec<String> = (0..=100).map(|number| format!("n [{number}]")).collect();
    assert_eq!(b.local.got(&sid), expected);
    assert_eq!(b.gaps(), 0);
    assert_eq!(a.metric("sockeye_bus_dropped_total", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn the_hold_ends_as_soon_as_every_peer_is_heard() {
    let [a, b, c] = cluster("outage-release").await;
    let sid = c.local.socket(1, &[]);
    cut(&[&a]);
    eventually("it is noticed", || !a.cluster.bus_connected()).await;
    a.emit("n", 1, &Target::everyone());
    a.faults.mend();
    eventually("a is back", || a.cluster.bus_connected()).await;
    let back = Instant::now();
    eventually("it arrived", || c.local.got(&sid).len() == 1).await;
    assert!(back.elapsed() < Duration::from_millis(100), "b and c answered a's hello");
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_died_in_the_outage_is_not_waited_for_longer_than_the_hold() {
    let [a, b, c] = cluster("outage-died").await;
    let sid = c.local.socket(1, &[]);
    cut(&[&a, &b, &c]);
    eventually("it is noticed", || !a.cluster.bus_connected()).await;
    a.emit("n", 1, &Target::everyone());
    b.kill();
    a.faults.mend();
    c.faults.mend();
    eventually("a is back", || a.cluster.bus_connected()).await;
    let back = Instant::now();
    eventually("it arrived", || c.local.got(&sid).len() == 1).await;
    assert!(back.elapsed() < Duration::from_secs(6));
    assert_eq!(a.peers(), [id(3)]);
}

#[tokio::test(start_paused = true)]
async fn what_the_others_sent_while_this_link_was_away_is_counted() {
    let [a, b] = cluster("outage-missed").await;
    let sid = b.local.socket(1, &[]);
    a.emit("n", 0, &Target::everyone());
    eventually("the first one arrived", || b.local.got(&sid).len() == 1).await;
    cut(&[&b]);
    eventually("it is noticed", || !b.cluster.bus_connected()).await;
    for number in 1..=7 {
        a.emit("n", number, &Target::everyone());
    }
    sleep(Duration::from_secs(1)).await;
    b.faults.mend();
    eventually("b is back", || b.cluster.bus_connected()).await;
    eventually("the loss is noticed", || b.gaps() == 7).await;
    a.emit("n", 8, &Target::everyone());
    eventually("the next one arrived", || b.local.got(&sid).len() == 2).await;
    assert_eq!(b.gaps(), 7);
    assert_eq!(b.local.got(&sid), ["n [0]", "n [8]"]);
}

#[tokio::test(start_paused = true)]
async fn everything_emitted_is_delivered_or_counted() {
    let [a, b] = cluster("outage-sum").await;
    assembled(&[&a, &b]).await;
    let sid = b.local.socket(1, &[]);
    let mut emitted = 0;
    let mut emit = |node: &Node, count: u64| {
        for _ in 0..count {
            node.emit("n", emitted, &Target::everyone());
            emitted += 1;
        }
        emitted
    };
    emit(&a, 20);
    eventually("the first ones arrived", || b.local.got(&sid).len() == 20).await;
    b.faults.lose(5);
    emit(&a, 10);
    cut(&[&b]);
    sleep(Duration::from_secs(3)).await;
    emit(&a, 10);
    // These leave, and nobody hears them.
    sleep(Duration::from_millis(50)).await;
    cut(&[&a]);
    eventually("it is noticed", || !a.cluster.bus_connected()).await;
    emit(&a, 10);
    // Longer than the spool keeps messages: these are dropped and counted by the sender.
    sleep(Duration::from_secs(40)).await;
    let total = emit(&a, 10);
    a.faults.mend();
    b.faults.mend();
    let sum =
        || b.local.got(&sid).len() as u64 + b.gaps() + a.metric("sockeye_bus_dropped_total", &["expired"]);
    sleep(Duration::from_secs(20)).await;
    let parts = (b.local.got(&sid).len(), b.gaps(), a.metric("sockeye_bus_dropped_total", &["expired"]));
    assert_eq!(sum(), total, "delivered and counted, nothing twice: {parts:?}");
    assert_eq!(a.metric("sockeye_bus_dropped_total", &["expired"]), 10);
}
