//! Building a server and running it.

use std::{any::Any, collections::HashMap, future::Future, sync::Arc, time::Duration};

use axum::Router;
use prometheus::Registry;
use rand::RngCore;
use sockeye_bus::BusConfig;
use sockeye_proto::{
    Limits,
    eio::{TransportKind, session::Settings},
    id::{NodeId, SidKeys},
    name::NamespacePath,
};
use tokio::{net::TcpListener, sync::watch};

use crate::{
    admin,
    cluster::{Cluster, ClusterConfig, ClusterMetrics},
    conn::outbox::OutboxLimits,
    engine::{Config, Engine},
    http::{accept, cors::Cors},
    io::Io,
    metrics::Metrics,
    ns::{Namespace, builder::NamespaceBuilder},
    service::SocketIoService,
    state::StateMap,
};

/// Everything that is wrong with what a builder was given, all at once.
#[derive(Debug, thiserror::Error)]
#[error("the server cannot be built:{}", .problems.iter().map(|problem| format!("\n  - {problem}")).collect::<String>())]
pub struct BuildError {
    /// One sentence each.
    pub problems: Vec<String>,
}

/// Collects settings and handlers; [`build`](Self::build) checks them and makes the [`Server`].
///
/// The defaults are the JavaScript server's where it has them, and safe for production.
#[must_use = "a builder does nothing before `build`"]
pub struct ServerBuilder {
    name: Option<String>,
    path: String,
    settings: Settings,
    transports: Vec<TransportKind>,
    connect_timeout: Duration,
    limits: Limits,
    outbox: OutboxLimits,
    mailbox: usize,
    concurrency: usize,
    cors: Cors,
    secrets: Vec<Vec<u8>>,
    bus: BusConfig,
    bridge_python: bool,
    shutdown_timeout: Duration,
    registry: Option<Registry>,
    state: StateMap,
    namespaces: Vec<(NamespacePath, NamespaceBuilder)>,
}

impl std::fmt::Debug for ServerBuilder {
    /// The secrets and the bus URL are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerBuilder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Default for ServerBuilder {
    fn default() -> Self {
        Self {
            name: None,
            path: "/socket.io/".into(),
            settings: Settings::default(),
            transports: vec![TransportKind::Polling, TransportKind::WebSocket],
            connect_timeout: Duration::from_secs(45),
            limits: Limits::default(),
            outbox: OutboxLimits::default(),
            mailbox: 64,
            concurrency: 16,
            cors: Cors::default(),
            secrets: Vec::new(),
            bus: BusConfig::default(),
            bridge_python: false,
            shutdown_timeout: Duration::from_secs(10),
            registry: None,
            state: StateMap::default(),
            namespaces: Vec::new(),
        }
    }
}

impl ServerBuilder {
    /// Adds a namespace and its handlers. Clients that ask for a namespace that was not added are refused with
    /// `Invalid namespace`.
    ///
    /// ```
    /// use sockeye::{Data, Server, Socket};
    ///
    /// let builder = Server::builder().namespace("/chat", |ns| {
    ///     ns.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room))
    ///         .on("say", async |socket: Socket, Data(text): Data<String>| {
    ///             socket.to("lobby").emit("said", &text);
    ///             text.len() // the ack
    ///         })
    /// });
    /// ```
    pub fn namespace(
        mut self,
        path: &str,
        register: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder,
    ) -> Self {
        self.namespaces.push((NamespacePath::from(path), register(NamespaceBuilder::new())));
        self
    }

    /// Shares a value with all handlers, one for each type; they take it as [`State<T>`](crate::State).
    pub fn state<T: Any + Clone + Send + Sync>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// The bus that connects the nodes: `memory://` (the default: servers of this process only), `redis://…`, `rediss://…`
    /// or `redis+unix://…`.
    pub fn bus(mut self, url: impl Into<String>) -> Self {
        self.bus.url = url.into();
        self
    }

    /// The name of the cluster's channel on the bus; `socketio` if not said. Python's emitters call it `channel`, too.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.bus.channel = channel.into();
        self
    }

    /// All settings of the bus: bounds of the spool, what an emit does during an outage, timeouts. Replaces what
    /// [`bus`](Self::bus) and [`channel`](Self::channel) said before.
    pub fn bus_config(mut self, config: BusConfig) -> Self {
        self.bus = config;
        self
    }

    /// Takes part in a cluster with python-socketio nodes, in both directions. What Python's write-only emitters publish is
    /// heard without it.
    pub fn bridge_python(mut self, on: bool) -> Self {
        self.bridge_python = on;
        self
    }

    /// A secret that all nodes of the cluster share; it signs session ids. Call it again with older ones during a rotation:
    /// the first signs, all are accepted. Without any, a random one is made, which is right for one node.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.push(secret.as_ref().to_vec());
        self
    }

    /// What this node is called in logs, metrics and answers; its id if not said.
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The Engine.IO path; `/socket.io/` if not said.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// How often a client is sent a heartbeat; 25 s if not said.
    pub fn ping_interval(mut self, interval: Duration) -> Self {
        self.settings.ping_interval = interval;
        self
    }

    /// How long a client may take to answer a heartbeat; 20 s if not said.
    pub fn ping_timeout(mut self, timeout: Duration) -> Self {
        self.settings.ping_timeout = timeout;
        self
    }

    /// How long a client may take to join its first namespace; 45 s if not said.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a move from long-polling to WebSocket may take; 10 s if not said.
    pub fn upgrade_timeout(mut self, timeout: Duration) -> Self {
        self.settings.upgrade_timeout = timeout;
        self
    }

    /// Whether clients may move from long-polling to WebSocket; true if not said.
    pub fn allow_upgrades(mut self, allow: bool) -> Self {
        self.settings.allow_upgrades = allow;
        self
    }

    /// The transports that are served; both if not said.
    pub fn transports(mut self, transports: impl Into<Vec<TransportKind>>) -> Self {
        self.transports = transports.into();
        self
    }

    /// The largest message that a client may send, in bytes, on both transports; 1,000,000 if not said.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.settings.max_payload = bytes;
        self.limits.max_payload = bytes;
        self
    }

    /// How much of everything one client may send: attachments, JSON depth, namespaces, name lengths.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.max_payload = limits.max_payload;
        self.limits = limits;
        self
    }

    /// When a client that does not read is cut off.
    pub fn outbox_limits(mut self, limits: OutboxLimits) -> Self {
        self.outbox = limits;
        self
    }

    /// How many handlers of one socket may run side by side; 16 if not said. With 1 they run strictly one after another.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// How many events of one socket may wait for a handler before its connection is read no further; 64 if not said.
    pub fn mailbox(mut self, events: usize) -> Self {
        self.mailbox = events;
        self
    }

    /// Which web pages may connect; those of the same origin if not said.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = cors;
        self
    }

    /// How long the end of the server waits for handlers and for clients to take their last packets; 10 s if not said.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.shutdown_timeout = timeout;
        self
    }

    /// Where the metrics are registered; a registry of the server's own if not said.
    pub fn registry(mut self, registry: Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Checks everything, and starts the bus link and the timers. Does not wait for the bus. Must be called in a tokio
    /// runtime.
    ///
    /// # Errors
    /// All problems at once, each with what would be right.
    pub async fn build(self) -> Result<Server, BuildError> {
        let mut problems = self.problems();
        let mut namespaces = HashMap::new();
        for (path, builder) in self.namespaces {
            for check in builder.checks {
                if let Err(problem) = check(&self.state) {
                    problems.push(format!("namespace {path}: {problem}"));
                }
            }
            let ns = Arc::new(Namespace::new(path.clone(), builder.handlers));
            if namespaces.insert(path.clone(), ns).is_some() {
                problems.push(format!("namespace {path} was added twice: register all its handlers at once"));
            }
        }
        if !problems.is_empty() {
            return Err(BuildError { problems });
        }
        let one = |problem: String| BuildError { problems: vec![problem] };
        let mut random = [0; 6];
        rand::rng().fill_bytes(&mut random);
        let node = NodeId::from_bytes(random);
        let keys = if self.secrets.is_empty() {
            let mut secret = [0; 32];
            rand::rng().fill_bytes(&mut secret);
            SidKeys::new(&[secret])
        } else {
            SidKeys::new(&self.secrets)
        };
        let name = self.name.unwrap_or_else(|| node.to_string());
        let registry = self.registry.unwrap_or_default();
        let scheme = self.bus.url.split(':').next().unwrap_or_default().to_owned();
        let metrics = Metrics::new(&registry, &node.to_string(), &name, &scheme)
            .map_err(|error| one(format!("metrics: {error}")))?;
        let cluster_metrics =
            ClusterMetrics::new(&registry).map(Arc::new).map_err(|error| one(format!("metrics: {error}")))?;
        let cluster_config = ClusterConfig::new(node, self.bus);
        let boot = cluster_config.boot;
        let cluster_config =
            ClusterConfig { bridge_python: self.bridge_python, name: name.clone(), ..cluster_config };
        let cluster =
            Cluster::start(cluster_config, cluster_metrics).map_err(|error| one(format!("bus: {error}")))?;
        let config = Config {
            name,
            path: self.path,
            session: self.settings,
            polling: self.transports.contains(&TransportKind::Polling),
            websocket: self.transports.contains(&TransportKind::WebSocket),
            connect_timeout: self.connect_timeout,
            limits: self.limits,
            outbox: self.outbox,
            mailbox: self.mailbox,
            concurrency: self.concurrency,
            cors: self.cors,
            linger: Duration::from_secs(1),
            request_timeout: Duration::from_secs(20),
            shutdown_timeout: self.shutdown_timeout,
        };
        let root = namespaces.entry(NamespacePath::root()).or_insert_with(|| {
            Arc::new(Namespace::new(NamespacePath::root(), NamespaceBuilder::new().handlers))
        });
        let root = root.clone();
        let engine = Engine::new(node, boot, keys, config, metrics, self.state, namespaces);
        engine.start(cluster);
        Ok(Server { io: Io::new(engine.clone(), root), engine, registry })
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.path.starts_with('/') || !self.path.ends_with('/') {
            problems
                .push(format!("path {:?} must begin and end with a slash, as in \"/socket.io/\"", self.path));
        }
        if self.transports.is_empty() {
            problems.push("transports: there is none; name polling, websocket or both".into());
        }
        for (what, duration) in [
            ("ping_interval", self.settings.ping_interval),
            ("ping_timeout", self.settings.ping_timeout),
            ("connect_timeout", self.connect_timeout),
            ("upgrade_timeout", self.settings.upgrade_timeout),
        ] {
            if duration < Duration::from_millis(10) {
                problems.push(format!("{what} of {duration:?} is too short; 10 ms is the least"));
            }
        }
        if self.concurrency == 0 || self.mailbox == 0 {
            problems.push("concurrency and mailbox must be at least 1".into());
        }
        if self.limits.max_payload == 0 {
            problems.push("max_payload must be at least 1 byte".into());
        }
        if let Some(short) = self.secrets.iter().map(Vec::len).find(|length| *length < 16) {
            problems.push(format!(
                "a secret of {short} bytes can be guessed; use at least 16, such as `openssl rand -hex 32`"
            ));
        }
        if self.bus.channel.is_empty() {
            problems.push("channel must not be empty".into());
        }
        problems
    }
}

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
    engine: Arc<Engine>,
    io: Io,
    registry: Registry,
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
        SocketIoService { engine: self.engine.clone() }
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

    /// Ends the server: takes no new clients, closes all transports (stock clients then reconnect by themselves, to another
    /// node), lets the disconnect handlers run with the reason `server shutting down`, and leaves the bus.
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
