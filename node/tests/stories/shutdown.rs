//! The end of a server: everyone hears of it in a way that makes stock clients go elsewhere.

use std::{sync::Arc, time::Duration};

use sockeye::{Data, DisconnectReason, ServerBuilder, Socket, State};
use tokio::sync::Semaphore;

use crate::support::{Client, Frame, Http, Log, PATIENCE, Polling, TestServer, log, patient, until};

fn handlers(server: ServerBuilder, log: Log) -> ServerBuilder {
    server.state(log).namespace("/other", |ns| ns).namespace("/", |ns| {
        ns.on("sync", async || ()).on_disconnect(
            async |socket: Socket, State(log): State<Log>, reason: DisconnectReason| {
                // Something that takes a while, a database for example.
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                log.note(format!("{reason} {}", socket.rooms().len()));
            },
        )
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn websockets_are_closed_without_a_disconnect_packet() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| handlers(server, log)).await;
    let addr = node.addr;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(addr).await;
        client.join("/other", "").await;
        clients.push(client);
    }
    let io = node.server.io();
    for n in 0..100 {
        io.emit("n", n);
    }
    let server = node.server.clone();
    node.stop().await;
    for client in &mut clients {
        // What was on its way arrives, and then the transport ends: a `41` would make stock clients stay away.
        for n in 0..100 {
            client.expect(&format!(r#"42["n",{n}]"#)).await;
        }
        client.closed().await;
    }
    // The handlers have ended before the server did.
    for _ in 0..10 {
        lines.expect("server shutting down 1").await;
    }
    lines.is_empty();
    assert!(server.metrics().contains(r#"sockeye_disconnections_total{reason="server shutting down"} 20"#));
    assert!(server.metrics().contains(r#"sockeye_node_state{state="draining"} 1"#));
    assert_eq!((server.io().connections(), server.io().emit("late", ()).reached()), (0, 0));
    let refused = tokio::net::TcpStream::connect(addr).await;
    assert!(refused.is_err(), "nobody listens any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn polling_clients_get_an_error_and_no_close_packet() {
    // A packet `1` means the end of the session that the client wanted; after an error it comes back, to another node.
    let (log, mut lines) = log();
    let node = TestServer::start(|server| handlers(server, log)).await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = Polling::connect(node.addr).await;
        client.begin_get().await;
        clients.push(client);
    }
    for client in &mut clients {
        client.send("3").await;
    }
    node.stop().await;
    let mut errors = 0;
    for mut client in clients {
        // None: its GET had not been read yet.
        if let Some(answer) = client.gets.answer_or_end().await {
            assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{answer:?}");
            errors += 1;
        }
    }
    assert!(errors > 0);
    for _ in 0..20 {
        lines.expect("server shutting down 1").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_under_way_may_end() {
    let gate = Arc::new(Semaphore::new(0));
    let (log, mut lines) = log();
    let mut node = TestServer::start(|server| {
        server.state(gate.clone()).state(log).namespace("/", |ns| {
            ns.on(
                "work",
                async |Data(n): Data<u32>, State(gate): State<Arc<Semaphore>>, State(log): State<Log>| {
                    log.note(format!("{n} begins"));
                    gate.acquire().await.unwrap().forget();
                    log.note(format!("{n} ends"));
                },
            )
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"42["work",1]"#).await;
    lines.expect("1 begins").await;
    node.begin_stop();
    client.closed().await;
    lines.is_empty();
    gate.add_permits(1);
    node.stop().await;
    lines.expect("1 ends").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_never_ends_is_cut_off() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.shutdown_timeout(Duration::from_millis(200)).state(log).namespace("/", |ns| {
            ns.on("forever", async |State(log): State<Log>| -> () {
                log.note("begins");
                std::future::pending().await
            })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"42["forever"]"#).await;
    lines.expect("begins").await;
    node.stop().await;
    client.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_under_way_does_not_hold_up_the_end() {
    let (log, _lines) = log();
    let node = TestServer::start(|server| {
        handlers(server, log).shutdown_timeout(PATIENCE * 100).upgrade_timeout(PATIENCE * 100)
    })
    .await;
    let client = Polling::connect(node.addr).await;
    let mut silent = Client::probe(node.addr, client.sid()).await.unwrap();
    let other = Polling::connect(node.addr).await;
    let mut probed = Client::probe(node.addr, other.sid()).await.unwrap();
    probed.send("2probe").await;
    probed.expect("3probe").await;
    node.stop().await;
    silent.closed().await;
    probed.closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_post_that_is_never_complete_does_not_hold_up_the_end() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| handlers(server, log).shutdown_timeout(PATIENCE * 100)).await;
    let client = Polling::connect(node.addr).await;
    let mut post = Http::connect(node.addr).await;
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n42[", client.target());
    post.write(head.as_bytes()).await;
    // Nothing was ever asked on this one.
    let mut silent = Http::connect(node.addr).await;
    Client::connect(node.addr).await.sync().await;
    node.stop().await;
    post.ended().await;
    silent.ended().await;
    let ends = [lines.next().await, lines.next().await];
    assert!(ends.contains(&"server shutting down 1".to_owned()), "{ends:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_on_its_way_out_takes_nobody() {
    // The listener may be another's, as in an embedding application: then requests still come.
    let (log, _lines) = log();
    let server = handlers(
        sockeye::Server::builder().bus(format!("memory://{}", crate::support::server::unique("draining"))),
        log,
    )
    .build()
    .await
    .unwrap();
    let listener = crate::support::server::listen().await;
    let addr = listener.local_addr().unwrap();
    let app = axum::Router::new().route_service("/socket.io/", server.service());
    let serving = tokio::spawn(async move { axum::serve(listener, app).await });
    let mut before = Client::connect(addr).await;
    patient("the end", server.shutdown()).await;
    before.closed().await;
    let answer = Http::connect(addr).await.get("/socket.io/?EIO=4&transport=polling").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    let stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    let refusal = Client::handshake(stream, "EIO=4&transport=websocket", &[]).await.err().unwrap();
    assert_eq!(refusal.status(), 503);
    assert!(
        server.metrics().contains(r#"sockeye_handshakes_total{result="draining",transport="polling"} 1"#)
    );
    // A second end is none.
    patient("the end, again", server.shutdown()).await;
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_come_during_the_end_are_not_forgotten() {
    let (log, _lines) = log();
    let mut node = TestServer::start(|server| handlers(server, log).shutdown_timeout(PATIENCE * 100)).await;
    let addr = node.addr;
    let coming: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(async move {
                // Until nobody answers any more.
                let mut ended = Vec::new();
                while let Ok(stream) = tokio::net::TcpStream::connect(addr).await {
                    let mut http = Http::over(stream);
                    http.begin(
                        "GET",
                        "/socket.io/?EIO=4&transport=websocket",
                        &[
                            ("connection", "upgrade"),
                            ("upgrade", "websocket"),
                            ("sec-websocket-version", "13"),
                            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                        ],
                        b"",
                    )
                    .await;
                    if ended.len() < 200 {
                        ended.push(http);
                    }
                }
                for mut http in ended {
                    http.ended().await;
                }
            })
        })
        .collect();
    until("some clients", || node.server.io().connections() > 20).await;
    node.begin_stop();
    node.stop().await;
    for coming in coming {
        patient("the end of those who came", coming).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_does_not_hold_up_the_end_for_ever() {
    let (log, mut lines) = log();
    let node =
        TestServer::start(|server| handlers(server, log).shutdown_timeout(Duration::from_millis(500))).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Client::open_lazy(socket.connect(node.addr).await.unwrap()).await;
    client.join("/", "").await;
    let text = "x".repeat(3_000_000);
    while node.server.io().emit("fill", &text).reached() == 1 {
        if node.metric("sockeye_send_queue_bytes") > 2_000_000.0 {
            break;
        }
    }
    node.stop().await;
    assert!(["server shutting down 1", "slow 1"].contains(&&*lines.next().await));
    assert_ne!(client.next().await, Frame::Closed(None), "what had left can be read");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_come_do_not_hold_up_the_end() {
    let long = Duration::from_secs(3600);
    let (log, _lines) = log();
    let node =
        TestServer::start(|server| handlers(server, log).request_timeout(long).shutdown_timeout(long)).await;
    let mut half = Http::connect(node.addr).await;
    half.write(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\n").await;
    let _nothing = Http::connect(node.addr).await;
    let mut idle = Http::connect(node.addr).await;
    assert_eq!(idle.get("/elsewhere").await.status, 404);
    let mut again = Http::connect(node.addr).await;
    assert_eq!(again.get("/elsewhere").await.status, 404);
    again.write(b"POST /socket.io/").await;
    // A body that does not come, of a session.
    let client = Polling::connect(node.addr).await;
    let mut post = Http::connect(node.addr).await;
    let head = format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n42", client.target());
    post.write(head.as_bytes()).await;
    node.stop().await;
    half.ended().await;
}
