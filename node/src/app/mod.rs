//! What the program adds to the library.

pub(crate) mod cli;
pub(crate) mod config;
pub(crate) mod demo;
pub(crate) mod http;
pub(crate) mod log;
pub(crate) mod rooms;
pub(crate) mod run;
