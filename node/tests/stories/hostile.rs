//! Input that no decent client sends: at the worst that one session ends, the error is counted, and nobody else notices.

use std::collections::BTreeMap;

use serde_json::json;
use sockeye::{Args, DisconnectReason, State};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Client, Frame, Http, Lines, Log, Polling, TestServer, log};

const MAX_PAYLOAD: usize = 10_000;

/// A server, and a client that has to be served whatever others do.
struct Scene {
    node: TestServer,
    lines: Lines,
    witness: Client,
    errors: BTreeMap<String, f64>,
}

impl Scene {
    async fn start() -> Self {
        let (log, lines) = log();
        let node = TestServer::start(|server| {
            server.state(log).max_payload(MAX_PAYLOAD).namespace("/witness", |ns| ns).namespace("/", |ns| {
                ns.on("echo", async |args: Args| args)
                    .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
            })
        })
        .await;
        let mut witness = Client::open(node.addr).await;
        witness.join("/witness", "").await;
        Self { node, lines, witness, errors: BTreeMap::new() }
    }

    fn errors(&self) -> BTreeMap<String, f64> {
        let text = self.node.server.metrics();
        text.lines()
            .filter_map(|line| line.strip_prefix("sockeye_decode_errors_total{"))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(labels, count)| (labels.trim_end_matches('}').to_owned(), count.parse().unwrap()))
            .collect()
    }

    /// The layer and kind of the one error that was counted since the last call.
    fn new_error(&mut self) -> Option<String> {
        let now = self.errors();
        let new: Vec<_> = now
            .iter()
            .filter(|(labels, count)| self.errors.get(*labels).copied().unwrap_or_default() != **count)
            .map(|(labels, count)| {
                assert_eq!(*count, self.errors.get(labels).copied().unwrap_or_default() + 1.0, "{labels}");
                labels.replace("kind=", "").replace("layer=", "").replace('"', "")
            })
            .collect();
        self.errors = now;
        assert!(new.len() <= 1, "{new:?}");
        new.into_iter().next()
    }

    async fn unharmed(&mut self) {
        let io = self.node.server.io().of("/witness").unwrap();
        assert_eq!(io.emit("unharmed", ()).reached(), 1);
        self.witness.expect(r#"42/witness,["unharmed"]"#).await;
    }

    async fn end(mut self) {
        self.unharmed().await;
        self.lines.is_empty();
        assert_eq!(self.node.metric("sockeye_handler_panics_total"), 0.0);
        self.node.stop().await;
    }
}

/// A frame as a client makes it, with a mask that changes nothing.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        small @ 0..=125 => frame.push(0x80 | small as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        large => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(large as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_against_the_rules_of_websocket() {
    let mut scene = Scene::start().await;
    let fragments = |count: usize, payload: &[u8]| {
        let mut bytes = frame(0x01, payload);
        for _ in 0..count {
            bytes.extend(frame(0x00, payload));
        }
        bytes
    };
    for (name, bytes, error, code) in [
        ("no mask", vec![0x81, 0x01, b'3'], "unmasked", 1002),
        ("noise", vec![0xff; 64], "reserved_bits", 1002),
        ("a reserved bit", frame(0xc1, b"3"), "reserved_bits", 1002),
        ("a reserved opcode", frame(0x83, b"3"), "reserved_opcode", 1002),
        ("a reserved control opcode", frame(0x8b, b"3"), "reserved_opcode", 1002),
        ("a large ping", frame(0x89, &[0; 126]), "control_too_long", 1002),
        ("half a ping", frame(0x09, b""), "control_fragmented", 1002),
        ("half a goodbye", frame(0x08, b""), "control_fragmented", 1002),
        ("the end of nothing", frame(0x80, b"3"), "lone_continuation", 1002),
        ("two beginnings", [frame(0x01, b"4"), frame(0x81, b"3")].concat(), "interrupted_message", 1002),
        ("a frame too large", frame(0x81, &[b'4'; MAX_PAYLOAD + 1]), "frame_too_large", 1009),
        (
            "an announcement of 2^62 bytes",
            [&[0x82, 0xff, 0x40][..], &[0; 11]].concat(),
            "frame_too_large",
            1009,
        ),
        (
            "an announcement of 2^64 - 1 bytes",
            [&[0x82][..], &[0xff; 9], &[0; 4]].concat(),
            "frame_too_large",
            1009,
        ),
        ("a message too large, bit by bit", fragments(MAX_PAYLOAD, b"4"), "frame_too_large", 1009),
        ("nothing, for ever", fragments(200_000, b""), "too_many_fragments", 1009),
        ("bytes that are no text", frame(0x81, b"4\xc3\x28"), "bad_utf8", 1007),
        ("a cut character", frame(0x81, b"4\xe2\x82"), "bad_utf8", 1007),
        ("a surrogate", frame(0x81, b"4\xed\xa0\x80"), "bad_utf8", 1007),
        ("no text, in pieces", [frame(0x01, b"4\xc3"), frame(0x80, b"\x28")].concat(), "bad_utf8", 1007),
        ("no text, noticed before its end", frame(0x01, b"4\xff"), "bad_utf8", 1007),
        ("a goodbye of one byte", frame(0x88, b"\x03"), "bad_close", 1002),
        ("a goodbye with a code that is none", frame(0x88, &1005_u16.to_be_bytes()), "bad_close", 1002),
        ("a goodbye in no language", frame(0x88, b"\x03\xe8\xff"), "bad_utf8", 1007),
    ] {
        println!("{name}");
        let mut client = Client::connect(scene.node.addr).await;
        client.send_bytes(&bytes).await;
        assert_eq!(client.closed().await, Some(code), "{name}");
        let reason = if code == 1009 { "transport close" } else { "transport error" };
        scene.lines.expect(reason).await;
        assert_eq!(scene.new_error().unwrap(), format!("{error},websocket"), "{name}");
        scene.unharmed().await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusual_frames_within_the_rules() {
    let mut scene = Scene::start().await;
    let mut client = Client::connect(scene.node.addr).await;
    // In pieces, with control frames between them, byte by byte, several in one write, a long form of a short length.
    let event = br#"421["echo","\u00e4",1]"#;
    let mut pieces = frame(0x01, &event[..5]);
    pieces.extend(frame(0x89, b"ping"));
    pieces.extend(frame(0x00, b""));
    pieces.extend(frame(0x8a, b"pong"));
    pieces.extend(frame(0x80, &event[5..]));
    client.send_bytes(&pieces).await;
    assert_eq!(client.pong().await, b"ping");
    client.expect(r#"431["\u00e4",1]"#).await;
    for byte in frame(0x81, event) {
        client.send_bytes(&[byte]).await;
    }
    client.expect(r#"431["\u00e4",1]"#).await;
    client.send_bytes(&frame(0x81, event).repeat(100)).await;
    for _ in 0..100 {
        client.expect(r#"431["\u00e4",1]"#).await;
    }
    let long = [&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, event.len() as u8, 0, 0, 0, 0][..], event].concat();
    client.send_bytes(&long).await;
    client.expect(r#"431["\u00e4",1]"#).await;
    let masked: Vec<u8> =
        event.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
    client.send_bytes(&[&[0x81, 0x80 | event.len() as u8, 1, 2, 3, 4][..], &masked].concat()).await;
    client.expect(r#"431["\u00e4",1]"#).await;
    // The largest that may be sent.
    let fits = format!(r#"422["echo","{}"]"#, "x".repeat(MAX_PAYLOAD - 14));
    assert_eq!(fits.len(), MAX_PAYLOAD);
    client.send(&fits[..]).await;
    assert!(client.text().await.starts_with(r#"432["xxx"#));
    // Behind a goodbye nothing counts.
    let mut goodbye = frame(0x88, &1000_u16.to_be_bytes());
    goodbye.extend(frame(0x81, event));
    goodbye.extend([0xff; 100]);
    client.send_bytes(&goodbye).await;
    client.closed().await;
    scene.lines.expect("transport close").await;
    assert_eq!(scene.new_error(), None);
    scene.end().await;
}

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
async fn requests_that_are_none() {
    let mut scene = Scene::start().await;
    let open = "/socket.io/?EIO=4&transport=polling";
    let large = format!("GET {open} HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(1_000_000));
    let many: String = (0..5_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    let many = format!("GET {open} HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    let long = format!("GET {open}&x={} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(200_000));
    for request in [
        "\0\u{1}\u{2}\r\n\r\n",
        "\u{16}\u{3}\u{1}\0\u{5}\u{1}\0\0\u{1}\0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET\r\n\r\n",
        "GET /socket.io/?EIO=4&transport=polling HTTP/9.9\r\n\r\n",
        "GET /socket.io/ HTTP/1.1\r\nno colon\r\n\r\n",
        "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        "POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        &large,
        &many,
        &long,
    ] {
        println!("{}", request.chars().take(60).collect::<String>());
        let mut http = Http::connect(scene.node.addr).await;
        http.write(request.as_bytes()).await;
        if let Some(answer) = http.answer_or_end().await {
            assert!((400..=505).contains(&answer.status), "{answer:?}");
        }
        scene.unharmed().await;
    }
    // Within a session: its POST fails, and that is all.
    let mut polling = Polling::connect(scene.node.addr).await;
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\n", polling.target());
    for rest in
        ["transfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n", "content-length: 100\r\n\r\n42[\"echo\""]
    {
        let mut http = Http::connect(scene.node.addr).await;
        http.write(format!("{head}{rest}").as_bytes()).await;
        http.hang_up().await;
    }
    polling.send(r#"421["echo"]"#).await;
    polling.expect("431[]").await;
    // Two requests in one piece are answered one after the other.
    let mut http = Http::connect(scene.node.addr).await;
    http.write(format!("GET {open} HTTP/1.1\r\nhost: x\r\n\r\n").repeat(2).as_bytes()).await;
    assert_eq!((http.answer().await.status, http.answer().await.status), (200, 200));
    polling.send("1").await;
    scene.lines.expect("transport close").await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_are_none() {
    let mut scene = Scene::start().await;
    let good = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let target = "/socket.io/?EIO=4&transport=websocket";
    for (header, value, status) in [
        ("connection", "close", 400),
        ("connection", "", 400),
        ("upgrade", "h2c", 400),
        ("upgrade", "", 400),
        ("sec-websocket-version", "12", 426),
        ("sec-websocket-version", "", 426),
        ("sec-websocket-key", "short", 400),
        ("sec-websocket-key", "", 400),
    ] {
        let headers: Vec<_> =
            good.iter().map(|(name, good)| (*name, if *name == header { value } else { *good })).collect();
        let mut http = Http::connect(scene.node.addr).await;
        let answer = http.request("GET", target, &headers, b"").await;
        assert_eq!(answer.status, status, "{header}: {value}");
        if status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
        }
        scene.unharmed().await;
    }
    // By another method, or under the name of the other transport.
    let mut http = Http::connect(scene.node.addr).await;
    assert_eq!(http.request("POST", target, &good, b"").await.status, 400);
    let mut http = Http::connect(scene.node.addr).await;
    assert_eq!(http.request("GET", "/socket.io/?EIO=4&transport=polling", &good, b"").await.status, 400);
    // Extensions and protocols that nobody agreed on are not agreed on.
    let extension = ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits, x-\u{7f}");
    let protocol = ("sec-websocket-protocol", "a, b, ,,,\"");
    let headers: Vec<_> = good.into_iter().chain([extension, protocol]).collect();
    let mut http = Http::connect(scene.node.addr).await;
    let answer = http.request("GET", target, &headers, b"").await;
    if answer.status == 101 {
        assert_eq!(answer.header("sec-websocket-extensions"), None);
        assert_eq!(answer.header("sec-websocket-protocol"), None);
    } else {
        assert_eq!(answer.status, 400, "a control character in a header");
    }
    // Odd queries: unknown and repeated keys, escapes that are none. The first of each counts.
    for query in [
        "EIO=4&transport=polling&EIO=3&transport=x",
        "&&&EIO=4&=&==&transport=polling&sid=",
        "EIO=4&transport=polling&sid[]=a&sid[x]=b&__proto__=1",
        "EIO=%34&transport=poll%69ng&%=%&%zz=%ff",
        "EIO=4&transport=polling&t=%0d%0aX-Injected:%201",
    ] {
        let answer = Http::connect(scene.node.addr).await.get(&format!("/socket.io/?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.header("x-injected"), None);
    }
    let keys = "a=1&".repeat(7_000);
    let answer =
        Http::connect(scene.node.addr).await.get(&format!("/socket.io/?{keys}EIO=4&transport=polling")).await;
    assert!([200, 414, 431].contains(&answer.status), "{}", answer.status);
    scene.unharmed().await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_cannot_speak_for_another() {
    let mut scene = Scene::start().await;
    let mut victim = Client::connect(scene.node.addr).await;
    let mut attacker = Client::connect(scene.node.addr).await;
    let session = attacker.sid().to_owned();
    // The id that others can see opens no session.
    let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", victim.id);
    assert_eq!(Http::connect(scene.node.addr).await.get(&target).await.status, 400);
    assert!(Client::probe(scene.node.addr, &victim.id).await.is_err());
    // A session id with another's bits is a forgery.
    let mut forged = session.clone().into_bytes();
    for at in [0, 5, 12, 20, 30, 39] {
        let good = forged[at];
        forged[at] = if good == b'A' { b'B' } else { b'A' };
        let target = format!("/socket.io/?EIO=4&transport=polling&sid={}", str::from_utf8(&forged).unwrap());
        let answer = Http::connect(scene.node.addr).await.get(&target).await;
        assert_eq!(answer.text(), r#"{"code":1,"message":"Session ID unknown"}"#);
        forged[at] = good;
    }
    victim.send(r#"421["echo","mine"]"#).await;
    assert_eq!(victim.next().await, Frame::Text(r#"431["mine"]"#.into()));
    attacker.send(r#"421["echo","mine"]"#).await;
    attacker.expect(r#"431["mine"]"#).await;
    victim.vanish();
    attacker.vanish();
    scene.lines.expect("transport close").await;
    scene.lines.expect("transport close").await;
    scene.end().await;
}
