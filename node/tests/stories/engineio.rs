//! Engine.IO endpoints: messages without Socket.IO.

use std::{sync::Arc, time::Duration};

use sockeye::{
    DisconnectReason, Server, TransportKind,
    engineio::{self, Message},
};
use tokio::{net::TcpStream, sync::Semaphore};

use crate::support::{Client, Http, Lines, Polling, TestServer, log};

const PATH: &str = "/engine.io/";

/// Sends back what comes, and notes who comes and goes. The message `wait` is only sent back when the gate opens.
async fn start() -> (TestServer, Lines, Arc<Semaphore>) {
    let (log, lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let (opened, closed, wait) = (log.clone(), log, gate.clone());
    let node = TestServer::start(|server| {
        server.mailbox(8).engine_io(PATH, |endpoint| {
            endpoint
                .on_open(move |client: engineio::Client| {
                    opened.note(format!("open {}", client.transport().as_str()));
                    async move {
                        assert!(client.is_open());
                        client.send("hello");
                    }
                })
                .on_message(move |client: engineio::Client, message: Message| {
                    let wait = wait.clone();
                    async move {
                        match message.as_text() {
                            Some("wait") => wait.acquire().await.expect("it is open").forget(),
                            Some("close") => client.close(),
                            Some("panic") => panic!("a client asked for it"),
                            _ => {}
                        }
                        client.send(message);
                    }
                })
                .on_close(move |client: engineio::Client, reason: DisconnectReason| {
                    closed.note(format!("close {reason} {}", client.is_open()));
                    async {}
                })
        })
    })
    .await;
    (node, lines, gate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_come_back_as_what_they_were() {
    let (node, mut lines, _) = start().await;
    let mut client = Client::open_at(node.addr, PATH).await;
    lines.expect("open websocket").await;
    client.expect("4hello").await;
    for text in ["", "plain", "0", "42[\"not\",\"parsed\"]", "2", "ünïcödé \u{1f41f}"] {
        client.send(&format!("4{text}")).await;
        client.expect(&format!("4{text}")).await;
    }
    for bytes in [&b""[..], &[0, 1, 2, 255], &[4; 70_000]] {
        client.send_binary(bytes).await;
        client.expect_binary(bytes).await;
    }
    client.vanish();
    lines.expect("close transport close false").await;

    let mut client = Polling::open_at(node.addr, PATH).await;
    lines.expect("open polling").await;
    client.expect("4hello").await;
    client.send("4one\u{1e}bAQIDBA==\u{1e}4two").await;
    for packet in ["4one", "bAQIDBA==", "4two"] {
        client.expect(packet).await;
    }
    client.send("4close\u{1e}4late").await;
    client.expect("1").await;
    lines.expect("close forced server close false").await;
    assert_eq!(node.metric(r#"sockeye_packets_received_total{type="raw_text"}"#), 9.0);
    assert_eq!(node.metric(r#"sockeye_packets_received_total{type="raw_binary"}"#), 4.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_to_websocket_with_all_that_waits() {
    let (node, mut lines, _) = start().await;
    let mut client = Polling::open_at(node.addr, PATH).await;
    client.expect("4hello").await;
    let stream = TcpStream::connect(node.addr).await.expect("the server accepts");
    let query = format!("EIO=4&transport=websocket&sid={}", client.sid());
    let mut probe = Client::handshake_at(stream, PATH, &query, &[]).await.expect("it may be probed");
    probe.send("2probe").await;
    probe.expect("3probe").await;
    client.send("4a\u{1e}bAQ==\u{1e}4b").await;
    probe.send("5").await;
    probe.expect("4a").await;
    probe.expect_binary(&[1]).await;
    probe.expect("4b").await;
    probe.send("4c").await;
    probe.expect("4c").await;
    probe.vanish();
    lines.expect("open polling").await;
    lines.expect("close transport close false").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_client_are_handled_in_order_and_wait_within_bounds() {
    let (node, mut lines, gate) = start().await;
    let mut client = Client::open_at(node.addr, PATH).await;
    let mut other = Client::open_at(node.addr, PATH).await;
    client.expect("4hello").await;
    other.expect("4hello").await;
    client.send("4wait").await;
    // Many more than the mailbox holds: the rest stays in the client's own socket, and nobody else waits.
    for n in 0..100 {
        client.send(&format!("4{n}")).await;
    }
    client.send("4panic").await;
    client.send("4after").await;
    other.send("4other").await;
    other.expect("4other").await;
    gate.add_permits(1);
    client.expect("4wait").await;
    for n in 0..100 {
        client.expect(&format!("4{n}")).await;
    }
    client.expect("4after").await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 1.0);
    // A session that ends while a handler waits: the close comes last.
    client.send("4wait").await;
    client.send("4unheard").await;
    client.vanish();
    node.metric_is(r#"sockeye_connections{transport="websocket"}"#, 1.0).await;
    gate.add_permits(1);
    for line in ["open websocket", "open websocket", "close transport close false"] {
        lines.expect(line).await;
    }
    node.stop().await;
    lines.expect("close server shutting down false").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_do_not_share_sessions() {
    let (node, _lines, _) = start().await;
    let raw = Polling::open_at(node.addr, PATH).await;
    let socketio = Polling::open(node.addr).await;
    let mut http = Http::connect(node.addr).await;
    for (path, sid) in [("/socket.io/", raw.sid()), (PATH, socketio.sid())] {
        let answer = http.get(&format!("{path}?EIO=4&transport=polling&sid={sid}")).await;
        assert_eq!((answer.status, answer.text()), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    }
    let answer = http.get("/engine.io?EIO=4&transport=polling").await;
    assert_eq!(answer.status, 200, "the slash at the end may be missing");
    assert_eq!(http.get("/engine.iox/?EIO=4&transport=polling").await.status, 404);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_silent_is_found_out() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server
            .ping_interval(Duration::from_millis(30))
            .ping_timeout(Duration::from_millis(30))
            // A raw client has no namespace to join, and needs none.
            .connect_timeout(Duration::from_millis(10))
            .engine_io(PATH, |endpoint| {
                endpoint.on_close(move |client: engineio::Client, reason: DisconnectReason| {
                    assert_eq!(client.transport(), TransportKind::WebSocket);
                    assert!(!client.send("too late"));
                    log.note(reason);
                    async {}
                })
            })
    })
    .await;
    let mut client = Client::open_at(node.addr, PATH).await;
    client.shows_pings = true;
    for _ in 0..3 {
        client.expect("2").await;
        client.send("3").await;
    }
    client.expect("2").await;
    client.closed().await;
    lines.expect("ping timeout").await;
    node.stop().await;
}

#[tokio::test]
async fn two_endpoints_cannot_have_one_path() {
    let error = Server::builder().engine_io("/socket.io/", |endpoint| endpoint).build().await;
    assert!(error.expect_err("it is taken").to_string().contains("two endpoints"));
    let error = Server::builder().engine_io("raw", |endpoint| endpoint).build().await;
    assert!(error.expect_err("no slash").to_string().contains("must begin and end with a slash"));
}
