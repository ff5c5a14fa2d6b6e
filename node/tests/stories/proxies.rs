//! Behind proxies: whose word counts about where a client is.

use serde_json::{Value, json};
use sockeye::{HandshakeRef, Server, ServerBuilder, TrustedProxies};

use crate::support::{Client, TestServer};

fn told(server: ServerBuilder) -> ServerBuilder {
    server.namespace("/", |ns| {
        ns.on("told", async |handshake: HandshakeRef| {
            let client = handshake.client_addr().map(|client| client.to_string());
            let peer = handshake.peer_addr().map(|peer| peer.ip().to_string());
            (client, peer, handshake.host().map(str::to_owned), handshake.is_secure())
        })
    })
}

async fn ask(node: &TestServer, headers: &[(&'static str, &str)]) -> Value {
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let mut client = Client::handshake(stream, "EIO=4&transport=websocket", headers).await.unwrap();
    client.read_open().await;
    client.join("/", "").await;
    client.call("told", "").await
}

const FORWARDED: &[(&str, &str)] = &[
    ("x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "app.example:8443"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_believed_by_default() {
    for proxies in [None, Some(TrustedProxies::none()), Some(TrustedProxies::cidrs(["private"]))] {
        let node = TestServer::start(|server| match proxies {
            Some(proxies) => told(server.trusted_proxies(proxies)),
            None => told(server),
        })
        .await;
        assert_eq!(ask(&node, FORWARDED).await, json!(["127.0.0.1", "127.0.0.1", "test", false]));
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusted_proxies_tell_who_the_client_is() {
    let node = TestServer::start(|server| {
        told(server.trusted_proxies(TrustedProxies::cidrs(["127.0.0.1", "10.0.0.0/8"])))
    })
    .await;
    assert_eq!(ask(&node, FORWARDED).await, json!(["192.0.2.1", "127.0.0.1", "app.example:8443", true]));
    assert_eq!(ask(&node, &[]).await, json!(["127.0.0.1", "127.0.0.1", "test", false]));
    let hidden = [("x-forwarded-for", "192.0.2.1, unknown"), ("forwarded", "for=6.6.6.6")];
    assert_eq!(ask(&node, &hidden).await, json!(["127.0.0.1", "127.0.0.1", "test", false]));
    node.stop().await;

    let node = TestServer::start(|server| {
        told(server.trusted_proxies(TrustedProxies::cidrs(["127.0.0.1"]).forwarded()))
    })
    .await;
    let standard = [("forwarded", r#"for="[2001:db8::1]:5";proto=https;host=app.example"#), FORWARDED[0]];
    assert_eq!(ask(&node, &standard).await, json!(["2001:db8::1", "127.0.0.1", "app.example", true]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_are_none_are_a_problem_at_build() {
    let built = Server::builder()
        .trusted_proxies(TrustedProxies::cidrs(["10.0.0.0/99", "lb.example", "10.0.0.0/8"]))
        .build()
        .await;
    let problems = built.err().unwrap().problems;
    assert_eq!(problems.len(), 2, "{problems:?}");
}
