//! Every recorded message of python-socketio's managers, and hand-made ones with what Python nodes delivered for them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sockeye_proto::bus::Target;
use sockeye_proto::bus::python::{
    self, Callback, Incoming, PythonError, PythonMessage, encode_callback, encode_close_room,
    encode_disconnect, encode_emit, encode_enter_room, encode_leave_room, integer_room,
};
use sockeye_proto::name::RoomName;
use sockeye_proto::sio::Args;
use sockeye_proto::{Limits, sio};

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/python").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn index() -> Vec<(String, Value)> {
    let index: serde_json::Map<_, _> = serde_json::from_slice(&fixture("index.json")).expect("the index");
    index.into_iter().filter(|(_, entry)| entry["file"].is_string()).collect()
}

fn decode(bytes: &[u8]) -> Result<Incoming, PythonError> {
    python::decode(bytes, &Limits::default())
}

/// What newest Python makes of an emit's data: arguments, binary in hexadecimal as `{"hex": …}`. Written after its rules
/// and on values, not on text, so that it shares nothing with the decoder.
fn expected_args(message: &Value) -> Vec<Value> {
    let mut value = message["data"].clone();
    if message["binary"] == json!(true) {
        let parts = value.as_array().expect("a list").clone();
        let attachments: Vec<_> = parts[1..]
            .iter()
            .map(|part| STANDARD.decode(part.as_str().expect("text")).expect("base64"))
            .collect();
        value = substitute(&parts[0], &attachments);
    }
    let normal = |value: Value| if value.is_null() { vec![] } else { vec![value] };
    match value {
        Value::Array(list) if list.len() == 1 => normal(list[0].clone()),
        Value::Array(list) => list,
        other => normal(other),
    }
}

fn substitute(value: &Value, attachments: &[Vec<u8>]) -> Value {
    match value {
        Value::Object(object) if object.get("_placeholder") == Some(&json!(true)) => {
            hex(&attachments[object["num"].as_u64().expect("a number") as usize])
        }
        Value::Object(object) => {
            object.iter().map(|(key, value)| (key.clone(), substitute(value, attachments))).collect()
        }
        Value::Array(list) => list.iter().map(|value| substitute(value, attachments)).collect(),
        other => other.clone(),
    }
}

fn hex(bytes: &[u8]) -> Value {
    json!({"hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()})
}

/// The arguments in the same form.
fn args_of(args: &Args) -> Vec<Value> {
    fn plain(value: &sio::Value) -> Value {
        match value {
            sio::Value::Null => Value::Null,
            sio::Value::Bool(value) => (*value).into(),
            sio::Value::Number(number) => Value::Number(number.clone()),
            sio::Value::String(text) => text.as_str().into(),
            sio::Value::Binary(bytes) => hex(bytes),
            sio::Value::Array(list) => list.iter().map(plain).collect(),
            sio::Value::Object(members) => {
                members.iter().map(|(key, value)| (key.clone(), plain(value))).collect()
            }
        }
    }
    args.parse::<Vec<sio::Value>>().expect("valid arguments").iter().map(plain).collect()
}

fn room(value: &Value) -> RoomName {
    match value {
        Value::String(name) => name.as_str().into(),
        number => integer_room(number.as_i64().expect("a room is text or an integer")),
    }
}

fn list(value: &Value) -> Vec<RoomName> {
    match value {
        Value::Null => vec![],
        Value::Array(list) => list.iter().map(room).collect(),
        one => vec![room(one)],
    }
}

#[test]
fn every_recorded_message_says_what_the_index_says() {
    let entries = index();
    assert!(entries.len() > 70, "{}", entries.len());
    for (name, entry) in entries {
        let bytes = fixture(entry["file"].as_str().expect("a file"));
        let message = &entry["json"];
        match name.as_str() {
            "legacy_5_11_4_pickle_emit_dict" => {
                assert_eq!(decode(&bytes), Err(PythonError::Pickle));
                continue;
            }
            "emit_room_empty_list" => {
                assert_eq!(decode(&bytes), Err(PythonError::EmptyRooms));
                continue;
            }
            _ => {}
        }
        let incoming = decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        if name == "emit_float_nan" {
            let PythonMessage::Emit { args, .. } = incoming.message else { panic!("an emit") };
            assert_eq!(args.json(), "[null]", "NaN is no JSON, and no missing argument either");
            continue;
        }
        let method = message["method"].as_str().expect("a method");
        let host = (method != "callback").then(|| message["host_id"].as_str().expect("a host").to_owned());
        assert_eq!(incoming.host, host, "{name}");
        let namespace = || message["namespace"].as_str().expect("a namespace").into();
        let sid = || message["sid"].as_str().expect("a sid").to_owned();
        let want = match method {
            "emit" => {
                let PythonMessage::Emit { args, .. } = &incoming.message else {
                    panic!("{name}: {incoming:?}")
                };
                assert_eq!(args_of(args), expected_args(message), "{name}");
                let target = Target {
                    rooms: list(&message["room"]).into_iter().collect(),
                    except: list(&message["skip_sid"]).into_iter().collect(),
                };
                let callback = message["callback"].as_array().map(|parts| Callback {
                    room: parts[0].as_str().expect("a room").to_owned(),
                    namespace: parts[1].as_str().expect("a namespace").to_owned(),
                    id: parts[2].as_u64().expect("an id"),
                });
                let event = message["event"].as_str().expect("an event").into();
                PythonMessage::Emit { namespace: namespace(), event, args: args.clone(), target, callback }
            }
            "disconnect" => PythonMessage::Disconnect { sid: sid(), namespace: namespace() },
            "enter_room" => {
                PythonMessage::EnterRoom { sid: sid(), room: room(&message["room"]), namespace: namespace() }
            }
            "leave_room" => {
                PythonMessage::LeaveRoom { sid: sid(), room: room(&message["room"]), namespace: namespace() }
            }
            "close_room" => PythonMessage::CloseRoom { room: room(&message["room"]), namespace: namespace() },
            "callback" => PythonMessage::Callback {
                host: message["host_id"].as_str().expect("a host").to_owned(),
                sid: sid(),
                namespace: namespace(),
                id: message["id"].as_u64().expect("an id"),
                args: Args::from_parts(message["args"].to_string().into(), vec![]).expect("arguments"),
            },
            other => panic!("{name}: {other}"),
        };
        match (&incoming.message, &want) {
            // The recorded text has spaces.
            (PythonMessage::Callback { args: left, .. }, PythonMessage::Callback { args: right, .. }) => {
                assert_eq!(args_of(left), args_of(right), "{name}");
            }
            _ => assert_eq!(incoming.message, want, "{name}"),
        }
    }
}

#[test]
fn integers_of_any_size_keep_their_digits() {
    let incoming = decode(&fixture("emit_bigint.bin")).expect("a message");
    let PythonMessage::Emit { args, .. } = incoming.message else { panic!("an emit") };
    assert_eq!(args.json(), "[1180591620717411303424]");
}

/// What is decoded and encoded again says the same to a newest Python node: the same JSON, apart from the data, which
/// must mean the same.
#[test]
fn every_recorded_message_is_written_alike() {
    for (name, entry) in index() {
        let bytes = fixture(entry["file"].as_str().expect("a file"));
        let Ok(Incoming { host, message }) = decode(&bytes) else { continue };
        let host = host.unwrap_or_default();
        let written = match message {
            PythonMessage::Emit { namespace, event, args, target, callback } => {
                let callback = callback.as_ref().map(|callback| (callback.room.as_str(), callback.id));
                encode_emit(&host, &namespace, &event, &args, &target, callback)
            }
            PythonMessage::Disconnect { sid, namespace } => encode_disconnect(&host, &sid, &namespace),
            PythonMessage::EnterRoom { sid, room, namespace } => {
                encode_enter_room(&host, &sid, &room, &namespace)
            }
            PythonMessage::LeaveRoom { sid, room, namespace } => {
                encode_leave_room(&host, &sid, &room, &namespace)
            }
            PythonMessage::CloseRoom { room, namespace } => encode_close_room(&host, &room, &namespace),
            PythonMessage::Callback { host, sid, namespace, id, args } => {
                encode_callback(&host, &sid, &namespace, id, &args).expect("no binary")
            }
            PythonMessage::Unknown => panic!("{name}"),
        };
        let mut written: Value =
            serde_json::from_slice(&written).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut want = entry["json"].clone();
        if want["method"] == "emit" {
            assert_eq!(expected_args(&written), expected_args(&want), "{name}");
            want["data"] = Value::Null;
            written["data"] = Value::Null;
            // 5.14.1 did not have this field yet.
            want["binary"] = written["binary"].clone();
            if let Value::Array(rooms) = &want["skip_sid"]
                && rooms.len() == 1
            {
                want["skip_sid"] = rooms[0].clone();
            }
        }
        if name != "emit_float_nan" {
            assert_eq!(written, want, "{name}");
        }
    }
}

/// Hand-made messages, and the arguments that the client of a newest Python node got for them.
#[test]
fn hand_made_messages_are_read_as_python_reads_them() {
    let accepts: serde_json::Map<_, _> =
        serde_json::from_slice(&fixture("accepts.json")).expect("accepts.json");
    for (name, case) in accepts {
        let result = decode(case["published"].to_string().as_bytes());
        let received = case["client_received_args"].as_array().expect("a list");
        match name.as_str() {
            "no_namespace" => assert_eq!(result, Err(PythonError::MissingField("namespace"))),
            "no_data" => assert_eq!(result, Err(PythonError::MissingField("data"))),
            "unknown_method" => assert_eq!(result.expect("a message").message, PythonMessage::Unknown),
            "skip" => {
                let PythonMessage::Emit { target, .. } = result.expect("a message").message else {
                    panic!("{name}")
                };
                let sid = case["published"]["skip_sid"][0].as_str().expect("the client's id");
                assert_eq!(
                    target,
                    Target::everyone().except(sid),
                    "left out, so it got nothing: {received:?}"
                );
            }
            _ => {
                let PythonMessage::Emit { args, target, .. } = result.expect("a message").message else {
                    panic!("{name}")
                };
                // The fixture shows binary as its digits.
                let got: Vec<Value> = args_of(&args)
                    .into_iter()
                    .map(|value| value.get("hex").cloned().unwrap_or(value))
                    .collect();
                assert_eq!([Value::Array(got)].as_slice(), received.as_slice(), "{name}");
                let rooms = list(&case["published"]["room"]);
                assert!(rooms.iter().all(|room| target.rooms.contains(room)), "{name}");
            }
        }
    }
}

/// What is written is in a form that, as measured, the versions named by the documentation deliver right.
#[test]
fn what_is_written_is_what_most_versions_understand() {
    let compat: Value = serde_json::from_slice(&fixture("compat.json")).expect("compat.json");
    let cases = compat["cases"].as_array().expect("cases");
    let binary = || vec![Bytes::from_static(b"\x01\x02\xff")];
    let placeholder = r#"{"_placeholder":true,"num":0}"#;
    // Arguments, what must be written for them, and the versions whose clients get exactly these arguments.
    for (args, attachments, data, versions) in [
        (r#"["bare"]"#.to_owned(), vec![], json!("bare"), &["5.11.4", "5.15.0", "5.18.1"][..]),
        (r#"[{"k":1}]"#.to_owned(), vec![], json!({"k": 1}), &["5.11.4", "5.15.0", "5.18.1"]),
        ("[]".to_owned(), vec![], json!(null), &["5.11.4", "5.15.0", "5.18.1"]),
        (r#"["a",2]"#.to_owned(), vec![], json!(["a", 2]), &["5.18.1"]),
        (
            format!("[{placeholder}]"),
            binary(),
            json!([{"_placeholder": true, "num": 0}, "AQL/"]),
            &["5.15.0", "5.18.1"],
        ),
        (
            format!("[{{\"k\":{placeholder}}}]"),
            binary(),
            json!([{"k": {"_placeholder": true, "num": 0}}, "AQL/"]),
            &["5.15.0", "5.18.1"],
        ),
        (
            format!("[{placeholder},5]"),
            binary(),
            json!([[{"_placeholder": true, "num": 0}, 5], "AQL/"]),
            &["5.18.1"],
        ),
    ] {
        let arguments = Args::from_parts(args.clone().into(), attachments.clone()).expect("arguments");
        let message = encode_emit("h", "/", "ev", &arguments, &Target::everyone(), None);
        let message: Value = serde_json::from_slice(&message).expect("JSON");
        assert_eq!(message["data"], data);
        assert_eq!(message["binary"], json!(!attachments.is_empty()));
        let measured = cases.iter().find(|case| case["data"] == data).expect("this form was measured");
        let event = match (args.as_str(), attachments.is_empty()) {
            ("[]", _) => "42[\"ev\"]".to_owned(),
            (args, true) => format!("42[\"ev\",{}", &args[1..]),
            (args, false) => format!("451-[\"ev\",{}", &args[1..]),
        };
        for version in versions {
            assert_eq!(measured["frames_to_client"][version][0], json!(event), "{version}");
        }
    }
}
