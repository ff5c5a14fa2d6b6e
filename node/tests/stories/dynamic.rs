//! Namespaces that come and go with their clients: by pattern and by predicate.

use std::{sync::Arc, time::Duration};

use sockeye::{Data, NamespaceRequest, Params, Server, Socket};
use tokio::sync::Semaphore;

use crate::support::{Client, TestServer, cluster};

fn tenants(server: sockeye::ServerBuilder) -> sockeye::ServerBuilder {
    server.namespace("/tenant-staff", |ns| ns.on("who", async || "staff".to_owned())).namespace_pattern(
        "/tenant-{id}",
        |ns| {
            ns.on_connect(async |socket: Socket, params: Params| {
                socket.emit("id", params.get("id"));
            })
            .on("who", async |socket: Socket| socket.param("id").map(str::to_owned))
            .on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room))
            .on("say", async |socket: Socket, Data(text): Data<String>| {
                socket.io().to("room").emit("said", &text);
            })
        },
    )
}

/// What a handler without arguments acks.
async fn ask(client: &mut Client, namespace: &str, event: &str) -> String {
    client.send(&format!(r#"42{namespace},1["{event}"]"#)).await;
    client.text().await.replace(&format!("43{namespace},1"), "")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pattern_makes_a_namespace_for_each_path() {
    let node = TestServer::start(tenants).await;
    let mut client = Client::open(node.addr).await;
    client.join("/tenant-7", "").await;
    client.expect(r#"42/tenant-7,["id","7"]"#).await;
    assert_eq!(ask(&mut client, "/tenant-7", "who").await, r#"["7"]"#);
    // A name goes before a pattern, and what no pattern means does not exist.
    client.send("40/tenant-staff,").await;
    assert!(client.text().await.starts_with(r#"40/tenant-staff,{"sid""#));
    assert_eq!(ask(&mut client, "/tenant-staff", "who").await, r#"["staff"]"#);
    for path in ["/tenant-", "/tenant-a/b", "/tenant", "/Tenant-7"] {
        client.send(&format!("40{path},")).await;
        client.expect(&format!(r#"44{path},{{"message":"Invalid namespace"}}"#)).await;
    }
    // Sockets, ids and rooms of two of them are their own.
    let mut other = Client::open(node.addr).await;
    other.join("/tenant-8", "").await;
    other.expect(r#"42/tenant-8,["id","8"]"#).await;
    assert_ne!(other.id, client.id);
    client.send(r#"42/tenant-7,["join","room"]"#).await;
    other.send(r#"42/tenant-8,["join","room"]"#).await;
    other.send(r#"42/tenant-8,["say","hello"]"#).await;
    other.expect(r#"42/tenant-8,["said","hello"]"#).await;
    // Only its own answer comes, not what the other room was told.
    assert_eq!(ask(&mut client, "/tenant-7", "who").await, r#"["7"]"#);
    assert_eq!(node.metric(r#"sockeye_sockets{nsp="/tenant-{id}"}"#), 2.0, "one label for all of them");
    assert_eq!(node.metric("sockeye_namespaces"), 4.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_namespace_is_dropped() {
    let node = TestServer::start(tenants).await;
    let mut client = Client::open(node.addr).await;
    for id in 0..50 {
        client.send(&format!("40/tenant-{id},")).await;
        client.text().await;
        client.expect(&format!(r#"42/tenant-{id},["id","{id}"]"#)).await;
    }
    assert_eq!(node.metric("sockeye_namespaces"), 52.0);
    for id in 0..49 {
        client.send(&format!("41/tenant-{id},")).await;
    }
    node.metric_is("sockeye_namespaces", 3.0).await;
    // One that somebody is in stays, and one that was dropped comes back.
    assert_eq!(ask(&mut client, "/tenant-49", "who").await, r#"["49"]"#);
    client.send("40/tenant-3,").await;
    client.text().await;
    client.expect(r#"42/tenant-3,["id","3"]"#).await;
    client.vanish();
    node.metric_is("sockeye_namespaces", 2.0).await;
    // The application may hold one that is empty.
    let io = node.server.io().of("/tenant-5").expect("the pattern means it");
    let mut client = Client::open(node.addr).await;
    client.join("/tenant-5", "").await;
    client.expect(r#"42/tenant-5,["id","5"]"#).await;
    assert_eq!(io.param("id"), Some("5"));
    assert_eq!(io.emit("news", 1).result().expect("it can be sent"), 1);
    client.expect(r#"42/tenant-5,["news",1]"#).await;
    client.vanish();
    drop(io);
    node.metric_is("sockeye_namespaces", 2.0).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emit_reaches_a_dynamic_namespace_of_another_node() {
    let nodes = cluster(2, tenants).await;
    let mut client = Client::open(nodes[1].addr).await;
    client.join("/tenant-9", "").await;
    client.expect(r#"42/tenant-9,["id","9"]"#).await;
    let io = nodes[0].server.io().of("/tenant-9").expect("the pattern means it here as well");
    io.emit("news", "from afar");
    client.expect(r#"42/tenant-9,["news","from afar"]"#).await;
    assert_eq!(io.all().count().await.value, 1);
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_predicate_is_asked_for_each_client() {
    let gate = Arc::new(Semaphore::new(0));
    let wait = gate.clone();
    let predicate = move |request: NamespaceRequest| {
        let wait = wait.clone();
        async move {
            #[derive(serde::Deserialize)]
            struct Auth {
                #[serde(default)]
                key: String,
            }
            if request.path() == "/slow/1" {
                wait.acquire().await.expect("it is open").forget();
            }
            assert_ne!(request.path(), "/crash/1", "a client asked for it");
            let key = request.auth::<Auth>().map(|auth| auth.key);
            request.handshake().path() == "/socket.io/" && key.as_deref() == Some("good")
        }
    };
    let node = TestServer::start(|server| {
        server.namespace_when("guarded", predicate, |ns| {
            ns.on("hi", async |socket: Socket| socket.namespace().to_string())
        })
    })
    .await;
    let mut client = Client::open(node.addr).await;
    client.join("/a/1", r#"{"key":"good"}"#).await;
    assert_eq!(ask(&mut client, "/a/1", "hi").await, r#"["/a/1"]"#);
    // That somebody is in does not let others in.
    let mut other = Client::open(node.addr).await;
    other.send(r#"40/a/1,{"key":"bad"}"#).await;
    other.expect(r#"44/a/1,{"message":"Invalid namespace"}"#).await;
    other.send("40/a/1,").await;
    other.expect(r#"44/a/1,{"message":"Invalid namespace"}"#).await;
    // A panic is a no, and a slow decision delays nobody else.
    other.send(r#"40/slow/1,{"key":"good"}"#).await;
    other.send("40/crash/1,").await;
    other.expect(r#"44/crash/1,{"message":"Invalid namespace"}"#).await;
    assert_eq!(node.metric("sockeye_handler_panics_total"), 1.0);
    other.join("/a/1", r#"{"key":"good"}"#).await;
    gate.add_permits(1);
    assert!(other.text().await.starts_with(r#"40/slow/1,{"sid""#));
    assert_eq!(node.metric(r#"sockeye_sockets{nsp="/guarded"}"#), 3.0);
    // Who leaves while it is decided is not let in, and nothing is left of the wish.
    other.send(r#"41/slow/1,"#).await;
    other.send(r#"40/slow/1,{"key":"good"}"#).await;
    other.send("41/slow/1,").await;
    assert_eq!(ask(&mut other, "/a/1", "hi").await, r#"["/a/1"]"#);
    gate.add_permits(1);
    client.vanish();
    other.vanish();
    node.metric_is("sockeye_namespaces", 1.0).await;
    node.stop().await;
}

#[tokio::test]
async fn wrong_patterns_are_told_when_the_server_is_built() {
    let error = Server::builder()
        .namespace_pattern("/dyn-{id", |ns| ns)
        .namespace_pattern("/plain", |ns| ns.on("connect", async || ()))
        .build()
        .await
        .expect_err("both are wrong");
    assert_eq!(error.problems.len(), 3, "{error}");
    assert!(error.to_string().contains("a placeholder is not closed"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_may_not_flood_the_server_with_namespaces() {
    let node = TestServer::start(|server| tenants(server).connect_timeout(Duration::from_secs(60))).await;
    let mut client = Client::open(node.addr).await;
    let mut refused = 0;
    for id in 0..200 {
        client.send(&format!("40/tenant-{id},")).await;
        let answer = client.text().await;
        if answer.contains("Too many namespaces") {
            refused += 1;
        } else {
            client.expect(&format!(r#"42/tenant-{id},["id","{id}"]"#)).await;
        }
    }
    assert_eq!(refused, 200 - 64);
    // Those that were refused are gone again.
    node.metric_is("sockeye_namespaces", 64.0 + 2.0).await;
    client.vanish();
    node.metric_is("sockeye_namespaces", 2.0).await;
    node.stop().await;
}
