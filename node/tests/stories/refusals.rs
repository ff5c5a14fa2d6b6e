//! Long-polling that is refused: with the codes of the JavaScript server, and by the end of the session where it says so.

use serde_json::json;
use sockeye::TransportKind;

use super::polling::{OPEN, start};
use crate::support::{Answer, Client, Http, Polling, TestServer};

#[track_caller]
fn refused(answer: &Answer, code: u8, message: &str) {
    assert_eq!(
        (answer.status, answer.text(), answer.header("content-type")),
        (400, &*format!(r#"{{"code":{code},"message":"{message}"}}"#), Some("application/json"))
    );
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
async fn head_and_options_open_nothing() {
    let (node, _) = start().await;
    let mut http = Http::connect(node.addr).await;
    for target in [OPEN, "/socket.io/?EIO=4&transport=websocket", "/socket.io/"] {
        http.begin("HEAD", target, &[], b"").await;
        let answer = http.answer().await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("application/json")),
            "{target}"
        );
        let answer = http.request("OPTIONS", target, &[], b"").await;
        assert_eq!((answer.status, answer.header("allow")), (204, Some("GET, POST, OPTIONS")), "{target}");
    }
    assert_eq!(node.server.io().connections(), 0);
    // Within a session neither of them takes what waits for a GET.
    let mut client = Polling::connect(node.addr).await;
    node.server.io().emit("kept", ());
    http.begin("HEAD", &client.target(), &[], b"").await;
    assert_eq!(http.answer().await.status, 400);
    assert_eq!(http.request("OPTIONS", &client.target(), &[], b"").await.status, 204);
    client.expect(r#"42["kept"]"#).await;
    node.stop().await;
}
