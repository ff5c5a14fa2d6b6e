//! Collecting the settings and handlers of a server.

mod bounds;
mod cluster;
mod engineio;
mod http;
mod socketio;

use std::{collections::HashMap, sync::Arc, time::Duration};

use prometheus::Registry;
use rand::RngCore;
use sockeye_bus::BusConfig;
use sockeye_proto::{
    Limits,
    eio::{TransportKind, session::Settings},
    id::{NodeId, SidKeys},
    name::NamespacePath,
    sio::Parsers,
};

use crate::{
    cluster::{Cluster, ClusterConfig, ClusterMetrics},
    conn::outbox::OutboxLimits,
    engine::{Config, Engine},
    engineio::Mounted,
    http::options::HttpOptions,
    io::Io,
    limits::LimitsMode,
    metrics::Metrics,
    ns::{
        Namespace,
        builder::NamespaceBuilder,
        layers::Layer,
        namespaces::{Dynamic, Matcher, Namespaces, Predicate},
    },
    server::Server,
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
    eio3: bool,
    connect_timeout: Duration,
    limits: Limits,
    limits_mode: LimitsMode,
    parser: Parsers,
    outbox: OutboxLimits,
    mailbox: usize,
    concurrency: usize,
    http: HttpOptions,
    request_timeout: Duration,
    secrets: Vec<Vec<u8>>,
    bus: BusConfig,
    bridge_python: bool,
    shutdown_timeout: Duration,
    registry: Option<Registry>,
    state: StateMap,
    namespaces: Vec<(NamespacePath, NamespaceBuilder)>,
    dynamic: Vec<DynamicNamespace>,
    every_namespace: NamespaceBuilder,
    accept_any_namespace: bool,
    raw: Vec<Mounted>,
}

/// Namespaces that come and go, as they were registered.
struct DynamicNamespace {
    label: String,
    matcher: Result<Matcher, String>,
    builder: NamespaceBuilder,
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
            eio3: false,
            connect_timeout: Duration::from_secs(45),
            limits: Limits::default(),
            limits_mode: LimitsMode::default(),
            parser: Parsers::Json,
            outbox: OutboxLimits::default(),
            mailbox: 64,
            concurrency: 16,
            http: HttpOptions::default(),
            request_timeout: Duration::from_secs(20),
            secrets: Vec::new(),
            bus: BusConfig::default(),
            bridge_python: false,
            shutdown_timeout: Duration::from_secs(10),
            registry: None,
            state: StateMap::default(),
            namespaces: Vec::new(),
            dynamic: Vec::new(),
            every_namespace: NamespaceBuilder::new(),
            accept_any_namespace: false,
            raw: Vec::new(),
        }
    }
}

impl ServerBuilder {
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
        let mut parts = |builder: NamespaceBuilder, what: &str| {
            let (layer, checks) = builder.into_parts();
            for check in checks {
                if let Err(problem) = check(&self.state) {
                    problems.push(format!("{what}: {problem}"));
                }
            }
            layer
        };
        let every = parts(self.every_namespace, "every namespace");
        let compose = |layer: Layer| layer.with_every(&every).into_handlers();
        let (mut named, mut dynamic) = (Vec::new(), Vec::new());
        for (path, builder) in self.namespaces {
            let handlers = compose(parts(builder, &format!("namespace {path}")));
            named.push((path.clone(), Arc::new(Namespace::new(path, handlers))));
        }
        for DynamicNamespace { label, matcher, builder } in self.dynamic {
            let handlers = Arc::new(compose(parts(builder, &format!("namespaces {label}"))));
            dynamic.push((matcher, handlers, NamespacePath::from(label)));
        }
        if self.accept_any_namespace {
            // The last predicate: whatever else may accept a namespace does so before it.
            let everyone: Predicate = Arc::new(|_| Box::pin(std::future::ready(true)));
            let handlers = Arc::new(compose(Layer::default()));
            dynamic.push((Ok(Matcher::When(everyone)), handlers, NamespacePath::from("/*")));
        }
        let root = compose(Layer::default());
        let mut namespaces = HashMap::new();
        for (path, ns) in named {
            if namespaces.insert(path.clone(), ns).is_some() {
                problems.push(format!("namespace {path} was added twice: register all its handlers at once"));
            }
        }
        let dynamic = dynamic.into_iter().filter_map(|(matcher, handlers, label)| match matcher {
            Ok(matcher) => Some(Dynamic { matcher, handlers, label }),
            Err(problem) => {
                problems.push(format!("namespaces {label}: {problem}"));
                None
            }
        });
        let dynamic: Vec<_> = dynamic.collect();
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
            raw: self.raw,
            session: self.settings,
            polling: self.transports.contains(&TransportKind::Polling),
            websocket: self.transports.contains(&TransportKind::WebSocket),
            eio3: self.eio3,
            connect_timeout: self.connect_timeout,
            limits: self.limits,
            limits_mode: self.limits_mode,
            parser: self.parser,
            outbox: self.outbox,
            mailbox: self.mailbox,
            concurrency: self.concurrency,
            http: self.http,
            linger: Duration::from_secs(1),
            request_timeout: self.request_timeout,
            shutdown_timeout: self.shutdown_timeout,
        };
        let root = namespaces
            .entry(NamespacePath::root())
            .or_insert_with(|| Arc::new(Namespace::new(NamespacePath::root(), root)));
        let root = root.clone();
        let namespaces = Namespaces::new(namespaces, dynamic);
        let engine = Engine::new(node, boot, keys, config, metrics, self.state, namespaces);
        engine.start(cluster);
        for ns in engine.namespaces.all() {
            ns.start(&engine);
        }
        Ok(Server { io: Io::new(engine.clone(), root), engine, registry })
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = self.http.problems();
        let paths = || std::iter::once(&self.path).chain(self.raw.iter().map(|raw| &raw.path));
        for path in paths() {
            if !path.starts_with('/') || !path.ends_with('/') {
                problems
                    .push(format!("path {path:?} must begin and end with a slash, as in \"/socket.io/\""));
            }
            if paths().filter(|other| *other == path).count() > 1 {
                problems.push(format!("path {path:?} was given to two endpoints: each needs its own"));
            }
        }
        if self.transports.is_empty() {
            problems.push("transports: there is none; name polling, websocket or both".into());
        }
        for (what, duration) in [
            ("ping_interval", self.settings.ping_interval),
            ("ping_timeout", self.settings.ping_timeout),
            ("connect_timeout", self.connect_timeout),
            ("upgrade_timeout", self.settings.upgrade_timeout),
            ("request_timeout", self.request_timeout),
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
