//! Packets in the format of the npm package `socket.io-msgpack-parser`: each is one binary message, the msgpack map
//! `{type, data, nsp, id?}`, in which binary is native and nothing is attached.
//!
//! Inside of the server arguments are JSON text and attachments ([`Args`](super::Args)), whatever clients speak; so this
//! is a translation between the two, in both directions without building values in between:
//!
//! | msgpack from a client | JSON |
//! |---|---|
//! | nil, NaN, ±Infinity | `null` |
//! | undefined (the ext `d4 00 00`) | `null`; a member of a map is left out |
//! | integers | all their digits; floats without a fraction, below 2^53, as integers, as `JSON.stringify` writes them |
//! | bin, and ext 0 with an explicit length (an `ArrayBuffer`) | a placeholder and an attachment |
//! | timestamps: ext -1, and the ext `d7 00` (milliseconds) | ISO 8601 text, `null` beyond the years that JavaScript knows |
//! | any other ext | a list of its type and its bytes, which is what JavaScript's decoder makes of it |
//! | keys of maps that are not text | their JSON as text; lists, maps and binary are refused as keys |
//!
//! A map that looks like a placeholder is just a map, unless there is binary in the same packet: then nobody behind this
//! could tell the two apart, and the packet is refused.
//!
//! What is written takes the smallest form of each value, as `notepack.io` does, floats always 64 bits.
//!
//! * `token`: one value's header after another
//! * `decode`: packets; `to_json`: their data; `time`: dates
//! * `encode`: packets; `from_json`: their data

mod decode;
mod encode;
mod from_json;
mod time;
mod to_json;
mod token;

pub use decode::decode;
pub use encode::encode;

#[cfg(test)]
mod tests;
