//! Socket.IO: what is accepted survives being written and read again, and the JSON validator agrees with serde_json.

use sockeye_proto::prepared::{Packet, Prepared};
use sockeye_proto::sio::{Args, Assembler, Inbound, Value, json};
use sockeye_proto::{DecodeError, Limits};

/// A text: exactly what serde_json accepts is accepted, unless it nests too deeply.
pub fn validate(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    match json::validate(text, 64) {
        Ok(()) => assert!(theirs),
        Err(DecodeError::TooDeep) => {
            assert!(data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() > 64)
        }
        Err(_) => assert!(!theirs),
    }
}

/// The text of a packet; where it announces attachments, they are made up.
pub fn text(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let limits = Limits::default();
    let mut assembler = Assembler::new();
    let Ok(mut inbound) = assembler.text(text, &limits) else {
        assert!(assembler.is_idle());
        return;
    };
    let mut count = 0;
    while inbound.is_none() {
        count += 1;
        assert!(count <= limits.max_attachments);
        inbound = assembler.binary(&vec![b'x'; count], &limits).expect("an attachment is awaited");
    }
    assert!(assembler.is_idle());
    if let Some(inbound) = inbound {
        round_trip(inbound, &limits);
    }
}

fn round_trip(inbound: Inbound<'_>, limits: &Limits) {
    let packet = match inbound {
        Inbound::Event { namespace, id, name, args } => {
            check(&args);
            Packet::event((&*namespace).into(), &*name, args, id)
        }
        Inbound::Ack { namespace, id, args } => {
            check(&args);
            Packet::ack((&*namespace).into(), id, args)
        }
        Inbound::Connect { auth: Some(json), .. } | Inbound::ConnectError { error: json, .. } => {
            let json = std::str::from_utf8(&json).expect("text");
            assert_eq!(json::validate(json, limits.max_json_depth), Ok(()));
            return;
        }
        Inbound::Connect { auth: None, .. } | Inbound::Disconnect { .. } => return,
    };
    let prepared = Prepared::new(packet);
    assert_eq!(prepared.len_hint(), prepared.websocket().len());
    let written = std::str::from_utf8(prepared.polling()).expect("polling is text");
    let text = written.split('\u{1e}').next().and_then(|packet| packet.strip_prefix('4')).expect("a message");
    // A namespace or a name may be longer than what came: a number's text has quotes then.
    let limits = Limits { max_payload: limits.max_payload * 2, ..limits.clone() };
    let mut assembler = Assembler::new();
    let mut again = assembler.text(text, &limits).expect("what was accepted is accepted again");
    for attachment in prepared.packet().attachments() {
        again = assembler.binary(attachment, &limits).expect("an attachment is awaited");
    }
    let again = match again.expect("a whole packet") {
        Inbound::Event { namespace, id, name, args } => Packet::event((&*namespace).into(), &*name, args, id),
        Inbound::Ack { namespace, id, args } => Packet::ack((&*namespace).into(), id, args),
        other => panic!("{other:?}"),
    };
    assert_eq!(&again, prepared.packet());
}

/// The promises of [`Args`].
pub(super) fn check(args: &Args) {
    let text = args.json();
    assert_eq!(text.as_bytes(), args.json_bytes());
    let list: Vec<serde::de::IgnoredAny> = serde_json::from_str(text).expect("a JSON array");
    assert_eq!((list.len(), list.is_empty()), (args.len(), args.is_empty()));
    // Valid JSON may still hold what serde has no type for: lone surrogates, and numbers beyond any float.
    let parsed = args.parse::<Vec<Value>>();
    let readable = serde_json::from_str::<serde_json::Value>(text).is_ok();
    assert_eq!(parsed.is_ok(), readable, "{parsed:?}");
}

/// Messages of one connection, each a byte (its top bit: binary; the rest: its length) and that many bytes.
pub fn binary(mut data: &[u8]) {
    let limits = Limits { max_payload: 300, max_attachments: 3, ..Limits::default() };
    let mut assembler = Assembler::new();
    // How many attachments may come at most, and how many bytes with them.
    let mut pending: Option<(usize, usize)> = None;
    while let [head, rest @ ..] = data {
        let len = usize::from(head & 0x7f).min(rest.len());
        let (message, rest) = rest.split_at(len);
        data = rest;
        let result = match (head & 0x80 != 0, std::str::from_utf8(message)) {
            (true, _) => assembler.binary(message, &limits).map(|inbound| inbound.is_some()),
            (false, Ok(text)) => assembler.text(text, &limits).map(|inbound| inbound.is_some()),
            (false, Err(_)) => continue,
        };
        pending = match (result, pending) {
            (Ok(true), _) => None,
            (Ok(false), None) => Some((limits.max_attachments, limits.max_payload - len)),
            (Ok(false), Some((count, room))) => Some((count - 1, room.checked_sub(len).expect("bounded"))),
            (Err(error), _) => {
                assert!(error != DecodeError::UnexpectedBinary || pending.is_none());
                assert!(error != DecodeError::UnexpectedText || pending.is_some());
                assembler.clear();
                None
            }
        };
        assert!(pending.is_none_or(|(count, _)| count > 0), "more attachments than allowed");
        assert_eq!(assembler.is_idle(), pending.is_none());
    }
}
