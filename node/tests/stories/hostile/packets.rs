//! Engine.IO and Socket.IO packets that are none, do not fit, or are too many.

use std::sync::Arc;

use serde_json::json;
use sockeye::{Limits, Socket, State};
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use super::Scene;
use crate::support::{Client, Log, Polling, TestServer, frame, log};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_that_are_none() {
    let mut scene = Scene::start().await;
    let deep = format!(r#"42["echo",{}{}]"#, "[".repeat(4_000), "]".repeat(4_000));
    let digits = format!(r#"42{}["echo"]"#, "9".repeat(5_000));
    let long_namespace = format!("40/{},", "n".repeat(5_000));
    let long_event = format!(r#"42["{}"]"#, "e".repeat(5_000));
    let mut wrong = Vec::new();
    for (packet, reason, error) in [
        ("", "parse error", Some("empty_packet,engine.io")),
        ("x", "parse error", Some("unknown_packet,engine.io")),
        ("\u{0}", "parse error", Some("unknown_packet,engine.io")),
        ("ü", "parse error", Some("unknown_packet,engine.io")),
        ("7", "parse error", Some("unknown_packet,engine.io")),
        ("2", "transport error", None),
        ("2probe", "transport error", None),
        ("1", "transport close", None),
        ("4", "forced close", Some("empty_message,socket.io")),
        ("47", "forced close", Some("bad_packet_type,socket.io")),
        ("4x", "forced close", Some("bad_packet_type,socket.io")),
        ("4ü", "forced close", Some("bad_packet_type,socket.io")),
        // Connecting and leaving.
        ("40", "forced close", None),
        (r#"40"auth""#, "forced close", Some("bad_payload,socket.io")),
        ("40[1]", "forced close", Some("bad_payload,socket.io")),
        ("40{", "forced close", Some("bad_json,socket.io")),
        (r#"40{"a":1}}"#, "forced close", Some("bad_json,socket.io")),
        (&long_namespace, "forced close", Some("namespace_too_long,socket.io")),
        ("40/a\u{1e}b,", "forced close", Some("bad_namespace,socket.io")),
        ("41{}", "forced close", Some("bad_payload,socket.io")),
        (r#"44{"message":"no"}"#, "forced close", Some("bad_packet_type,socket.io")),
        // Events.
        ("42", "forced close", Some("bad_payload,socket.io")),
        ("42{}", "forced close", Some("bad_payload,socket.io")),
        ("42null", "forced close", Some("bad_payload,socket.io")),
        ("42[]", "forced close", Some("bad_event_name,socket.io")),
        ("42[null]", "forced close", Some("bad_event_name,socket.io")),
        ("42[true]", "forced close", Some("bad_event_name,socket.io")),
        ("42[{}]", "forced close", Some("bad_event_name,socket.io")),
        (r#"42[["echo"]]"#, "forced close", Some("bad_event_name,socket.io")),
        (r#"42["echo""#, "forced close", Some("bad_json,socket.io")),
        (r#"42["echo",]"#, "forced close", Some("bad_json,socket.io")),
        (r#"42["echo",1]2"#, "forced close", Some("bad_json,socket.io")),
        (r#"42["echo",01]"#, "forced close", Some("bad_json,socket.io")),
        (r#"42["echo",NaN]"#, "forced close", Some("bad_json,socket.io")),
        (r#"42["echo",'x']"#, "forced close", Some("bad_json,socket.io")),
        ("42[\"echo\",\"\u{1}\"]", "forced close", Some("bad_json,socket.io")),
        (r#"42["echo","\x"]"#, "forced close", Some("bad_json,socket.io")),
        (&deep, "forced close", Some("too_deep,socket.io")),
        (&long_event, "forced close", Some("event_too_long,socket.io")),
        (r#"42["connect"]"#, "forced close", Some("reserved_event,socket.io")),
        (r#"42["connect_error"]"#, "forced close", Some("reserved_event,socket.io")),
        (r#"42["disconnect","x"]"#, "forced close", Some("reserved_event,socket.io")),
        (r#"42["disconnecting"]"#, "forced close", Some("reserved_event,socket.io")),
        (r#"42["newListener"]"#, "forced close", Some("reserved_event,socket.io")),
        (r#"42["removeListener"]"#, "forced close", Some("reserved_event,socket.io")),
        (r#"42["\u0064isconnect"]"#, "forced close", Some("reserved_event,socket.io")),
        (&digits, "forced close", Some("bad_ack_id,socket.io")),
        (r#"4218446744073709551616["echo"]"#, "forced close", Some("bad_ack_id,socket.io")),
        // Acks.
        ("43[]", "forced close", Some("bad_ack_id,socket.io")),
        ("431", "forced close", Some("bad_payload,socket.io")),
        ("431{}", "forced close", Some("bad_payload,socket.io")),
        // Attachments.
        (r#"45["echo"]"#, "forced close", Some("bad_attachment_count,socket.io")),
        (r#"45-["echo"]"#, "forced close", Some("bad_attachment_count,socket.io")),
        (r#"45x-["echo"]"#, "forced close", Some("bad_attachment_count,socket.io")),
        (r#"45-1-["echo"]"#, "forced close", Some("bad_attachment_count,socket.io")),
        (r#"451["echo"]"#, "forced close", Some("bad_attachment_count,socket.io")),
        (r#"4511-["echo"]"#, "forced close", Some("too_many_attachments,socket.io")),
        (r#"4599999999999999999999-["echo"]"#, "forced close", Some("too_many_attachments,socket.io")),
    ] {
        let mut client = Client::connect(scene.node.addr).await;
        client.send(packet).await;
        assert_eq!(client.closed().await, None, "no code: as the JavaScript server closes");
        let (found, counted) = (scene.lines.next().await, scene.new_error());
        if (&*found, counted.as_deref()) != (reason, error) {
            wrong.push((packet.chars().take(60).collect::<String>(), found, counted));
        }
        scene.unharmed().await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_that_do_not_fit() {
    let mut scene = Scene::start().await;
    let binary = |size: usize| Message::binary(vec![7; size]);
    let text = |text: &str| Message::text(text);
    for (messages, error) in [
        (vec![binary(3)], "unexpected_binary"),
        (vec![text(r#"451-["echo",{"_placeholder":true,"num":0}]"#), text("41")], "unexpected_text"),
        (
            vec![text(r#"451-["echo",{"_placeholder":true,"num":0}]"#), binary(1), binary(1)],
            "unexpected_binary",
        ),
        (vec![text(r#"451-["echo",{"_placeholder":true,"num":1}]"#), binary(1)], "bad_placeholder"),
        (vec![text(r#"451-["echo",{"_placeholder":true,"num":-1}]"#), binary(1)], "bad_placeholder"),
        (vec![text(r#"451-["echo",{"_placeholder":true,"num":0.5}]"#), binary(1)], "bad_placeholder"),
        (vec![text(r#"451-["echo",{"_placeholder":true,"num":"0"}]"#), binary(1)], "bad_placeholder"),
        (
            vec![
                text(r#"452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#),
                binary(6_000),
                binary(6_000),
            ],
            "message_too_large",
        ),
    ] {
        println!("{error}");
        let mut client = Client::connect(scene.node.addr).await;
        let event = messages.len() > 1 && error == "unexpected_binary";
        for message in messages {
            client.send_raw(message).await;
        }
        if event {
            // The event itself was whole.
            scene.lines.expect("forced close").await;
        } else {
            assert_eq!(client.closed().await, None);
            scene.lines.expect("forced close").await;
        }
        assert_eq!(scene.new_error().unwrap(), format!("{error},socket.io"));
        scene.unharmed().await;
    }
    // Attachments that never come: the client may go on doing nothing, and leave.
    let mut waiting = Client::connect(scene.node.addr).await;
    waiting.send(r#"4510-["echo"]"#).await;
    for _ in 0..9 {
        waiting.send_binary(&[1; 100]).await;
    }
    scene.unharmed().await;
    waiting.vanish();
    scene.lines.expect("transport close").await;
    // None at all is a whole event.
    let mut none = Client::connect(scene.node.addr).await;
    none.send(r#"450-3["echo",1]"#).await;
    none.expect("433[1]").await;
    none.vanish();
    scene.lines.expect("transport close").await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_packets_that_harm_nobody() {
    let mut scene = Scene::start().await;
    let mut client = Client::connect(scene.node.addr).await;
    for packet in [
        // Engine.IO packets that only servers send.
        r#"0{"sid":"mine"}"#,
        "5",
        "6",
        "3",
        "3probe",
        // For namespaces that it is not in.
        r#"42/elsewhere,["echo"]"#,
        r#"42/elsewhere,1["echo"]"#,
        "41/elsewhere,",
        "43/elsewhere,1[]",
        // Acks that nobody waits for.
        "430[]",
        "431[1,2,3]",
        "4318446744073709551615[]",
        // Events without a handler; names of JavaScript's own.
        r#"42["unknown",1]"#,
        r#"42["__proto__",{"__proto__":1}]"#,
        r#"42["constructor"]"#,
        r#"42["error","x"]"#,
        r#"42[-1.5e3]"#,
    ] {
        client.send(packet).await;
    }
    for (args, answer) in [
        (r#"{"a":1,"a":2,"__proto__":{"x":1}}"#, json!([{"a": 2, "__proto__": {"x": 1}}])),
        ("1e2, 0.1e-3", json!([1e2, 0.1e-3])),
        (r#""\u0000\ud83d\ude00 ""#, json!(["\u{0}😀 "])),
        (r#"{"_placeholder":true,"num":0}"#, json!([{"_placeholder": true, "num": 0}])),
        (r#"{"_placeholder":true,"num":-7}"#, json!([{"_placeholder": true, "num": -7}])),
    ] {
        assert_eq!(client.call("echo", args).await, answer, "{args}");
    }
    // What serde_json could not read is passed on as it came.
    for raw in [r#"[1e999]"#, r#"["\ud800"]"#, r#"[123456789012345678901234567890]"#] {
        client.send(&format!(r#"420["echo",{}]"#, &raw[1..raw.len() - 1])).await;
        client.expect(&format!("430{raw}")).await;
    }
    assert_eq!(scene.new_error(), None);
    assert_eq!(scene.node.metric("sockeye_outside_namespace_total"), 3.0);
    assert_eq!(scene.node.metric("sockeye_unexpected_acks_total"), 3.0);
    assert_eq!(scene.node.metric("sockeye_unhandled_events_total"), 5.0);
    client.vanish();
    scene.lines.expect("transport close").await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_begin_without_connecting() {
    let mut scene = Scene::start().await;
    for packet in [r#"42["echo"]"#, r#"421["echo"]"#, "430[]", r#"450-["echo"]"#] {
        let mut client = Client::open(scene.node.addr).await;
        client.send(packet).await;
        assert_eq!(client.closed().await, None, "{packet}");
        let mut polling = Polling::open(scene.node.addr).await;
        polling.send(packet).await;
        polling.is_gone().await;
    }
    assert_eq!(scene.node.metric("sockeye_outside_namespace_total"), 8.0);
    scene.unharmed().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_from_one_client() {
    let mut scene = Scene::start().await;
    // 10,000 packets in one POST: as many as may be are handled, then the session ends.
    let mut polling = Polling::connect(scene.node.addr).await;
    polling.send(&["3"; 5_000].join("\u{1e}")).await;
    scene.lines.expect("parse error").await;
    assert_eq!(scene.new_error().unwrap(), "too_many_packets,engine.io");
    polling.is_gone().await;
    // Namespaces that do not exist, and one that is entered and left again and again.
    let mut client = Client::connect(scene.node.addr).await;
    for n in 0..2_000 {
        client.send(&format!("40/none{n},")).await;
    }
    for n in 0..2_000 {
        client.expect(&format!(r#"44/none{n},{{"message":"Invalid namespace"}}"#)).await;
    }
    for _ in 0..500 {
        client.send("40/witness,").await;
        client.send("41/witness,").await;
    }
    for _ in 0..500 {
        assert!(client.text().await.starts_with("40/witness,"));
    }
    client.send(r#"421["echo"]"#).await;
    client.expect("431[]").await;
    assert_eq!(scene.node.metric(r#"sockeye_sockets{nsp="/witness"}"#), 1.0);
    // WebSocket pings.
    for _ in 0..100 {
        client.send_bytes(&frame(0x89, &[7; 125]).repeat(100)).await;
    }
    client.send(r#"421["echo"]"#).await;
    client.expect("431[]").await;
    client.vanish();
    scene.lines.expect("transport close").await;
    // Many who connect, and go without having said anything.
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(Client::open(scene.node.addr).await);
    }
    drop(many);
    scene.node.metric_is(r#"sockeye_connections{transport="websocket"}"#, 1.0).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_and_leaves_again_and_again_starts_few_handlers() {
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let limits = Limits { max_namespaces: 3, ..Limits::default() };
    let node = TestServer::start(|server| {
        let slow = async |socket: Socket, State(log): State<Log>, State(gate): State<Arc<Semaphore>>| {
            log.note(format!("deciding {}", socket.namespace()));
            gate.acquire().await.unwrap().forget();
        };
        let server = server.state(log).state(gate.clone()).limits(limits);
        let server = server.namespace("/witness", |ns| ns).namespace("/", |ns| ns.on_connect(slow));
        server.namespace_pattern("/{name}", |ns| ns.on_connect(slow))
    })
    .await;
    let mut client = Client::open(node.addr).await;
    // To one namespace, to many, and with what the client asks for still open.
    for n in 0..100 {
        client.send("40").await;
        client.send("41").await;
        client.send(&format!("40/{n},")).await;
        client.send(&format!("41/{n},")).await;
    }
    for line in ["deciding /", "deciding /0", "deciding /"] {
        lines.expect(line).await;
    }
    let refusal = r#"{"message":"Too many namespaces on one connection"}"#;
    client.expect(&format!("44/1,{refusal}")).await;
    for n in 2..100 {
        client.expect(&format!("44{refusal}")).await;
        client.expect(&format!("44/{n},{refusal}")).await;
    }
    lines.is_empty();
    assert_eq!(node.metric(r#"sockeye_limit_rejections_total{limit="namespaces"}"#), 197.0);
    let mut witness = Client::open(node.addr).await;
    witness.join("/witness", "").await;
    // Once the handlers have decided, the client may ask again.
    gate.add_permits(3);
    node.metric_is(r#"sockeye_namespace_connects_total{result="gone"}"#, 3.0).await;
    gate.add_permits(1);
    client.join("/", "").await;
    lines.expect("deciding /").await;
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="ok"}"#), 2.0);
    node.stop().await;
}
