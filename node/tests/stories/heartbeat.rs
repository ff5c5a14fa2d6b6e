//! Heartbeats: who does not answer is gone, who answers stays, and who cannot be heard is not blamed.

use std::{sync::Arc, time::Duration};

use sockeye::{DisconnectReason, ServerBuilder, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Frame, Log, PATIENCE, Polling, TestServer, log};

fn handlers(server: ServerBuilder, log: Log) -> ServerBuilder {
    server.state(log).namespace("/", |ns| {
        ns.on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
            .on("sync", async || ())
    })
}

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_answer_is_gone() {
    let (log, mut lines) = log();
    let node =
        TestServer::start(|server| handlers(server, log).ping_interval(millis(50)).ping_timeout(millis(50)))
            .await;
    let mut websocket = Client::open(node.addr).await;
    websocket.shows_pings = true;
    websocket.send("40").await;
    let frames = websocket.until_closed().await;
    assert_eq!(frames.last(), Some(&Frame::Text("2".into())), "it was asked");
    lines.expect("ping timeout").await;
    assert_eq!(node.metric(r#"sockeye_disconnections_total{reason="ping timeout"}"#), 1.0);
    // A session that polls: it is asked in a GET.
    let mut polling = Polling::open(node.addr).await;
    if polling.post("40").await.status == 200 {
        lines.expect("ping timeout").await;
    }
    polling.is_gone().await;
    assert_eq!(node.metric(r#"sockeye_connections{transport="polling"}"#), 0.0);
    assert_eq!(node.metric(r#"sockeye_connections{transport="websocket"}"#), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_keeps_the_client() {
    let (log, mut lines) = log();
    let node =
        TestServer::start(|server| handlers(server, log).ping_interval(millis(20)).ping_timeout(PATIENCE))
            .await;
    let mut websocket = Client::connect(node.addr).await;
    websocket.shows_pings = true;
    for _ in 0..10 {
        websocket.expect("2").await;
        websocket.send("3").await;
    }
    websocket.shows_pings = false;
    websocket.sync().await;
    let mut polling = Polling::connect(node.addr).await;
    for _ in 0..10 {
        let answer = polling.get().await;
        assert_eq!((answer.status, answer.text()), (200, "2"));
        polling.send("3").await;
    }
    // Only one question at a time: as long as it is open, none follows.
    let answer = polling.get().await;
    assert_eq!(answer.text(), "2");
    polling.begin_get().await;
    websocket.shows_pings = true;
    for _ in 0..5 {
        websocket.expect("2").await;
        websocket.send("3").await;
    }
    polling.send(r#"421["sync"]"#).await;
    assert_eq!(polling.gets.answer().await.text(), "431[]");
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_asked_for_are_no_harm() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| handlers(server, log)).await;
    let mut websocket = Client::connect(node.addr).await;
    let mut polling = Polling::connect(node.addr).await;
    for _ in 0..1_000 {
        websocket.send("3").await;
    }
    websocket.send("3probe").await;
    websocket.sync().await;
    polling.send(&["3"; 1_000].join("\u{1e}")).await;
    polling.send(r#"421["sync"]"#).await;
    polling.expect("431[]").await;
    lines.is_empty();
    // The question is the server's to ask in this version of the protocol.
    websocket.send("2").await;
    websocket.closed().await;
    lines.expect("transport error").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_the_server_does_not_read_is_not_blamed() {
    // While the handlers are busy, the server does not read: the client's pongs lie in the server's own kernel.
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let node = TestServer::start(|server| {
        handlers(server, log)
            .ping_interval(millis(100))
            .ping_timeout(millis(2_000))
            .mailbox(1)
            .concurrency(1)
            .state(gate.clone())
            .namespace("/busy", |ns| {
                ns.on("work", async |State(gate): State<Arc<Semaphore>>| {
                    gate.acquire().await.unwrap().forget()
                })
            })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.join("/busy", "").await;
    client.shows_pings = true;
    for id in 0..5 {
        client.send(&format!(r#"42/busy,{id}["work"]"#)).await;
    }
    // More than a ping's timeout goes by.
    for _ in 0..25 {
        client.expect("2").await;
        client.send("3").await;
    }
    gate.add_permits(5);
    client.shows_pings = false;
    for id in 0..5 {
        client.expect(&format!("43/busy,{id}[]")).await;
    }
    client.sync().await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_own_pings_are_answered() {
    use tokio_tungstenite::tungstenite::Message;
    let (log, _lines) = log();
    let node = TestServer::start(|server| handlers(server, log)).await;
    let mut client = Client::connect(node.addr).await;
    for data in [&b""[..], b"hello", &[0xff; 125]] {
        client.send_raw(Message::Ping(data.to_vec().into())).await;
        assert_eq!(client.pong().await, data);
    }
    client.send_raw(Message::Pong(b"unasked".to_vec().into())).await;
    client.sync().await;
    node.stop().await;
}
