//! Frames, upgrades, and clients that do not read.

use tokio::net::TcpSocket;
use tokio_tungstenite::tungstenite::Message;

use crate::{
    scene::Scene,
    support::{Client, Frame, Polling, frame},
};

/// The default of the server.
const MAX_PAYLOAD: usize = 1_000_000;

/// Sends bytes below the WebSocket; the server closes with this code, and the socket leaves for this reason.
async fn ends(scene: &mut Scene, name: &str, bytes: &[u8], code: u16, reason: &str) {
    println!("{name}");
    let mut client = scene.attacker().await;
    client.send_bytes(bytes).await;
    let closed = loop {
        match client.next().await {
            Frame::Closed(code) => break code,
            _ => continue,
        }
    };
    assert_eq!(closed, Some(code), "{name}");
    assert_eq!(scene.left(&client.id).await, reason, "{name}");
}

/// A message in fragments.
fn fragments(count: usize, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(0x01, payload);
    let next = frame(0x00, payload);
    bytes.reserve(count * next.len());
    for _ in 0..count {
        bytes.extend_from_slice(&next);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_15_message_over_the_limit_in_one_frame() {
    let mut scene = Scene::start(&[]).await;
    for first in [0x81, 0x82] {
        ends(&mut scene, "one frame", &frame(first, &vec![b'4'; MAX_PAYLOAD + 1]), 1009, "transport close")
            .await;
    }
    let announced = [&[0x82, 0xff, 0x40][..], &[0; 11]].concat();
    ends(&mut scene, "2^62 bytes announced", &announced, 1009, "transport close").await;
    let announced = [&[0x82][..], &[0xff; 9], &[0; 4]].concat();
    ends(&mut scene, "2^64 bytes announced", &announced, 1009, "transport close").await;
    // Many who announce as much as they may, and send little of it.
    let mut waiting = Vec::new();
    for _ in 0..200 {
        let mut client = scene.attacker().await;
        let mut begin = vec![0x82, 0xff];
        begin.extend_from_slice(&(MAX_PAYLOAD as u64).to_be_bytes());
        begin.extend_from_slice(&[0, 0, 0, 0, 1, 2, 3]);
        client.send_bytes(&begin).await;
        waiting.push(client);
    }
    scene.served().await;
    assert_eq!(scene.refused("payload").await, 4.0);
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_15_message_over_the_limit_in_one_byte_fragments() {
    let mut scene = Scene::start(&[]).await;
    ends(&mut scene, "bytes", &fragments(MAX_PAYLOAD, b"4"), 1009, "transport close").await;
    assert_eq!((scene.refused("payload").await, scene.errors("frame_too_large").await), (1.0, 1.0));
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_15_empty_fragments() {
    let mut scene = Scene::start(&[]).await;
    ends(&mut scene, "nothing, for ever", &fragments(1_000_000, b""), 1009, "transport close").await;
    let mut with_text = frame(0x01, b"42[");
    with_text.extend(frame(0x00, b"").repeat(1_000));
    ends(&mut scene, "nothing behind something", &with_text, 1009, "transport close").await;
    assert_eq!((scene.refused("fragments").await, scene.errors("too_many_fragments").await), (2.0, 2.0));
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_16_control_frames() {
    let mut scene = Scene::start(&[]).await;
    for (name, bytes) in [
        ("no mask", vec![0x81, 0x01, b'3']),
        ("a ping without a mask", vec![0x89, 0x00]),
        ("the first reserved bit", frame(0xc1, b"3")),
        ("the second reserved bit", frame(0xa1, b"3")),
        ("the third reserved bit", frame(0x91, b"3")),
        ("a reserved bit on a ping", frame(0xc9, b"")),
        ("a reserved opcode", frame(0x83, b"3")),
        ("a reserved control opcode", frame(0x8b, b"3")),
        ("a large ping", frame(0x89, &[0; 126])),
        ("a huge pong", frame(0x8a, &[0; 70_000])),
        ("half a ping", frame(0x09, b"")),
        ("two beginnings", [frame(0x01, b"4"), frame(0x81, b"3")].concat()),
        ("the end of nothing", frame(0x80, b"3")),
    ] {
        ends(&mut scene, name, &bytes, 1002, "transport error").await;
    }
    // Control frames between fragments are right, however many.
    let mut client = scene.attacker().await;
    let mut bytes = frame(0x01, br#"421["message-"#);
    for _ in 0..2_000 {
        bytes.extend(frame(0x8a, b"pong"));
    }
    bytes.extend(frame(0x80, br#"with-ack"]"#));
    client.send_bytes(&bytes).await;
    client.expect("431[]").await;
    // A flood of pings from one who reads none of the answers.
    let stream = tokio::net::TcpStream::connect(scene.addr).await.unwrap();
    let mut flood = Client::open_lazy(stream).await;
    flood.flood(&frame(0x89, &[7; 125]).repeat(500), 200).await;
    scene.served().await;
    // Another answers to what it gets, and is still there.
    for _ in 0..200 {
        client.send_bytes(&frame(0x89, &[7; 125]).repeat(500)).await;
    }
    client.send(r#"422["message-with-ack"]"#).await;
    client.expect("432[]").await;
    assert_eq!(scene.errors("unmasked").await, 2.0);
    assert_eq!(scene.errors("reserved_bits").await, 4.0);
    assert_eq!(scene.errors("control_too_long").await, 2.0);
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_18_text_that_is_none() {
    let mut scene = Scene::start(&[]).await;
    let pieces = |pieces: &[&[u8]]| {
        let mut bytes = Vec::new();
        for (n, piece) in pieces.iter().enumerate() {
            let end = if n + 1 == pieces.len() { 0x80 } else { 0 };
            bytes.extend(frame(end | u8::from(n == 0), piece));
        }
        bytes
    };
    let wrong: [(&str, &[&[u8]]); 8] = [
        ("in one piece", &[b"42[\"\xc3\x28\"]"]),
        ("between two", &[b"42[\"\xc3", b"\x28\"]"]),
        ("byte by byte", &[b"4", b"\xf0", b"\x9f", b"\x92", b"\x28"]),
        ("cut at the end", &[b"42[\"\xe2", b"\x82"]),
        ("a surrogate", &[b"4\xed", b"\xa0", b"\x80"]),
        ("too long a form", &[b"4\xc0", b"\xaf"]),
        ("beyond the last character", &[b"4\xf4\x90", b"\x80\x80"]),
        ("nothing but continuation", &[b"4", b"\x80\x80\x80"]),
    ];
    for (name, text) in wrong {
        ends(&mut scene, name, &pieces(text), 1007, "transport error").await;
    }
    // A character may be spread over fragments.
    let mut client = scene.attacker().await;
    client.send_bytes(&pieces(&[b"421[\"message-with-ack\",\"\xf0", b"\x9f\x92", b"", b"\xa9\"]"])).await;
    client.expect("431[\"\u{1f4a9}\"]").await;
    assert_eq!(scene.errors("bad_utf8").await, wrong.len() as f64);
    scene.end(16).await;
}

/// A polling session, and a WebSocket that wants to become its transport.
async fn probing(scene: &Scene) -> (Polling, Client) {
    let polling = scene.poller().await;
    let probe = Client::probe(scene.addr, polling.sid()).await.unwrap_or_else(|answer| panic!("{answer:?}"));
    (polling, probe)
}

/// Another WebSocket for a session that has one, or is probed by one, is closed before it says anything.
async fn turned_away(scene: &Scene, polling: &Polling) {
    let mut another = Client::probe(scene.addr, polling.sid()).await.expect("it is opened");
    another.send("2probe").await;
    assert_eq!(another.until_closed().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_19_upgrades_that_are_none() {
    let mut scene = Scene::start(&[]).await;
    let works = async |polling: &mut Polling| {
        polling.send(r#"421["message-with-ack"]"#).await;
        loop {
            // An upgrade under way answers a waiting GET with nothing.
            match polling.next().await.as_str() {
                "6" => {}
                answer => return assert_eq!(answer, "431[]"),
            }
        }
    };
    // Never completed: the session goes on as before.
    let (mut polling, mut probe) = probing(&scene).await;
    probe.send("2probe").await;
    probe.expect("3probe").await;
    works(&mut polling).await;
    // A second one at the same time is refused.
    turned_away(&scene, &polling).await;
    probe.vanish();
    works(&mut polling).await;
    // What has no place on a probe ends that, and nothing else.
    for wrong in [
        Message::text("5"),
        Message::text("4"),
        Message::text(r#"42["message-with-ack"]"#),
        Message::text("40"),
        Message::text("2"),
        Message::text("3"),
        Message::text("2probe?"),
        Message::text("x"),
        Message::text(""),
        Message::binary(vec![2]),
        Message::text("x".repeat(100_000)),
    ] {
        let (mut polling, mut probe) = probing(&scene).await;
        probe.send_raw(wrong.clone()).await;
        assert_eq!(probe.until_closed().await, [], "{wrong:.50}");
        works(&mut polling).await;
    }
    // Twice: a session that has moved does not move again.
    let (polling, mut probe) = probing(&scene).await;
    probe.send("2probe").await;
    probe.expect("3probe").await;
    probe.send("5").await;
    probe.send(r#"421["message-with-ack"]"#).await;
    probe.expect("431[]").await;
    turned_away(&scene, &polling).await;
    probe.send("5").await;
    probe.send("2probe").await;
    // That is a ping, which version 4 has none of from clients.
    probe.until_closed().await;
    assert_eq!(scene.left(&polling.id).await, "transport error");
    // Many probes for one session, and many sessions with a probe that says nothing.
    let mut many = Vec::new();
    for _ in 0..100 {
        many.push(probing(&scene).await);
    }
    for (polling, _) in &many {
        turned_away(&scene, polling).await;
    }
    assert!(scene.metric(r#"sockeye_upgrades_total{result="failed"}"#).await >= 11.0);
    assert!(scene.metric(r#"sockeye_upgrades_total{result="refused"}"#).await >= 101.0);
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_20_slow_reader() {
    let mut scene = Scene::start(&[]).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = Client::open_lazy(socket.connect(scene.addr).await.unwrap()).await;
    slow.join("/", "").await;
    let mut reader = scene.attacker().await;
    // 50 MB to everyone but the sender; the slow one takes none of it.
    let text = "x".repeat(500_000);
    for n in 0..100 {
        let sent = format!(r#"["broadcast","news",{n},"{text}"]"#);
        scene.tell(&sent).await;
        let news = reader.text().await;
        assert!(news.starts_with(&format!(r#"42["news",{n},"xxx"#)), "{:.30}", news);
        reader.send(&format!(r#"42{n}["message-with-ack"]"#)).await;
        reader.expect(&format!("43{n}[]")).await;
    }
    assert_eq!(scene.left(&slow.id).await, "slow");
    assert_eq!(scene.metric(r#"sockeye_disconnections_total{reason="slow"}"#).await, 1.0);
    assert_eq!(scene.refused("outbox_bytes").await, 1.0);
    assert!(scene.metric(r#"sockeye_send_queue_dropped_total{reason="slow"}"#).await >= 1.0);
    assert_eq!(scene.metric("sockeye_send_queue_bytes").await, 0.0);
    // The bound of an outbox is 4 MiB; then there are the packet under way, its parts, and what the allocator keeps.
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_21_pong_flood() {
    let mut scene = Scene::start(&["--ping-interval-ms", "300", "--ping-timeout-ms", "5000"]).await;
    let mut client = scene.attacker().await;
    let mut polling = scene.poller().await;
    // Pongs that nobody asked for begin nothing and end nothing.
    for _ in 0..100 {
        client.send_bytes(&frame(0x81, b"3").repeat(5_000)).await;
        polling.send(&["3"; 1_000].join("\u{1e}")).await;
    }
    scene.served().await;
    // There is still one ping for each interval, and no more.
    client.shows_pings = true;
    for _ in 0..3 {
        client.expect("2").await;
        client.send("3").await;
    }
    client.send(r#"421["message-with-ack"]"#).await;
    loop {
        match client.text().await.as_str() {
            "2" => client.send("3").await,
            answer => break assert_eq!(answer, "431[]"),
        }
    }
    assert_eq!(scene.errors("").await, 0.0);
    let received = scene.metric(r#"sockeye_received_bytes_total{transport="websocket"}"#).await;
    assert!(received >= 500_000.0 * 7.0, "they have come: {received}");
    assert!(scene.metric(r#"sockeye_received_bytes_total{transport="polling"}"#).await >= 100.0 * 1_999.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_22_frames_behind_the_goodbye() {
    let mut scene = Scene::start(&[]).await;
    for behind in [
        frame(0x81, br#"42["broadcast","behind"]"#).repeat(10_000),
        vec![0xff; 1_000_000],
        frame(0x88, b"").repeat(10_000),
        frame(0x82, &vec![0; 2_000_000]),
    ] {
        let mut client = scene.attacker().await;
        let mut bytes = frame(0x88, &1000_u16.to_be_bytes());
        bytes.extend(behind);
        client.send_bytes(&bytes).await;
        assert_eq!(client.until_closed().await, []);
        assert_eq!(scene.left(&client.id).await, "transport close");
    }
    let before = scene.metric(r#"sockeye_packets_received_total{type="event"}"#).await;
    scene.served().await;
    assert_eq!(scene.metric(r#"sockeye_packets_received_total{type="event"}"#).await, before + 1.0);
    scene.metric_is(r#"sockeye_connections{transport="websocket"}"#, 1.0).await;
    scene.end(16).await;
}
