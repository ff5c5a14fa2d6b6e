//! A server that runs.

use std::{future::Future, sync::Arc};

use axum::Router;
use prometheus::Registry;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use crate::{admin, builder::ServerBuilder, engine::Engine, http::accept, io::Io, service::SocketIoService};

/// A Socket.IO server: one node of a cluster.
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye::{Data, Server, Socket};
///
/// let server = Server::builder()
///     .namespace("/", |ns| ns.on("hello", async |_: Socket, Data(name): Data<String>| format!("Hello {name}!")))
///     .build()
///     .await?;
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// server.serve(listener, async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) engine: Arc<Engine>,
    pub(crate) io: Io,
    pub(crate) registry: Registry,
}

impl Server {
    /// Begins a server.
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// The server as handlers and background tasks use it, in the namespace `/`.
    pub fn io(&self) -> Io {
        self.io.clone()
    }

    /// A tower service that answers the Engine.IO path, for an application that has its own accept loop.
    ///
    /// ```no_run
    /// # async fn run(server: sockeye::Server) -> Result<(), Box<dyn std::error::Error>> {
    /// let app = axum::Router::new()
    ///     .route("/", axum::routing::get(async || "my own page"))
    ///     .route_service("/socket.io/", server.service());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    /// axum::serve(listener, app).await?;
    /// server.shutdown().await;
    /// # Ok(()) }
    /// ```
    pub fn service(&self) -> SocketIoService {
        SocketIoService { engine: self.engine.clone(), tls: false }
    }

    /// Serves clients with the server's own accept loop until `shutdown` is ready, then ends as [`shutdown`](Self::shutdown)
    /// does.
    pub async fn serve(&self, listener: TcpListener, shutdown: impl Future<Output = ()>) {
        self.serve_with(listener, None, shutdown).await;
    }

    /// The same, with an application that answers all requests to other paths.
    pub async fn serve_with(
        &self,
        listener: TcpListener,
        app: impl Into<Option<Router>>,
        shutdown: impl Future<Output = ()>,
    ) {
        let (stop, stopped) = watch::channel(false);
        let accepting = tokio::spawn(accept::run(self.engine.clone(), listener, app.into(), stopped));
        shutdown.await;
        let _ = stop.send(true);
        let _ = accepting.await;
        self.shutdown().await;
    }

    /// Runs something in the background that ends with the server: see [`Io::spawn`].
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.io.spawn(task)
    }

    /// Ends the server: takes no new clients, closes all transports (stock clients then reconnect by themselves, to another
    /// node), lets the disconnect handlers run with the reason `server shutting down` and the [background tasks](Io::spawn) end,
    /// and leaves the bus.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
    }

    /// Whether the bus is connected. The embedded one always is.
    pub fn is_bus_connected(&self) -> bool {
        self.io.is_bus_connected()
    }

    /// All metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        self.engine.metrics.text(&self.engine)
    }

    /// Routes for operators, to merge into an application or to serve on an address of their own: `/healthz` (200 while the
    /// process lives), `/readyz` (JSON; 503 while the server ends and, with `require_bus`, while the bus is away) and
    /// `/metrics`.
    ///
    /// Without `require_bus` a node that lost its bus stays ready and says `degraded`: taking all nodes out of service because
    /// Redis is down would make it worse for their clients, who still reach each other on each node.
    pub fn admin_routes(&self, require_bus: bool) -> Router {
        admin::router(self.clone(), require_bus)
    }

    /// Whether the server is ending.
    pub fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// Says from now on that the server is ending: new clients are refused with 503, `/readyz` answers 503, and everyone who
    /// is connected is served as before. [`shutdown`](Self::shutdown) does the rest.
    pub fn drain(&self) {
        self.engine.drain();
    }

    /// Where the metrics are registered, to add the application's own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}
