//! The broker is away: memory is bounded, losses are named and counted to the last message, the rest arrives.

use super::support::{Redis, Subscriber, soon};
use sockeye_emitter::{Data, DropReason, EmitError, Emitter, Observer, OnOutage, Reason, Receipt};
use sockeye_proto::bus::Message;
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

const CHANNEL: &[&str] = &["socketio:sockeye"];
const LONG: Duration = Duration::from_secs(60);

fn lost_for(error: &EmitError) -> DropReason {
    match error.reason() {
        Reason::Lost { reason, .. } => *reason,
        other => panic!("{other}"),
    }
}

/// What the bus told.
#[derive(Default)]
struct Counts {
    published: AtomicU64,
    dropped: AtomicU64,
}

impl Observer for Counts {
    fn published(&self, messages: u64) {
        self.published.fetch_add(messages, Relaxed);
    }

    fn dropped(&self, reason: DropReason, messages: u64) {
        assert_eq!(reason, DropReason::Overflow);
        self.dropped.fetch_add(messages, Relaxed);
    }
}

/// Reads numbered events until `last` came, and returns their numbers; one that was sent twice counts once.
async fn numbers(subscriber: &mut Subscriber, last: u64) -> Vec<u64> {
    let (mut seen, mut sequence) = (Vec::new(), 0);
    while seen.last() != Some(&last) {
        let envelope = subscriber.native().await;
        if envelope.sequence <= sequence {
            continue;
        }
        assert_eq!(envelope.sequence, sequence + 1, "what is lost takes no number");
        sequence = envelope.sequence;
        let Message::Emit { args, .. } = envelope.message else { panic!("an emit") };
        seen.push(args.first::<(u64, String)>().expect("a number").0);
    }
    seen
}

#[tokio::test]
async fn without_a_broker_memory_is_bounded_and_the_newest_messages_are_kept() {
    const BOUND: usize = 256 << 10;
    let mut redis = Redis::absent();
    let port = redis.port;
    let counts = Arc::new(Counts::default());
    let observer: Arc<dyn Observer> = Arc::<Counts>::clone(&counts);
    let emitter = Emitter::builder()
        .observer(observer)
        .spool_bytes(BOUND)
        .spool_age(LONG)
        // Time enough for the subscriber to be there first, on any machine.
        .configure(|config| config.settle = Duration::from_secs(5))
        .connect(redis.url())
        .await
        .expect("it does not wait for the broker");
    let text = "x".repeat(1000);
    let mut receipts: Vec<Receipt> = Vec::new();
    for number in 0..2000_u64 {
        receipts.push(emitter.to("r").emit("ev", Data((number, &text))));
        let stats = emitter.stats();
        assert!(stats.waiting_bytes <= BOUND, "{stats:?}");
    }
    let stats = emitter.stats();
    assert!(stats.waiting > 100 && stats.waiting + stats.lost as usize == 2000, "{stats:?}");
    assert_eq!(emitter.lost(DropReason::Overflow), stats.lost);
    let first = receipts.remove(0).await.expect_err("the oldest go first");
    assert_eq!(lost_for(&first), DropReason::Overflow);
    assert!(first.to_string().contains("event 'ev' in /"), "{first}");

    let late = emitter.flush(Duration::from_millis(1)).await.expect_err("no broker");
    assert_eq!((late.waiting, late.lost), (stats.waiting, stats.lost - 1), "one was told by its receipt");

    let listening = tokio::spawn(async move { Subscriber::open(port, CHANNEL).await });
    redis.start_again();
    let mut subscriber = listening.await.expect("no panic");
    soon("the flush", emitter.flush(LONG)).await.expect("what was lost has been told");
    let kept: Vec<u64> = (stats.lost..2000).collect();
    assert_eq!(numbers(&mut subscriber, 1999).await, kept, "in order");
    let mut lost = 1;
    for receipt in receipts {
        lost += u64::from(receipt.await.is_err());
    }
    assert_eq!(lost, stats.lost, "emitted = delivered + lost");
    assert_eq!(emitter.stats().published, kept.len() as u64);
    assert_eq!(counts.published.load(Relaxed) + counts.dropped.load(Relaxed), 2000);
    assert_eq!(counts.dropped.load(Relaxed), lost);
}

#[tokio::test]
async fn a_broker_that_was_away_gets_everything_in_order() {
    let mut redis = Redis::start();
    let mut subscriber = redis.subscribe(CHANNEL).await;
    let emitter = Emitter::builder()
        .spool_age(LONG)
        .configure(|config| config.settle = Duration::from_secs(5))
        .connect(redis.url())
        .await
        .expect("a right URL");
    for number in 0..500_u64 {
        emitter.emit("ev", Data((number, "")));
    }
    let mut heard: BTreeSet<u64> = numbers(&mut subscriber, 499).await.into_iter().collect();
    redis.stop();
    assert!(subscriber.try_next().await.is_none());
    for number in 500..1000_u64 {
        emitter.emit("ev", Data((number, "")));
    }
    let port = redis.port;
    let listening = tokio::spawn(async move { Subscriber::open(port, CHANNEL).await });
    redis.start_again();
    let mut subscriber = listening.await.expect("no panic");
    let last = emitter.emit("ev", Data((1000_u64, "")));
    soon("the last", last).await.expect("taken");
    let mut sequence = 0;
    loop {
        let envelope = subscriber.native().await;
        assert!(envelope.sequence >= sequence, "never out of order");
        sequence = envelope.sequence;
        let Message::Emit { args, .. } = envelope.message else { panic!("an emit") };
        let number = args.first::<(u64, String)>().expect("a number").0;
        heard.insert(number);
        if number == 1000 {
            break;
        }
    }
    assert_eq!(heard, (0..=1000).collect(), "nothing is missing");
    emitter.close().await.expect("nothing lost");
}

#[tokio::test]
async fn what_waited_too_long_says_what_is_wrong_with_the_broker() {
    let redis = Redis::absent();
    let emitter =
        Emitter::builder().spool_age(Duration::from_millis(300)).connect(redis.url()).await.expect("right");
    let error =
        soon("the loss", emitter.of("/chat").to("r").emit("news", 1)).await.expect_err("nobody took it");
    assert_eq!(lost_for(&error), DropReason::Expired);
    let text = error.to_string();
    assert!(text.contains("event 'news' in /chat") && text.contains("Redis"), "{text}");
    emitter.flush(LONG).await.expect("told by its receipt");
    emitter.of("/chat").close_room("x");
    let error = soon("the loss", emitter.flush(LONG)).await.expect_err("nobody took it");
    assert_eq!((error.lost, error.waiting), (1, 0));
    assert!(error.to_string().contains("Redis"), "{error}");
}

#[tokio::test]
async fn one_can_choose_to_fail_at_once() {
    let redis = Redis::absent();
    let emitter = Emitter::builder().on_outage(OnOutage::Fail).connect(redis.url()).await.expect("right");
    let error = emitter.emit("ev", 1).await.expect_err("no broker");
    assert_eq!(lost_for(&error), DropReason::Offline);
    assert_eq!(emitter.stats().waiting, 0);
    let missing = Emitter::builder().wait(Duration::from_millis(500)).connect(redis.url()).await;
    assert!(missing.is_err(), "it was told to wait for the broker");
}

#[tokio::test]
async fn volatile_events_are_not_kept_and_are_no_loss() {
    let redis = Redis::absent();
    let emitter = Emitter::connect(redis.url()).await.expect("right");
    let error = emitter.volatile().emit("position", (1, 2)).await.expect_err("no broker");
    assert_eq!(lost_for(&error), DropReason::Offline);
    let stats = emitter.stats();
    assert_eq!((stats.waiting, stats.lost), (0, 0));
    emitter.flush(LONG).await.expect("nothing that counts was lost");
}

#[tokio::test]
async fn closing_tells_what_was_left() {
    let redis = Redis::absent();
    let emitter = Emitter::builder()
        .close_timeout(Duration::from_millis(200))
        .spool_age(LONG)
        .connect(redis.url())
        .await
        .expect("right");
    let receipts: Vec<Receipt> = (0..3).map(|number| emitter.emit("ev", number)).collect();
    let error = soon("the end", emitter.close()).await.expect_err("nobody took them");
    assert_eq!((error.lost, error.waiting), (3, 0));
    for receipt in receipts {
        assert_eq!(lost_for(&receipt.await.expect_err("lost")), DropReason::Closed);
    }
}
