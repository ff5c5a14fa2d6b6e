//! Several cluster nodes in one process, over the memory bus, with scripted sockets. Time is virtual.

mod acks;
mod emits;
mod fake;
mod faults;
mod lists;
mod losses;
mod membership;
mod outage;
mod python;
mod requests;
mod simulation;

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use sockeye_bus::{Bus, BusConfig};
use sockeye_proto::bus::Target;
use sockeye_proto::id::NodeId;
use sockeye_proto::name::NamespacePath;
use sockeye_proto::sio::{Args, IntoArgs};
use tokio::time::sleep;

use self::fake::Fake;
use self::faults::{Faults, Faulty};
use super::{Cluster, ClusterConfig, ClusterMetrics};

/// One node of a test cluster.
struct Node {
    cluster: Arc<Cluster>,
    local: Arc<Fake>,
    faults: Arc<Faults>,
    registry: Registry,
}

impl Node {
    /// Starts node `number` on the hub `bus`.
    fn start(bus: &str, number: u8) -> Self {
        Self::with(bus, number, |_| {})
    }

    fn with(bus: &str, number: u8, change: impl FnOnce(&mut ClusterConfig)) -> Self {
        let registry = Registry::new();
        let metrics = Arc::new(ClusterMetrics::new(&registry).unwrap());
        let mut config = ClusterConfig::new(id(number), BusConfig::new(format!("memory://{bus}")));
        change(&mut config);
        config.bus.subscribe = Cluster::topics(config.node);
        let faults = Arc::new(Faults::default());
        let driver = Faulty::new(sockeye_bus::driver(&config.bus.url, &config.bus.channel).unwrap(), &faults);
        let observer = Arc::clone(&metrics) as _;
        let (bus, events) = Bus::with_driver(Box::new(driver), config.bus.clone(), observer).unwrap();
        let cluster = Cluster::start_on(bus, events, config, metrics);
        let local = Arc::new(Fake::default());
        let weak = Arc::downgrade(&local);
        cluster.attach(weak);
        Self { cluster, local, faults, registry }
    }

    /// The value of a metric, summed over the series that carry all of these label values.
    fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        let mut sum = 0.0;
        for family in self.registry.gather().iter().filter(|family| family.name() == name) {
            for metric in family.get_metric() {
                let has = |value: &str| metric.get_label().iter().any(|label| label.value() == value);
                if labels.iter().all(|value| has(value)) {
                    sum += metric.get_counter().get_value() + metric.get_gauge().get_value();
                }
            }
        }
        sum as u64
    }

    fn gaps(&self) -> u64 {
        self.metric("sockeye_bus_gap_messages_total", &[])
    }

    fn peers(&self) -> Vec<NodeId> {
        self.cluster.peers().into_iter().map(|peer| peer.node).collect()
    }

    fn emit(&self, event: &str, args: impl IntoArgs, target: &Target) {
        let args = args.into_args().unwrap();
        drop(self.cluster.emit(&root(), event, &args, target, false));
    }

    /// Ends the node without a word, as `kill -9` does.
    fn kill(self) {
        self.faults.silence();
        drop(self);
    }
}

/// Starts nodes 1 to `count` on one hub and waits until they know each other.
async fn cluster<const N: usize>(bus: &str) -> [Node; N] {
    let nodes = std::array::from_fn(|at| Node::start(bus, at as u8 + 1));
    assembled(&nodes.each_ref()).await;
    nodes
}

/// Waits until these nodes know each other and nobody else.
async fn assembled(nodes: &[&Node]) {
    eventually("the nodes know each other", || {
        nodes.iter().all(|node| node.peers().len() == nodes.len() - 1 && node.cluster.bus_connected())
    })
    .await;
}

fn id(number: u8) -> NodeId {
    NodeId::from_bytes([number; 6])
}

fn root() -> NamespacePath {
    NamespacePath::root()
}

fn args(args: impl IntoArgs) -> Args {
    args.into_args().unwrap()
}

/// Waits for something that must come true; time is virtual, so a minute costs nothing.
async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("never came true: {what}");
}
