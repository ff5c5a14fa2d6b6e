//! What one client may take, and what is counted when it wants more.

use std::time::Duration;

use serde_json::{Value, json};
use sockeye::{
    Args, CallError, Data, DisconnectReason, Limits, LimitsMode, OutboxLimits, ServerBuilder, SlowPolicy,
    Socket, State,
};

use crate::support::{Client, Lines, Log, PATIENCE, Polling, TestServer, log, until};

fn rejected(limit: &str) -> String {
    format!(r#"sockeye_limit_rejections_total{{limit="{limit}"}}"#)
}

fn warned(limit: &str) -> String {
    format!(r#"sockeye_limit_warnings_total{{limit="{limit}"}}"#)
}

async fn start(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (TestServer, Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        build(server.state(log).namespace("/other", |ns| ns).namespace("/third", |ns| ns).namespace(
            "/",
            |ns| {
                ns.on("echo", async |args: Args| args)
                    .on("note", async |State(log): State<Log>, Data(n): Data<u32>| log.note(n))
                    .on("join", async |socket: Socket, Data(rooms): Data<Vec<String>>| {
                        socket.join(rooms);
                        let own = socket.id().to_string();
                        let mut rooms: Vec<_> = socket.rooms().iter().map(|room| room.to_string()).collect();
                        rooms.retain(|room| *room != own);
                        rooms.sort();
                        rooms
                    })
                    .on("sync", async || ())
                    .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
            },
        ))
    })
    .await;
    (node, lines)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_events_passes_every_default() {
    let (node, mut lines) = start(|server| server).await;
    let events = |from: u32, to: u32| {
        let events: Vec<String> = (from..to).map(|n| format!(r#"42["note",{n}]"#)).collect();
        events.join("\u{1e}")
    };
    let mut client = Polling::connect(node.addr).await;
    client.send(&events(0, 1_000)).await;
    for n in 1_000..2_000 {
        client.send(&events(n, n + 1)).await;
    }
    for n in 0..2_000 {
        lines.expect(&n.to_string()).await;
    }
    // With answers, which it fetches by the way.
    let calls: Vec<String> = (0..1_000).map(|n| format!(r#"42{n}["echo",{n}]"#)).collect();
    client.send(&calls.join("\u{1e}")).await;
    for n in 0..1_000 {
        client.expect(&format!("43{n}[{n}]")).await;
    }
    // And over a WebSocket.
    let mut client = Client::connect(node.addr).await;
    for n in 0..1_000 {
        client.send(&format!(r#"42{n}["echo",{n}]"#)).await;
    }
    for n in 0..1_000 {
        client.expect(&format!("43{n}[{n}]")).await;
    }
    let text = node.server.metrics();
    let met: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("sockeye_limit_") || line.starts_with("sockeye_decode_errors"))
        .filter(|line| !line.ends_with(" 0"))
        .collect();
    assert!(met.is_empty(), "{met:?}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_json_ends_the_connection_and_is_counted() {
    let limits = Limits { max_json_values: 10, max_json_len: 100, max_json_depth: 4, ..Limits::default() };
    let (node, mut lines) = start(|server| server.limits(limits)).await;
    let long = "x".repeat(100);
    for (packet, limit) in [
        (r#"42["echo",1,2,3,4,5,6,7,8,9]"#.to_owned(), "json_values"),
        (r#"42["echo",[[[[]]]]]"#.to_owned(), "json_depth"),
        (format!(r#"42["echo","{long}"]"#), "json_length"),
        (format!(r#"42["{}"]"#, "e".repeat(90)), "nothing"),
    ] {
        let mut client = Client::connect(node.addr).await;
        client.send(&packet).await;
        if limit == "nothing" {
            client.sync().await;
            break;
        }
        client.closed().await;
        lines.expect("forced close").await;
        assert_eq!(node.metric(&rejected(limit)), 1.0, "{limit}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_beyond_the_limit_are_not_joined() {
    let limits = Limits { max_rooms: 3, max_room_len: 10, ..Limits::default() };
    let (node, _lines) = start(|server| server.limits(limits)).await;
    let mut client = Client::connect(node.addr).await;
    assert_eq!(client.call("join", r#"["a","b","c","d","e"]"#).await, json!([["a", "b", "c"]]));
    assert_eq!(node.metric(&rejected("rooms")), 2.0);
    assert_eq!(client.call("join", r#"["a","01234567890"]"#).await, json!([["a", "b", "c"]]));
    assert_eq!(node.metric(&rejected("room_length")), 1.0);
    assert_eq!(node.metric(&rejected("rooms")), 2.0, "where it is already it may join");
    // The same from anywhere else.
    let io = node.server.io();
    io.to("a").join(["x", "y"]);
    assert_eq!(node.metric(&rejected("rooms")), 4.0);
    io.to("a").leave(["a", "b"]);
    assert_eq!(client.call("join", r#"["f"]"#).await, json!([["c", "f"]]));
    assert_eq!(node.metric(r#"sockeye_rooms{nsp="/"}"#), 2.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_answers_is_asked_so_often_and_no_more() {
    let limits = Limits { max_pending_acks: 3, ..Limits::default() };
    let (node, _lines) = start(|server| server.limits(limits)).await;
    let mut mute = Client::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    let io = node.server.io();
    let ask = |what: u32, timeout: Duration| io.to(&mute.id).timeout(timeout).emit_with_ack("ask", what);
    let waiting: Vec<_> = (0..3).map(|n| ask(n, PATIENCE * 10).unwrap()).collect();
    let socket = io.socket(&mute.id).unwrap();
    let refused = socket.timeout(PATIENCE * 10).call("ask", ()).await;
    assert!(matches!(refused, Err(CallError::TooManyPending)), "{refused:?}");
    assert_eq!(node.metric(&rejected("pending_acks")), 1.0);
    // A broadcast asks the others, and says that one is missing.
    let everyone = io.all().timeout(PATIENCE * 10).emit_with_ack("ask", 9).unwrap();
    other.expect(r#"425["ask",9]"#).await;
    other.send("435[1]").await;
    let gathered = everyone.gather().await;
    assert_eq!((gathered.answers.len(), gathered.missing), (1, 1));
    // It heard of those that it was asked, and nothing of the rest.
    for n in 0..3 {
        mute.expect(&format!(r#"42{}["ask",{n}]"#, n + 1)).await;
    }
    mute.sync().await;
    // One that nobody waits for any longer makes room for another, and so does an answer.
    assert_eq!(node.metric(r#"sockeye_acks_pending{scope="local"}"#), 3.0);
    drop(waiting);
    assert_eq!(node.metric(r#"sockeye_acks_pending{scope="local"}"#), 0.0);
    for n in 0..5 {
        let asked = socket.timeout(Duration::from_millis(1)).call("ask", n).await;
        assert!(matches!(asked, Err(CallError::Timeout(_))), "{asked:?}");
    }
    for n in 0..5 {
        let call = socket.timeout(PATIENCE * 10).call("ask", n);
        let answer = async {
            let mut text = mute.text().await;
            // The five above come first.
            while mute_is_asked(&text) < 11 + n {
                text = mute.text().await;
            }
            mute.send(&format!("43{}[{n}]", mute_is_asked(&text))).await;
        };
        let (answer, ()) = tokio::join!(call, answer);
        assert_eq!(answer.unwrap().parse::<Vec<u32>>().unwrap(), [n as u32]);
    }
    assert_eq!(node.metric(&rejected("pending_acks")), 2.0);
    node.stop().await;
}

/// The ack id of an `ask`.
fn mute_is_asked(packet: &str) -> u64 {
    let id = packet.strip_prefix("42").and_then(|rest| rest.split_once('['));
    id.unwrap_or_else(|| panic!("{packet}")).0.parse().expect("an id")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_too_fast_is_read_more_slowly_and_loses_nothing() {
    let limits = Limits { events_per_second: 5_000, event_burst: 100, ..Limits::default() };
    let (node, mut lines) = start(|server| server.limits(limits)).await;
    let mut other = Client::connect(node.addr).await;
    let mut polling = Polling::connect(node.addr).await;
    let events: Vec<String> = (0..1_000).map(|n| format!(r#"42["note",{n}]"#)).collect();
    let events = events.join("\u{1e}");
    tokio::join!(other.sync(), polling.send(&events));
    for n in 0..1_000 {
        lines.expect(&n.to_string()).await;
    }
    let after_polling = node.metric(&rejected("event_rate"));
    assert!(after_polling > 0.0);
    let mut fast = Client::connect(node.addr).await;
    // Events without a handler count as well.
    for n in 0..1_000 {
        fast.send(&format!(r#"42["note",{n}]"#)).await;
        fast.send(r#"42["nobody"]"#).await;
    }
    other.sync().await;
    for n in 0..1_000 {
        lines.expect(&n.to_string()).await;
    }
    fast.sync().await;
    assert!(node.metric(&rejected("event_rate")) > after_polling);
    // One that goes while it is held back is gone at once.
    for _ in 0..5_000 {
        fast.send(r#"42["nobody"]"#).await;
    }
    let id = fast.id.clone();
    node.server.io().to(id).disconnect(true);
    lines.expect("server namespace disconnect").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_that_only_warn_count_and_let_through() {
    let limits = Limits {
        max_payload: 1_000,
        max_attachments: 1,
        max_binary_values: 1,
        max_json_depth: 2,
        max_json_len: 100,
        max_json_values: 6,
        max_packets_per_payload: 2,
        max_namespaces: 1,
        max_namespace_len: 3,
        max_event_len: 4,
        max_rooms: 1,
        max_room_len: 3,
        max_pending_acks: 1,
        events_per_second: 1,
        event_burst: 1,
    };
    let (node, mut lines) = start(|server| server.limits(limits).limits_mode(LimitsMode::Warn)).await;
    let mut client = Client::connect(node.addr).await;
    let met = |limit: &'static str| {
        assert_ne!(node.metric(&warned(limit)), 0.0, "{limit} was not counted");
    };
    for (args, limit) in [
        (format!(r#""{}""#, "x".repeat(100)), "json_length"),
        ("1,2,3,4,5".to_owned(), "json_values"),
        ("[[[]]]".to_owned(), "json_depth"),
    ] {
        assert_eq!(
            client.call("echo", &args).await,
            serde_json::from_str::<Value>(&format!("[{args}]")).unwrap()
        );
        met(limit);
    }
    met("event_rate");
    client.send(r#"42["nobody"]"#).await;
    client.sync().await;
    met("event_length");
    client.send(r#"452-["echo",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#).await;
    client.send_binary(b"1").await;
    client.send_binary(b"2").await;
    client.sync().await;
    met("attachments");
    client.join("/other", "").await;
    met("namespaces");
    met("namespace_length");
    assert_eq!(client.call("join", r#"["a","long"]"#).await, json!([["a", "long"]]));
    met("rooms");
    met("room_length");
    let socket = node.server.io().socket(&node.server.io().all().local().sockets().await.value[0]).unwrap();
    let _first = socket.io().all().emit_with_ack("ask", ()).unwrap();
    let second = socket.io().all().emit_with_ack("ask", ()).unwrap();
    assert_eq!(second.asked(), 1);
    met("pending_acks");
    for _ in 0..2 {
        assert!(client.text().await.ends_with(r#"["ask"]"#));
    }
    let mut polling = Polling::connect(node.addr).await;
    polling.send(&(0..10).map(|n| format!(r#"42["note",{n}]"#)).collect::<Vec<_>>().join("\u{1e}")).await;
    for n in 0..10 {
        lines.expect(&n.to_string()).await;
    }
    met("packets_per_payload");
    // Nothing of this was refused; what protects the memory is.
    let text = node.server.metrics();
    let refused: Vec<&str> = text
        .lines()
        .filter(|line| line.starts_with("sockeye_limit_rejections_total") && !line.ends_with(" 0"))
        .collect();
    assert!(refused.is_empty(), "{refused:?}");
    client.send(&format!(r#"42["echo","{}"]"#, "x".repeat(1_000))).await;
    assert_eq!(client.closed().await, Some(1009));
    assert_eq!(node.metric(&rejected("payload")), 1.0);
    let mut client = Client::connect(node.addr).await;
    client.send(r#"45101-["echo"]"#).await;
    client.closed().await;
    assert_eq!(node.metric(&rejected("attachments")), 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_may_be_kept_and_miss_events() {
    let outbox = OutboxLimits {
        soft_bytes: 50_000,
        hard_bytes: 200_000,
        policy: SlowPolicy::DropEvents,
        max_age: PATIENCE * 100,
        ..OutboxLimits::default()
    };
    let (node, mut lines) = start(|server| server.outbox_limits(outbox)).await;
    let mut slow = Polling::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    let text = "x".repeat(10_000);
    for n in 0..100 {
        node.server.io().emit("n", (n, &text));
        assert!(other.text().await.starts_with(&format!(r#"42["n",{n},"#)));
    }
    let dropped = node.metric(r#"sockeye_send_queue_dropped_total{reason="overflow"}"#);
    assert!((80.0..100.0).contains(&dropped), "{dropped}");
    assert!(node.metric("sockeye_send_queue_bytes") <= 200_000.0);
    // It gets the beginning, and then again what comes.
    for n in 0..100 - dropped as usize {
        assert!(slow.next().await.starts_with(&format!(r#"42["n",{n},"#)));
    }
    node.server.io().emit("n", 100);
    slow.expect(r#"42["n",100]"#).await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bound_of_the_outbox_has_its_own_counter() {
    let long = PATIENCE * 100;
    for (outbox, limit) in [
        (OutboxLimits { hard_bytes: 10_000, max_age: long, ..OutboxLimits::default() }, "outbox_bytes"),
        (OutboxLimits { hard_packets: 10, max_age: long, ..OutboxLimits::default() }, "outbox_packets"),
    ] {
        let (node, mut lines) = start(|server| server.outbox_limits(outbox)).await;
        let mut client = Polling::connect(node.addr).await;
        until("it to be too much", || {
            node.server.io().emit("n", "x".repeat(1_000));
            node.metric(&rejected(limit)) == 1.0
        })
        .await;
        lines.expect("slow").await;
        client.is_gone().await;
        assert_eq!(node.metric(r#"sockeye_disconnections_total{reason="slow"}"#), 1.0);
        node.stop().await;
    }
}
