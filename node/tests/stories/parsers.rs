//! Other formats than JSON: what goes over the wire with msgpack and with a parser of the application's own, and that
//! neither can be made to harm anyone.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;
use sockeye::{
    Args, ConnectRefused, Data, Parsers, Server, Socket,
    parser::{Body, Inbound, Limits, Message, Packet, PacketKind},
};

use crate::support::{Client, Frame, Http, Polling, TestServer, server::unique};

#[path = "../../examples/custom_parser.rs"]
#[allow(dead_code, reason = "`main` is not called")]
mod custom_parser;

async fn msgpack() -> TestServer {
    TestServer::start(|server| {
        server
            .parser(Parsers::MsgPack)
            .namespace("/", |ns| {
                ns.on("echo", async |args: Args| args)
                    .on("tell", async |socket: Socket, args: Args| {
                        socket.io().all().emit("told", args);
                    })
                    .on("bye", async |socket: Socket| socket.disconnect(false))
            })
            .namespace("/no", |ns| {
                ns.on_connect(async || Err::<(), _>(ConnectRefused::new("no").data(&json!([1]))))
            })
    })
    .await
}

/// What a client with the same parser would send.
fn encode(packet: &Packet) -> Vec<u8> {
    match Parsers::MsgPack.encode(packet).pop() {
        Some(Message::Binary(data)) => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn connect(namespace: &str) -> Vec<u8> {
    encode(&Packet {
        kind: PacketKind::Connect,
        namespace: namespace.into(),
        id: None,
        body: Body::None,
        compress: true,
    })
}

fn event(name: &str, args: &Args, id: Option<u64>) -> Vec<u8> {
    encode(&Packet::event("/".into(), name, args.clone(), id))
}

fn args(json: &'static str, attachments: &[&'static [u8]]) -> Args {
    let attachments: Vec<_> = attachments.iter().map(|bytes| bytes::Bytes::from_static(bytes)).collect();
    Args::from_parts(json.into(), attachments).unwrap()
}

/// What came, in words.
fn said(data: &[u8]) -> String {
    match Parsers::MsgPack.decoder().binary(data, &Limits::default()).unwrap().unwrap() {
        Inbound::Connect { namespace, auth: None } => format!("{namespace} is joined"),
        Inbound::Connect { namespace, auth } => {
            let auth: serde_json::Value = serde_json::from_slice(&auth.expect("a sid")).unwrap();
            format!("{namespace} is joined, sid of {} characters", auth["sid"].as_str().unwrap().len())
        }
        Inbound::ConnectError { namespace, error } => {
            format!("{namespace} refuses {}", String::from_utf8(error.to_vec()).unwrap())
        }
        Inbound::Disconnect { namespace } => format!("{namespace} is over"),
        Inbound::Event { namespace, id, name, args } => format!("{namespace} {name} {args:?} {id:?}"),
        Inbound::Ack { namespace, id, args } => format!("{namespace} ack {id} {args:?}"),
    }
}

async fn next(client: &mut Client) -> String {
    match client.next().await {
        Frame::Binary(data) => said(&data),
        other => panic!("{other:?}"),
    }
}

async fn open(node: &TestServer) -> Client {
    let mut client = Client::open(node.addr).await;
    client.send_binary(&connect("/")).await;
    assert_eq!(next(&mut client).await, "/ is joined, sid of 20 characters");
    client
}

async fn next_polled(client: &mut Polling) -> String {
    let packet = client.next().await;
    let base64 = packet.strip_prefix('b').unwrap_or_else(|| panic!("{packet:?} is not binary"));
    said(&STANDARD.decode(base64).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_packet_is_one_binary_message_of_msgpack() {
    let node = msgpack().await;
    let mut client = open(&node).await;
    let nested = args(r#"[1,{"a":{"_placeholder":true,"num":0}},"é"]"#, &[b"\x01\x02"]);
    client.send_binary(&event("echo", &nested, Some(7))).await;
    assert_eq!(next(&mut client).await, format!("/ ack 7 {nested:?}"));
    client.send_binary(&connect("/no")).await;
    assert_eq!(next(&mut client).await, r#"/no refuses {"message":"no","data":[1]}"#);
    client.send_binary(&connect("/nowhere")).await;
    assert_eq!(next(&mut client).await, r#"/nowhere refuses {"message":"Invalid namespace"}"#);

    let mut polling = Polling::open(node.addr).await;
    polling.send(&format!("b{}", STANDARD.encode(connect("/")))).await;
    assert_eq!(next_polled(&mut polling).await, "/ is joined, sid of 20 characters");
    let told = event("tell", &nested, None);
    polling.send(&format!("b{}", STANDARD.encode(&told))).await;
    assert_eq!(next_polled(&mut polling).await, format!("/ told {nested:?} None"));
    assert_eq!(next(&mut client).await, format!("/ told {nested:?} None"));

    // What waits during an upgrade comes on the new transport.
    let mut probe = Client::probe(node.addr, polling.sid()).await.unwrap();
    probe.send("2probe").await;
    assert_eq!(probe.text().await, "3probe");
    probe.send("5").await;
    client.send_binary(&told).await;
    assert_eq!(next(&mut probe).await, format!("/ told {nested:?} None"));
    probe.send_binary(&event("bye", &Args::empty(), None)).await;
    assert_eq!(next(&mut probe).await, "/ is over");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_msgpack_packet_ends_its_connection_alone() {
    let node = msgpack().await;
    let mut witness = open(&node).await;
    let head = event("e", &args("[0]", &[]), None);
    // The one argument is the byte behind the name.
    let at = head.windows(3).position(|bytes| bytes == [0xa1, b'e', 0]).unwrap() + 2;
    let around = |argument: &[u8]| [&head[..at], argument, &head[at + 1..]].concat();
    // A map that looks like a placeholder, beside binary.
    let lookalike = event("e", &args(r#"[{"_placeholder":true,"num":0}]"#, &[]), None);
    let lookalike =
        [&[0x92], &lookalike[at..lookalike.len() - (head.len() - at - 1)], &[0xc4, 0x00]].concat();
    let mut wrong = vec![
        ("bad_msgpack", around(&[0xdd, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xdf, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xc6, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xc9, 0xff, 0xff, 0xff, 0xff, 0x00])),
        ("bad_msgpack", around(&[0xc1])),
        ("bad_msgpack", around(&[0x00, 0x00])),
        ("too_deep", around(&[vec![0x91; 100_000], vec![0xc0]].concat())),
        ("too_many_attachments", around(&[vec![0xdc, 0x20, 0x00], [0xc4, 0x00].repeat(0x2000)].concat())),
        ("bad_placeholder", around(&lookalike)),
        ("bad_packet_type", vec![0x80]),
        ("empty_message", Vec::new()),
    ];
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        wrong.push(("reserved_event", event(name, &Args::empty(), None)));
    }
    for (kind, message) in wrong {
        let mut client = open(&node).await;
        let series = format!(r#"sockeye_decode_errors_total{{kind="{kind}",layer="socket.io"}}"#);
        let before = node.metric(&series);
        client.send_binary(&message).await;
        client.closed().await;
        assert_eq!(node.metric(&series), before + 1.0, "{kind}");
    }
    // A client with the default parser.
    let mut client = Client::open(node.addr).await;
    client.send("40").await;
    client.closed().await;
    // Types that nobody knows are data.
    client = open(&node).await;
    let mut unknown = event("echo", &args("[0]", &[]), Some(1));
    let at = unknown.windows(3).position(|bytes| bytes == *b"ho\0").unwrap() + 2;
    unknown.splice(at..=at, [0xd4, 0x2a, 0x07]);
    client.send_binary(&unknown).await;
    assert_eq!(next(&mut client).await, r#"/ ack 1 [[42,{"_placeholder":true,"num":0}]] and 1 attachments"#);
    witness.send_binary(&event("echo", &args("[1]", &[]), Some(2))).await;
    assert_eq!(next(&mut witness).await, "/ ack 2 [1]");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_may_bring_its_own_parser() {
    let bus = format!("memory://{}", unique("parser"));
    let node = TestServer::run(custom_parser::application().bus(bus).build().await.unwrap()).await;
    let call = r#"4{"type":2,"nsp":"/","id":1,"data":["turn round",{"type":"Buffer","data":[1,2,3]}]}"#;
    let answer = json!({"type": 3, "nsp": "/", "id": 1, "data": [{"type": "Buffer", "data": [3, 2, 1]}]});
    let packet = |text: &str| -> serde_json::Value {
        serde_json::from_str(text.strip_prefix('4').unwrap_or_else(|| panic!("{text:?}"))).unwrap()
    };

    let mut client = Client::open(node.addr).await;
    client.send(r#"4{"type":0,"nsp":"/"}"#).await;
    let joined = packet(&client.text().await);
    assert_eq!((&joined["type"], &joined["nsp"]), (&json!(0), &json!("/")));
    assert_eq!(joined["data"]["sid"].as_str().unwrap().len(), 20);
    client.send(call).await;
    assert_eq!(packet(&client.text().await), answer);

    let mut polling = Polling::open(node.addr).await;
    polling.send(r#"4{"type":0,"nsp":"/"}"#).await;
    assert_eq!(packet(&polling.next().await)["type"], 0);
    polling.send(call).await;
    assert_eq!(packet(&polling.next().await), answer);

    // The rules are those of every parser.
    for wrong in [
        r#"4{"type":2,"nsp":"/","data":["disconnecting"]}"#,
        r#"4{"type":2,"nsp":"no path","data":["event"]}"#,
        r#"4{"type":0,"nsp":"/","data":[]}"#,
        "42[\"event\"]",
    ] {
        let mut hostile = Client::open(node.addr).await;
        hostile.send(r#"4{"type":0,"nsp":"/"}"#).await;
        hostile.text().await;
        hostile.send(wrong).await;
        hostile.closed().await;
    }
    client.send(call).await;
    assert_eq!(packet(&client.text().await), answer);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_bounded_whatever_is_in_it() {
    let bus = format!("memory://{}", unique("parser"));
    let server = Server::builder().parser(Parsers::MsgPack).max_payload(1_000).bus(bus);
    let server = server.namespace("/", |ns| ns.on("length", async |Data(text): Data<String>| text.len()));
    let node = TestServer::run(server.build().await.unwrap()).await;
    let large = |len: usize| {
        let json = format!("[\"{}\"]", "x".repeat(len)).into();
        event("length", &Args::from_parts(json, vec![]).unwrap(), Some(1))
    };
    let mut witness = open(&node).await;
    let mut client = open(&node).await;
    client.send_binary(&large(900)).await;
    assert_eq!(next(&mut client).await, "/ ack 1 [900]");
    client.send_binary(&large(1_000)).await;
    client.closed().await;
    let mut polling = Polling::open(node.addr).await;
    assert_eq!(polling.post(&format!("b{}", STANDARD.encode(large(1_000)))).await.status, 413);
    witness.send_binary(&large(1)).await;
    assert_eq!(next(&mut witness).await, "/ ack 1 [1]");
    node.stop().await;
}

/// What an old client's WebSocket brings: there is a byte for the packet's type in front.
async fn next_old(client: &mut Client) -> String {
    match client.next().await {
        Frame::Binary(data) if data.first() == Some(&4) => said(&data[1..]),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_clients_may_speak_msgpack_too() {
    let bus = format!("memory://{}", unique("parser"));
    let server = Server::builder().parser(Parsers::MsgPack).allow_eio3(true).bus(bus);
    let server = server.namespace("/", |ns| ns.on("echo", async |args: Args| args));
    let node = TestServer::run(server.build().await.unwrap()).await;
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let mut client = Client::handshake(stream, "EIO=3&transport=websocket", &[]).await.unwrap();
    assert!(client.text().await.starts_with("0{"));
    assert_eq!(next_old(&mut client).await, "/ is joined");
    let binary = args(r#"[{"_placeholder":true,"num":0},null]"#, &[b"\xff\x00"]);
    client.send_binary(&[&[4][..], &event("echo", &binary, Some(0))].concat()).await;
    assert_eq!(next_old(&mut client).await, format!("/ ack 0 {binary:?}"));
    // In a payload of text, binary is base64 behind its type.
    let mut http = Http::connect(node.addr).await;
    let answer = http.get("/socket.io/?EIO=3&transport=polling&b64=1").await;
    let open = answer.text().split_once('{').unwrap().1;
    let open = format!("{{{}", &open[..=open.find('}').unwrap()]);
    let open: serde_json::Value = serde_json::from_str(&open).unwrap();
    let target = format!("/socket.io/?EIO=3&transport=polling&b64=1&sid={}", open["sid"].as_str().unwrap());
    let packet = format!("b4{}", STANDARD.encode(event("echo", &binary, Some(1))));
    let answer = http.post(&target, &format!("{}:{packet}", packet.len())).await;
    assert_eq!((answer.status, answer.text()), (200, "ok"));
    let mut heard = Vec::new();
    while heard.len() < 2 {
        let answer = http.get(&target).await;
        let mut rest = answer.text();
        while let Some((length, packets)) = rest.split_once(':') {
            let (packet, behind) = packets.split_at(length.parse().unwrap());
            heard.push(said(&STANDARD.decode(packet.strip_prefix("b4").unwrap()).unwrap()));
            rest = behind;
        }
    }
    assert_eq!(heard, ["/ is joined".to_owned(), format!("/ ack 1 {binary:?}")]);
    node.stop().await;
}
