//! What all parts of one server share.

use std::{
    any::Any,
    future::Future,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::RngCore;
use sockeye_proto::{
    Limits,
    bus::Target,
    eio::session::Settings,
    id::{NodeId, Sid, SidKeys, SocketId},
    name::NamespacePath,
    prepared::Packet,
    sio::Parsers,
};
use tokio::sync::Notify;

use crate::{
    background::Background,
    cluster::{AckSink, Cluster, Local},
    conn::{Clock, Conn, flusher::Flusher, outbox::OutboxLimits, registry::Registry, wheel::Wheel},
    engineio::{self, Mounted},
    http::{Endpoint, addresses::Addresses, options::HttpOptions},
    limits::{Guard, LimitsMode},
    metrics::Metrics,
    ns::{Namespace, greeted::Greeted, namespaces::Namespaces, rate::EventRate, socket::Owes},
    reason::DisconnectReason,
    state::StateMap,
};

/// How long background tasks that were cut off may take to let go of their threads.
const ABORTED: Duration = Duration::from_secs(1);

/// Everything that can be set, after it was checked.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) name: String,
    pub(crate) path: String,
    /// Endpoints of Engine.IO alone.
    pub(crate) raw: Vec<Mounted>,
    pub(crate) session: Settings,
    pub(crate) polling: bool,
    pub(crate) websocket: bool,
    /// Clients of Engine.IO 3 are served, too.
    pub(crate) eio3: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) limits: Limits,
    pub(crate) limits_mode: LimitsMode,
    pub(crate) parser: Parsers,
    pub(crate) outbox: OutboxLimits,
    pub(crate) mailbox: usize,
    pub(crate) concurrency: usize,
    pub(crate) http: HttpOptions,
    /// How long a closed WebSocket is kept for the client to read the last frames.
    pub(crate) linger: Duration,
    /// How long a client may take for a request's head, and for its body.
    pub(crate) request_timeout: Duration,
    /// How long the end of the server may take.
    pub(crate) shutdown_timeout: Duration,
}

/// The server's core: connections, namespaces, the cluster, and the tasks that serve them.
pub(crate) struct Engine {
    pub(crate) node: NodeId,
    boot: [u8; 2],
    pub(crate) keys: SidKeys,
    pub(crate) clock: Clock,
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) wheel: Wheel,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) guard: Guard,
    /// `None`: nobody knows what a client's address is.
    pub(crate) addresses: Option<Addresses>,
    pub(crate) event_rate: Option<EventRate>,
    pub(crate) state: StateMap,
    flushers: Box<[Arc<Flusher>]>,
    pub(crate) namespaces: Namespaces,
    /// Sockets whose clients were just told that they are in.
    pub(crate) greeted: Greeted,
    cluster: OnceLock<Arc<Cluster>>,
    tasks: AtomicUsize,
    tasks_done: Notify,
    pub(crate) background: Arc<Background>,
    draining: AtomicBool,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Engine {
    pub(crate) fn new(
        node: NodeId,
        boot: [u8; 2],
        keys: SidKeys,
        config: Config,
        metrics: Arc<Metrics>,
        state: StateMap,
        namespaces: Namespaces,
    ) -> Arc<Self> {
        let shortest = [config.session.ping_interval, config.session.ping_timeout, config.connect_timeout];
        let workers = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let guard = Guard::new(
            config.limits_mode,
            config.limits.clone(),
            metrics.limit_rejections.clone(),
            metrics.limit_warnings.clone(),
        );
        Arc::new(Self {
            node,
            boot,
            keys,
            clock: Clock::start(),
            guard,
            addresses: config.http.address_limits().map(Addresses::new),
            event_rate: EventRate::new(&config.limits),
            registry: Registry::new(),
            wheel: Wheel::new(shortest.into_iter().min().unwrap_or(Duration::from_secs(1))),
            background: Background::new(metrics.clone()),
            metrics,
            state,
            flushers: (0..workers).map(|_| Arc::default()).collect(),
            namespaces,
            greeted: Greeted::default(),
            cluster: OnceLock::new(),
            tasks: AtomicUsize::new(0),
            tasks_done: Notify::new(),
            draining: AtomicBool::new(false),
            config,
        })
    }

    /// Starts the flushers and the timer.
    pub(crate) fn start(self: &Arc<Self>, cluster: Arc<Cluster>) {
        let local: Arc<dyn Local> = self.clone();
        cluster.attach(Arc::downgrade(&local));
        let _ = self.cluster.set(cluster);
        for flusher in &self.flushers {
            tokio::spawn(flusher.clone().run(self.clock, self.metrics.clone()));
        }
        tokio::spawn(run_timer(Arc::downgrade(self), self.wheel.tick()));
    }

    // === lookups ===

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        // `start` runs before anything that could ask: the builder does both.
        self.cluster.get().expect("the engine was started")
    }

    /// What a new client of this endpoint needs if it does not speak Socket.IO.
    pub(crate) fn raw_inbox(&self, endpoint: Endpoint) -> Option<engineio::Inbox> {
        match endpoint {
            Endpoint::SocketIo => None,
            Endpoint::Raw(index) => {
                Some(engineio::Inbox::new(index, self.config.raw[index].endpoint.clone()))
            }
        }
    }

    /// The connection that a client means by this text, if it lives here.
    pub(crate) fn connection(&self, sid: &str) -> Option<Arc<Conn>> {
        let sid = self.keys.verify(sid).ok()?;
        self.registry.get(sid.key()).filter(|conn| conn.sid == sid)
    }

    pub(crate) fn mint(&self) -> Sid {
        let mut random = [0; 13];
        rand::rng().fill_bytes(&mut random);
        self.keys.mint(self.node, self.boot, random)
    }

    pub(crate) fn new_socket_id(&self) -> SocketId {
        let mut random = [0; 15];
        rand::rng().fill_bytes(&mut random);
        SocketId::from_random(random)
    }

    // === flushers ===

    pub(crate) fn flusher_count(&self) -> usize {
        self.flushers.len()
    }

    pub(crate) fn flusher_index(&self, key: u64) -> usize {
        (key >> 40) as usize % self.flushers.len()
    }

    pub(crate) fn flusher_at(&self, index: usize) -> &Flusher {
        &self.flushers[index]
    }

    pub(crate) fn flusher(&self, key: u64) -> &Flusher {
        &self.flushers[self.flusher_index(key)]
    }

    // === tasks ===

    /// Runs something that the server's end waits for: handlers, and the goodbye of connections.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.fetch_add(1, Ordering::AcqRel);
        let guard = TaskGuard(self.clone());
        tokio::spawn(async move {
            let _guard = guard;
            task.await;
        });
    }

    /// Tasks that the server's end would wait for.
    pub(crate) fn task_count(&self) -> usize {
        self.tasks.load(Ordering::Acquire)
    }

    /// Waits until no task is left.
    async fn tasks_done(&self) {
        loop {
            let notified = self.tasks_done.notified();
            if self.tasks.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }

    pub(crate) fn handler_panicked(&self, namespace: &NamespacePath, panic: &(dyn Any + Send)) {
        let text = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("no message");
        self.metrics.handler_panics.inc();
        tracing::error!(%namespace, panic = text, "a handler panicked");
    }

    // === the end ===

    /// Whether the server is on its way out and takes no new clients.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Closes every connection, lets the disconnect handlers and the background tasks end, and leaves the cluster. Bounded
    /// by the shutdown timeout.
    pub(crate) async fn shutdown(&self) {
        self.drain();
        self.background.announce_end();
        for conn in self.registry.all() {
            conn.close(DisconnectReason::ServerShuttingDown);
        }
        let ended = async { tokio::join!(self.tasks_done(), self.background.all_ended()) };
        if tokio::time::timeout(self.config.shutdown_timeout, ended).await.is_err() {
            tracing::warn!(
                tasks = self.tasks.load(Ordering::Acquire),
                background = self.metrics.background_tasks.get(),
                "handlers or background tasks were cut off at the end of the server"
            );
        }
        let cut_off = self.background.abort();
        if cut_off > 0 && tokio::time::timeout(ABORTED, self.background.all_ended()).await.is_err() {
            tracing::warn!("background tasks that block their threads outlive the server");
        }
        self.cluster().leave().await;
    }

    /// Sends an event that local clients have to answer. The sink hears of each of them exactly once, unless the returned
    /// entry is forgotten or expires.
    pub(crate) fn ask_local(
        &self,
        ns: &Namespace,
        packet: Packet,
        target: &Target,
        ttl: Duration,
        sink: Arc<dyn AckSink>,
    ) -> Asked {
        let mut sockets = ns.rooms.collect(target);
        let recipients = sockets.len();
        if sockets.is_empty() {
            return Asked::default();
        }
        let deadline = self.clock.now().plus(ttl);
        // Noted before the packet can leave: an answer may be faster than this function.
        let id = ns.acks.open(sockets.iter().map(|socket| socket.id.clone()), sink, deadline);
        let mut refused = 0;
        sockets.retain(|socket| match socket.owe(id) {
            Owes::This => true,
            Owes::Gone => false,
            Owes::TooMany => {
                refused += 1;
                false
            }
        });
        ns.push_all(self, Packet { id: Some(id), ..packet }, &sockets);
        Asked { id, recipients, refused }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        for flusher in &self.flushers {
            flusher.stop();
        }
    }
}

struct TaskGuard(Arc<Engine>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        if self.0.tasks.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.tasks_done.notify_waiters();
        }
    }
}

/// What became of a question to this node's clients.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    /// The ack's id.
    pub(crate) id: u64,
    /// Whom it was meant for.
    pub(crate) recipients: usize,
    /// How many of them owe too many acks already: they were not asked, and are reported as gone.
    pub(crate) refused: usize,
}

/// Turns the wheel until the engine is gone.
async fn run_timer(engine: std::sync::Weak<Engine>, tick: Duration) {
    let mut ticks = tokio::time::interval(tick);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let (mut last, mut due) = (0, Vec::new());
    loop {
        ticks.tick().await;
        let Some(engine) = engine.upgrade() else { return };
        let now = engine.clock.now();
        last = engine.wheel.due(last, now, &mut due);
        for (handled, (key, noted)) in due.drain(..).enumerate() {
            if let Some(conn) = engine.registry.get(key) {
                conn.on_timer(noted, now);
            }
            // A full slot must not hold up the clients of this worker.
            if handled % 256 == 255 {
                tokio::task::yield_now().await;
            }
        }
        engine.guard.log(now);
        engine.namespaces.sweep();
        for ns in engine.namespaces.with_acks_due(now) {
            let lost = ns.expire_acks(now);
            if lost > 0 {
                engine.metrics.expired_acks.inc_by(lost as u64);
            }
        }
    }
}
