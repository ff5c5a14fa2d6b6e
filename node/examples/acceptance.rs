//! The acceptance app: one small application that conformance suites, interop tests, fault tests and benchmarks drive from
//! outside. Written with the public API, the way a user would write it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use clap::Parser;
use prometheus::IntCounter;
use serde::Deserialize;
use sockeye::{
    Args, Auth, CallError, Class, ConnectRefused, Cookie, Cors, Data, DisconnectReason, EventName,
    HandshakeRef, Io, NamespaceBuilder, NamespaceClass, Params, Parsers, RoomName, Server, Socket, Spread,
    Value, engineio,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

/// The acceptance app.
#[derive(Debug, Parser)]
struct Flags {
    /// Address to serve on; port 0 picks a free one.
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Engine.IO path.
    #[arg(long, default_value = "/socket.io/")]
    path: String,
    /// The bus.
    #[arg(long, default_value = "memory://")]
    bus: String,
    /// Name of the bus channel.
    #[arg(long, default_value = "socketio")]
    channel: String,
    /// How often clients are sent a heartbeat.
    #[arg(long, default_value_t = 25_000)]
    ping_interval_ms: u64,
    /// How long clients may take to answer it.
    #[arg(long, default_value_t = 20_000)]
    ping_timeout_ms: u64,
    /// The largest message accepted, in bytes.
    #[arg(long, default_value_t = 1_000_000)]
    max_payload: usize,
    /// How long a client may stay without joining a namespace.
    #[arg(long, default_value_t = 45_000)]
    connect_timeout_ms: u64,
    /// Set a session cookie of this name at the handshake.
    #[arg(long)]
    cookie: Option<String>,
    /// Long-polling stays long-polling.
    #[arg(long)]
    no_upgrades: bool,
    /// Compress long-polling answers from this size on.
    #[arg(long, default_value_t = 1024)]
    compression_threshold: usize,
    /// Allowed origins beside the own one, `*` for any.
    #[arg(long)]
    cors: Vec<String>,
    /// For how long a client may come back to what it missed; 0 is never.
    #[arg(long, default_value_t = 0)]
    recovery_ms: u64,
    /// Accept clients of Engine.IO 3.
    #[arg(long)]
    eio3: bool,
    /// How packets are written.
    #[arg(long, value_parser = ["json", "msgpack"], default_value = "json")]
    parser: String,
    /// Foreign clusters to take part in: `python`.
    #[arg(long, value_delimiter = ',')]
    bridge: Vec<String>,
    /// Key prefix of the JS adapter and emitter.
    #[arg(long, default_value = "socket.io")]
    js_key: String,
}

impl Flags {
    /// What is not there yet is refused, not ignored.
    fn check(&self) -> Result<(), String> {
        if let Some(bridge) = self.bridge.iter().find(|bridge| *bridge != "python") {
            return Err(format!("--bridge {bridge}: only `python` is there"));
        }
        if self.recovery_ms > 0 {
            return Err(format!(
                "--recovery-ms {}: connection state recovery is not there",
                self.recovery_ms
            ));
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()),
        )
        .init();
    flags.check()?;
    let disconnects = IntCounter::new(
        "acceptance_class_disconnects_total",
        "Sockets that left the namespace of the class.",
    )?;
    let millis = Duration::from_millis;
    let mut builder = Server::builder();
    if let Some(name) = &flags.cookie {
        builder = builder.cookie(Cookie::new(name));
    }
    let server = builder
        .path(&flags.path)
        .bus(&flags.bus)
        .channel(&flags.channel)
        .bridge_python(!flags.bridge.is_empty())
        .ping_interval(millis(flags.ping_interval_ms))
        .ping_timeout(millis(flags.ping_timeout_ms))
        .max_payload(flags.max_payload)
        .parser(if flags.parser == "msgpack" { Parsers::MsgPack } else { Parsers::Json })
        .allow_upgrades(!flags.no_upgrades)
        .compression_threshold(flags.compression_threshold)
        .connect_timeout(millis(flags.connect_timeout_ms))
        .allow_eio3(flags.eio3)
        .cors(match flags.cors.as_slice() {
            [] => Cors::same_origin(),
            all if all.iter().any(|origin| origin == "*") => Cors::any(),
            some => Cors::origins(some),
        })
        .namespace("/", chat)
        .namespace("/custom", chat)
        .namespace("/wild", |ns| ns.fallback(caught))
        .namespace("/auth", |ns| ns.on_connect(authorize))
        .namespace("/class", |ns| ns.class(Greeter { disconnects: disconnects.clone() }))
        .namespace_pattern("/dyn-{id}", |ns| {
            ns.on_connect(async |socket: Socket, params: Params| {
                socket.emit("id", params.get("id"));
            })
        })
        .engine_io("/engine.io/", |endpoint| {
            endpoint.on_message(async |client: engineio::Client, message: engineio::Message| {
                client.send(message);
            })
        })
        .build()
        .await?;

    server.registry().register(Box::new(disconnects))?;

    // This application wants no new clients while its node cannot hear the others.
    let app = server.admin_routes(true);
    let listener = TcpListener::bind(flags.listen).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    println!("listening on {}", listener.local_addr()?);
    server
        .serve_with(listener, app, async {
            terminate.recv().await;
        })
        .await;
    Ok(())
}

/// Answers any event with its name and arguments in one list, and acks with the same.
async fn caught(socket: Socket, event: EventName, Spread(args): Spread<Vec<Value>>) -> Vec<Value> {
    let mut list = vec![Value::from(&*event)];
    list.extend(args);
    socket.emit("caught", Data(&list));
    list
}

async fn authorize(Auth(auth): Auth<serde_json::Value>) -> Result<(), ConnectRefused> {
    match auth["token"].as_str() {
        Some("good") => Ok(()),
        Some("false") => Err(ConnectRefused::default()),
        _ => Err(ConnectRefused::new("not authorized").data(&serde_json::json!({"code": 401}))),
    }
}

/// The handlers of `/class`.
struct Greeter {
    disconnects: IntCounter,
}

impl NamespaceClass for Greeter {
    fn handlers(class: Class<Self>) -> Class<Self> {
        class.on("hello", Self::hello).on_disconnect(Self::disconnect)
    }
}

impl Greeter {
    async fn hello(self: Arc<Self>, Spread(args): Spread<Vec<Value>>) -> Vec<Value> {
        std::iter::once(Value::from("class")).chain(args).collect()
    }

    async fn disconnect(self: Arc<Self>) {
        self.disconnects.inc();
    }
}

/// The handlers of `/` and `/custom`.
fn chat(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on_connect(async |socket: Socket, Auth(auth): Auth<serde_json::Value>| {
        socket.emit("auth", &auth);
    })
    .on_disconnect(async |socket: Socket, reason: DisconnectReason| {
        socket.io().to("watchers").emit("left", Data((socket.id().as_str(), reason.as_str())));
    })
    .on("message", async |socket: Socket, args: Args| {
        socket.emit("message-back", args);
    })
    .on("message-with-ack", async |args: Args| args)
    .on("join", async |socket: Socket, Data(room): Data<String>| {
        socket.join(room);
        rooms(&socket)
    })
    .on("leave", async |socket: Socket, Data(room): Data<String>| {
        socket.leave(room);
        rooms(&socket)
    })
    .on("rooms", async |socket: Socket| rooms(&socket))
    .on("close-room", async |io: Io, Data(room): Data<String>| {
        io.close_room(room);
        true
    })
    .on("emit-to", emit_to)
    .on("broadcast", broadcast)
    .on("call", call)
    .on("call-all", call_all)
    .on("sockets", async |io: Io, Data(room): Data<String>| {
        let mut sockets = io.to(room).sockets().await.value;
        sockets.sort();
        sockets
    })
    .on("count", async |io: Io, Data(room): Data<String>| io.to(room).count().await.value)
    .on("kick", async |io: Io, Data(sid): Data<String>| {
        io.to(sid).disconnect(false);
        true
    })
    .on("move", async |io: Io, Data(to): Data<Move>| {
        io.to(to.sid).join(to.join);
        true
    })
    .on("save-session", async |socket: Socket, Data(session): Data<Session>| {
        socket.save_session(session);
        true
    })
    .on("get-session", async |socket: Socket| {
        Data(socket.session::<Session>().map(|session| (*session).clone()).unwrap_or_default())
    })
    .on("env", async |handshake: HandshakeRef, Data(key): Data<String>| match key.strip_prefix("query:") {
        Some(name) => handshake.query(name),
        None => handshake.header(&key),
    })
    .on("transport", async |socket: Socket| socket.transport().as_str().to_owned())
    .on("bus-ping", bus_ping)
    .on_server_event("bus-ping", async |_, args: Args| args)
    .on("sleep", async |Data(millis): Data<u64>| tokio::time::sleep(Duration::from_millis(millis)).await)
    .on("crash", async || -> () { panic!("a client asked for it") })
}

/// The socket's rooms, sorted, without the one that is named after it.
fn rooms(socket: &Socket) -> Vec<RoomName> {
    let own = socket.id();
    let mut rooms = socket.rooms();
    rooms.retain(|room| **room != *own.as_str());
    rooms.sort();
    rooms
}

type Session = BTreeMap<String, Value>;

#[derive(Deserialize)]
struct EmitTo {
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    event: String,
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    local: bool,
}

async fn emit_to(io: Io, Data(what): Data<EmitTo>) -> Result<bool, sockeye::EmitError> {
    let mut targets = if what.to.is_empty() { io.all() } else { io.to(what.to) };
    targets = targets.except(what.except);
    if what.local {
        targets = targets.local();
    }
    targets.emit(&what.event, Spread(what.args)).result()?;
    Ok(true)
}

async fn broadcast(socket: Socket, Spread(args): Spread<Vec<Value>>) {
    if let Some((Value::String(event), args)) = args.split_first() {
        socket.broadcast().emit(event, Spread(args));
    }
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    sid: String,
    #[serde(default)]
    room: String,
    event: String,
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default = "five_seconds")]
    timeout_ms: u64,
}

fn five_seconds() -> u64 {
    5000
}

async fn call(io: Io, Data(call): Data<Call>) -> Value {
    let timeout = Duration::from_millis(call.timeout_ms);
    let answer = io.to(call.sid).timeout(timeout).call(&call.event, Spread(call.args)).await;
    match answer.map(|args| args.parse::<Vec<Value>>()) {
        Ok(Ok(args)) => object("ok", Value::Array(args)),
        Err(CallError::Timeout(_)) => object("error", "timeout".into()),
        Err(CallError::Disconnected) => object("error", "disconnected".into()),
        Ok(Err(error)) => object("error", error.to_string().into()),
        Err(error) => object("error", error.to_string().into()),
    }
}

async fn call_all(io: Io, Data(call): Data<Call>) -> Result<Value, sockeye::EmitError> {
    let timeout = Duration::from_millis(call.timeout_ms);
    let acks = io.to(call.room).timeout(timeout).emit_with_ack(&call.event, Spread(call.args))?;
    let gathered = acks.gather().await;
    let answers = gathered
        .answers
        .iter()
        .map(|answer| Value::Array(answer.args.parse::<Vec<Value>>().unwrap_or_default()))
        .collect();
    Ok(Value::Object(vec![
        ("ok".into(), Value::Array(answers)),
        ("missing".into(), Value::from(gathered.missing as u64)),
    ]))
}

async fn bus_ping(io: Io, args: Args) -> Result<Vec<Vec<Value>>, sockeye::EmitError> {
    let answers = io.server_call("bus-ping", args, Duration::from_secs(5)).await?;
    Ok(answers
        .value
        .into_iter()
        .map(|(node, args)| {
            let mut answer = vec![Value::from(node.to_string())];
            answer.extend(args.parse::<Vec<Value>>().unwrap_or_default());
            answer
        })
        .collect())
}

#[derive(Deserialize)]
struct Move {
    sid: String,
    join: String,
}

fn object(key: &str, value: Value) -> Value {
    Value::Object(vec![(key.into(), value)])
}
