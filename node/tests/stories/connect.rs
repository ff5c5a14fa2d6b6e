//! How a client gets into a namespace, and how it is refused.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::{Auth, ConnectRefused, Data, DisconnectReason, HandshakeRef, Server, Socket, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, Polling, TestServer, log};

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_opens_a_session_and_joins() {
    let node = TestServer::start(|server| {
        server.ping_interval(Duration::from_millis(12_345)).ping_timeout(Duration::from_millis(6_789))
    })
    .await;
    let mut client = Client::open(node.addr).await;
    assert_eq!(client.open["pingInterval"], 12_345);
    assert_eq!(client.open["pingTimeout"], 6_789);
    assert_eq!(client.open["maxPayload"], 1_000_000);
    assert_eq!(client.open["upgrades"], json!([]), "it is a WebSocket already");
    client.join("/", "").await;
    assert_eq!(client.id.len(), 20);
    assert_ne!(client.id, client.sid(), "the session's id is a secret between client and server");

    let mut other = Polling::open(node.addr).await;
    assert_eq!(other.open["upgrades"], json!(["websocket"]));
    other.join("/").await;
    assert_ne!(other.id, client.id);
    assert_eq!(node.metric(r#"sockeye_connections{transport="websocket"}"#), 1.0);
    assert_eq!(node.metric(r#"sockeye_connections{transport="polling"}"#), 1.0);
    assert_eq!(node.metric(r#"sockeye_sockets{nsp="/"}"#), 2.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connect_handler_refuses_with_a_message_and_data() {
    let node = TestServer::start(|server| {
        server
            .namespace("/", |ns| {
                ns.on_connect(async |Auth(auth): Auth<Token>| match auth.token.as_deref() {
                    Some("good") => Ok(()),
                    Some("plain") => Err(ConnectRefused::new("not today")),
                    _ => Err(ConnectRefused::new("who are you?").data(&json!({"code": 401, "retry": false}))),
                })
            })
            .namespace("/bool", |ns| ns.on_connect(async |Auth(let_in): Auth<LetIn>| let_in.yes))
            .namespace("/text", |ns| ns.on_connect(async || Err::<(), _>("closed for renovation")))
    })
    .await;
    let mut client = Client::open(node.addr).await;
    client.send("40").await;
    client.expect(r#"44{"message":"who are you?","data":{"code":401,"retry":false}}"#).await;
    client.send(r#"40{"token":"plain"}"#).await;
    client.expect(r#"44{"message":"not today"}"#).await;
    client.send("40/text,").await;
    client.expect(r#"44/text,{"message":"closed for renovation"}"#).await;
    client.send(r#"40/bool,{"yes":false}"#).await;
    client.expect(r#"44/bool,{"message":"Connection rejected by server"}"#).await;
    client.send(r#"40/bool,{"yes":1}"#).await;
    client.expect(r#"44/bool,{"message":"Connection rejected by server"}"#).await;
    assert_eq!(
        node.metric(r#"sockeye_handler_errors_total{kind="extract"}"#),
        1.0,
        "an auth that does not fit"
    );
    // A refusal does not end the connection: the client may try again.
    client.join("/bool", r#"{"yes":true}"#).await;
    client.join("/", r#"{"token":"good"}"#).await;
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="refused"}"#), 5.0);
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="ok"}"#), 2.0);
    node.stop().await;
}

#[derive(Deserialize)]
struct LetIn {
    yes: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_namespace_is_refused_and_the_connection_goes_on() {
    let node = TestServer::start(|server| server.namespace("/known", |ns| ns)).await;
    let mut client = Client::open(node.addr).await;
    client.send("40/nope,").await;
    client.expect(r#"44/nope,{"message":"Invalid namespace"}"#).await;
    client.send("40/known?token=1,").await;
    assert!(
        client.text().await.starts_with("40/known,{"),
        "a query in the namespace is not part of its name"
    );
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="unknown"}"#), 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_connect_to_the_same_namespace_closes_the_connection() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send("40").await;
    client.closed().await;
    lines.expect("forced close").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_see_auth_and_handshake() {
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on("auth", async |Auth(auth): Auth<Value>| auth)
                .on("query", async |handshake: HandshakeRef, Data(name): Data<String>| handshake.query(&name))
                .on("header", async |socket: Socket, Data(name): Data<String>| {
                    socket.handshake().header(&name)
                })
                .on("peer", async |handshake: HandshakeRef| {
                    (handshake.path().to_owned(), handshake.peer_addr().map(|peer| peer.ip().to_string()))
                })
        })
    })
    .await;
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let query = "EIO=4&transport=websocket&name=J%C3%BCrgen+K";
    let mut client = Client::handshake(stream, query, &[("x-team", "blue")]).await.unwrap();
    client.text().await;
    client.join("/", r#"{"user":7,"roles":["a","b"]}"#).await;
    assert_eq!(client.call("auth", "").await, json!([{"user": 7, "roles": ["a", "b"]}]));
    assert_eq!(client.call("query", r#""name""#).await, json!(["Jürgen K"]));
    assert_eq!(client.call("query", r#""other""#).await, json!([null]));
    assert_eq!(client.call("header", r#""X-Team""#).await, json!(["blue"]));
    assert_eq!(client.call("peer", "").await, json!(["/socket.io/", "127.0.0.1"]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_are_in_place_before_the_answer() {
    // The client sends its first events together with CONNECT: it cannot be any earlier.
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on_connect(async |_: Socket| ()).on(
                "join",
                async |socket: Socket, Data(room): Data<String>| {
                    socket.join(room);
                    socket.rooms().len()
                },
            )
        })
    })
    .await;
    for round in 0..200 {
        let mut client = Polling::open(node.addr).await;
        client.send(&format!("40\u{1e}420[\"join\",\"r{round}\"]\u{1e}421[\"join\",\"all\"]")).await;
        assert!(client.next().await.starts_with("40{"));
        client.expect("430[2]").await;
        client.expect("431[3]").await;
    }
    assert_eq!(node.server.io().to("all").count().await.value, 200);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_slow_connect_handler_does_is_heard_after_connect() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on_connect(
                async |socket: Socket, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    assert!(!socket.is_connected());
                    socket.join("early");
                    socket.emit("first", 1);
                    socket.io().to("early").emit("second", 2);
                    log.note("deciding");
                    gate.acquire().await.unwrap().forget();
                    socket.emit("fourth", 4);
                },
            )
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::open(node.addr).await;
    client.send("40").await;
    lines.expect("deciding").await;
    node.server.io().to("early").emit("third", 3);
    node.server.io().to("early").volatile().emit("missed", ());
    gate.add_permits(1);
    assert!(
        client.text().await.starts_with("40{"),
        "the first thing that a client hears is that it is connected"
    );
    for expected in [r#"42["first",1]"#, r#"42["second",2]"#, r#"42["third",3]"#, r#"42["fourth",4]"#] {
        client.expect(expected).await;
    }
    client.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_while_the_handler_decides_is_let_go() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on_connect(
                async |socket: Socket, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    socket.join("room");
                    log.note("deciding");
                    gate.acquire().await.unwrap().forget();
                },
            )
            .on_disconnect(
                async |socket: Socket, State(log): State<Log>, reason: DisconnectReason| {
                    log.note(format!("{reason}, {} rooms", socket.rooms().len()));
                },
            )
        })
    })
    .await;
    let mut client = Client::open(node.addr).await;
    client.send("40").await;
    lines.expect("deciding").await;
    client.vanish();
    node.metric_is(r#"sockeye_connections{transport="websocket"}"#, 0.0).await;
    gate.add_permits(1);
    lines.expect("transport close, 2 rooms").await;
    assert_eq!(node.server.io().all().count().await.value, 0);
    assert_eq!(node.metric(r#"sockeye_namespace_connects_total{result="gone"}"#), 1.0);
    assert_eq!(node.metric(r#"sockeye_sockets{nsp="/"}"#), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_the_connect_handler_disconnects_is_refused() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server
            .state(log)
            .namespace("/", |ns| {
                ns.on_connect(async |socket: Socket| socket.disconnect(false))
                    .on_disconnect(async |State(log): State<Log>| log.note("nobody was connected"))
            })
            .namespace("/close", |ns| ns.on_connect(async |socket: Socket| socket.disconnect(true)))
            .namespace("/fine", |ns| ns)
    })
    .await;
    let mut client = Client::open(node.addr).await;
    client.send("40").await;
    client.expect(r#"44{"message":"Connection rejected by server"}"#).await;
    client.join("/fine", "").await;
    client.send("40/close,").await;
    client.expect("41/fine,").await;
    client.closed().await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_joins_nothing_in_time_is_closed() {
    let node = TestServer::start(|server| {
        server
            .connect_timeout(Duration::from_secs(1))
            .namespace("/no", |ns| ns.on_connect(async || false))
            .namespace("/", |ns| ns.on("sync", async || ()))
    })
    .await;
    let mut stays = Client::connect(node.addr).await;
    let mut silent = Client::open(node.addr).await;
    let mut refused = Client::open(node.addr).await;
    refused.send("40/no,").await;
    let mut polling = Polling::open(node.addr).await;
    silent.closed().await;
    refused.expect(r#"44/no,{"message":"Connection rejected by server"}"#).await;
    refused.closed().await;
    node.metric_is(r#"sockeye_connections{transport="polling"}"#, 0.0).await;
    polling.is_gone().await;
    // One that has joined stays, and the timer does not run again when it leaves its last namespace.
    stays.sync().await;
    stays.send("41").await;
    let mut witness = Client::open(node.addr).await;
    witness.closed().await;
    stays.join("/", "").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_namespaces_share_a_connection_and_nothing_else() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        let named = |ns: sockeye::NamespaceBuilder| {
            ns.on("who", async |socket: Socket| (socket.namespace().to_string(), socket.id().to_string()))
                .on_disconnect(async |socket: Socket, State(log): State<Log>, reason: DisconnectReason| {
                    log.note(format!("{} {reason}", socket.namespace()));
                })
        };
        server.state(log).namespace("/", named).namespace("/a", named).namespace("b", named)
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    let root = client.id.clone();
    client.join("/a", "").await;
    let a = client.id.clone();
    client.join("/b", "").await;
    let b = client.id.clone();
    assert!(root != a && a != b && b != root);
    client.send(r#"42/a,1["who"]"#).await;
    client.expect(&format!(r#"43/a,1["/a","{a}"]"#)).await;
    client.send(r#"42/b,1["who"]"#).await;
    client.expect(&format!(r#"43/b,1["/b","{b}"]"#)).await;
    let io = node.server.io();
    assert_eq!(io.of("/a").unwrap().emit("hi", ()).reached(), 1);
    client.expect(r#"42/a,["hi"]"#).await;
    assert!(io.of("/none").is_none());
    assert!(io.socket(&a).is_none() && io.of("a").unwrap().socket(&a).is_some(), "an id means one namespace");
    client.send("41/a,").await;
    lines.expect("/a client namespace disconnect").await;
    // The others go on; events for the one that was left are ignored.
    client.send(r#"42/a,2["who"]"#).await;
    assert_eq!(client.call("who", "").await, json!(["/", root]));
    client.vanish();
    let mut rest = [lines.next().await, lines.next().await];
    rest.sort();
    assert_eq!(rest, ["/ transport close", "/b transport close"]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_connect_handler_refuses_that_client_only() {
    let node = TestServer::start(|server| {
        server
            .namespace("/now", |ns| ns.on_connect(async || -> () { panic!("on purpose") }))
            .namespace("/later", |ns| {
                ns.on_connect(async || -> () {
                    tokio::task::yield_now().await;
                    panic!("on purpose")
                })
            })
            .namespace("/", |ns| ns.on("sync", async || ()))
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send("40/now,").await;
    client.expect(r#"44/now,{"message":"Internal server error"}"#).await;
    client.send("40/later,").await;
    client.expect(r#"44/later,{"message":"Internal server error"}"#).await;
    client.sync().await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 2.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_join_so_many_namespaces_and_no_more() {
    let limits = sockeye::Limits { max_namespaces: 2, ..sockeye::Limits::default() };
    let node = TestServer::start(|server| {
        server.limits(limits).namespace("/a", |ns| ns).namespace("/b", |ns| ns).namespace("/c", |ns| ns)
    })
    .await;
    let mut client = Client::connect_to(node.addr, "/a").await;
    client.join("/b", "").await;
    client.send("40/c,").await;
    client.expect(r#"44/c,{"message":"Too many namespaces on one connection"}"#).await;
    client.send("41/a,").await;
    client.join("/c", "").await;
    assert_eq!(node.metric(r#"sockeye_limit_rejections_total{limit="namespaces"}"#), 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_tells_all_its_problems_at_once() {
    let error = Server::builder()
        .path("socket.io")
        .secret("short")
        .channel("")
        .transports([])
        .concurrency(0)
        .ping_timeout(Duration::ZERO)
        .max_payload(0)
        .namespace("/", |ns| {
            ns.on("twice", async || ())
                .on("twice", async || ())
                .on("disconnect", async || ())
                .on("state", async |_: State<Missing>| ())
                .on("reason", async |_: DisconnectReason| ())
                .on_connect(async |_: Data<String>| ())
                .on_connect(async || ())
                .on_disconnect(async |_: sockeye::AckSender| ())
                .on_disconnect(async || ())
                .fallback(async || ())
                .fallback(async || ())
        })
        .namespace("", |ns| ns)
        .build()
        .await
        .unwrap_err();
    for (expected, times) in [
        ("path \"socket.io\" must begin and end with a slash", 1),
        ("a secret of 5 bytes can be guessed", 1),
        ("channel must not be empty", 1),
        ("transports: there is none", 1),
        ("concurrency and mailbox must be at least 1", 1),
        ("ping_timeout of 0ns is too short", 1),
        ("max_payload must be at least 1 byte", 1),
        ("namespace /: on(\"twice\"): there is a handler already", 1),
        ("namespace /: on(\"disconnect\"): the name is reserved", 1),
        ("namespace /: on(\"state\"): it wants State<", 1),
        ("Missing>, but the builder was given none", 1),
        ("namespace /: on(\"reason\"): `DisconnectReason` is only there for disconnect handlers", 1),
        ("namespace /: on_connect: `Data` is only there for event handlers", 1),
        ("namespace /: on_connect: there is a handler already", 1),
        ("namespace /: on_disconnect: `AckSender` is only there for event handlers", 1),
        ("namespace /: on_disconnect: there is a handler already", 1),
        ("namespace /: fallback: there is a handler already", 1),
        ("namespace / was added twice", 1),
    ] {
        let found = error.problems.iter().filter(|problem| problem.contains(expected)).count();
        assert_eq!(found, times, "{expected} in {error}");
    }
    let text = error.to_string();
    assert!(error.problems.iter().all(|problem| text.contains(&format!("\n  - {problem}"))), "{text}");
    assert_eq!(error.problems.len(), 17, "{error}");
}

#[derive(Clone)]
struct Missing;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_builder_refuses_a_bus_that_it_does_not_know() {
    let error = Server::builder().bus("carrier-pigeon://loft").build().await.unwrap_err();
    assert!(error.problems[0].starts_with("bus: "), "{error}");
    assert!(error.to_string().contains("carrier-pigeon"), "{error}");
    let error =
        Server::builder().bus("redis://:verysecret@").build().await.err().map(|error| error.to_string());
    assert!(!error.unwrap_or_default().contains("verysecret"), "no secret in an error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_packet_may_come_in_the_same_bytes_as_the_handshake() {
    // Some clients do not wait for the 101 before their first frame.
    let node = TestServer::start(|server| server.namespace("/", |ns| ns.on("sync", async || ()))).await;
    let mut http = crate::support::Http::connect(node.addr).await;
    let mut bytes = b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n\
        upgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        .to_vec();
    bytes.extend_from_slice(&[0x81, 0x82, 0, 0, 0, 0, b'4', b'0']);
    http.write(&bytes).await;
    let answer = http.answer().await;
    assert_eq!(
        (answer.status, answer.header("sec-websocket-accept")),
        (101, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
    );
    let (stream, rest) = http.into_parts();
    let mut socket = tokio_tungstenite::WebSocketStream::from_partially_read(
        stream,
        rest,
        tokio_tungstenite::tungstenite::protocol::Role::Client,
        None,
    )
    .await;
    for begins in ["0{", "40{"] {
        let next = crate::support::patient("a packet", futures_util::StreamExt::next(&mut socket)).await;
        let text = next.unwrap().unwrap().into_text().unwrap();
        assert!(text.starts_with(begins), "{text} should begin with {begins}");
    }
    node.stop().await;
}
