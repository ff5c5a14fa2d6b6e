//! Clients that do not read what they are sent.

use std::{net::SocketAddr, time::Duration};

use sockeye::{Data, DisconnectReason, IntoArgs, OutboxLimits, ServerBuilder, Socket, State};
use tokio::net::TcpSocket;

use crate::support::{Client, Frame, Lines, Log, PATIENCE, Polling, TestServer, log, until};

const QUEUED: &str = "sockeye_send_queue_bytes";
const VOLATILE: &str = r#"sockeye_send_queue_dropped_total{reason="volatile"}"#;
const SLOW: &str = r#"sockeye_disconnections_total{reason="slow"}"#;
const KIB: usize = 1024;

fn limits() -> OutboxLimits {
    OutboxLimits {
        soft_bytes: 64 * KIB,
        soft_packets: 1_000,
        hard_bytes: 256 * KIB,
        hard_packets: 2_000,
        max_age: PATIENCE * 100,
        ..OutboxLimits::default()
    }
}

async fn start(build: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (TestServer, Lines) {
    let (log, lines) = log();
    let node = TestServer::start(|server| {
        build(server.state(log).outbox_limits(limits()).namespace("/other", |ns| ns).namespace("/", |ns| {
            ns.on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
                .on("big", async |Data(size): Data<usize>| "x".repeat(size))
                .on("flood", async |socket: Socket, Data((count, size)): Data<(usize, usize)>| {
                    let text = "x".repeat(size);
                    (0..count).filter(|_| socket.emit("flood", &text).reached() == 1).count()
                })
                .on("sync", async || ())
        }))
    })
    .await;
    (node, lines)
}

/// Sends a client so many MiB that it must have some of them unread on the server: more than the system's buffers hold.
fn fill(node: &TestServer, client: &Client, mib: usize) {
    let socket = node.server.io().socket(&client.id).unwrap();
    // Written once: the tests' own build is slow at that.
    let text = "x".repeat(KIB * KIB).into_args().unwrap();
    for _ in 0..mib {
        // One that is too slow already needs no more.
        if socket.emit("fill", &text).reached() == 0 {
            return;
        }
    }
}

/// A client with as little room for unread bytes as the system allows.
async fn narrow(addr: SocketAddr) -> Client {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * KIB as u32).unwrap();
    let mut client = Client::open_lazy(socket.connect(addr).await.unwrap()).await;
    client.join("/", "").await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn volatile_events_are_dropped_first_then_the_client_is_closed_as_slow() {
    let (node, mut lines) = start(|server| server).await;
    let io = node.server.io();
    let mut slow = narrow(node.addr).await;
    let mut others = [Client::connect(node.addr).await, Client::connect(node.addr).await];
    let text = "x".repeat(16 * KIB);
    let socket = io.socket(&slow.id).unwrap();

    // What nobody has to get stops being queued, long before the limit at which the client would be closed.
    let mut sent = 0;
    until("a volatile event to be dropped", || {
        let mut kept = true;
        for _ in 0..8 {
            kept = socket.volatile().emit("v", (sent, &text)).reached() == 1;
            sent += usize::from(kept);
        }
        assert!(node.metric(QUEUED) <= limits().soft_bytes as f64);
        !kept
    })
    .await;
    assert!(node.metric(VOLATILE) >= 1.0);
    lines.is_empty();

    // What everybody has to get closes it. The others get everything, in order.
    let mut n = 0;
    let mut reached = 3;
    while reached == 3 {
        reached = io.emit("n", (n, &text)).reached();
        n += 1;
        assert!(node.metric(QUEUED) <= 3.0 * limits().hard_bytes as f64);
        for client in &mut others {
            let Frame::Text(got) = client.next().await else { panic!("not a text") };
            assert!(got.starts_with(&format!(r#"42["n",{},"#, n - 1)), "{}", &got[..20]);
        }
    }
    assert_eq!(reached, 2);
    lines.expect("slow").await;
    assert_eq!((node.metric(SLOW), node.metric(QUEUED)), (1.0, 0.0));
    assert!(
        node.metric(r#"sockeye_send_queue_dropped_total{reason="slow"}"#) >= 1.0,
        "what it did not get is counted"
    );
    for client in &mut others {
        client.sync().await;
    }
    // What had left already can be read; it is whole and in order, and then it ends.
    let mut next = 0;
    let mut volatile = true;
    for frame in slow.until_closed().await {
        let Frame::Text(got) = frame else { panic!("not a text") };
        if volatile && got.starts_with(r#"42["n","#) {
            assert!(next <= sent);
            (volatile, next) = (false, 0);
        }
        let name = if volatile { "v" } else { "n" };
        assert!(
            got.starts_with(&format!(r#"42["{name}",{next},"#)) && got.len() > 16 * KIB,
            "{}",
            &got[..20]
        );
        next += 1;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_nothing_for_too_long_is_slow_and_not_silent() {
    // Its heartbeats cannot get through either: they are not what it is closed for.
    let stuck = OutboxLimits { max_age: Duration::from_millis(300), hard_bytes: usize::MAX, ..limits() };
    let (node, mut lines) = start(|server| {
        server.outbox_limits(stuck).ping_interval(Duration::from_millis(100)).ping_timeout(PATIENCE * 100)
    })
    .await;
    let slow = narrow(node.addr).await;
    let mut other = Client::connect(node.addr).await;
    fill(&node, &slow, 12);
    lines.expect("slow").await;
    assert_eq!(node.metric(SLOW), 1.0);
    other.sync().await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_gets_everything() {
    let (node, mut lines) = start(|server| server).await;
    let mut client = narrow(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    let text = "x".repeat(10_000);
    let (mut sent, mut received) = (0, 0);
    for _ in 0..100 {
        // As much as fits, then some of it is read.
        for _ in 0..10 {
            assert_eq!(socket.emit("n", (sent, &text)).reached(), 1);
            sent += 1;
        }
        for _ in 0..10 {
            let got = client.text().await;
            assert!(got.starts_with(&format!(r#"42["n",{received},"#)) && got.len() > 10_000);
            received += 1;
        }
    }
    client.sync().await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_answers_is_not_read_either() {
    let (node, mut lines) = start(|server| server).await;
    let mut client = narrow(node.addr).await;
    // 20 MB of answers to questions that all come at once: it waits for its client instead of throwing it out.
    const QUESTIONS: usize = 1_000;
    for n in 0..QUESTIONS {
        client.send(&format!(r#"42{n}["big",20000]"#)).await;
    }
    until("the server to stop reading", || node.metric(QUEUED) > limits().soft_bytes as f64).await;
    let mut other = Client::connect(node.addr).await;
    other.sync().await;
    assert!(node.metric(QUEUED) <= (limits().hard_bytes + 64 * KIB) as f64);
    lines.is_empty();
    for n in 0..QUESTIONS {
        let answer = client.text().await;
        assert!(answer.starts_with(&format!("43{n}[")) && answer.len() > 20_000, "{n}: {}", answer.len());
    }
    client.sync().await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_does_not_poll_is_closed_at_the_limit() {
    let (node, mut lines) = start(|server| server).await;
    let mut client = Polling::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    let text = "x".repeat(10_000);
    for n in 0.. {
        if socket.emit("n", &text).reached() == 0 {
            assert!((20..30).contains(&n), "{n}");
            break;
        }
        assert!(node.metric(QUEUED) <= limits().hard_bytes as f64);
    }
    lines.expect("slow").await;
    client.is_gone().await;
    // The same by number.
    let client = Polling::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    let reached = (0..3_000).filter(|_| socket.emit("n", ()).reached() == 1).count();
    assert_eq!(reached, limits().hard_packets);
    lines.expect("slow").await;
    assert_eq!(node.metric(QUEUED), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_packet_above_the_limit_is_still_sent() {
    let (node, mut lines) = start(|server| server).await;
    let mut client = Client::connect(node.addr).await;
    let huge = "x".repeat(2 * limits().hard_bytes);
    assert_eq!(node.server.io().emit("huge", &huge).reached(), 1);
    assert_eq!(client.text().await.len(), huge.len() + r#"42["huge",""]"#.len());
    client.sync().await;
    lines.is_empty();
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_at_its_limit_may_join_another_namespace_without_harm_to_anyone() {
    // The answer to CONNECT is what does not fit any more.
    let (node, mut lines) = start(|server| server).await;
    let mut client = Polling::connect(node.addr).await;
    let socket = node.server.io().socket(&client.id).unwrap();
    for _ in 0..limits().hard_packets {
        assert_eq!(socket.emit("n", ()).reached(), 1);
    }
    assert_eq!(client.post("40/other,").await.status, 200);
    lines.expect("slow").await;
    client.is_gone().await;
    // Its workers are free.
    for _ in 0..8 {
        Client::connect(node.addr).await.sync().await;
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_pings_that_nobody_reads_the_answers_of_is_bounded() {
    let patient = OutboxLimits { hard_bytes: usize::MAX, ..limits() };
    let (node, mut lines) = start(|server| server.outbox_limits(patient)).await;
    let mut client = narrow(node.addr).await;
    // Something waits, so that the pongs do.
    fill(&node, &client, 12);
    let before = node.metric(QUEUED);
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
    client.flood(&ping.repeat(1_000), 100).await;
    assert!(node.metric(QUEUED) - before <= 512.0 * KIB as f64, "{} after {before}", node.metric(QUEUED));
    let mut other = Client::connect(node.addr).await;
    other.sync().await;
    lines.is_empty();
    client.vanish();
    lines.expect("transport error").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_thrown_out_does_not_stay_because_it_reads_nothing() {
    let stuck = OutboxLimits { max_age: Duration::from_secs(3), hard_bytes: usize::MAX, ..limits() };
    let (node, mut lines) = start(|server| server.outbox_limits(stuck)).await;
    let client = narrow(node.addr).await;
    fill(&node, &client, 12);
    node.server.io().to(client.id.as_str()).disconnect(true);
    lines.expect("server namespace disconnect").await;
    until("the server to give up", || node.metric("sockeye_undelivered_packets_total") > 0.0).await;
    // Nothing of it is left: the end of the server has nobody to wait for.
    node.stop().await;
    drop(client);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_takes_long_to_read_is_not_blamed_for_its_heartbeat() {
    // As long as too much is unread, the server does not read the client; its pongs are in the server's own kernel.
    let (node, mut lines) = start(|server| {
        server
            .outbox_limits(OutboxLimits { hard_bytes: usize::MAX, ..limits() })
            .ping_interval(Duration::from_millis(100))
            .ping_timeout(Duration::from_secs(2))
    })
    .await;
    // Another server's heartbeats are the clock.
    let (clock, _) =
        start(|server| server.ping_interval(Duration::from_millis(100)).ping_timeout(PATIENCE)).await;
    let mut client = narrow(node.addr).await;
    fill(&node, &client, 12);
    let mut ticks = Client::connect(clock.addr).await;
    ticks.shows_pings = true;
    // Longer than a ping may stay unanswered.
    for _ in 0..25 {
        ticks.expect("2").await;
        ticks.send("3").await;
    }
    lines.is_empty();
    for _ in 0..12 {
        assert_eq!(client.text().await.len(), KIB * KIB + r#"42["fill",""]"#.len());
    }
    client.sync().await;
    clock.stop().await;
    node.stop().await;
}
