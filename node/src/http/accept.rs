//! The node's own accept loop: HTTP/1 with bounds on what a client may take, and a clean end.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use axum::{Router, body::Body, extract::ConnectInfo};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tower_service::Service;

use super::{endpoint, handle, head::Arrival, proxy_protocol};
use crate::engine::Engine;

/// How long a finished answer may take to leave when the server ends.
const LAST_WORD: Duration = Duration::from_secs(1);

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
    mut stream: TcpStream,
    peer: SocketAddr,
    app: Option<Router>,
    mut stop: watch::Receiver<bool>,
) {
    // The guard that `wait_for` returns must not live over the awaits below.
    let mut stopped = std::pin::pin!(async { drop(stop.wait_for(|stop| *stop).await) });
    let mut arrival = Arrival { peer: Some(peer), tls: false, own: true };
    if engine.config.http.proxy_protocol {
        let read = tokio::select! {
            read = proxy_protocol::read(&engine, &mut stream, peer) => read,
            () = &mut stopped => None,
        };
        let Some(read) = read else { return };
        arrival = read;
    }
    let timeout = engine.config.request_timeout;
    // Requests that are being answered, those whose answer is still streamed included.
    let answering = Arc::new(());
    let busy = Arc::downgrade(&answering);
    let service = service_fn(move |request| {
        let (engine, app, answering) = (engine.clone(), app.clone(), answering.clone());
        async move { Ok::<_, Infallible>(dispatch(&engine, request, arrival, app, answering).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                // A request that has not even come is not waited for.
                () = idle(&busy) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended badly");
    }
}

/// Waits until no request is being answered, and a little for the last answer to leave. The service itself counts as one.
async fn idle(answering: &Weak<()>) {
    loop {
        tokio::time::sleep(LAST_WORD).await;
        if answering.strong_count() <= 1 {
            return;
        }
    }
}

async fn dispatch(
    engine: &Arc<Engine>,
    mut request: Request<Incoming>,
    arrival: Arrival,
    app: Option<Router>,
    answering: Arc<()>,
) -> Response<Body> {
    if let Some(endpoint) = endpoint(engine, request.uri().path()) {
        let response = handle(engine, endpoint, request, arrival).await;
        drop(answering);
        return response;
    }
    match app {
        Some(mut app) => {
            if let Some(peer) = arrival.peer {
                request.extensions_mut().insert(ConnectInfo(peer));
            }
            match app.call(request.map(Body::new)).await {
                Ok(response) => response.map(|body| Body::new(Answer { body, _answering: answering })),
                Err(never) => match never {},
            }
        }
        None => not_found(),
    }
}

/// The body of the application's answer, which may take long after its head.
struct Answer {
    body: Body,
    _answering: Arc<()>,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

pub(crate) fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("Not Found"));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response
}
