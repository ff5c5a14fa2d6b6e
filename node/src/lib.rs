//! A horizontally scaled Socket.IO server: library and node.
//!
//! # Map of this crate
//!
//! * [`builder`](ServerBuilder): its settings and handlers; [`server`](Server): run it, or mount it in an axum application
//! * [`Io`], [`Broadcast`]: the server and its clients, from anywhere in the application
//! * [`Socket`]: one client in one namespace
//! * [`NamespaceBuilder`]: registering handlers; what they may take is [`FromContext`], what they may return [`IntoAck`]
//! * `ns`: namespaces, rooms, acks, mailboxes
//! * `conn`: connections: sessions, outboxes, the flusher, the timer
//! * [`engineio`]: endpoints for clients that want Engine.IO alone
//! * `http`: requests, long-polling, the upgrade to WebSocket, the accept loop
//! * `cluster`: what the nodes say to each other
//! * [`parser`]: how packets are written on the wire
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

mod admin;
mod background;
mod builder;
mod cluster;
mod conn;
mod engine;
pub mod engineio;
mod error;
mod http;
mod io;
mod limits;
mod metrics;
mod ns;
pub mod parser;
mod reason;
mod sent;
mod server;
mod service;
mod state;

pub use sockeye_bus::{BusConfig, OnOutage};
pub use sockeye_proto::{
    Limits,
    eio::TransportKind,
    id::{NodeId, SocketId},
    name::{NamespacePath, RoomName},
    sio::{Args, ArgsError, Binary, Data, IntoArgs, Parsers, Spread, Value},
};

pub use crate::{
    builder::{BuildError, ServerBuilder},
    conn::{
        handshake::Handshake,
        outbox::{OutboxLimits, SlowPolicy},
    },
    error::{Answer, CallError, EmitError, Gathered, Partial},
    http::cors::Cors,
    io::{Io, WeakIo},
    limits::LimitsMode,
    ns::{
        builder::NamespaceBuilder,
        class::{Call, Class, Method, NamespaceClass},
        connect::ConnectRefused,
        context::{Context, HandlerKind},
        extract::{
            AckSender, Attachments, Auth, EventName, FromContext, HandshakeRef, Params, Rejection, State,
        },
        handler::{AckFailed, Arguments, Fallible, Handler, IntoAck, IntoConnect, Plain},
        hooks::{HandlerError, HandlerErrorKind, Outgoing, Recipients},
        middleware::{EventRefused, IntoStep},
        namespaces::NamespaceRequest,
        operator::{Acks, Broadcast},
        socket::{IntoRooms, Socket},
        unicast::Unicast,
    },
    reason::DisconnectReason,
    sent::Sent,
    server::Server,
    service::SocketIoService,
    state::StateMap,
};

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
