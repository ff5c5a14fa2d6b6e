//! From long-polling to WebSocket: in order, without a gap, and without harm when it fails.

use std::time::Duration;

use serde_json::json;
use sockeye::{Args, Data, DisconnectReason, Socket, State};

use crate::support::{Client, Http, Lines, Log, PATIENCE, Polling, TestServer, log};

const UPGRADES_OK: &str = r#"sockeye_upgrades_total{result="ok"}"#;
const UPGRADES_FAILED: &str = r#"sockeye_upgrades_total{result="failed"}"#;

async fn start() -> (TestServer, Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        // Longer than any patience: no test here may depend on this timer.
        server.upgrade_timeout(PATIENCE * 100).state(log).namespace("/", |ns| {
            ns.on("echo", async |args: Args| args)
                .on("count", async |State(log): State<Log>, Data(n): Data<u32>| log.note(n))
                .on("transport", async |socket: Socket| socket.transport().as_str().to_owned())
                .on("sync", async || ())
                .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    (node, lines)
}

/// A second transport, as far as it goes without the client's decision.
async fn probed(node: &TestServer, client: &Polling) -> Client {
    let mut probe = Client::probe(node.addr, client.sid()).await.expect("it may be probed");
    probe.send("2probe").await;
    probe.expect("3probe").await;
    probe
}

/// A WebSocket that opens and is closed without a word, as stock clients expect it.
async fn turned_away(node: &TestServer, sid: &str) {
    let mut second = Client::probe(node.addr, sid).await.expect("it is accepted, and closed");
    assert_eq!(second.until_closed().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_moves_to_websocket() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    client.begin_get().await;
    let mut websocket = probed(&node, &client).await;
    assert_eq!(client.gets.answer().await.text(), "6", "the GET that waited comes back");
    // Until the client has decided, polling works.
    client.send(r#"421["transport"]"#).await;
    assert_eq!(client.get().await.text(), r#"431["polling"]"#);
    assert_eq!(client.get().await.text(), "6", "no GET has to wait during the upgrade");
    websocket.send("5").await;
    assert_eq!(websocket.call("transport", "").await, json!(["websocket"]));
    assert_eq!(node.metric(UPGRADES_OK), 1.0);
    assert_eq!(node.metric(r#"sockeye_connections{transport="polling"}"#), 0.0);
    assert_eq!(node.metric(r#"sockeye_connections{transport="websocket"}"#), 1.0);
    // The old transport is refused, and that does no harm.
    for answer in [client.get().await, client.post("42[\"count\",1]").await] {
        assert_eq!((answer.status, answer.text()), (400, r#"{"code":3,"message":"Bad request"}"#));
    }
    websocket.sync().await;
    websocket.vanish();
    lines.expect("transport close").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_leaves_in_order_on_the_new_transport() {
    let (node, mut lines) = start().await;
    let client = Polling::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    let mut websocket = probed(&node, &client).await;
    for n in 0..500 {
        socket.emit("n", n);
        if n == 250 {
            socket.emit("binary", sockeye::Binary(vec![1, 2, 3].into()));
        }
    }
    // The client's own events follow its decision directly, in one piece with it.
    websocket.send("5").await;
    for n in 0..100 {
        websocket.send(&format!(r#"42["count",{n}]"#)).await;
    }
    for n in 500..1_000 {
        socket.emit("n", n);
    }
    for n in 0..1_000 {
        websocket.expect(&format!(r#"42["n",{n}]"#)).await;
        if n == 250 {
            websocket.expect(r#"451-["binary",{"_placeholder":true,"num":0}]"#).await;
            websocket.expect_binary(&[1, 2, 3]).await;
        }
    }
    for n in 0..100 {
        lines.expect(&n.to_string()).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_everyone_talks() {
    let (node, mut lines) = start().await;
    let io = node.server.io();
    for round in 0..20 {
        let mut client = Polling::connect(node.addr).await;
        let talking = tokio::spawn({
            let socket = io.socket(&client.id).unwrap();
            async move {
                for n in 0..300 {
                    socket.emit("n", n);
                    if n % 10 == round % 10 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        // As a stock client does it: poll until the probe is answered, let the last GET end, then decide.
        let mut websocket = Client::probe(node.addr, client.sid()).await.unwrap();
        websocket.send("2probe").await;
        let mut heard = Vec::new();
        websocket.expect("3probe").await;
        heard.push(client.next().await);
        while let Some(packet) = client.take_pending() {
            heard.push(packet);
        }
        client.send(&format!(r#"42["count",{round}]"#)).await;
        websocket.send("5").await;
        heard.retain(|packet| packet != "6");
        for n in heard.len()..300 {
            websocket.expect(&format!(r#"42["n",{n}]"#)).await;
        }
        for (n, packet) in heard.iter().enumerate() {
            assert_eq!(*packet, format!(r#"42["n",{n}]"#));
        }
        talking.await.unwrap();
        lines.expect(&round.to_string()).await;
        websocket.sync().await;
        websocket.vanish();
        lines.expect("transport close").await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_fails_leaves_polling_alone() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    let wrong: [&[&str]; 6] =
        [&["5"], &["2"], &["2probe", "3"], &["2probe", "4hello"], &["40"], &["garbage"]];
    for (round, packets) in wrong.into_iter().enumerate() {
        let mut probe = Client::probe(node.addr, client.sid()).await.unwrap();
        for packet in packets {
            probe.send(packet).await;
            if *packet == "2probe" {
                probe.expect("3probe").await;
            }
        }
        probe.closed().await;
        node.metric_is(UPGRADES_FAILED, round as f64 + 1.0).await;
        client.send(&format!(r#"42{round}["transport"]"#)).await;
        client.expect(&format!(r#"43{round}["polling"]"#)).await;
    }
    // The same when it just goes away, before and after the probe.
    Client::probe(node.addr, client.sid()).await.unwrap().vanish();
    node.metric_is(UPGRADES_FAILED, 7.0).await;
    probed(&node, &client).await.vanish();
    node.metric_is(UPGRADES_FAILED, 8.0).await;
    // A frame that is none.
    let mut probe = Client::probe(node.addr, client.sid()).await.unwrap();
    probe.send_bytes(&[0xff, 0xff, 0xff, 0xff]).await;
    probe.closed().await;
    node.metric_is(UPGRADES_FAILED, 9.0).await;
    // A binary message.
    let mut probe = Client::probe(node.addr, client.sid()).await.unwrap();
    probe.send_binary(b"2probe").await;
    probe.closed().await;
    node.metric_is(UPGRADES_FAILED, 10.0).await;
    // And GETs wait again, instead of coming back empty.
    client.begin_get().await;
    client.send(r#"42["count",1]"#).await;
    lines.expect("1").await;
    node.server.io().emit("news", ());
    assert_eq!(client.gets.answer().await.text(), r#"42["news"]"#);
    // A later attempt succeeds.
    let mut websocket = probed(&node, &client).await;
    websocket.send("5").await;
    websocket.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_probe_is_turned_away() {
    let (node, _) = start().await;
    let client = Polling::connect(node.addr).await;
    let mut first = probed(&node, &client).await;
    turned_away(&node, client.sid()).await;
    first.send("5").await;
    first.sync().await;
    turned_away(&node, client.sid()).await;
    first.sync().await;
    // What began as a WebSocket has no upgrade either.
    let mut websocket = Client::connect(node.addr).await;
    turned_away(&node, websocket.sid()).await;
    websocket.sync().await;
    assert_eq!(node.metric(r#"sockeye_upgrades_total{result="refused"}"#), 3.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_that_nobody_decides_ends_by_itself() {
    let node = TestServer::start(|server| {
        server.upgrade_timeout(Duration::from_millis(200)).namespace("/", |ns| ns.on("sync", async || ()))
    })
    .await;
    let mut client = Polling::connect(node.addr).await;
    let mut silent = Client::probe(node.addr, client.sid()).await.unwrap();
    silent.closed().await;
    node.metric_is(UPGRADES_FAILED, 1.0).await;
    client.send(r#"421["sync"]"#).await;
    client.expect("431[]").await;
    let mut undecided = Client::probe(node.addr, client.sid()).await.unwrap();
    undecided.send("2probe").await;
    undecided.expect("3probe").await;
    undecided.closed().await;
    client.send(r#"421["sync"]"#).await;
    while client.next().await != "431[]" {}
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ends_takes_its_probe_with_it() {
    let (node, mut lines) = start().await;
    for decided in [false, true] {
        let mut client = Polling::connect(node.addr).await;
        let mut probe = probed(&node, &client).await;
        if decided {
            // The client closes the session it was about to move.
            client.send("1").await;
            lines.expect("transport close").await;
        } else {
            node.server.io().to(client.id.as_str()).disconnect(true);
            lines.expect("server namespace disconnect").await;
        }
        probe.send("5").await;
        probe.until_closed().await;
    }
    // Even if the client says nothing more.
    let client = Polling::connect(node.addr).await;
    let mut probe = probed(&node, &client).await;
    node.server.io().to(client.id.as_str()).disconnect(true);
    lines.expect("server namespace disconnect").await;
    probe.until_closed().await;
    assert_eq!(node.metric(UPGRADES_OK), 0.0);
    assert_eq!(node.metric(r#"sockeye_connections{transport="polling"}"#), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_may_be_switched_off() {
    let node = TestServer::start(|server| server.allow_upgrades(false)).await;
    let client = Polling::open(node.addr).await;
    assert_eq!(client.open["upgrades"], json!([]));
    assert_eq!(Client::probe(node.addr, client.sid()).await.err().unwrap().status(), 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_under_way_does_not_hold_up_the_upgrade() {
    let (node, mut lines) = start().await;
    let client = Polling::connect(node.addr).await;
    let mut post = Http::connect(node.addr).await;
    let body = r#"42["count",7]"#;
    let head =
        format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", client.target(), body.len());
    post.write(head.as_bytes()).await;
    let mut websocket = probed(&node, &client).await;
    websocket.send("5").await;
    websocket.sync().await;
    // It began before: what it brings still counts.
    post.write(body.as_bytes()).await;
    assert!([200, 400].contains(&post.answer().await.status));
    websocket.sync().await;
    websocket.vanish();
    assert!(["7", "transport close"].contains(&&*lines.next().await));
    node.stop().await;
}
