//! Several servers on one bus: everything that names rooms and ids works across them.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde_json::json;
use sockeye::{Args, Binary, CallError, DisconnectReason, Io, NodeId, ServerBuilder, Socket, Spread, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, PATIENCE, Polling, TestServer, cluster, log, until};

fn handlers(server: ServerBuilder) -> ServerBuilder {
    server.namespace("/other", |ns| ns).namespace("/", |ns| {
        ns.on("join", async |socket: Socket, Spread(rooms): Spread<Vec<String>>| socket.join(rooms))
            .on("rooms", async |socket: Socket| {
                let own = socket.id().to_string();
                let mut rooms: Vec<String> = socket.rooms().iter().map(ToString::to_string).collect();
                rooms.retain(|room| *room != own);
                rooms.sort();
                rooms.join(" ")
            })
            .on("sync", async || ())
            .on_server_event("add", async |_: NodeId, args: Args| {
                args.parse::<(i64, i64)>().map(|(a, b)| a + b).map_err(|error| error.to_string())
            })
    })
}

/// One client on each of the nodes.
async fn clients(nodes: &[TestServer]) -> Vec<Client> {
    let mut clients = Vec::new();
    for node in nodes {
        clients.push(Client::connect(node.addr).await);
    }
    clients
}

async fn stop(nodes: Vec<TestServer>) {
    for node in nodes {
        node.stop().await;
    }
}

/// Waits until a room has so many members, as every node sees it.
async fn members(nodes: &[TestServer], room: &str, count: u64) {
    for node in nodes {
        let io = node.server.io();
        crate::support::patient("everyone to be in the room", async {
            while io.to(room).count().await.value != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emits_reach_every_node_in_order_and_once() {
    let nodes = cluster(3, handlers).await;
    let mut clients = clients(&nodes).await;
    let mut polling = Polling::connect(nodes[1].addr).await;
    for n in 0..500 {
        let sent = nodes[0].server.io().emit("n", n);
        assert_eq!(sent.reached(), 1, "local ones are reached at once");
    }
    for n in 0..500 {
        for client in &mut clients {
            client.expect(&format!(r#"42["n",{n}]"#)).await;
        }
        polling.expect(&format!(r#"42["n",{n}]"#)).await;
    }
    // Binary and several arguments.
    let sent = nodes[2].server.io().emit("b", ("a", Binary(vec![0, 255].into()), json!({"k": null})));
    assert_eq!(sent.await.unwrap(), 1, "awaited: the bus has it");
    for client in &mut clients {
        client.expect(r#"451-["b","a",{"_placeholder":true,"num":0},{"k":null}]"#).await;
        client.expect_binary(&[0, 255]).await;
        client.sync().await;
    }
    // Another namespace is another world, and so is this node alone.
    nodes[0].server.io().of("/other").unwrap().emit("nobody", ());
    nodes[0].server.io().local().emit("local", ());
    clients[0].expect(r#"42["local"]"#).await;
    nodes[0].server.io().emit("end", ());
    for client in &mut clients {
        client.expect(r#"42["end"]"#).await;
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_senders_order_is_kept_when_all_send_at_once() {
    let nodes = cluster(3, handlers).await;
    let mut clients = clients(&nodes).await;
    for (sender, node) in nodes.iter().enumerate() {
        let io = node.server.io();
        tokio::spawn(async move {
            for n in 0..200 {
                io.emit("n", (sender, n));
                if n % 7 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    for client in &mut clients {
        let mut next = [0; 3];
        for _ in 0..600 {
            let text = client.text().await;
            let (_, sender, n): (String, usize, u32) =
                serde_json::from_str(text.strip_prefix("42").unwrap()).unwrap();
            assert_eq!(n, next[sender], "from node {sender}");
            next[sender] += 1;
        }
        client.sync().await;
    }
    for node in &nodes {
        let gaps = node.server.metrics();
        let gaps: Vec<&str> =
            gaps.lines().filter(|line| line.contains("gap") && !line.starts_with('#')).collect();
        assert!(gaps.iter().all(|line| line.ends_with(" 0")), "{gaps:?}");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_span_nodes() {
    let nodes = cluster(3, handlers).await;
    let mut clients = clients(&nodes).await;
    clients[0].call("join", r#""a""#).await;
    clients[1].call("join", r#""a","b""#).await;
    clients[2].call("join", r#""b""#).await;
    let io = nodes[0].server.io();
    io.to("a").emit("a", ());
    io.to(["a", "b"]).emit("ab", ());
    io.to(["a", "b"]).except(clients[1].id.as_str()).emit("not1", ());
    io.except("a").emit("nota", ());
    io.to(clients[2].id.as_str()).emit("only2", ());
    let expected: [&[&str]; 3] = [&["a", "ab", "not1"], &["a", "ab"], &["ab", "not1", "nota", "only2"]];
    for (client, expected) in clients.iter_mut().zip(expected) {
        for event in expected {
            client.expect(&format!(r#"42["{event}"]"#)).await;
        }
        client.sync().await;
    }
    nodes[2].server.io().to("a").volatile().emit("volatile", ());
    clients[0].expect(r#"42["volatile"]"#).await;
    clients[1].expect(r#"42["volatile"]"#).await;

    // Who is there, as each node sees it.
    let everyone: BTreeSet<String> = clients.iter().map(|client| client.id.clone()).collect();
    for node in &nodes {
        let io = node.server.io();
        let sockets = io.all().sockets().await;
        assert!(sockets.missing.is_empty());
        assert_eq!(sockets.value.into_iter().collect::<BTreeSet<_>>(), everyone);
        assert_eq!(io.all().count().await.value, 3);
        assert_eq!(io.to("a").count().await.value, 2);
        assert_eq!(io.to(["a", "b"]).except("a").sockets().await.value, [clients[2].id.clone()]);
        assert_eq!(io.to("empty").count().await.value, 0);
    }
    assert_eq!(io.local().count().await.value, 1);
    assert_eq!(io.local().sockets().await.value, [clients[0].id.clone()]);

    // Moving and removing others' clients.
    io.to(clients[2].id.as_str()).join(["a", "c"]);
    members(&nodes, "c", 1).await;
    assert_eq!(clients[2].call("rooms", "").await, json!(["a b c"]));
    io.to("a").leave("b");
    members(&nodes, "b", 0).await;
    assert_eq!(clients[1].call("rooms", "").await, json!(["a"]));
    nodes[1].server.io().close_room("a");
    members(&nodes, "a", 0).await;
    assert_eq!(clients[2].call("rooms", "").await, json!(["c"]));
    // A guest in another's own room.
    nodes[2].server.io().to(clients[0].id.as_str()).join(clients[1].id.as_str());
    members(&nodes, &clients[1].id, 2).await;
    nodes[2].server.io().to(clients[1].id.as_str()).emit("both", ());
    clients[0].expect(r#"42["both"]"#).await;
    clients[1].expect(r#"42["both"]"#).await;
    clients[2].sync().await;
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_are_disconnected_from_afar() {
    let (log, mut lines) = log();
    let nodes = cluster(3, |server| {
        handlers(server.state(log.clone())).namespace("/kick", |ns| {
            ns.on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    let mut one = Client::connect_to(nodes[1].addr, "/kick").await;
    let mut two = Client::connect_to(nodes[2].addr, "/kick").await;
    let io = nodes[0].server.io().of("/kick").unwrap();
    io.to(one.id.as_str()).disconnect(false);
    one.expect("41/kick,").await;
    lines.expect("server namespace disconnect").await;
    one.join("/kick", "").await;
    io.to([&one.id, &two.id]).except(one.id.as_str()).disconnect(true);
    two.expect("41/kick,").await;
    two.closed().await;
    lines.expect("server namespace disconnect").await;
    assert_eq!(io.all().sockets().await.value, [one.id.clone()]);
    io.all().disconnect(true);
    one.expect("41/kick,").await;
    one.closed().await;
    stop(nodes).await;
}

/// Reads a question that wants an ack; returns its id.
async fn ask(client: &mut Client, question: &str) -> String {
    let text = client.text().await;
    let id = text.strip_prefix("42").and_then(|rest| rest.strip_suffix(question));
    id.unwrap_or_else(|| panic!("{text} is not {question}")).to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_finds_the_client_wherever_it_is() {
    let nodes = cluster(3, handlers).await;
    let mut clients = clients(&nodes).await;
    for (caller, node) in nodes.iter().enumerate() {
        for client in &mut clients {
            let calling = tokio::spawn(call(node.server.io(), client.id.clone(), PATIENCE));
            let id = ask(client, r#"["q",1,"two"]"#).await;
            client.send(&format!(r#"43{id}["from {caller}",{{"x":1}}]"#)).await;
            let answer = calling.await.unwrap().unwrap();
            assert_eq!(answer.json(), format!(r#"["from {caller}",{{"x":1}}]"#));
        }
    }
    // Gone while it is asked: known at once, across nodes.
    let mut client = Client::connect(nodes[2].addr).await;
    let calling = tokio::spawn(call(nodes[0].server.io(), client.id.clone(), PATIENCE * 100));
    ask(&mut client, r#"["q",1,"two"]"#).await;
    let id = client.id.clone();
    client.vanish();
    let ended = crate::support::patient("the end of the call", calling).await.unwrap();
    assert!(matches!(ended, Err(CallError::Disconnected)), "{ended:?}");
    // Never there: known as soon as all nodes have said so.
    let ended =
        crate::support::patient("a call to nobody", call(nodes[0].server.io(), id, PATIENCE * 100)).await;
    assert!(matches!(ended, Err(CallError::Disconnected)), "{ended:?}");
    // There and silent.
    let ended = call(nodes[0].server.io(), clients[1].id.clone(), Duration::from_millis(50)).await;
    assert!(matches!(ended, Err(CallError::Timeout(_))), "{ended:?}");
    let late = ask(&mut clients[1], r#"["q",1,"two"]"#).await;
    clients[1].send(&format!("43{late}[]")).await;
    clients[1].sync().await;
    stop(nodes).await;
}

async fn call(io: Io, id: String, timeout: Duration) -> Result<Args, CallError> {
    io.to(id).timeout(timeout).call("q", (1, "two")).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_of_many_come_from_all_nodes() {
    let nodes = cluster(3, handlers).await;
    let mut clients = clients(&nodes).await;
    clients.push(Client::connect(nodes[1].addr).await);
    for client in &mut clients {
        client.call("join", r#""poll""#).await;
    }
    let bystander = Client::connect(nodes[2].addr).await;
    let mut acks = nodes[0].server.io().to("poll").timeout(PATIENCE * 100).emit_with_ack("vote", ()).unwrap();
    let mut expected = BTreeSet::new();
    for (n, client) in clients.iter_mut().enumerate() {
        let id = ask(client, r#"["vote"]"#).await;
        match n {
            // One leaves instead of answering.
            3 => client.send("41").await,
            _ => {
                client.send(&format!("43{id}[{n}]")).await;
                expected.insert((client.id.clone(), format!("[{n}]")));
            }
        }
    }
    let mut answers = BTreeSet::new();
    while let Some(answer) = crate::support::patient("the answers", acks.next()).await {
        assert!(answers.insert((answer.sid, answer.args.json().to_owned())), "each once");
    }
    assert_eq!(answers, expected);
    assert_eq!((acks.asked(), acks.is_finished()), (4, true));
    let gathered = acks.gather().await;
    assert_eq!((gathered.missing, gathered.missing_nodes), (1, vec![]));
    drop(bystander);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_ask_and_tell_each_other() {
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let nodes = cluster(3, |server| {
        let (log, gate) = (log.clone(), gate.clone());
        handlers(server).namespace("/told", move |ns| {
            ns.on_server_event("tell", {
                let log = log.clone();
                move |from: NodeId, args: Args| {
                    log.note(format!("{from} {}", args.json()));
                    async {}
                }
            })
            .on_server_event("slow", move |_, _| {
                let gate = gate.clone();
                async move { gate.acquire().await.unwrap().forget() }
            })
        })
    })
    .await;
    let io = nodes[0].server.io();
    let answers = io.server_call("add", (2, 3), PATIENCE).await.unwrap();
    assert!(answers.missing.is_empty());
    let from: BTreeSet<NodeId> = answers.value.iter().map(|(node, _)| *node).collect();
    assert_eq!(from, io.nodes().into_iter().collect());
    assert!(answers.value.iter().all(|(_, args)| args.json() == "[5]"), "{answers:?}");
    // A node whose handler fails, or that has none, says that it has no answer.
    let answers = io.server_call("add", "nonsense", PATIENCE * 100).await.unwrap();
    assert!(answers.value.is_empty(), "{answers:?}");
    let answers =
        crate::support::patient("an answer", io.server_call("unknown", (), PATIENCE * 100)).await.unwrap();
    assert!(answers.value.is_empty(), "{answers:?}");

    let told = io.of("/told").unwrap();
    told.server_emit("tell", (1, "x")).await.unwrap();
    for _ in 0..2 {
        lines.expect(&format!(r#"{} [1,"x"]"#, io.node_id())).await;
    }
    // The others only, and those that answer too late are named.
    let late = told.server_call("slow", (), Duration::from_millis(50)).await.unwrap();
    assert!(late.value.is_empty());
    assert_eq!(late.missing.into_iter().collect::<BTreeSet<_>>(), from);
    gate.add_permits(2);
    lines.is_empty();
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_leaves_is_no_longer_waited_for() {
    let mut nodes = cluster(3, handlers).await;
    let leaver = nodes.pop().unwrap();
    let mut lost = Client::connect(leaver.addr).await;
    let mut stays = Client::connect(nodes[1].addr).await;
    let io = nodes[0].server.io();
    let asking = io.all().timeout(PATIENCE * 100).emit_with_ack("q", ()).unwrap();
    ask(&mut lost, r#"["q"]"#).await;
    let id = ask(&mut stays, r#"["q"]"#).await;
    stays.send(&format!("43{id}[]")).await;
    leaver.stop().await;
    lost.closed().await;
    let gathered = crate::support::patient("the answers of those who are left", asking.gather()).await;
    assert_eq!((gathered.answers.len(), gathered.missing), (1, 1));
    until("the others to know", || nodes.iter().all(|node| node.server.io().nodes().len() == 1)).await;
    let count = crate::support::patient("a count", io.all().count()).await;
    assert_eq!((count.value, count.missing), (1, vec![]));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_a_secret_and_tell_each_others_sessions_from_forgeries() {
    let nodes = cluster(2, |server| handlers(server).secret("0123456789abcdef")).await;
    let polling = Polling::connect(nodes[0].addr).await;
    let mut http = crate::support::Http::connect(nodes[1].addr).await;
    // Sessions do not move: the load balancer has to be sticky, and the metric says if it is not.
    let answer = http.get(&polling.target()).await;
    assert_eq!((answer.status, answer.text()), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    let other = r#"sockeye_handshakes_total{result="other_node",transport="polling"}"#;
    assert_eq!(nodes[1].metric(other), 1.0);
    assert_eq!(nodes[0].server.io().node_name(), "n0");
    stop(nodes).await;
}
