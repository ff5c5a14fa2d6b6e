//! Every reason for which a socket may be disconnected, each by what causes it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sockeye::{DisconnectReason, OutboxLimits, Socket, State};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Lines, Log, Polling, TestServer, log};

async fn start(
    configure: impl FnOnce(sockeye::ServerBuilder) -> sockeye::ServerBuilder,
) -> (TestServer, Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        let server = configure(server).state(log).state(Arc::new(Semaphore::new(0)));
        let server = server.namespace("/", |ns| {
            ns.on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
                .on("kick", async |socket: Socket| socket.disconnect(false))
                .on("close", async |socket: Socket| socket.disconnect(true))
        });
        let server = server.namespace("/deciding", |ns| {
            ns.on_connect(async |State(log): State<Log>, State(gate): State<Arc<Semaphore>>| {
                log.note("deciding");
                gate.acquire().await.unwrap().forget();
            })
            .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        });
        server.on_any_namespace(|ns| {
            ns.on("decide", async |State(gate): State<Arc<Semaphore>>| gate.add_permits(1))
        })
    })
    .await;
    (node, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_has_the_name_that_the_documentation_gives_it() {
    let (node, mut lines) = start(|server| server).await;
    let mut seen = BTreeSet::new();
    let mut expect = async |reason: &'static str| {
        lines.expect(reason).await;
        seen.insert(reason);
        node.metric_is(&format!(r#"sockeye_disconnections_total{{reason="{reason}"}}"#), 1.0).await;
    };

    let mut client = Client::connect(node.addr).await;
    client.send("41").await;
    expect("client namespace disconnect").await;

    client.join("/", "").await;
    client.send(r#"42["kick"]"#).await;
    client.expect("41").await;
    expect("server namespace disconnect").await;

    client.join("/", "").await;
    client.vanish();
    expect("transport close").await;

    let mut client = Client::connect(node.addr).await;
    // A frame with a reserved bit: the transport itself is broken.
    client.send_bytes(&[0xff, 0x80, 0, 0, 0, 0]).await;
    client.until_closed().await;
    expect("transport error").await;

    let mut client = Client::connect(node.addr).await;
    client.send("9 is no Engine.IO packet").await;
    client.until_closed().await;
    expect("parse error").await;

    let mut client = Client::connect(node.addr).await;
    client.send("49 is no Socket.IO packet").await;
    client.until_closed().await;
    expect("forced close").await;

    let client = Client::connect(node.addr).await;
    let server = node.server.clone();
    node.stop().await;
    lines.expect("server shutting down").await;
    assert!(server.metrics().contains(r#"sockeye_disconnections_total{reason="server shutting down"} 1"#));
    seen.insert("server shutting down");
    drop(client);
    assert_eq!(seen.len(), 7, "the other three have stories of their own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_is_timed_out_over_both_transports() {
    let (node, mut lines) = start(|server| {
        server.ping_interval(Duration::from_millis(50)).ping_timeout(Duration::from_millis(50))
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.shows_pings = true;
    client.until_closed().await;
    lines.expect("ping timeout").await;
    // Its next GET never comes.
    let polling = Polling::connect(node.addr).await;
    lines.expect("ping timeout").await;
    drop(polling);
    assert_eq!(node.metric(r#"sockeye_disconnections_total{reason="ping timeout"}"#), 2.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_connection_ends_all_its_namespaces() {
    let (node, mut lines) = start(|server| server).await;
    let mut client = Client::connect(node.addr).await;
    client.send("40/deciding,").await;
    lines.expect("deciding").await;
    client.send(r#"42["close"]"#).await;
    // As in JavaScript, namespaces that it is in are left one by one. One that it is not in yet only hears that the whole
    // connection is closed.
    lines.expect("server namespace disconnect").await;
    client.expect("41").await;
    client.until_closed().await;
    let mut other = Client::connect(node.addr).await;
    other.send(r#"42["decide"]"#).await;
    lines.expect("forced server close").await;
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="gone"}"#), 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_slow() {
    let (node, mut lines) = start(|server| {
        server.outbox_limits(OutboxLimits {
            soft_bytes: 100_000,
            hard_bytes: 100_000,
            ..OutboxLimits::default()
        })
    })
    .await;
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let mut client = Client::open_lazy(stream).await;
    client.send("40").await;
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 1.0).await;
    let text = "x".repeat(50_000);
    while node.metric(r#"sockeye_sockets{nsp="/"}"#) == 1.0 {
        node.server.io().emit("much", &text);
        tokio::task::yield_now().await;
    }
    lines.expect("slow").await;
    assert_eq!(node.metric(r#"sockeye_disconnections_total{reason="slow"}"#), 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_cannot_have_the_handlers_of_these_called_by_name() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on_connect(async |State(log): State<Log>| log.note("connect"))
                .on_connected(async |State(log): State<Log>| log.note("connected"))
                .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
                .fallback(async |State(log): State<Log>| log.note("fallback"))
        })
    })
    .await;
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        let mut client = Client::connect(node.addr).await;
        lines.expect("connect").await;
        lines.expect("connected").await;
        client.send_raw(Message::text(format!(r#"42["{name}"]"#))).await;
        client.until_closed().await;
        // Once, because of the connection's end.
        lines.expect("forced close").await;
    }
    lines.is_empty();
    assert_eq!(node.metric(r#"sockeye_disconnections_total{reason="forced close"}"#), 6.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_do_not_send_each_other_reserved_names() {
    let node = TestServer::start(|server| server).await;
    let io = node.server.io();
    for name in ["connect", "connection", "new_namespace"] {
        let error = io.server_emit(name, ()).result().unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("reserved"), "{error}");
        let error = io.server_call(name, (), Duration::from_secs(1)).await.unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("reserved"), "{error}");
    }
    assert!(io.server_emit("anything", ()).result().is_ok());
    node.stop().await;
    let built = sockeye::Server::builder()
        .namespace("/", |ns| ns.on_server_event("connection", async |_, args: sockeye::Args| args))
        .build()
        .await;
    let problems = built.unwrap_err().problems;
    assert_eq!(
        problems,
        [r#"namespace /: on_server_event("connection"): the name is reserved, no node can send it"#]
    );
}
