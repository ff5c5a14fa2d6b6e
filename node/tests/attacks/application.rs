//! Events, acks and rooms without end.

use serde_json::json;

use crate::{
    scene::Scene,
    support::{Client, Http, Polling, patient},
};

const PENDING: &str = r#"sockeye_acks_pending{scope="local"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_33_event_flood() {
    let mut scene = Scene::node(&["--event-rate", "2000", "--event-burst", "1000"]).await;
    // One that sends as fast as it can is read as fast as it may; nobody else waits for it.
    let mut flood = Client::connect(scene.addr).await;
    for n in 0..5_000 {
        flood.send(&format!(r#"42{n}["join","r{}"]"#, n % 10)).await;
    }
    scene.served().await;
    for n in 0..5_000 {
        assert!(flood.text().await.starts_with(&format!(r#"43{n}[{{"room":"r{}""#, n % 10)), "none is lost");
    }
    assert!(scene.refused("event_rate").await >= 1.0);
    // Events that no handler wants, and by POST.
    let mut polling = Polling::connect(scene.addr).await;
    for _ in 0..4 {
        polling.send(&[r#"42["nobody"]"#; 1_000].join("\u{1e}")).await;
    }
    assert_eq!(scene.metric("sockeye_unhandled_events_total").await, 4_000.0);
    // Many sockets of one client.
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Client::connect(scene.addr).await;
        for _ in 0..2_000 {
            client.send(r#"42["nobody",1,2,3]"#).await;
        }
        clients.push(client);
    }
    scene.served().await;
    for mut client in clients {
        client.send(r#"421["join","done"]"#).await;
        assert!(client.text().await.starts_with(r#"431[{"room":"done""#));
    }
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_33_events_that_wait() {
    let mut scene = Scene::start(&["--ping-interval-ms", "200"]).await;
    // Handlers that take long: so many run, so many wait, and the rest stays with the client.
    let mut sleepers = Vec::new();
    for _ in 0..50 {
        let mut client = scene.attacker().await;
        client.send_bytes(&crate::support::frame(0x81, br#"42["sleep",3600000]"#).repeat(2_000)).await;
        sleepers.push(client);
    }
    scene.served().await;
    // They are not read from, so that only pings find out that they are gone. What waits behind the sleepers is never
    // handled, their disconnect handlers among it, until those wake.
    drop(sleepers);
    scene.metric_is(r#"sockeye_connections{transport="websocket"}"#, 1.0).await;
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_34_acks_that_never_come() {
    let mut scene = Scene::start(&[]).await;
    let mut mute = scene.attacker().await;
    // The application asks a client that never answers, because others make it do so.
    let call = format!(r#"["call",{{"sid":"{}","event":"ask","args":[],"timeout_ms":3000}}]"#, mute.id);
    let mut callers = Vec::new();
    for _ in 0..30 {
        let mut caller = scene.attacker().await;
        for n in 0..200 {
            caller.send(&format!("42{n}{call}")).await;
        }
        callers.push(caller);
    }
    for caller in &mut callers {
        for _ in 0..16 {
            let answer = caller.text().await;
            assert!(answer.ends_with(r#"[{"error":"timeout"}]"#), "{answer}");
        }
    }
    scene.served().await;
    assert!(scene.metric(PENDING).await <= 30.0 * 16.0);
    for caller in callers {
        caller.vanish();
    }
    // Once it is gone nobody waits any longer, and nothing is left.
    assert!(mute.text().await.ends_with(r#"["ask"]"#));
    let id = mute.id.clone();
    mute.vanish();
    assert_eq!(scene.left(&id).await, "transport close");
    scene.metric_is(PENDING, 0.0).await;
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_34_acks_that_nobody_reads() {
    let mut scene = Scene::start(&[]).await;
    // A client asks for answers and takes none: the server stops reading before it has many of them.
    let stream = tokio::net::TcpStream::connect(scene.addr).await.unwrap();
    let mut greedy = Client::open_lazy(stream).await;
    greedy.join("/", "").await;
    let ask = format!(r#"421["message-with-ack","{}"]"#, "x".repeat(1_000));
    greedy.flood(&crate::support::frame(0x81, ask.as_bytes()).repeat(100), 1_000).await;
    scene.served().await;
    let queued = scene.metric("sockeye_send_queue_bytes").await;
    assert!(queued <= 600_000.0, "{queued} bytes wait");
    // The same by POST, without a GET.
    let mut polling = scene.poller().await;
    let target = polling.target();
    let body = vec![ask; 900].join("\u{1e}");
    polling.posts.begin("POST", &target, &[], body.as_bytes()).await;
    scene.served().await;
    // As soon as it takes them, all of them come, and the POST is answered.
    let mut answers = 0;
    while answers < 900 {
        answers += usize::from(polling.next().await.starts_with("431["));
    }
    assert_eq!(polling.posts.answer().await.text(), "ok");
    drop(greedy);
    scene.end(24).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_35_rooms_without_end() {
    let mut scene = Scene::start(&[]).await;
    let rooms = r#"sockeye_rooms{nsp="/"}"#;
    let mut client = scene.attacker().await;
    // As many as one socket may be in. Its handler answers with all of them, so that it is asked only once.
    for n in 0..300 {
        client.send(&format!(r#"42["join","room-{n}"]"#)).await;
    }
    client.send(r#"421["message-with-ack"]"#).await;
    client.expect("431[]").await;
    assert_eq!(scene.metric(rooms).await, 301.0);
    // Names that are too long, and names that mean something elsewhere: separators of buses, other clients' ids.
    let long = "r".repeat(64 * 1024);
    client.send(&format!(r#"42["join","{long}"]"#)).await;
    client.send(r#"422["message-with-ack"]"#).await;
    client.expect("432[]").await;
    assert_eq!((scene.metric(rooms).await, scene.refused("room_length").await), (301.0, 1.0));
    for name in ["socket.io#/#", "a:b", "*", "\\u0000", "\\r\\nX: y", "a b", ""] {
        client.send(&format!(r#"423["leave","{name}"]"#)).await;
        assert!(client.text().await.starts_with("433["), "{name:?}");
        client.send(&format!(r#"423["join","{name}"]"#)).await;
        assert!(client.text().await.starts_with("433["), "{name:?}");
    }
    let id = client.id.clone();
    client.vanish();
    assert_eq!(scene.left(&id).await, "transport close");
    assert_eq!(scene.metric(rooms).await, 1.0, "only where the witness is");
    scene.end(32).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn item_35_rooms_that_clients_choose() {
    let scene = Scene::node(&["--max-rooms", "20"]).await;
    let mut client = Client::connect(scene.addr).await;
    let victim = Client::connect(scene.addr).await;
    let mut join = async |room: &str| client.call("join", &serde_json::to_string(room).unwrap()).await;
    for room in [&*victim.id, "", "a\nb", "\u{0}", &"r".repeat(65), &"r".repeat(100_000)] {
        let answer = join(room).await;
        assert!(answer[0]["error"].is_string(), "{room:.30?}: {answer}");
    }
    for room in ["a#b", "a:b", "\u{1f4a9}", "__proto__"] {
        assert_eq!(join(room).await[0]["room"], json!(room));
    }
    for n in 0..20 {
        join(&format!("r{n}")).await;
    }
    assert_eq!(scene.refused("rooms").await, 4.0);
    scene.end(16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_events_is_no_attack() {
    let scene = Scene::start(&[]).await;
    let mut polling = scene.poller().await;
    let events = |n: usize| format!(r#"42{n}["message-with-ack",{n}]"#);
    polling.send(&(0..1_000).map(events).collect::<Vec<_>>().join("\u{1e}")).await;
    for n in 0..1_000 {
        polling.expect(&format!("43{n}[{n}]")).await;
    }
    for n in 0..1_000 {
        polling.send(&events(n)).await;
    }
    for n in 0..1_000 {
        polling.expect(&format!("43{n}[{n}]")).await;
    }
    let metrics = patient("metrics", async { Http::connect(scene.addr).await.get("/metrics").await }).await;
    let met = |line: &&str| line.starts_with("sockeye_limit_") && !line.ends_with(" 0");
    assert_eq!(metrics.text().lines().find(met), None);
    scene.end(16).await;
}
