//! Long-polling: payloads, overlaps, limits, and the error codes of the JavaScript server.

use std::sync::Arc;

use serde_json::json;
use sockeye::{Args, Data, DisconnectReason, Socket, State, TransportKind};
use tokio::sync::Semaphore;

use crate::support::{Answer, Client, Http, Log, Polling, TestServer, log};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";

#[track_caller]
fn refused(answer: &Answer, code: u8, message: &str) {
    assert_eq!(
        (answer.status, answer.text(), answer.header("content-type")),
        (400, &*format!(r#"{{"code":{code},"message":"{message}"}}"#), Some("application/json"))
    );
}

async fn start() -> (TestServer, crate::support::Lines) {
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
    // A GET whose client gave up does not swallow what comes afterwards.
    let mut lost = Http::connect(node.addr).await;
    lost.begin("GET", &client.target(), &[], b"").await;
    lost.hang_up().await;
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
async fn overlapping_gets_end_the_session() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    client.begin_get().await;
    let mut second = Http::connect(node.addr).await;
    // Both are under way; which of them the server sees first is nobody's business.
    let target = client.target();
    second.begin("GET", &target, &[], b"").await;
    let (one, two) = (client.gets.answer().await, second.answer().await);
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let (kept, refusal) = if one.status == 200 { (one, two) } else { (two, one) };
    assert_eq!(kept.text(), "1", "the one that waited is told that the session is closed");
    refused(&refusal, 3, "Bad request");
    lines.expect("transport error").await;
    client.is_gone().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_posts_end_the_session() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    // The first one's body is not complete.
    let target = client.target();
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n42[\"sync\"");
    let mut slow = Http::connect(node.addr).await;
    slow.write(head.as_bytes()).await;
    let refusal = loop {
        // Until the server has seen the first one, others are accepted.
        let answer = client.post(r#"42["sync"]"#).await;
        if answer.status != 200 {
            break answer;
        }
    };
    lines.expect("transport error").await;
    if refusal.text().contains("Session ID unknown") {
        // The incomplete one met another that was under way.
        refused(&slow.answer().await, 3, "Bad request");
    } else {
        refused(&refusal, 3, "Bad request");
    }
    client.is_gone().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_no_text_ends_the_session() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    let target = client.target();
    let kind = ("content-type", "application/octet-stream");
    let answer = client.posts.request("POST", &target, &[kind], b"\x04\x01").await;
    refused(&answer, 3, "Bad request");
    lines.expect("transport error").await;
    client.is_gone().await;

    let mut client = Polling::connect(node.addr).await;
    let target = client.target();
    let answer = client.posts.request("POST", &target, &[], b"42[\"\xff\xfe\"]").await;
    refused(&answer, 3, "Bad request");
    lines.expect("parse error").await;
    client.is_gone().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_above_the_limit_is_refused_and_the_session_lives_on() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    let fits = format!("42[\"echo\",\"{}\"]", "x".repeat(10_000 - 13));
    assert_eq!(fits.len(), 10_000);
    client.send(&fits).await;
    client.expect(&fits).await;
    let answer = client.post(&format!("{fits} ")).await;
    assert_eq!(answer.status, 413);
    // The same where its size is not said beforehand.
    let chunked = ("transfer-encoding", "chunked");
    let mut chunks = Vec::new();
    for _ in 0..11 {
        chunks.extend_from_slice(b"3e8\r\n");
        chunks.extend_from_slice(&[b'x'; 1000]);
        chunks.extend_from_slice(b"\r\n");
    }
    let target = client.target();
    let mut http = Http::connect(node.addr).await;
    let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\n{}: {}\r\n\r\n", chunked.0, chunked.1);
    http.write(&[head.as_bytes(), &chunks].concat()).await;
    assert_eq!(http.answer().await.status, 413);
    assert_eq!(node.metric(r#"sockeye_limit_rejections_total{limit="payload"}"#), 2.0);
    client.posts = Http::connect(node.addr).await;
    client.send(r#"421["sync"]"#).await;
    client.expect("431[]").await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_have_the_codes_of_the_javascript_server() {
    let (node, _) = start().await;
    let mut polling = Polling::connect(node.addr).await;
    let websocket = Client::connect(node.addr).await;
    let mut http = Http::connect(node.addr).await;
    let forged = {
        // One bit of the signature is not what it was.
        let mut sid = polling.sid().to_owned().into_bytes();
        let last = sid.last_mut().unwrap();
        *last = if *last == b'A' { b'B' } else { b'A' };
        String::from_utf8(sid).unwrap()
    };
    let other_node = TestServer::start(|server| server).await;
    let elsewhere = Polling::open(other_node.addr).await;
    for (method, query, code, message) in [
        ("GET", "", 0, "Transport unknown"),
        ("GET", "EIO=4", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=carrier", 0, "Transport unknown"),
        ("POST", "EIO=4&transport=", 0, "Transport unknown"),
        ("GET", "EIO=4&transport=polling&sid=abc", 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling&sid=abc", 1, "Session ID unknown"),
        ("GET", &format!("EIO=4&transport=polling&sid={forged}"), 1, "Session ID unknown"),
        ("GET", &format!("EIO=4&transport=polling&sid={}", elsewhere.sid()), 1, "Session ID unknown"),
        ("GET", &format!("EIO=4&transport=polling&sid={}", polling.id), 1, "Session ID unknown"),
        ("POST", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("PUT", "EIO=4&transport=polling", 2, "Bad handshake method"),
        ("DELETE", "EIO=4&transport=websocket", 2, "Bad handshake method"),
        ("GET", "EIO=4&transport=websocket", 3, "Bad request"),
        ("GET", &format!("EIO=4&transport=websocket&sid={}", polling.sid()), 3, "Bad request"),
        ("DELETE", &format!("EIO=4&transport=polling&sid={}", polling.sid()), 3, "Bad request"),
        ("GET", &format!("EIO=4&transport=polling&sid={}", websocket.sid()), 3, "Bad request"),
        ("POST", &format!("EIO=4&transport=polling&sid={}", websocket.sid()), 3, "Bad request"),
        ("GET", "transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=3&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=5&transport=polling", 5, "Unsupported protocol version"),
        ("GET", "EIO=4x&transport=polling", 5, "Unsupported protocol version"),
    ] {
        let answer = http.request(method, &format!("/socket.io/?{query}"), &[], b"").await;
        println!("{method} {query}");
        refused(&answer, code, message);
    }
    for (query, code) in [
        ("EIO=3&transport=websocket", 5),
        ("EIO=4&transport=polling", 3),
        ("EIO=4&transport=websocket&sid=abc", 1),
        ("EIO=4&transport=carrier", 0),
    ] {
        let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
        let answer = Client::handshake(stream, query, &[]).await.err().unwrap();
        assert_eq!(answer.status(), 400);
        let body: serde_json::Value = serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap();
        assert_eq!(body["code"], code, "{query}");
    }
    // The sessions that were named have taken no harm.
    polling.send(r#"421["sync"]"#).await;
    polling.expect("431[]").await;
    let metric = |result: &str| {
        node.metric(&format!(r#"sockeye_handshakes_total{{result="{result}",transport="polling"}}"#))
    };
    assert_eq!((metric("unknown_transport"), metric("unsupported_version")), (4.0, 4.0));
    other_node.stop().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transport_that_is_not_offered_is_unknown() {
    let only_websocket = TestServer::start(|server| server.transports([TransportKind::WebSocket])).await;
    refused(&Http::connect(only_websocket.addr).await.get(OPEN).await, 0, "Transport unknown");
    Client::connect(only_websocket.addr).await;
    only_websocket.stop().await;

    let only_polling = TestServer::start(|server| server.transports([TransportKind::Polling])).await;
    let client = Polling::connect(only_polling.addr).await;
    assert_eq!(client.open["upgrades"], json!([]));
    assert_eq!(Client::probe(only_polling.addr, client.sid()).await.err().unwrap().status(), 400);
    let stream = tokio::net::TcpStream::connect(only_polling.addr).await.unwrap();
    let refusal = Client::handshake(stream, "EIO=4&transport=websocket", &[]).await.err().unwrap();
    assert_eq!(refusal.status(), 400);
    only_polling.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_says_goodbye_with_a_close_packet() {
    let (node, mut lines) = start().await;
    // Which of GET and POST is seen first is not in the test's hands: in the end the GET is.
    let answered = loop {
        let mut client = Polling::connect(node.addr).await;
        client.begin_get().await;
        let target = client.target();
        // Packets behind it are not read.
        client.posts.begin("POST", &target, &[], b"1\x1e42[\"count\",1]").await;
        assert_eq!(client.posts.answer().await.text(), "ok");
        let answer = client.gets.answer().await;
        lines.expect("transport close").await;
        client.is_gone().await;
        if answer.status == 200 {
            break answer;
        }
    };
    assert_eq!(answered.text(), "6", "the GET that waited comes back with nothing to say");
    lines.is_empty();
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
async fn a_post_to_a_session_that_is_over_is_refused() {
    let (node, mut lines) = start().await;
    let mut client = Polling::connect(node.addr).await;
    let io = node.server.io();
    io.to(client.id.as_str()).disconnect(true);
    lines.expect("server namespace disconnect").await;
    let answer = client.post(r#"42["count",1]"#).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    lines.is_empty();
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
async fn garbage_in_a_post_ends_the_session() {
    let (node, mut lines) = start().await;
    for (body, reason) in [
        ("x", "parse error"),
        ("", "parse error"),
        ("4\u{1e}", "forced close"),
        ("42[\"count\",1]\u{1e}\u{1e}", "parse error"),
        ("b*", "parse error"),
        ("2", "transport error"),
        ("4x", "forced close"),
        ("42", "forced close"),
    ] {
        let mut client = Polling::connect(node.addr).await;
        assert_eq!(client.post(body).await.status, 200, "{body:?}");
        if body.contains("count") {
            lines.expect("1").await;
        }
        lines.expect(reason).await;
        client.is_gone().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_origins_are_kept_out_unless_they_are_allowed() {
    let origin = |value| [("origin", value), ("host", "a.example")];
    let node =
        TestServer::start(|server| server.cors(sockeye::Cors::Origins(vec!["https://app.example".into()])))
            .await;
    let mut http = Http::connect(node.addr).await;
    let answer = http.request("GET", OPEN, &origin("https://app.example"), b"").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (200, Some("https://app.example"))
    );
    for foreign in
        ["https://evil-app.example", "http://app.example", "null", "https://app.example.evil", "\u{80}"]
    {
        let answer = http.request("GET", OPEN, &origin(foreign), b"").await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (400, None), "{foreign}");
    }
    let preflight = http
        .request(
            "OPTIONS",
            OPEN,
            &[("origin", "https://app.example"), ("access-control-request-headers", "x-mine")],
            b"",
        )
        .await;
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-headers"), Some("x-mine"));
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let refusal =
        Client::handshake(stream, "EIO=4&transport=websocket", &[("origin", "https://evil.example")]).await;
    assert_eq!(refusal.err().unwrap().status(), 400);
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
