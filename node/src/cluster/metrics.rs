//! What the cluster counts. Every label value is resolved once, at start.

use std::fmt;

use prometheus::core::Collector;
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
};
use sockeye_bus::{DropReason, Observer};

/// A closed set of label values; `index` is the position of a value in `ALL`.
pub(super) trait Label: Copy + 'static {
    const ALL: &'static [Self];
    fn as_str(self) -> &'static str;
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($variant:ident => $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),* }
        impl Label for $name {
            const ALL: &'static [Self] = &[$(Self::$variant),*];
            fn as_str(self) -> &'static str { match self { $(Self::$variant => $text),* } }
            fn index(self) -> usize { self as usize }
        }
    };
}

label! {
    /// What a bus message is about.
    Kind {
        Emit => "emit", Rooms => "rooms", Disconnect => "disconnect", Request => "request", Response => "response",
        Ack => "ack", ServerEvent => "server_event", Control => "control", Unknown => "unknown",
    }
}
label! {
    /// What became of a message at the moment when it was handed to the bus.
    Published { Ok => "ok", Buffered => "buffered", Dropped => "dropped" }
}
label! {
    /// Who sent a message that was received.
    Sender { Node => "node", Emitter => "emitter", Foreign => "foreign" }
}
label! {
    /// What a request to the other nodes is about.
    Op {
        Members => "members", Count => "count", ServerEvent => "server_event", Ack => "ack", Sockets => "sockets",
        Socket => "socket", Namespaces => "namespaces", Rooms => "rooms", Confirm => "confirm",
    }
}
label! {
    /// How a request to the other nodes ended.
    Ended { Complete => "complete", Partial => "partial", Abandoned => "abandoned" }
}

/// One counter for each combination of two closed label sets.
struct Grid<A, B> {
    cells: Vec<IntCounter>,
    labels: std::marker::PhantomData<(A, B)>,
}

impl<A: Label, B: Label> Grid<A, B> {
    fn new(vec: &IntCounterVec) -> Self {
        let cells = A::ALL
            .iter()
            .flat_map(|a| B::ALL.iter().map(|b| vec.with_label_values(&[a.as_str(), b.as_str()])))
            .collect();
        Self { cells, labels: std::marker::PhantomData }
    }

    fn get(&self, a: A, b: B) -> &IntCounter {
        &self.cells[a.index() * B::ALL.len() + b.index()]
    }
}

/// The cluster's and the bus link's metrics. Create one for each [`Registry`].
///
/// `sockeye_acks_pending` is registered with the constant label `scope="cluster"`: who counts the acks of local
/// callers registers the same name and help text with `scope="local"` beside it.
pub(crate) struct ClusterMetrics {
    pub(super) nodes: IntGauge,
    pub(super) connected: IntGauge,
    reconnects: IntCounter,
    published: Grid<Kind, Published>,
    received: Grid<Kind, Sender>,
    dropped: IntCounterVec,
    pub(super) gaps: IntCounter,
    pub(super) duplicates: IntCounter,
    decode_errors: IntCounterVec,
    lagged: IntCounter,
    probe_failures: IntCounter,
    buffer_bytes: IntGauge,
    buffer_messages: IntGauge,
    requests: Grid<Op, Ended>,
    request_seconds: Vec<Histogram>,
    pub(super) acks_pending: IntGauge,
}

/// Why the cluster itself loses a message: an answer that no Python message can carry, and a server event or a question
/// that found too many others waiting.
const LOSS_REASONS: [&str; 3] = [PYTHON_BINARY_ACK, SERVER_EVENT_LIMIT, QUERY_LIMIT];
/// See [`LOSS_REASONS`].
pub(super) const PYTHON_BINARY_ACK: &str = "python_binary_ack";
/// See [`LOSS_REASONS`].
pub(super) const SERVER_EVENT_LIMIT: &str = "server_event_limit";
/// See [`LOSS_REASONS`].
pub(super) const QUERY_LIMIT: &str = "query_limit";

/// The help text of `sockeye_acks_pending`; one metric name has one text.
pub(crate) const ACKS_PENDING_HELP: &str = "Emits that still wait for acks.";

impl ClusterMetrics {
    /// Creates the metrics and registers them.
    ///
    /// # Errors
    /// When a metric of the same name is registered already.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            add(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let counter = |name: &str, help: &str| add(registry, IntCounter::new(name, help)?);
        let gauge = |name: &str, help: &str| add(registry, IntGauge::new(name, help)?);
        let published = counters(
            "sockeye_bus_publish_total",
            "Messages handed to the bus: sent at once, buffered while the link is away, or dropped at once.",
            &["kind", "result"],
        )?;
        let received = counters(
            "sockeye_bus_received_total",
            "Messages received from the bus, without the echoes of this node's own.",
            &["kind", "origin"],
        )?;
        let requests = counters(
            "sockeye_cluster_request_total",
            "Requests to the other nodes: complete, partial (some node did not answer) or abandoned by the caller.",
            &["op", "result"],
        )?;
        let seconds = HistogramOpts::new(
            "sockeye_cluster_request_duration_seconds",
            "How long requests to the other nodes took.",
        )
        .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]);
        let seconds = add(registry, HistogramVec::new(seconds, &["op"])?)?;
        let dropped = counters(
            "sockeye_bus_dropped_total",
            "Messages that this node lost, by reason; most of them before the broker took them.",
            &["reason"],
        )?;
        // Every reason is there from the start, so that the first loss is an increase.
        let reasons = DropReason::ALL.into_iter().map(DropReason::as_str).chain(LOSS_REASONS);
        reasons.for_each(|reason| drop(dropped.with_label_values(&[reason])));
        let acks = Opts::new("sockeye_acks_pending", ACKS_PENDING_HELP).const_label("scope", "cluster");
        Ok(Self {
            nodes: gauge(
                "sockeye_cluster_nodes",
                "Nodes of the cluster that this node knows, itself included.",
            )?,
            connected: gauge("sockeye_bus_connected", "Whether the link to the bus is up (1) or not (0).")?,
            reconnects: counter("sockeye_bus_reconnects_total", "Attempts to renew the link to the bus.")?,
            published: Grid::new(&published),
            received: Grid::new(&received),
            dropped,
            gaps: counter(
                "sockeye_bus_gap_messages_total",
                "Messages of other nodes and emitters that were sent but never arrived here.",
            )?,
            duplicates: counter(
                "sockeye_bus_duplicates_total",
                "Messages that arrived again and were skipped.",
            )?,
            decode_errors: counters(
                "sockeye_bus_decode_errors_total",
                "Messages from the bus that could not be understood and were skipped, by kind of error.",
                &["kind"],
            )?,
            lagged: counter(
                "sockeye_bus_lagged_messages_total",
                "Messages that the link dropped because this node read too slowly; numbered ones are gaps as well.",
            )?,
            probe_failures: counter(
                "sockeye_bus_probe_failures_total",
                "Links that were renewed because they looked connected but delivered nothing.",
            )?,
            buffer_bytes: gauge("sockeye_bus_buffer_bytes", "Bytes that wait for the bus.")?,
            buffer_messages: gauge("sockeye_bus_buffer_messages", "Messages that wait for the bus.")?,
            requests: Grid::new(&requests),
            request_seconds: Op::ALL.iter().map(|op| seconds.with_label_values(&[op.as_str()])).collect(),
            acks_pending: add(registry, IntGauge::with_opts(acks)?)?,
        })
    }

    pub(super) fn published(&self, kind: Kind, result: Published) {
        self.published.get(kind, result).inc();
    }

    pub(super) fn received(&self, kind: Kind, sender: Sender) {
        self.received.get(kind, sender).inc();
    }

    pub(super) fn undecodable(&self, kind: &'static str) {
        self.decode_errors.with_label_values(&[kind]).inc();
    }

    pub(super) fn lost(&self, reason: &'static str) {
        self.dropped.with_label_values(&[reason]).inc();
    }

    pub(super) fn request_ended(&self, op: Op, ended: Ended, seconds: f64) {
        self.requests.get(op, ended).inc();
        self.request_seconds[op.index()].observe(seconds);
    }
}

impl fmt::Debug for ClusterMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClusterMetrics").finish_non_exhaustive()
    }
}

impl Observer for ClusterMetrics {
    fn connected(&self, connected: bool) {
        self.connected.set(i64::from(connected));
    }

    fn reconnecting(&self) {
        self.reconnects.inc();
    }

    fn dropped(&self, reason: DropReason, messages: u64) {
        self.dropped.with_label_values(&[reason.as_str()]).inc_by(messages);
    }

    fn probe_failed(&self) {
        self.probe_failures.inc();
    }

    fn lagged(&self, messages: u64) {
        self.lagged.inc_by(messages);
    }

    fn spooled(&self, messages: usize, bytes: usize) {
        self.buffer_messages.set(messages.try_into().unwrap_or(i64::MAX));
        self.buffer_bytes.set(bytes.try_into().unwrap_or(i64::MAX));
    }
}

fn add<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}
