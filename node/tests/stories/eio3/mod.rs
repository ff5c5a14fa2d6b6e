//! Clients of Engine.IO 3: Socket.IO 1.x and 2.x.

mod ids;
mod jsonp;
mod polling;
mod websocket;

use serde_json::Value;
use sockeye::{Args, Auth, ConnectRefused, Data, DisconnectReason, Io, NamespaceBuilder, Socket, State};
use tokio::net::TcpStream;

use crate::support::{Client, Lines, Log, TestServer, log};

/// A server that takes old clients.
async fn start() -> (TestServer, Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        server
            .state(log)
            .allow_eio3(true)
            .max_payload(10_000)
            .namespace("/", chat)
            .namespace("/chat", chat)
            .namespace("/closed", |ns| {
                ns.on_connect(async |Auth(auth): Auth<Value>| match auth["why"].as_str() {
                    Some("data") => Err(ConnectRefused::new("no").data(&serde_json::json!({"code": 9}))),
                    Some("quote") => Err(ConnectRefused::new("say \"no\"")),
                    _ => Err(ConnectRefused::default()),
                })
            })
    })
    .await;
    (node, lines)
}

fn chat(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on_connect(async |socket: Socket, Auth(auth): Auth<Value>| {
        if auth["deny"].as_str().is_some() {
            return Err(ConnectRefused::new("denied").data(&serde_json::json!({"code": 9})));
        }
        if auth["tell"].as_str().is_some() {
            socket.emit("auth", &auth);
        }
        Ok(())
    })
    .on("echo", async |socket: Socket, args: Args| {
        socket.emit("echo", args);
    })
    .on("ack", async |args: Args| args)
    .on("id", async |socket: Socket| socket.id().to_string())
    .on("protocol", async |socket: Socket| socket.protocol().as_str())
    .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room))
    .on("tell", async |io: Io, Data(to): Data<String>| {
        io.to(to).emit("told", "é");
    })
    .on("kick", async |socket: Socket, Data(close): Data<bool>| socket.disconnect(close))
    .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
}

/// A WebSocket, with whatever is in its query besides the version and the transport; `40` was read.
async fn websocket(node: &TestServer, query: &str) -> Client {
    let mut client = opened(node, query).await;
    client.expect("40").await;
    client
}

/// The same before `40` was read.
async fn opened(node: &TestServer, query: &str) -> Client {
    let stream = TcpStream::connect(node.addr).await.unwrap();
    let query = format!("EIO=3&transport=websocket{query}");
    let mut client = Client::handshake(stream, &query, &[]).await.unwrap();
    client.shows_pings = true;
    client.read_open().await;
    client
}
