//! Who is in the cluster.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Node, assembled, cluster, eventually, id};

#[tokio::test(start_paused = true)]
async fn nodes_know_each_other_long_before_the_first_heartbeat_is_due() {
    let started = Instant::now();
    let [a, b, c] = cluster("membership-hello").await;
    assert!(started.elapsed() < Duration::from_millis(200));
    assert_eq!(a.peers(), [id(2), id(3)]);
    assert_eq!(b.peers(), [id(1), id(3)]);
    assert_eq!(c.metric("sockeye_cluster_nodes", &[]), 3);
    let peer = &a.cluster.peers()[0];
    assert_eq!((peer.name.as_str(), peer.version.as_str()), ("020202020202", env!("CARGO_PKG_VERSION")));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_gone_at_once() {
    let [a, b] = cluster("membership-leave").await;
    let started = Instant::now();
    b.cluster.leave().await;
    eventually("b is gone", || a.peers().is_empty()).await;
    assert!(started.elapsed() < Duration::from_millis(200));
    assert_eq!(a.gaps(), 0);
    assert_eq!(a.metric("sockeye_cluster_nodes", &[]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_lost_after_the_timeout_and_may_come_back() {
    let [a, b] = cluster("membership-kill").await;
    let started = Instant::now();
    b.kill();
    eventually("b is lost", || a.peers().is_empty()).await;
    assert!(started.elapsed() > Duration::from_millis(1_400) && started.elapsed() < Duration::from_secs(3));
    let b = Node::start("membership-kill", 2);
    assembled(&[&a, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_live_cluster_stays_as_it_is() {
    let [a, b, c] = cluster("membership-steady").await;
    for _ in 0..600 {
        sleep(Duration::from_millis(100)).await;
        assert!([&a, &b, &c].iter().all(|node| node.peers().len() == 2));
    }
    assert_eq!(a.gaps() + b.gaps() + c.gaps(), 0);
    assert_eq!(a.metric("sockeye_bus_decode_errors_total", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_restarted_under_its_id_is_heard_from_its_first_message_on() {
    let [a, b] = cluster("membership-restart").await;
    let sid = a.local.socket(1, &[]);
    for number in 0..10 {
        b.emit("before", number, &super::Target::everyone());
    }
    eventually("they arrived", || a.local.got(&sid).len() == 10).await;
    b.kill();
    let b = Node::start("membership-restart", 2);
    eventually("b is up", || b.peers() == [id(1)]).await;
    b.emit("after", (), &super::Target::everyone());
    eventually("it arrived", || a.local.got(&sid).len() == 11).await;
    assert_eq!((a.gaps(), a.metric("sockeye_bus_duplicates_total", &[])), (0, 0));
    assert_eq!(a.peers(), [id(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_held_up_loses_nobody() {
    let [a, b] = cluster("membership-pause").await;
    tokio::time::advance(Duration::from_secs(30)).await;
    for _ in 0..50 {
        assert_eq!((a.peers(), b.peers()), (vec![id(2)], vec![id(1)]));
        sleep(Duration::from_millis(100)).await;
    }
}
