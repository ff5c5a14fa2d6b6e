use bytes::Bytes;
use serde_json::json;

use super::*;
use crate::Limits;
use crate::sio::{Binary, IntoArgs as _, Value};

fn read(message: &serde_json::Value) -> Result<Incoming, PythonError> {
    decode(message.to_string().as_bytes(), &Limits::default())
}

/// An emit with these fields instead of the usual ones; `null` takes one away.
fn emit(fields: &serde_json::Value) -> serde_json::Value {
    let mut message =
        json!({"method": "emit", "event": "ev", "data": ["x"], "namespace": "/", "host_id": "h"});
    for (key, value) in fields.as_object().unwrap() {
        match value.is_null() && key != "data" {
            true => drop(message.as_object_mut().unwrap().remove(key)),
            false => message[key] = value.clone(),
        }
    }
    message
}

fn args_of(fields: &serde_json::Value) -> Args {
    match read(&emit(fields)).unwrap().message {
        PythonMessage::Emit { args, .. } => args,
        other => panic!("{other:?}"),
    }
}

fn target_of(fields: &serde_json::Value) -> Target {
    match read(&emit(fields)).unwrap().message {
        PythonMessage::Emit { target, .. } => target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn host_ids_are_well_formed_and_tell_who_is_behind() {
    let node = NodeId::from_bytes([1, 2, 3, 4, 5, 255]);
    let host = host_id(node);
    assert_eq!((host.len(), sockeye_node(&host)), (32, Some(node)));
    assert!(host.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!((host.as_bytes()[12], host.as_bytes()[16]), (b'4', b'8'), "a random UUID");
    assert_eq!(sockeye_node("562f70addba840349a3b93596b8607da"), None);
    assert_eq!(sockeye_node(&host[..31]), None);
    let emitter = emitter_host_id([1, 2, 3, 4, 5, 255]);
    assert_eq!((emitter.len(), sockeye_node(&emitter)), (32, None));
}

#[test]
fn data_becomes_arguments_as_newest_python_reads_it() {
    for (data, want) in [
        (json!("x"), json!(["x"])),
        (json!(null), json!([])),
        (json!([]), json!([])),
        (json!([null]), json!([])),
        (json!([null, null]), json!([null, null])),
        (json!(["a"]), json!(["a"])),
        (json!([["a", "b"]]), json!([["a", "b"]])),
        (json!([[]]), json!([[]])),
        (json!(["two", "args"]), json!(["two", "args"])),
        (json!({"k": 1}), json!([{"k": 1}])),
        (json!(false), json!([false])),
        (json!({"_placeholder": true, "num": 0}), json!([{"_placeholder": true, "num": 0}])),
    ] {
        assert_eq!(args_of(&json!({"data": data})).parse(), Ok(want.clone()), "{data}");
        assert_eq!(args_of(&json!({"data": data, "binary": false})).parse(), Ok(want), "{data}");
    }
}

#[test]
fn binary_is_put_in_its_place() {
    let placeholder = json!({"_placeholder": true, "num": 0});
    for (data, truthy) in [
        (json!([placeholder, "AQL/"]), json!(true)),
        (json!([[placeholder], "AQL/"]), json!(1)),
        (json!([[placeholder], "AQL/"]), json!("yes")),
    ] {
        let args = args_of(&json!({"data": data, "binary": truthy}));
        assert_eq!(args.parse(), Ok((Binary::from(&b"\x01\x02\xff"[..]),)), "{data}");
    }
    let args = args_of(&json!({"data": [["x", {"k": [placeholder]}], ""], "binary": true}));
    let value: (Value, Value) = args.parse().unwrap();
    assert_eq!(value.1.get("k").unwrap().as_array().unwrap()[0].as_binary(), Some(&Bytes::new()));
    assert!(args_of(&json!({"data": [[null], "AQL/"], "binary": true})).is_empty());
    for falsy in [json!(0), json!(""), json!([]), json!({}), json!(0.0)] {
        let args = args_of(&json!({"data": [placeholder, "AQL/"], "binary": falsy}));
        assert_eq!((args.len(), args.has_binary()), (2, false), "{falsy}");
    }
    for bad in
        [json!("x"), json!([]), json!([[placeholder], "AQL"]), json!([[placeholder], "AQL/", 7]), json!({})]
    {
        let bad = emit(&json!({"data": bad, "binary": true}));
        assert_eq!(read(&bad), Err(PythonError::WrongType("data")), "{bad}");
    }
    let missing = emit(&json!({"data": [[{"_placeholder": true, "num": 1}], "AQL/"], "binary": true}));
    assert_eq!(read(&missing), Err(PythonError::WrongType("data")));
}

#[test]
fn rooms_are_one_several_or_everyone() {
    assert!(target_of(&json!({})).is_everyone());
    assert!(target_of(&json!({"room": null, "skip_sid": null})).is_everyone());
    assert_eq!(target_of(&json!({"room": "r", "skip_sid": "s"})), Target::room("r").except("s"));
    assert_eq!(
        target_of(&json!({"room": ["r", 7], "skip_sid": ["s", "t"]})),
        Target::room("r").to(integer_room(7)).except("s").except("t")
    );
    assert_eq!(target_of(&json!({"room": -12, "skip_sid": []})), Target::room(integer_room(-12)));
    assert_ne!(integer_room(7), RoomName::from("7"));
    assert_eq!(read(&emit(&json!({"room": []}))), Err(PythonError::EmptyRooms));
    for room in [json!(1.5), json!(true), json!({}), json!([["r"]]), json!([null])] {
        assert_eq!(read(&emit(&json!({"room": room}))), Err(PythonError::WrongType("room")), "{room}");
    }
    let room = |text: &str| target_of_text(&format!("{{\"room\":{text}}}"));
    assert_eq!(room("-0"), Target::room(integer_room(0)));
    let big = "123456789012345678901234567890";
    assert_eq!(room(big).rooms[0], format!("\0int:{big}").as_str());
}

fn target_of_text(fields: &str) -> Target {
    let text = format!(r#"{{"method":"emit","event":"ev","data":null,"namespace":"/",{}"#, &fields[1..]);
    match decode(text.as_bytes(), &Limits::default()).unwrap().message {
        PythonMessage::Emit { target, .. } => target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn callbacks_have_three_parts() {
    let callback = |value| match read(&emit(&json!({"callback": value}))).unwrap().message {
        PythonMessage::Emit { callback, .. } => callback,
        other => panic!("{other:?}"),
    };
    let want = Callback { room: "s".into(), namespace: "/".into(), id: 3 };
    assert_eq!(callback(json!(["s", "/", 3])), Some(want));
    assert_eq!(callback(json!([7, "/", 3])).unwrap().room, integer_room(7).as_str());
    for nothing in [
        json!(null),
        json!([]),
        json!(["s", "/"]),
        json!(["s", "/", 3, 4]),
        json!("s/3"),
        json!(["s", "/", "3"]),
    ] {
        assert_eq!(callback(nothing.clone()), None, "{nothing}");
    }
}

#[test]
fn what_python_tolerates_is_tolerated() {
    let text = br#" {"host_id": 5, "data": [NaN, -Infinity, {"Infinity": "NaN \" NaN", "n": Infinity}, 1180591620717411303424],
        "extra": {"x": []}, "m\u0065thod": "emit", "event": "old", "event": "e\u0076", "namespace": "/"} "#;
    let incoming = decode(text, &Limits::default()).unwrap();
    assert_eq!(incoming.host, None);
    let PythonMessage::Emit { event, args, .. } = incoming.message else { panic!("an emit") };
    assert_eq!(&*event, "ev");
    assert_eq!(args.json(), r#"[null, null, {"Infinity": "NaN \" NaN", "n": null}, 1180591620717411303424]"#);
    for data in ["NaN", "[NaN]", "[-Infinity]"] {
        let text = format!(r#"{{"method":"emit","event":"ev","data":{data},"namespace":"/"}}"#);
        let PythonMessage::Emit { args, .. } = decode(text.as_bytes(), &Limits::default()).unwrap().message
        else {
            panic!("an emit")
        };
        assert_eq!(args.json(), "[null]", "unlike null, {data} is an argument");
    }
    let reply = br#"{"method":"callback","host_id":"h","sid":"s","id":1,"args":[NaN,"NaN"]}"#;
    let PythonMessage::Callback { args, .. } = decode(reply, &Limits::default()).unwrap().message else {
        panic!("a callback")
    };
    assert_eq!(args.json(), r#"[null,"NaN"]"#);
}

#[test]
fn what_is_wrong_is_named() {
    use PythonError::*;
    for (bytes, want) in [
        (&b"\x80\x04\x95."[..], Pickle),
        (b"", NotJson),
        (b"hello", NotJson),
        (b"{\"method\":\"emit\"", NotJson),
        (b"{\"a\":\"\xff\"}", NotJson),
        (b"{\"a\":NaN", NotJson),
        (b"{\"a\":NaN,\"b", NotJson),
        (b"5", NotObject),
        (b"NaN", NotObject),
        (b"\"method\"", NotObject),
        (b"[\"method\"]", NotObject),
        (b"{}", MissingField("method")),
        (b"{\"method\":null}", MissingField("method")),
        (b"{\"method\":5}", WrongType("method")),
    ] {
        assert_eq!(decode(bytes, &Limits::default()), Err(want), "{bytes:?}");
    }
    for (fields, want) in [
        (json!({"namespace": null}), MissingField("namespace")),
        (json!({"namespace": 5}), WrongType("namespace")),
        (json!({"namespace": "chat"}), WrongType("namespace")),
        (json!({"namespace": "/a,b"}), WrongType("namespace")),
        (json!({"event": null}), MissingField("event")),
        (json!({"event": ["ev"]}), WrongType("event")),
        (json!({"event": "disconnect"}), ReservedEvent),
    ] {
        assert_eq!(read(&emit(&fields)), Err(want), "{fields}");
    }
    let mut no_data = emit(&json!({}));
    no_data.as_object_mut().unwrap().remove("data");
    assert_eq!(read(&no_data), Err(MissingField("data")));
    assert_eq!(
        read(&json!({"method": "enter_room", "sid": "s", "namespace": "/"})),
        Err(MissingField("room"))
    );
    assert_eq!(read(&json!({"method": "disconnect", "sid": 5, "namespace": "/"})), Err(WrongType("sid")));
    for (field, message) in [
        ("id", json!({"method": "callback", "host_id": "h", "sid": "s", "args": []})),
        ("sid", json!({"method": "callback", "host_id": "h", "id": 1, "args": []})),
        ("args", json!({"method": "callback", "host_id": "h", "sid": "s", "id": 1})),
        ("host_id", json!({"method": "callback", "sid": "s", "id": 1, "args": []})),
    ] {
        assert_eq!(read(&message), Err(MissingField(field)));
    }
    let wrong = json!({"method": "callback", "host_id": "h", "sid": "s", "id": 1, "args": {}});
    assert_eq!(read(&wrong), Err(WrongType("args")));
    let small = Limits { max_payload: 2, ..Limits::default() };
    assert_eq!(decode(&[b' '; 17], &small), Err(TooLarge));
    assert_eq!(decode("[".repeat(9_000).as_bytes(), &Limits::default()), Err(NotJson));
    assert_eq!(read(&json!({"method": "zzz", "host_id": "h"})).unwrap().message, PythonMessage::Unknown);
}

#[test]
fn what_is_written_is_read_again() {
    let namespace = NamespacePath::from("/chat");
    let target = Target::room("r\"é").to(integer_room(-7)).except("s");
    for args in [
        Args::empty(),
        "é".into_args().unwrap(),
        (1, "two").into_args().unwrap(),
        vec![1, 2].into_args().unwrap(),
        Vec::<u8>::new().into_args().unwrap(),
        (None::<u8>, None::<u8>).into_args().unwrap(),
        Binary::from(&b"\x01"[..]).into_args().unwrap(),
        json!({"_placeholder": true, "num": 5}).into_args().unwrap(),
        (Binary::default(), vec![Binary::from(&b"abcd"[..])]).into_args().unwrap(),
        vec![Binary::default()].into_args().unwrap(),
    ] {
        let bytes = encode_emit("h", &namespace, "ev", &args, &target, Some(("r", 9)));
        let incoming = decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(incoming.host.as_deref(), Some("h"));
        let callback = Some(Callback { room: "r".into(), namespace: "/chat".into(), id: 9 });
        let want = PythonMessage::Emit {
            namespace: namespace.clone(),
            event: "ev".into(),
            args: args.clone(),
            target: target.clone(),
            callback,
        };
        assert_eq!(incoming.message, want);
    }
    let (sid, room) = ("s".to_owned(), integer_room(7));
    for (bytes, want) in [
        (
            encode_disconnect("h", "s", "/chat"),
            PythonMessage::Disconnect { sid: sid.clone(), namespace: namespace.clone() },
        ),
        (
            encode_enter_room("h", "s", &room, "/chat"),
            PythonMessage::EnterRoom { sid: sid.clone(), room: room.clone(), namespace: namespace.clone() },
        ),
        (
            encode_leave_room("h", "s", "x", "/chat"),
            PythonMessage::LeaveRoom { sid: sid.clone(), room: "x".into(), namespace: namespace.clone() },
        ),
        (
            encode_close_room("h", &room, "/chat"),
            PythonMessage::CloseRoom { room, namespace: namespace.clone() },
        ),
    ] {
        assert_eq!(
            decode(&bytes, &Limits::default()),
            Ok(Incoming { host: Some("h".into()), message: want })
        );
    }
    let args = (None::<u8>,).into_args().unwrap();
    let bytes = encode_callback("a", "s", "/chat", 0, &args).unwrap();
    let want = PythonMessage::Callback { host: "a".into(), sid, namespace, id: 0, args };
    assert_eq!(decode(&bytes, &Limits::default()), Ok(Incoming { host: None, message: want }));
    assert_eq!(encode_callback("a", "s", "/", 0, &Binary::default().into_args().unwrap()), None);
}

#[test]
fn fields_have_the_order_of_python() {
    let args = ("a", Binary::from(&b"\x01\x02"[..])).into_args().unwrap();
    let bytes = encode_emit("h", "/", "ev", &args, &Target::room("r").except("s"), Some(("r", 1)));
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        concat!(
            r#"{"method":"emit","event":"ev","data":[["a",{"_placeholder":true,"num":0}],"AQI="],"binary":true,"#,
            r#""namespace":"/","room":"r","skip_sid":"s","callback":["r","/",1],"host_id":"h"}"#
        )
    );
    let bytes = encode_callback("h", "s", "/", 1, &Args::empty()).unwrap();
    assert_eq!(
        std::str::from_utf8(&bytes).unwrap(),
        r#"{"method":"callback","host_id":"h","sid":"s","namespace":"/","id":1,"args":[]}"#
    );
}
