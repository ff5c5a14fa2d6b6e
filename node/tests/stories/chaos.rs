//! Everything at once: clients that come and go in every way there is, while others talk to them, move them and throw
//! them out. At the end nothing is left of any of them, and a client that was there all the time has missed nothing.

use std::{sync::Arc, time::Duration};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use sockeye::{Args, Data, DisconnectReason, OutboxLimits, Server, Socket, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Frame, Http, Log, Polling, TestServer, log, patient};

const ROOMS: [&str; 4] = ["a", "b", "c", "d"];

async fn start(log: Log) -> TestServer {
    let limits = OutboxLimits { soft_bytes: 20_000, hard_bytes: 60_000, ..OutboxLimits::default() };
    TestServer::start(|server| {
        server.state(log).outbox_limits(limits).concurrency(4).mailbox(8).max_payload(50_000).namespace(
            "/",
            |ns| {
                ns.on_connect(async |socket: Socket| {
                    socket.join("a");
                    if rand::random() {
                        tokio::task::yield_now().await;
                    }
                    socket.emit("welcome", socket.id().as_str());
                    rand::random_ratio(9, 10)
                })
                .on("echo", async |args: Args| args)
                .on("slowly", async |args: Args| {
                    for _ in 0..5 {
                        tokio::task::yield_now().await;
                    }
                    args
                })
                .on(
                    "room",
                    async |socket: Socket, Data(room): Data<String>| {
                        if rand::random() { socket.join(room) } else { socket.leave(room) }
                    },
                )
                .on("say", async |socket: Socket, args: Args| {
                    socket.to("b").emit("said", &args);
                })
                .on("ask", async |socket: Socket| {
                    socket.timeout(Duration::from_millis(20)).call("question", ()).await.is_ok()
                })
                .on("panic", async || -> () { panic!("on purpose") })
                .on("bye", async |socket: Socket, Data(close): Data<bool>| socket.disconnect(close))
                .on("sync", async || ())
                .on_disconnect(
                    async |socket: Socket, State(log): State<Log>, _: DisconnectReason| {
                        log.note(socket.id());
                    },
                )
            },
        )
    })
    .await
}

/// What the application does meanwhile.
async fn meddle(server: Server, seed: u64, end: Arc<Semaphore>) {
    let mut random = StdRng::seed_from_u64(seed);
    let io = server.io();
    while end.available_permits() == 0 {
        let room = *ROOMS.choose(&mut random).unwrap();
        match random.random_range(0..10) {
            0 => drop(io.to(room).join(*ROOMS.choose(&mut random).unwrap())),
            1 => drop(io.to(room).except("witness").leave(room)),
            2 => drop(io.close_room(room)),
            3 => {
                let sockets = io.all().except("witness").local().sockets().await.value;
                if let Some(id) = sockets.choose(&mut random) {
                    io.to(id).disconnect(random.random());
                }
            }
            4 => drop(io.to(room).timeout(Duration::from_millis(10)).emit_with_ack("question", ())),
            5 => drop(io.to(room).timeout(Duration::from_millis(5)).call("question", ()).await),
            6 => drop(io.to(room).volatile().emit("volatile", "x".repeat(random.random_range(0..5_000)))),
            7 => drop(io.to(room).count().await),
            _ => drop(io.to(room).emit("news", "x".repeat(random.random_range(0..2_000)))),
        }
        tokio::task::yield_now().await;
    }
}

/// One client's life: it connects somehow, says a few things, and ends somehow.
async fn live(node: std::net::SocketAddr, random: &mut StdRng) {
    let say = |random: &mut StdRng| {
        let number = random.random_range(0..1000);
        match random.random_range(0..9) {
            0 => format!(r#"42{number}["echo",{{"a":[{number}]}}]"#),
            1 => format!(r#"42["room","{}"]"#, ROOMS.choose(random).unwrap()),
            2 => format!(r#"42["say",{number}]"#),
            3 => format!(r#"42{number}["slowly",1,2,3]"#),
            4 => format!("43{number}[]"),
            5 => format!(r#"42{number}["ask"]"#),
            6 => format!(r#"42["panic",{number}]"#),
            7 => "3".to_owned(),
            _ => format!(r#"42{number}["unknown"]"#),
        }
    };
    let ends = ["41", "1", "4x", "", r#"42["bye",true]"#, r#"42["bye",false]"#, "40", "vanish", "vanish"];
    let said: Vec<String> = (0..random.random_range(0..20)).map(|_| say(random)).collect();
    let end = *ends.choose(random).unwrap();
    match random.random_range(0..4) {
        // A WebSocket.
        0 | 1 => {
            let mut client = Client::open(node).await;
            client.send("40").await;
            for packet in said {
                client.send(&packet).await;
            }
            if random.random() {
                let _ = tokio::time::timeout(Duration::from_millis(2), client.next()).await;
            }
            if end != "vanish" {
                client.send(end).await;
                let _ = tokio::time::timeout(Duration::from_millis(2), client.next()).await;
            }
        }
        // Long-polling, perhaps with a GET that waits.
        2 => {
            let mut client = Polling::open(node).await;
            let waits = random.random();
            if waits {
                client.begin_get().await;
            }
            let payload = std::iter::once("40".to_owned()).chain(said).collect::<Vec<_>>().join("\u{1e}");
            client.post(&payload).await;
            if end != "vanish" {
                client.post(end).await;
            }
            if waits {
                client.gets.answer().await;
            }
            leave(client).await;
        }
        // An upgrade, complete or not.
        _ => {
            let mut client = Polling::open(node).await;
            client.post("40").await;
            if let Ok(mut socket) = Client::probe(node, client.sid()).await {
                socket.send("2probe").await;
                if socket.next().await == Frame::Text("3probe".into()) {
                    if random.random() {
                        client.begin_get().await;
                    }
                    if random.random_ratio(3, 4) {
                        socket.send("5").await;
                    }
                    for packet in said {
                        socket.send(&packet).await;
                    }
                    if end != "vanish" {
                        socket.send(end).await;
                    }
                    let _ = tokio::time::timeout(Duration::from_millis(2), socket.next()).await;
                }
            }
            client.gets = Http::connect(node).await;
            leave(client).await;
        }
    }
}

/// Says goodbye for a session that polls, and fetches what is left of one that was thrown out.
async fn leave(mut client: Polling) {
    client.post("1").await;
    while client.get().await.status == 200 {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_of_those_who_came_and_went() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let (log, mut lines) = log();
    let node = start(log).await;
    let end = Arc::new(Semaphore::new(0));
    let mut witness = loop {
        // One in ten is refused.
        let mut client = Client::open(node.addr).await;
        client.send("40").await;
        if let Some(json) = client.text().await.strip_prefix("40") {
            client.id =
                serde_json::from_str::<serde_json::Value>(json).unwrap()["sid"].as_str().unwrap().to_owned();
            break client;
        }
    };
    client_joins(&node, &witness);
    let meddlers: Vec<_> =
        (0..2).map(|n| tokio::spawn(meddle(node.server.clone(), seed ^ n, end.clone()))).collect();
    let lives: Vec<_> = (0..6_u64)
        .map(|n| {
            let (addr, mut random) = (node.addr, StdRng::seed_from_u64(seed.wrapping_add(n)));
            tokio::spawn(async move {
                for _ in 0..150 {
                    live(addr, &mut random).await;
                }
            })
        })
        .collect();
    // The witness hears every one of these, in order, whatever goes on.
    let telling = tokio::spawn({
        let (io, end) = (node.server.io(), end.clone());
        async move {
            let mut told = 0_u64;
            while end.available_permits() == 0 {
                io.to("witness").emit("tick", told);
                told += 1;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            told
        }
    });
    let watching = tokio::spawn(async move {
        let mut heard = 0_u64;
        loop {
            let Frame::Text(text) = witness.next().await else {
                panic!("the witness was closed after {heard}")
            };
            if text == format!(r#"42["tick",{heard}]"#) {
                heard += 1;
            } else if text == r#"42["end"]"# {
                return (witness, heard);
            } else if let Some(id) =
                text.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["question"]"#))
            {
                witness.send(&format!("43{id}[]")).await;
            } else {
                assert!(!text.starts_with(r#"42["tick""#), "{text} instead of {heard}");
            }
        }
    });
    for life in lives {
        patient("the lives", life).await.unwrap();
    }
    end.add_permits(1);
    for meddler in meddlers {
        patient("the meddlers", meddler).await.unwrap();
    }
    let told = telling.await.unwrap();
    node.server.io().to("witness").emit("end", ());
    let (mut witness, heard) = patient("the witness", watching).await.unwrap();
    assert_eq!(heard, told);

    // Everyone else has gone, or will when the server has noticed.
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 1.0).await;
    node.metric_is(r#"sockeye_connections{transport="websocket"}"#, 1.0).await;
    node.metric_is(r#"sockeye_connections{transport="polling"}"#, 0.0).await;
    node.metric_is(r#"sockeye_acks_pending{scope="local"}"#, 0.0).await;
    node.metric_is("sockeye_send_queue_bytes", 0.0).await;
    assert_eq!(node.server.io().all().sockets().await.value, [witness.id.clone()]);
    witness.sync().await;
    let witness_id = witness.id.clone();
    witness.vanish();
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 0.0).await;
    assert_eq!(node.metric(r#"sockeye_rooms{nsp="/"}"#), 0.0);
    assert!(node.metric("sockeye_handler_panics_total") > 0.0);
    node.stop().await;
    let mut gone = std::collections::HashSet::new();
    while let Some(id) = lines.try_next() {
        assert!(gone.insert(id), "a socket is gone once");
    }
    assert!(gone.contains(&witness_id));
}

/// The witness is in its own room and in `witness`, which nobody else enters.
fn client_joins(node: &TestServer, witness: &Client) {
    let io = node.server.io();
    io.to(witness.id.as_str()).join("witness");
    io.to(witness.id.as_str()).leave(["a"]);
}
