//! What operators ask a node: does it live, should it get traffic, what does it count.

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use serde::Serialize;
use sockeye_proto::id::NodeId;

use crate::server::Server;

/// What the endpoints look at.
#[derive(Clone, Debug)]
struct Admin {
    server: Server,
    require_bus: bool,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Readiness {
    /// `ready`; `degraded`: clients of this node only reach each other; `draining`: the node is ending.
    state: &'static str,
    node: NodeId,
    name: String,
    bus_connected: bool,
    /// The other nodes that are alive.
    peers: Vec<NodeId>,
}

/// `/healthz`, `/readyz` and `/metrics`.
pub(crate) fn router(server: Server, require_bus: bool) -> Router {
    Router::new()
        .route("/healthz", get(async || uncached("ok")))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(Admin { server, require_bus })
}

async fn readiness(State(admin): State<Admin>) -> impl IntoResponse {
    let io = admin.server.io();
    let bus_connected = io.is_bus_connected();
    let (state, status) = match (admin.server.is_draining(), bus_connected) {
        (true, _) => ("draining", StatusCode::SERVICE_UNAVAILABLE),
        (false, false) if admin.require_bus => ("degraded", StatusCode::SERVICE_UNAVAILABLE),
        (false, false) => ("degraded", StatusCode::OK),
        (false, true) => ("ready", StatusCode::OK),
    };
    let mut peers = io.nodes();
    peers.sort();
    let readiness =
        Readiness { state, node: io.node_id(), name: io.node_name().to_owned(), bus_connected, peers };
    (status, uncached(Json(readiness)))
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], uncached(admin.server.metrics()))
}

fn uncached(body: impl IntoResponse) -> impl IntoResponse {
    ([(header::CACHE_CONTROL, "no-store")], body)
}
