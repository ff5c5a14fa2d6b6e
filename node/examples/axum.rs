//! Inside an axum application: a page, an API that emits, and Socket.IO, on one port.
//!
//! ```sh
//! cargo run -p sockeye --example axum
//! ```
//!
//! Open <http://127.0.0.1:3000/>, and emit from outside:
//!
//! ```sh
//! curl -X POST http://127.0.0.1:3000/orders/7 -H 'content-type: application/json' -d '{"status": "shipped"}'
//! ```

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    extract::{Path, State as AxumState},
    response::Html,
    routing::{get, post},
};
use sockeye::{BuildError, Data, Io, Server, Socket, State};
use tokio::{net::TcpListener, signal};

const PAGE: &str = r#"<!doctype html>
<script src="https://cdn.socket.io/4.8.1/socket.io.min.js"></script>
<script>
  const socket = io();
  socket.on("connect", () => socket.emit("watch", 7));
  socket.on("order", (order, change) => document.body.append(`order ${order}: ${change.status} `));
</script>
<body></body>"#;

/// What the routes and the handlers share.
#[derive(Clone, Default)]
struct Shop {
    changes: Arc<AtomicU64>,
}

/// Axum's state: the shop, and the way to the clients.
#[derive(Clone)]
struct App {
    shop: Shop,
    io: Io,
}

async fn change_order(
    AxumState(app): AxumState<App>,
    Path(order): Path<u64>,
    Json(change): Json<serde_json::Value>,
) -> String {
    app.shop.changes.fetch_add(1, Ordering::Relaxed);
    let sent = app.io.to(format!("order {order}")).emit("order", (order, change));
    format!("{} clients of this node heard it\n", sent.reached())
}

pub(crate) async fn application() -> Result<(Server, Router), BuildError> {
    let shop = Shop::default();
    let server = Server::builder()
        .state(shop.clone())
        .namespace("/", |ns| {
            ns.on("watch", async |socket: Socket, Data(order): Data<u64>| {
                socket.join(format!("order {order}"));
            })
            .on("changes", async |State(shop): State<Shop>| shop.changes.load(Ordering::Relaxed))
        })
        .build()
        .await?;
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route("/orders/{order}", post(change_order))
        .with_state(App { shop, io: server.io() })
        .route_service("/socket.io/", server.service());
    Ok((server, router))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (server, router) = application().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on {}", listener.local_addr()?);
    let ending = server.clone();
    axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move {
            signal::ctrl_c().await.unwrap_or(());
            ending.shutdown().await; // closes the connections that axum would wait for
        })
        .await?;
    Ok(())
}
