//! The server inside another's application: beside its routes, behind its accept loop, over streams that are not TCP.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, routing::get};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sockeye::{
    Args, Data, DisconnectReason, HandshakeRef, OutboxLimits, Server, ServerBuilder, Socket, State, Value,
};
use tokio::io::DuplexStream;
use tower_service::Service;

use crate::support::{
    Client, Frame, Http, Lines, Log, PATIENCE, Polling, TestServer, log, patient,
    server::{listen, unique},
    until,
};

async fn build(configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> (Server, Lines) {
    let (log, lines) = log();
    let builder =
        Server::builder().bus(format!("memory://{}", unique("embed"))).state(log).namespace("/", |ns| {
            ns.on("echo", async |args: Args| args)
                .on("peer", async |handshake: HandshakeRef| {
                    handshake.peer_addr().map(|peer| peer.ip().to_string())
                })
                .on("transport", async |socket: Socket| socket.transport().as_str().to_owned())
                .on("big", async |Data(size): Data<usize>| "x".repeat(size))
                .on("count", async |State(log): State<Log>, Data(n): Data<u32>| log.note(n))
                .on("sync", async || ())
                .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
        });
    (configure(builder).build().await.unwrap(), lines)
}

// === axum ===

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_an_axum_application_beside_its_own_routes() {
    let (server, mut lines) = build(|server| server.path("/live/socket.io/")).await;
    let (second, _) = build(|server| server).await;
    let app = Router::new()
        .route("/", get(async || "my own page"))
        .route(
            "/sockets",
            get(async |axum::extract::State(server): axum::extract::State<Server>| {
                server.io().connections().to_string()
            }),
        )
        .with_state(server.clone())
        .route_service("/live/socket.io/", server.service())
        .route_service("/socket.io/", second.service());
    let listener = listen().await;
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
    });

    assert_eq!(Http::connect(addr).await.get("/").await.text(), "my own page");
    assert_eq!(Http::connect(addr).await.get("/elsewhere").await.status, 404);
    let mut websocket = Client::connect(addr).await;
    assert_eq!(websocket.call("peer", "").await, json!(["127.0.0.1"]));
    assert_eq!(second.io().connections(), 1);
    assert_eq!(server.io().connections(), 0);
    let mut http = Http::connect(addr).await;
    let open = http.get("/live/socket.io/?EIO=4&transport=polling").await;
    assert_eq!(open.status, 200);
    assert_eq!(Http::connect(addr).await.get("/sockets").await.text(), "1");

    // Long-polling that becomes a WebSocket.
    let mut polling = Polling::connect(addr).await;
    polling.send(r#"421["peer"]"#).await;
    polling.expect(r#"431["127.0.0.1"]"#).await;
    let mut upgraded = Client::probe(addr, polling.sid()).await.unwrap();
    upgraded.send("2probe").await;
    upgraded.expect("3probe").await;
    upgraded.send("5").await;
    assert_eq!(upgraded.call("transport", "").await, json!(["websocket"]));
    second.io().emit("all", 1);
    upgraded.expect(r#"42["all",1]"#).await;
    websocket.expect(r#"42["all",1]"#).await;

    patient("the end", server.shutdown()).await;
    lines.is_empty();
    websocket.sync().await;
    patient("the end", second.shutdown()).await;
    websocket.closed().await;
    upgraded.closed().await;
    assert_eq!(Http::connect(addr).await.get("/").await.text(), "my own page", "the application goes on");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_routers_that_take_a_part_of_the_path_away() {
    let (nested, _) = build(|server| server.path("/live/socket.io/")).await;
    let (inner, _) = build(|server| server).await;
    let app = Router::new()
        .nest_service("/live/socket.io", nested.service())
        .nest("/api", Router::new().route_service("/socket.io/", inner.service()));
    let listener = listen().await;
    let addr = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut http = Http::connect(addr).await;
    for target in ["/live/socket.io/?EIO=4&transport=polling", "/live/socket.io?EIO=4&transport=polling"] {
        assert_eq!(http.get(target).await.status, 200, "{target}");
    }
    assert_eq!(http.get("/live/socket.io/x?EIO=4&transport=polling").await.status, 404);
    assert_eq!(nested.io().connections(), 2);
    assert_eq!(http.get("/api/socket.io/?EIO=4&transport=polling").await.status, 200);
    assert_eq!(inner.io().connections(), 1);
    let mut client = Client::open_at(addr, "/live/socket.io/").await;
    client.join("/", "").await;
    client.sync().await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_that_speaks_tls_itself() {
    let (server, _) = build(|server| server).await;
    for (service, scheme) in [(server.service(), "http"), (server.service().over_tls(), "https")] {
        let app = Router::new().route_service("/socket.io/", service);
        let listener = listen().await;
        let addr = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        for page in ["http", "https"] {
            let origin = format!("{page}://test");
            let headers = [("origin", &*origin)];
            let mut http = Http::connect(addr).await;
            let answer = http.request("GET", "/socket.io/?EIO=4&transport=polling", &headers, b"").await;
            assert_eq!(answer.status == 200, page == scheme, "{origin} on {scheme}");
        }
        serving.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_application_behind_the_servers_own_accept_loop() {
    let (server, _lines) = build(|server| server).await;
    let app = Router::new().route(
        "/peer",
        get(async |axum::extract::ConnectInfo(peer): axum::extract::ConnectInfo<SocketAddr>| {
            peer.ip().to_string()
        }),
    );
    let listener = listen().await;
    let addr = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        server.serve_with(listener, app, async { drop(stopped.await) }).await;
    });
    assert_eq!(Http::connect(addr).await.get("/peer").await.text(), "127.0.0.1");
    assert_eq!(Http::connect(addr).await.get("/nothing").await.status, 404);
    let mut client = Client::connect(addr).await;
    client.sync().await;
    stop.send(()).unwrap();
    client.closed().await;
    patient("the end", serving).await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_unix_socket() {
    let (server, mut lines) = build(|server| server).await;
    let path = std::env::temp_dir().join(format!("sockeye-{}-{}.sock", std::process::id(), unique("unix")));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let app = Router::new().route_service("/socket.io/", server.service());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let connect = async || tokio::net::UnixStream::connect(&path).await.unwrap();
    let mut client = Client::open_over(connect().await).await;
    client.join("/", "").await;
    assert_eq!(client.call("peer", "").await, json!([null]), "such a peer has no address");
    let mut polling = Polling::over(Http::over(connect().await), Http::over(connect().await)).await;
    polling.join("/").await;
    let mut upgraded = Client::probe_over(connect().await, polling.sid()).await.unwrap();
    upgraded.send("2probe").await;
    upgraded.expect("3probe").await;
    upgraded.send("5").await;
    upgraded.sync().await;
    upgraded.vanish();
    lines.expect("transport close").await;
    server.io().to(client.id.as_str()).disconnect(true);
    client.expect("41").await;
    client.closed().await;
    serving.abort();
    std::fs::remove_file(path).unwrap();
}

// === any stream ===

/// What the system keeps between client and server: little, so that writes have to wait.
const PIPE: usize = 1024;

/// Serves one end of a pipe with hyper and returns the other.
fn connect(server: &Server) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let service = server.service();
    tokio::spawn(async move {
        let service = service_fn(move |request| {
            let mut service = service.clone();
            async move { service.call(request).await }
        });
        let _ = http1::Builder::new().serve_connection(TokioIo::new(theirs), service).with_upgrades().await;
    });
    ours
}

async fn websocket(server: &Server) -> Client {
    let mut client = Client::open_over(connect(server)).await;
    client.join("/", "").await;
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_over_any_stream() {
    let (server, mut lines) = build(|server| server.ping_interval(Duration::from_millis(50))).await;
    let mut client = websocket(&server).await;
    let io = server.io();
    assert_eq!(client.call("echo", r#"1,{"a":[null]}"#).await, json!([1, {"a": [null]}]));
    // Pushed from outside of its task, in order, larger than the pipe.
    let texts: Vec<String> = (0..200).map(|n| "x".repeat(n * 37)).collect();
    for text in &texts {
        assert_eq!(io.emit("n", text).reached(), 1);
    }
    for text in &texts {
        client.expect(&format!(r#"42["n","{text}"]"#)).await;
    }
    assert_eq!(client.call("big", "300000").await[0].as_str().unwrap().len(), 300_000);
    // Binary, both ways.
    client.send(r#"451-9["echo",{"_placeholder":true,"num":0}]"#).await;
    client.send_binary(&[7; 5_000]).await;
    client.expect(r#"461-9[{"_placeholder":true,"num":0}]"#).await;
    client.expect_binary(&[7; 5_000]).await;
    // It is alive between events, too.
    client.shows_pings = true;
    client.expect("2").await;
    client.send("3").await;
    client.expect("2").await;
    client.send("3").await;
    client.shows_pings = false;
    client.sync().await;
    client.vanish();
    lines.expect("transport close").await;
    assert_eq!(io.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_over_any_stream() {
    let (server, mut lines) = build(|server| server).await;
    let mut polling = Polling::over(Http::over(connect(&server)), Http::over(connect(&server))).await;
    polling.join("/").await;
    let mut client = Client::probe_over(connect(&server), polling.sid()).await.unwrap();
    client.send("2probe").await;
    client.expect("3probe").await;
    for n in 0..100 {
        server.io().emit("n", n);
    }
    client.send("5").await;
    for n in 0..50 {
        client.send(&format!(r#"42["count",{n}]"#)).await;
    }
    for n in 0..100 {
        client.expect(&format!(r#"42["n",{n}]"#)).await;
    }
    for n in 0..50 {
        lines.expect(&n.to_string()).await;
    }
    // What is sent from now on does not wait for the client to say something.
    server.io().emit("later", ());
    client.expect(r#"42["later"]"#).await;
    assert_eq!(client.call("transport", "").await, json!(["websocket"]));
    // A probe that comes to nothing.
    let mut polling = Polling::over(Http::over(connect(&server)), Http::over(connect(&server))).await;
    polling.join("/").await;
    let mut probe = Client::probe_over(connect(&server), polling.sid()).await.unwrap();
    probe.send("nonsense").await;
    probe.closed().await;
    polling.send(r#"421["transport"]"#).await;
    polling.expect(r#"431["polling"]"#).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_connection_over_any_stream() {
    let (server, mut lines) = build(|server| server.max_payload(10_000)).await;
    // By the server: what is queued leaves before the end.
    let mut client = websocket(&server).await;
    let socket = server.io().socket(&client.id).unwrap();
    let text = "x".repeat(5 * PIPE);
    for _ in 0..20 {
        socket.emit("n", &text);
    }
    socket.disconnect(true);
    lines.expect("server namespace disconnect").await;
    for _ in 0..20 {
        client.expect(&format!(r#"42["n","{text}"]"#)).await;
    }
    client.expect("41").await;
    client.closed().await;
    // By a client's fault: it is told the code, also while it goes on sending.
    let mut client = websocket(&server).await;
    client.send(&"4".repeat(10_001)).await;
    client.send(&"x".repeat(5_000)).await;
    assert_eq!(client.closed().await, Some(1009));
    lines.expect("transport close").await;
    let mut client = websocket(&server).await;
    client.send_bytes(&[0x81, 0x01, b'3']).await;
    assert_eq!(client.closed().await, Some(1002), "an unmasked frame");
    lines.expect("transport error").await;
    // By the client's own goodbye.
    let mut client = websocket(&server).await;
    client.send_raw(tokio_tungstenite::tungstenite::Message::Close(None)).await;
    client.closed().await;
    lines.expect("transport close").await;
    // By the end of the server.
    let mut client = websocket(&server).await;
    patient("the end", server.shutdown()).await;
    client.closed().await;
    lines.expect("server shutting down").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_any_stream() {
    let limits = OutboxLimits {
        soft_bytes: 20_000,
        soft_packets: 100,
        hard_bytes: 200_000,
        hard_packets: 1_000,
        max_age: PATIENCE * 100,
        ..OutboxLimits::default()
    };
    let (server, mut lines) = build(|server| server.outbox_limits(limits)).await;
    let io = server.io();
    let queued = || {
        let text = server.metrics();
        let line = text.lines().find(|line| line.starts_with("sockeye_send_queue_bytes ")).unwrap();
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };

    // Volatile events are dropped, and once it has read everything, they no longer are.
    let mut client = Client::open_lazy(connect(&server)).await;
    client.join("/", "").await;
    let socket = io.socket(&client.id).unwrap();
    let text = "x".repeat(5_000);
    for round in 0..10 {
        let mut sent = 0;
        until("a volatile event to be dropped", || {
            let kept = socket.volatile().emit("v", (round, &text)).reached() == 1;
            sent += usize::from(kept);
            assert!(queued() <= 25_000.0, "{}", queued());
            !kept
        })
        .await;
        for _ in 0..sent {
            let Frame::Text(text) = client.next().await else { panic!("no text") };
            assert!(text.starts_with(&format!(r#"42["v",{round},"#)));
        }
        until("an empty queue", || queued() == 0.0).await;
    }

    // Answers to a burst of questions wait for it.
    for n in 0..30 {
        client.send(&format!(r#"42{n}["big",5000]"#)).await;
    }
    until("the server to stop reading", || queued() > 20_000.0).await;
    lines.is_empty();
    for n in 0..30 {
        assert!(client.text().await.starts_with(&format!("43{n}[")));
    }
    client.sync().await;

    // Pongs count, too.
    socket.emit("fill", "x".repeat(100_000));
    socket.emit("fill", &text);
    let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[b'p'; 125]].concat();
    client.flood(&ping.repeat(1_000), 20).await;
    assert!(queued() <= 400_000.0, "{}", queued());

    // And in the end it is closed.
    until("the limit", || socket.emit("n", &text).reached() == 0).await;
    lines.expect("slow").await;
    assert_eq!((io.connections(), queued()), (0, 0.0));
    drop(client);

    // One that is thrown out and reads nothing does not stay either.
    let stuck = OutboxLimits { max_age: Duration::from_millis(100), ..limits };
    let (server, mut lines) = build(|server| server.outbox_limits(stuck)).await;
    let client = {
        let mut client = Client::open_lazy(connect(&server)).await;
        client.join("/", "").await;
        client
    };
    let socket = server.io().socket(&client.id).unwrap();
    for _ in 0..20 {
        socket.emit("n", &text);
    }
    socket.disconnect(true);
    lines.expect("server namespace disconnect").await;
    let undelivered = "sockeye_undelivered_packets_total 0";
    until("the server to give up", || !server.metrics().contains(undelivered)).await;
    patient("the end", server.shutdown()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_events_over_both_kinds_of_stream() {
    // One server, clients over TCP and over pipes in one room.
    let (server, _lines) = build(|server| server).await;
    let node = TestServer::run(server.clone()).await;
    let mut tcp = Client::connect(node.addr).await;
    let mut pipe = websocket(&server).await;
    for n in 0..300_u32 {
        let value = if n % 3 == 0 { Value::from("x".repeat(n as usize)) } else { Value::from(n) };
        assert_eq!(server.io().emit("n", &value).reached(), 2);
    }
    for n in 0..300 {
        let text = tcp.text().await;
        if n % 3 != 0 {
            assert_eq!(text, format!(r#"42["n",{n}]"#));
        }
        pipe.expect(&text).await;
    }
    node.stop().await;
}
