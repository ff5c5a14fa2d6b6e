//! How handlers run: one after another or side by side, and on threads where they may block.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::json;
use sockeye::{Data, EventName, Socket, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Lines, Log, TestServer, log, patient};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_namespace_has_its_own_concurrency() {
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let work = async |socket: Socket,
                      EventName(event): EventName,
                      State(log): State<Log>,
                      State(gate): State<Arc<Semaphore>>| {
        log.note(format!("{} {event}", socket.namespace()));
        gate.acquire().await.unwrap().forget();
    };
    let node = TestServer::start(|server| {
        server
            .state(log)
            .state(gate.clone())
            .concurrency(2)
            .namespace("/one", |ns| ns.concurrency(1).fallback(work))
            .namespace("/two", |ns| ns.fallback(work))
            .namespace("/three", |ns| ns.fallback(work).concurrency(3))
    })
    .await;
    let mut client = Client::open(node.addr).await;
    for (namespace, at_once) in [("/one", 1), ("/two", 2), ("/three", 3)] {
        client.join(namespace, "").await;
        let before = node.metric(r#"sockeye_packets_received_total{type="event"}"#);
        for n in 0..4 {
            client.send(&format!(r#"42{namespace},["{n}"]"#)).await;
        }
        node.metric_is(r#"sockeye_packets_received_total{type="event"}"#, before + 4.0).await;
        let mut started = 0;
        while started < at_once {
            lines.expect(&format!("{namespace} {started}")).await;
            started += 1;
        }
        // All four have come, and no more have begun.
        lines.is_empty();
        while started < 4 {
            gate.add_permits(1);
            lines.expect(&format!("{namespace} {started}")).await;
            started += 1;
        }
        gate.add_permits(at_once);
    }
    node.stop().await;
}

/// What a blocking handler waits for.
#[derive(Clone)]
struct Waiting(Arc<Mutex<mpsc::Receiver<u32>>>);

async fn blocking(concurrency: usize) -> (TestServer, Lines, mpsc::Sender<u32>) {
    let (log, lines) = log();
    let (go, wait) = mpsc::channel();
    let node = TestServer::start(|server| {
        server.state(log).state(Waiting(Arc::new(Mutex::new(wait)))).namespace("/", |ns| {
            ns.concurrency(concurrency)
                .on_blocking(
                    "block",
                    |State(wait): State<Waiting>, State(log): State<Log>, Data(n): Data<u32>| {
                        log.note(format!("block {n}"));
                        n + wait.0.lock().recv_timeout(Duration::from_secs(20)).unwrap()
                    },
                )
                .on_blocking("fail", |socket: Socket| -> Result<(), String> {
                    Err(format!("{} of a blocking handler", socket.namespace()))
                })
                .on_blocking("panic", || -> u8 { panic!("a blocking handler was told to") })
                .on("sync", async || ())
                .on_disconnect(async |State(log): State<Log>| log.note("disconnect"))
        })
    })
    .await;
    (node, lines, go)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_handlers_hold_up_nobody() {
    let (node, mut lines, go) = blocking(16).await;
    let mut client = Client::connect(node.addr).await;
    // More of them than there are threads for all else.
    for n in 0..4 {
        client.send(&format!(r#"42{n}["block",{n}]"#)).await;
    }
    for _ in 0..4 {
        assert!(lines.next().await.starts_with("block "));
    }
    client.sync().await;
    Client::connect(node.addr).await.sync().await;
    lines.expect("disconnect").await;
    for _ in 0..4 {
        go.send(100).unwrap();
    }
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(client.text().await);
    }
    answers.sort();
    assert_eq!(answers, ["430[100]", "431[101]", "432[102]", "433[103]"]);

    client.send(r#"427["panic"]"#).await;
    client.send(r#"428["fail"]"#).await;
    client.send(r#"429["block","not a number"]"#).await;
    node.metric_is("sockeye_handler_panics_total", 1.0).await;
    node.metric_is(r#"sockeye_handler_errors_total{kind="handler"}"#, 1.0).await;
    node.metric_is(r#"sockeye_handler_errors_total{kind="extract"}"#, 1.0).await;
    client.sync().await;
    assert_eq!(node.metric("sockeye_unhandled_events_total"), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_handlers_count_among_those_that_run() {
    let (node, mut lines, go) = blocking(1).await;
    let mut client = Client::connect(node.addr).await;
    for event in [r#"1["block",1]"#, r#"2["block",2]"#, r#"3["sync"]"#] {
        client.send(&format!("42{event}")).await;
    }
    lines.expect("block 1").await;
    node.metric_is(r#"sockeye_packets_received_total{type="event"}"#, 3.0).await;
    lines.is_empty();
    go.send(10).unwrap();
    client.expect("431[11]").await;
    lines.expect("block 2").await;
    go.send(10).unwrap();
    client.expect("432[12]").await;
    client.expect("433[]").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_the_server_waits_for_blocking_handlers() {
    let (mut node, mut lines, go) = blocking(16).await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"42["block",1]"#).await;
    lines.expect("block 1").await;
    node.begin_stop();
    client.closed().await;
    lines.expect("disconnect").await;
    let mut end = std::pin::pin!(node.stop());
    let early = tokio::time::timeout(Duration::from_millis(50), &mut end).await;
    assert!(early.is_err(), "a handler still runs");
    go.send(1).unwrap();
    patient("the end of the server", end).await;
    assert_eq!(json!(lines.try_next()), json!(null));
}
