//! The server as a tower service, to be mounted in an application.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{body::Body, extract::ConnectInfo};
use bytes::Bytes;
use http::{Request, Response};
use tower_service::Service;

use crate::{
    engine::Engine,
    http::{
        accept::not_found,
        endpoint, handle,
        head::{Arrival, full_uri},
    },
};

/// Answers requests to the server's paths; others with 404. Made by [`Server::service`](crate::Server::service).
///
/// The client's address is known if the application is served with axum's `into_make_service_with_connect_info`.
#[derive(Clone, Debug)]
pub struct SocketIoService {
    pub(crate) engine: Arc<Engine>,
    pub(crate) tls: bool,
}

impl SocketIoService {
    /// For an application that speaks TLS itself: the server cannot see that, and has to know which origin is its own.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }
}

impl<B> Service<Request<B>> for SocketIoService
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: std::fmt::Display,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (engine, tls) = (self.engine.clone(), self.tls);
        Box::pin(async move {
            // A router that nests the service takes its own part of the path away.
            let endpoint = endpoint(&engine, request.uri().path())
                .or_else(|| endpoint(&engine, full_uri(&request).path()));
            let Some(endpoint) = endpoint else { return Ok(not_found()) };
            let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
            Ok(handle(&engine, endpoint, request, Arrival { peer, tls, own: false }).await)
        })
    }
}
