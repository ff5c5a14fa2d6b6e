//! The queue of one connection: order, limits, and what is left when a socket takes only part of it.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicUsize, Ordering},
    task::Wake,
    time::Duration,
};

use proptest::{collection::vec, prelude::*};
use sockeye_proto::{
    name::NamespacePath,
    prepared::{Packet, Prepared},
    sio::{Args, Binary, IntoArgs},
    ws::{Opcode, write_frame},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpSocket},
};

use super::*;

const NOW: Time = Time(1);

/// Limits that nothing here reaches by accident.
fn wide() -> OutboxLimits {
    OutboxLimits {
        soft_bytes: usize::MAX,
        soft_packets: usize::MAX,
        hard_bytes: usize::MAX,
        hard_packets: usize::MAX,
        policy: SlowPolicy::default(),
        max_age: Duration::MAX,
    }
}

fn text(text: &str) -> Item {
    Item::Text(Bytes::copy_from_slice(text.as_bytes()))
}

fn shared(args: impl IntoArgs) -> Item {
    let args: Args = args.into_args().unwrap();
    Item::Shared(Arc::new(Prepared::new(Packet::event(NamespacePath::root(), "e", args, None))))
}

/// The bytes of an item on a WebSocket.
fn bytes(item: &Item) -> Vec<u8> {
    let mut bytes = Vec::new();
    match item {
        Item::Shared(packet) => bytes.extend_from_slice(packet.websocket()),
        Item::Text(text) => write_frame(&mut bytes, Opcode::Text, text),
        Item::Binary(data) => write_frame(&mut bytes, Opcode::Binary, data),
        Item::Frame(frame) => bytes.extend_from_slice(frame),
    }
    bytes
}

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Bell {
    fn new() -> (Arc<Self>, Waker) {
        let bell = Arc::new(Self::default());
        (bell.clone(), bell.into())
    }

    fn rung(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// Two ends of a connection that holds little on its way.
async fn narrow_pair() -> (Arc<TcpStream>, TcpStream) {
    let listener = loop {
        let port = 10_000 + rand::random::<u16>() % 22_000;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            break listener;
        }
    };
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let client = socket.connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    socket2::SockRef::from(&server).set_send_buffer_size(4096).unwrap();
    (Arc::new(server), client)
}

// === limits ===

#[test]
fn volatile_packets_are_dropped_above_the_soft_limit_and_all_above_the_hard_one() {
    let limits = OutboxLimits { soft_bytes: 20, hard_bytes: 40, ..wide() };
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    let push = |size: usize, volatile| outbox.push(text(&"x".repeat(size)), volatile, NOW, &limits);
    assert_eq!(push(100, true), Pushed::Queued, "a single packet may be larger than any limit");
    assert_eq!(outbox.depth(), (100, 1));
    assert!(outbox.is_long() && outbox.pause_reader(&limits));
    assert_eq!(push(1, true), Pushed::Dropped);
    assert_eq!(push(1, false), Pushed::Overflow);
    let mut body = Vec::new();
    assert_eq!(outbox.take_poll(&mut body, 1_000, NOW, Waker::noop()), Some(PollBody::Packets));
    assert!(!outbox.pause_reader(&limits) && !outbox.is_long());
    assert_eq!(outbox.depth(), (0, 0));

    assert_eq!((push(10, true), push(10, true)), (Pushed::Queued, Pushed::Queued));
    assert_eq!(push(1, true), Pushed::Dropped);
    assert!(!outbox.is_long(), "at the limit is not above it");
    assert_eq!((push(20, false), push(1, false)), (Pushed::Queued, Pushed::Overflow));
    assert!(outbox.is_long());
    assert_eq!(outbox.depth(), (40, 3));
}

#[test]
fn packets_are_counted_as_well_as_bytes() {
    let limits = OutboxLimits { soft_packets: 2, hard_packets: 4, ..wide() };
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    let push = |volatile| outbox.push(text("x"), volatile, NOW, &limits);
    assert_eq!((push(true), push(true), push(true)), (Pushed::Queued, Pushed::Queued, Pushed::Dropped));
    assert_eq!((push(false), push(false), push(false)), (Pushed::Queued, Pushed::Queued, Pushed::Overflow));
    assert_eq!(outbox.depth().1, 4);
    assert!(outbox.pause_reader(&limits));
}

#[test]
fn nothing_is_taken_after_the_end() {
    for discard in [false, true] {
        let outbox = Outbox::new(Sink::Polling, Form::V4);
        outbox.push(text("4a"), false, NOW, &wide());
        outbox.push(text("4b"), false, NOW, &wide());
        assert_eq!(outbox.close(discard, PollBody::Close), if discard { 2 } else { 0 });
        assert!(outbox.is_closing());
        assert_eq!(outbox.push(text("4c"), false, NOW, &wide()), Pushed::Closed);
        assert_eq!(outbox.push_ping(NOW), Pushed::Closed);
        let mut body = Vec::new();
        let answer = outbox.take_poll(&mut body, 100, NOW, Waker::noop());
        if discard {
            assert_eq!((answer, body.as_slice()), (Some(PollBody::Close), &b""[..]));
        } else {
            assert_eq!(
                (answer, body.as_slice()),
                (Some(PollBody::Packets), &b"4a\x1e4b"[..]),
                "what was queued leaves"
            );
            assert_eq!(outbox.take_poll(&mut Vec::new(), 100, NOW, Waker::noop()), Some(PollBody::Close));
        }
        assert_eq!(outbox.release(), 0);
    }
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    outbox.push(text("4a"), false, NOW, &wide());
    assert_eq!(outbox.release(), 1, "what was never fetched is counted");
    assert_eq!(outbox.push(text("4b"), false, NOW, &wide()), Pushed::Closed);
}

// === long-polling ===

#[test]
fn a_get_takes_as_much_as_fits() {
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    let get = |max: usize| {
        let mut body = Vec::new();
        let found = outbox.take_poll(&mut body, max, NOW, Waker::noop());
        (found, String::from_utf8(body).unwrap())
    };
    assert_eq!(get(10), (None, String::new()));
    for packet in ["4aaaa", "4bbbb", "4c", "4dddddddddddddddddd", "4e"] {
        outbox.push(text(packet), false, NOW, &wide());
    }
    outbox.push_close(Bytes::from_static(b"\x88\x00"), NOW);
    assert_eq!(
        get(11),
        (Some(PollBody::Packets), "4aaaa\u{1e}4bbbb".into()),
        "a frame of WebSocket is no packet"
    );
    assert_eq!(outbox.depth().1, 3);
    assert_eq!(get(11), (Some(PollBody::Packets), "4c".into()));
    assert_eq!(
        get(11),
        (Some(PollBody::Packets), "4dddddddddddddddddd".into()),
        "one that is too large comes alone"
    );
    assert_eq!(get(11), (Some(PollBody::Packets), "4e".into()));
    assert_eq!((get(11).0, outbox.depth()), (None, (0, 0)));
    // Not more packets than every client takes, either.
    for _ in 0..40 {
        outbox.push(text("4"), false, NOW, &wide());
    }
    let packets: Vec<usize> = (0..3).map(|_| get(1_000).1.split('\u{1e}').count()).collect();
    assert_eq!((packets.as_slice(), get(1_000).0), (&[16, 16, 8][..], None));
    // Attachments stay with their packet.
    outbox.push(shared((1, Binary(Bytes::from_static(b"\x01\x02\x03")))), false, NOW, &wide());
    outbox.push(text("4f"), false, NOW, &wide());
    let body = get(1).1;
    assert_eq!(body, "451-[\"e\",1,{\"_placeholder\":true,\"num\":0}]\u{1e}bAQID");
    assert_eq!(get(1).1, "4f");
    outbox.push(Item::Binary(Bytes::from_static(b"\x01\x02\x03")), false, NOW, &wide());
    outbox.push(text("4g"), false, NOW, &wide());
    assert_eq!(get(8).1, "bAQID\u{1e}4g");
}

#[test]
fn a_waiting_get_is_woken() {
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    let (bell, waker) = Bell::new();
    let wait = || outbox.take_poll(&mut Vec::new(), 100, NOW, &waker);
    assert_eq!(wait(), None);
    outbox.push(text("4"), false, NOW, &wide());
    assert_eq!(bell.rung(), 1);
    assert_eq!(wait(), Some(PollBody::Packets));
    // By the wish that it comes back, once; an older wish does not concern it.
    assert_eq!(wait(), None);
    outbox.release_poll();
    assert_eq!((bell.rung(), wait(), wait()), (1, Some(PollBody::Noop), None));
    outbox.release_poll();
    outbox.begin_poll();
    assert_eq!(wait(), None);
    assert_eq!(bell.rung(), 1);
    // By a transport that takes over, after which it has nothing to say.
    assert!(matches!(outbox.switch(Sink::Stream, Form::V4), Sink::Polling));
    assert_eq!(bell.rung(), 1);
    outbox.push(text("4"), false, NOW, &wide());
    assert_eq!(wait(), Some(PollBody::Noop));
    assert_eq!(outbox.depth().1, 1);
    // By the end.
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    assert_eq!(outbox.take_poll(&mut Vec::new(), 100, NOW, &waker), None);
    outbox.close(false, PollBody::Leaving);
    assert_eq!(bell.rung(), 1);
    assert_eq!(outbox.take_poll(&mut Vec::new(), 100, NOW, &waker), Some(PollBody::Leaving));
}

// === WebSocket over TCP ===

#[tokio::test]
async fn whoever_pushes_first_calls_the_flusher_and_no_other() {
    let (stream, mut client) = narrow_pair().await;
    let outbox = Outbox::new(Sink::Tcp(stream), Form::V4);
    assert_eq!(outbox.push(text("4a"), false, NOW, &wide()), Pushed::Dirty);
    assert_eq!(outbox.push(text("4b"), false, NOW, &wide()), Pushed::Queued);
    assert_eq!(outbox.push_ping(NOW), Pushed::Queued);
    let (mut scratch, mut written) = (Vec::new(), 0);
    outbox.flush(&mut scratch, NOW, &mut written);
    assert_eq!((written, outbox.depth()), (3 + 4 + 4, (0, 0)));
    outbox.flush(&mut scratch, NOW, &mut written);
    assert_eq!(written, 11, "nothing is sent twice");
    let mut read = [0; 11];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"\x81\x012\x81\x024a\x81\x024b", "a heartbeat comes first");
    // While the task handles what it read, its answers leave with its own write.
    outbox.claim();
    assert_eq!(outbox.push(text("4c"), false, NOW, &wide()), Pushed::Queued);
    outbox.flush(&mut scratch, NOW, &mut written);
    assert_eq!(written, 11, "it is not the flusher's turn");
    assert_eq!(outbox.flush_own(&mut scratch, NOW, &mut written), Drained::Empty);
    assert_eq!((written, outbox.is_blocked()), (15, false));
    assert_eq!(outbox.push(text("4d"), false, NOW, &wide()), Pushed::Dirty);
}

#[tokio::test]
async fn a_full_socket_is_the_tasks_affair_and_the_rest_follows_in_order() {
    let (stream, mut client) = narrow_pair().await;
    let outbox = Outbox::new(Sink::Tcp(stream.clone()), Form::V4);
    let (bell, waker) = Bell::new();
    outbox.register_task(&waker);
    let mut expected = Vec::new();
    let mut queue = |item: Item| {
        expected.extend(bytes(&item));
        outbox.push(item, false, NOW, &wide())
    };
    let large = "x".repeat(COPY_LIMIT * 3);
    assert_eq!(queue(shared(&large)), Pushed::Dirty);
    for n in 0..200_usize {
        queue(text(&format!("4{n}")));
        queue(shared((n, Binary(vec![7; n * 10].into()))));
        queue(Item::Binary(vec![9; n].into()));
        if n % 50 == 0 {
            queue(text(&large));
            queue(shared(&large));
        }
    }
    let (mut scratch, mut written) = (Vec::new(), 0);
    outbox.flush(&mut scratch, Time(5), &mut written);
    assert!(outbox.is_blocked() && bell.rung() == 1, "the task has to wait for the socket");
    assert!(written > 0 && (written as usize) < expected.len());
    assert_eq!(outbox.stuck_since(), Some(Time(5)));
    // Nobody else writes meanwhile, and a heartbeat does not come into the middle of a frame.
    assert_eq!(outbox.push(text("4last"), false, NOW, &wide()), Pushed::Queued);
    expected.extend(bytes(&text("4last")));
    assert_eq!(outbox.push_ping(NOW), Pushed::Queued);
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        client.read_to_end(&mut read).await.unwrap();
        read
    });
    let drained = loop {
        match outbox.flush_own(&mut scratch, Time(9), &mut written) {
            Drained::Blocked => stream.writable().await.unwrap(),
            other => break other,
        }
    };
    assert_eq!((drained, outbox.depth(), outbox.stuck_since()), (Drained::Empty, (0, 0), None));
    assert_eq!(outbox.release(), 0);
    drop((outbox, stream));
    let mut read = reading.await.unwrap();
    assert_eq!(read.len() as u64, written);
    // The heartbeat stands at the beginning of some frame; without it, everything is there, in order.
    let at = (0..read.len()).find(|at| read.get(*at..*at + 3) == Some(b"\x81\x012")).expect("it was sent");
    read.drain(at..at + 3);
    assert!(read == expected, "{} and {}", read.len(), expected.len());
}

#[tokio::test]
async fn a_broken_socket_is_the_tasks_affair() {
    let (stream, client) = narrow_pair().await;
    socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    stream.readable().await.unwrap();
    let outbox = Outbox::new(Sink::Tcp(stream), Form::V4);
    let (bell, waker) = Bell::new();
    outbox.register_task(&waker);
    outbox.push(text("4a"), false, NOW, &wide());
    let (mut scratch, mut written) = (Vec::new(), 0);
    outbox.flush(&mut scratch, NOW, &mut written);
    assert_eq!((written, bell.rung(), outbox.is_blocked()), (0, 1, true));
    assert_eq!(outbox.flush_own(&mut scratch, NOW, &mut written), Drained::Broken);
    assert_eq!(outbox.release(), 1);
}

#[tokio::test]
async fn a_reader_that_waits_is_woken_when_the_queue_is_empty() {
    let (stream, _client) = narrow_pair().await;
    let limits = OutboxLimits { soft_bytes: 3, ..wide() };
    let outbox = Outbox::new(Sink::Tcp(stream), Form::V4);
    let (bell, waker) = Bell::new();
    outbox.register_task(&waker);
    outbox.push(text("4"), false, NOW, &limits);
    assert!(!outbox.pause_reader(&limits));
    outbox.push(text("4long"), false, NOW, &limits);
    assert!(outbox.pause_reader(&limits));
    let (mut scratch, mut written) = (Vec::new(), 0);
    outbox.flush(&mut scratch, NOW, &mut written);
    assert_eq!(bell.rung(), 1);
    assert!(!outbox.pause_reader(&limits));
    // Nobody waits: nobody is woken.
    outbox.register_task(&waker);
    outbox.push(text("4"), false, NOW, &limits);
    outbox.flush(&mut scratch, NOW, &mut written);
    assert_eq!(bell.rung(), 0);
    // At the end the task is needed for the goodbye.
    outbox.push(text("4"), false, NOW, &limits);
    outbox.close(false, PollBody::Close);
    assert_eq!(bell.rung(), 1);
}

#[test]
fn pongs_do_not_pile_up() {
    let outbox = Outbox::new(Sink::Stream, Form::V4);
    let pong = || outbox.push_pong(Bytes::from_static(b"\x8a\x00"), NOW);
    assert_eq!((pong(), pong(), pong()), (Pushed::Queued, Pushed::Dropped, Pushed::Dropped));
    assert_eq!(outbox.depth().1, 1);
}

// === other streams ===

#[test]
fn a_stream_is_given_bytes_in_order_and_the_queue_counts_what_is_left() {
    let outbox = Outbox::new(Sink::Stream, Form::V4);
    let (bell, waker) = Bell::new();
    outbox.register_task(&waker);
    let items: Vec<Item> = (0..40).map(|n| text(&"y".repeat(n * 200))).collect();
    let mut expected = Vec::new();
    for item in &items {
        assert_eq!(outbox.push(item.clone(), false, NOW, &wide()), Pushed::Queued);
        expected.extend(bytes(item));
    }
    assert_eq!(bell.rung(), 1, "woken once: the task registers anew when it has looked");
    let total = outbox.depth().0;
    let (mut scratch, mut taken) = (Vec::new(), Vec::new());
    while outbox.take_stream_bytes(&mut scratch, NOW) {
        assert!(scratch.len() <= SCRATCH);
        taken.extend_from_slice(&scratch);
        let (left, packets) = outbox.depth();
        assert_eq!(left, items.iter().rev().take(packets).map(Item::size).sum::<usize>());
        assert!(left < total);
    }
    assert_eq!(taken, expected);
    // One that is larger than what is gathered comes alone and whole.
    let large = shared("z".repeat(SCRATCH * 2));
    outbox.push(text("4"), false, NOW, &wide());
    outbox.push(large.clone(), false, NOW, &wide());
    assert!(outbox.take_stream_bytes(&mut scratch, NOW) && scratch.len() == 3);
    assert!(outbox.take_stream_bytes(&mut scratch, NOW) && scratch == bytes(&large));
    assert!(!outbox.take_stream_bytes(&mut scratch, NOW));
    // After a session has moved to it, pushes wake its task, too.
    let outbox = Outbox::new(Sink::Polling, Form::V4);
    outbox.switch(Sink::Stream, Form::V4);
    outbox.register_task(&waker);
    outbox.push(text("4"), false, NOW, &wide());
    assert_eq!(bell.rung(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the sizes, and wherever the socket is full: what arrives is what was queued, in order.
    #[test]
    fn what_is_queued_arrives_in_order(sizes in vec((any::<bool>(), 0..40_000_usize), 1..60), reads in vec(1..30_000_usize, 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (stream, mut client) = narrow_pair().await;
            let outbox = Outbox::new(Sink::Tcp(stream.clone()), Form::V4);
            let mut expected = Vec::new();
            for (alone, size) in sizes {
                let item = if alone { text(&"t".repeat(size)) } else { shared("s".repeat(size)) };
                expected.extend(bytes(&item));
                outbox.push(item, false, NOW, &wide());
            }
            let (mut scratch, mut written) = (Vec::new(), 0);
            outbox.claim();
            let (mut got, mut reads) = (Vec::new(), reads.into_iter().cycle());
            loop {
                let drained = outbox.flush_own(&mut scratch, NOW, &mut written);
                assert_ne!(drained, Drained::Broken);
                if drained == Drained::Empty {
                    break;
                }
                let mut buffer = vec![0; reads.next().unwrap()];
                let read = client.read(&mut buffer).await.unwrap();
                got.extend_from_slice(&buffer[..read]);
                if outbox.depth().1 > 0 {
                    // The socket may not have noticed that there is room again.
                    let _ = tokio::time::timeout(Duration::from_millis(1), stream.writable()).await;
                }
            }
            assert_eq!(outbox.depth(), (0, 0));
            drop((outbox, stream));
            client.read_to_end(&mut got).await.unwrap();
            assert!(got == expected);
        });
    }
}
