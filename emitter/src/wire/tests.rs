//! The wire format is a contract with nodes of other versions: bytes are written out here, not computed.

use super::*;
use serde_json::json;
use sockeye_proto::sio::{Binary, IntoArgs};

const ID: [u8; 6] = [1, 2, 3, 4, 5, 6];
const HOST: &str = "50c8e7e0e1174b058000010203040506";

fn wire(dialect: Dialect) -> Wire {
    Wire::new(dialect, ID, 8_000_000)
}

fn args(value: impl IntoArgs) -> Args {
    value.into_args().expect("arguments")
}

fn rooms(names: &[&str]) -> Vec<RoomName> {
    names.iter().map(|name| RoomName::from(*name)).collect()
}

/// A header of `fields` elements, its kind, and who sent it.
fn native(fields: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0x90 + fields, kind, 1, 0xc4, 6];
    bytes.extend(ID);
    bytes.extend(rest);
    bytes
}

#[test]
fn the_native_dialect_is_pinned() {
    let namespace = NamespacePath::from("/chat");
    let target = Target::room("r").to("q").except("s");
    let sockets = b"\xa5/chat\x92\xa1r\xa1q\x91\xa1s".as_slice();
    let plain = args(("a", 1));
    let binary = args(("a", Binary::from(&b"\x01\x02"[..])));
    let json = br#"["a",{"_placeholder":true,"num":0}]"#;
    let cases: [(Action<'_>, Vec<Vec<u8>>); 7] = [
        (
            Action::Emit { event: "ev", args: &plain, volatile: false },
            vec![native(
                10,
                1,
                b"\xa5/chat\xa2ev\x92\xa1r\xa1q\x91\xa1s\xc2\xc0\x00\x91\x91\xc4\x07[\"a\",1]",
            )],
        ),
        (
            Action::Emit { event: "ev", args: &binary, volatile: true },
            vec![native(
                10,
                1,
                &[
                    b"\xa5/chat\xa2ev\x92\xa1r\xa1q\x91\xa1s\xc3\xc0\x00\x91\x92\xc4\x23".as_slice(),
                    json,
                    b"\xc4\x02\x01\x02",
                ]
                .concat(),
            )],
        ),
        (
            Action::ServerEmit { event: "connect", args: &plain },
            vec![native(5, 9, b"\xa5/chat\xa7connect\x91\x91\xc4\x07[\"a\",1]")],
        ),
        (Action::Join(&rooms(&["x", "y"])), vec![native(7, 2, &[sockets, b"\x92\xa1x\xa1y\x90"].concat())]),
        (Action::Leave(&rooms(&["x"])), vec![native(7, 3, &[sockets, b"\x91\xa1x\x90"].concat())]),
        (Action::Disconnect { close: true }, vec![native(7, 4, &[sockets, b"\xc3\x90"].concat())]),
        (
            Action::CloseRooms(&rooms(&["x", "y"])),
            vec![native(5, 5, b"\xa5/chat\xa1x\x90"), native(5, 5, b"\xa5/chat\xa1y\x90")],
        ),
    ];
    for (action, want) in cases {
        let messages = wire(Dialect::Native).messages(&namespace, &target, &action).expect("sayable");
        assert!(messages.iter().all(|out| out.topic == Topic::All && out.stamp == Some(1)));
        let bytes: Vec<Vec<u8>> = messages.into_iter().map(|out| out.payload).collect();
        assert_eq!(bytes, want);
    }
}

fn python(namespace: &str, target: &Target, action: &Action<'_>) -> Result<Vec<String>, Reason> {
    let messages = wire(Dialect::Python).messages(&namespace.into(), target, action)?;
    assert!(messages.iter().all(|out| out.topic == Topic::Channel && out.stamp.is_none()));
    Ok(messages.into_iter().map(|out| String::from_utf8(out.payload).expect("text")).collect())
}

#[test]
fn the_python_dialect_is_pinned() {
    let emit = |args: &Args, target: &Target| {
        python("/chat", target, &Action::Emit { event: "ev", args, volatile: true }).expect("sayable")
    };
    let around = |data: &str, binary: bool, room: &str, skip: &str| {
        vec![format!(
            r#"{{"method":"emit","event":"ev","data":{data},"binary":{binary},"namespace":"/chat","room":{room},"skip_sid":{skip},"callback":null,"host_id":"{HOST}"}}"#
        )]
    };
    let everyone = Target::everyone();
    assert_eq!(emit(&args("a"), &everyone), around(r#""a""#, false, "null", "null"));
    assert_eq!(emit(&args(()), &everyone), around("null", false, "null", "null"));
    assert_eq!(emit(&args(vec![1, 2]), &everyone), around("[[1,2]]", false, "null", "null"));
    let target = Target::room("r").to(python::integer_room(7)).except("s").except("t");
    assert_eq!(emit(&args(("a", 1)), &target), around(r#"["a",1]"#, false, r#"["r",7]"#, r#"["s","t"]"#));
    let binary = args(Binary::from(&b"\x01\x02"[..]));
    let data = r#"[{"_placeholder":true,"num":0},"AQI="]"#;
    assert_eq!(emit(&binary, &Target::room("r").except("s")), around(data, true, r#""r""#, r#""s""#));

    let sids = Target::room("s1").to("s2");
    let entered = |method: &str, sid: &str, room: &str| {
        format!(r#"{{"method":"{method}","sid":"{sid}","room":"{room}","namespace":"/","host_id":"{HOST}"}}"#)
    };
    for (method, action) in [
        ("enter_room", Action::Join(&rooms(&["x", "y"]))),
        ("leave_room", Action::Leave(&rooms(&["x", "y"]))),
    ] {
        let pairs = [("s1", "x"), ("s1", "y"), ("s2", "x"), ("s2", "y")];
        let want = pairs.map(|(sid, room)| entered(method, sid, room));
        assert_eq!(python("/", &sids, &action).expect("sayable"), want);
    }
    assert_eq!(
        python("/", &sids, &Action::Disconnect { close: false }).expect("sayable"),
        ["s1", "s2"].map(|sid| format!(
            r#"{{"method":"disconnect","sid":"{sid}","namespace":"/","host_id":"{HOST}"}}"#
        ))
    );
    assert_eq!(
        python("/", &everyone, &Action::CloseRooms(&rooms(&["x"]))).expect("sayable"),
        [format!(r#"{{"method":"close_room","room":"x","namespace":"/","host_id":"{HOST}"}}"#)]
    );
}

#[test]
fn what_the_python_dialect_cannot_say_is_refused() {
    let x = rooms(&["x"]);
    let plain = Args::empty();
    for (target, action, word) in [
        (Target::everyone(), Action::Join(&x), "not everyone"),
        (Target::everyone(), Action::Leave(&x), "not everyone"),
        (Target::everyone(), Action::Disconnect { close: false }, "not everyone"),
        (Target::room("s").except("t"), Action::Join(&x), "no `except`"),
        (Target::room("s"), Action::Disconnect { close: true }, "disconnect(false)"),
        (Target::everyone(), Action::ServerEmit { event: "ev", args: &plain }, "servers"),
    ] {
        let reason = python("/", &target, &action).expect_err(word);
        assert!(matches!(reason, Reason::Dialect(_)), "{reason}");
        assert!(reason.to_string().contains(word), "{reason}");
    }
}

#[test]
fn what_nodes_or_clients_would_refuse_is_refused_here() {
    let everyone = Target::everyone();
    let emit = |dialect, namespace: &str, event: &str, args: &Args| {
        let action = Action::Emit { event, args, volatile: false };
        wire(dialect).messages(&namespace.into(), &everyone, &action).map(drop)
    };
    let deep = |depth: usize| {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        args(serde_json::value::RawValue::from_string(text).expect("JSON").as_ref())
    };
    let lookalike = args((json!({"_placeholder": true, "num": 7}), Binary::from(&b"x"[..])));
    for dialect in [Dialect::Native, Dialect::Python] {
        for name in ["connect", "connect_error", "disconnect", "disconnecting"] {
            assert!(matches!(emit(dialect, "/", name, &args(1)), Err(Reason::Reserved)), "{name}");
        }
        for namespace in ["/a,b", "/a?b"] {
            assert!(matches!(emit(dialect, namespace, "ev", &args(1)), Err(Reason::Namespace)));
        }
        // One more around them is the list of arguments.
        assert!(emit(dialect, "/", "ev", &deep(json::DEEPEST - 1)).is_ok());
        assert!(matches!(emit(dialect, "/", "ev", &deep(json::DEEPEST)), Err(Reason::Invalid(_))));
        assert!(matches!(emit(dialect, "/", "ev", &lookalike), Err(Reason::Invalid(_))));
        let long = "x".repeat(8_000_000);
        let Err(Reason::TooLarge { bytes, limit: 8_000_000 }) = emit(dialect, "/", "ev", &args(&long)) else {
            panic!("longer than nodes accept")
        };
        assert!(bytes > long.len());
        assert!(emit(dialect, "/", "ev", &args(&long[1000..])).is_ok());
    }
}
