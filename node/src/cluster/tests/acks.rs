//! Acks across nodes.

use std::time::Duration;

use sockeye_proto::bus::Target;
use sockeye_proto::id::NodeId;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;

use super::super::RemoteAck;
use super::{Node, args, cluster, eventually, id, root};

const TTL: Duration = Duration::from_secs(5);

fn ask(node: &Node, target: &Target, ttl: Duration) -> UnboundedReceiver<RemoteAck> {
    let (sink, acks) = unbounded_channel();
    node.cluster.emit_with_ack(&root(), "q", &args("x"), target, ttl, sink);
    acks
}

/// What a caller learns in all.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    expected: Vec<(NodeId, u64)>,
    answers: Vec<(String, String)>,
    gone: Vec<String>,
    missing: Vec<NodeId>,
    owed: u64,
}

/// Collects until `Complete`, which must come, once and last.
async fn outcome(mut acks: UnboundedReceiver<RemoteAck>) -> Outcome {
    let (mut outcome, mut asked) = (Outcome::default(), false);
    loop {
        match acks.recv().await.expect("ends with Complete") {
            RemoteAck::Expect { node, recipients } => {
                outcome.expected.extend(node.map(|node| (node, recipients)))
            }
            RemoteAck::Answer { node, sid, args } => {
                assert!(node.is_some());
                outcome.answers.push((sid, args.json().to_owned()));
            }
            RemoteAck::Asked => assert!(!std::mem::replace(&mut asked, true), "once"),
            RemoteAck::Gone { sid } => outcome.gone.push(sid),
            RemoteAck::Missing { node, owed } => {
                outcome.missing.push(node);
                outcome.owed += owed;
            }
            RemoteAck::Complete => break,
        }
    }
    assert!(acks.recv().await.is_none(), "nothing follows Complete");
    outcome.expected.sort_unstable();
    outcome.answers.sort_unstable();
    outcome
}

#[tokio::test(start_paused = true)]
async fn one_socket_on_another_node_answers() {
    let [a, b, _c] = cluster("acks-one").await;
    let sid = b.local.socket(1, &[]);
    b.local.answers(&sid, args(("yes", 1)));
    let outcome = outcome(ask(&a, &Target::room(sid.as_str()), TTL)).await;
    assert_eq!(outcome.expected, [(id(2), 1), (id(3), 0)]);
    assert_eq!(outcome.answers, [(sid.to_string(), "[\"yes\",1]".to_owned())]);
    assert_eq!(outcome.missing, []);
    assert_eq!(b.local.got(&sid), ["q [\"x\"]"]);
    assert_eq!(a.metric("sockeye_acks_pending", &[]), 0);
    assert_eq!(a.metric("sockeye_cluster_request_total", &["ack", "complete"]), 1);
}

#[tokio::test(start_paused = true)]
async fn many_sockets_on_several_nodes_answer() {
    let [a, b, c] = cluster("acks-many").await;
    let mut expected = Vec::new();
    for number in 0..200 {
        let node = if number % 2 == 0 { &b } else { &c };
        let sid = node.local.socket(number, &["r"]);
        node.local.answers(&sid, args(number));
        expected.push((sid.to_string(), format!("[{number}]")));
    }
    expected.sort_unstable();
    let outcome = outcome(ask(&a, &Target::room("r"), TTL)).await;
    assert_eq!(outcome.answers, expected);
    let messages = a.metric("sockeye_bus_received_total", &["ack"]);
    assert!(messages <= 8, "200 acks came in {messages} messages");
}

#[tokio::test(start_paused = true)]
async fn late_answers_come_in_batches_and_a_socket_that_goes_is_reported_at_once() {
    let [a, b] = cluster("acks-late").await;
    for number in 0..10 {
        b.local.socket(number, &["r"]);
    }
    let mut acks = ask(&a, &Target::room("r"), TTL);
    eventually("b asked them", || b.local.owed() == 10).await;
    b.local.answer_next(None);
    let started = Instant::now();
    assert!(matches!(acks.recv().await, Some(RemoteAck::Expect { recipients: 10, .. })));
    assert!(
        matches!(acks.recv().await, Some(RemoteAck::Asked)),
        "everyone is counted before the answers are in"
    );
    assert!(matches!(acks.recv().await, Some(RemoteAck::Gone { .. })));
    assert!(started.elapsed() < Duration::from_millis(50), "at once, not at the deadline");
    for number in 1..10 {
        b.local.answer_next(Some(args(number)));
    }
    let outcome = outcome(acks).await;
    assert_eq!(outcome.answers.len(), 9);
    assert!(started.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn without_peers_it_is_complete_at_once() {
    let [a] = cluster("acks-alone").await;
    let started = Instant::now();
    assert_eq!(outcome(ask(&a, &Target::everyone(), TTL)).await, Outcome::default());
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn silent_sockets_end_at_the_deadline_and_their_node_is_not_missing() {
    let [a, b] = cluster("acks-silent").await;
    b.local.socket(1, &[]);
    let answering = b.local.socket(2, &[]);
    b.local.answers(&answering, args(()));
    let started = Instant::now();
    let outcome = outcome(ask(&a, &Target::everyone(), TTL)).await;
    assert!(started.elapsed() >= TTL && started.elapsed() < TTL + Duration::from_millis(50));
    assert_eq!(outcome.expected, [(id(2), 2)]);
    assert_eq!(outcome.answers.len(), 1);
    assert_eq!(outcome.missing, []);
    assert_eq!(a.metric("sockeye_cluster_request_total", &["ack", "partial"]), 1);
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_ends_the_waiting_for_its_answers() {
    let [a, b, c] = cluster("acks-killed").await;
    b.local.socket(1, &[]);
    let fast = c.local.socket(2, &[]);
    c.local.answers(&fast, args("fast"));
    let acks = ask(&a, &Target::everyone(), Duration::from_secs(60));
    eventually("b asked its socket", || b.local.owed() == 1).await;
    let started = Instant::now();
    b.kill();
    let outcome = outcome(acks).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert_eq!((outcome.missing, outcome.owed), (vec![id(2)], 1));
    assert_eq!(outcome.expected, [(id(2), 1), (id(3), 1)]);
    assert_eq!(outcome.answers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_ends_the_waiting_at_once() {
    let [a, b] = cluster("acks-leaving").await;
    b.local.socket(1, &[]);
    let acks = ask(&a, &Target::everyone(), Duration::from_secs(60));
    eventually("b asked its socket", || b.local.owed() == 1).await;
    let started = Instant::now();
    b.cluster.leave().await;
    let outcome = outcome(acks).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(outcome.missing, [id(2)]);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_stops_listening_leaves_nothing_behind() {
    let [a, b] = cluster("acks-abandoned").await;
    b.local.socket(1, &[]);
    drop(ask(&a, &Target::everyone(), TTL));
    eventually("the entry is gone", || a.metric("sockeye_acks_pending", &[]) == 0).await;
    eventually("b asked its socket", || b.local.owed() == 1).await;
    b.local.answer_next(Some(args("nobody cares")));
    eventually("it arrived", || a.metric("sockeye_bus_received_total", &["ack"]) == 2).await;
    assert_eq!(a.metric("sockeye_cluster_request_total", &["ack", "abandoned"]), 1);
}

/// Real threads, so that counts and acks race as they do in a server.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_callers_at_once_all_get_their_answers() {
    let [a, b, c] = cluster("acks-threads").await;
    for number in 0..20 {
        let node = if number % 2 == 0 { &b } else { &c };
        let sid = node.local.socket(number, &["r"]);
        node.local.answers(&sid, args(number));
    }
    let asked: Vec<_> = (0..500).map(|_| ask(&a, &Target::room("r"), Duration::from_secs(60))).collect();
    let counts: Vec<_> = (0..100).map(|_| a.cluster.count(&root(), &Target::room("r"))).collect();
    for acks in asked {
        let outcome = outcome(acks).await;
        assert_eq!((outcome.answers.len(), outcome.missing), (20, vec![]));
    }
    for count in counts {
        assert_eq!(count.await.value, 20);
    }
    assert_eq!(a.metric("sockeye_acks_pending", &[]), 0);
    assert_eq!(a.gaps() + b.gaps() + c.gaps(), 0);
}
