//! How many connections one address may have, and how fast it may open them.

use sockeye::{AddressLimits, DisconnectReason, LimitsMode, Server, ServerBuilder, State, TrustedProxies};

use super::polling::OPEN;
use crate::support::{Answer, Client, Http, Lines, Log, Polling, TestServer, log};

/// Refills so slowly that a test does not see it.
const ONCE: AddressLimits = AddressLimits { handshakes_per_second: 1, handshake_burst: 3, connections: 0 };
const CROWD: AddressLimits = AddressLimits { handshakes_per_second: 0, handshake_burst: 0, connections: 2 };

async fn start(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (TestServer, Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        configure(server.state(log)).namespace("/", |ns| {
            ns.on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    (node, lines)
}

async fn open(node: &TestServer, client: &str) -> Answer {
    Http::connect(node.addr).await.request("GET", OPEN, &[("x-forwarded-for", client)], b"").await
}

fn rejected(node: &TestServer, limit: &str) -> f64 {
    node.metric(&format!(r#"sockeye_limit_rejections_total{{limit="{limit}"}}"#))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_opens_too_many_too_fast_has_to_wait() {
    let proxies = TrustedProxies::cidrs(["loopback"]);
    let (node, _) = start(|server| server.trusted_proxies(proxies).address_limits(ONCE)).await;
    let mut statuses = Vec::new();
    let refusal = loop {
        // One comes back every second; no machine is so slow that it always gets in.
        let answer = open(&node, "192.0.2.1").await;
        statuses.push(answer.status);
        if answer.status != 200 {
            break answer;
        }
    };
    assert!(statuses.len() > 3, "{statuses:?}");
    assert_eq!((refusal.status, refusal.header("retry-after")), (429, Some("1")));
    assert_eq!(refusal.text(), r#"{"code":3,"message":"Too many connections from this address"}"#);
    assert_eq!(rejected(&node, "handshake_rate"), 1.0);
    // Others are served: other addresses, and those who are in already.
    assert_eq!(open(&node, "192.0.2.2").await.status, 200);
    // A whole network of IPv6 is one client.
    for n in 1..=3 {
        assert_eq!(open(&node, &format!("2001:db8::{n}")).await.status, 200);
    }
    let mut last = open(&node, "2001:db8::4").await;
    while last.status == 200 {
        last = open(&node, "2001:db8::4").await;
    }
    assert_eq!(last.status, 429);
    assert_eq!(open(&node, "2001:db8:1::1").await.status, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_has_only_so_many_connections() {
    let (node, mut lines) =
        start(|server| server.trusted_proxies(TrustedProxies::none()).address_limits(CROWD)).await;
    let mut polling = Polling::connect(node.addr).await;
    let mut websocket = Client::connect(node.addr).await;
    let answer = Http::connect(node.addr).await.get(OPEN).await;
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("10")));
    let target = "/socket.io/?EIO=4&transport=websocket";
    let answer = Http::connect(node.addr).await.upgrade(target, &[]).await;
    assert_eq!(answer.status, 429);
    assert_eq!(rejected(&node, "connections_per_address"), 2.0);
    // An upgrade is the same connection.
    let mut upgraded = Client::probe(node.addr, polling.sid()).await.unwrap();
    upgraded.send("2probe").await;
    upgraded.expect("3probe").await;
    upgraded.send("5").await;
    node.server.io().emit("both", ());
    upgraded.expect(r#"42["both"]"#).await;
    websocket.expect(r#"42["both"]"#).await;
    // What ends, however it ends, makes room: by the client, by the server, or before it began.
    websocket.vanish();
    lines.expect("transport close").await;
    websocket = Client::connect(node.addr).await;
    upgraded.vanish();
    lines.expect("transport close").await;
    polling = Polling::connect(node.addr).await;
    node.server.io().to(polling.id.as_str()).disconnect(true);
    lines.expect("server namespace disconnect").await;
    for _ in 0..5 {
        let bad_key = [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
        let answer = Http::connect(node.addr).await.request("GET", target, &bad_key, b"").await;
        assert_eq!(answer.status, 400);
    }
    Polling::connect(node.addr).await;
    assert_eq!(Http::connect(node.addr).await.get(OPEN).await.status, 429);
    websocket.vanish();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_hold_once_it_is_known_what_an_address_is() {
    let built = Server::builder().address_limits(ONCE).build().await;
    let problems = built.err().unwrap().problems;
    assert!(problems.len() == 1 && problems[0].contains("trusted_proxies"), "{problems:?}");
    // Until then all clients might be one proxy: nothing is counted.
    let (node, _) = start(|server| server).await;
    for _ in 0..50 {
        assert_eq!(open(&node, "192.0.2.1").await.status, 200);
    }
    node.stop().await;
    // The defaults pass what a company opens at once.
    let (node, _) = start(|server| server.trusted_proxies(TrustedProxies::none())).await;
    let mut http = Http::connect(node.addr).await;
    for _ in 0..500 {
        assert_eq!(http.get(OPEN).await.status, 200);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_may_only_warn() {
    let (node, _) = start(|server| {
        server
            .trusted_proxies(TrustedProxies::none())
            .address_limits(AddressLimits { connections: 2, ..ONCE })
            .limits_mode(LimitsMode::Warn)
    })
    .await;
    let mut http = Http::connect(node.addr).await;
    for _ in 0..20 {
        assert_eq!(http.get(OPEN).await.status, 200);
    }
    let warned = |limit: &str| node.metric(&format!(r#"sockeye_limit_warnings_total{{limit="{limit}"}}"#));
    assert!(warned("handshake_rate") > 0.0);
    assert_eq!(warned("connections_per_address"), 18.0);
    assert_eq!(rejected(&node, "connections_per_address"), 0.0);
    node.stop().await;
}
