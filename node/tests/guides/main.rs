//! The guides of `docs/` tell the truth: the programs that they begin with are the examples, which do what they say, and every
//! name in the tables is one that the crate has.

#![allow(missing_docs, clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the stories use the rest")]
mod support;

mod names;
mod pages;
mod programs;
