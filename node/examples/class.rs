//! A class-based namespace: a game whose methods are the handlers, with middlewares before them and a task beside them.
//!
//! ```sh
//! cargo run -p sockeye --example class
//! ```
//!
//! Try it with two stock JavaScript clients (`npm install socket.io-client`, then `node` twice):
//!
//! ```js
//! const socket = require("socket.io-client")("http://127.0.0.1:3000/guess", { auth: { name: "Ada" } });
//! socket.onAny(console.log);
//! socket.emit("guess", 50, console.log); // higher, lower, or correct
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::Deserialize;
use sockeye::{
    Args, Auth, Call, Class, ConnectRefused, Data, DisconnectReason, EventRefused, Io, NamespaceClass,
    Server, ServerBuilder, Socket,
};
use tokio::{net::TcpListener, signal, time};

/// One instance serves all players.
pub(crate) struct Guess {
    secret: u32,
    guesses: AtomicU64,
}

/// What clients send when they connect.
#[derive(Deserialize)]
struct Hello {
    name: String,
}

/// What is kept with a player's socket.
#[derive(Clone, Default)]
struct Player {
    name: String,
    tries: u32,
}

impl Guess {
    pub(crate) fn new(secret: u32) -> Self {
        Self { secret, guesses: AtomicU64::new(0) }
    }

    async fn connect(
        self: Arc<Self>,
        socket: Socket,
        Auth(hello): Auth<Hello>,
    ) -> Result<(), ConnectRefused> {
        if hello.name.is_empty() {
            return Err(ConnectRefused::new("who are you?"));
        }
        socket.save_session(Player { name: hello.name, tries: 0 });
        Ok(())
    }

    /// A middleware: every event passes it before its handler.
    async fn three_tries(self: Arc<Self>, socket: Socket) -> Result<(), EventRefused> {
        match socket.session::<Player>() {
            Some(player) if player.tries < 3 => Ok(()),
            _ => Err(EventRefused::new("no tries left").ack("game over")),
        }
    }

    async fn guess(self: Arc<Self>, socket: Socket, Data(number): Data<u32>) -> &'static str {
        self.guesses.fetch_add(1, Ordering::Relaxed);
        let name = socket.update_session(|player: &mut Player| {
            player.tries += 1;
            player.name.clone()
        });
        match number.cmp(&self.secret) {
            std::cmp::Ordering::Less => "higher",
            std::cmp::Ordering::Greater => "lower",
            std::cmp::Ordering::Equal => {
                socket.broadcast().emit("won", name);
                "correct"
            }
        }
    }

    async fn disconnect(self: Arc<Self>, socket: Socket, reason: DisconnectReason) {
        socket.broadcast().emit("left", reason.as_str());
    }
}

impl NamespaceClass for Guess {
    fn handlers(class: Class<Self>) -> Class<Self> {
        class
            .on_connect(Self::connect)
            .use_event(Self::three_tries)
            .on("guess", Self::guess)
            .on_disconnect(Self::disconnect)
    }

    /// Called when the namespace begins. The task ends with the server.
    fn start(self: Arc<Self>, io: Io) {
        io.clone().spawn(async move {
            loop {
                tokio::select! {
                    () = time::sleep(Duration::from_secs(60)) => {
                        io.emit("guesses", self.guesses.load(Ordering::Relaxed));
                    }
                    () = io.shutting_down() => return,
                }
            }
        });
    }

    /// Every call goes through here.
    async fn dispatch(self: Arc<Self>, call: Call) {
        println!("{:?} of {}", call.kind(), call.socket().id());
        call.run().await;
    }
}

pub(crate) fn server(game: Guess) -> ServerBuilder {
    Server::builder().namespace("/guess", |ns| {
        ns.class(game)
            .on("ping", async || "pong") // beside the class; it would win over a method of this event
            .on_any(|socket: &Socket, event: &str, _: &Args| println!("{} sent {event}", socket.id()))
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = server(Guess::new(42)).build().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on {}", listener.local_addr()?);
    server.serve(listener, async { signal::ctrl_c().await.unwrap_or(()) }).await;
    Ok(())
}
