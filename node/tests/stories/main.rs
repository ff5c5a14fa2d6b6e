//! Stories over real sockets: what a client sees, and what the application's handlers see, of one server and of a cluster.
//!
//! One file per chapter; they share the servers and clients of `tests/support`.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod arguments;
mod builder;
mod chaos;
mod cluster;
mod connect;
mod cors;
mod dynamic;
mod embed;
mod engineio;
mod events;
mod growth;
mod handshake;
mod heartbeat;
mod hostile;
mod limits;
mod parsers;
mod polling;
mod proxies;
mod refusals;
mod rooms;
mod shutdown;
mod slow_consumer;
mod sockets;
mod static_files;
mod upgrade;
