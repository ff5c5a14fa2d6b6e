//! Outages of a real Redis, and of the network before it. The oracle is the same everywhere: what was emitted is what
//! was published and what was dropped; what was published is what came, by sequence number; to the last message.

mod support;

use parking_lot::Mutex;
use sockeye_bus::{Bus, BusConfig, DropReason, Event, Events, Outbound, Topic};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use support::{
    PATIENCE,
    counts::Counter,
    proxy::{Mode, Proxy},
    redis::{Kind, Redis},
    soon, until,
};

const MS: Duration = Duration::from_millis(1);

/// Comes back quickly, and takes no busy machine for an outage.
fn quick(url: &str) -> BusConfig {
    BusConfig {
        subscribe: vec![Topic::All],
        probe_interval: 200 * MS,
        probe_timeout: PATIENCE,
        backoff_min: 10 * MS,
        backoff_max: 200 * MS,
        send_timeout: PATIENCE,
        hold_after_outage: 2 * PATIENCE,
        ..BusConfig::new(url)
    }
}

/// Finds out quickly that a link is of no use.
fn nervous(url: &str) -> BusConfig {
    BusConfig { probe_timeout: 1500 * MS, connect_timeout: 1500 * MS, send_timeout: 3000 * MS, ..quick(url) }
}

/// Payloads: the sequence number that the bus writes, and the number that the test emitted.
fn emission(number: u64) -> Outbound {
    Outbound::stamped(Topic::All, [[0; 8], number.to_be_bytes()].concat(), 0)
}

/// What came to a subscriber: emitted number by sequence number, and the state of its link.
#[derive(Default)]
struct Heard {
    by_sequence: BTreeMap<u64, u64>,
    again: u64,
    ups: u64,
    downs: Vec<String>,
}

/// A node: hears everything, and releases the hold of `releases` as soon as its own link is up again, as a cluster
/// does when it has heard its peers.
struct Node {
    bus: Bus,
    heard: Arc<Mutex<Heard>>,
    counter: Arc<Counter>,
}

impl Node {
    fn start(config: BusConfig) -> Self {
        let counter = Counter::new();
        let (bus, events) = Bus::open(config, counter.clone()).expect("opens");
        let heard = Arc::default();
        tokio::spawn(listen(events, Arc::clone(&heard)));
        Self { bus, heard, counter }
    }

    async fn ups(&self, n: u64) {
        until(&format!("link {n} of a node"), || self.heard.lock().ups >= n).await;
    }

    async fn downs(&self, n: usize) {
        until(&format!("loss {n} of a link"), || self.heard.lock().downs.len() >= n).await;
    }

    async fn hears(&self, sequence: u64) {
        until(&format!("number {sequence}"), || self.heard.lock().by_sequence.contains_key(&sequence)).await;
    }

    /// Everything that `from` published has come, once but for what was sent again, in the order of emission.
    async fn heard_all_of(&self, from: &Self) {
        let published = from.counter.now().published;
        self.hears(published).await;
        let heard = self.heard.lock();
        let sequences: Vec<u64> = heard.by_sequence.keys().copied().collect();
        assert_eq!(sequences, (1..=published).collect::<Vec<_>>(), "nothing is missing");
        let emitted: Vec<u64> = heard.by_sequence.values().copied().collect();
        assert!(emitted.is_sorted_by(|a, b| a < b), "in the order of emission, each once");
    }
}

async fn listen(mut events: Events, heard: Arc<Mutex<Heard>>) {
    while let Some(event) = events.recv().await {
        let mut heard = heard.lock();
        match event {
            Event::Up { .. } => heard.ups += 1,
            Event::Down { reason } => heard.downs.push(reason),
            Event::Message(message) if message.payload.len() == 16 => {
                let number =
                    |at: usize| u64::from_be_bytes(message.payload[at..at + 8].try_into().expect("eight"));
                match heard.by_sequence.insert(number(0), number(8)) {
                    None => {}
                    Some(before) => {
                        assert_eq!(before, number(8), "a number means the same message both times");
                        heard.again += 1;
                    }
                }
            }
            Event::Message(_) => {}
        }
    }
}

/// Emits without end until told to stop.
struct Traffic {
    stop: Arc<AtomicBool>,
    emitted: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Traffic {
    fn start(bus: &Bus) -> Self {
        let (stop, emitted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let task = tokio::spawn({
            let (bus, stop, emitted) = (bus.clone(), Arc::clone(&stop), Arc::clone(&emitted));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    for _ in 0..5 {
                        bus.publish_detached(emission(emitted.fetch_add(1, Ordering::Relaxed)));
                    }
                    tokio::time::sleep(MS).await;
                }
            }
        });
        Self { stop, emitted, task }
    }

    /// Waits until this many more have been emitted.
    async fn more(&self, n: u64) {
        let goal = self.emitted.load(Ordering::Relaxed) + n;
        until("traffic", || self.emitted.load(Ordering::Relaxed) >= goal).await;
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("traffic");
        self.emitted.load(Ordering::Relaxed)
    }
}

async fn settle(bus: &Bus) {
    soon("a flush", bus.flush(PATIENCE)).await.expect("flushed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_stopped_and_started_under_traffic() {
    let mut redis = Redis::start(Kind::Plain);
    let (a, b) = (Node::start(quick(&redis.url)), Node::start(quick(&redis.url)));
    a.ups(1).await;
    b.ups(1).await;
    let traffic = Traffic::start(&a.bus);
    for round in 1..=3 {
        traffic.more(500).await;
        redis.stop();
        a.downs(round).await;
        b.downs(round).await;
        assert!(!a.bus.is_connected());
        traffic.more(1000).await;
        redis.start_again();
        a.ups(round as u64 + 1).await;
        // What was emitted meanwhile waits for b; then it may go.
        b.ups(round as u64 + 1).await;
        assert!(a.bus.spooled().0 >= 1000);
        a.bus.release();
    }
    traffic.more(500).await;
    let emitted = traffic.stop().await;
    settle(&a.bus).await;
    let counts = a.counter.now();
    counts.account_for(emitted);
    assert_eq!(counts.all_lost(), 0, "all of it was within the bounds of the spool");
    b.heard_all_of(&a).await;
    assert_eq!(a.bus.sequences(), [(Topic::All, emitted)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_killed_under_traffic() {
    let mut redis = Redis::start(Kind::Plain);
    let (a, b) = (Node::start(quick(&redis.url)), Node::start(quick(&redis.url)));
    a.ups(1).await;
    b.ups(1).await;
    let traffic = Traffic::start(&a.bus);
    traffic.more(500).await;
    redis.signal("KILL");
    a.downs(1).await;
    b.downs(1).await;
    traffic.more(500).await;
    redis.stop();
    redis.start_again();
    b.ups(2).await;
    a.ups(2).await;
    a.bus.release();
    traffic.more(500).await;
    let emitted = traffic.stop().await;
    settle(&a.bus).await;
    let counts = a.counter.now();
    counts.account_for(emitted);
    assert_eq!(counts.all_lost(), 0);
    // A server that dies between its answer to one and its message to another loses that message; the gap in the
    // numbers says how many.
    b.hears(counts.published).await;
    let heard = b.heard.lock();
    let gaps = counts.published - heard.by_sequence.len() as u64;
    assert!(gaps < 500, "{gaps} messages lost by the server");
    assert!(heard.by_sequence.values().is_sorted_by(|a, b| a < b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_the_spool_is_counted_exactly() {
    let mut redis = Redis::start(Kind::Plain);
    let config = BusConfig { spool_bytes: 60_000, ..quick(&redis.url) };
    let (a, b) = (Node::start(config), Node::start(quick(&redis.url)));
    a.ups(1).await;
    b.ups(1).await;
    let traffic = Traffic::start(&a.bus);
    traffic.more(200).await;
    redis.stop();
    a.downs(1).await;
    b.downs(1).await;
    traffic.more(2000).await;
    redis.start_again();
    b.ups(2).await;
    a.ups(2).await;
    a.bus.release();
    traffic.more(200).await;
    let emitted = traffic.stop().await;
    settle(&a.bus).await;
    let counts = a.counter.now();
    counts.account_for(emitted);
    assert!(counts.lost(DropReason::Overflow) > 500, "{counts:?}");
    assert_eq!(counts.all_lost(), counts.lost(DropReason::Overflow));
    b.heard_all_of(&a).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_too_long_is_counted_while_redis_is_still_away() {
    let redis = Redis::start(Kind::Plain);
    let a = Node::start(BusConfig { spool_age: 300 * MS, ..quick(&redis.url) });
    a.ups(1).await;
    redis.stop();
    a.downs(1).await;
    for number in 0..100 {
        a.bus.publish_detached(emission(number));
    }
    until("expiry", || a.counter.now().lost(DropReason::Expired) == 100).await;
    assert_eq!(a.bus.spooled(), (0, 0));
    assert!(!a.bus.is_connected());
    a.counter.now().account_for(100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_cut_again_and_again_under_traffic() {
    let redis = Redis::start(Kind::Plain);
    let proxy = Proxy::start(redis.port).await;
    let (a, b) = (Node::start(quick(&proxy.url())), Node::start(quick(&redis.url)));
    a.ups(1).await;
    b.ups(1).await;
    let traffic = Traffic::start(&a.bus);
    for round in 1..=10 {
        traffic.more(100).await;
        proxy.cut();
        a.ups(round + 1).await;
        a.bus.release();
    }
    let emitted = traffic.stop().await;
    settle(&a.bus).await;
    a.counter.now().account_for(emitted);
    assert_eq!(a.counter.now().all_lost(), 0);
    b.heard_all_of(&a).await;
}

/// The link of `a` is made useless in one way, found out, and renewed as soon as the way is free again.
async fn through(mode: Mode) -> (Node, Node) {
    let redis = Redis::start(Kind::Plain);
    let proxy = Proxy::start(redis.port).await;
    let (a, b) = (Node::start(nervous(&proxy.url())), Node::start(quick(&redis.url)));
    a.ups(1).await;
    b.ups(1).await;
    let traffic = Traffic::start(&a.bus);
    traffic.more(200).await;
    proxy.mode(mode);
    a.downs(1).await;
    traffic.more(200).await;
    proxy.mode(Mode::Pass);
    until("a link", || a.bus.is_connected()).await;
    a.bus.release();
    traffic.more(200).await;
    let emitted = traffic.stop().await;
    // Whatever is held now comes from a link that came and went meanwhile.
    until("all is sent", || {
        a.bus.release();
        a.bus.spooled().0 == 0
    })
    .await;
    a.counter.now().account_for(emitted);
    assert_eq!(a.counter.now().all_lost(), 0);
    b.heard_all_of(&a).await;
    (a, b)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_network_is_found_out() {
    through(Mode::Stall).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_network_is_found_out_and_repeats_keep_their_numbers() {
    let (_a, b) = through(Mode::HalfOpen).await;
    assert!(b.heard.lock().again > 0, "what arrived without an answer was sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_subscription_is_found_out() {
    let (a, _b) = through(Mode::Deaf).await;
    assert!(a.counter.now().probe_failed >= 1);
    let heard = a.heard.lock();
    assert!(heard.downs[0].contains("do not come back"), "{:?}", heard.downs);
    let defaults = BusConfig::default();
    assert!(defaults.probe_interval + defaults.probe_timeout <= Duration::from_secs(15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_is_found_out() {
    let redis = Redis::start(Kind::Plain);
    let a = Node::start(nervous(&redis.url));
    a.ups(1).await;
    redis.signal("STOP");
    let receipt = a.bus.publish(emission(0));
    a.downs(1).await;
    redis.signal("CONT");
    let sent = async {
        let release = async {
            loop {
                a.bus.release();
                tokio::time::sleep(10 * MS).await;
            }
        };
        tokio::select! { sent = receipt => sent, () = release => unreachable!("it never ends") }
    };
    soon("an answer", sent).await.expect("sent in the end");
    a.counter.now().account_for(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_may_start_before_its_broker() {
    let redis = Redis::start(Kind::Plain);
    let mut proxy = Proxy::start(redis.port).await;
    proxy.refuse().await;
    let (a, b) = (Node::start(quick(&proxy.url())), Node::start(quick(&redis.url)));
    b.ups(1).await;
    let error = a.bus.connected(1000 * MS).await.expect_err("refused");
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
    for number in 0..100 {
        a.bus.publish_detached(emission(number));
    }
    until("some attempts", || a.counter.now().reconnecting > 3).await;
    proxy.accept().await;
    a.ups(1).await;
    settle(&a.bus).await;
    b.heard_all_of(&a).await;
    assert_eq!(a.counter.now().published, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emitter_gives_nodes_the_time_to_subscribe_again() {
    let mut redis = Redis::start(Kind::Plain);
    let b = Node::start(quick(&redis.url));
    // Slower to come back than the emitter, within what the emitter allows for.
    let emitter = Node::start(BusConfig {
        subscribe: Vec::new(),
        backoff_max: 20 * MS,
        settle: 5000 * MS,
        ..quick(&redis.url)
    });
    emitter.ups(1).await;
    b.ups(1).await;
    let traffic = Traffic::start(&emitter.bus);
    traffic.more(300).await;
    redis.stop();
    emitter.downs(1).await;
    b.downs(1).await;
    traffic.more(300).await;
    redis.start_again();
    emitter.ups(2).await;
    b.ups(2).await;
    traffic.more(100).await;
    let emitted = traffic.stop().await;
    settle(&emitter.bus).await;
    emitter.counter.now().account_for(emitted);
    assert_eq!(emitter.counter.now().all_lost(), 0);
    b.heard_all_of(&emitter).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_without_a_broker_counts_every_message() {
    let redis = Redis::start(Kind::Plain);
    let a = Node::start(BusConfig { close_timeout: 200 * MS, ..quick(&redis.url) });
    a.ups(1).await;
    redis.stop();
    a.downs(1).await;
    let receipts: Vec<_> = (0..50).map(|number| a.bus.publish(emission(number))).collect();
    soon("close", a.bus.close()).await;
    for receipt in receipts {
        let error = receipt.await.expect_err("nobody took it");
        assert_eq!((error.reason, error.bytes), (DropReason::Closed, 16));
    }
    a.counter.now().account_for(50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_redis_refuses_fails_alone() {
    let redis = Redis::start(Kind::Auth);
    let allowed = format!("{}?channel=socketio:x", redis.url);
    let a = Node::start(quick(&allowed));
    a.ups(1).await;
    let delivery = a.bus.publish(emission(0)).await.expect("allowed");
    assert_eq!(delivery.receivers, Some(1));
    let forbidden =
        Node::start(BusConfig { subscribe: Vec::new(), ..quick(&format!("{}?channel=x", redis.url)) });
    until("an answer to the first probe", || forbidden.bus.is_connected()).await;
    let error = soon("an answer", forbidden.bus.publish(emission(0))).await.expect_err("forbidden");
    assert_eq!(error.reason, DropReason::Refused);
    assert_eq!(forbidden.counter.now().down, 0, "the link is as good as before");
    let deaf = Node::start(quick(&format!("{}?channel=x", redis.url)));
    let error = deaf.bus.connected(2000 * MS).await.expect_err("may not subscribe");
    assert!(error.to_string().contains("NOPERM"), "{error}");
    let wrong = redis.url.replace("swim-upstream", "wrong");
    let outsider = Node::start(quick(&wrong));
    let error = outsider.bus.connected(2000 * MS).await.expect_err("wrong password");
    assert!(error.to_string().contains("WRONGPASS") && !error.to_string().contains("wrong@"), "{error}");
}
