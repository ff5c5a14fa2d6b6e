//! What the fuzz targets do with their input.
//!
//! They live apart from the targets so that `tests/fuzz_corpora.rs` can run them over the committed corpora, and over
//! random bytes, with a stable compiler and without libFuzzer. To add one: a function here, a row in [`ALL`], a target
//! of two lines in `fuzz_targets/` with its entry in `Cargo.toml`, and a few inputs in `corpus/NAME/`.
//!
//! `fuzz/run.sh 60 NAME` fuzzes one for a minute and keeps what is found apart from what is committed.

pub mod bus;
pub mod eio;
pub mod eio_v3;
pub mod msgpack;
pub mod proxy;
pub mod sio;
pub mod ws;

/// A body: it panics if the input shows a defect.
pub type Body = fn(&[u8]);

/// The name of every target with its body.
pub const ALL: &[(&str, Body)] = &[
    ("ws_decode", ws::decode),
    ("ws_differential", ws::differential),
    ("eio_payload", eio::payload),
    ("eio_request", eio::request),
    ("eio_session", eio::session),
    ("eio_payload_v3_text", eio_v3::text),
    ("eio_payload_v3_octets", eio_v3::octets),
    ("eio_jsonp", eio_v3::jsonp),
    ("json_validate", sio::validate),
    ("sio_text", sio::text),
    ("sio_binary", sio::binary),
    ("msgpack_packet", msgpack::packet),
    ("msgpack_written", msgpack::written),
    ("proxy_header", proxy::header),
    ("native_envelope", bus::native_envelope),
    ("python_envelope", bus::python_envelope),
];
