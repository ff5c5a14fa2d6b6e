//! What comes with an event, and how a handler gets it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sockeye::{
    Args, Attachments, Auth, Binary, Context, Data, EventName, FromContext, HandshakeRef, Io, Rejection,
    Socket, Spread, State,
};

use crate::support::{Client, Polling, TestServer};

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
