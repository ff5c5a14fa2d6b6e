//! Answers, in both directions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::json;
use sockeye::{
    AckSender, Args, Binary, CallError, ConnectRefused, Data, DisconnectReason, Io, Socket, Spread, State,
};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, PATIENCE, Polling, TestServer, log, patient};

const PENDING: &str = r#"sockeye_acks_pending{scope="local"}"#;
const UNEXPECTED: &str = "sockeye_unexpected_acks_total";

// === the server answers ===

#[derive(Serialize)]
struct Answer {
    ok: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_handler_returns_is_the_ack() {
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on("unit", async || ())
                .on("number", async || 1.5)
                .on("text", async || "a \"text\"".to_owned())
                .on("str", async || "static")
                .on("bool", async || true)
                .on("list", async || vec![1, 2])
                .on("none", async || None::<u8>)
                .on("json", async || json!({"a": [1, null]}))
                .on("map", async || BTreeMap::from([("b", 1), ("a", 2)]))
                .on("struct", async || Data(Answer { ok: true }))
                .on("tuple", async || (1, "two", Answer { ok: false }))
                .on("one-tuple", async || (vec![1, 2],))
                .on("args", async |args: Args| args)
                .on("spread", async || Spread(vec![1, 2, 3]))
                .on("ok", async || Ok::<_, String>("fine".to_owned()))
                .on("ok-unit", async || Ok::<(), ConnectRefused>(()))
                .on("err", async || Err::<u32, _>("it went wrong".to_owned()))
                .on("unsendable", async || BTreeMap::from([(vec![1], 1)]))
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for (event, answer) in [
        ("unit", json!([])),
        ("number", json!([1.5])),
        ("text", json!(["a \"text\""])),
        ("str", json!(["static"])),
        ("bool", json!([true])),
        ("list", json!([[1, 2]])),
        ("none", json!([null])),
        ("json", json!([{"a": [1, null]}])),
        ("map", json!([{"a": 2, "b": 1}])),
        ("struct", json!([{"ok": true}])),
        ("tuple", json!([1, "two", {"ok": false}])),
        ("one-tuple", json!([[1, 2]])),
        ("args", json!([])),
        ("spread", json!([1, 2, 3])),
        ("ok", json!(["fine"])),
        ("ok-unit", json!([])),
    ] {
        assert_eq!(client.call(event, "").await, answer, "{event}");
    }
    // No ack comes for what failed; the client's own timeout tells it.
    client.send(r#"421["err"]"#).await;
    client.send(r#"421["unsendable"]"#).await;
    assert_eq!(client.call("unit", "").await, json!([]));
    assert_eq!(node.metric(r#"sockeye_handler_errors_total{kind="handler"}"#), 1.0);
    assert_eq!(node.metric(r#"sockeye_handler_errors_total{kind="reply"}"#), 1.0);
    // Nobody asked: nothing is sent.
    client.send(r#"42["number"]"#).await;
    assert_eq!(client.call("unit", "").await, json!([]));
    // Ids are the client's own affair: large, zero, the same twice.
    for id in ["0", "0", "18446744073709551615"] {
        client.send(&format!(r#"42{id}["bool"]"#)).await;
        client.expect(&format!("43{id}[true]")).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ack_sender_answers_now_or_later_or_never() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on("now", async |ack: AckSender| {
                ack.send((1, "one"));
                "not this".to_owned()
            })
            .on("later", async |ack: AckSender, State(gate): State<Arc<Semaphore>>| {
                tokio::spawn(async move {
                    gate.acquire().await.unwrap().forget();
                    ack.send(Binary(vec![1, 2].into()));
                });
            })
            .on("never", async |_: AckSender| ())
            .on("wanted", async |ack: AckSender, State(log): State<Log>| log.note(ack.is_wanted()))
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"421["now"]"#).await;
    client.expect(r#"431[1,"one"]"#).await;
    client.send(r#"422["later"]"#).await;
    client.sync().await;
    gate.add_permits(1);
    client.expect(r#"461-2[{"_placeholder":true,"num":0}]"#).await;
    client.expect_binary(&[1, 2]).await;
    client.send(r#"423["never"]"#).await;
    client.send(r#"42["never"]"#).await;
    client.sync().await;
    assert_eq!(node.metric("sockeye_abandoned_acks_total"), 1.0, "only one of the two was waited for");
    client.send(r#"42["wanted"]"#).await;
    lines.expect("false").await;
    client.send(r#"424["wanted"]"#).await;
    lines.expect("true").await;
    // Answering a client that is gone is no harm.
    client.send(r#"425["later"]"#).await;
    client.sync().await;
    client.vanish();
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 0.0).await;
    gate.add_permits(1);
    crate::support::until("the handler's task to end", || gate.available_permits() == 0).await;
    Client::connect(node.addr).await.sync().await;
    node.stop().await;
}

// === the server asks ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_returns_the_clients_answer() {
    let node = TestServer::start(|server| server).await;
    let mut client = Client::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.timeout(PATIENCE).call("question", (6, "times", 7)).await }
    });
    let id = ask(&mut client, r#"["question",6,"times",7]"#).await;
    assert_eq!(node.metric(PENDING), 1.0);
    client.send(&format!(r#"43{id}[42,"yes"]"#)).await;
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.parse::<(u32, String)>().unwrap(), (42, "yes".to_owned()));
    assert_eq!(node.metric(PENDING), 0.0);

    // Binary both ways.
    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.timeout(PATIENCE).call("bytes", Binary(vec![1].into())).await }
    });
    let question = client.text().await;
    let id = question
        .strip_prefix("451-")
        .and_then(|rest| rest.strip_suffix(r#"["bytes",{"_placeholder":true,"num":0}]"#))
        .unwrap_or_else(|| panic!("{question}"));
    client.expect_binary(&[1]).await;
    client.send(&format!(r#"461-{id}[{{"_placeholder":true,"num":0}}]"#)).await;
    client.send_binary(&[2, 3]).await;
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.first::<Binary>().unwrap().0, vec![2, 3]);

    // Over long-polling.
    let mut polling = Polling::connect(node.addr).await;
    let asking = tokio::spawn({
        let io = node.server.io();
        let id = polling.id.clone();
        async move { io.to(id).call("question", ()).await }
    });
    let question = polling.next().await;
    let id = question.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["question"]"#)).unwrap();
    polling.send(&format!("43{id}[]")).await;
    assert!(asking.await.unwrap().unwrap().is_empty());
    node.stop().await;
}

/// Reads a question that wants an ack; returns its id.
async fn ask(client: &mut Client, question: &str) -> u64 {
    let text = client.text().await;
    let id = text.strip_prefix("42").and_then(|rest| rest.strip_suffix(question));
    id.and_then(|id| id.parse().ok()).unwrap_or_else(|| panic!("{text} is not {question}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_with_a_timeout_and_late_or_repeated_acks_are_ignored() {
    let node = TestServer::start(|server| server.namespace("/", |ns| ns.on("sync", async || ()))).await;
    let mut client = Client::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    let io = node.server.io();
    let socket = io.socket(&client.id).unwrap();
    let wait = Duration::from_millis(20);
    match socket.timeout(wait).call("question", ()).await {
        Err(CallError::Timeout(after)) => assert_eq!(after, wait),
        other => panic!("{other:?}"),
    }
    let late = ask(&mut client, r#"["question"]"#).await;
    assert_eq!(node.metric(PENDING), 0.0);
    client.send(&format!("43{late}[1]")).await;
    client.sync().await;
    assert_eq!(node.metric(UNEXPECTED), 1.0);

    let asking = tokio::spawn({
        let socket = socket.clone();
        async move { socket.timeout(PATIENCE).call("question", ()).await }
    });
    let id = ask(&mut client, r#"["question"]"#).await;
    assert_ne!(id, late);
    // Somebody else's answer does not count.
    other.send(&format!(r#"43{id}["forged"]"#)).await;
    other.sync().await;
    assert_eq!(node.metric(UNEXPECTED), 2.0);
    client.send(&format!(r#"43{id}["first"]"#)).await;
    client.send(&format!(r#"43{id}["second"]"#)).await;
    assert_eq!(asking.await.unwrap().unwrap().json(), r#"["first"]"#);
    client.send("4318446744073709551615[]").await;
    client.sync().await;
    assert_eq!(node.metric(UNEXPECTED), 4.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_to_a_client_that_leaves_ends_at_once() {
    let node = TestServer::start(|server| server).await;
    let io = node.server.io();
    for leave in ["41", "vanish", "kick", "garbage"] {
        let mut client = Client::connect(node.addr).await;
        let socket = io.socket(&client.id).unwrap();
        let asking = tokio::spawn({
            let socket = socket.clone();
            // The timeout is beyond any patience: only the client's end can end the call.
            async move { socket.timeout(PATIENCE * 100).call("question", ()).await }
        });
        ask(&mut client, r#"["question"]"#).await;
        match leave {
            "41" => client.send("41").await,
            "kick" => socket.disconnect(false),
            "garbage" => client.send("4x").await,
            _ => client.vanish(),
        }
        let ended = patient("the end of the call", asking).await.unwrap();
        assert!(matches!(ended, Err(CallError::Disconnected)), "{leave}: {ended:?}");
        let ended = patient("a call to nobody", socket.timeout(PATIENCE * 100).call("question", ())).await;
        assert!(matches!(ended, Err(CallError::Disconnected)), "{ended:?}");
    }
    let nobody =
        patient("a call to an empty room", io.to("empty").timeout(PATIENCE * 100).call("q", ())).await;
    assert!(matches!(nobody, Err(CallError::Disconnected)), "{nobody:?}");
    let reserved = io.all().call("disconnect", ()).await;
    assert!(matches!(reserved, Err(CallError::Emit(_))), "{reserved:?}");
    assert_eq!(node.metric(PENDING), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_may_ask_its_own_client() {
    let node = TestServer::start(|server| {
        // One handler at a time: the answer must not wait behind the handler that waits for it.
        server.concurrency(1).namespace("/", |ns| {
            ns.on("start", async |socket: Socket| match socket.timeout(PATIENCE).call("name?", ()).await {
                Ok(answer) => Ok(format!("Hello {}!", answer.first::<String>().unwrap_or_default())),
                Err(error) => Err(error.to_string()),
            })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"421["start"]"#).await;
    let id = ask(&mut client, r#"["name?"]"#).await;
    client.send(&format!(r#"43{id}["Ada"]"#)).await;
    client.expect(r#"431["Hello Ada!"]"#).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_asked_and_their_answers_gathered() {
    let node = TestServer::start(|server| server.namespace("/", |ns| ns.on("sync", async || ()))).await;
    let io = node.server.io();
    let mut clients = Vec::new();
    for _ in 0..5 {
        let client = Client::connect(node.addr).await;
        io.to(client.id.as_str()).join(["poll", "poll too"]);
        clients.push(client);
    }
    let acks = io.to(["poll", "poll too"]).except(clients[4].id.as_str()).timeout(PATIENCE * 100);
    let mut acks = acks.emit_with_ack("vote", "now").unwrap();
    assert_eq!(acks.asked(), 4);
    let mut ids = Vec::new();
    for client in &mut clients[..4] {
        ids.push(ask(client, r#"["vote","now"]"#).await);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "all get the same bytes");
    clients[4].sync().await;
    clients[2].send(&format!(r#"43{}["two"]"#, ids[0])).await;
    let first = patient("the first answer", acks.next()).await.unwrap();
    assert_eq!((first.sid.as_str(), first.args.json()), (clients[2].id.as_str(), r#"["two"]"#));
    clients[2].send(&format!(r#"43{}["again"]"#, ids[0])).await;
    clients[2].sync().await;
    clients[0].send(&format!("43{}[0]", ids[0])).await;
    clients[1].send("41").await;
    clients[3].send(&format!("43{}[3]", ids[0])).await;
    let gathered = patient("all answers", acks.gather()).await;
    let mut answers: Vec<(String, String)> =
        gathered.answers.iter().map(|answer| (answer.sid.clone(), answer.args.json().to_owned())).collect();
    answers.sort();
    let mut expected =
        vec![(clients[0].id.clone(), "[0]".to_owned()), (clients[3].id.clone(), "[3]".to_owned())];
    expected.sort();
    assert_eq!(answers, expected);
    assert_eq!((gathered.missing, gathered.is_complete()), (1, false), "one has left");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_do_not_answer_in_time_are_missing() {
    let node = TestServer::start(|server| server).await;
    let io = node.server.io();
    let mut one = Client::connect(node.addr).await;
    let _silent = Client::connect(node.addr).await;
    let asking = tokio::spawn({
        let io = io.clone();
        async move { io.all().timeout(Duration::from_secs(1)).emit_with_ack("vote", ()).unwrap().gather().await }
    });
    let id = ask(&mut one, r#"["vote"]"#).await;
    one.send(&format!("43{id}[1]")).await;
    let gathered = asking.await.unwrap();
    assert_eq!((gathered.answers.len(), gathered.missing), (1, 1));
    assert!(gathered.missing_nodes.is_empty());
    let none = io.to("empty").emit_with_ack("vote", ()).unwrap().gather().await;
    assert!(none.is_complete() && none.answers.is_empty());
    let none = io.to(Vec::<String>::new()).emit_with_ack("vote", ()).unwrap();
    assert!(none.is_finished() && none.asked() == 0, "an empty list of rooms means nobody");
    assert_eq!(node.metric(PENDING), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads_are_forgotten() {
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| {
            ns.on("flood", async |io: Io, socket: Socket| {
                for _ in 0..2_000 {
                    // Dropped at once: the asker lost interest.
                    drop(io.to(socket.id()).emit_with_ack("q", ()));
                }
            })
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"42["flood"]"#).await;
    let mut ids = Vec::new();
    for _ in 0..2_000 {
        ids.push(ask(&mut client, r#"["q"]"#).await);
    }
    assert_eq!(node.metric(PENDING), 0.0);
    for id in ids {
        client.send(&format!("43{id}[]")).await;
    }
    client.sync().await;
    assert_eq!(node.metric(UNEXPECTED), 2_000.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_in_the_connect_handler_is_asked_after_connect() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on_connect(async |socket: Socket, State(log): State<Log>| {
                tokio::spawn(async move {
                    let answer = socket.timeout(PATIENCE).call("who?", ()).await;
                    log.note(answer.map_or_else(|error| error.to_string(), |args| args.json().to_owned()));
                });
                tokio::task::yield_now().await;
            })
            .on_disconnect(
                async |socket: Socket, State(log): State<Log>, _: DisconnectReason| {
                    // Nobody is there any more who could answer.
                    let answer = socket.timeout(PATIENCE * 100).call("still there?", ()).await;
                    log.note(matches!(answer, Err(CallError::Disconnected)));
                },
            )
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    let id = ask(&mut client, r#"["who?"]"#).await;
    client.send(&format!(r#"43{id}["me"]"#)).await;
    lines.expect(r#"["me"]"#).await;
    client.vanish();
    lines.expect("true").await;
    node.stop().await;
}
