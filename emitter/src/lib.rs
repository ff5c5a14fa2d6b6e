//! Publish Socket.IO events to the clients of a Sockeye cluster from any process, without being part of the cluster.
//!
//! A worker, a cron job or a web backend connects to the broker that the nodes share and emits; every node delivers to
//! its own clients. An emitter only writes: it hears nothing, holds no clients, and nobody waits for it.
//!
//! ```no_run
//! use sockeye_emitter::{Binary, Data, Emitter};
//! use std::time::Duration;
//!
//! #[derive(serde::Serialize)]
//! struct Score { home: u32, away: u32 }
//!
//! # async fn worker(png: Vec<u8>) -> Result<(), Box<dyn std::error::Error>> {
//! let emitter = Emitter::connect("redis://127.0.0.1:6379").await?;
//!
//! emitter.emit("tick", 1);                                               // everyone; fire and forget
//! emitter.to("match:7").emit("score", &Score { home: 2, away: 1 });      // one room; any serde value by reference
//! emitter.to(["a", "b"]).except("muted").emit("news", ("title", 42));    // a tuple is several arguments
//! emitter.of("/chat").to("lobby").emit("image", ("a.png", Binary::from(png)));
//! let delivery = emitter.to("match:7").emit("end", Data(Score { home: 2, away: 2 })).await?; // the broker has it
//! println!("{:?} nodes heard it", delivery.receivers);
//!
//! emitter.to("match:7").leave("match:7");                                // rooms and connections, too
//! emitter.close_room("match:7");
//! emitter.to("banned").disconnect(true);
//!
//! emitter.flush(Duration::from_secs(5)).await?;                          // nothing waits and nothing was lost
//! # Ok(()) }
//! ```
//!
//! # What is promised
//! * **No call waits.** `emit` and the room operations put a message into a bounded queue and return; they work in any
//!   thread, as long as the tokio runtime in which `connect` was called runs. Messages leave in the order of the calls.
//! * **Nothing is lost in silence.** Each call returns a [`Receipt`]. Awaiting it means that the broker took the message
//!   and tells what the broker said ([`Delivery::receivers`]: on Redis, how many nodes heard it), or what was lost and
//!   why ([`EmitError`]). Not awaiting it costs nothing and changes nothing; [`Emitter::flush`] and [`Emitter::stats`]
//!   still tell of losses that nobody was told of.
//! * **Memory is bounded** while the broker is away: by bytes and age ([`Builder::spool_bytes`], [`Builder::spool_age`]);
//!   the oldest messages go first. When the broker is back, the queue is held for a moment
//!   ([`BusConfig::settle`](sockeye_bus::BusConfig::settle)) so that nodes that are still connecting again do not miss it.
//! * *Taken by the broker* is what can be known: an emitter does not hear of clients. On Redis, pub/sub is at most once:
//!   a node that is away at that moment does not get the message later.
//! * A batch whose answer was lost with its connection is sent again. Sockeye nodes recognise and drop the copies;
//!   Python nodes (below) may deliver twice.
//!
//! A process that ends takes its queue with it: call [`Emitter::flush`] or [`Emitter::close`] before.
//!
//! # Dialects
//! `?dialect=python` in the URL writes for python-socketio servers, which Sockeye nodes hear as well; see
//! [`Dialect::Python`] for what that dialect cannot say. The default is Sockeye's own.
//!
//! # Features
//! `cli` (on by default) builds the command-line tool `sockeye-emit`; see its `--help`. As a library, use
//! `default-features = false`.
//!
//! # Map of this crate
//!
//! * [`emitter`]: [`Emitter`], the handle: what to emit to, and the queue's life
//! * [`builder`]: what an emitter can be told, and its URL
//! * [`broadcast`]: [`Broadcast`], a selection of clients and what can be done with them
//! * [`rooms`]: one or several room names
//! * [`receipt`]: what became of a message
//! * [`error`]: what was lost, and why
//! * `wire`: from an operation to the messages that say it, for each dialect; pure
//! * `ledger`: what was published and lost, and of what nobody was told

pub mod broadcast;
pub mod builder;
pub mod emitter;
pub mod error;
mod ledger;
pub mod receipt;
pub mod rooms;
mod wire;

pub use crate::{
    broadcast::Broadcast,
    builder::{Builder, Dialect},
    emitter::{Emitter, Stats},
    error::{EmitError, FlushError, Reason},
    receipt::Receipt,
    rooms::IntoRooms,
};
pub use sockeye_bus::{BusConfig, Delivery, DropReason, Error, ErrorKind, Observer, OnOutage};
pub use sockeye_proto::{
    bus::python::integer_room,
    name::{NamespacePath, RoomName},
    sio::{Args, ArgsError, Binary, Data, IntoArgs, Value},
};

/// Compiles the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/workers.md")]
struct Workers;
