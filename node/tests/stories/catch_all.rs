//! Handlers for what nobody named: every namespace, every event; and listeners that see all that comes and goes.

use serde_json::json;
use sockeye::{
    Args, ConnectRefused, Data, DisconnectReason, EventName, HandshakeRef, Recipients, Socket, State,
};

use crate::support::{Client, Log, TestServer, cluster, log};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_nearer_handles_the_event() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server
            .state(log)
            .on_any_namespace(|ns| {
                ns.on("both", async || "*+event".to_owned())
                    .on("theirs", async || "*+event".to_owned())
                    .fallback(async |socket: Socket, EventName(event): EventName| {
                        format!("*+* {event} in {}", socket.namespace())
                    })
                    .on_disconnect(
                        async |socket: Socket, State(log): State<Log>, reason: DisconnectReason| {
                            log.note(format!("any {} {reason}", socket.namespace()));
                        },
                    )
            })
            .namespace("/events", |ns| ns.on("both", async || "ns+event".to_owned()))
            .namespace("/all", |ns| {
                ns.on("both", async || "ns+event".to_owned())
                    .fallback(async || "ns+*".to_owned())
                    .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| {
                        log.note(format!("own {reason}"))
                    })
            })
            .namespace("/none", |ns| ns)
    })
    .await;
    let mut client = Client::open(node.addr).await;
    for (namespace, answers) in [
        ("/events", ["ns+event", "*+event", "*+* other in /events"]),
        ("/all", ["ns+event", "ns+*", "ns+*"]),
        ("/none", ["*+event", "*+event", "*+* other in /none"]),
    ] {
        client.join(namespace, "").await;
        for (event, answer) in ["both", "theirs", "other"].iter().zip(answers) {
            client.send(&format!(r#"42{namespace},1["{event}"]"#)).await;
            client.expect(&format!(r#"43{namespace},1["{answer}"]"#)).await;
        }
    }
    // Handlers of every namespace do not make namespaces.
    client.send("40/unknown,").await;
    client.expect(r#"44/unknown,{"message":"Invalid namespace"}"#).await;
    client.join("/", "").await;
    assert_eq!(client.call("theirs", "").await, json!(["*+event"]));
    client.send("41/all,").await;
    lines.expect("own client namespace disconnect").await;
    client.send("41/events,").await;
    lines.expect("any /events client namespace disconnect").await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_namespace_is_accepted_on_demand() {
    let node = TestServer::start(|server| {
        server
            .accept_any_namespace(true)
            .namespace("/named", |ns| ns.on("who", async || "named".to_owned()))
            .namespace_pattern("/tenant-{id}", |ns| ns.on("who", async || "pattern".to_owned()))
            .namespace_when(
                "odd",
                async |request: sockeye::NamespaceRequest| request.path().ends_with("odd"),
                |ns| ns.on("who", async || "predicate".to_owned()),
            )
            .on_any_namespace(|ns| {
                ns.use_connect(async |handshake: HandshakeRef, socket: Socket| {
                    match handshake.query("keep-out").as_deref() == Some(socket.namespace().as_str()) {
                        true => Err(ConnectRefused::new("kept out")),
                        false => Ok(()),
                    }
                })
                .on("who", async |socket: Socket| format!("any {}", socket.namespace()))
            })
    })
    .await;
    let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
    let query = "EIO=4&transport=websocket&keep-out=/tenant-9";
    let mut client = Client::handshake(stream, query, &[]).await.unwrap();
    client.text().await;
    for (namespace, who) in [
        ("/named", "named"),
        ("/tenant-1", "pattern"),
        ("/odd", "predicate"),
        ("/whatever", "any /whatever"),
        ("/deep/er", "any /deep/er"),
    ] {
        client.join(namespace, "").await;
        client.send(&format!(r#"42{namespace},1["who"]"#)).await;
        client.expect(&format!(r#"43{namespace},1["{who}"]"#)).await;
    }
    client.send("40/tenant-9,").await;
    client.expect(r#"44/tenant-9,{"message":"kept out"}"#).await;
    assert_eq!(
        node.metric(r#"sockeye_sockets{nsp="/*"}"#),
        2.0,
        "no metric for each name that clients make up"
    );
    assert_eq!(node.server.io().of("/whatever").unwrap().all().count().await.value, 1);
    client.vanish();
    node.metric_is(r#"sockeye_sockets{nsp="/*"}"#, 0.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_see_every_event_beside_its_handler() {
    let (log, mut lines) = log();
    let (first, second, every) = (log.clone(), log.clone(), log.clone());
    let node = TestServer::start(|server| {
        server
            .state(log)
            .on_any_namespace(move |ns| ns.on_any(move |_, event, _| every.note(format!("every {event}"))))
            .namespace("/", |ns| {
                ns.on_any(move |socket, event, args| {
                    first.note(format!("1 {event} {} {}", args.json(), socket.is_connected()));
                    assert!(event != "bad", "the listener panics");
                })
                .use_event(async |EventName(event): EventName| &*event != "refused")
                .on_any(move |_, event, _| second.note(format!("2 {event}")))
                .on("n", async |Data(n): Data<u32>, State(log): State<Log>| {
                    log.note("handler");
                    n
                })
                .on("bad", async || "handled all the same".to_owned())
                .on("sync", async || ())
            })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    assert_eq!(client.call("n", "5").await, json!([5]));
    for line in ["every n", "1 n [5] true", "2 n", "handler"] {
        lines.expect(line).await;
    }
    // They see what middlewares refuse, what nobody handles, and cannot hurt the event.
    client.send(r#"42["refused"]"#).await;
    client.send(r#"42["unknown",1]"#).await;
    for line in [
        "every refused",
        "1 refused [] true",
        "2 refused",
        "every unknown",
        "1 unknown [1] true",
        "2 unknown",
    ] {
        lines.expect(line).await;
    }
    assert_eq!(client.call("bad", "").await, json!(["handled all the same"]));
    assert_eq!(node.metric("sockeye_handler_panics_total"), 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_see_every_emit_once() {
    let (log, mut lines) = log();
    let log = &log;
    let mut names = ["here", "there"].into_iter();
    let nodes = cluster(2, |server| {
        let (name, log) = (names.next().unwrap(), log.clone());
        server.namespace("/", |ns| {
            ns.on_any_outgoing(move |out| {
                let to = match out.to() {
                    Recipients::Socket(_) => "one".to_owned(),
                    Recipients::Rooms { rooms, except } => format!("{rooms:?} but {except:?}"),
                    _ => unreachable!(),
                };
                log.note(format!("{name} {} {} {to}", out.event(), out.args().json()));
                assert!(out.event() != "bad", "the listener panics");
            })
            .on("echo", async |args: Args| args)
            .on("ask", async |socket: Socket| socket.call("q", 1).await.is_ok())
        })
    })
    .await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(Client::connect(nodes[0].addr).await);
    }
    let mut far = Client::connect(nodes[1].addr).await;
    let io = nodes[0].server.io();
    let socket = io.socket(&clients[0].id).unwrap();

    // One client by its handle; three clients; acks are not shown.
    socket.emit("own", (1, "a"));
    lines.expect(r#"here own [1,"a"] one"#).await;
    clients[0].expect(r#"42["own",1,"a"]"#).await;
    assert_eq!(clients[0].call("echo", "7").await, json!([7]));
    socket.volatile().send("text");
    lines.expect(r#"here message ["text"] one"#).await;
    clients[0].expect(r#"42["message","text"]"#).await;
    io.except("x").emit("all", ());
    lines.expect(r#"here all [] [] but ["x"]"#).await;
    lines.expect(r#"there all [] [] but ["x"]"#).await;
    for client in clients.iter_mut().chain([&mut far]) {
        client.expect(r#"42["all"]"#).await;
    }
    io.local().emit("bad", ());
    lines.expect("here bad [] [] but []").await;
    for client in &mut clients {
        client.expect(r#"42["bad"]"#).await;
    }
    assert_eq!(nodes[0].metric("sockeye_handler_panics_total"), 1.0);
    // A question is an event, its answer is none.
    clients[0].send(r#"425["ask"]"#).await;
    assert!(lines.next().await.starts_with("here q [1] ["));
    let question = clients[0].text().await;
    clients[0].send(&format!("43{}[]", &question[2..question.find('[').unwrap()])).await;
    clients[0].expect("435[true]").await;
    let asked = io.local().emit_with_ack("many", ()).unwrap();
    drop(asked);
    lines.expect("here many [] [] but []").await;
    lines.is_empty();
    for node in nodes {
        node.stop().await;
    }
}
