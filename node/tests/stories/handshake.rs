//! The request that opens a connection: the application's say, the cookie, headers.

use std::sync::Arc;

use sockeye::{Cookie, Forbidden, HandshakeRef, SameSite, Server};
use tokio::sync::Semaphore;

use super::polling::OPEN;
use crate::support::{Client, Http, Polling, TestServer};

const WEBSOCKET: &str = "/socket.io/?EIO=4&transport=websocket";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_carries_the_sid_on_both_transports() {
    let cookie = Cookie::new("io").same_site(SameSite::Strict).max_age(std::time::Duration::from_secs(60));
    let node = TestServer::start(|server| server.cookie(cookie)).await;
    let mut http = Http::connect(node.addr).await;
    let open = http.get(OPEN).await;
    let json: serde_json::Value = serde_json::from_str(&open.text()[1..]).unwrap();
    let sid = json["sid"].as_str().unwrap();
    let expected = format!("io={sid}; Max-Age=60; Path=/; HttpOnly; SameSite=Strict");
    assert_eq!(open.header("set-cookie"), Some(&*expected));
    // Only the handshake sets it, and only where it succeeds.
    assert_eq!(http.post(&format!("{OPEN}&sid={sid}"), "40").await.header("set-cookie"), None);
    assert_eq!(http.get(&format!("{OPEN}&sid={sid}")).await.header("set-cookie"), None);
    assert_eq!(http.get("/socket.io/?EIO=9&transport=polling").await.header("set-cookie"), None);
    // The 101 has the id that the OPEN packet on the WebSocket repeats.
    let answer = http.upgrade(WEBSOCKET, &[]).await;
    assert_eq!(answer.status, 101);
    let sid = answer.header("set-cookie").unwrap().strip_prefix("io=").unwrap();
    let sid = sid.split(';').next().unwrap().to_owned();
    let (mut stream, mut early) = http.into_parts();
    while !String::from_utf8_lossy(&early).contains(&sid) {
        let read = tokio::io::AsyncReadExt::read_buf(&mut stream, &mut early);
        assert_ne!(crate::support::patient("the OPEN packet", read).await.unwrap(), 0);
    }
    node.stop().await;

    let node = TestServer::start(|server| server).await;
    assert_eq!(Http::connect(node.addr).await.get(OPEN).await.header("set-cookie"), None);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_refuses_connections() {
    let node = TestServer::start(|server| {
        server.allow_request(async |request: HandshakeRef| match request.query("token").as_deref() {
            Some("good") => Ok(()),
            Some(other) => Err(Forbidden::new(format!("no \"{other}\""))),
            None => Err(Forbidden::default()),
        })
    })
    .await;
    let mut http = Http::connect(node.addr).await;
    let answer = http.get(OPEN).await;
    assert_eq!(
        (answer.status, answer.text(), answer.header("content-type")),
        (403, r#"{"code":4,"message":"Forbidden"}"#, Some("application/json"))
    );
    let answer = http.get(&format!("{OPEN}&token=bad")).await;
    assert_eq!((answer.status, answer.text()), (403, r#"{"code":4,"message":"no \"bad\""}"#));
    let answer = http.upgrade(&format!("{WEBSOCKET}&token=bad"), &[]).await;
    assert_eq!((answer.status, answer.text()), (400, "no \"bad\""));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=UTF-8"));
    for transport in ["polling", "websocket"] {
        let series = format!(r#"sockeye_handshakes_total{{result="forbidden",transport="{transport}"}}"#);
        assert_eq!(node.metric(&series), if transport == "polling" { 2.0 } else { 1.0 });
    }
    assert_eq!(node.server.io().connections(), 0);
    // Within the session the token is not asked for again, nor at the upgrade.
    let open = http.get(&format!("{OPEN}&token=good")).await;
    let json: serde_json::Value = serde_json::from_str(&open.text()[1..]).unwrap();
    let sid = json["sid"].as_str().unwrap();
    assert_eq!(http.post(&format!("{OPEN}&sid={sid}"), "40").await.text(), "ok");
    let mut upgraded = Client::probe(node.addr, sid).await.unwrap();
    upgraded.send("2probe").await;
    upgraded.expect("3probe").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_may_take_its_time_and_may_fail() {
    let gate = Arc::new(Semaphore::new(0));
    let hook = gate.clone();
    let node = TestServer::start(|server| {
        server.allow_request(move |request: HandshakeRef| {
            let gate = hook.clone();
            async move {
                assert_eq!(request.query("panic"), None, "a client asked for it");
                gate.acquire().await.map_err(|_| Forbidden::default())?.forget();
                Ok(())
            }
        })
    })
    .await;
    let mut first = Http::connect(node.addr).await;
    first.begin("GET", OPEN, &[], b"").await;
    let mut panics = Http::connect(node.addr).await;
    let answer = panics.get(&format!("{OPEN}&panic=1")).await;
    assert_eq!((answer.status, answer.header("retry-after")), (500, Some("1")));
    assert_eq!(node.metric("sockeye_handler_panics_total"), 1.0);
    // A client that gives up meanwhile leaves nothing.
    let mut gone = Http::connect(node.addr).await;
    gone.begin("GET", OPEN, &[], b"").await;
    gone.hang_up().await;
    assert_eq!(node.server.io().connections(), 0);
    gate.add_permits(1);
    assert_eq!(first.answer().await.status, 200);
    gate.add_permits(1);
    Polling::open(node.addr).await;
    assert_eq!(node.server.io().connections(), 2);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_application_adds_headers() {
    let node = TestServer::start(|server| {
        server
            .response_header("x-fixed", "1")
            .response_headers(|head, headers| {
                let echo = format!("{} {} {}", head.method(), head.path(), headers.len());
                headers.insert("x-seen", echo.parse().unwrap());
                headers.insert("cache-control", "private".parse().unwrap());
                headers.insert("content-length", "1".parse().unwrap());
                headers.append("vary", "Cookie".parse().unwrap());
            })
            .initial_headers(|_, headers| {
                headers.append("set-cookie", "a=1".parse().unwrap());
                headers.append("set-cookie", "b=2".parse().unwrap());
            })
            .cookie(Cookie::new("io"))
    })
    .await;
    let mut http = Http::connect(node.addr).await;
    let origin = [("origin", "http://test")];
    let open = http.request("GET", OPEN, &origin, b"").await;
    assert_eq!(
        (open.status, open.header("x-fixed"), open.header("vary")),
        (200, Some("1"), Some("Origin, Cookie"))
    );
    assert_eq!(
        (open.header("x-seen"), open.header("cache-control")),
        (Some("GET /socket.io/ 1"), Some("private"))
    );
    let cookies = open.header("set-cookie").unwrap();
    assert!(cookies.starts_with("io=") && cookies.ends_with("SameSite=Lax, a=1, b=2"), "{cookies}");
    let json: serde_json::Value = serde_json::from_str(&open.text()[1..]).unwrap();
    let target = format!("{OPEN}&sid={}", json["sid"].as_str().unwrap());
    for (answer, status) in [
        (http.post(&target, "40").await, 200),
        (http.get(&target).await, 200),
        (http.get("/socket.io/?EIO=9").await, 400),
        (http.request("OPTIONS", OPEN, &[], b"").await, 204),
        (http.request("GET", OPEN, &[("origin", "http://evil")], b"").await, 400),
        (Http::connect(node.addr).await.upgrade(WEBSOCKET, &[]).await, 101),
    ] {
        assert_eq!((answer.status, answer.header("x-fixed")), (status, Some("1")));
        assert_eq!(answer.header("set-cookie").is_some(), status == 101);
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_make_no_sense_are_named_at_build() {
    let built = Server::builder()
        .cookie(Cookie::new("a b").same_site(SameSite::None))
        .cors(sockeye::Cors::origins(["*"]))
        .response_header("content-length", "7")
        .response_header("x-ok", "line\nbreak")
        .build()
        .await;
    let problems = built.err().unwrap().problems;
    assert_eq!(problems.len(), 5, "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extensions_are_not_agreed_on() {
    let node = TestServer::start(|server| server).await;
    for offer in [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "x-webkit-deflate-frame, foo; bar=\"baz\"",
    ] {
        let mut http = Http::connect(node.addr).await;
        let answer = http.upgrade(WEBSOCKET, &[("sec-websocket-extensions", offer)]).await;
        assert_eq!((answer.status, answer.header("sec-websocket-extensions")), (101, None), "{offer}");
    }
    // A frame that is compressed all the same is a fault of its client.
    let mut client = Client::connect(node.addr).await;
    client.send_bytes(&[0xc1, 0x81, 0, 0, 0, 0, b'2']).await;
    assert_eq!(client.closed().await, Some(1002));
    node.stop().await;
}
