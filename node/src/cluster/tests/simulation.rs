//! Random faults, and one rule: what is emitted is delivered once and in order to each socket, or counted.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use sockeye_proto::bus::Target;
use sockeye_proto::id::SocketId;
use tokio::time::{Instant, sleep};

use super::{Node, cluster, root};

const NODES: usize = 3;
const STEPS: usize = 150;
const SEEDS: u64 = 25;

/// Three nodes with one socket each, and what was emitted so far.
struct Simulation {
    nodes: [Node; NODES],
    sockets: [SocketId; NODES],
    emitted: [u64; NODES],
    random: StdRng,
    /// Requests are messages too: with them only the order and the requests themselves can be judged.
    requests: bool,
}

impl Simulation {
    async fn start(seed: u64, requests: bool) -> Self {
        let nodes: [Node; NODES] = cluster(&format!("simulation-{seed}-{requests}")).await;
        // Two heartbeats: from then on every loss is one.
        sleep(Duration::from_secs(2)).await;
        let sockets = std::array::from_fn(|at| nodes[at].local.socket(at as u32, &["r"]));
        Self { nodes, sockets, emitted: [0; NODES], random: StdRng::seed_from_u64(seed), requests }
    }

    async fn step(&mut self) {
        let at = self.random.random_range(0..NODES);
        let some = self.random.random_range(1..5);
        let faults = &self.nodes[at].faults;
        match self.random.random_range(0..100) {
            0..50 => {
                for _ in 0..some {
                    let target = if some % 2 == 0 { Target::room("r") } else { Target::everyone() };
                    self.nodes[at].emit(&at.to_string(), self.emitted[at], &target);
                    self.emitted[at] += 1;
                }
            }
            50..58 => faults.lose(some),
            58..66 => faults.repeat(some),
            66..71 => faults.hiccup(),
            71..76 => faults.cut(),
            76..84 => faults.mend(),
            84..88 if self.requests => self.request(at).await,
            _ => sleep(Duration::from_millis(self.random.random_range(0..3_000))).await,
        }
        // Sometimes time passes between two steps, sometimes they meet.
        if self.random.random_bool(0.5) {
            sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whatever happens, a request ends in time, and who is missing is somebody else.
    async fn request(&self, at: usize) {
        let started = Instant::now();
        let count = self.nodes[at].cluster.count(&root(), &Target::everyone()).await;
        assert!(started.elapsed() < Duration::from_secs(3));
        assert!(count.value as usize + count.missing.len() < NODES, "{count:?}");
    }

    async fn check(&self) {
        self.nodes.iter().for_each(|node| node.faults.mend());
        self.nodes.iter().for_each(|node| node.faults.lose(0));
        sleep(Duration::from_secs(60)).await;
        let dropped: Vec<u64> =
            self.nodes.iter().map(|node| node.metric("sockeye_bus_dropped_total", &[])).collect();
        for (to, node) in self.nodes.iter().enumerate() {
            assert_eq!(node.peers().len(), NODES - 1);
            let got = node.local.got(&self.sockets[to]);
            let mut sum = got.len() as u64 + node.gaps();
            let mut emitted = 0;
            for from in (0..NODES).filter(|&from| from != to) {
                let prefix = format!("{from} [");
                let numbers: Vec<u64> = got
                    .iter()
                    .filter_map(|line| line.strip_prefix(&prefix)?.strip_suffix(']')?.parse().ok())
                    .collect();
                assert!(numbers.is_sorted_by(|a, b| a < b), "in order and once: {numbers:?}");
                emitted += self.emitted[from];
                sum += dropped[from];
            }
            if !self.requests {
                assert_eq!(sum, emitted, "delivered and counted, to the last one: {got:?}");
            }
        }
    }
}

async fn simulate(requests: bool) {
    let mut seen = [0; 3];
    for seed in 0..SEEDS {
        // Shown if the test fails.
        println!("seed {seed}");
        let mut simulation = Simulation::start(seed, requests).await;
        for _ in 0..STEPS {
            simulation.step().await;
        }
        simulation.check().await;
        for node in &simulation.nodes {
            seen[0] += node.gaps();
            seen[1] += node.metric("sockeye_bus_duplicates_total", &[]);
            seen[2] += node.metric("sockeye_bus_dropped_total", &[]);
        }
    }
    assert!(seen.iter().all(|&times| times > 0), "the faults happened: {seen:?}");
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_every_emit_is_delivered_once_or_counted() {
    simulate(false).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_requests_end_in_time() {
    simulate(true).await;
}
