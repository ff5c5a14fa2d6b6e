use bytes::Bytes;
use serde_json::json;

use super::{decode, encode};
use crate::prepared::{Body, Packet};
use crate::sio::{Args, Binary, Inbound, IntoArgs as _, Value};
use crate::{DecodeError, Limits};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(pair).collect()
}

/// An event `e` to `/` whose only argument is written so.
fn event(argument: &[u8]) -> Vec<u8> {
    let mut message = hex("83 a474797065 02 a3 6e7370 a1 2f a464617461 92 a1 65");
    message.extend_from_slice(argument);
    message
}

fn args(message: &[u8]) -> Result<Args, DecodeError> {
    match decode(message, &Limits::default())? {
        Inbound::Event { args, .. } => Ok(args),
        other => panic!("{other:?}"),
    }
}

/// The JSON of an argument that is written so, and what is attached to it.
fn argument(digits: &str) -> Result<(String, Vec<Bytes>), DecodeError> {
    let args = args(&event(&hex(digits)))?;
    let json = args.json();
    Args::from_parts(args.json_bytes().clone(), args.attachments()).expect("arguments keep their promises");
    Ok((json[1..json.len() - 1].to_owned(), args.attachments().to_vec()))
}

fn plain(digits: &str) -> String {
    let (json, attachments) = argument(digits).unwrap();
    assert!(attachments.is_empty());
    json
}

#[test]
fn every_form_of_a_scalar_is_read() {
    for (digits, json) in [
        ("c0", "null"),
        ("d40000", "null"),
        ("c2", "false"),
        ("c3", "true"),
        ("7f", "127"),
        ("e0", "-32"),
        ("cc01", "1"),
        ("cd0001", "1"),
        ("ceffffffff", "4294967295"),
        ("cfffffffffffffffff", "18446744073709551615"),
        ("d0ff", "-1"),
        ("d10001", "1"),
        ("d280000000", "-2147483648"),
        ("d38000000000000000", "-9223372036854775808"),
        ("ca3f800000", "1"),
        ("cb3ff8000000000000", "1.5"),
        ("cb8000000000000000", "0"),
        ("cb4340000000000000", "9007199254740992.0"),
        ("cb7ff8000000000000", "null"),
        ("caff800000", "null"),
        ("a0", "\"\""),
        ("d90161", "\"a\""),
        ("da000161", "\"a\""),
        ("db0000000161", "\"a\""),
        ("a7221e5c0a086c7f", "\"\\\"\\u001e\\\\\\n\\bl\u{7f}\""),
        ("d6ff6553f100", "\"2023-11-14T22:13:20.000Z\""),
        ("d7ff1d5503406553f100", "\"2023-11-14T22:13:20.123Z\""),
        ("c70cff00000000ffffffffffffffff", "\"1969-12-31T23:59:59.000Z\""),
        ("d7000000018bcfe5687b", "\"2023-11-14T22:13:20.123Z\""),
        ("d7007fffffffffffffff", "null"),
        ("90", "[]"),
        ("dd00000000", "[]"),
        ("de0000", "{}"),
        ("df00000001a16101", "{\"a\":1}"),
        ("82a161d40000a162c0", "{\"b\":null}"),
    ] {
        assert_eq!(plain(digits), json, "{digits}");
    }
}

#[test]
fn binary_becomes_attachments() {
    let placeholder = "{\"_placeholder\":true,\"num\":0}";
    for (digits, data) in [
        ("c400", ""),
        ("c40101", "01"),
        ("c5000101", "01"),
        ("c60000000101", "01"),
        ("c7010005", "05"),
        ("c70800 0102030405060708", "0102030405060708"),
        ("c8000200 0102", "0102"),
        ("c90000000200 0102", "0102"),
    ] {
        assert_eq!(argument(digits), Ok((placeholder.into(), vec![hex(data).into()])), "{digits}");
    }
    // Types that nobody knows.
    assert_eq!(argument("d405aa"), Ok((format!("[5,{placeholder}]"), vec![vec![0xaa].into()])));
    assert_eq!(argument("d8ff"), Err(DecodeError::BadMsgpack));
    assert_eq!(argument("c703ff010203"), Ok((format!("[-1,{placeholder}]"), vec![vec![1, 2, 3].into()])));
}

#[test]
fn keys_are_text() {
    assert_eq!(
        plain("86 01a0 c0a0 c3a0 ff00 cb3ff8000000000000 00 a12201"),
        "{\"1\":\"\",\"null\":\"\",\"true\":\"\",\"-1\":0,\"1.5\":0,\"\\\"\":1}"
    );
    assert_eq!(plain("82a16101a16102"), "{\"a\":1,\"a\":2}");
    for digits in ["8190c0", "8180c0", "81c400c0", "81d40000c0", "8190d40000", "81d7000000000000000000c0"] {
        assert_eq!(argument(digits), Err(DecodeError::BadMsgpack), "{digits}");
    }
}

#[test]
fn a_map_that_looks_like_a_placeholder_is_no_attachment() {
    let map = "82ac5f706c616365686f6c646572c3a36e756d00";
    assert_eq!(plain(map), "{\"_placeholder\":true,\"num\":0}");
    assert_eq!(args(&event(&hex(map))).unwrap().parse::<Vec<Value>>().unwrap()[0].as_binary(), None);
    // Beside binary it could not be told from one.
    assert_eq!(argument(&format!("92{map}c40101")), Err(DecodeError::BadPlaceholder));
    assert_eq!(argument(&format!("92c40101{map}")), Err(DecodeError::BadPlaceholder));
    let harmless = "82ac5f706c616365686f6c646572c2a36e756d00";
    let (_, attachments) = argument(&format!("92{harmless}c40101")).unwrap();
    assert_eq!(attachments.len(), 1);
}

/// The members of a packet's map, in any order and with others between them.
fn packet(members: &[(&str, serde_json::Value)]) -> Vec<u8> {
    let mut message = Vec::new();
    super::encode::map(members.len(), &mut message);
    for (key, value) in members {
        super::encode::string(key.as_bytes(), &mut message);
        super::from_json::value(value.to_string().as_bytes(), &mut message);
    }
    message
}

#[test]
fn packets_are_checked_as_with_json() {
    let limits = Limits::default();
    let error = |members: &[(&str, serde_json::Value)]| {
        decode(&packet(members), &limits).expect_err("this is no packet")
    };
    let with = |kind: u64, data: serde_json::Value| {
        error(&[("type", kind.into()), ("data", data), ("nsp", "/".into())])
    };
    assert_eq!(decode(b"", &limits), Err(DecodeError::EmptyMessage));
    assert_eq!(decode(&[0x90], &limits), Err(DecodeError::BadMsgpack));
    assert_eq!(decode(&[0x80], &limits), Err(DecodeError::BadPacketType));
    assert_eq!(with(5, json!([])), DecodeError::BadPacketType);
    assert_eq!(error(&[("type", json!("2")), ("nsp", "/".into())]), DecodeError::BadPacketType);
    assert_eq!(error(&[("type", json!(-1)), ("nsp", "/".into())]), DecodeError::BadPacketType);
    assert_eq!(with(0, json!([])), DecodeError::BadPayload);
    assert_eq!(with(0, json!("text")), DecodeError::BadPayload);
    assert_eq!(with(1, json!(1)), DecodeError::BadPayload);
    assert_eq!(with(2, json!({})), DecodeError::BadPayload);
    assert_eq!(with(2, json!(null)), DecodeError::BadPayload);
    assert_eq!(with(2, json!([])), DecodeError::BadEventName);
    assert_eq!(with(2, json!([null])), DecodeError::BadEventName);
    assert_eq!(with(2, json!([["connect"]])), DecodeError::BadEventName);
    assert_eq!(with(2, json!(["x".repeat(257)])), DecodeError::EventTooLong);
    for reserved in crate::sio::RESERVED {
        assert_eq!(with(2, json!([reserved, 1])), DecodeError::ReservedEvent);
    }
    assert_eq!(with(3, json!([])), DecodeError::BadAckId);
    assert_eq!(with(4, json!([])), DecodeError::BadPayload);
    let event = |id: serde_json::Value, namespace: serde_json::Value| {
        let members = [("type", json!(2)), ("data", json!(["e"])), ("id", id), ("nsp", namespace)];
        decode(&packet(&members), &limits).map(|inbound| match inbound {
            Inbound::Event { namespace, id, .. } => (namespace.into_owned(), id),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(event(json!(u64::MAX), json!("/a?b=c")), Ok(("/a".into(), Some(u64::MAX))));
    assert_eq!(event(json!(null), json!("/")), Ok(("/".into(), None)));
    assert_eq!(event(json!(-1), json!("/")), Err(DecodeError::BadAckId));
    assert_eq!(event(json!("1"), json!("/")), Err(DecodeError::BadAckId));
    assert_eq!(event(json!(1.5), json!("/")), Err(DecodeError::BadAckId));
    assert_eq!(event(json!(1), json!("")), Err(DecodeError::BadNamespace));
    assert_eq!(event(json!(1), json!("a")), Err(DecodeError::BadNamespace));
    assert_eq!(event(json!(1), json!(null)), Err(DecodeError::BadNamespace));
    assert_eq!(event(json!(1), json!("/\n")), Err(DecodeError::BadNamespace));
    assert_eq!(event(json!(1), json!("/a,b")), Err(DecodeError::BadNamespace));
    assert_eq!(event(json!(1), json!(format!("/{}", "x".repeat(256)))), Err(DecodeError::NamespaceTooLong));
    // What is not known is passed over, and the last of two counts.
    let members = [
        ("type", json!(0)),
        ("options", json!({"a": [1]})),
        ("data", json!(null)),
        ("nsp", json!("/")),
        ("type", json!(1)),
    ];
    assert_eq!(decode(&packet(&members), &limits), Ok(Inbound::Disconnect { namespace: "/".into() }));
    // A number that serves as a name is its text.
    let members = [("type", json!(2)), ("data", json!([1.5])), ("nsp", json!("/"))];
    match decode(&packet(&members), &limits) {
        Ok(Inbound::Event { name, args, .. }) => assert_eq!((&*name, args.json()), ("1.5", "[]")),
        other => panic!("{other:?}"),
    }
    let auth = hex("83 a474797065 00 a3 6e7370 a1 2f a464617461 81 a161 c400");
    assert_eq!(decode(&auth, &limits), Err(DecodeError::BadPayload));
}

#[test]
fn what_is_too_much_is_refused() {
    let decode = |message: &[u8], limits: &Limits| super::decode(message, limits).map(drop);
    let limits = Limits { max_payload: 64, max_json_depth: 3, max_binary_values: 2, ..Limits::default() };
    assert_eq!(decode(&event(&[0xc0]), &limits), Ok(()));
    assert_eq!(decode(&event(&[0; 65]), &limits), Err(DecodeError::MessageTooLarge));
    // The list of the arguments is the first level, and a placeholder is an object.
    assert_eq!(decode(&event(&hex("919100")), &limits), Ok(()));
    assert_eq!(decode(&event(&hex("91919100")), &limits), Err(DecodeError::TooDeep));
    assert_eq!(decode(&event(&hex("91c400")), &limits), Ok(()));
    assert_eq!(decode(&event(&hex("9191c400")), &limits), Err(DecodeError::TooDeep));
    assert_eq!(decode(&event(&hex("91d40100")), &limits), Err(DecodeError::TooDeep));
    assert_eq!(decode(&event(&hex("92c400c400")), &limits), Ok(()));
    assert_eq!(decode(&event(&hex("93c400c400c400")), &limits), Err(DecodeError::TooManyAttachments));
    let limits = Limits { max_json_len: 40, max_json_values: 3, ..Limits::default() };
    assert_eq!(decode(&event(&[vec![0xc4, 200], vec![7; 200]].concat()), &limits), Ok(()));
    assert_eq!(
        decode(&event(&[vec![0xbf], vec![b'x'; 31]].concat()), &limits),
        Err(DecodeError::JsonTooLong)
    );
    assert_eq!(decode(&event(&hex("91c0")), &limits), Ok(()));
    assert_eq!(decode(&event(&hex("92c0c0")), &limits), Err(DecodeError::TooManyValues));
    // Headers that promise more than there is, and nesting without end.
    let limits = Limits::default();
    for header in ["ddffffffff", "dfffffffff", "dbffffffff", "c6ffffffff", "c9ffffffff00", "dcffff", "deffff"]
    {
        assert_eq!(decode(&event(&hex(header)), &limits), Err(DecodeError::BadMsgpack), "{header}");
        assert_eq!(decode(&hex(header), &limits), Err(DecodeError::BadMsgpack), "{header}");
    }
    for deep in [0x91, 0x81] {
        let mut message = event(&vec![deep; 900_000]);
        assert!(decode(&message, &limits).is_err());
        message.extend(vec![0; 1_000_000 - message.len()]);
        assert!(decode(&message, &limits).is_err());
    }
    let mut deep = event(&vec![0x91; 100_000]);
    deep.push(0xc0);
    assert_eq!(decode(&deep, &limits), Err(DecodeError::TooDeep));
    assert_eq!(decode(&event(&hex("c1")), &limits), Err(DecodeError::BadMsgpack));
    assert_eq!(decode(&event(&hex("a1ff")), &limits), Err(DecodeError::BadMsgpack));
    assert_eq!(decode(&event(&hex("c0c0")), &limits), Err(DecodeError::BadMsgpack));
}

#[test]
fn a_message_that_ends_early_is_refused_wherever_it_ends() {
    let args =
        (json!({"a": [1, 2.5, null, "text", {"b": -40_000}]}), Binary(vec![7; 300].into())).into_args();
    let packet = Packet::event("/chat".into(), "event", args.unwrap(), Some(70_000));
    let message = encode(&packet);
    let limits = Limits::default();
    assert!(decode(&message, &limits).is_ok());
    for end in 0..message.len() {
        assert!(decode(&message[..end], &limits).is_err(), "{end} bytes");
    }
}

#[test]
fn what_is_written_is_as_small_as_notepack_writes_it() {
    let data = |json: &str| {
        let mut out = Vec::new();
        super::from_json::value(json.as_bytes(), &mut out);
        out
    };
    for (json, digits) in [
        ("null", "c0"),
        ("false", "c2"),
        ("true", "c3"),
        ("127", "7f"),
        ("128", "cc80"),
        ("256", "cd0100"),
        ("65536", "ce00010000"),
        ("4294967296", "cf0000000100000000"),
        ("18446744073709551615", "cfffffffffffffffff"),
        ("18446744073709551616", "cb43f0000000000000"),
        ("-0", "00"),
        ("-32", "e0"),
        ("-33", "d0df"),
        ("-129", "d1ff7f"),
        ("-32769", "d2ffff7fff"),
        ("-2147483649", "d3ffffffff7fffffff"),
        ("1.0", "01"),
        ("1e2", "64"),
        ("0.5", "cb3fe0000000000000"),
        ("1e400", "cb7ff0000000000000"),
        (r#""\u00e9\ud83d\ude00\"\/\b\f\n\r\t""#, "ad c3a9 f09f9880 22 2f 08 0c 0a 0d 09"),
        (r#""\ud800\u0041\udc00""#, "a7 efbfbd 41 efbfbd"),
        (" [ 1 , [ ] , { \"a\" : { } } ] ", "93 01 90 81 a1 61 80"),
        ("{\"_placeholder\":true,\"num\":0}", "82 ac5f706c616365686f6c646572 c3 a36e756d 00"),
        ("[1", "c0"),
    ] {
        assert_eq!(data(json), hex(digits), "{json}");
    }
    let list = |len: usize| data(&serde_json::to_string(&vec![0; len]).unwrap());
    assert_eq!(list(15)[..1], [0x9f]);
    assert_eq!(list(16)[..3], [0xdc, 0, 16]);
    assert_eq!(list(65_536)[..5], [0xdd, 0, 1, 0, 0]);
    let text = |len: usize| data(&format!("\"{}\"", "x".repeat(len)));
    assert_eq!(text(31)[..1], [0xbf]);
    assert_eq!(text(32)[..2], [0xd9, 32]);
    assert_eq!(text(256)[..3], [0xda, 1, 0]);
    assert_eq!(text(65_536)[..5], [0xdb, 0, 1, 0, 0]);
    let map = |len: usize| {
        data(
            &serde_json::to_string(
                &(0..len).map(|i| (i.to_string(), 0)).collect::<std::collections::BTreeMap<_, _>>(),
            )
            .unwrap(),
        )
    };
    assert_eq!(map(15)[..1], [0x8f]);
    assert_eq!(map(16)[..3], [0xde, 0, 16]);
    assert_eq!(map(65_536)[..5], [0xdf, 0, 1, 0, 0]);
}

#[test]
fn placeholders_become_the_binary_that_they_stand_for() {
    let args = |json: &'static str| {
        let attachments = vec![Bytes::from_static(&[1]), Bytes::from_static(&[2, 3])];
        Args::from_parts(Bytes::from_static(json.as_bytes()), attachments).unwrap()
    };
    let written = |json| encode(&Packet::event("/".into(), "e", args(json), None));
    let head = "83 a474797065 02 a464617461 ";
    let tail = " a36e7370 a1 2f";
    for (json, digits) in [
        (
            r#"[{"_placeholder":true,"num":1},{"a":{"_placeholder":true,"num":0}}]"#,
            "93 a165 c4020203 81a161c40101",
        ),
        // What stands beside the number, and in whatever order, does not matter.
        (r#"[ {"num":1.0 ,"x":[{"y":[]}],"\u005fplaceholder":true},[[]],7]"#, "94 a165 c4020203 9190 07"),
        (r#"[{"_placeholder":false,"num":0}]"#, "92 a165 82ac5f706c616365686f6c646572c2a36e756d00"),
        (
            r#"[{"_placeholder":true,"_placeholder":1,"num":9}]"#,
            "92 a165 83 ac5f706c616365686f6c646572c3 ac5f706c616365686f6c64657201 a36e756d09",
        ),
    ] {
        assert_eq!(written(json), hex(&format!("{head}{digits}{tail}")), "{json}");
    }
    let ack = encode(&Packet::ack("/n".into(), 300, args(r#"[{"_placeholder":true,"num":0}]"#)));
    assert_eq!(ack, hex("84 a474797065 03 a464617461 91c40101 a36e7370 a22f6e a26964 cd012c"));
}

#[test]
fn packets_without_arguments_are_written_too() {
    let sid = crate::id::SocketId::from_random([0; 15]);
    let connect = encode(&Packet::connect("/".into(), &sid));
    assert_eq!(connect[..8], hex("83 a474797065 00 a4"));
    let Ok(Inbound::Connect { auth: Some(auth), .. }) = decode(&connect, &Limits::default()) else {
        panic!("{connect:?}")
    };
    assert_eq!(auth, "{\"sid\":\"AAAAAAAAAAAAAAAAAAAA\"}");
    assert_eq!(encode(&Packet::disconnect("/a".into())), hex("82 a474797065 01 a36e7370 a22f61"));
    let refused = encode(&Packet::connect_error("/a".into(), "{\"message\":\"no\"}"));
    assert_eq!(refused, hex("83 a474797065 04 a464617461 81a76d657373616765a26e6f a36e7370 a22f61"));
    let bare = Packet { body: Body::Args(Args::empty()), ..Packet::ack("/".into(), 0, Args::empty()) };
    assert_eq!(encode(&bare), hex("84 a474797065 03 a464617461 90 a36e7370 a12f a26964 00"));
}
