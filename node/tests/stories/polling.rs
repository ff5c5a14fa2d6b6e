//! Long-polling: payloads, overlaps, limits, and the error codes of the JavaScript server.

use std::sync::Arc;

use sockeye::{Args, Data, DisconnectReason, Socket, State};
use tokio::sync::Semaphore;

use crate::support::{Http, Log, Polling, TestServer, log};

pub(super) const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

pub(super) async fn start() -> (TestServer, crate::support::Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).max_payload(10_000).namespace("/", |ns| {
            ns.on("echo", async |socket: Socket, args: Args| {
                socket.emit("echo", args);
            })
            .on("count", async |State(log): State<Log>, Data(n): Data<u32>| log.note(n))
            .on("kick", async |socket: Socket, Data(close): Data<bool>| socket.disconnect(close))
            .on("sync", async || ())
            .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    (node, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_have_the_headers_that_clients_and_proxies_need() {
    let (node, _) = start().await;
    let mut http = Http::connect(node.addr).await;
    let open = http.get(OPEN).await;
    assert_eq!(open.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(open.header("cache-control"), Some("no-store"));
    let open: serde_json::Value = serde_json::from_str(&open.text()[1..]).unwrap();
    assert_eq!(open["maxPayload"], 10_000);
    let target = format!("{OPEN}&sid={}", open["sid"].as_str().unwrap());
    let posted = http.post(&target, "40").await;
    assert_eq!((posted.status, posted.text(), posted.header("content-type")), (200, "ok", Some("text/html")));
    let got = http.get(&target).await;
    assert_eq!((got.status, got.header("cache-control")), (200, Some("no-store")));
    assert!(got.text().starts_with("40{"));
    // Without the slash at the end it is the same; another path is not ours.
    assert_eq!(http.get("/socket.io?EIO=4&transport=polling").await.status, 200);
    assert_eq!(http.get("/?EIO=4&transport=polling").await.status, 404);
    assert_eq!(http.get("/socket.io/x?EIO=4&transport=polling").await.status, 404);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_wait_leave_together_and_within_the_limit() {
    let (node, _) = start().await;
    let mut client = Polling::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    for n in 0..3 {
        socket.emit("n", n);
    }
    let answer = client.get().await;
    assert_eq!(answer.text(), "42[\"n\",0]\u{1e}42[\"n\",1]\u{1e}42[\"n\",2]");
    // Clients refuse bodies above `maxPayload`: what does not fit waits for the next GET. One that is larger comes alone.
    let packets: Vec<String> =
        [4_000, 4_000, 4_000, 20_000, 10, 10].into_iter().map(|size| "x".repeat(size)).collect();
    for packet in &packets {
        socket.emit("big", packet.as_str());
    }
    let mut sizes = Vec::new();
    let mut seen = Vec::new();
    while seen.len() < packets.len() {
        let answer = client.get().await;
        sizes.push(answer.text().split('\u{1e}').count());
        seen.extend(answer.text().split('\u{1e}').map(str::to_owned));
    }
    assert_eq!(sizes, [2, 1, 1, 2]);
    assert!(seen.iter().zip(&packets).all(|(seen, sent)| *seen == format!(r#"42["big","{sent}"]"#)));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_waits_for_the_next_packet() {
    let (node, _) = start().await;
    let mut client = Polling::connect(node.addr).await;
    client.begin_get().await;
    client.send(r#"42["echo","now"]"#).await;
    assert_eq!(client.gets.answer().await.text(), r#"42["echo","now"]"#);
    // One that comes later than the packet does not wait.
    client.send(r#"42["echo","kept"]"#).await;
    let kept = client.get().await;
    assert_eq!(kept.text(), r#"42["echo","kept"]"#);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_events_in_posts_pass_in_order() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    let mut n = 0;
    for batch in [1, 9, 90, 300, 500, 100] {
        let packets: Vec<String> = (n..n + batch).map(|n| format!(r#"42["count",{n}]"#)).collect();
        n += batch;
        client.send(&packets.join("\u{1e}")).await;
    }
    for n in 0..1_000 {
        lines.expect(&n.to_string()).await;
    }
    client.send(r#"421["sync"]"#).await;
    client.expect("431[]").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_says_goodbye_with_a_close_packet() {
    let (node, mut lines) = start().await;
    // The two are under way at the same time, and the server may see the POST first.
    for _ in 0..20 {
        let mut client = Polling::connect(node.addr).await;
        client.begin_get().await;
        let target = client.target();
        // Packets behind it are not read.
        client.posts.begin("POST", &target, &[], b"1\x1e42[\"count\",1]").await;
        assert_eq!(client.posts.answer().await.text(), "ok");
        let answer = client.gets.answer().await;
        assert_eq!((answer.status, answer.text()), (200, "6"), "the GET comes back with nothing to say");
        lines.expect("transport close").await;
        client.is_gone().await;
    }
    // Without a GET it is taken at its word as well.
    let mut client = Polling::connect(node.addr).await;
    client.send("1").await;
    lines.expect("transport close").await;
    client.is_gone().await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_on_its_get_has_lost_its_transport() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    client.begin_get().await;
    node.metric_is("sockeye_polls_waiting", 1.0).await;
    client.gets = Http::connect(node.addr).await;
    lines.expect("transport error").await;
    client.is_gone().await;
    assert_eq!(node.metric("sockeye_polls_waiting"), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_thrown_out_hears_of_it() {
    let (node, mut lines) = start().await;
    // Out of the namespace: the session goes on.
    let mut client = Polling::connect(node.addr).await;
    client.send(r#"42["kick",false]"#).await;
    client.expect("41").await;
    lines.expect("server namespace disconnect").await;
    client.join("/").await;
    // Out of the server.
    client.begin_get().await;
    client.send(r#"42["kick",true]"#).await;
    assert_eq!(client.gets.answer().await.text(), "41");
    lines.expect("server namespace disconnect").await;
    assert_eq!(client.get().await.text(), "1");
    client.is_gone().await;
    // While no GET waits, what is queued is not lost, or the client would come back by itself.
    let mut client = Polling::connect(node.addr).await;
    client.send("42[\"echo\",\"bye\"]\u{1e}42[\"kick\",true]").await;
    let answer = client.get().await;
    assert_eq!((answer.status, answer.text()), (200, "42[\"echo\",\"bye\"]\u{1e}41"));
    lines.expect("server namespace disconnect").await;
    assert_eq!(client.post(r#"42["count",1]"#).await.status, 400);
    assert_eq!(client.get().await.text(), "1");
    client.is_gone().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_to_many_events_of_one_post_are_fetched_meanwhile() {
    let limits =
        sockeye::OutboxLimits { soft_bytes: 50_000, hard_bytes: 200_000, ..sockeye::OutboxLimits::default() };
    let node = TestServer::start(|server| {
        server
            .outbox_limits(limits)
            .namespace("/", |ns| ns.on("big", async |Data(size): Data<usize>| "x".repeat(size)))
    })
    .await;
    let mut client = Polling::connect(node.addr).await;
    let packets: Vec<String> = (0..200).map(|n| format!(r#"42{n}["big",10000]"#)).collect();
    let target = client.target();
    client.posts.begin("POST", &target, &[], packets.join("\u{1e}").as_bytes()).await;
    for n in 0..200 {
        assert!(client.next().await.starts_with(&format!("43{n}[")));
    }
    assert_eq!(client.posts.answer().await.text(), "ok");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_holds_up_its_post_and_nothing_else() {
    let gate = Arc::new(Semaphore::new(0));
    let node = TestServer::start(|server| {
        server.mailbox(1).concurrency(1).state(gate.clone()).namespace("/", |ns| {
            ns.on("wait", async |State(gate): State<Arc<Semaphore>>| gate.acquire().await.unwrap().forget())
                .on("sync", async || ())
        })
    })
    .await;
    let mut client = Polling::connect(node.addr).await;
    let target = client.target();
    let body = "421[\"wait\"]\u{1e}422[\"wait\"]\u{1e}423[\"wait\"]";
    client.posts.begin("POST", &target, &[], body.as_bytes()).await;
    node.metric_is(r#"sockeye_packets_received_total{type="event"}"#, 2.0).await;
    node.server.io().emit("meanwhile", ());
    client.expect(r#"42["meanwhile"]"#).await;
    // The session may also end meanwhile.
    let mut other = Polling::connect(node.addr).await;
    let target = other.target();
    other.posts.begin("POST", &target, &[], body.as_bytes()).await;
    node.metric_is(r#"sockeye_packets_received_total{type="event"}"#, 4.0).await;
    node.server.io().to(other.id.as_str()).disconnect(true);
    assert_eq!(other.posts.answer().await.status, 200);
    gate.add_permits(6);
    assert_eq!(client.posts.answer().await.text(), "ok");
    for n in 1..=3 {
        client.expect(&format!("43{n}[]")).await;
    }
    node.stop().await;
}
