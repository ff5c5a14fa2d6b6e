//! A horizontally scaled Socket.IO server: library and node.
//!
//! # Map of this crate
//!
//! * [`builder`](ServerBuilder): its settings and handlers; [`server`](Server): run it, or mount it in an axum application
//! * [`Io`], [`Broadcast`]: the server and its clients, from anywhere in the application
//! * [`Socket`]: one client in one namespace; [`RemoteSocket`]: one of any node
//! * [`NamespaceBuilder`]: registering handlers; what they may take is [`FromContext`], what they may return [`IntoAck`]
//! * `ns`: namespaces, rooms, acks, mailboxes
//! * `conn`: connections: sessions, outboxes, the flusher, the timer
//! * [`engineio`]: endpoints for clients that want Engine.IO alone
//! * `http`: requests, long-polling, the upgrade to WebSocket, the accept loop
//! * `cluster`: what the nodes say to each other
//! * [`parser`]: how packets are written on the wire
//! * [`StaticFiles`]: pages and scripts beside the sockets, for development
//! * `log`: the targets `sockeye::engineio` and `sockeye::socketio` of [`tracing`], one for each layer
//! * `metrics`, `admin`: what Prometheus and load balancers see
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! use sockeye::{AckSender, Data, Server, Socket, Spread};
//!
//! let server = Server::builder()
//!     .bus("redis://127.0.0.1:6379")
//!     .namespace("/", |ns| {
//!         ns.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room))
//!             .on("say", async |socket: Socket, Spread((room, text)): Spread<(String, String)>| {
//!                 socket.to(room).emit("said", &text); // everyone else in the room, on every node
//!             })
//!     })
//!     .build()
//!     .await?;
//! # Ok(()) }
//! ```
//!
//! The guides in `docs/` begin with whole programs, which are in `examples/`. Tables in `docs/` have every option and method of
//! python-socketio and of socket.io (JavaScript) beside those of this crate.
//!
//! # Features
//!
//! * Long-polling, WebSocket, and the upgrade from one to the other; [CORS](Cors), custom headers, static files for development.
//! * Namespaces by name, by [pattern](ServerBuilder::namespace_pattern) and by [predicate](ServerBuilder::namespace_when); rooms; acks from one
//!   client and from many; values kept with a socket; binary anywhere inside of arguments.
//! * Handlers are async functions that take [what they need](FromContext) and return [the ack](IntoAck). What is wrong with their registration is
//!   said by the compiler or by [`ServerBuilder::build`].
//! * Several nodes on a [bus](ServerBuilder::bus), also [together with python-socketio](ServerBuilder::bridge_python). Everything that names rooms or
//!   sockets works across nodes, and says which nodes did not answer.
//! * Clients of Socket.IO 3 and 4 (protocol 5), and of 1.x and 2.x (Engine.IO 3) where [`allow_eio3`](ServerBuilder::allow_eio3) lets them in.
//! * [Parsers]: JSON, msgpack, or [one of your own](parser::Parser).
//! * [Middlewares](NamespaceBuilder::use_event), [classes](NamespaceClass) whose methods are the handlers, and background [tasks](Io::spawn) that end
//!   with the server.
//!
//! The crate has no cargo features: everything is always there.
//!
//! # Limits
//!
//! Whatever a client can cause is bounded: what it sends, what is kept for it, and what waits for it. [`Limits`] and [`OutboxLimits`] have the
//! values, [`LimitsMode`] tries stricter ones on real clients. Each limit has a counter. A client that does not read is disconnected as
//! [`Slow`](DisconnectReason::Slow) and delays nobody else.
//!
//! # Security
//!
//! * **Origins.** Only web pages of the server's own origin may connect, unless [`cors`](ServerBuilder::cors) says otherwise. This holds for WebSocket
//!   handshakes, too, which browsers do not protect.
//! * **Ids.** The ids of Engine.IO's sessions are random and signed ([`secret`](ServerBuilder::secret)). They appear in no log and no metric.
//! * **The bus.** Whoever can publish on it can emit to every client: protect it with a password and TLS. Its messages are decoded by a bounded
//!   parser; pickle, which older python-socketio servers write, is never read, because it can run code.
//! * **WebSocket compression (permessage-deflate) is not offered**, because one frame is shared by all who get an event, which compression
//!   contexts of each connection would end; because such a context takes hundreds of kilobytes for each connection; and because compressing
//!   secrets together with text that an attacker chooses leaks them (CRIME, BREACH).
//! * No `unsafe` code in this crate and in `sockeye-proto`.

mod admin;
mod background;
mod builder;
mod changed;
mod cluster;
mod conn;
mod engine;
pub mod engineio;
mod error;
#[cfg(doctest)]
mod guides;
mod http;
mod io;
mod limits;
mod local;
mod log;
mod metrics;
mod ns;
pub mod parser;
mod reason;
mod sent;
mod server;
mod service;
mod state;
mod static_files;

pub use sockeye_bus::{BusConfig, OnOutage};
pub use sockeye_proto::{
    Limits,
    eio::{Protocol, TransportKind},
    id::{NodeId, SocketId},
    name::{NamespacePath, RoomName},
    sio::{Args, ArgsError, Binary, Data, IntoArgs, Parsers, Spread, Value},
};

pub use crate::{
    builder::{BuildError, ServerBuilder},
    changed::Changed,
    conn::{
        handshake::{Handshake, HandshakeRef},
        outbox::{OutboxLimits, SlowPolicy},
    },
    error::{Answer, CallError, DataError, EmitError, Gathered, Partial},
    http::{
        addresses::AddressLimits,
        cookie::{Cookie, SameSite},
        cors::Cors,
        head::RequestHead,
        hooks::Forbidden,
        proxies::TrustedProxies,
    },
    io::{Io, NamespaceInfo, RoomInfo, WeakIo},
    limits::LimitsMode,
    ns::{
        answers::Acks,
        builder::NamespaceBuilder,
        class::{Call, Class, Method, NamespaceClass},
        connect::ConnectRefused,
        context::{Context, HandlerKind},
        extract::{AckSender, Attachments, Auth, EventName, FromContext, Params, Rejection, State},
        fetch::{FetchSockets, SocketPage, SocketPages},
        handler::{AckFailed, Arguments, Fallible, Handler, IntoAck, IntoConnect, Plain},
        hooks::{HandlerError, HandlerErrorKind, Outgoing, Recipients},
        middleware::{EventRefused, IntoStep},
        namespaces::NamespaceRequest,
        operator::Broadcast,
        remote::RemoteSocket,
        socket::{IntoRooms, Socket},
        unicast::Unicast,
    },
    reason::DisconnectReason,
    sent::Sent,
    server::Server,
    service::SocketIoService,
    state::StateMap,
    static_files::StaticFiles,
};
