//! Engine.IO and Socket.IO packets.

use crate::{
    scene::Scene,
    support::{Client, Frame, Polling},
};

const ONE: &str = r#"{"_placeholder":true,"num":0}"#;

/// A client sends this and is thrown out, over both transports; the error is counted for each.
async fn ends(scene: &mut Scene, packets: &[&str], kind: &str) {
    println!("{:.80}", packets.concat());
    let before = scene.errors(kind).await;
    let mut client = scene.attacker().await;
    for packet in packets {
        match packet.strip_prefix("binary:") {
            Some(data) => client.send_binary(data.as_bytes()).await,
            None => client.send(packet).await,
        }
    }
    client.until_closed().await;
    assert_eq!(scene.left(&client.id).await, "forced close", "{packets:.80?}");
    let mut polling = scene.poller().await;
    let payload: Vec<String> = packets
        .iter()
        .map(|packet| match packet.strip_prefix("binary:") {
            // `YQ==` is base64 of `a`; what it says does not matter.
            Some(_) => "bYQ==".to_owned(),
            None => (*packet).to_owned(),
        })
        .collect();
    assert_eq!(polling.post(&payload.join("\u{1e}")).await.status, 200);
    assert_eq!(scene.left(&polling.id).await, "forced close", "{packets:.80?}");
    assert_eq!(scene.errors(kind).await, before + 2.0, "{kind}: {packets:.80?}");
}

/// A client sends this and is answered that.
async fn answered(client: &mut Client, packet: &str, answer: &str) {
    client.send(packet).await;
    let next = client.next().await;
    assert_eq!(next, Frame::Text(answer.to_owned()), "{packet:.80}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_23_binary_that_nobody_awaits() {
    let mut scene = Scene::start(&[]).await;
    ends(&mut scene, &["binary:x"], "unexpected_binary").await;
    ends(&mut scene, &[r#"42["message"]"#, "binary:x"], "unexpected_binary").await;
    // Before any namespace is joined, too.
    for _ in 0..100 {
        let mut client = Client::open(scene.addr).await;
        client.send_binary(&[0; 100_000]).await;
        client.closed().await;
    }
    assert_eq!(scene.errors("unexpected_binary").await, 104.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_24_text_while_attachments_are_awaited() {
    let mut scene = Scene::start(&[]).await;
    let event = format!(r#"451-["message",{ONE}]"#);
    for text in ["41", r#"42["message"]"#, "430[]", &event, "40/custom,"] {
        ends(&mut scene, &[&event, text], "unexpected_text").await;
    }
    // Heartbeats are none of it.
    let mut client = scene.attacker().await;
    client.send(&format!(r#"451-1["message-with-ack",{ONE}]"#)).await;
    client.send("3").await;
    client.send_binary(b"x").await;
    client.expect(&format!("461-1[{ONE}]")).await;
    client.expect_binary(b"x").await;
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_25_attachment_counts() {
    let mut scene = Scene::start(&[]).await;
    ends(&mut scene, &["455999999999-[\"message\"]"], "too_many_attachments").await;
    ends(&mut scene, &["4599999999999999999999999-[\"message\"]"], "too_many_attachments").await;
    ends(&mut scene, &["4511-[\"message\"]"], "too_many_attachments").await;
    ends(&mut scene, &["45-1-[\"message\"]"], "bad_attachment_count").await;
    ends(&mut scene, &["45-[\"message\"]"], "bad_attachment_count").await;
    ends(&mut scene, &["45[\"message\"]"], "bad_attachment_count").await;
    ends(&mut scene, &["451.5-[\"message\"]"], "bad_attachment_count").await;
    ends(&mut scene, &["451e1-[\"message\"]"], "bad_attachment_count").await;
    // Fewer than the placeholders say: they refer to what will never be there.
    ends(&mut scene, &[r#"451-["message",{"_placeholder":true,"num":1}]"#], "bad_placeholder").await;
    assert_eq!(scene.refused("attachments").await, 6.0);
    // Leading zeros are a number like any other, and more than the placeholders are just not used.
    let mut client = scene.attacker().await;
    client.send(&format!(r#"45001-1["message-with-ack",{ONE}]"#)).await;
    client.send_binary(b"x").await;
    client.expect(&format!("461-1[{ONE}]")).await;
    client.expect_binary(b"x").await;
    client.send(&format!(r#"452-2["message-with-ack",{ONE}]"#)).await;
    client.send_binary(b"x").await;
    client.send_binary(b"y").await;
    assert!(client.text().await.starts_with("46"));
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_25_zero_attachments() {
    let mut scene = Scene::start(&[]).await;
    // A whole event, and nothing waits for binary after it: what comes then is one too many and ends the connection.
    for packet in [r#"450-1["message-with-ack",1]"#, r#"45000-1["message-with-ack",1]"#] {
        for _ in 0..20 {
            let mut client = scene.attacker().await;
            answered(&mut client, packet, "431[1]").await;
            for _ in 0..100 {
                client.send_binary(&[0; 10_000]).await;
            }
            client.until_closed().await;
            assert_eq!(scene.left(&client.id).await, "forced close");
        }
    }
    // What looks like a placeholder is an object.
    let mut client = scene.attacker().await;
    answered(&mut client, &format!(r#"450-1["message-with-ack",{ONE}]"#), &format!("431[{ONE}]")).await;
    assert_eq!(scene.errors("unexpected_binary").await, 40.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_25_attachments_that_never_come() {
    let mut scene = Scene::start(&[]).await;
    // As much as one packet may have, from many clients at once.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = scene.attacker().await;
        client.send(r#"4510-["message"]"#).await;
        client.send_binary(&[0; 900_000]).await;
        for _ in 0..8 {
            client.send_binary(b"").await;
        }
        waiting.push(client);
    }
    scene.served().await;
    // One byte more than a message may have ends it, however many parts it has.
    for mut client in waiting {
        client.send_binary(&[0; 100_000]).await;
        assert_eq!(client.until_closed().await, []);
        assert_eq!(scene.left(&client.id).await, "forced close");
    }
    assert_eq!((scene.refused("payload").await, scene.errors("message_too_large").await), (20.0, 20.0));
    scene.end(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_26_placeholders() {
    let mut scene = Scene::start(&[]).await;
    for num in ["-1", "0.5", "1", "99999999999999999999", "\"0\"", "null", "[0]", "{}", "true", "1e0"] {
        let packet = format!(r#"451-["message",{{"_placeholder":true,"num":{num}}}]"#);
        ends(&mut scene, &[&packet], "bad_placeholder").await;
    }
    ends(&mut scene, &[r#"451-["message",{"_placeholder":true}]"#], "bad_placeholder").await;
    let nested = format!("{}{ONE}{}", "[".repeat(10_000), "]".repeat(10_000));
    ends(&mut scene, &[&format!(r#"451-["message",{nested}]"#)], "too_deep").await;
    // The same one several times is the same attachment several times; 30,000 of them do not multiply what was sent.
    let mut client = scene.attacker().await;
    client.send(&format!(r#"451-1["message-with-ack",{ONE},{ONE}]"#)).await;
    client.send_binary(b"x").await;
    client.expect(&format!("461-1[{ONE},{ONE}]")).await;
    client.expect_binary(b"x").await;
    let many = vec![ONE; 30_000].join(",");
    client.send(&format!(r#"451-["message-with-ack",{many}]"#)).await;
    client.send_binary(&[0; 50_000]).await;
    answered(&mut client, r#"423["message-with-ack"]"#, "433[]").await;
    // Without attachments they are objects like any other.
    answered(
        &mut client,
        r#"424["message-with-ack",{"_placeholder":true,"num":-7}]"#,
        r#"434[{"_placeholder":true,"num":-7}]"#,
    )
    .await;
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_27_json() {
    let mut scene = Scene::start(&[]).await;
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let value = if open == "[" { "" } else { "1" };
        let deep = format!(r#"42["message",{}{value}{}]"#, open.repeat(100_000), close.repeat(100_000));
        ends(&mut scene, &[&deep], "too_deep").await;
        let open_only = format!(r#"42["message",{}"#, open.repeat(100_000));
        ends(&mut scene, &[&open_only], "too_deep").await;
    }
    // As many values and keys as fit into a message.
    let values = format!(r#"42["message",[{}]]"#, vec!["1"; 490_000].join(","));
    ends(&mut scene, &[&values], "too_many_values").await;
    let mut client = scene.attacker().await;
    let keys = format!("{{{}}}", (0..80_000).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(","));
    client.send(&format!(r#"421["message-with-ack",{keys}]"#)).await;
    assert_eq!(client.text().await.len(), keys.len() + 5);
    for args in [
        &*"9".repeat(100_000),
        "1e999999",
        "-0.000000000000000000000000000000000000000000000000000000000001e-999",
        "123456789012345678901234567890",
        r#"{"__proto__":{"polluted":1},"constructor":{"prototype":{}}}"#,
        r#"{"a":1,"a":2,"a":3}"#,
        r#""\ud800""#,
        r#""\udc00\ud800 \u0000""#,
        r#""\u2028\u2029""#,
    ] {
        answered(&mut client, &format!(r#"421["message-with-ack",{args}]"#), &format!("431[{args}]")).await;
    }
    for wrong in [
        "NaN",
        "Infinity",
        "01",
        "1.",
        "'x'",
        "undefined",
        "[1,]",
        "{\"a\"}",
        "\"\u{1}\"",
        "\"\\x\"",
        "/**/1",
        "1 2",
    ] {
        ends(&mut scene, &[&format!(r#"42["message",{wrong}]"#)], "bad_json").await;
    }
    assert_eq!((scene.refused("json_depth").await, scene.refused("json_values").await), (8.0, 2.0));
    scene.end(48).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_28_event_names() {
    let mut scene = Scene::start(&[]).await;
    for name in ["null", "true", "{}", "[]", r#"["message"]"#, r#"{"toString":"x"}"#] {
        ends(&mut scene, &[&format!("42[{name}]")], "bad_event_name").await;
    }
    ends(&mut scene, &["42[]"], "bad_event_name").await;
    for payload in ["", "{}", "null", "\"message\"", "1"] {
        ends(&mut scene, &[&format!("42{payload}")], "bad_payload").await;
    }
    for name in [
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
        "\\u0064isconnect",
    ] {
        ends(&mut scene, &[&format!(r#"42["{name}"]"#)], "reserved_event").await;
    }
    let long = "e".repeat(257);
    ends(&mut scene, &[&format!(r#"42["{long}"]"#)], "event_too_long").await;
    assert_eq!(scene.refused("event_length").await, 2.0);
    // What is only odd is an event like any other: in `/wild` a handler gets it under its name.
    let mut client = scene.attacker().await;
    client.join("/wild", "").await;
    for (name, known) in [
        ("7", r#""7""#),
        (r#""error""#, r#""error""#),
        (r#""""#, r#""""#),
        (r#""__proto__""#, r#""__proto__""#),
    ] {
        client.send(&format!("42/wild,[{name},1]")).await;
        client.expect(&format!(r#"42/wild,["caught",[{known},1]]"#)).await;
    }
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_29_ack_ids() {
    let mut scene = Scene::start(&[]).await;
    for id in ["18446744073709551616", &*"9".repeat(900_000)] {
        ends(&mut scene, &[&format!(r#"42{id}["message"]"#)], "bad_ack_id").await;
        ends(&mut scene, &[&format!("43{id}[]")], "bad_ack_id").await;
    }
    ends(&mut scene, &["43[]"], "bad_ack_id").await;
    ends(&mut scene, &["43-1[]"], "bad_ack_id").await;
    ends(&mut scene, &["431{}"], "bad_payload").await;
    // Acks that nobody waits for: unknown, repeated, of another client's question.
    let mut asked = scene.attacker().await;
    let mut attacker = scene.attacker().await;
    let call = format!(r#"["call",{{"sid":"{}","event":"secret","args":[],"timeout_ms":60000}}]"#, asked.id);
    scene.tell(&format!("9{call}")).await;
    let question = asked.text().await;
    let id = question.strip_prefix("42").unwrap().split_once('[').unwrap().0.to_owned();
    for guess in 0..1_000 {
        attacker.send(&format!(r#"43{guess}["forged"]"#)).await;
    }
    attacker.send(&format!(r#"43{}["forged"]"#, u64::MAX)).await;
    answered(&mut attacker, r#"421["message-with-ack"]"#, "431[]").await;
    assert_eq!(scene.metric("sockeye_unexpected_acks_total").await, 1_001.0);
    asked.send(&format!(r#"43{id}["mine"]"#)).await;
    asked.send(&format!(r#"43{id}["again"]"#)).await;
    scene.hears(r#"439[{"ok":["mine"]}]"#).await;
    answered(&mut asked, r#"421["message-with-ack"]"#, "431[]").await;
    assert_eq!(scene.metric("sockeye_unexpected_acks_total").await, 1_002.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_30_namespaces_and_auth() {
    let mut scene = Scene::start(&[]).await;
    for auth in [r#""text""#, "[1]", "true", "null"] {
        ends(&mut scene, &[&format!("40/custom,{auth}")], "bad_payload").await;
    }
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100), "}".repeat(100));
    ends(&mut scene, &[&format!("40/custom,{deep}")], "too_deep").await;
    let long = "n".repeat(64 * 1024);
    ends(&mut scene, &[&format!("40/{long},")], "namespace_too_long").await;
    ends(&mut scene, &["40/a\u{0}b,"], "bad_namespace").await;
    assert_eq!(scene.refused("namespace_length").await, 2.0);
    // The same namespace twice.
    let mut client = scene.attacker().await;
    client.send("40").await;
    client.until_closed().await;
    assert_eq!(scene.left(&client.id).await, "forced close");
    // An auth object as large as a message may be.
    let mut client = Client::open(scene.addr).await;
    client.join("/auth", &format!(r#"{{"token":"good","x":"{}"}}"#, "x".repeat(990_000))).await;
    // Paths are names, and nothing else: no way leads from one to another. A query belongs to none.
    let mut client = scene.attacker().await;
    for path in [
        "/custom/../",
        "/./custom",
        "//custom",
        "/custom/",
        "/CUSTOM",
        "/gone",
        "/%63ustom",
        "/__proto__",
        "/*",
    ] {
        answered(
            &mut client,
            &format!("40{path},"),
            &format!(r#"44{path},{{"message":"Invalid namespace"}}"#),
        )
        .await;
    }
    client.join("/custom", "").await;
    client.expect(r#"42/custom,["auth",{}]"#).await;
    let mut client = Client::open(scene.addr).await;
    client.send("40/custom?token=1&x=/admin,").await;
    assert!(client.text().await.starts_with(r#"40/custom,{"sid":"#));
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_30_ten_thousand_namespaces() {
    let scene = Scene::start(&[]).await;
    // Namespaces that are made for whoever asks: as many as one connection may have, and the rest is refused.
    let mut client = scene.attacker().await;
    let (mut joined, mut refused) = (0, 0);
    for n in 0..10_000 {
        client.send(&format!("40/dyn-{n},")).await;
    }
    while joined + refused < 10_000 {
        let answer = client.text().await;
        if answer.starts_with("40/dyn-") {
            joined += 1;
        } else if answer.starts_with("44/dyn-") {
            assert!(answer.contains("Too many namespaces on one connection"), "{answer}");
            refused += 1;
        } else {
            assert!(answer.contains(r#"["id","#), "{answer}");
        }
    }
    assert_eq!((joined, refused), (63, 9_937));
    assert_eq!(scene.refused("namespaces").await, 9_937.0);
    // In and out again, ten thousand times under another name.
    let mut client = scene.attacker().await;
    for n in 0..10_000 {
        client.send(&format!("40/dyn-again-{n},")).await;
        client.send(&format!("41/dyn-again-{n},")).await;
    }
    let mut joined = 0;
    while joined < 10_000 {
        joined += usize::from(client.text().await.starts_with("40/dyn-again-"));
    }
    client.vanish();
    // Unknown ones by a client that does not even listen.
    let mut polling = Polling::open(scene.addr).await;
    for _ in 0..3 {
        polling.send(&(0..1_000).map(|n| format!("40/none-{n},")).collect::<Vec<_>>().join("\u{1e}")).await;
    }
    scene.metric_is(r#"sockeye_namespace_connects_total{result="unknown"}"#, 3_000.0).await;
    // They are one label, whatever clients call them.
    assert_eq!(scene.metric(r#"sockeye_sockets{nsp="/dyn-{id}"}"#).await, 63.0);
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_31_packets_out_of_place() {
    let mut scene = Scene::start(&[]).await;
    ends(&mut scene, &[r#"44{"message":"no"}"#], "bad_packet_type").await;
    ends(&mut scene, &[r#"44/custom,"no""#], "bad_packet_type").await;
    ends(&mut scene, &["47"], "bad_packet_type").await;
    ends(&mut scene, &["41{}"], "bad_payload").await;
    // Leaving where one never was, and speaking there: counted, and harmless.
    let mut client = scene.attacker().await;
    for _ in 0..1_000 {
        client.send("41/custom,").await;
        client.send("41/nowhere,").await;
        client.send(r#"42/custom,1["message-with-ack"]"#).await;
        client.send("43/custom,1[]").await;
    }
    answered(&mut client, r#"421["message-with-ack"]"#, "431[]").await;
    assert_eq!(scene.metric("sockeye_outside_namespace_total").await, 2_000.0);
    // From one who never joined anything it is the end.
    for packet in [r#"42["message"]"#, "430[]", r#"42/custom,["message"]"#] {
        let mut client = Client::open(scene.addr).await;
        client.send(packet).await;
        assert_eq!(client.until_closed().await, []);
    }
    assert_eq!(scene.metric("sockeye_outside_namespace_total").await, 2_003.0);
    scene.end(16).await;
}
