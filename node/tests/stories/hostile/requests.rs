//! HTTP: requests and handshakes that are none, and sessions of others.

use super::Scene;
use crate::support::{Client, Frame, Http, Polling};

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
