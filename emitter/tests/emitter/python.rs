//! What is published in Python's dialect.

use super::support::Redis;
use serde_json::{Value, json};
use sockeye_emitter::{Binary, Dialect, Emitter, Reason, integer_room};
use sockeye_proto::{
    bus::{
        Target,
        python::{PythonMessage, sockeye_node},
    },
    sio::{Args, IntoArgs},
};

fn emit(event: &str, args: impl IntoArgs, target: Target) -> PythonMessage {
    PythonMessage::Emit {
        namespace: "/chat".into(),
        event: event.into(),
        args: args.into_args().expect("arguments"),
        target,
        callback: None,
    }
}

#[tokio::test]
async fn every_operation_is_heard_as_it_was_meant() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio", "socketio:sockeye"]).await;
    let url = format!("{}?dialect=python", redis.url());
    let emitter = Emitter::connect(url).await.expect("a right URL").of("/chat");
    assert_eq!(emitter.dialect(), Dialect::Python);
    let (sid, namespace) = (|| "s".to_owned(), || "/chat".into());
    let binary = || ("x", Binary::from(&b"\x00\xff"[..]));
    let operations = [
        (emitter.emit("none", ()), emit("none", (), Target::everyone())),
        (emitter.emit("two", (1, "b")), emit("two", (1, "b"), Target::everyone())),
        (emitter.to("r").emit("list", vec![1, 2]), emit("list", vec![1, 2], Target::room("r"))),
        (
            emitter.to(["r", "q"]).to(integer_room(7)).except("s").emit("bytes", binary()),
            emit("bytes", binary(), Target::room("r").to("q").to(integer_room(7)).except("s")),
        ),
        (
            emitter.to("s").join("x"),
            PythonMessage::EnterRoom { sid: sid(), room: "x".into(), namespace: namespace() },
        ),
        (
            emitter.to("s").leave(integer_room(7)),
            PythonMessage::LeaveRoom { sid: sid(), room: integer_room(7), namespace: namespace() },
        ),
        (emitter.to("s").disconnect(false), PythonMessage::Disconnect { sid: sid(), namespace: namespace() }),
        (emitter.close_room("x"), PythonMessage::CloseRoom { room: "x".into(), namespace: namespace() }),
    ];
    let mut hosts = Vec::new();
    for (receipt, want) in operations {
        let incoming = subscriber.python().await;
        assert_eq!(incoming.message, want);
        hosts.push(incoming.host.expect("a host"));
        assert_eq!(receipt.await.expect("taken").receivers, Some(1));
    }
    let host = &hosts[0];
    assert!(
        host.len() == 32 && host.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
        "{host}"
    );
    assert!(hosts.iter().all(|other| other == host));
    assert_eq!(sockeye_node(host), None, "nodes would take it for their own copy");

    let several = emitter.to(["s", "t"]).join(["x", "y"]);
    for (sid, room) in [("s", "x"), ("s", "y"), ("t", "x"), ("t", "y")] {
        let (sid, room) = (sid.to_owned(), room.into());
        assert_eq!(
            subscriber.python().await.message,
            PythonMessage::EnterRoom { sid, room, namespace: namespace() }
        );
    }
    assert_eq!(several.await.expect("all taken").receivers, Some(1));

    let error = emitter.to("s").disconnect(true).await.expect_err("it has no words for it");
    assert!(matches!(error.reason(), Reason::Dialect(_)), "{error}");
    assert!(error.to_string().starts_with("disconnect in /chat"), "{error}");
    emitter.close().await.expect("told");
}

/// Recorded: what nodes of three versions of python-socketio sent to a client for each form of `data`.
fn recorded() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto/tests/fixtures/python/compat.json");
    let text = std::fs::read_to_string(path).expect("the recorded messages");
    let mut recorded: Value = serde_json::from_str(&text).expect("JSON");
    match recorded["cases"].take() {
        Value::Array(cases) => cases,
        other => panic!("{other}"),
    }
}

/// The JSON text of an event as a client gets it, without digits and attachments' count in front.
fn event_of(frame: &str) -> Value {
    let array = frame.find('[').expect("an event");
    serde_json::from_str(&frame[array..]).expect("JSON")
}

#[tokio::test]
async fn python_nodes_send_to_their_clients_what_was_meant() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio"]).await;
    let emitter = Emitter::builder().dialect(Dialect::Python).connect(redis.url()).await.expect("right");
    let placeholder = json!({"_placeholder": true, "num": 0});
    let binary = || Binary::from(&b"\x01\x02\xff"[..]);
    let args = |value: Result<Args, _>| value.expect("arguments");
    let newest = "5.18.1";
    for (args, event, versions) in [
        (args(().into_args()), json!(["ev"]), &["5.11.4", "5.15.0", newest][..]),
        (args("bare".into_args()), json!(["ev", "bare"]), &["5.11.4", "5.15.0", newest]),
        (args(json!({"k": 1}).into_args()), json!(["ev", {"k": 1}]), &["5.11.4", "5.15.0", newest]),
        (args(("a", 2).into_args()), json!(["ev", "a", 2]), &[newest]),
        (args(binary().into_args()), json!(["ev", placeholder]), &["5.15.0", newest]),
        (
            args(std::collections::BTreeMap::from([("k", binary())]).into_args()),
            json!(["ev", {"k": placeholder}]),
            &["5.15.0", newest],
        ),
        (args((binary(), 5).into_args()), json!(["ev", placeholder, 5]), &[newest]),
    ] {
        emitter.emit("ev", &args).await.expect("taken");
        emitter.emit("ev", args).await.expect("taken");
        let (_, one) = subscriber.next().await;
        let (_, same) = subscriber.next().await;
        assert_eq!(one, same);
        let message: Value = serde_json::from_slice(&one).expect("JSON");
        let case = recorded()
            .into_iter()
            .find(|case| case["data"] == message["data"] && case["binary"] == message["binary"])
            .unwrap_or_else(|| panic!("no recording has this form: {message}"));
        for version in versions {
            let frame = case["frames_to_client"][version][0].as_str().expect("a frame");
            assert_eq!(event_of(frame), event, "{version}: {frame}");
        }
    }
}
