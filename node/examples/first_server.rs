//! The smallest server that does something: it greets, answers, and tells everyone what one says.
//!
//! ```sh
//! cargo run -p sockeye --example first_server
//! ```
//!
//! Try it with the stock JavaScript client (`npm install socket.io-client`, then `node`):
//!
//! ```js
//! const socket = require("socket.io-client")("http://127.0.0.1:3000");
//! socket.onAny(console.log);
//! socket.emit("hello", "Ada", console.log); // Hello Ada!
//! socket.emit("shout", "it works");
//! ```

use sockeye::{Data, DisconnectReason, Server, ServerBuilder, Socket};
use tokio::{net::TcpListener, signal};

pub(crate) fn server() -> ServerBuilder {
    Server::builder().namespace("/", |ns| {
        ns.on_connect(async |socket: Socket| {
            socket.emit("welcome", socket.id().as_str());
        })
        .on("hello", async |Data(name): Data<String>| format!("Hello {name}!"))
        .on("shout", async |socket: Socket, Data(text): Data<String>| {
            socket.io().emit("shouted", (socket.id().as_str(), text.to_uppercase()));
        })
        .on_disconnect(async |socket: Socket, reason: DisconnectReason| {
            println!("{} is gone: {reason}", socket.id());
        })
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
