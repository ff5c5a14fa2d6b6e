//! One node of several: a bus, a shared secret, an address for operators, and an end that clients hardly notice.
//!
//! ```sh
//! redis-server --save '' &
//! export BUS=redis://127.0.0.1:6379 SECRET=$(openssl rand -hex 32)
//! LISTEN=127.0.0.1:3000 ADMIN=127.0.0.1:9000 cargo run -p sockeye --example cluster &
//! LISTEN=127.0.0.1:3001 ADMIN=127.0.0.1:9001 cargo run -p sockeye --example cluster &
//! curl http://127.0.0.1:9000/readyz
//! ```
//!
//! Try it with a stock JavaScript client on each node (`npm install socket.io-client`, then `node` twice):
//!
//! ```js
//! const socket = require("socket.io-client")("http://127.0.0.1:3001", { transports: ["websocket"] });
//! socket.onAny(console.log);
//! socket.emit("say", "hello from the other node", console.log);
//! ```

use std::env;

use sockeye::{Data, Io, Server, ServerBuilder};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

pub(crate) fn server(bus: &str, secret: &str) -> ServerBuilder {
    Server::builder().bus(bus).secret(secret).namespace("/", |ns| {
        ns.on("say", async |io: Io, Data(text): Data<String>| {
            io.emit("said", (io.node_name(), text));
            io.all().count().await.value // how many are connected, to all nodes
        })
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let setting = |name: &str| env::var(name).map_err(|_| format!("{name} is not set"));
    let server = server(&setting("BUS")?, &setting("SECRET")?).build().await?;
    let listener = TcpListener::bind(setting("LISTEN")?).await?;

    let admin = TcpListener::bind(setting("ADMIN")?).await?;
    let routes = server.admin_routes(false); // /healthz, /readyz, /metrics
    tokio::spawn(async move { axum::serve(admin, routes).await });

    let mut terminate = signal(SignalKind::terminate())?;
    server
        .serve(listener, async move {
            terminate.recv().await;
        })
        .await;
    Ok(())
}
