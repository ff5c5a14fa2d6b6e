//! Properties of the Socket.IO side: what is written is read, what is read is written, and nothing else gets through.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use sockeye_proto::prepared::{Packet, Prepared, encode_polling, encode_websocket};
use sockeye_proto::sio::{Args, Assembler, Data, Inbound, IntoArgs as _, RESERVED, Value, json};
use sockeye_proto::{DecodeError, Limits};

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,12}", any::<String>(), r#"[\\"/\x00-\x1f,\[\]{}_é✓😀]{0,20}"#]
}

/// Any argument; binary about as often as text.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let key = text().prop_filter("no placeholder", |key| key != "_placeholder");
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..5).prop_map(Value::Object),
        ]
    })
}

fn args() -> impl Strategy<Value = Args> {
    let arguments = prop::collection::vec(value(), 0..4);
    arguments.prop_map(|list| match list.len() {
        0 => Args::empty(),
        1 => list[0].clone().into_args().expect("values can be sent"),
        2 => (&list[0], &list[1]).into_args().expect("values can be sent"),
        _ => (&list[0], &list[1], &list[2]).into_args().expect("values can be sent"),
    })
}

fn packet() -> impl Strategy<Value = Packet> {
    let namespace = prop_oneof![Just(String::new()), "/[a-zé/:]{0,8}"];
    let event =
        text().prop_filter("not reserved", |name| !RESERVED.contains(&name.as_str()) && name.len() <= 256);
    let id = any::<Option<u64>>();
    (namespace, event, id, args(), any::<bool>()).prop_map(|(namespace, event, id, args, ack)| {
        match (ack, id) {
            (true, Some(id)) => Packet::ack(namespace.as_str().into(), id, args),
            _ => Packet::event(namespace.as_str().into(), event, args, id),
        }
    })
}

fn limits() -> Limits {
    Limits { max_attachments: 1000, ..Limits::default() }
}

/// The Engine.IO messages of a polling payload.
fn messages(polling: &[u8]) -> (String, Vec<Vec<u8>>) {
    let text = std::str::from_utf8(polling).expect("polling is text");
    let mut packets = text.split('\u{1e}');
    let first = packets.next().and_then(|packet| packet.strip_prefix('4')).expect("a message");
    let attachment =
        |packet: &str| STANDARD.decode(packet.strip_prefix('b').expect("binary")).expect("base64");
    (first.to_owned(), packets.map(attachment).collect())
}

fn assemble(text: &str, attachments: &[Vec<u8>]) -> Result<Option<Packet>, DecodeError> {
    let (mut assembler, limits) = (Assembler::new(), limits());
    let mut inbound = assembler.text(text, &limits)?;
    for attachment in attachments {
        assert!(inbound.is_none(), "attachments are awaited");
        inbound = assembler.binary(attachment, &limits)?;
    }
    Ok(inbound.map(|inbound| match inbound {
        Inbound::Event { namespace, id, name, args } => Packet::event((&*namespace).into(), &*name, args, id),
        Inbound::Ack { namespace, id, args } => Packet::ack((&*namespace).into(), id, args),
        other => panic!("{other:?}"),
    }))
}

/// The payloads of unmasked frames with their opcodes, by the shortest reading of RFC 6455.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [first, length, rest @ ..] = bytes {
        assert_eq!(first & 0xf0, 0x80, "final, nothing reserved");
        let (len, rest) = match length {
            126 => (u16::from_be_bytes(rest[..2].try_into().expect("two")) as usize, &rest[2..]),
            127 => (u64::from_be_bytes(rest[..8].try_into().expect("eight")) as usize, &rest[8..]),
            len => (*len as usize, rest),
        };
        frames.push((first & 0xf, rest[..len].to_vec()));
        bytes = &rest[len..];
    }
    assert!(bytes.is_empty());
    frames
}

proptest! {
    #[test]
    fn values_come_back(list in prop::collection::vec(value(), 0..4)) {
        let args = Data(&list).into_args().expect("values can be sent");
        prop_assert_eq!(args.first::<Vec<Value>>(), Ok(list.clone()));
        prop_assert_eq!(args.parse::<(Vec<Value>,)>(), Ok((list,)));
        let again = Args::from_parts(args.json_bytes().clone(), args.attachments());
        prop_assert_eq!(again, Ok(args));
    }

    #[test]
    fn packets_come_back(packet in packet()) {
        let prepared = Prepared::new(packet.clone());
        let hint = prepared.len_hint();
        prop_assert_eq!(hint, prepared.websocket().len());
        let (text, attachments) = messages(prepared.polling());
        prop_assert_eq!(assemble(&text, &attachments), Ok(Some(packet.clone())));

        let mut want = vec![(1, format!("4{text}").into_bytes())];
        want.extend(attachments.into_iter().map(|bytes| (2, bytes)));
        prop_assert_eq!(frames(prepared.websocket()), want);

        let (mut websocket, mut polling) = (Vec::new(), Vec::new());
        encode_websocket(&packet, &mut websocket);
        encode_polling(&packet, &mut polling);
        prop_assert_eq!((websocket.len(), &websocket), (websocket.capacity(), &prepared.websocket().to_vec()));
        prop_assert_eq!((polling.len(), &polling), (polling.capacity(), &prepared.polling().to_vec()));
    }

    #[test]
    fn what_is_accepted_is_written_as_something_that_is_accepted(
        text in r#"[0-6]{1,2}-?(/[a-z?,]{0,3})?,?[0-9]{0,2}\[("[a-z\\"u]{0,4}"|[0-9.]{1,3}|null)?,?[ \[\]{}",:0-9a-z]{0,12}\]"#
    ) {
        let mut assembler = Assembler::new();
        let Ok(Some(inbound)) = assembler.text(&text, &limits()) else { return Ok(()) };
        let packet = match inbound {
            Inbound::Event { namespace, id, name, args } => Packet::event((&*namespace).into(), &*name, args, id),
            Inbound::Ack { namespace, id, args } => Packet::ack((&*namespace).into(), id, args),
            _ => return Ok(()),
        };
        let (text, attachments) = messages(Prepared::new(packet.clone()).polling());
        prop_assert_eq!(assemble(&text, &attachments), Ok(Some(packet)));
    }

    #[test]
    fn the_validator_agrees_with_serde_json(text in r#"[ \[\]{}",:0-9aeEflnrstu\\+.-]{0,24}"#) {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(json::validate(&text, 64).is_ok(), theirs, "{}", text);
    }

    #[test]
    fn the_validator_agrees_with_serde_json_on_nearly_valid_texts(
        value in value(),
        pretty: bool,
        at: prop::sample::Index,
        with in prop_oneof![Just(String::new()), r#"[ \[\]{}",:0-9a\\u+.-]"#, any::<char>().prop_map(String::from)],
    ) {
        let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
        let text = text.expect("JSON");
        prop_assert_eq!(json::validate(&text, 64), Ok(()));
        let characters: Vec<_> = text.char_indices().collect();
        let (begin, character) = characters[at.index(characters.len())];
        let changed = format!("{}{with}{}", &text[..begin], &text[begin + character.len_utf8()..]);
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&changed).is_ok();
        prop_assert_eq!(json::validate(&changed, 64).is_ok(), theirs, "{}", changed);
    }

    #[test]
    fn attachments_are_bounded_however_they_are_cut(sizes in prop::collection::vec(0..60_usize, 1..8), room in 0..200_usize) {
        let text = format!("5{}-[\"ev\"]", sizes.len());
        let limits = Limits { max_payload: text.len() + room, ..Limits::default() };
        let mut assembler = Assembler::new();
        prop_assert_eq!(assembler.text(&text, &limits), Ok(None));
        let mut left = room;
        for (index, size) in sizes.iter().enumerate() {
            let result = assembler.binary(&vec![0; *size], &limits);
            match left.checked_sub(*size) {
                None => {
                    prop_assert_eq!(result, Err(DecodeError::MessageTooLarge));
                    break;
                }
                Some(rest) => left = rest,
            }
            prop_assert_eq!(result.map(|inbound| inbound.is_some()), Ok(index + 1 == sizes.len()));
        }
        prop_assert!(assembler.is_idle());
    }

    #[test]
    fn no_bytes_make_arguments_panic(json: Vec<u8>, count in 0..3_usize) {
        let attachments = vec![Bytes::from_static(b"x"); count];
        if let Ok(args) = Args::from_parts(json.into(), attachments) {
            prop_assert!(args.parse::<Vec<Value>>().is_ok() || args.json().contains("\\u"));
        }
    }
}
