//! Requests, handshakes and sessions.

use std::time::Duration;

use crate::{
    scene::{Scene, acceptance},
    support::{Answer, Client, Http, Polling},
};

const OPEN: &str = "/socket.io/?EIO=4&transport=polling";
const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";
const UNKNOWN_SID: &str = r#"{"code":1,"message":"Session ID unknown"}"#;
const UPGRADE: [(&str, &str); 4] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// Answers of at least the node's own request timeout take longer than a test's patience.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

async fn request(scene: &Scene, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    Http::connect(scene.addr).await.request(method, target, headers, b"").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_01_octet_stream_posts() {
    let mut scene = Scene::start(&[]).await;
    for _ in 0..100 {
        let mut polling = scene.poller().await;
        let target = polling.target();
        let octets = [("content-type", "application/octet-stream")];
        let answer = polling.posts.request("POST", &target, &octets, &[b'4'; 1000]).await;
        assert_eq!(answer.status, 400, "it is answered at once");
        assert_eq!(scene.left(&polling.id).await, "transport error");
        polling.is_gone().await;
    }
    assert_eq!(scene.metric(r#"sockeye_disconnections_total{reason="transport error"}"#).await, 100.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_02_requests_that_never_end() {
    let mut scene = Scene::start(&[]).await;
    let mut victim = scene.poller().await;
    let (mut heads, mut bodies) = (Vec::new(), Vec::new());
    for _ in 0..150 {
        let mut http = Http::connect(scene.addr).await;
        http.write(format!("GET {OPEN} HTTP/1.1\r\nhost: x\r\nx-slow: ").as_bytes()).await;
        heads.push(http);
        let polling = scene.poller().await;
        let mut http = Http::connect(scene.addr).await;
        let head =
            format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 900000\r\n\r\n42[", polling.target());
        http.write(head.as_bytes()).await;
        bodies.push((polling, http));
    }
    // One byte now and then does not make it endless.
    let trickle = async {
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            for http in &mut heads {
                http.write(b"x").await;
            }
            for (_, http) in &mut bodies {
                http.write(b"1").await;
            }
        }
    };
    trickle.await;
    scene.served().await;
    victim.send(r#"421["message-with-ack",1]"#).await;
    victim.expect("431[1]").await;
    let ends = async {
        for (_, mut http) in bodies {
            let status = http.read_answer().await.map(|answer| answer.status);
            assert!(matches!(status, Some(408) | None), "{status:?}");
        }
        for mut http in heads {
            let status = http.read_answer().await.map(|answer| answer.status);
            assert!(matches!(status, Some(408) | None), "{status:?}");
        }
    };
    tokio::time::timeout(REQUEST_TIMEOUT, ends).await.expect("all of them end");
    assert_eq!(scene.refused("request_time").await, 150.0);
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_03_bodies_over_the_limit() {
    let scene = Scene::start(&[]).await;
    let mut polling = scene.poller().await;
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\n", polling.target());
    for _ in 0..20 {
        // As it says, and without saying so.
        let mut http = Http::connect(scene.addr).await;
        http.write(format!("{head}content-length: 1000001\r\n\r\n").as_bytes()).await;
        assert_eq!(http.answer().await.status, 413);
        http.ended().await;
        let mut http = Http::connect(scene.addr).await;
        http.write(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await;
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        for _ in 0..100 {
            http.write(&chunk).await;
        }
        if let Some(answer) = http.answer_or_end().await {
            assert_eq!(answer.status, 413);
        }
        http.ended().await;
    }
    // Lengths that are none.
    for length in ["18446744073709551616", "-1", "1e9", "0x10", "1, 2", ""] {
        let mut http = Http::connect(scene.addr).await;
        http.write(format!("{head}content-length: {length}\r\n\r\n").as_bytes()).await;
        if let Some(answer) = http.answer_or_end().await {
            assert!((400..=499).contains(&answer.status), "{length}: {answer:?}");
        }
    }
    assert_eq!(scene.refused("payload").await, 40.0);
    polling.send(r#"421["message-with-ack",1]"#).await;
    polling.expect("431[1]").await;
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_04_overlapping_requests() {
    let mut scene = Scene::start(&[]).await;
    for _ in 0..30 {
        let mut polling = scene.poller().await;
        let target = polling.target();
        polling.begin_get().await;
        // The first one has to be there: it is when the second is refused.
        let mut second = Http::connect(scene.addr).await;
        let refused = loop {
            second.begin("GET", &target, &[], b"").await;
            let (first, second) = tokio::join!(polling.gets.answer(), second.answer());
            let statuses =
                [(first.status, first.text().to_owned()), (second.status, second.text().to_owned())];
            if statuses.iter().any(|(status, _)| *status == 400) {
                break statuses;
            }
            polling.begin_get().await;
        };
        assert!(
            refused.contains(&(200, "1".to_owned())),
            "the one that waits hears that it is over: {refused:?}"
        );
        assert_eq!(scene.left(&polling.id).await, "transport error");
        polling.is_gone().await;

        let polling = scene.poller().await;
        let target = polling.target();
        let head = format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n42[");
        let (mut one, mut two) = (Http::connect(scene.addr).await, Http::connect(scene.addr).await);
        one.write(head.as_bytes()).await;
        two.write(head.as_bytes()).await;
        let (one, two) = tokio::join!(one.answer(), two.answer());
        assert_eq!((one.status, two.status), (400, 400));
        assert_eq!(scene.left(&polling.id).await, "transport error");
    }
    assert_eq!(scene.metric(r#"sockeye_disconnections_total{reason="transport error"}"#).await, 60.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_05_ten_thousand_packets_in_one_post() {
    let mut scene = Scene::start(&[]).await;
    for packet in ["3", r#"42["message-with-ack"]"#, "6", "bAAAA"] {
        let mut polling = scene.poller().await;
        let answer = polling.post(&[packet; 10_000].join("\u{1e}")).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
        let reason = scene.left(&polling.id).await;
        // Binary that nobody awaits is wrong at the first packet.
        assert_eq!(reason, if packet == "bAAAA" { "forced close" } else { "parse error" }, "{packet}");
        polling.is_gone().await;
    }
    // Separators alone: a packet without anything in it is none.
    let mut polling = scene.poller().await;
    polling.post(&"\u{1e}".repeat(900_000)).await;
    assert_eq!(scene.left(&polling.id).await, "parse error");
    assert_eq!(scene.refused("packets_per_payload").await, 3.0);
    assert_eq!(scene.errors("too_many_packets").await, 3.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_06_odd_queries() {
    let scene = Scene::start(&[]).await;
    // The first of each key counts, and what is unknown does not.
    for query in [
        "EIO=4&transport=polling&EIO=3&transport=x".to_owned(),
        "EIO=4&transport=polling&sid[]=a&sid[x]=b&__proto__=1&constructor=1".to_owned(),
        "&&&EIO=4&=&==&transport=polling".to_owned(),
        "EIO=%34&transport=poll%69ng&%=%&%zz=%ff&%f0%9f%92%a9".to_owned(),
        "EIO=4&transport=polling&t=%0d%0aX-Injected:%201".to_owned(),
        format!("EIO=4&transport=polling&x={}", "%25".repeat(8_000)),
        format!("{}EIO=4&transport=polling", "a=1&".repeat(7_000)),
        "EIO=4&transport=polling&n=\u{e9}\u{1f4a9}".to_owned(),
    ] {
        let answer = request(&scene, "GET", &format!("/socket.io/?{query}"), &[]).await;
        assert!([200, 400, 414, 431].contains(&answer.status), "{}: {query:.60}", answer.status);
        assert_eq!(answer.header("x-injected"), None);
    }
    for (query, code) in [
        ("EIO=3&EIO=4&transport=polling", 5),
        ("EIO[]=4&transport=polling", 5),
        ("EIO=4.0&transport=polling", 5),
        ("EIO=4&transport[]=polling", 0),
        ("EIO=4&transport=__proto__", 0),
        ("EIO=4&transport=constructor", 0),
        ("EIO=4&transport=polling%00", 0),
        ("EIO=4&transport=polling&sid=%00%ff", 1),
        ("EIO=4&transport=polling&sid=../../etc/passwd", 1),
    ] {
        let answer = request(&scene, "GET", &format!("/socket.io/?{query}"), &[]).await;
        assert_eq!(answer.status, 400, "{query}");
        assert!(answer.text().starts_with(&format!(r#"{{"code":{code},"#)), "{query}: {}", answer.text());
    }
    let refused = r#"sockeye_handshakes_total{result="unknown_transport",transport="polling"}"#;
    assert_eq!(scene.metric(refused).await, 4.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_07_session_ids_of_others() {
    let mut scene = Scene::start(&[]).await;
    let other = acceptance(&[]);
    let elsewhere = Polling::open(other.addr).await.sid().to_owned();
    let dead = acceptance(&[]);
    let of_the_dead = Polling::open(dead.addr).await.sid().to_owned();
    drop(dead);
    let mut closed = scene.poller().await;
    closed.send("1").await;
    assert_eq!(scene.left(&closed.id).await, "transport close");
    let mut victim = scene.poller().await;
    let sid = victim.sid().to_owned();
    let mut wrong = vec![
        elsewhere,
        of_the_dead,
        closed.sid().to_owned(),
        victim.id.clone(),
        sid.to_lowercase(),
        format!("{sid}A"),
        sid[1..].to_owned(),
        format!("%2e{sid}"),
        "A".repeat(40),
        "A".repeat(5_000),
        String::from("null"),
    ];
    // Each character is covered by what signs them.
    for at in 0..sid.len() {
        let mut forged = sid.clone().into_bytes();
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        wrong.push(String::from_utf8(forged).unwrap());
    }
    let unknown = |transport: &str| {
        format!(r#"sockeye_handshakes_total{{result="unknown_sid",transport="{transport}"}}"#)
    };
    for sid in &wrong {
        let target = format!("{OPEN}&sid={sid}");
        for method in ["GET", "POST"] {
            let answer = request(&scene, method, &target, &[]).await;
            assert_eq!((answer.status, answer.text()), (400, UNKNOWN_SID), "{method} {sid}");
        }
        assert!(Client::probe(scene.addr, sid).await.is_err(), "{sid}");
    }
    assert_eq!(scene.metric(&unknown("polling")).await, 2.0 * wrong.len() as f64);
    assert_eq!(scene.metric(&unknown("websocket")).await, wrong.len() as f64);
    victim.send(r#"421["message-with-ack",1]"#).await;
    victim.expect("431[1]").await;
    other.end().await;
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_08_heads_that_are_too_much() {
    let mut scene = Scene::start(&[]).await;
    let long = "x".repeat(1_000_000);
    let many: String = (0..5_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    for rest in [
        format!("x-large: {long}\r\n"),
        format!("{long}: x\r\n"),
        many,
        format!("cookie: {}\r\n", "a=1; ".repeat(100_000)),
    ] {
        let mut http = Http::connect(scene.addr).await;
        http.write(format!("GET {OPEN} HTTP/1.1\r\nhost: x\r\n{rest}\r\n").as_bytes()).await;
        if let Some(answer) = http.answer_or_end().await {
            assert!([400, 431].contains(&answer.status), "{answer:?}");
        }
        scene.served().await;
    }
    let with = |name: &'static str, value: &'static str| {
        let mut headers: Vec<(&str, &str)> = UPGRADE.into_iter().filter(|(of, _)| *of != name).collect();
        headers.push((name, value));
        headers
    };
    // Missing, doubled or wrong: none is a WebSocket.
    for name in ["upgrade", "connection", "sec-websocket-key", "sec-websocket-version"] {
        let without: Vec<_> = UPGRADE.into_iter().filter(|(of, _)| *of != name).collect();
        let answer = request(&scene, "GET", WEBSOCKET, &without).await;
        assert!([400, 426].contains(&answer.status), "no {name}: {answer:?}");
    }
    for (name, value) in [
        ("upgrade", "websocket, h2c, websocket\u{b}"),
        ("upgrade", ",,,,"),
        ("connection", "keep-alive"),
        ("sec-websocket-key", "x"),
        ("sec-websocket-version", "-13"),
    ] {
        let answer = request(&scene, "GET", WEBSOCKET, &with(name, value)).await;
        assert!([400, 426].contains(&answer.status), "{name}: {value}: {answer:?}");
    }
    // What made parsers of others slow or crash: nobody here reads it, or agrees to it.
    let spaces = format!("b{}x", " ".repeat(20_000));
    let quotes = "a; b=\"".repeat(3_000);
    for (name, value) in [
        ("sec-websocket-protocol", &*spaces),
        ("sec-websocket-protocol", ",,,;;;\"\"\""),
        ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits=\"99\"; x"),
        ("sec-websocket-extensions", "constructor, __proto__; valueOf"),
        ("sec-websocket-extensions", &quotes),
    ] {
        let headers: Vec<_> = UPGRADE.into_iter().chain([(name, value)]).collect();
        let answer = request(&scene, "GET", WEBSOCKET, &headers).await;
        assert_eq!(answer.status, 101, "{name}: {value:.40}");
        assert_eq!(
            (answer.header("sec-websocket-extensions"), answer.header("sec-websocket-protocol")),
            (None, None)
        );
    }
    let bad = r#"sockeye_handshakes_total{result="bad_request",transport="websocket"}"#;
    assert!(scene.metric(bad).await >= 4.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_09_handshakes_without_a_namespace() {
    let mut scene = Scene::start(&["--connect-timeout-ms", "1000"]).await;
    let connections = |transport: &str| format!(r#"sockeye_connections{{transport="{transport}"}}"#);
    let mut http = Http::connect(scene.addr).await;
    let mut sockets = Vec::new();
    for n in 0..5_000 {
        let answer = http.get(OPEN).await;
        assert_eq!(answer.status, 200);
        if n % 25 == 0 {
            sockets.push(Client::open(scene.addr).await);
        }
    }
    scene.served().await;
    scene.metric_is(&connections("polling"), 0.0).await;
    scene.metric_is(&connections("websocket"), 1.0).await;
    for mut socket in sockets {
        assert_eq!(socket.until_closed().await, []);
    }
    assert_eq!(scene.metric(r#"sockeye_handshakes_total{result="ok",transport="polling"}"#).await, 5_001.0);
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_10_scripts_in_the_name_of_a_callback() {
    let mut scene = Scene::start(&["--eio3"]).await;
    let open = "/socket.io/?EIO=3&transport=polling&j=";
    for evil in [
        "0](alert(1));//".to_owned(),
        "%3Cscript%3E".to_owned(),
        "0%22);alert(1);(%22".to_owned(),
        "-1".to_owned(),
        "0%0d%0aX-Injected:%201".to_owned(),
        "9".repeat(10_000),
    ] {
        let answer = request(&scene, "GET", &format!("{open}{evil}"), &[]).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, Some("application/json")),
            "{evil:.40}"
        );
        assert_eq!(
            (answer.header("x-injected"), answer.text()),
            (None, r#"{"code":3,"message":"Bad request"}"#)
        );
    }
    // What a client sends comes back as text inside a string, whatever it looks like as a script or a page.
    for n in 0..100 {
        let answer = request(&scene, "GET", &format!("{open}{n}"), &[]).await;
        assert!(answer.header("content-type").is_some_and(|kind| kind.contains("javascript")), "{answer:?}");
        let text = answer.text();
        let inner = text.strip_prefix(&format!("___eio[{n}](")).and_then(|text| text.strip_suffix(");"));
        let payload: String = serde_json::from_str(inner.expect(text)).unwrap();
        let opened: serde_json::Value = serde_json::from_str(&payload[payload.find('{').unwrap()..]).unwrap();
        let sid = opened["sid"].as_str().unwrap();
        let target = format!("/socket.io/?EIO=3&transport=polling&j={n}&sid={sid}");
        let event = r#"421["message-with-ack","</script><script>alert(1)</script>\u2028\"]);//"]"#;
        let payload = format!("{}:{event}", event.encode_utf16().count());
        let form = format!(
            "d={}",
            percent_encoding::utf8_percent_encode(&payload, percent_encoding::NON_ALPHANUMERIC)
        );
        assert_eq!(Http::connect(scene.addr).await.post(&target, &form).await.status, 200);
        let mut heard = String::new();
        while !heard.contains("431[") {
            let answer = request(&scene, "GET", &target, &[]).await;
            let text = answer.text();
            let inner = text.strip_prefix(&format!("___eio[{n}](")).and_then(|text| text.strip_suffix(");"));
            assert!(!text.contains('\u{2028}'), "no script reads past it: {text}");
            heard.push_str(&serde_json::from_str::<String>(inner.expect(text)).unwrap());
        }
        assert!(heard.contains("</script><script>alert(1)</script>"), "{heard}");
        Http::connect(scene.addr).await.post(&target, "d=1%3A1").await;
    }
    let refused = r#"sockeye_handshakes_total{result="bad_request",transport="polling"}"#;
    assert_eq!(scene.metric(refused).await, 6.0);
    scene.served().await;
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_11_pages_of_other_origins() {
    let scene =
        Scene::start(&["--cors", "https://example.com", "--cors", "https://app.example.com:8443"]).await;
    let foreign = [
        "null",
        "https://evil-example.com",
        "https://example.com.evil.com",
        "https://evil.com/https://example.com",
        "https://evil.com#https://example.com",
        "https://example.com:444",
        "http://example.com",
        "https://sub.example.com",
        "https://app.example.com",
        "https://example.com@evil.com",
        "https://ex\u{e4}mple.com",
        "https://xn--exmple-cua.com",
        "//example.com",
        "example.com",
        "https://",
        "file://",
        "*",
        " ",
    ];
    for origin in foreign {
        for method in ["GET", "POST"] {
            let answer = request(&scene, method, OPEN, &[("origin", origin)]).await;
            assert_eq!(answer.status, 400, "{method} {origin}");
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        }
        let headers: Vec<_> = UPGRADE.into_iter().chain([("origin", origin)]).collect();
        let answer = request(&scene, "GET", WEBSOCKET, &headers).await;
        assert_eq!(answer.status, 400, "a WebSocket from {origin}");
    }
    let own = format!("http://{}", scene.addr);
    let host = scene.addr.to_string();
    for origin in ["https://example.com", "HTTPS://Example.COM", "https://app.example.com:8443"] {
        let answer = request(&scene, "GET", OPEN, &[("origin", origin)]).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
    }
    let mut http = Http::connect(scene.addr).await;
    http.write(format!("GET {OPEN} HTTP/1.1\r\nhost: {host}\r\norigin: {own}\r\n\r\n").as_bytes()).await;
    assert_eq!(http.answer().await.status, 200, "the server's own");
    let refused = r#"sockeye_handshakes_total{result="forbidden_origin",transport="unknown"}"#;
    assert_eq!(scene.metric(refused).await, 3.0 * foreign.len() as f64);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_12_requests_within_requests() {
    let mut scene = Scene::start(&[]).await;
    let mut victim = scene.poller().await;
    let target = victim.target();
    // What a front end and a server could read differently. Inside is a request that makes the victim say something.
    let inner = r#"42["broadcast","smuggled"]"#;
    let inner =
        format!("POST {target} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{inner}", inner.len());
    let attacker = scene.poller().await;
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\n", attacker.target());
    for headers in [
        format!("content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{inner}"),
        format!("transfer-encoding: xchunked\r\ncontent-length: 1\r\n\r\n3{inner}"),
        format!("transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n{inner}"),
        format!("content-length: 1\r\ncontent-length: {}\r\n\r\n3{inner}", inner.len() + 1),
        format!("content-length: 1\n\r\n3{inner}"),
        format!("content-length : 1\r\n\r\n3{inner}"),
        format!("transfer-encoding:\u{b}chunked\r\n\r\n0\r\n\r\n{inner}"),
    ] {
        let mut http = Http::connect(scene.addr).await;
        http.write(format!("{head}{headers}").as_bytes()).await;
        if let Some(answer) = http.answer_or_end().await {
            assert!([200, 400, 501].contains(&answer.status), "{headers:?}: {answer:?}");
            // A second request on the connection is the sender's own, or is not read at all.
            let _ = http.answer_or_end().await;
        }
    }
    scene.served().await;
    victim.send(r#"421["message-with-ack",1]"#).await;
    victim.expect("431[1]").await;
    // No node asks another one on behalf of a client: what is of another node is refused here.
    let other = acceptance(&[]);
    let mut elsewhere = Polling::open(other.addr).await;
    for header in ["x-forwarded-for", "forwarded", "via", "x-sockeye-forwarded", "x-original-url"] {
        let target = format!("{OPEN}&sid={}", elsewhere.sid());
        let answer = request(&scene, "GET", &target, &[(header, &other.addr.to_string())]).await;
        assert_eq!((answer.status, answer.text()), (400, UNKNOWN_SID), "{header}");
    }
    elsewhere.join("/").await;
    other.end().await;
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_13_compressed_bodies() {
    let mut scene = Scene::start(&[]).await;
    // The beginning of a deflate stream, and zeros: as long as a body may be, it would be a gigabyte of text.
    let bomb = [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0xff; 900_000]].concat();
    for encoding in ["gzip", "deflate", "br", "gzip, gzip, gzip"] {
        let mut polling = scene.poller().await;
        let target = polling.target();
        let answer = polling.posts.request("POST", &target, &[("content-encoding", encoding)], &bomb).await;
        assert!([400, 415].contains(&answer.status), "{encoding}: {answer:?}");
        assert_eq!(scene.left(&polling.id).await, "parse error", "nothing is inflated: it is no text");
    }
    assert_eq!(scene.metric(r#"sockeye_disconnections_total{reason="parse error"}"#).await, 4.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_14_compressed_secrets() {
    let scene = Scene::start(&[]).await;
    let gzip = [("accept-encoding", "gzip, deflate, br")];
    // The session id is the secret. It comes once, in an answer that is not compressed, whatever else the client has said.
    let query = format!("{OPEN}&guess={}", "sid".repeat(2_000));
    let answer = request(&scene, "GET", &query, &gzip).await;
    assert_eq!((answer.status, answer.header("content-encoding")), (200, None));
    assert!(answer.text().contains(r#""sid""#) && !answer.text().contains("sidsid"));
    let mut polling = scene.poller().await;
    let sid = polling.sid().to_owned();
    let guess = format!(r#"42["message",{:?}]"#, sid[..8].repeat(500));
    polling.send(&guess).await;
    polling.gets.begin("GET", &polling.target(), &gzip, b"").await;
    let answer = polling.gets.answer().await;
    assert!(answer.status == 200 && !answer.body.is_empty());
    assert!(
        !String::from_utf8_lossy(&answer.body).contains(&sid),
        "no later answer has the session id in it"
    );
    scene.end(16).await;
}
