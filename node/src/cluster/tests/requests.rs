//! Requests to the other nodes, complete and partial.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use sockeye_proto::bus::Target;
use tokio::time::Instant;

use super::super::Partial;
use super::{Node, args, cluster, eventually, id, root};

#[tokio::test(start_paused = true)]
async fn members_and_counts_are_those_of_the_other_nodes() {
    let [a, b, c] = cluster("requests-members").await;
    a.local.socket(0, &["r"]);
    let in_b = b.local.socket(1, &["r"]);
    let in_c = c.local.socket(2, &["r", "s"]);
    c.local.socket(3, &[]);
    let Partial { mut value, missing } = a.cluster.members(&root(), &Target::room("r").to("s")).await;
    value.sort_unstable();
    let mut expected = vec![in_b.to_string(), in_c.to_string()];
    expected.sort_unstable();
    assert_eq!((value, missing), (expected, vec![]));
    let count = |target: Target| a.cluster.count(&root(), &target);
    assert_eq!(count(Target::everyone()).await, Partial { value: 3, missing: vec![] });
    assert_eq!(count(Target::room("r").except("s")).await, Partial { value: 1, missing: vec![] });
    assert_eq!(count(Target::room("none")).await, Partial { value: 0, missing: vec![] });
    assert_eq!(a.metric("sockeye_cluster_request_total", &["count", "complete"]), 3);
}

#[tokio::test(start_paused = true)]
async fn many_members_come_in_parts() {
    let [a, b] = cluster("requests-parts").await;
    let ids: BTreeSet<String> =
        (0..20_000).map(|number| b.local.socket(number, &["r"]).to_string()).collect();
    let Partial { value, missing } = a.cluster.members(&root(), &Target::room("r")).await;
    assert_eq!(missing, []);
    assert_eq!(value.len(), ids.len(), "none twice");
    assert_eq!(value.into_iter().collect::<BTreeSet<_>>(), ids);
    assert_eq!(a.metric("sockeye_bus_received_total", &["response"]), 3);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_lost_a_part_is_missing() {
    let [a, b] = cluster("requests-hole").await;
    for number in 0..20_000 {
        b.local.socket(number, &["r"]);
    }
    a.faults.lose_direct(1);
    let Partial { missing, .. } = a.cluster.members(&root(), &Target::room("r")).await;
    assert_eq!(missing, [id(2)]);
}

#[tokio::test(start_paused = true)]
async fn server_events_are_answered_by_the_nodes_that_have_a_handler() {
    let [a, b, c] = cluster("requests-server").await;
    b.local.on_server_event(|event, args, from| {
        let answer = format!("{event} {} from {from}", args.json());
        async move { Some(super::args(answer)) }.boxed()
    });
    let call = a.cluster.server_call(&root(), "ev", args(("x", 1)), Duration::from_secs(5));
    let Partial { value, missing } = call.await;
    let answers: Vec<_> =
        value.into_iter().map(|(node, args)| (node, args.first::<String>().unwrap())).collect();
    assert_eq!(answers, [(id(2), "ev [\"x\",1] from 010101010101".to_owned())]);
    assert_eq!(missing, []);
    assert_eq!(c.local.server_events(), ["ev [\"x\",1]"]);
    drop(a.cluster.server_emit(&root(), "shout", args(())));
    eventually("both heard it", || {
        [&b, &c].iter().all(|node| node.local.server_events().last().is_some_and(|event| event == "shout []"))
    })
    .await;
    assert!(a.local.server_events().is_empty(), "not the node itself");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_answers_nothing() {
    let [a, b] = cluster("requests-panic").await;
    b.local.on_server_event(|_, _, _| async { panic!("in a handler") }.boxed());
    let started = Instant::now();
    let call = a.cluster.server_call(&root(), "ev", args(()), Duration::from_secs(5));
    assert_eq!(call.await.missing, []);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_answer_in_time_is_missing() {
    let [a, b, c] = cluster("requests-late").await;
    b.local.on_server_event(|_, _, _| std::future::pending().boxed());
    c.local.on_server_event(|_, _, _| async { Some(args("here")) }.boxed());
    let started = Instant::now();
    let Partial { value, missing } =
        a.cluster.server_call(&root(), "ev", args(()), Duration::from_secs(5)).await;
    assert!(started.elapsed() >= Duration::from_secs(5) && started.elapsed() < Duration::from_millis(5_100));
    assert_eq!(value.len(), 1);
    assert_eq!(missing, [id(2)]);
    assert_eq!(a.metric("sockeye_cluster_request_total", &["server_event", "partial"]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_is_named_within_three_seconds() {
    let [a, b, c] = cluster("requests-killed").await;
    c.local.socket(1, &[]);
    c.local.on_server_event(|_, _, _| async { Some(args("here")) }.boxed());
    b.kill();
    let started = Instant::now();
    let target = Target::everyone();
    let (members, count, call) = tokio::join!(
        a.cluster.members(&root(), &target),
        a.cluster.count(&root(), &target),
        a.cluster.server_call(&root(), "ev", args(()), Duration::from_secs(60)),
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!((members.value.len(), members.missing), (1, vec![id(2)]));
    assert_eq!((count.value, count.missing), (1, vec![id(2)]));
    assert_eq!((call.value.len(), call.missing), (1, vec![id(2)]));
    assert_eq!(a.peers(), [id(3)]);
    let started = Instant::now();
    assert_eq!(a.cluster.count(&root(), &target).await, Partial { value: 1, missing: vec![] });
    assert!(started.elapsed() < Duration::from_millis(100), "nobody waits for it any more");
}

#[tokio::test(start_paused = true)]
async fn without_peers_and_without_the_bus_requests_end_at_once() {
    let [alone] = cluster("requests-alone").await;
    let started = Instant::now();
    assert_eq!(
        alone.cluster.count(&root(), &Target::everyone()).await,
        Partial { value: 0, missing: vec![] }
    );
    let [a, b] = cluster("requests-away").await;
    b.local.on_server_event(|_, _, _| std::future::pending().boxed());
    let waiting = a.cluster.server_call(&root(), "ev", args(()), Duration::from_secs(60));
    eventually("b is asked", || !b.local.server_events().is_empty()).await;
    a.faults.cut();
    assert_eq!(waiting.await.missing, [id(2)], "its answer is lost with the link");
    assert_eq!(a.cluster.members(&root(), &Target::everyone()).await.missing, [id(2)]);
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_nothing_behind() {
    let [a, _b]: [Node; 2] = cluster("requests-dropped").await;
    drop(a.cluster.count(&root(), &Target::everyone()));
    assert_eq!(a.metric("sockeye_cluster_request_total", &["count", "abandoned"]), 1);
}
