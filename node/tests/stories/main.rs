//! Stories over real sockets: what a client sees, and what the application's handlers see, of one server and of a cluster.
//!
//! One file per chapter; they share the servers and clients of `tests/support`.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod acks;
mod addresses;
mod arguments;
mod background;
mod builder;
mod catch_all;
mod chaos;
mod classes;
mod cluster;
mod compression;
mod connect;
mod cors;
mod dynamic;
mod eio3;
mod embed;
mod engineio;
mod events;
mod growth;
mod handshake;
mod heartbeat;
mod hostile;
mod limits;
mod middleware;
mod parsers;
mod polling;
mod proxies;
mod proxy_protocol;
mod reasons;
mod refusals;
mod rooms;
mod sessions;
mod shutdown;
mod side_by_side;
mod slow_consumer;
mod sockets;
mod static_files;
mod upgrade;
