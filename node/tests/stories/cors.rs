//! Web pages of other origins: who may connect, and what their browsers are told.

use sockeye::{Cors, TrustedProxies};

use super::polling::OPEN;
use crate::support::{Answer, Http, Polling, TestServer};

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

async fn start(cors: Cors) -> TestServer {
    TestServer::start(|server| server.cors(cors)).await
}

async fn open(node: &TestServer, host: &str, origin: &str) -> Answer {
    Http::connect(node.addr).await.request("GET", OPEN, &[("host", host), ("origin", origin)], b"").await
}

async fn upgrade(node: &TestServer, host: &str, origin: &str) -> Answer {
    Http::connect(node.addr).await.upgrade(WEBSOCKET, &[("host", host), ("origin", origin)]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_origins_are_kept_out_unless_they_are_allowed() {
    let node = start(Cors::origins(["https://app.example"])).await;
    for allowed in ["https://app.example", "https://APP.example:443", "http://a.example"] {
        let answer = open(&node, "a.example", allowed).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(allowed)));
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("vary"), Some("Origin"));
        assert_eq!(upgrade(&node, "a.example", allowed).await.status, 101, "{allowed}");
    }
    let foreign = [
        "https://evil-app.example",
        "https://app.example.evil",
        "https://app.example:8443",
        "http://app.example",
        "https://xn--pp-tia.example",
        "null",
        "",
        "\u{80}",
    ];
    for foreign in foreign {
        for answer in [open(&node, "a.example", foreign).await, upgrade(&node, "a.example", foreign).await] {
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (400, None),
                "{foreign}"
            );
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body["code"], 3);
        }
    }
    let refused = node.metric(r#"sockeye_handshakes_total{result="forbidden_origin",transport="unknown"}"#);
    assert_eq!(refused, 2.0 * foreign.len() as f64);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_within_a_session_are_checked_too() {
    let node = start(Cors::same_origin()).await;
    let mut client = Polling::connect(node.addr).await;
    let target = client.target();
    let foreign = [("origin", "http://evil.example")];
    for (method, body) in [("GET", ""), ("POST", "41"), ("OPTIONS", "")] {
        let answer = Http::connect(node.addr).await.request(method, &target, &foreign, body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{method}");
    }
    let probe = format!("{WEBSOCKET}&sid={}", client.sid());
    assert_eq!(Http::connect(node.addr).await.upgrade(&probe, &foreign).await.status, 400);
    // Nothing happened to the session, and the page of the own origin may go on.
    node.server.io().emit("hello", ());
    let own = [("origin", "http://test")];
    let answer = client.gets.request("GET", &target, &own, b"").await;
    assert_eq!((answer.status, answer.text()), (200, r#"42["hello"]"#));
    assert_eq!(answer.header("access-control-allow-origin"), Some("http://test"));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_ask_first_and_are_answered() {
    let cors = Cors::origins(["https://app.example"])
        .credentials(false)
        .expose_headers(["x-shown"])
        .max_age(std::time::Duration::from_secs(5));
    let node = start(cors).await;
    let ask = async |origin: &str| {
        let headers = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-mine,content-type"),
        ];
        Http::connect(node.addr).await.request("OPTIONS", OPEN, &headers, b"").await
    };
    let answer = ask("https://app.example").await;
    assert_eq!(answer.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", Some("https://app.example")),
        ("access-control-allow-methods", Some("GET, POST, OPTIONS")),
        ("access-control-allow-headers", Some("x-mine,content-type")),
        ("access-control-max-age", Some("5")),
        ("access-control-allow-credentials", None),
        ("access-control-expose-headers", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    let answer = ask("https://other.example").await;
    assert_eq!((answer.status, answer.header("access-control-allow-methods")), (400, None));
    let answer = open(&node, "x", "https://app.example").await;
    assert_eq!(answer.header("access-control-expose-headers"), Some("x-shown"));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    // A refusal can be read by the page that it is for.
    let origin = [("origin", "https://app.example")];
    let answer = Http::connect(node.addr).await.request("GET", "/socket.io/?EIO=9", &origin, b"").await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (400, Some("https://app.example"))
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn anyone_nobody_else_or_whoever_a_function_says() {
    let node = start(Cors::any()).await;
    for origin in ["https://any.example", "null", "capacitor://localhost"] {
        let answer = open(&node, "x", origin).await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(origin)));
    }
    node.stop().await;

    let node = start(Cors::off()).await;
    let answer = open(&node, "x", "https://any.example").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
    assert_eq!(upgrade(&node, "x", "https://any.example").await.status, 101);
    node.stop().await;

    let node = start(Cors::predicate(|origin, head| {
        head.query("tenant").is_some_and(|tenant| origin == format!("https://{tenant}.example"))
    }))
    .await;
    for (origin, status) in [("https://one.example", 200), ("https://two.example", 400)] {
        let headers = [("origin", origin)];
        let target = format!("{OPEN}&tenant=one");
        let answer = Http::connect(node.addr).await.request("GET", &target, &headers, b"").await;
        assert_eq!(answer.status, status, "{origin}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_proxies_the_own_origin_is_what_they_say() {
    let headers = [
        ("host", "10.0.0.9"),
        ("x-forwarded-host", "app.example"),
        ("x-forwarded-proto", "https"),
        ("origin", "https://app.example"),
    ];
    for (proxies, status) in [
        (None, 200),
        (Some(TrustedProxies::none()), 400),
        (Some(TrustedProxies::cidrs(["10.0.0.0/8"])), 400),
        (Some(TrustedProxies::cidrs(["loopback"])), 200),
    ] {
        let node = TestServer::start(|server| match proxies.clone() {
            Some(proxies) => server.trusted_proxies(proxies),
            None => server,
        })
        .await;
        let answer = Http::connect(node.addr).await.request("GET", OPEN, &headers, b"").await;
        assert_eq!(answer.status, status, "{proxies:?}");
        node.stop().await;
    }
}
