//! Below the packets: what no WebSocket may send.

use super::{MAX_PAYLOAD, Scene};
use crate::support::{Client, frame};

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
