//! What is published in the native dialect.

use super::support::{Redis, soon};
use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use sockeye_emitter::{Binary, Data, DropReason, Emitter, Reason, RoomName};
use sockeye_proto::{
    bus::{Message, Origin, Target},
    id::SocketId,
    name::NamespacePath,
    sio::Args,
};
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

#[derive(Serialize)]
struct Score {
    home: u32,
    away: u32,
}

fn emit(path: &str, event: &str, json: &str, attachments: &[&'static [u8]], target: Target) -> Message {
    let attachments: Vec<Bytes> = attachments.iter().copied().map(Bytes::from_static).collect();
    Message::Emit {
        namespace: NamespacePath::from(path),
        event: event.into(),
        args: Args::from_parts(json.to_owned().into(), attachments).expect("arguments"),
        target,
        volatile: false,
        reply: None,
    }
}

#[tokio::test]
async fn every_operation_is_heard_as_it_was_meant() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio:sockeye"]).await;
    let emitter = Emitter::connect(redis.url()).await.expect("a right URL");
    let chat = emitter.namespace("chat");
    let sid = SocketId::from_random([7; 15]);
    let score = Score { home: 2, away: 1 };
    let everyone = Target::everyone;
    let binary = Binary::from(&b"\x00\xff"[..]);
    let operations = [
        (emitter.emit("none", ()), emit("/", "none", "[]", &[], everyone())),
        (emitter.emit("one", "é"), emit("/", "one", r#"["é"]"#, &[], everyone())),
        (
            emitter.emit("two", (1, json!({"a": [null]}))),
            emit("/", "two", r#"[1,{"a":[null]}]"#, &[], everyone()),
        ),
        (emitter.emit("list", vec![1, 2]), emit("/", "list", "[[1,2]]", &[], everyone())),
        (emitter.emit("ref", &score), emit("/", "ref", r#"[{"home":2,"away":1}]"#, &[], everyone())),
        (
            chat.to("r").emit("data", Data(score)),
            emit("/chat", "data", r#"[{"home":2,"away":1}]"#, &[], Target::room("r")),
        ),
        (
            chat.to(["a", "b"]).to("a").except(vec!["c".to_owned()]).emit("bytes", ("x", binary)),
            emit(
                "/chat",
                "bytes",
                r#"["x",{"_placeholder":true,"num":0}]"#,
                &[b"\x00\xff"],
                Target::room("a").to("b").except("c"),
            ),
        ),
        (
            emitter.except(RoomName::from("c")).emit("but", ()),
            emit("/", "but", "[]", &[], everyone().except("c")),
        ),
        (emitter.to(sid.clone()).emit("you", 1), emit("/", "you", "[1]", &[], Target::room(sid.as_str()))),
        (
            chat.to("r").join(["x", "y"]),
            Message::Join {
                namespace: "/chat".into(),
                target: Target::room("r"),
                rooms: vec!["x".into(), "y".into()],
                confirm: None,
            },
        ),
        (
            chat.all().leave("x"),
            Message::Leave {
                namespace: "/chat".into(),
                target: everyone(),
                rooms: vec!["x".into()],
                confirm: None,
            },
        ),
        (
            emitter.to(&["a", "b"][..]).disconnect(true),
            Message::Disconnect {
                namespace: "/".into(),
                target: Target::room("a").to("b"),
                close: true,
                confirm: None,
            },
        ),
        (
            chat.close_room("x"),
            Message::CloseRoom { namespace: "/chat".into(), room: "x".into(), confirm: None },
        ),
        (
            emitter.of("/admin").server_emit("disconnect", ("all", 1)),
            Message::ServerEvent {
                namespace: "/admin".into(),
                event: "disconnect".into(),
                args: Args::from_parts(r#"["all",1]"#.into(), vec![]).expect("arguments"),
            },
        ),
    ];
    let mut origins = Vec::new();
    for (number, (receipt, want)) in (1..).zip(operations) {
        let envelope = subscriber.native().await;
        assert_eq!(envelope.message, want);
        assert_eq!(envelope.sequence, number, "{want:?}");
        origins.push(envelope.origin);
        let delivery = soon("what Redis said", receipt).await.expect("taken");
        assert_eq!(delivery.receivers, Some(1));
    }
    assert!(matches!(origins[0], Origin::Emitter(_)));
    assert!(origins.iter().all(|origin| *origin == origins[0]), "one emitter, whatever the namespace");

    let volatile = emitter.volatile().to("r").emit("now", 1);
    assert!(matches!(subscriber.native().await.message, Message::Emit { volatile: true, .. }));
    volatile.await.expect("taken");

    let two = chat.close_room(["x", "y"]);
    for room in ["x", "y"] {
        let closed = Message::CloseRoom { namespace: "/chat".into(), room: room.into(), confirm: None };
        assert_eq!(subscriber.native().await.message, closed);
    }
    assert_eq!(two.await.expect("taken").receivers, Some(1));
    let stats = emitter.stats();
    assert_eq!((stats.published, stats.lost, stats.invalid, stats.waiting), (17, 0, 0, 0));
    emitter.close().await.expect("nothing lost");
}

#[tokio::test]
async fn nobody_is_not_everyone() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio:sockeye"]).await;
    let emitter = Emitter::connect(redis.url()).await.expect("a right URL");
    let nobody: Vec<String> = Vec::new();
    for receipt in [
        emitter.to(&nobody).emit("ev", 1),
        emitter.to(&nobody).except("x").disconnect(true),
        emitter.to(&nobody).join("x"),
        emitter.to("r").join(&nobody),
        emitter.to("r").leave(&nobody),
        emitter.close_room(&nobody),
    ] {
        assert_eq!(receipt.await.expect("nothing to do").receivers, None);
    }
    emitter.to(&nobody).to("r").emit("somebody", 1);
    let want = emit("/", "somebody", "[1]", &[], Target::room("r"));
    assert_eq!(subscriber.native().await.message, want, "and nothing before it");
}

#[tokio::test]
async fn what_redis_says_is_what_one_gets() {
    let redis = Redis::start();
    let url = format!("{}?channel=shop&dialect=native", redis.url());
    let emitter =
        Emitter::builder().channel("other").wait(Duration::from_secs(60)).connect(url).await.expect("Redis");
    assert!(emitter.is_connected());
    assert_eq!(emitter.emit("ev", 1).await.expect("taken").receivers, Some(0), "nobody listens");
    let mut first = redis.subscribe(&["shop:sockeye"]).await;
    let _second = redis.subscribe(&["shop:sockeye", "socketio:sockeye"]).await;
    assert_eq!(emitter.emit("ev", 2).await.expect("taken").receivers, Some(2));
    assert_eq!(first.native().await.message, emit("/", "ev", "[2]", &[], Target::everyone()));
}

#[tokio::test]
async fn what_nobody_awaits_arrives_in_order_from_any_thread() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio:sockeye"]).await;
    let emitter = Emitter::connect(redis.url()).await.expect("a right URL");
    let threads: Vec<_> = ["a", "b", "c"]
        .into_iter()
        .map(|name| {
            let handle = emitter.to(name);
            std::thread::spawn(move || {
                for number in 0..1000 {
                    handle.emit(name, number);
                }
            })
        })
        .collect();
    let mut next: HashMap<String, u32> = HashMap::new();
    for sequence in 1..=3000 {
        let envelope = subscriber.native().await;
        assert_eq!(envelope.sequence, sequence);
        let Message::Emit { event, args, .. } = envelope.message else { panic!("an emit") };
        let expected = next.entry(event.into()).or_default();
        assert_eq!(args.first::<u32>(), Ok(*expected));
        *expected += 1;
    }
    for thread in threads {
        thread.join().expect("no panic");
    }
    soon("the flush", emitter.flush(Duration::from_secs(60))).await.expect("nothing lost");
    assert_eq!(emitter.stats().published, 3000);
}

#[tokio::test]
async fn an_emitter_that_is_dropped_sends_what_it_has() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio:sockeye"]).await;
    Emitter::connect(redis.url()).await.expect("a right URL").emit("first", 1);
    assert_eq!(subscriber.native().await.message, emit("/", "first", "[1]", &[], Target::everyone()));
    let receipt = Emitter::connect(redis.url()).await.expect("a right URL").emit("second", 2);
    assert_eq!(soon("what Redis said", receipt).await.expect("taken").receivers, Some(1));
}

#[tokio::test]
async fn what_cannot_be_sent_is_named() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["socketio:sockeye"]).await;
    let emitter = Emitter::builder().max_message(1000).connect(redis.url()).await.expect("a right URL");
    let unsendable: HashMap<BTreeSet<u8>, u8> = HashMap::from([(BTreeSet::new(), 1)]);
    let chat = emitter.of("/chat");
    for (receipt, operation, event, word) in [
        (chat.emit("disconnect", 1), "emit", Some("disconnect"), "reserved"),
        (chat.to("r").emit("map", (1, &unsendable)), "emit", Some("map"), "args[1]"),
        (chat.emit("long", "x".repeat(1000)), "emit", Some("long"), "no more than 1000"),
        (chat.server_emit("long", "x".repeat(1000)), "server_emit", Some("long"), "no more than 1000"),
        (emitter.of("/a,b").close_room("x"), "close_room", None, "','"),
    ] {
        let error = receipt.await.expect_err(word);
        let text = error.to_string();
        assert!(text.contains(word), "{text}");
        assert_eq!((error.operation(), error.event().as_deref()), (operation, event));
        assert!(
            text.contains(error.namespace().as_str()) && text.contains(event.unwrap_or(operation)),
            "{text}"
        );
    }
    emitter.flush(Duration::from_secs(60)).await.expect("every loss was told by its receipt");
    drop(chat.emit("connect", 1));
    let told = emitter.flush(Duration::from_secs(60)).await.expect_err("one was not");
    assert_eq!((told.lost, told.waiting), (1, 0));
    assert_eq!(emitter.stats().invalid, 6);
    emitter.emit("fine", ());
    assert_eq!(subscriber.native().await.message, emit("/", "fine", "[]", &[], Target::everyone()));
    emitter.close().await.expect("told before");
    let error = emitter.emit("late", 1).await.expect_err("closed");
    assert!(matches!(error.reason(), Reason::Lost { reason: DropReason::Closed, .. }), "{error}");
}

#[tokio::test]
async fn wrong_urls_and_passwords_are_explained_and_never_repeated() {
    for (url, word) in [
        ("redis://u:secret@h?dialect=klingon", "native and python"),
        ("redis://u:secret@h?chanel=x", "chanel"),
        ("pigeon://u:secret@h", "pigeon"),
        ("secret", "not a URL"),
    ] {
        let error = Emitter::connect(url).await.expect_err(url);
        assert!(error.to_string().contains(word), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
    let redis = Redis::with(&["--requirepass", "right"]);
    let wrong = format!("redis://:secret@127.0.0.1:{}", redis.port);
    let waiting = Emitter::builder().wait(Duration::from_secs(60)).configure(|c| c.connect_timeout *= 10);
    let error = soon("a refusal", async {
        // The first answer may be that there was none yet.
        let emitter = Emitter::connect(&wrong).await.expect("a right URL");
        loop {
            match emitter.connected(Duration::from_millis(100)).await {
                Err(error) if error.to_string().contains("0ms") => {}
                Err(error) => break (emitter, error),
                Ok(()) => panic!("the password is wrong"),
            }
        }
    })
    .await;
    let (emitter, error) = error;
    let event = emitter.emit("ev", 1);
    let lost = emitter.close().await.expect_err("nothing was taken");
    let event = event.await.expect_err("lost");
    let seen = format!("{error} {error:?} {emitter:?} {lost} {lost:?} {event} {event:?}");
    assert!(!seen.contains("secret"), "{seen}");
    let right = format!("redis://:right@127.0.0.1:{}", redis.port);
    let emitter = waiting.connect(right).await.expect("let in");
    assert_eq!(emitter.emit("ev", 1).await.expect("taken").receivers, Some(0));
    assert!(!format!("{emitter:?}").contains("right"), "{emitter:?}");
}
