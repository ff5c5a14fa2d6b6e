use std::borrow::Cow;

use super::{Args, Assembler, Inbound, IntoArgs as _};
use crate::{DecodeError, Limits};

fn limits() -> Limits {
    Limits::default()
}

fn decode(text: &str) -> Result<Option<Inbound<'_>>, DecodeError> {
    Assembler::new().text(text, &limits())
}

fn event(
    namespace: &'static str,
    id: Option<u64>,
    name: &'static str,
    json: &'static str,
) -> Inbound<'static> {
    let args = Args::from_parts(json.into(), vec![]).unwrap();
    Inbound::Event { namespace: namespace.into(), id, name: name.into(), args }
}

#[test]
fn texts_become_packets() {
    let connect = |namespace: &'static str, auth: Option<&'static str>| Inbound::Connect {
        namespace: namespace.into(),
        auth: auth.map(Into::into),
    };
    let cases = [
        ("0", connect("/", None)),
        ("0{}", connect("/", Some("{}"))),
        ("0 {\"token\":\"a\"} ", connect("/", Some("{\"token\":\"a\"}"))),
        ("0/chat", connect("/chat", None)),
        ("0/chat,", connect("/chat", None)),
        ("0/chat?a=b,{\"x\":1}", connect("/chat", Some("{\"x\":1}"))),
        ("1", Inbound::Disconnect { namespace: "/".into() }),
        ("1/chat,", Inbound::Disconnect { namespace: "/chat".into() }),
        ("2[\"ev\"]", event("/", None, "ev", "[]")),
        ("2[ \"ev\" ] ", event("/", None, "ev", "[]")),
        ("2[\"ev\",1]", event("/", None, "ev", "[1]")),
        ("2[\"ev\" , {\"a\":[1, 2]} , null ] ", event("/", None, "ev", "[ {\"a\":[1, 2]} , null ]")),
        ("20[\"ev\",\"a\"]", event("/", Some(0), "ev", "[\"a\"]")),
        ("2/a/b,18446744073709551615[\"\",[]]", event("/a/b", Some(u64::MAX), "", "[[]]")),
        ("2[\"a\\u00e9\\n\",1]", event("/", None, "aé\n", "[1]")),
        ("2[12.5,1]", event("/", None, "12.5", "[1]")),
        (
            "50-[\"ev\",{\"_placeholder\":true,\"num\":0}]",
            event("/", None, "ev", "[{\"_placeholder\":true,\"num\":0}]"),
        ),
        ("31[]", Inbound::Ack { namespace: "/".into(), id: 1, args: Args::empty() }),
        ("60-/n,7[1]", Inbound::Ack { namespace: "/n".into(), id: 7, args: 1.into_args().unwrap() }),
        (
            "4/n,{\"message\":\"no\"}",
            Inbound::ConnectError { namespace: "/n".into(), error: "{\"message\":\"no\"}".into() },
        ),
    ];
    for (text, want) in cases {
        assert_eq!(decode(text), Ok(Some(want)), "{text}");
    }
}

#[test]
fn texts_that_are_no_packets_are_refused() {
    use DecodeError::*;
    let cases = [
        ("", EmptyMessage),
        ("7", BadPacketType),
        ("é", BadPacketType),
        ("0[]", BadPayload),
        ("0null", BadPayload),
        ("0{", BadJson),
        ("0/a\u{1e}2", BadNamespace),
        ("0{}x", BadJson),
        ("0/n?what,follows the first comma,{}", BadJson),
        ("2 [\"ev\"]", BadPayload),
        ("1{}", BadPayload),
        ("2", BadPayload),
        ("2/n", BadPayload),
        ("2{}", BadPayload),
        ("2\"ev\"", BadPayload),
        ("2[]", BadEventName),
        ("2[", BadEventName),
        ("2[null]", BadEventName),
        ("2[{},1]", BadEventName),
        ("2[\"\\ud800\"]", BadEventName),
        ("2[\"ev\"", BadJson),
        ("2[\"ev\",", BadJson),
        ("2[\"ev\",]", BadJson),
        ("2[\"ev\" 1]", BadJson),
        ("2[\"ev\",1]]", BadJson),
        ("2[\"ev\"]x", BadJson),
        ("2[\"ev\",1}", BadJson),
        ("2[\"ev", BadJson),
        ("2[-,1]", BadJson),
        ("2[\"disconnect\"]", ReservedEvent),
        ("2[\"newL\\u0069stener\",1]", ReservedEvent),
        ("218446744073709551616[\"ev\"]", BadAckId),
        ("3[]", BadAckId),
        ("31", BadPayload),
        ("31{}", BadPayload),
        ("31[1,]", BadJson),
        ("5[\"ev\"]", BadAttachmentCount),
        ("51[\"ev\"]", BadAttachmentCount),
        ("5-[\"ev\"]", BadAttachmentCount),
        ("5-1-[\"ev\"]", BadAttachmentCount),
        ("511-[\"ev\"]", TooManyAttachments),
        ("599999999999999999999-[\"ev\"]", TooManyAttachments),
        ("51-[\"ev\",{\"_placeholder\":true,\"num\":1}]", BadPlaceholder),
        ("41", BadJson),
        ("4[1]", BadPayload),
    ];
    for (text, want) in cases {
        assert_eq!(decode(text), Err(want), "{text}");
    }
    for reserved in super::header::RESERVED {
        assert_eq!(decode(&format!("2[\"{reserved}\"]")), Err(ReservedEvent));
    }
}

#[test]
fn limits_hold_exactly() {
    let limits =
        Limits { max_event_len: 3, max_namespace_len: 3, max_json_depth: 3, max_payload: 40, ..limits() };
    let mut assembler = Assembler::new();
    for (text, want) in [
        ("2[\"abc\"]", None),
        ("2[\"abcd\"]", Some(DecodeError::EventTooLong)),
        ("2[\"\\u0061bc\"]", None),
        ("2[1234]", Some(DecodeError::EventTooLong)),
        ("0/ab", None),
        ("0/ab?query,", None),
        ("0/abc", Some(DecodeError::NamespaceTooLong)),
        ("2[\"a\",[[]]]", None),
        ("2[\"a\",[[[]]]]", Some(DecodeError::TooDeep)),
        ("31[[[]]]", None),
        ("31[[[[]]]]", Some(DecodeError::TooDeep)),
        ("0{\"a\":{\"a\":{\"a\":{}}}}", Some(DecodeError::TooDeep)),
        ("2[\"a\",\"2345678901234567890123456789012\"]", None),
        ("2[\"a\",\"23456789012345678901234567890123\"]", Some(DecodeError::MessageTooLarge)),
    ] {
        assert_eq!(assembler.text(text, &limits).err(), want, "{text}");
    }
}

const TWO: &str = "52-/n,7[\"ev\",{\"_placeholder\":true,\"num\":1},{\"_placeholder\":true,\"num\":0}]";

#[test]
fn attachments_complete_a_packet() {
    let mut assembler = Assembler::new();
    assert_eq!(assembler.text(TWO, &limits()), Ok(None));
    assert!(!assembler.is_idle());
    assert_eq!(assembler.binary(b"first", &limits()), Ok(None));
    let Ok(Some(Inbound::Event { namespace, id, name, args })) = assembler.binary(b"", &limits()) else {
        panic!("it is complete");
    };
    assert_eq!((&*namespace, id, &*name), ("/n", Some(7), "ev"));
    assert_eq!(args.attachments(), [&b"first"[..], b""]);
    assert!(assembler.is_idle());

    assert_eq!(assembler.text("61-3[{\"_placeholder\":true,\"num\":0}]", &limits()), Ok(None));
    let Ok(Some(Inbound::Ack { namespace, id: 3, args })) = assembler.binary(b"x", &limits()) else {
        panic!("it is complete");
    };
    assert_eq!((namespace, args.first()), (Cow::Borrowed("/"), Ok(super::Binary::from(&b"x"[..]))));
}

#[test]
fn nothing_may_come_between_attachments() {
    let mut assembler = Assembler::new();
    assert_eq!(assembler.binary(b"x", &limits()), Err(DecodeError::UnexpectedBinary));
    assert_eq!(assembler.text(TWO, &limits()), Ok(None));
    assert_eq!(assembler.text("0", &limits()), Err(DecodeError::UnexpectedText));
    assembler.clear();
    assert!(assembler.is_idle());
    assert!(assembler.text("0", &limits()).is_ok());
}

#[test]
fn text_and_attachments_are_bounded_together() {
    let limits = Limits { max_payload: TWO.len() + 10, ..limits() };
    let mut assembler = Assembler::new();
    assembler.text(TWO, &limits).unwrap();
    assert_eq!(assembler.binary(&[0; 10], &limits), Ok(None));
    assert_eq!(assembler.binary(&[0; 1], &limits), Err(DecodeError::MessageTooLarge));
    assert!(assembler.is_idle(), "what had come is forgotten");
    assembler.text(TWO, &limits).unwrap();
    assert_eq!(assembler.binary(&[0; 10], &limits), Ok(None));
    assert!(matches!(assembler.binary(b"", &limits), Ok(Some(_))));
}

#[test]
fn idle_it_is_a_pointer() {
    assert_eq!(size_of::<Assembler>(), size_of::<usize>());
}

#[test]
fn json_is_bounded_by_its_length_and_by_its_values() {
    let limits = Limits { max_json_len: 30, max_json_values: 5, ..limits() };
    let text = |text: &str| Assembler::new().text(text, &limits).map(drop);
    // The name and the array are values, too.
    assert_eq!(text(r#"2["e",1,{"a":2}]"#), Ok(()));
    assert_eq!(text(r#"2["e",1,[2]]"#), Ok(()));
    assert_eq!(text(r#"2["e",1,[2,3]]"#), Err(DecodeError::TooManyValues));
    assert_eq!(text(r#"0{"a":[1,2,3,4]}"#), Err(DecodeError::TooManyValues));
    assert_eq!(text("31[[],[],[],[],[]]"), Err(DecodeError::TooManyValues));
    assert_eq!(text("31[[],[],[],[],[]"), Err(DecodeError::BadJson));
    assert_eq!(text(&format!(r#"2["e","{}"]"#, "x".repeat(22))), Ok(()));
    assert_eq!(text(&format!(r#"2["e","{}"]"#, "x".repeat(23))), Err(DecodeError::JsonTooLong));
    // The rest of a packet does not count as JSON.
    assert_eq!(text(&format!(r#"2/{},12["e","{}"]"#, "n".repeat(40), "x".repeat(22))), Ok(()));
}
