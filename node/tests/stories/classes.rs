//! Class-based namespaces: one instance whose methods are the handlers.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use serde_json::{Value, json};
use sockeye::{
    Args, Auth, Call, Class, ConnectRefused, Data, DisconnectReason, EventName, HandlerKind, Io,
    NamespaceClass, Socket, Spread, State, WeakIo,
};

use crate::support::{Client, Log, TestServer, log};

/// Counts what it said, and knows its namespace.
struct Chat {
    name: &'static str,
    said: AtomicU64,
    home: OnceLock<WeakIo>,
}

impl Chat {
    fn new(name: &'static str) -> Self {
        Self { name, said: AtomicU64::new(0), home: OnceLock::new() }
    }

    fn home(&self) -> Io {
        self.home.get().and_then(WeakIo::upgrade).expect("it was started")
    }

    async fn connect(self: Arc<Self>, socket: Socket, Auth(auth): Auth<Value>) -> Result<(), ConnectRefused> {
        socket.join("lobby");
        match auth["as"].as_str() {
            Some("nobody") => Err(ConnectRefused::new(format!("{} is closed to you", self.name))),
            _ => Ok(()),
        }
    }

    async fn connected(self: Arc<Self>, socket: Socket) {
        socket.emit("welcome", self.name);
    }

    async fn hello(self: Arc<Self>, socket: Socket, Data(name): Data<String>) -> String {
        assert!(socket.is_connected());
        format!("{} says hello to {name}", self.name)
    }

    async fn say(self: Arc<Self>, Data(text): Data<String>) -> u64 {
        // Neither the event nor the room says which namespace is meant.
        self.home().to("lobby").emit("said", &text);
        self.said.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn digest(self: Arc<Self>, Spread((first, second)): Spread<(u64, u64)>) -> u64 {
        first * second + self.name.len() as u64
    }

    async fn rest(self: Arc<Self>, EventName(event): EventName, args: Args) -> Vec<Value> {
        vec![self.name.into(), event.to_string().into(), serde_json::from_str(args.json()).unwrap()]
    }

    async fn disconnect(self: Arc<Self>, State(log): State<Log>, reason: DisconnectReason) {
        log.note(format!("{} {reason}", self.name));
    }
}

impl NamespaceClass for Chat {
    fn handlers(class: Class<Self>) -> Class<Self> {
        class
            .on_connect(Self::connect)
            .on_connected(Self::connected)
            .on("hello", Self::hello)
            .on("say", Self::say)
            .on_blocking("digest", Self::digest)
            .fallback(Self::rest)
            .on_disconnect(Self::disconnect)
    }

    fn start(self: Arc<Self>, io: Io) {
        assert!(self.home.set(io.downgrade()).is_ok(), "once for each namespace");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_instance_serves_all_clients_of_its_namespace() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server
            .state(log)
            .namespace("/a", |ns| ns.class(Chat::new("a")))
            .namespace("/b", |ns| ns.on("hello", async || "a function".to_owned()).class(Chat::new("b")))
    })
    .await;
    let mut first = Client::open(node.addr).await;
    first.send(r#"40/a,{"as":"nobody"}"#).await;
    first.expect(r#"44/a,{"message":"a is closed to you"}"#).await;
    let mut second = Client::open(node.addr).await;
    for client in [&mut first, &mut second] {
        for namespace in ["/a", "/b"] {
            client.join(namespace, "").await;
            client.expect(&format!(r#"42{namespace},["welcome","{}"]"#, &namespace[1..])).await;
        }
    }
    first.send(r#"42/a,1["hello","Ada"]"#).await;
    first.expect(r#"43/a,1["a says hello to Ada"]"#).await;
    // A function wins over the method of the same event, and over no other.
    first.send(r#"42/b,1["hello","Ada"]"#).await;
    first.expect(r#"43/b,1["a function"]"#).await;
    first.send(r#"42/b,2["digest",6,7]"#).await;
    first.expect("43/b,2[43]").await;
    first.send(r#"42/b,3["anything",true]"#).await;
    first.expect(r#"43/b,3[["b","anything",[true]]]"#).await;
    // Both clients talk to one instance, whose emits reach its own namespace.
    for (client, count) in [(true, 1), (false, 2)] {
        let (speaker, listener) = if client { (&mut first, &mut second) } else { (&mut second, &mut first) };
        speaker.send(r#"42/a,9["say","hi"]"#).await;
        speaker.expect(r#"42/a,["said","hi"]"#).await;
        speaker.expect(&format!("43/a,9[{count}]")).await;
        listener.expect(r#"42/a,["said","hi"]"#).await;
    }
    first.send("41/a,").await;
    lines.expect("a client namespace disconnect").await;
    second.vanish();
    let mut rest = [lines.next().await, lines.next().await];
    rest.sort();
    assert_eq!(rest, ["a transport close", "b transport close"]);
    node.stop().await;
    lines.expect("b server shutting down").await;
    lines.is_empty();
}

/// Decides about every call of its methods.
struct Strict {
    log: Log,
}

impl Strict {
    async fn connect(self: Arc<Self>) {
        self.log.note("connect");
    }

    async fn echo(self: Arc<Self>, args: Args) -> Args {
        args
    }

    async fn disconnect(self: Arc<Self>) {
        self.log.note("disconnect");
    }
}

impl NamespaceClass for Strict {
    fn handlers(class: Class<Self>) -> Class<Self> {
        class
            .on_connect(Self::connect)
            .on("echo", Self::echo)
            .on("guarded", Self::echo)
            .on("panic", async |_: Arc<Self>| ())
            .on_disconnect(Self::disconnect)
    }

    async fn dispatch(self: Arc<Self>, mut call: Call) {
        let what = format!(
            "{:?} {:?} {:?}",
            call.kind(),
            call.event_name(),
            call.reason().map(|reason| reason.as_str())
        );
        self.log.note(what);
        tokio::task::yield_now().await;
        match (call.kind(), call.event_name()) {
            (HandlerKind::Connect, _) if call.socket().handshake().query("ban").is_some() => {
                call.refuse("banned")
            }
            (HandlerKind::Connect, _) if call.socket().handshake().query("ignore").is_some() => {}
            (_, Some("panic")) => panic!("the dispatcher was told to"),
            (_, Some("guarded")) if call.args().is_empty() => call.refuse("nothing to guard"),
            (_, Some("unknown")) => {
                assert_eq!(call.io().namespace().as_str(), "/");
                call.reply("no such method");
            }
            (_, Some("echo")) => {
                let twice = sockeye::IntoArgs::into_args((1, 2)).unwrap();
                call.replace_args(twice);
                call.run().await;
                self.log.note("echoed");
            }
            _ => call.run().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dispatch_of_a_class_can_be_overridden() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.namespace("/", |ns| ns.class(Strict { log }).on("sync", async || ()))
    })
    .await;
    for (query, refusal) in [("ban=1", "banned"), ("ignore=1", "Connection rejected by server")] {
        let stream = tokio::net::TcpStream::connect(node.addr).await.unwrap();
        let query = format!("EIO=4&transport=websocket&{query}");
        let mut client = Client::handshake(stream, &query, &[]).await.unwrap();
        client.text().await;
        client.send("40").await;
        client.expect(&format!(r#"44{{"message":"{refusal}"}}"#)).await;
        lines.expect("Connect None None").await;
    }
    let mut client = Client::connect(node.addr).await;
    lines.expect("Connect None None").await;
    lines.expect("connect").await;
    assert_eq!(client.call("echo", "5").await, json!([1, 2]));
    lines.expect(r#"Event Some("echo") None"#).await;
    lines.expect("echoed").await;
    assert_eq!(client.call("guarded", "5").await, json!([5]));
    lines.expect(r#"Event Some("guarded") None"#).await;
    client.send(r#"421["guarded"]"#).await;
    lines.expect(r#"Event Some("guarded") None"#).await;
    node.metric_is(r#"sockeye_handler_errors_total{kind="refused"}"#, 1.0).await;
    client.send(r#"421["panic"]"#).await;
    lines.expect(r#"Event Some("panic") None"#).await;
    node.metric_is("sockeye_handler_panics_total", 1.0).await;
    assert_eq!(client.call("unknown", "").await, json!(["no such method"]));
    lines.expect(r#"Event Some("unknown") None"#).await;
    client.send(r#"421["unheard of"]"#).await;
    lines.expect(r#"Event Some("unheard of") None"#).await;
    node.metric_is("sockeye_unhandled_events_total", 1.0).await;
    // Functions are no calls of the class, and nothing of the above was answered twice.
    client.sync().await;
    client.vanish();
    lines.expect(r#"Disconnect None Some("transport close")"#).await;
    lines.expect("disconnect").await;
    lines.is_empty();
    node.stop().await;
}

/// Greets clients of whatever namespace, and counts the namespaces.
#[derive(Default)]
struct Everywhere {
    namespaces: Arc<AtomicU64>,
}

impl Everywhere {
    async fn whereami(self: Arc<Self>, socket: Socket, io: Io) -> (String, String, u64) {
        (socket.namespace().to_string(), io.namespace().to_string(), self.namespaces.load(Ordering::SeqCst))
    }
}

impl NamespaceClass for Everywhere {
    fn handlers(class: Class<Self>) -> Class<Self> {
        class.on("where", Self::whereami)
    }

    fn start(self: Arc<Self>, io: Io) {
        self.namespaces.fetch_add(1, Ordering::SeqCst);
        // The class works for a namespace also when no client asks it to.
        io.spawn({
            let io = io.clone();
            async move { io.shutting_down().await }
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_class_may_serve_every_namespace() {
    let namespaces = Arc::new(AtomicU64::new(0));
    let class = Everywhere { namespaces: namespaces.clone() };
    let node = TestServer::start(|server| {
        server
            .namespace("/own", |ns| ns.on("where", async || "here".to_owned()))
            .namespace("/other", |ns| ns.on("hello", async || ()))
            .namespace_pattern("/dyn-{id}", |ns| ns)
            .on_any_namespace(|ns| ns.class(class))
    })
    .await;
    assert_eq!(namespaces.load(Ordering::SeqCst), 3, "it is told before any client comes");
    let mut client = Client::connect(node.addr).await;
    assert_eq!(client.call("where", "").await, json!(["/", "/", 3]));
    client.join("/other", "").await;
    client.send(r#"42/other,1["where"]"#).await;
    client.expect(r#"43/other,1["/other","/other",3]"#).await;
    client.join("/own", "").await;
    client.send(r#"42/own,1["where"]"#).await;
    client.expect(r#"43/own,1["here"]"#).await;
    client.join("/dyn-7", "").await;
    client.send(r#"42/dyn-7,1["where"]"#).await;
    client.expect(r#"43/dyn-7,1["/dyn-7","/dyn-7",4]"#).await;
    node.stop().await;
}
