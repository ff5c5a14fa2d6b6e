//! Load generator for Socket.IO servers: puts load on a server, checks what comes back, and says what it cost.
//!
//! One thread, one loop, raw sockets: the generator often shares a machine with the server it measures, so it must
//! be lighter than any server. Nothing here knows Sockeye; every server with a few events can be measured (see
//! `sockeye-loadtest --help`).
//!
//! # Map of this crate
//!
//! * [`cli`]: the command line; start here.
//! * [`scenario`]: `fanout`, `acks`, `connect`, `idle`; when to measure; the checks of what comes back.
//! * [`compare`]: two servers in interleaved rounds, a table with ratios and whether they are sure.
//! * [`client`]: Socket.IO clients over WebSocket and long-polling.
//! * [`wire`]: the bytes: HTTP, WebSocket frames, Socket.IO packets.
//! * [`net`]: the loop and its connections.
//! * [`process`]: CPU time and memory of the server, cores, starting and stopping it.
//! * [`stats`]: latency histograms, medians, comparisons.
//! * [`report`]: results as text and JSON; [`progress`]: the line while it runs.
//! * [`fault`]: what can go wrong, counted by kind.
//! * [`target`]: which servers, and how to reach them; [`interrupt`]: Ctrl-C.

pub mod cli;
pub mod client;
pub mod compare;
pub mod fault;
pub mod interrupt;
pub mod net;
pub mod process;
pub mod progress;
pub mod report;
pub mod scenario;
pub mod stats;
pub mod target;
pub mod wire;
