//! The node's own accept loop: HTTP/1 with bounds on what a client may take, and a clean end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower_service::Service;

use super::{endpoint, handle, head::Arrival};
use crate::engine::Engine;

/// Accepts connections until `stop` turns true, then lets requests under way end.
pub(crate) async fn run(
    engine: Arc<Engine>,
    listener: TcpListener,
    app: Option<Router>,
    stop: watch::Receiver<bool>,
) {
    let mut stopped = stop.clone();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stop| *stop) => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                engine.spawn(serve(engine.clone(), stream, peer, app.clone(), stop.clone()));
            }
            Err(error) if is_passing(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: a pause lets some connections end.
                engine.metrics.limit_rejected("accept");
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}

async fn serve(
    engine: Arc<Engine>,
    stream: TcpStream,
    peer: SocketAddr,
    app: Option<Router>,
    mut stop: watch::Receiver<bool>,
) {
    let timeout = engine.config.request_timeout;
    let service = service_fn(move |request| {
        let (engine, app) = (engine.clone(), app.clone());
        async move { Ok::<_, std::convert::Infallible>(dispatch(&engine, request, peer, app).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // The guard that `wait_for` returns must not live over the await below.
    let stopped = async { drop(stop.wait_for(|stop| *stop).await) };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

async fn dispatch(
    engine: &Arc<Engine>,
    mut request: Request<Incoming>,
    peer: SocketAddr,
    app: Option<Router>,
) -> Response<Body> {
    if let Some(endpoint) = endpoint(engine, request.uri().path()) {
        return handle(engine, endpoint, request, Arrival { peer: Some(peer), tls: false, own: true }).await;
    }
    match app {
        Some(mut app) => {
            request.extensions_mut().insert(ConnectInfo(peer));
            match app.call(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        None => not_found(),
    }
}

pub(crate) fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("Not Found"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}
