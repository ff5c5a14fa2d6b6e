use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::*;
use crate::bus::{ConnectionInfo, SocketFields, SocketInfo};
use crate::id::{NodeId, RequestId};
use crate::sio::{Binary, IntoArgs as _};

fn node() -> Origin {
    Origin::Node(NodeId::from_bytes([1, 2, 3, 4, 5, 6]))
}

fn args() -> Args {
    ("a", Binary::from(&b"\x01\x02"[..])).into_args().unwrap()
}

fn fields() -> SocketFields {
    SocketFields { rooms: true, connection: true, url: true, data: true, headers: vec!["user-agent".into()] }
}

fn socket() -> SocketInfo {
    SocketInfo {
        id: "s1".into(),
        rooms: vec!["s1".into(), "r".into()],
        connection: Some(ConnectionInfo {
            address: "fe80::1".into(),
            time: 1_700_000_000_000,
            secure: true,
            transport: "polling".into(),
        }),
        url: Some("/socket.io/?EIO=4".into()),
        headers: vec![("user-agent".into(), "x".into())],
        data: Some(r#"{"user":7}"#.into()),
    }
}

fn every_message() -> Vec<Message> {
    let namespace = || NamespacePath::from("/chat");
    let target = || Target::room("a").to("b").except("c");
    let (request, ttl) = (RequestId(u64::MAX), Duration::from_millis(1500));
    let event = || Box::from("ev");
    let ask = |query| Message::Request { id: request, ttl, query };
    let answer = |answer| Message::Answer { request, part: 0, more: false, answer };
    vec![
        Message::Emit {
            namespace: namespace(),
            event: event(),
            args: args(),
            target: target(),
            volatile: true,
            reply: Some(ReplyTo { request, ttl }),
        },
        Message::Emit {
            namespace: NamespacePath::root(),
            event: event(),
            args: Args::empty(),
            target: Target::everyone(),
            volatile: false,
            reply: None,
        },
        Message::Join {
            namespace: namespace(),
            target: target(),
            rooms: vec!["x".into(), "y".into()],
            confirm: None,
        },
        Message::Leave { namespace: namespace(), target: target(), rooms: vec![], confirm: Some(request) },
        Message::Disconnect { namespace: namespace(), target: target(), close: true, confirm: Some(request) },
        Message::CloseRoom { namespace: namespace(), room: "x".into(), confirm: Some(RequestId(1)) },
        Message::Request {
            id: request,
            ttl,
            query: Query::Members { namespace: namespace(), target: target() },
        },
        Message::Request {
            id: request,
            ttl,
            query: Query::Count { namespace: namespace(), target: target() },
        },
        Message::Request {
            id: request,
            ttl,
            query: Query::ServerEvent { namespace: namespace(), event: event(), args: args() },
        },
        ask(Query::Sockets {
            namespace: namespace(),
            target: target(),
            from: 1 << 40,
            limit: 7,
            fields: fields(),
        }),
        ask(Query::Socket { namespace: namespace(), id: "s1".into(), fields: SocketFields::default() }),
        ask(Query::Namespaces),
        ask(Query::Rooms { namespace: namespace(), after: Some("x".into()), limit: 9 }),
        ask(Query::Rooms { namespace: namespace(), after: None, limit: 9 }),
        ask(Query::Outcome { change: RequestId(5) }),
        Message::ServerEvent { namespace: namespace(), event: event(), args: args() },
        answer(Answer::Sockets { sockets: vec![socket(), SocketInfo::default()], next: Some(1 << 40) }),
        answer(Answer::Sockets { sockets: vec![], next: None }),
        answer(Answer::Namespaces(vec![("/".into(), 2), ("/chat".into(), 0)])),
        answer(Answer::Rooms { rooms: vec![("a".into(), 1), ("b".into(), u64::MAX)], more: true }),
        Message::Answer {
            request,
            part: 3,
            more: true,
            answer: Answer::Members(vec!["s1".into(), "s2".into()]),
        },
        Message::Answer { request, part: 0, more: false, answer: Answer::Count(7) },
        Message::Answer { request, part: 0, more: false, answer: Answer::ServerEvent(None) },
        Message::Answer { request, part: 0, more: false, answer: Answer::ServerEvent(Some(args())) },
        Message::AckCount { request, recipients: 3 },
        Message::Acks {
            request,
            acks: vec![("s1".into(), Some(args())), ("s2".into(), None), ("s3".into(), Some(Args::empty()))],
        },
        Message::Heartbeat {
            boot: [1, 2],
            incarnation: 1_700_000_000_000,
            sequences: vec![("all".into(), 9), ("node".into(), 0)],
            hello: true,
            name: "a".into(),
            version: "0.1.0".into(),
        },
        Message::Leaving,
        Message::Unknown(999),
    ]
}

fn read(bytes: Vec<u8>) -> Result<Envelope, DecodeError> {
    decode(&bytes.into(), &Limits::default())
}

#[test]
fn every_message_comes_back() {
    for message in every_message() {
        for origin in [node(), Origin::Emitter([9; 6])] {
            let mut bytes = encode(&origin, &message);
            bytes[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&77_u64.to_be_bytes());
            assert_eq!(peek(&bytes), Ok((origin, 77)));
            let envelope = read(bytes).unwrap_or_else(|error| panic!("{message:?}: {error}"));
            assert_eq!(envelope, Envelope { origin, sequence: 77, message: message.clone() });
        }
    }
}

#[test]
fn the_bytes_of_an_emit_are_pinned() {
    let target = Target::room("r").except("s");
    let bytes = encode_emit(&node(), &NamespacePath::root(), "ev", &args(), &target, true, None);
    let json = br#"["a",{"_placeholder":true,"num":0}]"#;
    let mut want = vec![1, 0, 0, 0, 0, 0, 0, 0, 0];
    want.extend(b"\x9a\x01\x00\xc4\x06\x01\x02\x03\x04\x05\x06\xa1/\xa2ev\x91\xa1r\x91\xa1s\xc3\xc0\x00");
    want.extend([0x91, 0x92, 0xc4, json.len() as u8]);
    want.extend(json);
    want.extend([0xc4, 2, 1, 2]);
    assert_eq!(bytes, want);
}

#[test]
fn arguments_are_slices_of_the_message() {
    let bytes = Bytes::from(encode(&node(), &every_message()[0]));
    let envelope = decode(&bytes, &Limits::default()).unwrap();
    let Message::Emit { args, .. } = &envelope.message else { panic!("an emit") };
    let range = bytes.as_ptr_range();
    assert!(range.contains(&args.json_bytes().as_ptr()));
    assert!(range.contains(&args.attachments()[0].as_ptr()));
}

#[test]
fn the_bytes_of_a_socket_are_pinned() {
    let answer = Answer::Sockets { sockets: vec![socket()], next: Some(9) };
    let bytes = encode(&node(), &Message::Answer { request: RequestId(3), part: 0, more: false, answer });
    let mut want = vec![1, 0, 0, 0, 0, 0, 0, 0, 0];
    want.extend(b"\x98\x16\x00\xc4\x06\x01\x02\x03\x04\x05\x06\x03\x00\xc2\x91\x9a\xa2s1\x92\xa2s1\xa1r");
    want.extend(b"\xb1/socket.io/?EIO=4\xaa{\"user\":7}\x91\xaauser-agent\x91\xa1x\xa7fe80::1");
    want.extend(b"\xcf\x00\x00\x01\x8b\xcf\xe5h\x00\xc3\xa7polling\x09\x90");
    assert_eq!(bytes, want);
}

#[test]
fn what_older_nodes_do_not_write_has_a_default() {
    let none = [""; 0];
    let join = read(handmade(&(2, 0, id(), "/", ["a"], none, ["x"]), &[])).unwrap().message;
    let rooms = vec!["x".into()];
    assert_eq!(
        join,
        Message::Join { namespace: "/".into(), target: Target::room("a"), rooms, confirm: None }
    );
    let disconnect = read(handmade(&(4, 0, id(), "/", ["a"], none, true), &[])).unwrap().message;
    assert_eq!(
        disconnect,
        Message::Disconnect { namespace: "/".into(), target: Target::room("a"), close: true, confirm: None }
    );
    let close = read(handmade(&(5, 0, id(), "/", "x"), &[])).unwrap().message;
    assert_eq!(close, Message::CloseRoom { namespace: "/".into(), room: "x".into(), confirm: None });
}

#[test]
fn what_newer_nodes_say_about_a_socket_is_skipped() {
    let none = [""; 0];
    let nil = None::<u8>;
    let newer = ("s1", ["r"], nil, nil, none, none, nil, nil, nil, nil, "more", [1, 2]);
    let answer = read(handmade(&(22, 0, id(), 3, 0, false, [newer], nil, "more"), &[])).unwrap().message;
    let socket = SocketInfo { id: "s1".into(), rooms: vec!["r".into()], ..SocketInfo::default() };
    let answered = Answer::Sockets { sockets: vec![socket], next: None };
    assert_eq!(answer, Message::Answer { request: RequestId(3), part: 0, more: false, answer: answered });
    let fields = read(handmade(&(18, 0, id(), 3, 5, "/", "s1", u32::MAX, none), &[])).unwrap().message;
    let Message::Request { query: Query::Socket { fields, .. }, .. } = fields else { panic!("a request") };
    assert_eq!(fields, SocketFields { headers: vec![], ..self::fields() }, "unknown bits are ignored");
}

/// A message as a newer node may write it.
fn handmade(header: &impl Serialize, blocks: &[&[&[u8]]]) -> Vec<u8> {
    let mut out = vec![VERSION, 0, 0, 0, 0, 0, 0, 0, 1];
    append(&mut out, header);
    let blocks: Vec<Vec<&serde_bytes::Bytes>> =
        blocks.iter().map(|block| block.iter().map(|part| serde_bytes::Bytes::new(part)).collect()).collect();
    append(&mut out, &blocks);
    out
}

const ID: [u8; 6] = [1, 2, 3, 4, 5, 6];

fn id() -> &'static serde_bytes::Bytes {
    serde_bytes::Bytes::new(&ID)
}

#[test]
fn what_newer_nodes_append_is_skipped() {
    let newer = (("deeply", vec![vec![1]]), std::collections::BTreeMap::from([("a", 1)]));
    let emit = (1, 0, id(), "/", "ev", ["r"], [""; 0], false, None::<u64>, 0, "priority", newer.clone());
    let envelope = read(handmade(&emit, &[&[b"[1]"], &[b"not json", b"of a later version"]])).unwrap();
    assert_eq!(
        envelope.message,
        Message::Emit {
            namespace: NamespacePath::root(),
            event: "ev".into(),
            args: 1.into_args().unwrap(),
            target: Target::room("r"),
            volatile: false,
            reply: None,
        }
    );
    let unknown = (70_000, 0, id(), newer.clone());
    assert_eq!(read(handmade(&unknown, &[&[b"x"]])).unwrap().message, Message::Unknown(70_000));
    let leaving = read(handmade(&(16, 1, id(), newer), &[])).unwrap();
    assert_eq!((leaving.origin, leaving.message), (Origin::Emitter(ID), Message::Leaving));
}

#[test]
fn what_is_wrong_is_named() {
    use DecodeError::*;
    let emit = |namespace: &'static str, event: &'static str, blocks: &[&[&[u8]]]| {
        let none = [""; 0];
        handmade(&(1, 0, id(), namespace, event, none, none, false, None::<u64>, 0), blocks)
    };
    let mut newer = emit("/", "ev", &[&[b"[]"]]);
    newer[0] = 2;
    let mut trailing = emit("/", "ev", &[&[b"[]"]]);
    trailing.push(0);
    let deep = (0..100).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
    for (bytes, want) in [
        (vec![], BusTooShort),
        (vec![1, 0, 0], BusTooShort),
        (vec![1; 9], BusTooShort),
        (newer, BusVersion),
        (b"{\"method\":\"emit\"}".to_vec(), BusVersion),
        (trailing, BusTrailing),
        (emit("chat", "ev", &[&[b"[]"]]), BusName),
        (emit("/a,b", "ev", &[&[b"[]"]]), BusName),
        (emit("/", "disconnect", &[&[b"[]"]]), BusName),
        (emit("/", "ev", &[]), BusArgs),
        (emit("/", "ev", &[&[]]), BusArgs),
        (emit("/", "ev", &[&[b"{}"]]), BusArgs),
        (emit("/", "ev", &[&[b"[1,]"]]), BusArgs),
        (emit("/", "ev", &[&[b"[\"\xff\"]"]]), BusArgs),
        (emit("/", "ev", &[&[br#"[{"_placeholder":true,"num":1}]"#, b"x"]]), BusAttachments),
        (handmade(&(1, 0, id()), &[]), BusHeader),
        (handmade(&("emit", 0, id()), &[]), BusHeader),
        (handmade(&(1, 7, id()), &[]), BusHeader),
        (handmade(&(16, 0, serde_bytes::Bytes::new(b"short")), &[]), BusHeader),
        (handmade(&(14, 0, id(), 1, ["a", "b"], [true]), &[&[b"[]"]]), BusHeader),
        (handmade(&(16, 0, id(), deep), &[]), BusHeader),
        (handmade(&(23, 0, id(), 1, 0, false, ["/"], [1, 2]), &[]), BusHeader),
        (handmade(&(23, 0, id(), 1, 0, false, ["/a,b"], [1]), &[]), BusName),
        (handmade(&(24, 0, id(), 1, 0, false, ["a"], [0; 0], false), &[]), BusHeader),
        (handmade(&(22, 0, id(), 1, 0, false, [("s1", ["r"])], None::<u8>), &[]), BusHeader),
        (handmade(&"text", &[]), BusHeader),
    ] {
        assert_eq!(read(bytes.clone()), Err(want), "{bytes:?}");
    }
    let small = Limits { max_payload: 2, ..Limits::default() };
    assert_eq!(decode(&vec![1; 17].into(), &small), Err(BusTooLarge));
}

#[test]
fn no_truncation_panics_or_passes() {
    for message in every_message() {
        let bytes = Bytes::from(encode(&node(), &message));
        for end in 0..bytes.len() {
            assert!(decode(&bytes.slice(..end), &Limits::default()).is_err(), "{message:?} cut at {end}");
        }
    }
}
