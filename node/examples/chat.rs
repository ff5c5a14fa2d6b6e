//! A chat: who one is comes with the auth object, rooms are joined and left, every message is confirmed.
//!
//! ```sh
//! cargo run -p sockeye --example chat
//! ```
//!
//! Try it with two stock JavaScript clients (`npm install socket.io-client`, then `node` twice):
//!
//! ```js
//! const socket = require("socket.io-client")("http://127.0.0.1:3000", { auth: { name: "Ada" } });
//! socket.onAny(console.log);
//! socket.emit("join", "lobby", console.log);         // { members: 1 }
//! socket.emit("say", "lobby", "hello", console.log); // { reached: 0 }, as long as one is alone
//! ```

use serde::{Deserialize, Serialize};
use sockeye::{Auth, Data, DisconnectReason, Server, ServerBuilder, Socket, Spread};
use tokio::{net::TcpListener, signal};

/// What clients send when they connect: `io(url, { auth: { name: "Ada" } })`.
#[derive(Deserialize)]
struct Hello {
    name: String,
}

/// Who a socket is, kept with it.
struct Person {
    name: String,
}

#[derive(Serialize)]
struct Joined {
    members: u64,
}

#[derive(Serialize)]
struct Said {
    reached: u64,
}

async fn connect(socket: Socket, Auth(hello): Auth<Hello>) -> Result<(), &'static str> {
    if hello.name.is_empty() || hello.name.len() > 32 {
        return Err("a name has 1 to 32 characters");
    }
    socket.save_session(Person { name: hello.name });
    Ok(())
}

async fn join(socket: Socket, Data(room): Data<String>) -> Data<Joined> {
    socket.join(&room);
    socket.to(&room).emit("joined", (&room, name(&socket)));
    Data(Joined { members: socket.io().to(&room).count().await.value })
}

async fn leave(socket: Socket, Data(room): Data<String>) {
    socket.leave(&room);
    socket.to(&room).emit("left", (&room, name(&socket)));
}

async fn say(
    socket: Socket,
    Spread((room, text)): Spread<(String, String)>,
) -> Result<Data<Said>, &'static str> {
    if !socket.rooms().iter().any(|joined| **joined == *room) {
        return Err("not in this room");
    }
    socket.to(&room).emit("said", (&room, name(&socket), &text));
    Ok(Data(Said { reached: socket.to(&room).count().await.value }))
}

async fn disconnect(socket: Socket, reason: DisconnectReason) {
    for room in socket.rooms() {
        socket.to(&room).emit("left", (&*room, name(&socket), reason.as_str()));
    }
}

fn name(socket: &Socket) -> String {
    socket.session::<Person>().map(|person| person.name.clone()).unwrap_or_default()
}

pub(crate) fn server() -> ServerBuilder {
    Server::builder().namespace("/", |ns| {
        ns.on_connect(connect).on("join", join).on("leave", leave).on("say", say).on_disconnect(disconnect)
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = server().build().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on {}", listener.local_addr()?);
    server.serve(listener, async { signal::ctrl_c().await.unwrap_or(()) }).await;
    Ok(())
}
