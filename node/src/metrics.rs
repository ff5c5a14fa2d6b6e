//! What the node tells Prometheus about clients and handlers. The cluster's own numbers are in `cluster::metrics`.
//!
//! Labels have few values, all known in advance; on the hot path a counter is a plain atomic that was looked up once.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector,
    process_collector::ProcessCollector,
};
use sockeye_proto::{
    DecodeError,
    eio::{Protocol, TransportKind},
    name::NamespacePath,
};

use crate::{cluster::ACKS_PENDING_HELP, engine::Engine, limits, reason::DisconnectReason};

/// One counter for each kind of Socket.IO packet.
#[derive(Debug)]
pub(crate) struct PacketCounters {
    event: IntCounter,
    ack: IntCounter,
    binary_event: IntCounter,
    binary_ack: IntCounter,
    pub(crate) connect: IntCounter,
    pub(crate) disconnect: IntCounter,
    /// Messages of raw Engine.IO endpoints: text, binary.
    raw: [IntCounter; 2],
}

impl PacketCounters {
    fn new(vec: &IntCounterVec) -> Self {
        let of = |kind| vec.with_label_values(&[kind]);
        Self {
            event: of("event"),
            ack: of("ack"),
            binary_event: of("binary_event"),
            binary_ack: of("binary_ack"),
            connect: of("connect"),
            disconnect: of("disconnect"),
            raw: [of("raw_text"), of("raw_binary")],
        }
    }

    fn of(&self, binary: bool, ack: bool) -> &IntCounter {
        match (binary, ack) {
            (false, false) => &self.event,
            (false, true) => &self.ack,
            (true, false) => &self.binary_event,
            (true, true) => &self.binary_ack,
        }
    }
}

/// The node's counters and gauges.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    connections: [IntGauge; 2],
    eio3_connections: [IntGauge; 2],
    pub(crate) packets_received: PacketCounters,
    packets_sent: PacketCounters,
    received_bytes: [IntCounter; 2],
    sent_bytes: [IntCounter; 2],
    handshakes: IntCounterVec,
    pub(crate) handshakes_ok: [IntCounter; 2],
    upgrades: IntCounterVec,
    disconnections: IntCounterVec,
    namespace_connects: IntCounterVec,
    decode_errors: IntCounterVec,
    pub(crate) limit_rejections: IntCounterVec,
    pub(crate) limit_warnings: IntCounterVec,
    outbox_dropped: IntCounterVec,
    handler_errors: IntCounterVec,
    pub(crate) handler_panics: IntCounter,
    pub(crate) unhandled_events: IntCounter,
    pub(crate) unexpected_acks: IntCounter,
    pub(crate) abandoned_acks: IntCounter,
    pub(crate) expired_acks: IntCounter,
    pub(crate) outside_namespace: IntCounter,
    undelivered: IntCounter,
    pub(crate) background_tasks: IntGauge,
    background_ended: IntCounterVec,
    sockets: IntGaugeVec,
    by_namespace: Mutex<HashMap<NamespacePath, IntGauge>>,
    rooms: IntGaugeVec,
    acks_pending: IntGauge,
    /// GETs of long-polling that wait for packets.
    pub(crate) polls_waiting: IntGauge,
    namespaces: IntGauge,
    tasks: IntGauge,
    queue_bytes: Gauge,
    ready: IntGaugeVec,
}

impl Metrics {
    /// Creates and registers everything.
    ///
    /// # Errors
    /// The registry has a metric of one of these names already: two servers need two registries.
    pub(crate) fn new(
        registry: &Registry,
        node: &str,
        name: &str,
        bus: &str,
    ) -> Result<Arc<Self>, prometheus::Error> {
        let register = Register(registry);
        let received =
            register.counters("packets_received_total", "Socket.IO packets from clients.", "type")?;
        let sent =
            register.counters("packets_sent_total", "Socket.IO packets queued for clients.", "type")?;
        let connections =
            register.gauges("connections", "Engine.IO connections of this node.", &["transport"])?;
        let eio3_connections = register.gauges(
            "eio3_connections",
            "Those of the connections whose clients speak Engine.IO 3.",
            &["transport"],
        )?;
        let received_bytes =
            register.counters("received_bytes_total", "Bytes received from clients.", "transport")?;
        let sent_bytes = register.counters("sent_bytes_total", "Bytes sent to clients.", "transport")?;
        let build = register.gauges("build_info", "The version that runs; always 1.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let info =
            register.gauges("node_info", "Which node this is; always 1.", &["node_id", "name", "bus"])?;
        info.with_label_values(&[node, name, bus]).set(1);
        let transports = [TransportKind::Polling, TransportKind::WebSocket];
        let handshakes = register.counters2(
            "handshakes_total",
            "Requests that opened a connection, or were refused.",
            &["transport", "result"],
        )?;
        let metrics = Self {
            handshakes_ok: transports.map(|kind| handshakes.with_label_values(&[kind.as_str(), "ok"])),
            handshakes,
            connections: transports.map(|kind| connections.with_label_values(&[kind.as_str()])),
            eio3_connections: transports.map(|kind| eio3_connections.with_label_values(&[kind.as_str()])),
            packets_received: PacketCounters::new(&received),
            packets_sent: PacketCounters::new(&sent),
            received_bytes: transports.map(|kind| received_bytes.with_label_values(&[kind.as_str()])),
            sent_bytes: transports.map(|kind| sent_bytes.with_label_values(&[kind.as_str()])),
            upgrades: register.counters(
                "upgrades_total",
                "Moves from long-polling to WebSocket.",
                "result",
            )?,
            disconnections: register.counters(
                "disconnections_total",
                "Sockets that left a namespace, by reason.",
                "reason",
            )?,
            namespace_connects: register.counters(
                "namespace_connects_total",
                "Clients that asked to join a namespace.",
                "result",
            )?,
            decode_errors: register.counters2(
                "decode_errors_total",
                "Input from clients that was not what the protocol allows.",
                &["layer", "kind"],
            )?,
            limit_rejections: register.counters(
                "limit_rejections_total",
                "What a limit kept out.",
                "limit",
            )?,
            limit_warnings: register.counters(
                "limit_warnings_total",
                "What a limit would have kept out if it were enforced.",
                "limit",
            )?,
            outbox_dropped: register.counters(
                "send_queue_dropped_total",
                "Packets that a slow client did not get.",
                "reason",
            )?,
            handler_errors: register.counters(
                "handler_errors_total",
                "Handlers that were not called or failed.",
                "kind",
            )?,
            handler_panics: register.counter("handler_panics_total", "Handlers that panicked.")?,
            unhandled_events: register.counter("unhandled_events_total", "Events without a handler.")?,
            unexpected_acks: register.counter(
                "unexpected_acks_total",
                "Acks that nobody waited for: late, repeated or made up.",
            )?,
            abandoned_acks: register
                .counter("abandoned_acks_total", "Acks that a client asked for and no handler sent.")?,
            expired_acks: register.counter(
                "expired_acks_total",
                "Answers to other nodes that a client did not give in time.",
            )?,
            outside_namespace: register
                .counter("outside_namespace_total", "Packets for a namespace that their client is not in.")?,
            undelivered: register.counter(
                "undelivered_packets_total",
                "Packets that were queued when their connection ended.",
            )?,
            background_tasks: register.add(IntGauge::with_opts(opts(
                "background_tasks",
                "Background tasks of the application that run.",
            ))?)?,
            background_ended: register.counters(
                "background_tasks_ended_total",
                "Background tasks of the application that ended, by how.",
                "result",
            )?,
            sockets: register.gauges("sockets", "Clients in a namespace.", &["nsp"])?,
            by_namespace: Mutex::default(),
            rooms: register.gauges("rooms", "Rooms with members on this node.", &["nsp"])?,
            tasks: register.add(IntGauge::with_opts(opts(
                "tasks",
                "What runs by itself: connections, and handlers that wait for something.",
            ))?)?,
            acks_pending: {
                let opts = Opts::new("sockeye_acks_pending", ACKS_PENDING_HELP).const_label("scope", "local");
                register.add(IntGauge::with_opts(opts)?)?
            },
            polls_waiting: register.add(IntGauge::with_opts(opts(
                "polls_waiting",
                "Long-polling GETs that wait for packets.",
            ))?)?,
            namespaces: register.add(IntGauge::with_opts(opts(
                "namespaces",
                "Namespaces that exist on this node; dynamic ones while somebody is in them.",
            ))?)?,
            queue_bytes: register.add(Gauge::with_opts(opts(
                "send_queue_bytes",
                "Bytes that wait to be sent, all clients together.",
            ))?)?,
            ready: register.gauges("node_state", "1 for the state that the node is in.", &["state"])?,
            registry: registry.clone(),
        };
        metrics.begin_at_zero();
        // An application may have registered it before; then it is there already.
        let _ = registry.register(Box::new(ProcessCollector::for_self()));
        Ok(Arc::new(metrics))
    }

    /// A series that does not exist yet hides its first increase from `rate` and `increase`.
    fn begin_at_zero(&self) {
        for result in ["ok", "refused", "failed"] {
            self.upgrades.with_label_values(&[result]);
        }
        for reason in DisconnectReason::ALL {
            self.disconnections.with_label_values(&[reason.as_str()]);
        }
        for result in ["ok", "refused", "gone", "unknown"] {
            self.namespace_connects.with_label_values(&[result]);
        }
        for transport in ["polling", "websocket"] {
            for result in
                ["unknown_sid", "other_node", "bad_request", "draining", "forbidden", "address_limit"]
            {
                self.handshakes.with_label_values(&[transport, result]);
            }
        }
        for limit in limits::LABELS {
            self.limit_rejections.with_label_values(&[limit]);
            self.limit_warnings.with_label_values(&[limit]);
        }
        for reason in ["volatile", "slow", "overflow"] {
            self.outbox_dropped.with_label_values(&[reason]);
        }
        for kind in ["extract", "handler", "reply", "refused"] {
            self.handler_errors.with_label_values(&[kind]);
        }
        for result in ["done", "panicked", "aborted"] {
            self.background_ended.with_label_values(&[result]);
        }
    }

    /// The whole registry in Prometheus' text format, with the gauges that are counted only when asked for.
    pub(crate) fn text(&self, engine: &Engine) -> String {
        let mut pending = 0;
        self.rooms.reset();
        let all = engine.namespaces.all();
        let namespaces = all.len();
        for ns in all {
            self.rooms.with_label_values(&[ns.label.as_str()]).add(ns.rooms.room_count() as i64);
            pending += ns.acks.len();
        }
        self.acks_pending.set(pending as i64);
        self.namespaces.set(namespaces as i64);
        self.tasks.set(engine.task_count() as i64);
        self.queue_bytes
            .set(engine.registry.all().iter().map(|conn| conn.outbox.depth().0).sum::<usize>() as f64);
        let connected = engine.cluster().bus_connected();
        let states = [
            ("ready", connected && !engine.is_draining()),
            ("degraded", !connected && !engine.is_draining()),
            ("draining", engine.is_draining()),
        ];
        for (state, is) in states {
            self.ready.with_label_values(&[state]).set(i64::from(is));
        }
        prometheus::TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    pub(crate) fn connection_opened(&self, transport: TransportKind, protocol: Protocol) {
        self.connections[index(transport)].inc();
        if protocol == Protocol::V3 {
            self.eio3_connections[index(transport)].inc();
        }
    }

    pub(crate) fn connection_closed(&self, transport: TransportKind, protocol: Protocol) {
        self.connections[index(transport)].dec();
        if protocol == Protocol::V3 {
            self.eio3_connections[index(transport)].dec();
        }
    }

    pub(crate) fn upgraded(&self, protocol: Protocol) {
        self.connection_closed(TransportKind::Polling, protocol);
        self.connection_opened(TransportKind::WebSocket, protocol);
        self.upgrade("ok");
    }

    pub(crate) fn upgrade(&self, result: &str) {
        self.upgrades.with_label_values(&[result]).inc();
    }

    pub(crate) fn handshake(&self, transport: &str, result: &str) {
        self.handshakes.with_label_values(&[transport, result]).inc();
    }

    pub(crate) fn namespace_connect(&self, result: &str) {
        self.namespace_connects.with_label_values(&[result]).inc();
    }

    pub(crate) fn socket_connected(&self, namespace: &NamespacePath) {
        self.packets_sent.connect.inc();
        self.sockets_of(namespace).inc();
    }

    pub(crate) fn socket_disconnected(&self, namespace: &NamespacePath, reason: DisconnectReason) {
        self.disconnections.with_label_values(&[reason.as_str()]).inc();
        self.sockets_of(namespace).dec();
    }

    fn sockets_of(&self, namespace: &NamespacePath) -> IntGauge {
        let mut known = self.by_namespace.lock();
        match known.get(namespace) {
            Some(gauge) => gauge.clone(),
            None => {
                let gauge = self.sockets.with_label_values(&[namespace.as_str()]);
                known.insert(namespace.clone(), gauge.clone());
                gauge
            }
        }
    }

    pub(crate) fn packet_received(&self, binary: bool, ack: bool) {
        self.packets_received.of(binary, ack).inc();
    }

    pub(crate) fn packets_sent(&self, binary: bool, ack: bool, count: u64) {
        self.packets_sent.of(binary, ack).inc_by(count);
    }

    pub(crate) fn message_received(&self, binary: bool) {
        self.packets_received.raw[usize::from(binary)].inc();
    }

    pub(crate) fn message_sent(&self, binary: bool) {
        self.packets_sent.raw[usize::from(binary)].inc();
    }

    pub(crate) fn received_websocket(&self, bytes: usize) {
        self.received_bytes[index(TransportKind::WebSocket)].inc_by(bytes as u64);
    }

    pub(crate) fn received_polling(&self, bytes: usize) {
        self.received_bytes[index(TransportKind::Polling)].inc_by(bytes as u64);
    }

    pub(crate) fn sent_websocket(&self, bytes: u64) {
        self.sent_bytes[index(TransportKind::WebSocket)].inc_by(bytes);
    }

    pub(crate) fn sent_polling(&self, bytes: usize) {
        self.sent_bytes[index(TransportKind::Polling)].inc_by(bytes as u64);
    }

    pub(crate) fn decode_error(&self, error: DecodeError) {
        self.decode_errors.with_label_values(&[error.layer().as_str(), error.kind()]).inc();
        if let Some(limit) = error.limit() {
            self.limit_rejected(limit);
        }
    }

    pub(crate) fn limit_rejected(&self, limit: &str) {
        self.limit_rejections.with_label_values(&[limit]).inc();
    }

    pub(crate) fn outbox_dropped(&self, reason: &str, count: u64) {
        self.outbox_dropped.with_label_values(&[reason]).inc_by(count);
    }

    pub(crate) fn undelivered(&self, count: usize) {
        if count > 0 {
            self.undelivered.inc_by(count as u64);
        }
    }

    pub(crate) fn background_ended(&self, result: &str) {
        self.background_ended.with_label_values(&[result]).inc();
    }

    pub(crate) fn handler_failed(&self, kind: &str) {
        self.handler_errors.with_label_values(&[kind]).inc();
    }
}

fn index(transport: TransportKind) -> usize {
    match transport {
        TransportKind::Polling => 0,
        TransportKind::WebSocket => 1,
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(format!("sockeye_{name}"), help)
}

struct Register<'a>(&'a Registry);

impl Register<'_> {
    fn add<C: Collector + Clone + 'static>(&self, metric: C) -> Result<C, prometheus::Error> {
        self.0.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    fn counter(&self, name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
        self.add(IntCounter::with_opts(opts(name, help))?)
    }

    fn counters(&self, name: &str, help: &str, label: &str) -> Result<IntCounterVec, prometheus::Error> {
        self.counters2(name, help, &[label])
    }

    fn counters2(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
        self.add(IntCounterVec::new(opts(name, help), labels)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
        self.add(IntGaugeVec::new(opts(name, help), labels)?)
    }
}
