//! Answers in all directions: from a handler to a client, from one client, from all members of a room.
//!
//! ```sh
//! cargo run -p sockeye --example acks
//! ```
//!
//! Try it with two stock JavaScript clients (`npm install socket.io-client`, then `node` twice):
//!
//! ```js
//! const socket = require("socket.io-client")("http://127.0.0.1:3000");
//! socket.on("vote", (question, answer) => answer(true));
//! socket.on("draw?", (from, answer) => answer(false));
//! socket.emit("add", 2, 40, console.log);                 // 42
//! socket.emit("ask", "Shall we?", console.log);           // { yes: 2, no: 0, silent: 0 }
//! socket.emit("offer draw", "<id of the other>", console.log); // declined
//! ```

use std::time::Duration;

use serde::Serialize;
use sockeye::{CallError, Data, EmitError, Io, Server, ServerBuilder, Socket, Spread};
use tokio::{net::TcpListener, signal};

/// What a handler returns is the ack.
async fn add(Spread((a, b)): Spread<(i64, i64)>) -> Result<i64, &'static str> {
    a.checked_add(b).ok_or("too large")
}

/// Asks one client, on whatever node it is.
async fn offer_draw(socket: Socket, Data(opponent): Data<String>) -> String {
    let opponent = socket.io().to(opponent).timeout(Duration::from_secs(30));
    match opponent.call("draw?", socket.id().as_str()).await.map(|answer| answer.first::<bool>()) {
        Ok(Ok(true)) => "accepted".into(),
        Ok(_) => "declined".into(),
        Err(CallError::Timeout(_)) => "no answer".into(),
        Err(error) => error.to_string(),
    }
}

#[derive(Default, Serialize)]
struct Votes {
    yes: usize,
    no: usize,
    silent: usize,
}

/// Asks everyone, on all nodes, and counts what came within a second.
async fn ask(io: Io, Data(question): Data<String>) -> Result<Data<Votes>, EmitError> {
    let mut answers = io.all().timeout(Duration::from_secs(1)).emit_with_ack("vote", &question)?;
    let mut votes = Votes::default();
    while let Some(answer) = answers.next().await {
        match answer.args.first() {
            Ok(true) => votes.yes += 1,
            _ => votes.no += 1,
        }
    }
    votes.silent = answers.asked() - votes.yes - votes.no;
    Ok(Data(votes))
}

pub(crate) fn server() -> ServerBuilder {
    Server::builder().namespace("/", |ns| ns.on("add", add).on("offer draw", offer_draw).on("ask", ask))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = server().build().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on {}", listener.local_addr()?);
    server.serve(listener, async { signal::ctrl_c().await.unwrap_or(()) }).await;
    Ok(())
}
