//! Packets of the msgpack parser.

use sockeye::{
    Args, Parsers,
    parser::{Body, Message, Packet, PacketKind},
};

use crate::{
    scene::acceptance,
    support::{Client, Frame, Http},
};

fn encode(packet: &Packet) -> Vec<u8> {
    match Parsers::MsgPack.encode(packet).pop() {
        Some(Message::Binary(data)) => data.to_vec(),
        other => panic!("{other:?}"),
    }
}

fn event(json: &'static str, id: Option<u64>) -> Vec<u8> {
    let args = Args::from_parts(json.into(), Vec::<bytes::Bytes>::new()).unwrap();
    encode(&Packet::event("/".into(), "message-with-ack", args, id))
}

/// A client that joined `/`, and has read what it is told then.
async fn joined(addr: std::net::SocketAddr) -> Client {
    let mut client = Client::open(addr).await;
    let connect = Packet {
        kind: PacketKind::Connect,
        namespace: "/".into(),
        id: None,
        body: Body::None,
        compress: true,
    };
    client.send_binary(&encode(&connect)).await;
    for _ in ["CONNECT", "auth"] {
        let frame = client.next().await;
        assert!(matches!(frame, Frame::Binary(_)), "{frame:?}");
    }
    client
}

/// The client is served: it gets back what it sent.
async fn served(client: &mut Client) {
    client.send_binary(&event(r#"["still here"]"#, Some(1))).await;
    match client.next().await {
        Frame::Binary(answer) => assert!(answer.windows(10).any(|bytes| bytes == b"still here")),
        other => panic!("{other:?}"),
    }
}

async fn errors(addr: std::net::SocketAddr, kind: &str) -> f64 {
    let answer = Http::connect(addr).await.get("/metrics").await;
    let lines = answer.text().lines();
    let lines = lines.filter(|line| line.starts_with("sockeye_decode_errors_total"));
    let counts = lines.filter(|line| line.contains(&format!(r#"kind="{kind}""#)));
    counts.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_32_msgpack() {
    let mut server = acceptance(&["--parser", "msgpack"]);
    let addr = server.addr;
    let mut witness = joined(addr).await;
    served(&mut witness).await;
    server.measure();

    let whole = event("[0]", None);
    // The one argument is the only byte of its kind behind the event's name.
    let zero = whole.iter().rposition(|byte| *byte == 0).unwrap();
    let around = |argument: &[u8]| [&whole[..zero], argument, &whole[zero + 1..]].concat();
    let mut wrong = vec![
        // Lengths of 2³² - 1: of an array, a map, binary, text, and of a type of one's own.
        ("bad_msgpack", around(&[0xdd, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xdf, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xc6, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xdb, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", around(&[0xc9, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("bad_msgpack", vec![0xdd, 0xff, 0xff, 0xff, 0xff]),
        ("too_deep", around(&[vec![0x91; 900_000], vec![0xc0]].concat())),
        ("too_deep", around(&[[0x81, 0xa0].repeat(400_000), vec![0xc0]].concat())),
    ];
    // Everything that ends too early.
    for end in 1..whole.len() {
        wrong.push(("", whole[..end].to_vec()));
    }
    for (kind, packet) in wrong {
        let before = errors(addr, kind).await;
        let mut client = joined(addr).await;
        client.send_binary(&packet).await;
        client.until_closed().await;
        if !kind.is_empty() {
            assert_eq!(errors(addr, kind).await, before + 1.0, "{kind}: {packet:.40?}");
        }
    }
    served(&mut witness).await;
    let peak = server.peak();
    assert!(peak <= 24, "{peak} MiB");
    server.end().await;
}
