//! The program as operators and browsers see it: started as a process, asked over the network, ended by signals.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall say where")]

mod client;
mod demo;
mod endpoints;
mod log;
mod options;
mod process;
mod signals;
