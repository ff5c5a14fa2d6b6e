//! The ids that old clients take for theirs are theirs, on every node.

use serde_json::json;
use sockeye::{Args, Data, Io, NamespaceBuilder, RoomName, Socket};
use tokio::net::TcpStream;

use crate::support::{Client, TestServer, cluster};

fn app(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on("tell", async |io: Io, Data(to): Data<String>, socket: Socket| {
        io.to(to).emit("told", "x");
        // What was told on this node is told before the answer.
        socket.emit("done", ());
    })
    .on("call", async |io: Io, Data(to): Data<String>| {
        let answer = io.to(to).call("question", 1).await;
        answer.map(|args: Args| args.json().to_owned()).unwrap_or_else(|error| error.to_string())
    })
    .on("kick", async |io: Io, Data(to): Data<String>| drop(io.to(to).disconnect(false)))
    .on("move", async |io: Io, Data((to, room)): Data<(String, String)>| drop(io.to(to).join(room)))
    .on("sockets", async |io: Io, Data(room): Data<String>| {
        let mut sockets = io.to(room).sockets().await.value;
        sockets.sort();
        sockets
    })
    .on("rooms", async |socket: Socket| {
        let own = socket.id();
        let rooms = socket.rooms();
        let mut others: Vec<RoomName> = rooms.into_iter().filter(|room| **room != *own.as_str()).collect();
        others.sort();
        (own.to_string(), others)
    })
    .on("broadcast", async |socket: Socket| {
        socket.broadcast().emit("told", "all");
    })
}

async fn open(node: &TestServer, namespace: &str) -> (Client, String) {
    let stream = TcpStream::connect(node.addr).await.unwrap();
    let mut client = Client::handshake(stream, "EIO=3&transport=websocket", &[]).await.unwrap();
    client.shows_pings = true;
    client.read_open().await;
    client.expect("40").await;
    let sid = client.sid().to_owned();
    if namespace == "/" {
        return (client, sid);
    }
    client.send(&format!("40{namespace},")).await;
    client.expect(&format!("40{namespace},")).await;
    (client, format!("{namespace}#{sid}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn they_are_reached_by_them_from_every_node() {
    let nodes =
        cluster(2, |server| server.allow_eio3(true).namespace("/", app).namespace("/chat", app)).await;
    for namespace in ["/", "/chat"] {
        let (mut old, id) = open(&nodes[0], namespace).await;
        let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
        let mut asking = Client::open(nodes[1].addr).await;
        asking.join(namespace, "").await;
        asking.send(&format!(r#"42{prefix}["tell","{id}"]"#)).await;
        asking.expect(&format!(r#"42{prefix}["done"]"#)).await;
        old.expect(&format!(r#"42{prefix}["told","x"]"#)).await;
        asking.send(&format!(r#"42{prefix}1["call","{id}"]"#)).await;
        old.expect(&format!(r#"42{prefix}1["question",1]"#)).await;
        old.send(&format!(r#"43{prefix}1["yes"]"#)).await;
        asking.expect(&format!(r#"43{prefix}1["[\"yes\"]"]"#)).await;
        asking.send(&format!(r#"42{prefix}2["move",["{id}","moved"]]"#)).await;
        asking.expect(&format!("43{prefix}2[]")).await;
        asking.send(&format!(r#"42{prefix}3["sockets","moved"]"#)).await;
        asking.expect(&format!(r#"43{prefix}3[["{id}"]]"#)).await;
        // Its own room is not among the others, whatever it is called.
        old.send(&format!(r#"42{prefix}1["rooms"]"#)).await;
        let answer = old.text().await;
        let answer: serde_json::Value =
            serde_json::from_str(answer.strip_prefix(&format!("43{prefix}1")).unwrap()).unwrap();
        assert_eq!(answer, json!([id, ["moved"]]));
        // A broadcast leaves out who sends it.
        old.send(&format!(r#"42{prefix}["broadcast"]"#)).await;
        asking.expect(&format!(r#"42{prefix}["told","all"]"#)).await;
        asking.send(&format!(r#"42{prefix}4["kick","{id}"]"#)).await;
        asking.expect(&format!("43{prefix}4[]")).await;
        old.expect(&format!("41{prefix}")).await;
        // Disconnected by the server, it may join again, and has the same id.
        old.send(&format!("40{prefix}")).await;
        old.expect(&format!("40{prefix}")).await;
        asking.send(&format!(r#"42{prefix}["tell","{id}"]"#)).await;
        old.expect(&format!(r#"42{prefix}["told","x"]"#)).await;
        assert!(nodes[0].server.io().of(namespace).unwrap().socket(&id).is_some());
    }
    for node in nodes {
        node.stop().await;
    }
}

/// Clients of Socket.IO 1.x take the session's id for theirs in every namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sessions_id_will_do_in_every_namespace() {
    let nodes = cluster(2, |server| server.allow_eio3(true).namespace("/chat", app)).await;
    let (mut old, id) = open(&nodes[0], "/chat").await;
    let bare = id.strip_prefix("/chat#").unwrap();
    let (mut other, _) = open(&nodes[1], "/chat").await;
    other.send(&format!(r#"42/chat,["tell","{bare}"]"#)).await;
    other.expect(r#"42/chat,["done"]"#).await;
    old.expect(r#"42/chat,["told","x"]"#).await;
    // Another namespace's id is nobody's here.
    other.send(&format!(r#"42/chat,["tell","/news#{bare}"]"#)).await;
    other.expect(r#"42/chat,["done"]"#).await;
    other.send(&format!(r#"42/chat,["tell","{id}"]"#)).await;
    old.expect(r#"42/chat,["told","x"]"#).await;
    old.send(r#"42/chat,1["rooms"]"#).await;
    old.expect(&format!(r#"43/chat,1["{id}",[]]"#)).await;
    for node in nodes {
        node.stop().await;
    }
}
