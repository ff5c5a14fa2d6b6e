//! The attack list: what hostile clients try, against a server in a process of its own.
//!
//! Each test says in its name which item of the list it is. All of them hold the same: another client is served, the memory
//! of the process stays within a bound, what was refused is answered or closed as the protocol says, and it is counted.
//!
//! * `scene`: a server to attack, a client that must be served meanwhile, and what is measured
//! * `http`: requests, handshakes, sessions (1 to 14)
//! * `websocket`: frames and upgrades (15 to 22; 17 is about compression, which is not offered)
//! * `parsing`: Engine.IO and Socket.IO packets (23 to 31)
//! * `msgpack`: the same in another format (32)
//! * `application`: events, acks and rooms without end (33 to 35)

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the stories use the rest of it")]
mod support;

mod application;
mod http;
mod msgpack;
mod parsing;
mod scene;
mod websocket;
