//! Long-polling: lengths in payloads, three ways to write them, and what clients make of text.

use sockeye_proto::eio::payload_v3::{double, push_text_octets};

use super::start;
use crate::support::{
    Client, Http,
    old_polling::{OldPolling, packets, payload},
};

/// A client that has read `40`.
async fn connect(node: &crate::support::TestServer, query: &str) -> OldPolling {
    let mut client = OldPolling::open(node.addr, query).await;
    client.expect("40").await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_opened_with_a_length_in_front() {
    let (node, mut lines) = start().await;
    let mut http = Http::connect(node.addr).await;
    let answer = http.get("/socket.io/?EIO=3&transport=polling&t=x&b64=1").await;
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    let (length, open) = answer.text().split_once(':').unwrap();
    assert_eq!(length.parse(), Ok(open.len()));
    assert!(open.starts_with(r#"0{"sid":""#) && open.contains(r#""upgrades":["websocket"]"#), "{open}");

    let mut client = OldPolling::open(node.addr, "&b64=1").await;
    let answer = client.get().await;
    assert_eq!(answer.text(), "2:40");
    client.post_ok(r#"31:42["echo","hello",1,{"a":null}]"#).await;
    assert_eq!(client.get().await.text(), r#"31:42["echo","hello",1,{"a":null}]"#);
    client.post_ok("1:2").await;
    assert_eq!(client.get().await.text(), "1:3");
    client.send("2probe").await;
    client.expect("3probe").await;
    // The client ends it: a GET that waits comes back with nothing.
    let target = client.target();
    client.gets.begin("GET", &target, &[], b"").await;
    client.post_ok("2:41").await;
    lines.expect("client namespace disconnect").await;
    client.post_ok("1:1").await;
    assert_eq!(client.gets.answer().await.text(), "1:6");
    client.is_gone().await;
    node.stop().await;
}

/// Bodies as recorded from socket.io 4.8 (`raw_polling_posts`).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_and_octets_are_understood_and_binary_is_answered_with_octets() {
    let (node, _) = start().await;
    let mut client = connect(&node, "").await;
    client.post_ok("15:42[\"echo\",\"é€\"]10:42[\"echo\"]").await;
    client.post_ok("42:451-[\"echo\",{\"_placeholder\":true,\"num\":0}]10:b4AQID/w==").await;
    let octets = b"\x00\x05\x00\xff451-[\"echo\",{\"_placeholder\":true,\"num\":0},\"\xc3\xa9\xe2\x82\xac\"]\
        \x01\x05\xff\x04\x01\x02\x03\xff";
    client.post_octets(octets).await;
    let answer = client.get().await;
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let expected = b"\x00\x01\x08\xff42[\"echo\",\"\xc3\xa9\xe2\x82\xac\"]\x00\x01\x00\xff42[\"echo\"]\
        \x00\x04\x02\xff451-[\"echo\",{\"_placeholder\":true,\"num\":0}]\x01\x05\xff\x04\x01\x02\x03\xff\
        \x00\x05\x00\xff451-[\"echo\",{\"_placeholder\":true,\"num\":0},\"\xc3\xa9\xe2\x82\xac\"]\x01\x05\xff\x04\x01\x02\x03\xff";
    assert_eq!(answer.body, expected);
    // Without binary it is text, as the client has shown that it counts as JavaScript does.
    client.send("42[\"echo\",\"€😀\"]").await;
    assert_eq!(client.get().await.text(), "16:42[\"echo\",\"€😀\"]");

    let mut base64 = connect(&node, "&b64=1").await;
    base64.post_octets(octets).await;
    base64.post_ok("15:42[\"echo\",\"é€\"]").await;
    let answer = base64.get().await;
    assert_eq!(
        answer.text(),
        "47:451-[\"echo\",{\"_placeholder\":true,\"num\":0},\"é€\"]10:b4AQID/w==15:42[\"echo\",\"é€\"]"
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_a_client_is_known_its_text_can_be_read_in_one_way_only() {
    let (node, _) = start().await;
    let io = node.server.io();
    let mut octets = connect(&node, "").await;
    let mut base64 = connect(&node, "&b64=1").await;
    io.emit("n", "é😀");
    let answer = octets.get().await;
    let mut expected = Vec::new();
    push_text_octets("42[\"n\",\"é😀\"]".as_bytes(), &mut expected);
    assert_eq!(answer.body, expected);
    assert_eq!(base64.get().await.text(), r#"28:42["n","\u00e9\ud83d\ude00"]"#);
    io.emit("n", "ascii");
    for client in [&mut octets, &mut base64] {
        let answer = client.get().await;
        assert_eq!(answer.text(), r#"15:42["n","ascii"]"#);
        // Once it has written such text itself, it is known to read it.
        client.post_ok("16:42[\"echo\",\"é😀\"]").await;
        assert_eq!(client.get().await.text(), "16:42[\"echo\",\"é😀\"]");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_socket_io_1_are_understood() {
    let (node, _) = start().await;
    let mut client = connect(&node, "&b64=1").await;
    for text in ["é", "€ and 😀", "\u{80}"] {
        client.send(&double(&format!("42[\"echo\",\"{text}\"]"))).await;
        let answer = client.next().await;
        assert!(answer.is_ascii(), "{answer}");
        let answer: serde_json::Value = serde_json::from_str(&answer[2..]).unwrap();
        assert_eq!(answer, serde_json::json!(["echo", text]));
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_payloads_are_taken_and_end_the_session() {
    let (node, mut lines) = start().await;
    for body in [
        "garbage",
        ":",
        "3:40",
        "1:x40",
        "99999999999999999999:40",
        "4294967298:40",
        "-2:40",
        "2:4😀x",
        "1:é",
        "0:",
        "2:40:",
        "3:b4*",
        "1:9",
    ] {
        let mut client = connect(&node, "").await;
        client.post_ok(body).await;
        lines.expect("parse error").await;
        client.is_gone().await;
    }
    for body in [
        &[2, 1, 255, b'4'][..],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, b'6'],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9],
        &[0, 2, 255, b'4', 0xff],
        &[1, 1, 255, 2],
        b"2:40",
    ] {
        let mut client = connect(&node, "").await;
        client.post_octets(body).await;
        lines.expect("parse error").await;
        client.is_gone().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn their_limits_are_those_of_all_clients() {
    let (node, mut lines) = start().await;
    let mut client = connect(&node, "").await;
    let answer = client.post(&payload(&format!("42[\"echo\",\"{}\"]", "x".repeat(10_000)))).await;
    assert_eq!(answer.status, 413);
    client.posts = Http::connect(node.addr).await;
    client.send("42[\"echo\"]").await;
    client.expect("42[\"echo\"]").await;
    // As many packets as one body may have, each a heartbeat: one answer is enough for all.
    client.post_ok(&"1:2".repeat(3_000)).await;
    assert_eq!(client.get().await.text(), "1:3");
    node.stop().await;
    lines.expect("server shutting down").await;
    let (node, mut lines) = start().await;
    // Packets of no length count as well.
    let mut client = connect(&node, "").await;
    client.post_ok(&"1:6".repeat(3_333)).await;
    client.send("42[\"echo\"]").await;
    client.expect("42[\"echo\"]").await;
    client.post_ok(&"0:".repeat(5_000)).await;
    lines.expect("parse error").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_brings_sixteen_packets_at_the_most() {
    let (node, _) = start().await;
    for query in ["", "&b64=1", "&j=1"] {
        let mut client = connect(&node, query).await;
        for n in 0..40 {
            node.server.io().emit("n", (n, sockeye::Binary(vec![n].into())));
        }
        let mut received = Vec::new();
        while received.len() < 80 {
            let answer = client.get().await;
            let packets = packets(&answer);
            assert!(packets.len() <= 16, "{}", packets.len());
            received.extend(packets);
        }
        let texts: Vec<_> = received.iter().step_by(2).cloned().collect();
        let expected: Vec<_> =
            (0..40).map(|n| format!(r#"451-["n",{n},{{"_placeholder":true,"num":0}}]"#)).collect();
        assert_eq!(texts, expected);
        client.post_ok(&if query == "&j=1" { "d=1:1".to_owned() } else { "1:1".to_owned() }).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_move_to_websocket_like_others() {
    let (node, _) = start().await;
    for (query, binary) in [("", false), ("&b64=1", true)] {
        let mut client = connect(&node, query).await;
        let target = client.target();
        client.gets.begin("GET", &target, &[], b"").await;
        let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
        // Clients say with each transport anew what it can carry.
        let upgrade = format!("EIO=3&transport=websocket&sid={}{query}", client.sid());
        let mut websocket = Client::handshake(stream, &upgrade, &[]).await.unwrap();
        websocket.shows_pings = true;
        websocket.send("2probe").await;
        websocket.expect("3probe").await;
        assert_eq!(client.gets.answer().await.text(), "1:6");
        node.server.io().emit("n", (1, sockeye::Binary(vec![1].into())));
        websocket.send("5").await;
        websocket.expect(r#"451-["n",1,{"_placeholder":true,"num":0}]"#).await;
        if binary {
            websocket.expect("b4AQ==").await;
        } else {
            websocket.expect_binary(&[4, 1]).await;
        }
        websocket.send("2").await;
        websocket.expect("3").await;
        assert_eq!(client.get().await.status, 400);
        websocket.send("41").await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_thrown_out_hears_why() {
    let (node, _) = start().await;
    let mut client = connect(&node, "").await;
    client.send(r#"42["kick",true]"#).await;
    assert_eq!(client.get().await.text(), "2:41");
    assert_eq!(client.get().await.text(), "1:1");
    client.is_gone().await;
    node.stop().await;
}
