//! What is different over WebSocket: who asks for heartbeats, how namespaces are joined, how binary travels.

use std::time::Duration;

use super::{opened, start, websocket};
use crate::support::{Client, Frame, Http, TestServer};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_option_they_are_refused() {
    let node = TestServer::start(|server| server.namespace("/", |ns| ns)).await;
    let mut http = Http::connect(node.addr).await;
    for query in ["EIO=3&transport=polling", "transport=polling", "EIO=3&transport=polling&j=0"] {
        let answer = http.get(&format!("/socket.io/?{query}")).await;
        assert_eq!(
            (answer.status, answer.text()),
            (400, r#"{"code":5,"message":"Unsupported protocol version"}"#)
        );
    }
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let refused = Client::handshake(stream, "EIO=3&transport=websocket", &[]).await.err().unwrap();
    assert_eq!(refused.status().as_u16(), 400);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_lets_them_into_the_first_namespace() {
    let (node, mut lines) = start().await;
    let mut client = opened(&node, "").await;
    assert_eq!(client.open["upgrades"], serde_json::json!([]));
    client.expect("40").await;
    client.send(r#"42["echo","hello",1,{"a":null}]"#).await;
    client.expect(r#"42["echo","hello",1,{"a":null}]"#).await;
    client.send(r#"420["ack","é😀"]"#).await;
    client.expect(r#"430["é😀"]"#).await;
    client.send(r#"421["protocol"]"#).await;
    client.expect(r#"431["3"]"#).await;
    // Some ask for it all the same.
    client.send("40").await;
    client.send(r#"422["ack"]"#).await;
    client.expect("432[]").await;
    node.metric_is(r#"sockeye_eio3_connections{transport="websocket"}"#, 1.0).await;
    // One of version 4 beside it is as ever.
    let mut new = Client::connect(node.addr).await;
    assert_eq!(new.call("protocol", "").await, serde_json::json!(["4"]));
    client.send("41").await;
    lines.expect("client namespace disconnect").await;
    // It may come back.
    client.send("40").await;
    client.expect("40").await;
    client.vanish();
    lines.expect("transport close").await;
    node.metric_is(r#"sockeye_eio3_connections{transport="websocket"}"#, 0.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_has_a_type_in_front() {
    let (node, _) = start().await;
    let mut client = websocket(&node, "").await;
    client.send(r#"451-["echo",{"_placeholder":true,"num":0},"txt"]"#).await;
    client.send_binary(&[4, 1, 2, 3, 255]).await;
    client.expect(r#"451-["echo",{"_placeholder":true,"num":0},"txt"]"#).await;
    client.expect_binary(&[4, 1, 2, 3, 255]).await;
    client.send(r#"451-7["ack",{"_placeholder":true,"num":0}]"#).await;
    client.send_binary(&[4]).await;
    client.expect(r#"461-7[{"_placeholder":true,"num":0}]"#).await;
    client.expect_binary(&[4]).await;

    let mut text = websocket(&node, "&b64=1").await;
    text.send(r#"451-["echo",{"_placeholder":true,"num":0}]"#).await;
    text.send("b4AQID/w==").await;
    text.expect(r#"451-["echo",{"_placeholder":true,"num":0}]"#).await;
    text.expect("b4AQID/w==").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_packet_ends_the_connection() {
    let (node, mut lines) = start().await;
    for data in [&[][..], &[5, 1], b"4x", &[2]] {
        let mut client = websocket(&node, "").await;
        client.send_binary(data).await;
        client.closed().await;
        lines.expect("parse error").await;
    }
    for text in ["b4*", "bAQID", "x"] {
        let mut client = websocket(&node, "").await;
        client.send(text).await;
        client.closed().await;
        lines.expect("parse error").await;
    }
    let mut client = websocket(&node, "").await;
    client.send_binary(&[4, 1]).await;
    client.closed().await;
    lines.expect("forced close").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_asks_and_the_server_answers() {
    let (node, mut lines) = start().await;
    let mut client = websocket(&node, "").await;
    client.send("2").await;
    client.expect("3").await;
    client.send("2probe").await;
    client.expect("3probe").await;
    client.send("3").await;
    client.closed().await;
    lines.expect("transport error").await;
    let mut client = websocket(&node, "").await;
    client.send(&format!("2{}", "x".repeat(126))).await;
    client.closed().await;
    lines.expect("parse error").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_no_more_is_gone() {
    let node = TestServer::start(|server| {
        server
            .allow_eio3(true)
            .ping_interval(Duration::from_millis(60))
            .ping_timeout(Duration::from_millis(60))
            .namespace("/", |ns| ns.on_disconnect(async || ()))
    })
    .await;
    let mut client = websocket(&node, "").await;
    for _ in 0..5 {
        client.send("2").await;
        client.expect("3").await;
    }
    // No heartbeat of the server's own comes before the end.
    assert_eq!(client.until_closed().await, []);
    node.metric_is(r#"sockeye_disconnections_total{reason="ping timeout"}"#, 1.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_without_reading_gets_one_answer() {
    let (node, mut lines) = start().await;
    let mut client = websocket(&node, "").await;
    // All in one read of the server's: the answers would have to wait for its end.
    for _ in 0..200 {
        client.send("2").await;
    }
    client.send(r#"420["ack"]"#).await;
    let mut answers = 0;
    loop {
        match client.next().await {
            Frame::Text(text) if text == "3" => answers += 1,
            Frame::Text(text) => break assert_eq!(text, "430[]"),
            other => panic!("{other:?}"),
        }
    }
    assert!((1..=200).contains(&answers));
    client.vanish();
    lines.expect("transport close").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_is_what_they_bring() {
    let (node, _) = start().await;
    let mut client = websocket(&node, "&tell=1&name=J%C3%BCrgen+K&b=1&b=2").await;
    client.expect(r#"42["auth",{"b":["1","2"],"name":"Jürgen K","tell":"1"}]"#).await;
    client.send("40/chat?tell=2&x=1%202,").await;
    client.expect("40/chat,").await;
    client.expect(r#"42/chat,["auth",{"tell":"2","x":"1 2"}]"#).await;
    client.send(r#"42/chat,["echo",1]"#).await;
    client.expect(r#"42/chat,["echo",1]"#).await;
    // A namespace without a query of its own gets that of the first request.
    client.send("41/chat,").await;
    client.send("40/chat").await;
    client.expect("40/chat,").await;
    client.expect(r#"42/chat,["auth",{"b":["1","2"],"name":"Jürgen K","tell":"1"}]"#).await;
    // A second time is an error, as in version 4.
    client.send("40/chat").await;
    client.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_the_data_or_the_message() {
    let (node, _) = start().await;
    let mut client = websocket(&node, "").await;
    for (namespace, answer) in [
        ("/closed", r#"44/closed,"Connection rejected by server""#),
        ("/closed?why=quote", r#"44/closed,"say \"no\"""#),
        ("/closed?why=data", r#"44/closed,{"code":9}"#),
        ("/nope", r#"44/nope,{"message":"Invalid namespace"}"#),
    ] {
        client.send(&format!("40{namespace},")).await;
        client.expect(answer).await;
    }
    let mut denied = opened(&node, "&deny=1").await;
    denied.expect(r#"44{"code":9}"#).await;
    // It is in no namespace, and what it sends to one is an error.
    denied.send(r#"42["echo"]"#).await;
    denied.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_may_end_it() {
    let (node, mut lines) = start().await;
    let mut client = websocket(&node, "").await;
    client.send(r#"42["kick",false]"#).await;
    client.expect("41").await;
    lines.expect("server namespace disconnect").await;
    client.send("1").await;
    client.closed().await;
    let mut client = websocket(&node, "").await;
    client.send(r#"42["kick",true]"#).await;
    client.expect("41").await;
    client.closed().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_reaches_clients_of_both_versions() {
    let (node, _) = start().await;
    let mut old = websocket(&node, "").await;
    let mut base64 = websocket(&node, "&b64=1").await;
    let mut new = Client::connect(node.addr).await;
    let sent = node.server.io().emit("news", ("é😀", sockeye::Binary(vec![1, 2].into())));
    assert_eq!(sent.reached(), 3);
    let text = r#"451-["news","é😀",{"_placeholder":true,"num":0}]"#;
    for client in [&mut old, &mut base64, &mut new] {
        client.expect(text).await;
    }
    old.expect_binary(&[4, 1, 2]).await;
    base64.expect("b4AQI=").await;
    new.expect_binary(&[1, 2]).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoints_of_engine_io_alone_serve_them_too() {
    use sockeye::engineio::{Client as Raw, Message};
    let node = TestServer::start(|server| {
        server.allow_eio3(true).engine_io("/engine.io/", |endpoint| {
            endpoint.on_message(async |client: Raw, message: Message| {
                client.send(message);
            })
        })
    })
    .await;
    for (query, binary) in [("", Frame::Binary(vec![4, 1, 2])), ("&b64=1", Frame::Text("b4AQI=".into()))] {
        let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
        let query = format!("EIO=3&transport=websocket{query}");
        let mut client = Client::handshake_at(stream, "/engine.io/", &query, &[]).await.unwrap();
        client.shows_pings = true;
        client.read_open().await;
        client.send("4é😀").await;
        client.expect("4é😀").await;
        client.send_binary(&[4, 1, 2]).await;
        assert_eq!(client.next().await, binary);
        client.send("2").await;
        client.expect("3").await;
    }
    use crate::support::old_polling::OldPolling;
    for query in ["", "&b64=1", "&j=0"] {
        let mut client = OldPolling::open_at(node.addr, "/engine.io/", query).await;
        let post = |packet: &str| {
            let payload = crate::support::old_polling::payload(packet);
            if query == "&j=0" { format!("d={payload}") } else { payload }
        };
        client.post_ok(&post("4é😀")).await;
        client.expect("4é😀").await;
        client.post_ok(&post("b4AQI=")).await;
        client.expect("b4AQI=").await;
    }
    node.stop().await;
}
