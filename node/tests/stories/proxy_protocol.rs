//! The PROXY protocol: TCP load balancers that say whose connection it is.

use std::net::SocketAddr;

use serde_json::json;
use sockeye::{HandshakeRef, Server, TrustedProxies};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use super::polling::OPEN;
use crate::support::{Client, Http, TestServer};

const V1: &[u8] = b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n";
const V2: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x14\xc0\0\x02\x02\x0a\0\0\x01\x12\x34\x01\xbb\x20\0\x05\x01\0\0\0\0";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

async fn start(proxies: TrustedProxies) -> TestServer {
    TestServer::start(|server| {
        server.trusted_proxies(proxies).proxy_protocol(true).namespace("/", |ns| {
            ns.on("told", async |handshake: HandshakeRef| {
                (
                    handshake.client_addr().map(|client| client.to_string()),
                    handshake.peer_addr().map(|peer| peer.to_string()),
                    handshake.is_secure(),
                )
            })
        })
    })
    .await
}

async fn stream(addr: SocketAddr, pieces: &[&[u8]]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_is_whom_the_header_names() {
    let node = start(TrustedProxies::cidrs(["loopback"])).await;
    let bytes: Vec<&[u8]> = V1.chunks(1).collect();
    for (pieces, told) in [
        (&[V1][..], json!(["192.0.2.1", "192.0.2.1:4711", false])),
        (&bytes, json!(["192.0.2.1", "192.0.2.1:4711", false])),
        (&[V2], json!(["192.0.2.2", "192.0.2.2:4660", true])),
        (&[&V2[..14], &V2[14..20], &V2[20..]], json!(["192.0.2.2", "192.0.2.2:4660", true])),
    ] {
        let mut client = Client::open_over(stream(node.addr, pieces).await).await;
        client.join("/", "").await;
        assert_eq!(client.call("told", "").await, told);
    }
    // The load balancer's own connections, and what it does not know.
    for own in [LOCAL, b"PROXY UNKNOWN\r\n"] {
        let mut client = Client::open_over(stream(node.addr, &[own]).await).await;
        client.join("/", "").await;
        assert_eq!(client.call("told", "").await[0], "127.0.0.1");
    }
    // A header and a request in one piece; the connection is as good as any other.
    let request = [V1, format!("GET {OPEN} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()].concat();
    let mut http = Http::over(stream(node.addr, &[&request]).await);
    assert_eq!(http.answer().await.status, 200);
    assert_eq!(http.get(OPEN).await.status, 200);
    // Behind an HTTP proxy in front of the load balancer its own words only count if it is trusted, too.
    let mut http = Http::over(stream(node.addr, &[V2]).await);
    let origin = [("origin", "https://app.example"), ("host", "app.example")];
    assert_eq!(http.request("GET", OPEN, &origin, b"").await.status, 200, "version 2 tells of TLS");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_without_a_header_are_closed() {
    let node = start(TrustedProxies::cidrs(["loopback"])).await;
    let series = |layer: &str, kind: &str| {
        node.metric(&format!(r#"sockeye_decode_errors_total{{kind="{kind}",layer="{layer}"}}"#))
    };
    for bytes in [
        format!("GET {OPEN} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes(),
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x00",
        b"\x16\x03\x01",
    ] {
        Http::over(stream(node.addr, &[bytes]).await).ended().await;
    }
    assert_eq!(series("http", "bad_proxy_header"), 4.0);
    let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 1_000]].concat();
    Http::over(stream(node.addr, &[&endless]).await).ended().await;
    assert_eq!(series("http", "proxy_header_too_long"), 1.0);
    // Half a header and the end.
    Http::over(stream(node.addr, &[&V2[..7]]).await).hang_up().await;
    // Who waits with half of it does not hold up the others, nor the end of the server.
    let _waits = stream(node.addr, &[&V1[..20]]).await;
    assert_eq!(Http::over(stream(node.addr, &[V1]).await).get(OPEN).await.status, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_trusted_proxies_may_speak_it() {
    let node = start(TrustedProxies::cidrs(["10.0.0.0/8"])).await;
    Http::over(stream(node.addr, &[V1]).await).ended().await;
    node.metric_is(r#"sockeye_handshakes_total{result="untrusted_proxy",transport="unknown"}"#, 1.0).await;
    node.stop().await;
    for builder in [Server::builder(), Server::builder().trusted_proxies(TrustedProxies::none())] {
        let problems = builder.proxy_protocol(true).build().await.err().unwrap().problems;
        assert!(problems[0].contains("trusted_proxies"), "{problems:?}");
    }
    // Where it is off, a header is no request.
    let node = TestServer::start(|server| server.trusted_proxies(TrustedProxies::cidrs(["loopback"]))).await;
    let answer = Http::over(stream(node.addr, &[V1]).await).answer_or_end().await;
    assert!(answer.is_none_or(|answer| answer.status == 400));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_that_does_not_come_is_not_waited_for() {
    let node = TestServer::start(|server| {
        server
            .trusted_proxies(TrustedProxies::cidrs(["loopback"]))
            .proxy_protocol(true)
            .request_timeout(std::time::Duration::from_millis(20))
    })
    .await;
    Http::over(stream(node.addr, &[&V2[..10]]).await).ended().await;
    assert_eq!(node.metric(r#"sockeye_limit_rejections_total{limit="request_time"}"#), 1.0);
    node.stop().await;
}
