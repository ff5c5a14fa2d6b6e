//! From a client's event to its handler: order, bounds, arguments, and what happens when something is wrong.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::{
    Args, Attachments, Auth, Binary, Context, Data, DisconnectReason, EventName, FromContext, HandshakeRef,
    Io, Rejection, Socket, Spread, State,
};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, Polling, TestServer, log};

const RECEIVED: &str = r#"sockeye_packets_received_total{type="event"}"#;

// === order and bounds ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_start_in_the_order_of_the_events() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on("a", async |Data(n): Data<u32>, State(log): State<Log>| {
                log.note(n);
                // Some end at once, some later: what starts next must not depend on it.
                for _ in 0..n % 7 {
                    tokio::task::yield_now().await;
                }
                n
            })
            .on("b", async |Data(n): Data<u32>, State(log): State<Log>| log.note(n))
        })
    })
    .await;
    let mut websocket = Client::connect(node.addr).await;
    for n in 0..600 {
        websocket.send(&format!(r#"42["{}",{n}]"#, if n % 3 == 0 { "b" } else { "a" })).await;
    }
    for n in 0..600 {
        lines.expect(&n.to_string()).await;
    }
    let mut polling = Polling::connect(node.addr).await;
    for batch in 0..6 {
        let packets: Vec<String> = (0..100)
            .map(|n| format!(r#"42["{}",{}]"#, if n % 3 == 0 { "b" } else { "a" }, batch * 100 + n))
            .collect();
        polling.send(&packets.join("\u{1e}")).await;
    }
    for n in 0..600 {
        lines.expect(&n.to_string()).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_handlers_of_one_socket_run_side_by_side_and_no_more() {
    for bound in [1, 5, 16] {
        let (gate, running) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (log, mut lines) = log();
        let node = TestServer::start(|server| {
            server
                .concurrency(bound)
                .state(gate.clone())
                .state(running.clone())
                .state(log)
                .namespace("/", |ns| ns.on("work", work))
        })
        .await;
        let mut client = Client::connect(node.addr).await;
        for n in 0..40 {
            client.send(&format!(r#"42["work",{n}]"#)).await;
        }
        node.metric_is(RECEIVED, 40.0).await;
        for n in 0..bound {
            lines.expect(&format!("{n} begins")).await;
        }
        lines.is_empty();
        assert_eq!(running.load(Ordering::SeqCst), bound);
        gate.add_permits(40);
        let mut begun = bound;
        for _ in 0..40 - bound + 40 {
            let line = lines.next().await;
            if line.ends_with("begins") {
                assert_eq!(line, format!("{begun} begins"));
                begun += 1;
            }
        }
        assert_eq!(begun, 40);
        node.stop().await;
    }
}

async fn work(
    Data(n): Data<usize>,
    State(gate): State<Arc<Semaphore>>,
    State(running): State<Arc<AtomicUsize>>,
    State(log): State<Log>,
) {
    running.fetch_add(1, Ordering::SeqCst);
    log.note(format!("{n} begins"));
    gate.acquire().await.unwrap().forget();
    running.fetch_sub(1, Ordering::SeqCst);
    log.note(format!("{n} ends"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_faster_than_its_handlers_is_read_more_slowly() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.concurrency(1).mailbox(4).state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on(
                "work",
                async |Data(n): Data<u32>, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    gate.acquire().await.unwrap().forget();
                    log.note(n);
                },
            )
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for n in 0..200 {
        client.send(&format!(r#"42["work",{n}]"#)).await;
    }
    node.metric_is(RECEIVED, 5.0).await;
    // Others are served meanwhile.
    let mut other = Client::connect(node.addr).await;
    other.sync().await;
    assert_eq!(node.metric(RECEIVED), 6.0, "one runs, four wait, the rest is in the network");
    gate.add_permits(200);
    for n in 0..200 {
        lines.expect(&n.to_string()).await;
    }
    // The same for a POST: it is answered when all its events have found a place.
    let mut polling = Polling::connect(node.addr).await;
    let packets: Vec<String> = (0..200).map(|n| format!(r#"42["work",{n}]"#)).collect();
    let target = polling.target();
    polling.posts.begin("POST", &target, &[], packets.join("\u{1e}").as_bytes()).await;
    gate.add_permits(100);
    for n in 0..100 {
        lines.expect(&n.to_string()).await;
    }
    gate.add_permits(100);
    for n in 100..200 {
        lines.expect(&n.to_string()).await;
    }
    assert_eq!(polling.posts.answer().await.text(), "ok");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disconnect_handler_starts_after_all_events() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.concurrency(1).state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on(
                "work",
                async |Data(n): Data<u32>, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    gate.acquire().await.unwrap().forget();
                    log.note(n);
                },
            )
            .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for n in 0..20 {
        client.send(&format!(r#"42["work",{n}]"#)).await;
    }
    client.send("41").await;
    node.metric_is(r#"sockeye_packets_received_total{type="disconnect"}"#, 1.0).await;
    gate.add_permits(20);
    for n in 0..20 {
        lines.expect(&n.to_string()).await;
    }
    lines.expect("client namespace disconnect").await;
    node.stop().await;
}

// === arguments ===

#[derive(Debug, Deserialize, Serialize)]
struct Point {
    x: i32,
    y: i32,
}

/// Something of an application's own.
struct Admin(String);

impl FromContext for Admin {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        let Auth(auth) = Auth::<Value>::from_context(context)?;
        match auth["admin"].as_str() {
            Some(name) => Ok(Self(format!("{name} from {}", context.socket().namespace()))),
            None => Err(Rejection::new("not an admin")),
        }
    }
}

fn all(args: &Args) -> Vec<Value> {
    args.parse().unwrap()
}

async fn extractors() -> TestServer {
    TestServer::start(|server| {
        server.state(String::from("shared")).state(7_u8).namespace("/x", |ns| {
            ns.on("data", async |Data(point): Data<Point>| point.x + point.y)
                .on("spread", async |Spread((name, n)): Spread<(String, u32)>| format!("{name}{n}"))
                .on("list", async |Spread(all): Spread<Vec<i64>>| all.into_iter().sum::<i64>())
                .on("optional", async |Spread((a, b)): Spread<(String, Option<u32>)>| (a, b))
                .on("args", async |args: Args| (args.len(), args.json().to_owned(), all(&args)))
                .on("state", async |State(text): State<String>, State(n): State<u8>| (text, n))
                .on("auth", async |auth: Option<Auth<Point>>| auth.is_some())
                .on("maybe", async |point: Option<Data<Point>>| point.map(|Data(point)| point.x))
                .on("handshake", async |handshake: HandshakeRef| handshake.query("transport"))
                .on("socket", async |socket: Socket, io: Io| {
                    (socket.id().to_string(), io.namespace().to_string())
                })
                .on("admin", async |Admin(name): Admin| name)
                .on("eight", eight)
                .on("nothing", async || "none".to_owned())
                .on("binary", async |Data(Binary(bytes)): Data<Binary>| bytes.len())
                .on("attachments", async |Attachments(all): Attachments, args: Args| {
                    all.iter().map(Bytes::len).chain([args.len()]).collect::<Vec<_>>()
                })
        })
    })
    .await
}

#[allow(clippy::too_many_arguments, reason = "as many as a handler may take")]
async fn eight(
    _: Socket,
    _: Io,
    Data(first): Data<u32>,
    Spread(all): Spread<Vec<u32>>,
    args: Args,
    EventName(name): EventName,
    State(n): State<u8>,
    _: HandshakeRef,
) -> (u32, usize, usize, String, u8) {
    (first, all.len(), args.len(), name.to_string(), n)
}

async fn call(client: &mut Client, event: &str, args: &str) -> Value {
    client.send(&format!("42/x,0[\"{event}\"{args}]")).await;
    let answer = client.text().await;
    serde_json::from_str(answer.strip_prefix("43/x,0").unwrap_or_else(|| panic!("{answer}"))).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_get_what_they_ask_for() {
    let node = extractors().await;
    let mut client = Client::open(node.addr).await;
    client.join("/x", r#"{"admin":"Ada"}"#).await;
    let id = client.id.clone();
    for (event, args, answer) in [
        ("data", r#",{"x":3,"y":4,"z":5}"#, json!([7])),
        ("data", r#",{"y":4,"x":3},"more",[1]"#, json!([7])),
        ("spread", r#","a",1"#, json!(["a1"])),
        ("spread", r#","a",1,"more""#, json!(["a1"])),
        ("list", "", json!([0])),
        ("list", ",1,2,-5", json!([-2])),
        ("optional", r#","a""#, json!(["a", null])),
        ("optional", r#","a",3"#, json!(["a", 3])),
        (
            "args",
            r#", 1 , {"b" : [ ] },null"#,
            json!([3, r#"[ 1 , {"b" : [ ] },null]"#, [1, {"b": []}, null]]),
        ),
        ("args", "", json!([0, "[]", []])),
        ("state", "", json!(["shared", 7])),
        ("auth", "", json!([false])),
        ("maybe", r#",{"x":1,"y":2}"#, json!([1])),
        ("maybe", r#","no point""#, json!([null])),
        ("handshake", "", json!(["websocket"])),
        ("socket", "", json!([id, "/x"])),
        ("admin", "", json!(["Ada from /x"])),
        ("eight", ",1,2,3", json!([1, 3, 3, "eight", 7])),
        ("nothing", ",1,2,3", json!(["none"])),
    ] {
        assert_eq!(call(&mut client, event, args).await, answer, "{event} {args}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_counted_and_harms_nothing() {
    let node = extractors().await;
    let mut client = Client::connect_to(node.addr, "/x").await;
    for event in [
        r#"42/x,1["data"]"#,
        r#"42/x,1["data",7]"#,
        r#"42/x,1["data",{"x":1}]"#,
        r#"42/x,1["spread"]"#,
        r#"42/x,1["spread",1,"a"]"#,
        r#"42/x,1["admin"]"#,
        r#"42/x,1["binary","text"]"#,
        r#"42/x,1["list",99999999999999999999]"#,
    ] {
        client.send(event).await;
    }
    // None of them was answered, and the next one is.
    assert_eq!(call(&mut client, "data", r#",{"x":1,"y":1}"#).await, json!([2]));
    assert_eq!(node.metric(r#"sockeye_handler_errors_total{kind="extract"}"#), 8.0);
    node.stop().await;
}

// === what goes wrong ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_handler_is_counted_and_harms_nothing() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on("now", || {
                panic!("on purpose");
                #[allow(unreachable_code)]
                async {}
            })
            .on("soon", async || -> () { panic!("on purpose") })
            .on("later", async || -> u32 {
                tokio::task::yield_now().await;
                panic!("on purpose: {}", 7)
            })
            .on("sync", async || ())
            .on_disconnect(async |State(log): State<Log>| -> () {
                log.note("gone");
                panic!("on purpose")
            })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    for event in ["now", "soon", "later", "now", "later"] {
        client.send(&format!(r#"421["{event}"]"#)).await;
        client.sync().await;
    }
    node.metric_is("sockeye_handler_panics_total", 5.0).await;
    client.vanish();
    lines.expect("gone").await;
    node.metric_is("sockeye_handler_panics_total", 6.0).await;
    other.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_frees_its_place() {
    let node = TestServer::start(|server| {
        server.concurrency(1).mailbox(2).namespace("/", |ns| {
            ns.on("later", async || -> u32 {
                tokio::task::yield_now().await;
                panic!("on purpose")
            })
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for _ in 0..50 {
        client.send(r#"42["later"]"#).await;
    }
    client.sync().await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 50.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_a_handler_go_to_the_fallback_or_are_counted() {
    let node = TestServer::start(|server| {
        server
            .namespace("/wild", |ns| {
                ns.on("known", async || "known".to_owned())
                    .fallback(async |EventName(name): EventName, args: Args| (name.to_string(), all(&args)))
            })
            .namespace("/", |ns| ns.on("sync", async || ()))
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.join("/wild", "").await;
    for (event, answer) in [
        (r#"["known"]"#, r#"["known"]"#),
        (r#"["wild",1,{"a":2}]"#, r#"["wild",[1,{"a":2}]]"#),
        (r#"[42,"number"]"#, r#"["42",["number"]]"#),
        (r#"["\u0065sc\"aped"]"#, r#"["esc\"aped",[]]"#),
        (r#"["ünïcode"]"#, r#"["ünïcode",[]]"#),
        (r#"[""]"#, r#"["",[]]"#),
    ] {
        client.send(&format!("42/wild,5{event}")).await;
        client.expect(&format!("43/wild,5{answer}")).await;
    }
    client.send(r#"421["unknown",1]"#).await;
    client.send(r#"42["unknown"]"#).await;
    client.sync().await;
    assert_eq!(node.metric("sockeye_unhandled_events_total"), 2.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_the_protocol_keeps_are_not_emitted() {
    let node = TestServer::start(|server| server.namespace("/", |ns| ns.on("sync", async || ()))).await;
    let mut client = Client::connect(node.addr).await;
    let io = node.server.io();
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        let error = io.emit(name, 1).result().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert!(io.emit(name, 1).await.is_err());
        assert!(io.all().emit_with_ack(name, ()).is_err());
    }
    // What serde cannot write is an error, too, and nothing is sent.
    let unsendable = std::collections::HashMap::from([(vec![1], 2)]);
    assert!(io.emit("map", &unsendable).result().is_err());
    client.sync().await;
    assert_eq!(io.emit("fine", ()).result().unwrap(), 1);
    client.expect(r#"42["fine"]"#).await;
    node.stop().await;
}

// === binary ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binary_travels_in_both_directions_and_over_both_transports() {
    #[derive(Deserialize, Serialize)]
    struct File {
        name: String,
        data: Binary,
    }
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on("echo", async |args: Args| args)
                .on("file", async |socket: Socket, Data(file): Data<File>| {
                    let reversed: Vec<u8> = file.data.0.iter().rev().copied().collect();
                    socket.emit("file", &File { name: file.name, data: Binary(reversed.into()) });
                })
                .on("sizes", async |Attachments(all): Attachments| {
                    all.iter().map(Bytes::len).collect::<Vec<_>>()
                })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"452-7["echo",{"_placeholder":true,"num":0},"and",{"_placeholder":true,"num":1}]"#).await;
    client.send_binary(&[1, 2, 3]).await;
    client.send_binary(&[]).await;
    client.expect(r#"462-7[{"_placeholder":true,"num":0},"and",{"_placeholder":true,"num":1}]"#).await;
    client.expect_binary(&[1, 2, 3]).await;
    client.expect_binary(&[]).await;
    client.send(r#"451-["file",{"name":"a","data":{"_placeholder":true,"num":0}}]"#).await;
    client.send_binary(&[9, 8, 7]).await;
    client.expect(r#"451-["file",{"name":"a","data":{"_placeholder":true,"num":0}}]"#).await;
    client.expect_binary(&[7, 8, 9]).await;
    client.send(r#"450-3["sizes"]"#).await;
    client.expect("433[[]]").await;

    let mut polling = Polling::connect(node.addr).await;
    polling
        .send("452-7[\"echo\",{\"_placeholder\":true,\"num\":0},{\"_placeholder\":true,\"num\":1}]\u{1e}bAQID\u{1e}b/w==")
        .await;
    polling.expect(r#"462-7[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
    polling.expect("bAQID").await;
    polling.expect("b/w==").await;
    assert_eq!(node.metric(r#"sockeye_packets_received_total{type="binary_event"}"#), 3.0);
    assert_eq!(node.metric(r#"sockeye_packets_sent_total{type="binary_ack"}"#), 2.0);

    // To many at once, over both transports: the same packet.
    node.server.io().emit("all", (&"x", Binary(Bytes::from_static(b"\x00\xff"))));
    client.expect(r#"451-["all","x",{"_placeholder":true,"num":0}]"#).await;
    client.expect_binary(b"\x00\xff").await;
    polling.expect(r#"451-["all","x",{"_placeholder":true,"num":0}]"#).await;
    polling.expect("bAP8=").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sockets_that_are_sent_binary_at_once_never_get_mixed_messages() {
    let node = TestServer::start(|server| server).await;
    let mut client = Client::connect(node.addr).await;
    let io = node.server.io();
    let senders: Vec<_> = (0..4_u8)
        .map(|sender| {
            let io = io.clone();
            tokio::spawn(async move {
                for round in 0..100_u8 {
                    io.emit("b", (sender, round, Binary(vec![sender, round].into())));
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut rounds = [0_u8; 4];
    for _ in 0..400 {
        let text = client.text().await;
        let args: (String, u8, u8, Value) = serde_json::from_str(text.strip_prefix("451-").unwrap()).unwrap();
        client.expect_binary(&[args.1, args.2]).await;
        assert_eq!(rounds[usize::from(args.1)], args.2, "in order from each sender");
        rounds[usize::from(args.1)] += 1;
    }
    for sender in senders {
        sender.await.unwrap();
    }
    node.stop().await;
}
