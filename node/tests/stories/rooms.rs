//! Rooms of one node: who is in them, who hears what, and what is left at the end.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;
use sockeye::{Data, DisconnectReason, NamespaceBuilder, RoomName, Socket, Spread, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Log, Polling, TestServer, log};

/// The rooms of a socket, sorted, its own written as `*`.
fn rooms(socket: &Socket) -> String {
    let own = RoomName::from(socket.id().as_str());
    let mut rooms: Vec<String> = socket
        .rooms()
        .iter()
        .map(|room| if *room == own { "*".to_owned() } else { room.to_string() })
        .collect();
    rooms.sort();
    rooms.join(" ")
}

fn handlers(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on("join", async |socket: Socket, Spread(names): Spread<Vec<String>>| {
        socket.join(names);
        rooms(&socket)
    })
    .on("leave", async |socket: Socket, Spread(names): Spread<Vec<String>>| {
        socket.leave(names);
        rooms(&socket)
    })
    .on("rooms", async |socket: Socket| rooms(&socket))
    .on("to-others", async |socket: Socket, Data(room): Data<String>| {
        socket.to(room).emit("from", socket.id().as_str()).reached()
    })
    .on("broadcast", async |socket: Socket| socket.broadcast().emit("broadcast", ()).reached())
    .on("sync", async || ())
}

async fn start() -> TestServer {
    TestServer::start(|server| server.namespace("/", handlers)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_joins_and_leaves() {
    let node = start().await;
    let mut client = Client::connect(node.addr).await;
    assert_eq!(client.call("rooms", "").await, json!(["*"]));
    assert_eq!(client.call("join", r#""a""#).await, json!(["* a"]));
    assert_eq!(client.call("join", r#""b","c","a""#).await, json!(["* a b c"]));
    assert_eq!(client.call("join", "").await, json!(["* a b c"]));
    assert_eq!(client.call("leave", r#""b","never in it""#).await, json!(["* a c"]));
    assert_eq!(client.call("leave", r#""a","c""#).await, json!(["*"]));
    assert_eq!(node.metric(r#"sockeye_rooms{nsp="/"}"#), 0.0);
    let io = node.server.io();
    assert_eq!(io.to("a").emit("nobody", ()).reached(), 0);
    client.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_own_room_is_left_and_joined_by_others_like_any_other() {
    let node = start().await;
    let (mut a, mut b) = (Client::connect(node.addr).await, Client::connect(node.addr).await);
    let io = node.server.io();
    let own = a.id.clone();
    assert_eq!(io.to(&own).emit("one", 1).reached(), 1);
    a.expect(r#"42["one",1]"#).await;
    // Another enters it.
    assert_eq!(b.call("join", &format!("{own:?}")).await, json!([format!("* {own}")]));
    assert_eq!(io.to(&own).emit("two", 2).reached(), 2);
    a.expect(r#"42["two",2]"#).await;
    b.expect(r#"42["two",2]"#).await;
    // Its owner leaves it: what is sent there goes to the guest alone.
    assert_eq!(a.call("leave", &format!("{own:?}")).await, json!([""]));
    assert_eq!(io.to(&own).emit("three", 3).reached(), 1);
    b.expect(r#"42["three",3]"#).await;
    assert_eq!(io.to(&own).sockets().await.value, [b.id.clone()]);
    a.sync().await;
    // The owner can still be reached as a socket, and comes back.
    io.socket(&own).unwrap().emit("direct", ());
    a.expect(r#"42["direct"]"#).await;
    assert_eq!(a.call("join", &format!("{own:?}")).await, json!(["*"]));
    assert_eq!(io.to(&own).count().await.value, 2);
    // The guest stays when the owner is gone.
    a.send("41").await;
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 1.0).await;
    assert_eq!(io.to(&own).emit("four", 4).reached(), 1);
    b.expect(r#"42["four",4]"#).await;
    // A room is emptied by closing it, the own one as well.
    io.close_room(&own);
    assert_eq!(b.call("rooms", "").await, json!(["*"]));
    io.close_room(b.id.as_str());
    assert_eq!(b.call("rooms", "").await, json!([""]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broadcast_reaches_everyone_who_is_meant_once() {
    let node = start().await;
    let io = node.server.io();
    let mut clients = BTreeMap::new();
    for (name, joins) in
        [("none", ""), ("a", r#""a""#), ("b", r#""b""#), ("ab", r#""a","b""#), ("abc", r#""a","b","c""#)]
    {
        let mut client = Client::connect(node.addr).await;
        client.call("join", joins).await;
        clients.insert(name, client);
    }
    let mut polling = Polling::connect(node.addr).await;
    polling.send(r#"42["join","a","c"]"#).await;
    // Rooms to send to, rooms to leave out, and who hears it; `*name` is the room of that client's id.
    let stories: [(&[&str], &[&str], &[&str]); 11] = [
        (&[], &[], &["none", "a", "b", "ab", "abc", "polling"]),
        (&["a"], &[], &["a", "ab", "abc", "polling"]),
        (&["a", "b"], &[], &["a", "b", "ab", "abc", "polling"]),
        (&["a", "b", "c", "a"], &[], &["a", "b", "ab", "abc", "polling"]),
        (&[], &["a"], &["none", "b"]),
        (&[], &["a", "b", "nobody"], &["none"]),
        (&["a"], &["b"], &["a", "polling"]),
        (&["a", "b"], &["c"], &["a", "b", "ab"]),
        (&["a", "*none"], &["*ab", "*polling"], &["none", "a", "abc"]),
        (&["*a", "*b", "a"], &["*a"], &["b", "ab", "abc", "polling"]),
        (&["nobody"], &[], &[]),
    ];
    let id = |name: &str, clients: &BTreeMap<&str, Client>, polling: &Polling| match name.strip_prefix('*') {
        Some("polling") => polling.id.clone(),
        Some(client) => clients[client].id.clone(),
        None => name.to_owned(),
    };
    for (number, (to, except, heard)) in stories.into_iter().enumerate() {
        let to: Vec<String> = to.iter().map(|name| id(name, &clients, &polling)).collect();
        let except: Vec<String> = except.iter().map(|name| id(name, &clients, &polling)).collect();
        let target = if to.is_empty() { io.all() } else { io.to(to) };
        let target = target.except(except);
        assert_eq!(target.clone().count().await.value, heard.len() as u64, "story {number}");
        let mut sockets = target.clone().sockets().await.value;
        sockets.sort();
        let mut expected: Vec<String> =
            heard.iter().map(|name| id(&format!("*{name}"), &clients, &polling)).collect();
        expected.sort();
        assert_eq!(sockets, expected, "story {number}");
        assert_eq!(target.emit("story", number).await.unwrap(), heard.len());
        for (name, client) in &mut clients {
            if heard.contains(name) {
                client.expect(&format!(r#"42["story",{number}]"#)).await;
            }
            client.sync().await;
        }
        if heard.contains(&"polling") {
            polling.expect(&format!(r#"42["story",{number}]"#)).await;
        }
    }
    polling.send(r#"420["sync"]"#).await;
    polling.expect("430[]").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_list_of_rooms_means_nobody() {
    let node = start().await;
    let mut client = Client::connect(node.addr).await;
    let nobody = || node.server.io().to(Vec::<String>::new());
    assert_eq!(nobody().emit("oops", ()).reached(), 0);
    nobody().disconnect(true);
    nobody().join("trap");
    nobody().leave(client.id.as_str());
    assert_eq!((nobody().count().await.value, nobody().sockets().await.value.len()), (0, 0));
    assert_eq!(client.call("rooms", "").await, json!(["*"]));
    // An empty list of exceptions leaves nobody out.
    assert_eq!(node.server.io().except(Vec::<String>::new()).emit("all", ()).reached(), 1);
    client.expect(r#"42["all"]"#).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_sends_to_others_and_not_to_itself() {
    let node = start().await;
    let (mut a, mut b, mut c) = (
        Client::connect(node.addr).await,
        Client::connect(node.addr).await,
        Client::connect(node.addr).await,
    );
    a.call("join", r#""room""#).await;
    b.call("join", r#""room""#).await;
    assert_eq!(a.call("to-others", r#""room""#).await, json!([1]));
    b.expect(&format!(r#"42["from","{}"]"#, a.id)).await;
    assert_eq!(a.call("to-others", &format!("{:?}", c.id)).await, json!([1]));
    c.expect(&format!(r#"42["from","{}"]"#, a.id)).await;
    assert_eq!(a.call("broadcast", "").await, json!([2]));
    b.expect(r#"42["broadcast"]"#).await;
    c.expect(r#"42["broadcast"]"#).await;
    a.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_moves_and_removes_many_at_once() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            handlers(ns)
                .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        })
    })
    .await;
    let io = node.server.io();
    let mut clients = Vec::new();
    for n in 0..6 {
        let mut client = Client::connect(node.addr).await;
        client.call("join", if n % 2 == 0 { r#""even""# } else { r#""odd""# }).await;
        clients.push(client);
    }
    io.to("even").except(clients[0].id.as_str()).join(["x", "y"]);
    assert_eq!(clients[0].call("rooms", "").await, json!(["* even"]));
    assert_eq!(clients[2].call("rooms", "").await, json!(["* even x y"]));
    io.all().leave(["even", "odd"]);
    assert_eq!(clients[1].call("rooms", "").await, json!(["*"]));
    assert_eq!(clients[4].call("rooms", "").await, json!(["* x y"]));
    io.close_room(["x"]);
    assert_eq!(clients[4].call("rooms", "").await, json!(["* y"]));
    io.to("y").disconnect(false);
    for n in [2, 4] {
        clients[n].expect("41").await;
        lines.expect("server namespace disconnect").await;
        // The connection is still there.
        clients[n].join("/", "").await;
    }
    io.to(clients[5].id.as_str()).disconnect(true);
    clients[5].expect("41").await;
    clients[5].closed().await;
    lines.expect("server namespace disconnect").await;
    lines.is_empty();
    assert_eq!(io.all().count().await.value, 5);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_and_session_can_be_read_in_the_disconnect_handler() {
    #[derive(Debug)]
    struct Visits(u32);
    struct Name(String);
    let (log, mut lines) = log();
    let gate = Arc::new(Semaphore::new(0));
    let node = TestServer::start(|server| {
        server.state(log).state(gate.clone()).namespace("/", |ns| {
            ns.on_connect(async |socket: Socket| {
                socket.save_session(Visits(1));
                socket.join(["lobby", "news"]);
            })
            .on("name", async |socket: Socket, Data(name): Data<String>| {
                let visits = socket.session::<Visits>().map_or(0, |visits| visits.0);
                socket.save_session(Name(name));
                socket.save_session(Visits(visits + 1));
                socket.session::<Name>().is_some()
            })
            .on_disconnect(
                async |socket: Socket,
                       State(log): State<Log>,
                       State(gate): State<Arc<Semaphore>>,
                       reason: DisconnectReason| {
                    gate.acquire().await.unwrap().forget();
                    let name = socket.session::<Name>().map(|name| name.0.clone());
                    let visits = socket.session::<Visits>();
                    log.note(format!("{reason}: {name:?} {visits:?} in {}", rooms(&socket)));
                    assert!(!socket.is_connected());
                    // None of this is of use any more, and none of it does harm.
                    socket.join("late");
                    socket.emit("late", ());
                    socket.disconnect(true);
                    log.note(rooms(&socket));
                },
            )
            .on("sync", async || ())
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    assert_eq!(client.call("name", r#""Ada""#).await, json!([true]));
    let handle = node.server.io().socket(&client.id).unwrap();
    client.vanish();
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 0.0).await;
    // Others no longer find it, whatever the handler waits for.
    assert_eq!(node.server.io().to(["lobby", "news"]).emit("x", ()).reached(), 0);
    assert!(node.server.io().socket(handle.id().as_str()).is_none());
    assert_eq!(handle.emit("x", ()).reached(), 0);
    gate.add_permits(1);
    lines.expect(r#"transport close: Some("Ada") Some(Visits(2)) in * lobby news"#).await;
    lines.expect("* lobby news").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_one_sender_arrive_in_order_whatever_room_they_go_to() {
    let node = start().await;
    let mut client = Client::connect(node.addr).await;
    let mut polling = Polling::connect(node.addr).await;
    client.call("join", r#""a","b""#).await;
    polling.send(r#"42["join","a","b"]"#).await;
    let io = node.server.io();
    let id = client.id.clone();
    for n in 0..1_000 {
        match n % 4 {
            0 => io.to("a").emit("n", n),
            1 => io.emit("n", n),
            2 => io.to(["b", "a"]).emit("n", n),
            _ => io.to([&id, &polling.id]).emit("n", n),
        };
    }
    for n in 0..1_000 {
        client.expect(&format!(r#"42["n",{n}]"#)).await;
        polling.expect(&format!(r#"42["n",{n}]"#)).await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_of_many_is_left_by_all_of_them() {
    let node = start().await;
    let mut clients = Vec::new();
    for n in 0..100 {
        let mut client = Client::connect(node.addr).await;
        client.call("join", &format!(r#""all","tenth {}""#, n / 10)).await;
        clients.push(client);
    }
    let io = node.server.io();
    assert_eq!(io.to("all").count().await.value, 100);
    assert_eq!(io.to(["tenth 0", "tenth 9"]).except("tenth 9").emit("x", ()).reached(), 10);
    clients.truncate(50);
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 50.0).await;
    assert_eq!(io.to("all").emit("y", ()).reached(), 50);
    assert_eq!(io.to("tenth 7").count().await.value, 0);
    drop(clients);
    node.metric_is(r#"sockeye_sockets{nsp="/"}"#, 0.0).await;
    assert_eq!(node.metric(r#"sockeye_rooms{nsp="/"}"#), 0.0);
    node.stop().await;
}
