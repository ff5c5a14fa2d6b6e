//! Much of everything, and nothing of it is left when it has gone. How time and memory grow is what
//! `cargo run --release -p sockeye --example growth` prints.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use sockeye::{Limits, Server, ServerBuilder, State};
use tokio::sync::Semaphore;

use crate::support::{Client, PATIENCE, TestServer, frame, until};

const ROOMS: &str = r#"sockeye_rooms{nsp="/"}"#;
const PENDING: &str = r#"sockeye_acks_pending{scope="local"}"#;

async fn start(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> TestServer {
    TestServer::start(build).await
}

/// Nobody is connected any longer, and nothing that was kept for anyone is there.
async fn nothing_is_left(node: TestServer) {
    for series in [
        r#"sockeye_connections{transport="websocket"}"#,
        r#"sockeye_connections{transport="polling"}"#,
        ROOMS,
        PENDING,
        "sockeye_tasks",
        "sockeye_send_queue_bytes",
    ] {
        node.metric_is(series, 0.0).await;
    }
    // `/` is always there.
    node.metric_is("sockeye_namespaces", 1.0).await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_namespaces_that_come_and_go() {
    let node = start(|server| {
        server
            .limits(Limits { max_namespaces: 100, ..Limits::default() })
            .namespace_pattern("/dyn-{id}", |ns| ns)
    })
    .await;
    let mut clients = Vec::new();
    for first in (0..10_000).step_by(100) {
        let mut client = Client::open(node.addr).await;
        for at in first..first + 100 {
            client.send(&format!("40/dyn-{at},")).await;
        }
        for at in first..first + 100 {
            assert!(client.text().await.starts_with(&format!("40/dyn-{at},")));
        }
        clients.push(client);
    }
    assert_eq!(node.metric("sockeye_namespaces"), 10_001.0);
    assert_eq!(node.metric(r#"sockeye_sockets{nsp="/dyn-{id}"}"#), 10_000.0);
    // One by one, and with their clients.
    for at in 0..100 {
        clients[0].send(&format!("41/dyn-{at},")).await;
    }
    node.metric_is("sockeye_namespaces", 9_901.0).await;
    drop(clients);
    node.metric_is(r#"sockeye_sockets{nsp="/dyn-{id}"}"#, 0.0).await;
    nothing_is_left(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_namespaces_that_are_always_there() {
    let bus = "memory://ten-thousand-namespaces";
    let register = |mut server: ServerBuilder| {
        for at in 0..10_000 {
            server = server.namespace(&format!("/n{at}"), |ns| ns.on("echo", move || async move { at }));
        }
        server
    };
    let node = TestServer::run(register(Server::builder().bus(bus)).build().await.unwrap()).await;
    assert_eq!(node.metric("sockeye_namespaces"), 10_001.0);
    for at in [0, 5_000, 9_999] {
        let mut client = Client::connect_to(node.addr, &format!("/n{at}")).await;
        client.send(&format!(r#"42/n{at},1["echo"]"#)).await;
        client.expect(&format!("43/n{at},1[{at}]")).await;
    }
    node.metric_is("sockeye_tasks", 0.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_rooms() {
    let node = start(|server| server).await;
    let io = node.server.io();
    let mut clients = Vec::new();
    for first in (0..100_000).step_by(10_000) {
        let client = Client::connect(node.addr).await;
        let socket = io.socket(&client.id).unwrap();
        socket.join((first..first + 10_000).map(|at| format!("room-{at}")).collect::<Vec<_>>());
        assert_eq!(socket.rooms().len(), 10_001);
        clients.push(client);
    }
    assert_eq!(node.metric(ROOMS), 100_000.0);
    for at in [0, 9_999, 50_000, 99_999] {
        assert_eq!(io.to(format!("room-{at}")).emit("hello", at).reached(), 1);
        clients[at / 10_000].expect(&format!(r#"42["hello",{at}]"#)).await;
    }
    // A room that is closed, rooms that are left, and a member that goes.
    io.close_room("room-0");
    let socket = io.socket(&clients[0].id).unwrap();
    socket.leave((1..5_000).map(|at| format!("room-{at}")).collect::<Vec<_>>());
    assert_eq!((node.metric(ROOMS), socket.rooms().len()), (95_000.0, 5_001));
    drop(clients);
    nothing_is_left(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_in_ten_thousand_rooms() {
    let node = start(|server| server).await;
    let io = node.server.io();
    let mut client = Client::connect(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    let (socket, neighbour) = (io.socket(&client.id).unwrap(), io.socket(&other.id).unwrap());
    for at in 0..10_000 {
        socket.join(format!("{at}"));
        socket.join(format!("{at}"));
    }
    neighbour.join("next door");
    assert_eq!((socket.rooms().len(), node.metric(ROOMS)), (10_001, 10_001.0));
    // It is one target, in however many of the rooms it is.
    let mut all: Vec<String> = (0..10_000).map(|at| at.to_string()).collect();
    all.push("next door".into());
    assert_eq!(io.to(all).emit("all", ()).reached(), 2);
    client.expect(r#"42["all"]"#).await;
    other.expect(r#"42["all"]"#).await;
    for at in (0..10_000).rev().step_by(2) {
        socket.leave(format!("{at}"));
    }
    assert_eq!((socket.rooms().len(), node.metric(ROOMS)), (5_001, 5_001.0));
    assert_eq!((io.to("1").emit("odd", ()).reached(), io.to("0").emit("even", ()).reached()), (0, 1));
    client.vanish();
    node.metric_is(ROOMS, 1.0).await;
    other.vanish();
    nothing_is_left(node).await;
}

#[derive(Clone)]
struct Gate {
    inside: Arc<AtomicUsize>,
    gate: Arc<Semaphore>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_handlers_that_wait() {
    let gate = Gate { inside: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
    let state = gate.clone();
    let node = start(|server| {
        server.state(state).concurrency(1_000).mailbox(1_000).namespace("/", |ns| {
            ns.on("wait", async |State(gate): State<Gate>| {
                gate.inside.fetch_add(1, Ordering::AcqRel);
                let permit = gate.gate.acquire().await;
                permit.map(|permit| permit.forget()).map_err(|error| error.to_string())
            })
            .on("sync", async || ())
        })
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(node.addr).await;
        client.send_bytes(&frame(0x81, br#"421["wait"]"#).repeat(1_000)).await;
        clients.push(client);
    }
    until("all of them to wait", || gate.inside.load(Ordering::Acquire) == 10_000).await;
    // Somebody else is served, and asked.
    let mut other = Client::connect(node.addr).await;
    other.sync().await;
    let io = node.server.io();
    let ids: Vec<String> = clients.iter().map(|client| client.id.clone()).collect();
    let asked: Vec<_> =
        (0..1_000).map(|n| io.to(ids.clone()).timeout(PATIENCE * 10).emit_with_ack("ask", n)).collect();
    assert_eq!(node.metric(PENDING), 1_000.0);
    // Half of them go while their handlers wait, the others get their answers.
    clients.truncate(5);
    gate.gate.add_permits(10_000);
    for client in &mut clients {
        let mut answers = 0;
        while answers < 1_000 {
            answers += usize::from(client.text().await == "431[]");
        }
    }
    drop(asked);
    drop((clients, other));
    nothing_is_left(node).await;
}
