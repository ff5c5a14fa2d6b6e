//! From a client's event to its handler: order, bounds, arguments, and what happens when something is wrong.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::Value;
use sockeye::{Args, Data, DisconnectReason, EventName, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, Polling, TestServer, log};

const RECEIVED: &str = r#"sockeye_packets_received_total{type="event"}"#;

// === order and bounds ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_start_in_the_order_of_the_events() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on("a", async |Data(n): Data<u32>, State(log): State<Log>| {
                log.note(n);
                // Some end at once, some later: what starts next must not depend on it.
                for _ in 0..n % 7 {
                    tokio::task::yield_now().await;
                }
                n
            })
            .on("b", async |Data(n): Data<u32>, State(log): State<Log>| log.note(n))
        })
    })
    .await;
    let mut websocket = Client::connect(node.addr).await;
    for n in 0..600 {
        websocket.send(&format!(r#"42["{}",{n}]"#, if n % 3 == 0 { "b" } else { "a" })).await;
    }
    for n in 0..600 {
        lines.expect(&n.to_string()).await;
    }
    let mut polling = Polling::connect(node.addr).await;
    for batch in 0..6 {
        let packets: Vec<String> = (0..100)
            .map(|n| format!(r#"42["{}",{}]"#, if n % 3 == 0 { "b" } else { "a" }, batch * 100 + n))
            .collect();
        polling.send(&packets.join("\u{1e}")).await;
    }
    for n in 0..600 {
        lines.expect(&n.to_string()).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_handlers_of_one_socket_run_side_by_side_and_no_more() {
    for bound in [1, 5, 16] {
        let (gate, running) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
        let (log, mut lines) = log();
        let node = TestServer::start(|server| {
            server
                .concurrency(bound)
                .state(gate.clone())
                .state(running.clone())
                .state(log)
                .namespace("/", |ns| ns.on("work", work))
        })
        .await;
        let mut client = Client::connect(node.addr).await;
        for n in 0..40 {
            client.send(&format!(r#"42["work",{n}]"#)).await;
        }
        node.metric_is(RECEIVED, 40.0).await;
        for n in 0..bound {
            lines.expect(&format!("{n} begins")).await;
        }
        lines.is_empty();
        assert_eq!(running.load(Ordering::SeqCst), bound);
        gate.add_permits(40);
        let mut begun = bound;
        for _ in 0..40 - bound + 40 {
            let line = lines.next().await;
            if line.ends_with("begins") {
                assert_eq!(line, format!("{begun} begins"));
                begun += 1;
            }
        }
        assert_eq!(begun, 40);
        node.stop().await;
    }
}

async fn work(
    Data(n): Data<usize>,
    State(gate): State<Arc<Semaphore>>,
    State(running): State<Arc<AtomicUsize>>,
    State(log): State<Log>,
) {
    running.fetch_add(1, Ordering::SeqCst);
    log.note(format!("{n} begins"));
    gate.acquire().await.unwrap().forget();
    running.fetch_sub(1, Ordering::SeqCst);
    log.note(format!("{n} ends"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_sends_faster_than_its_handlers_is_read_more_slowly() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.concurrency(1).mailbox(4).state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on(
                "work",
                async |Data(n): Data<u32>, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    gate.acquire().await.unwrap().forget();
                    log.note(n);
                },
            )
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for n in 0..200 {
        client.send(&format!(r#"42["work",{n}]"#)).await;
    }
    node.metric_is(RECEIVED, 5.0).await;
    // Others are served meanwhile.
    let mut other = Client::connect(node.addr).await;
    other.sync().await;
    assert_eq!(node.metric(RECEIVED), 6.0, "one runs, four wait, the rest is in the network");
    gate.add_permits(200);
    for n in 0..200 {
        lines.expect(&n.to_string()).await;
    }
    // The same for a POST: it is answered when all its events have found a place.
    let mut polling = Polling::connect(node.addr).await;
    let packets: Vec<String> = (0..200).map(|n| format!(r#"42["work",{n}]"#)).collect();
    let target = polling.target();
    polling.posts.begin("POST", &target, &[], packets.join("\u{1e}").as_bytes()).await;
    gate.add_permits(100);
    for n in 0..100 {
        lines.expect(&n.to_string()).await;
    }
    gate.add_permits(100);
    for n in 100..200 {
        lines.expect(&n.to_string()).await;
    }
    assert_eq!(polling.posts.answer().await.text(), "ok");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_disconnect_handler_starts_after_all_events() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.concurrency(1).state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on(
                "work",
                async |Data(n): Data<u32>, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    gate.acquire().await.unwrap().forget();
                    log.note(n);
                },
            )
            .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for n in 0..20 {
        client.send(&format!(r#"42["work",{n}]"#)).await;
    }
    client.send("41").await;
    node.metric_is(r#"sockeye_packets_received_total{type="disconnect"}"#, 1.0).await;
    gate.add_permits(20);
    for n in 0..20 {
        lines.expect(&n.to_string()).await;
    }
    lines.expect("client namespace disconnect").await;
    node.stop().await;
}

// === what goes wrong ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_handler_is_counted_and_harms_nothing() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on("now", || {
                panic!("on purpose");
                #[allow(unreachable_code)]
                async {}
            })
            .on("soon", async || -> () { panic!("on purpose") })
            .on("later", async || -> u32 {
                tokio::task::yield_now().await;
                panic!("on purpose: {}", 7)
            })
            .on("sync", async || ())
            .on_disconnect(async |State(log): State<Log>| -> () {
                log.note("gone");
                panic!("on purpose")
            })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    for event in ["now", "soon", "later", "now", "later"] {
        client.send(&format!(r#"421["{event}"]"#)).await;
        client.sync().await;
    }
    node.metric_is("sockeye_handler_panics_total", 5.0).await;
    client.vanish();
    lines.expect("gone").await;
    node.metric_is("sockeye_handler_panics_total", 6.0).await;
    other.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_frees_its_place() {
    let node = TestServer::start(|server| {
        server.concurrency(1).mailbox(2).namespace("/", |ns| {
            ns.on("later", async || -> u32 {
                tokio::task::yield_now().await;
                panic!("on purpose")
            })
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    for _ in 0..50 {
        client.send(r#"42["later"]"#).await;
    }
    client.sync().await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 50.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_without_a_handler_go_to_the_fallback_or_are_counted() {
    let node = TestServer::start(|server| {
        server
            .namespace("/wild", |ns| {
                ns.on("known", async || "known".to_owned()).fallback(
                    async |EventName(name): EventName, args: Args| {
                        (name.to_string(), args.parse::<Vec<Value>>().unwrap())
                    },
                )
            })
            .namespace("/", |ns| ns.on("sync", async || ()))
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.join("/wild", "").await;
    for (event, answer) in [
        (r#"["known"]"#, r#"["known"]"#),
        (r#"["wild",1,{"a":2}]"#, r#"["wild",[1,{"a":2}]]"#),
        (r#"[42,"number"]"#, r#"["42",["number"]]"#),
        (r#"["\u0065sc\"aped"]"#, r#"["esc\"aped",[]]"#),
        (r#"["ünïcode"]"#, r#"["ünïcode",[]]"#),
        (r#"[""]"#, r#"["",[]]"#),
    ] {
        client.send(&format!("42/wild,5{event}")).await;
        client.expect(&format!("43/wild,5{answer}")).await;
    }
    client.send(r#"421["unknown",1]"#).await;
    client.send(r#"42["unknown"]"#).await;
    client.sync().await;
    assert_eq!(node.metric("sockeye_unhandled_events_total"), 2.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_the_protocol_keeps_are_not_emitted() {
    let node = TestServer::start(|server| server.namespace("/", |ns| ns.on("sync", async || ()))).await;
    let mut client = Client::connect(node.addr).await;
    let io = node.server.io();
    for name in ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"] {
        let error = io.emit(name, 1).result().unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
        assert!(io.emit(name, 1).await.is_err());
        assert!(io.all().emit_with_ack(name, ()).is_err());
    }
    // What serde cannot write is an error, too, and nothing is sent.
    let unsendable = std::collections::HashMap::from([(vec![1], 2)]);
    assert!(io.emit("map", &unsendable).result().is_err());
    client.sync().await;
    assert_eq!(io.emit("fine", ()).result().unwrap(), 1);
    client.expect(r#"42["fine"]"#).await;
    node.stop().await;
}
