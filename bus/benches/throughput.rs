//! How many messages a second, and what one costs: `cargo bench -p sockeye-bus`.
//!
//! `cargo bench -p sockeye-bus -- redis` runs one of them. One bus publishes, one hears, both in this process, on the memory hub and on a Redis of its own. CPU is that of this
//! process (both buses and the driver's tasks) and, for Redis, that of the server.

#![allow(clippy::print_stdout, reason = "printing is what it is for")]

#[path = "../tests/support/mod.rs"]
mod support;

use sockeye_bus::{Bus, BusConfig, Event, Events, Outbound, Topic};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use support::{
    PATIENCE,
    counts::Counter,
    redis::{Kind, Redis},
};

const WARM_UP: usize = 20_000;
const UNDER_WAY: usize = 20_000;
const LATENCIES: usize = 500;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let wanted = |name: &str| wanted.as_deref().is_none_or(|w| w == name);
    for threads in [1, 2] {
        let runtime = if threads == 1 {
            tokio::runtime::Builder::new_current_thread().enable_all().build()
        } else {
            tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
        };
        runtime.expect("a runtime").block_on(async {
            println!("{threads} thread(s)");
            if wanted("memory") {
                for size in [128, 1024] {
                    row("memory", "memory://bench", size, 1_000_000, None).await;
                }
            }
            if wanted("redis") {
                let redis = Redis::start(Kind::Plain);
                for size in [128, 1024] {
                    row("redis", &redis.url, size, 300_000, Some(redis.pid())).await;
                }
            }
        });
    }
}

async fn row(name: &str, url: &str, size: usize, messages: usize, broker: Option<u32>) {
    let counter = Counter::new();
    let (publisher, _events) = Bus::open(BusConfig::new(url), Arc::new(())).expect("opens");
    let config = BusConfig { subscribe: vec![Topic::All], ..BusConfig::new(url) };
    let (subscriber, mut events) = Bus::open(config, counter.clone()).expect("opens");
    for bus in [&publisher, &subscriber] {
        bus.connected(PATIENCE).await.expect("up");
    }
    flood(&publisher, &mut events, size, WARM_UP).await;
    let (start, own, brokers) = (Instant::now(), cpu(None), broker.map_or(0.0, |pid| cpu(Some(pid))));
    flood(&publisher, &mut events, size, messages).await;
    let n = messages as f64;
    let rate = n / start.elapsed().as_secs_f64();
    let own = (cpu(None) - own) / n * 1e6;
    let brokers = broker.map_or(0.0, |pid| cpu(Some(pid)) - brokers) / n * 1e6;
    let (half, most) = latency(&publisher, &mut events, size).await;
    println!(
        "  {name:7} {size:5} B  {rate:9.0} messages/s  {own:5.2} µs CPU here  {brokers:5.2} µs CPU there  \
         alone: p50 {half:4} µs, p99 {most:5} µs  lost {}",
        counter.now().lagged
    );
}

/// Publishes as fast as it is heard, with a bound on what is between the two, until all of it was heard.
async fn flood(publisher: &Bus, events: &mut Events, size: usize, messages: usize) {
    let heard = AtomicUsize::new(0);
    let publish = async {
        for at in 0..messages {
            publisher.publish_detached(Outbound::stamped(Topic::All, vec![7; size], 0));
            if at % 256 == 0 {
                while at > heard.load(Ordering::Relaxed) + UNDER_WAY {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::task::yield_now().await;
            }
        }
    };
    let hear = async {
        let mut burst = Vec::new();
        while heard.load(Ordering::Relaxed) < messages {
            events.recv_many(&mut burst, 256).await;
            let count = burst.drain(..).filter(|event| matches!(event, Event::Message(_))).count();
            heard.fetch_add(count, Ordering::Relaxed);
        }
    };
    let both = async { tokio::join!(publish, hear) };
    if tokio::time::timeout(PATIENCE, both).await.is_err() {
        println!("  some messages did not come");
    }
}

/// How long a lone message takes from publish to the reader: median and 99th percentile in µs.
async fn latency(publisher: &Bus, events: &mut Events, size: usize) -> (u128, u128) {
    let mut times = Vec::with_capacity(LATENCIES);
    for _ in 0..LATENCIES {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let start = Instant::now();
        publisher.publish_detached(Outbound::stamped(Topic::All, vec![7; size], 0));
        while !matches!(events.recv().await, Some(Event::Message(_)) | None) {}
        times.push(start.elapsed().as_micros());
    }
    times.sort_unstable();
    (times[LATENCIES / 2], times[LATENCIES * 99 / 100])
}

/// Seconds of CPU that a process has used, this one by default.
fn cpu(pid: Option<u32>) -> f64 {
    let who = pid.map_or_else(|| "self".to_owned(), |pid| pid.to_string());
    let stat = std::fs::read_to_string(format!("/proc/{who}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}
