//! How packets are written on the wire, and a parser of one's own.
//!
//! [`ServerBuilder::parser`](crate::ServerBuilder::parser) takes one of the [`Parsers`], or anything that implements
//! [`Parser`]. A whole program with one of its own is `examples/custom_parser.rs`.

pub use sockeye_proto::{
    DecodeError, Limits,
    prepared::{Body, Packet},
    sio::{
        Inbound, PacketKind,
        parser::{Decoder, Message, Parser, Parsers},
    },
};
