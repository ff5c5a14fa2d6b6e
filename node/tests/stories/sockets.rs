//! What one asks a cluster about its sockets, and what one does with those that were found.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::StreamExt;
use serde_json::{Value, json};
use sockeye::{CallError, Data, Io, RemoteSocket, ServerBuilder, Socket, Spread};
use tokio::{net::TcpStream, sync::Semaphore};

use crate::support::{Client, PATIENCE, TestServer, cluster, patient, until};

fn handlers(server: ServerBuilder) -> ServerBuilder {
    server
        .namespace("/", |ns| {
            ns.on("join", async |socket: Socket, Spread(rooms): Spread<Vec<String>>| socket.join(rooms))
                .on("rooms", async |socket: Socket| named(&socket))
                .on("data", async |socket: Socket, Data(data): Data<Value>| {
                    socket.set_data(&data).err().map(|error| error.to_string())
                })
        })
        .namespace_pattern("/room-{id}", |ns| ns)
}

/// The rooms of a socket but its own, in order.
fn named(socket: &Socket) -> String {
    let own = socket.id().to_string();
    let mut rooms: Vec<String> = socket.rooms().iter().map(ToString::to_string).collect();
    rooms.retain(|room| *room != own);
    rooms.sort();
    rooms.join(" ")
}

fn ids(sockets: &[RemoteSocket]) -> BTreeSet<String> {
    let ids: BTreeSet<String> = sockets.iter().map(|socket| socket.id().to_owned()).collect();
    assert_eq!(ids.len(), sockets.len(), "nobody twice");
    ids
}

fn set<'a>(clients: impl IntoIterator<Item = &'a Client>) -> BTreeSet<String> {
    clients.into_iter().map(|client| client.id.clone()).collect()
}

async fn stop(nodes: Vec<TestServer>) {
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_all_nodes_are_fetched_page_by_page() {
    let nodes = cluster(3, handlers).await;
    let mut clients = Vec::new();
    for n in 0..13 {
        // One node has none.
        let mut client = Client::connect(nodes[n % 2].addr).await;
        client.call("join", if n == 0 { r#""all","first""# } else { r#""all""# }).await;
        clients.push(client);
    }
    for node in &nodes {
        let io = node.server.io();
        let all = patient("all of them", io.to("all").fetch_sockets().into_future()).await;
        assert_eq!((ids(&all.value), all.missing), (set(&clients), vec![]));
        for size in [1, 2, 5, 100] {
            let mut pages = io.to("all").fetch_sockets().page_size(size).pages();
            let mut found = Vec::new();
            while let Some(page) = patient("a page", pages.next()).await {
                assert!(page.sockets.len() <= size, "{} of {size}", page.sockets.len());
                assert!(!page.sockets.is_empty() && page.missing.is_empty());
                found.extend(page.sockets);
            }
            assert_eq!(ids(&found), set(&clients));
            assert!(pages.missing().is_empty());
        }
        let streamed: Vec<_> =
            io.all().except("first").fetch_sockets().page_size(4).pages().into_stream().collect().await;
        let streamed: Vec<_> = streamed.into_iter().flat_map(|page| page.sockets).collect();
        assert_eq!(ids(&streamed), set(&clients[1..]));
        let here = io.local().fetch_sockets().await.value;
        assert!(here.iter().all(|socket| socket.node() == io.node_id()));
        assert_eq!(ids(&here), io.sockets().iter().map(|socket| socket.id().to_string()).collect());
        assert!(io.to("nobody").fetch_sockets().await.value.is_empty());
        assert!(io.to(Vec::<String>::new()).fetch_sockets().await.value.is_empty(), "nobody, not everyone");
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_known_of_a_socket_is_what_was_asked_for() {
    let nodes = cluster(2, handlers).await;
    let stream = TcpStream::connect(nodes[1].addr).await.unwrap();
    let query = "EIO=4&transport=websocket&lang=de";
    let headers = [("user-agent", "story"), ("x-secret", "do not tell")];
    let mut client = Client::handshake(stream, query, &headers).await.unwrap();
    client.text().await;
    client.join("/", "").await;
    client.call("join", r#""r""#).await;
    assert_eq!(client.call("data", r#"{"name":"Ann","level":7}"#).await, json!([null]));
    let io = nodes[0].server.io();
    let fetch = || io.to("r").fetch_sockets();
    let plain = fetch().await.value.remove(0);
    assert_eq!((plain.id(), plain.namespace().as_str()), (client.id.as_str(), "/"));
    assert_eq!(vec![plain.node()], io.nodes());
    let rooms: BTreeSet<&str> = plain.rooms().iter().map(|room| room.as_str()).collect();
    assert_eq!(rooms, BTreeSet::from([client.id.as_str(), "r"]));
    assert_eq!(
        (plain.address(), plain.time(), plain.is_secure(), plain.transport()),
        (None, None, None, None)
    );
    assert_eq!((plain.url(), plain.data_json(), plain.header("user-agent")), (None, None, None));

    let full = fetch().without_rooms().connection().url().header("User-Agent").header("absent").data();
    let full = full.await.value.remove(0);
    assert!(full.rooms().is_empty());
    assert_eq!(full.address(), Some(nodes[1].addr.ip()));
    assert!(full.time().unwrap() <= std::time::SystemTime::now());
    assert_eq!((full.is_secure(), full.transport()), (Some(false), Some("websocket")));
    assert_eq!(full.url(), Some(format!("/socket.io/?{query}").as_str()));
    assert_eq!((full.header("user-agent"), full.header("absent")), (Some("story"), None));
    assert_eq!(full.header("x-secret"), None, "nobody asked for it");
    assert_eq!(full.data::<Value>().unwrap(), json!({"name": "Ann", "level": 7}));
    assert!(full.data::<u8>().is_err());
    assert!(!format!("{full:?}").contains("Ann"), "secrets are not logged");

    // Data has a bound, and what was there before stays.
    let large = "x".repeat(70_000);
    let answer = client.call("data", &format!(r#""{large}""#)).await;
    assert!(answer.to_string().contains("65536 bytes"), "{answer}");
    let found = patient("it", io.find_socket(&client.id)).await;
    let found = found.value.unwrap();
    assert_eq!(found.data_json(), Some(r#"{"level":7,"name":"Ann"}"#));
    assert!(found.rooms().len() == 2 && found.url().is_some() && found.transport() == Some("websocket"));
    stop(nodes).await;
}

/// One question must not bring an answer that is too large for anyone on its way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_bounded_by_bytes() {
    let nodes = cluster(2, handlers).await;
    let mut clients = Vec::new();
    for n in 0..24 {
        let mut client = Client::connect(nodes[n % 2].addr).await;
        let data = "x".repeat(60_000);
        assert_eq!(client.call("data", &format!(r#""{data}""#)).await, json!([null]));
        clients.push(client);
    }
    let io = nodes[0].server.io();
    let mut pages = io.all().fetch_sockets().data().page_size(10_000).pages();
    let (mut found, mut count) = (Vec::new(), 0);
    while let Some(page) = patient("a page", pages.next()).await {
        for node in nodes.iter().map(|node| node.server.io().node_id()) {
            let of_node = page.sockets.iter().filter(|socket| socket.node() == node);
            let bytes: usize = of_node.map(|socket| socket.data_json().unwrap().len()).sum();
            assert!(bytes <= 256 * 1024 + 60_002, "{bytes}");
        }
        found.extend(page.sockets);
        count += 1;
    }
    assert_eq!((ids(&found), count), (set(&clients), 3));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_this_node_does_not_have_is_that_of_the_others() {
    let bus = format!("memory://{}", crate::support::server::unique("elsewhere"));
    let here = TestServer::start(|server| server.bus(bus.clone()).namespace("/", |ns| ns)).await;
    let there = TestServer::start(|server| server.bus(bus.clone()).namespace("/orders", |ns| ns)).await;
    until("the nodes to find each other", || {
        [&here, &there].iter().all(|node| node.server.io().nodes().len() == 1)
    })
    .await;
    let mut client = Client::connect_to(there.addr, "/orders").await;
    let io = here.server.io();
    assert!(io.of("/orders").is_none());
    assert!(io.of_any("/or,ders").is_none(), "no client could say this name");
    let orders = io.of_any("/orders").unwrap();
    assert_eq!(orders.all().sockets().await.value, [client.id.clone()]);
    assert_eq!(patient("the join", orders.all().join("r").into_future()).await.value, 1);
    assert_eq!(orders.to("r").fetch_sockets().await.value[0].id(), client.id);
    assert_eq!(orders.to("r").emit("shipped", 7).reached(), 0);
    client.expect(r#"42/orders,["shipped",7]"#).await;
    let calling = tokio::spawn(async move { orders.to("r").timeout(PATIENCE).call("q", ()).await });
    let question = client.text().await;
    let id = question.strip_prefix("42/orders,").and_then(|rest| rest.strip_suffix(r#"["q"]"#)).unwrap();
    client.send(&format!("43/orders,{id}[1]")).await;
    assert_eq!(calling.await.unwrap().unwrap().json(), "[1]");
    stop(vec![here, there]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetched_socket_is_reached_wherever_it_is() {
    let nodes = cluster(2, handlers).await;
    for asking in &nodes {
        for having in &nodes {
            let mut client = Client::connect(having.addr).await;
            let io = asking.server.io();
            let socket = io.to(client.id.as_str()).fetch_sockets().await.value.remove(0).timeout(PATIENCE);
            socket.emit("hello", (1, "two"));
            client.expect(r#"42["hello",1,"two"]"#).await;
            socket.send("text");
            client.expect(r#"42["message","text"]"#).await;
            let calling = tokio::spawn({
                let socket = socket.clone();
                async move { socket.call("q", "?").await }
            });
            let question = client.text().await;
            let id = question.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["q","?"]"#)).unwrap();
            client.send(&format!(r#"43{id}["yes"]"#)).await;
            assert_eq!(calling.await.unwrap().unwrap().first::<String>().unwrap(), "yes");
            assert_eq!(patient("the join", socket.join(["a", "b"]).into_future()).await.value, 1);
            assert_eq!(patient("the leave", socket.leave("a").into_future()).await.value, 1);
            assert_eq!(client.call("rooms", "").await, json!(["b"]));
            let gone = socket.disconnect(false);
            client.expect("41").await;
            assert_eq!(patient("the end", gone.into_future()).await.value, 1);
            assert!(matches!(socket.call("q", ()).await, Err(CallError::Disconnected)));
            assert_eq!(patient("nobody", socket.join("a").into_future()).await.value, 0);
        }
    }
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_still_being_let_in_is_not_there_yet() {
    let gate = Arc::new(Semaphore::new(0));
    let nodes = cluster(2, |server| {
        let gate = gate.clone();
        handlers(server).namespace("/slow", move |ns| {
            let gate = gate.clone();
            ns.on_connect(move |socket: Socket| {
                let gate = gate.clone();
                async move {
                    socket.join("r");
                    gate.acquire().await.unwrap().forget();
                    Ok::<_, String>(())
                }
            })
        })
    })
    .await;
    let mut client = Client::open(nodes[0].addr).await;
    client.send("40/slow,").await;
    let here = nodes[0].server.io().of("/slow").unwrap();
    until("the handler to decide", || here.local().emit("early", ()).reached() == 1).await;
    let look = async |there: u64| {
        for node in &nodes {
            let io = node.server.io().of("/slow").unwrap();
            for all in [io.all(), io.to("r"), io.to(["r", "s"]).except("x")] {
                assert_eq!(all.clone().count().await.value, there);
                assert_eq!(all.clone().sockets().await.value.len() as u64, there);
                assert_eq!(all.fetch_sockets().await.value.len() as u64, there);
            }
            assert_eq!(io.rooms(None, 10).await.value.len() as u64, there);
            let namespaces = io.namespaces().await.value;
            assert_eq!(namespaces.iter().map(|ns| ns.sockets).sum::<u64>(), there);
        }
        assert_eq!(here.sockets().len() as u64, there);
        assert_eq!(here.participants("r").len() as u64, there);
    };
    look(0).await;
    gate.add_permits(1);
    let told = client.text().await;
    let sid = told.strip_prefix(r#"40/slow,{"sid":""#).and_then(|rest| rest.strip_suffix(r#""}"#)).unwrap();
    look(1).await;
    assert!(nodes[1].server.io().of("/slow").unwrap().is_connected(sid).await.value);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_answers_for_all() {
    let nodes = cluster(2, handlers).await;
    let mut one = Client::connect(nodes[0].addr).await;
    let mut two = Client::connect(nodes[1].addr).await;
    one.call("join", r#""a","b""#).await;
    two.call("join", r#""b","c""#).await;
    let (root_one, root_two) = (one.id.clone(), two.id.clone());
    two.join("/room-7", "").await;
    for node in &nodes {
        let io = node.server.io();
        for (client, rooms) in [(&root_one, ["a", "b"]), (&root_two, ["b", "c"])] {
            let found = io.rooms_of(client).await;
            let found: BTreeSet<String> = found.value.unwrap().iter().map(ToString::to_string).collect();
            assert_eq!(found, rooms.iter().map(ToString::to_string).chain([client.clone()]).collect());
            assert!(io.is_connected(client).await.value);
        }
        for unknown in ["nobody", "aaaaaaaaaaaaaaaaaaaa", two.id.as_str()] {
            assert_eq!(io.rooms_of(unknown).await.value, None, "{unknown} is not in this namespace");
            assert!(!io.is_connected(unknown).await.value);
            assert!(io.find_socket(unknown).await.value.is_none());
        }
        let rooms = async |io: &Io, after: Option<&str>, limit: usize| {
            let rooms = io.rooms(after, limit).await;
            assert!(rooms.missing.is_empty());
            rooms
                .value
                .iter()
                .map(|room| format!("{}{}", room.name, room.sockets))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(rooms(&io, None, 10).await, "a1 b2 c1");
        assert_eq!(rooms(&io, Some("a"), 1).await, "b2");
        assert_eq!(rooms(&io, Some("c"), 10).await, "");
        let namespaces = io.namespaces().await;
        let text: Vec<String> =
            namespaces.value.iter().map(|ns| format!("{} {}", ns.path, ns.sockets)).collect();
        assert_eq!(text, ["/ 2", "/room-7 1"], "also those that this node has no client in");
        // A namespace that only the other node has at this moment.
        let room = io.of("/room-7").unwrap();
        assert_eq!(room.all().sockets().await.value, [two.id.clone()]);
        room.emit("hi", ());
        two.expect(r#"42/room-7,["hi"]"#).await;
    }
    assert_eq!(nodes[0].metric(r#"sockeye_rooms{nsp="/"}"#), 2.0, "each room once");
    let participants: Vec<String> =
        nodes[0].server.io().participants("b").iter().map(ToString::to_string).collect();
    assert_eq!(participants, [root_one], "of this node");
    stop(nodes).await;
}

/// Every way to say who is meant, from each of two nodes, for everyone and for this node alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_exceptions_and_ids_select_on_all_nodes() {
    let nodes = cluster(2, handlers).await;
    // Two clients on each node: in `a`, in `a` and `b`; in `b`, in none.
    let mut clients = Vec::new();
    for (node, rooms) in [(0, r#""a""#), (0, r#""a","b""#), (1, r#""b""#), (1, "")] {
        let mut client = Client::connect(nodes[node].addr).await;
        if !rooms.is_empty() {
            client.call("join", rooms).await;
        }
        clients.push(client);
    }
    let sid = |n: usize| clients[n].id.clone();
    let (zero, two) = (sid(0), sid(2));
    type Select = Box<dyn Fn(&Io) -> sockeye::Broadcast>;
    let both = vec![zero.clone(), two.clone()];
    let ways: Vec<(&str, Select, [bool; 4])> = vec![
        ("all", Box::new(|io| io.all()), [true, true, true, true]),
        ("room", Box::new(|io| io.to("a")), [true, true, false, false]),
        ("rooms", Box::new(|io| io.to(["a", "b"])), [true, true, true, false]),
        ("room except room", Box::new(|io| io.to("b").except("a")), [false, false, true, false]),
        ("all except room", Box::new(|io| io.except("a")), [false, false, true, true]),
        ("all except rooms", Box::new(|io| io.except(["a", "b"])), [false, false, false, true]),
        (
            "sid",
            Box::new({
                let two = two.clone();
                move |io| io.to(two.as_str())
            }),
            [false, false, true, false],
        ),
        ("sids", Box::new(move |io| io.to(both.clone())), [true, false, true, false]),
        (
            "room except sid",
            Box::new({
                let zero = zero.clone();
                move |io| io.to("a").except(zero.as_str())
            }),
            [false, true, false, false],
        ),
        (
            "all except sid",
            Box::new({
                let zero = zero.clone();
                move |io| io.except(zero.as_str())
            }),
            [false, true, true, true],
        ),
        (
            "rooms except sid",
            Box::new(move |io| io.to(["a", "b"]).except(two.as_str())),
            [true, true, false, false],
        ),
        ("nobody", Box::new(|io| io.to(Vec::<String>::new())), [false; 4]),
    ];
    for (from, node) in nodes.iter().enumerate() {
        let io = node.server.io();
        for (name, select, meant) in &ways {
            for local in [false, true] {
                let target = || if local { select(&io).local() } else { select(&io) };
                let meant: Vec<bool> = (0..4).map(|n| meant[n] && (!local || n / 2 == from)).collect();
                let count = meant.iter().filter(|meant| **meant).count() as u64;
                let what = format!("{name} from {from}, local: {local}");
                assert_eq!(target().count().await.value, count, "{what}");
                let joined = patient("the join", target().join("x").into_future()).await;
                assert_eq!((joined.value, joined.missing), (count, vec![]), "{what}");
                let expected: BTreeSet<String> =
                    (0..4).filter(|n| meant[*n]).map(|n| clients[n].id.clone()).collect();
                // It is done, not only on its way.
                let found: BTreeSet<String> = io.to("x").sockets().await.value.into_iter().collect();
                assert_eq!(found, expected, "{what}");
                assert_eq!(ids(&target().fetch_sockets().page_size(1).await.value), expected, "{what}");
                let left = target().leave("x");
                let here = (0..2).filter(|n| meant[from * 2 + n]).count();
                assert_eq!(left.here(), here, "{what}");
                assert_eq!(patient("the leave", left.into_future()).await.value, count, "{what}");
                assert_eq!(io.to("x").count().await.value, 0, "{what}");
            }
        }
    }
    // Disconnecting by the same words, one after the other until nobody is left.
    let io = nodes[1].server.io();
    assert_eq!(io.to("a").except(zero.as_str()).disconnect(true).await.value, 1);
    assert_eq!(io.to("a").local().disconnect(true).await.value, 0, "it is on the other node");
    assert_eq!(io.to(["a", "b"]).disconnect(false).await.value, 2);
    assert_eq!(io.all().sockets().await.value, [clients[3].id.clone()]);
    clients[0].expect("41").await;
    clients[1].expect("41").await;
    clients[1].closed().await;
    clients[2].expect("41").await;
    for room in ["p", "q"] {
        io.all().join(room).await;
    }
    let closed = nodes[0].server.io().close_room(["p", "q", "none"]).await;
    assert_eq!((closed.value, closed.missing), (2, vec![]));
    assert_eq!(clients[3].call("rooms", "").await, json!([""]));
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_many_were_asked_is_known_before_they_answer() {
    let nodes = cluster(2, handlers).await;
    let mut clients = Vec::new();
    for node in [0, 0, 1] {
        let mut client = Client::connect(nodes[node].addr).await;
        client.call("join", r#""poll""#).await;
        clients.push(client);
    }
    let io = nodes[0].server.io();
    let mut acks = io.to("poll").timeout(PATIENCE * 100).emit_with_ack("vote", ()).unwrap();
    let expected = patient("the number", acks.expected()).await;
    assert_eq!((expected.value, expected.missing), (3, vec![]), "nobody has answered yet");
    let mut questions = Vec::new();
    for client in &mut clients {
        let question = client.text().await;
        questions.push(
            question.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["vote"]"#)).unwrap().to_owned(),
        );
    }
    // One after the other, as a stream, each with its node.
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(&format!("43{}[{n}]", questions[n])).await;
        let answer = patient("an answer", StreamExt::next(&mut acks)).await.unwrap();
        assert_eq!(
            (answer.sid.as_str(), answer.args.json()),
            (client.id.as_str(), format!("[{n}]").as_str())
        );
        let node = if n < 2 { io.node_id() } else { io.nodes()[0] };
        assert_eq!(answer.node, Some(node));
    }
    assert!(patient("the end", StreamExt::next(&mut acks)).await.is_none());

    // Who stays silent costs the time, not the answers of the others.
    let asking = io.to("poll").timeout(Duration::from_millis(300)).emit_with_ack("vote", ()).unwrap();
    let question = clients[2].text().await;
    let id = question.strip_prefix("42").and_then(|rest| rest.strip_suffix(r#"["vote"]"#)).unwrap();
    clients[2].send(&format!("43{id}[2]")).await;
    let gathered = patient("the answers", asking.gather()).await;
    assert_eq!((gathered.answers.len(), gathered.missing, gathered.missing_nodes), (1, 2, vec![]));
    assert_eq!(gathered.answers[0].sid, clients[2].id);
    stop(nodes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_servers_keep_for_themselves_are_refused() {
    let node = TestServer::start(handlers).await;
    let io = node.server.io();
    for name in ["connect", "connection", "new_namespace"] {
        assert!(matches!(io.server_emit(name, ()).result(), Err(sockeye::EmitError::Reserved(_))));
        assert!(matches!(io.server_call(name, (), PATIENCE).await, Err(sockeye::EmitError::Reserved(_))));
    }
    assert!(io.server_emit("other", ()).result().is_ok());
    node.stop().await;
}
