//! How a client gets into a namespace, and how it is refused.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Value, json};
use sockeye::{Auth, ConnectRefused, Data, DisconnectReason, HandshakeRef, Socket, State};
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_handle_means_the_old_socket() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on("sync", async || ()).on_disconnect(
                async |socket: Socket, State(log): State<Log>, reason: DisconnectReason| {
                    log.note(format!("{} {reason}", socket.id()));
                },
            )
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    let first = client.id.clone();
    let old = node.server.io().socket(&first).unwrap();
    client.send("41").await;
    lines.expect(&format!("{first} client namespace disconnect")).await;
    client.join("/", "").await;
    let second = client.id.clone();
    assert_ne!(first, second);
    // The client is back under another id: what the old one is told does not concern it.
    assert!(!old.is_connected());
    old.disconnect(false);
    old.disconnect(true);
    old.join("room");
    old.leave(first.as_str());
    assert_eq!(
        (old.emit("old", ()).reached(), node.server.io().to(&first).emit("old", ()).reached()),
        (0, 0)
    );
    client.sync().await;
    assert_eq!(node.server.io().all().sockets().await.value, std::slice::from_ref(&second));
    client.vanish();
    lines.expect(&format!("{second} transport close")).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_again_gets_the_second_decision() {
    // The first request is still being decided when the client has left and asked again.
    let gates: Vec<Arc<Semaphore>> = (0..2).map(|_| Arc::new(Semaphore::new(0))).collect();
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(gates.clone()).state(log).namespace("/", |ns| {
            ns.on_connect(
                async |Auth(turn): Auth<Turn>,
                       State(gates): State<Vec<Arc<Semaphore>>>,
                       State(log): State<Log>| {
                    log.note(format!("deciding {}", turn.turn));
                    gates[turn.turn].acquire().await.unwrap().forget();
                    turn.turn == 1
                },
            )
            .on("turn", async |Auth(turn): Auth<Turn>| turn.turn)
        })
    })
    .await;
    // In either order of the decisions, what the client is told of the second is what holds.
    for order in [[0, 1], [1, 0]] {
        let mut client = Client::open(node.addr).await;
        client.send(r#"40{"turn":0}"#).await;
        client.send("41").await;
        client.send(r#"40{"turn":1}"#).await;
        lines.expect("deciding 0").await;
        lines.expect("deciding 1").await;
        let mut heard = Vec::new();
        for turn in order {
            gates[turn].add_permits(1);
            heard.push(client.text().await);
        }
        assert!(heard[order.iter().position(|turn| *turn == 1).unwrap()].starts_with("40{"), "{heard:?}");
        assert_eq!(client.call("turn", "").await, json!([1]));
        assert_eq!(node.metric(r#"sockeye_sockets{nsp="/"}"#), 1.0);
        client.vanish();
        node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 0.0).await;
        assert_eq!(node.server.io().all().count().await.value, 0);
    }
    node.stop().await;
}

#[derive(Deserialize)]
struct Turn {
    turn: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_while_a_client_joins_is_left_behind() {
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on_connect(async |socket: Socket| {
                socket.join("joining");
                for n in 0..20 {
                    socket.emit("own", n);
                    tokio::task::yield_now().await;
                }
            })
        })
    })
    .await;
    // Somebody talks to the room all the time, from another thread than the one that lets the client in.
    let io = node.server.io();
    let talking = tokio::spawn(async move {
        for n in 0_u64.. {
            io.to("joining").emit("all", n);
            tokio::task::yield_now().await;
        }
    });
    for _ in 0..100 {
        let mut client = Client::open(node.addr).await;
        client.send("40").await;
        assert!(client.text().await.starts_with("40{"));
        let (mut own, mut all) = (0, None);
        while own < 20 || all.is_none() {
            let text = client.text().await;
            let (name, n): (String, u64) = serde_json::from_str(&text[2..]).unwrap();
            if name == "own" {
                assert_eq!(n, own);
                own += 1;
            } else {
                assert!(all.is_none_or(|last| n == last + 1), "{all:?} and then {n}");
                all = Some(n);
            }
        }
    }
    talking.abort();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_connect_handler_sends_comes_before_everything_else() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server
            .state(log)
            .namespace("/", |ns| {
                ns.on_connect(async |socket: Socket| {
                    socket.emit("one", 1);
                    socket.emit("two", 2);
                })
                .on("echo", async |Data(n): Data<u32>| n)
                .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
            })
            .namespace("/short", |ns| {
                ns.on_connect(async |socket: Socket| {
                    socket.emit("hello", ());
                })
                .on_connected(async |socket: Socket| socket.disconnect(false))
            })
    })
    .await;
    let io = node.server.io();
    let mut client = Client::open(node.addr).await;
    // Events that the client sends together with its CONNECT are answered behind what the handler sent.
    client.send("40").await;
    client.send(r#"421["echo",7]"#).await;
    let joined = client.text().await;
    assert!(joined.starts_with(r#"40{"sid":""#), "{joined}");
    let id = joined[10..30].to_owned();
    // Whoever is told that it is in can be reached, behind that, too.
    io.to(id.as_str()).emit("three", 3);
    client.expect(r#"42["one",1]"#).await;
    client.expect(r#"42["two",2]"#).await;
    let mut rest = [client.text().await, client.text().await];
    rest.sort();
    assert_eq!(rest, [r#"42["three",3]"#, "431[7]"]);
    // One that is put out at once has heard everything before.
    client.send("40/short,").await;
    assert!(client.text().await.starts_with("40/short,"));
    client.expect(r#"42/short,["hello"]"#).await;
    client.expect("41/short,").await;
    // A client that goes in that moment is gone, and was in.
    for _ in 0..20 {
        let mut hasty = Client::open(node.addr).await;
        hasty.send("40").await;
        hasty.text().await;
        hasty.vanish();
        lines.expect("transport close").await;
    }
    // One that is put out by others before the pause is over.
    for _ in 0..20 {
        let mut victim = Client::open(node.addr).await;
        victim.send("40").await;
        let id = victim.text().await[10..30].to_owned();
        io.to(id.as_str()).disconnect(false);
        victim.expect(r#"42["one",1]"#).await;
        victim.expect(r#"42["two",2]"#).await;
        victim.expect("41").await;
        lines.expect("server namespace disconnect").await;
    }
    assert_eq!(node.metric(r#"sockeye_sockets{nsp="/"}"#), 1.0);
    node.stop().await;
}
