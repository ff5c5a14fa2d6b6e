//! The native envelope.
//!
//! | Bytes | What |
//! |---|---|
//! | 0 | version, [`VERSION`] |
//! | 1..9 | sequence, big endian; the bus writes it when the message leaves ([`SEQUENCE_AT`]) |
//! | 9.. | msgpack: the header, an array `[kind, origin kind, origin, …]` |
//! | behind it | msgpack: an array of blocks; each is an array of binaries, the JSON text of arguments and their attachments |
//!
//! Arguments are not msgpack but the very text that clients get, so a receiver copies and never converts them, and
//! those it decodes are slices of the message.
//!
//! # Old and new nodes in one cluster
//! A newer node may append elements to a header (older ones skip them; where they are missing, newer ones use a default; one
//! that is left out at the end is nil when others follow it), append blocks, and send kinds that older ones do not know
//! ([`Message::Unknown`]). Anything else needs a new version byte, which older nodes count ([`DecodeError::BusVersion`]) and
//! skip.

mod header;

use std::cell::Cell;

use bytes::Bytes;
use serde::de::{Deserialize, DeserializeSeed as _, IgnoredAny};
use serde::ser::{Serialize, SerializeSeq as _, Serializer};

use super::list::List;
use super::message::{Answer, Envelope, Message, Origin, Query, ReplyTo};
use super::{Target, max_message};
use crate::name::NamespacePath;
use crate::sio::{Args, json};
use crate::{DecodeError, Limits};
use header::{EmitHeader, HeaderSeed, OriginSeed};

/// The version of the envelope, its first byte.
pub const VERSION: u8 = 1;
/// Where the bus writes a message's sequence number, as a big endian `u64`.
pub const SEQUENCE_AT: usize = 1;

const HEADER_AT: usize = SEQUENCE_AT + 8;
/// Deeper than any header, and no deeper than needed: what a newer node nests in an unknown element is skipped.
const DEEPEST_HEADER: usize = 16;

/// Writes a message. Its sequence number is 0 until somebody writes another to [`SEQUENCE_AT`].
#[must_use]
pub fn encode(origin: &Origin, message: &Message) -> Vec<u8> {
    if let Message::Emit { namespace, event, args, target, volatile, reply } = message {
        return encode_emit(origin, namespace, event, args, target, *volatile, *reply);
    }
    let blocks = blocks(message);
    let mut out = begin(&blocks, 256);
    header::write(&mut out, origin, message);
    append(&mut out, &Blocks(&blocks));
    out
}

/// Writes a [`Message::Emit`] from its parts, for those who have no message yet.
#[must_use]
pub fn encode_emit(
    origin: &Origin,
    namespace: &NamespacePath,
    event: &str,
    args: &Args,
    target: &Target,
    volatile: bool,
    reply: Option<ReplyTo>,
) -> Vec<u8> {
    let names = target.rooms.iter().chain(&target.except).map(|room| room.len() + 5).sum::<usize>();
    let blocks = [args];
    let mut out = begin(&blocks, 64 + namespace.len() + event.len() + names);
    header::write_emit(&mut out, origin, &EmitHeader { namespace, event, target, volatile, reply });
    append(&mut out, &Blocks(&blocks));
    out
}

fn begin(blocks: &[&Args], header: usize) -> Vec<u8> {
    let content = blocks.iter().map(|args| args.size() + 10 + 5 * args.attachments().len()).sum::<usize>();
    let mut out = Vec::with_capacity(HEADER_AT + header + content);
    out.push(VERSION);
    out.extend_from_slice(&[0; 8]);
    out
}

fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    // It writes to memory, and the length of every sequence is known: there is nothing that could fail.
    let written = rmp_serde::encode::write(out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// The arguments inside a message, in the order of its blocks.
fn blocks(message: &Message) -> Vec<&Args> {
    match message {
        Message::Emit { args, .. }
        | Message::ServerEvent { args, .. }
        | Message::Request { query: Query::ServerEvent { args, .. }, .. }
        | Message::Answer { answer: Answer::ServerEvent(Some(args)), .. } => vec![args],
        Message::Acks { acks, .. } => acks.iter().filter_map(|(_, args)| args.as_ref()).collect(),
        _ => Vec::new(),
    }
}

fn blocks_mut(message: &mut Message) -> Vec<&mut Args> {
    match message {
        Message::Emit { args, .. }
        | Message::ServerEvent { args, .. }
        | Message::Request { query: Query::ServerEvent { args, .. }, .. }
        | Message::Answer { answer: Answer::ServerEvent(Some(args)), .. } => vec![args],
        Message::Acks { acks, .. } => acks.iter_mut().filter_map(|(_, args)| args.as_mut()).collect(),
        _ => Vec::new(),
    }
}

struct Blocks<'a>(&'a [&'a Args]);
struct Block<'a>(&'a Args);

impl Serialize for Blocks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|args| Block(args)))
    }
}

impl Serialize for Block<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(1 + self.0.attachments().len()))?;
        seq.serialize_element(serde_bytes::Bytes::new(self.0.json_bytes()))?;
        for attachment in self.0.attachments() {
            seq.serialize_element(serde_bytes::Bytes::new(attachment))?;
        }
        seq.end()
    }
}

/// Reads only who sent a message and its sequence number, for dropping what needs no further look: one's own messages
/// and repeated ones.
///
/// # Errors
/// As [`decode`], for what is wrong in the parts that it reads.
pub fn peek(bytes: &[u8]) -> Result<(Origin, u64), DecodeError> {
    let (sequence, body) = open(bytes)?;
    let mut header = reader(body);
    let origin =
        OriginSeed.deserialize(&mut header).map_err(|error| refused(&error, DecodeError::BusHeader))?;
    Ok((origin, sequence))
}

/// Reads a message. Its arguments are slices of `bytes`, valid JSON, with placeholders that refer to attachments.
///
/// # Errors
/// A [`DecodeError`] of the layer bus. [`DecodeError::BusVersion`]: the message is of a newer node, nothing is wrong with
/// it. Unknown kinds are no errors but [`Message::Unknown`].
pub fn decode(bytes: &Bytes, limits: &Limits) -> Result<Envelope, DecodeError> {
    if bytes.len() > max_message(limits) {
        return Err(DecodeError::BusTooLarge);
    }
    let (sequence, body) = open(bytes)?;
    let mut reader = reader(body);
    let problem = Cell::new(DecodeError::BusHeader);
    let (origin, mut message) = HeaderSeed { problem: &problem }
        .deserialize(&mut reader)
        .map_err(|error| refused(&error, problem.get()))?;
    let blocks = <List<[List<[&serde_bytes::Bytes; 2]>; 1]>>::deserialize(&mut reader)
        .map_err(|error| refused(&error, DecodeError::BusArgs))?;
    if IgnoredAny::deserialize(&mut reader).is_ok() {
        return Err(DecodeError::BusTrailing);
    }
    let mut blocks = blocks.0.into_iter();
    for args in blocks_mut(&mut message) {
        let mut parts =
            blocks.next().ok_or(DecodeError::BusArgs)?.0.into_iter().map(|part| bytes.slice_ref(part));
        let json = parts.next().ok_or(DecodeError::BusArgs)?;
        *args =
            Args::checked(json, parts.collect::<Vec<_>>().into(), json::DEEPEST).map_err(
                |error| match error {
                    DecodeError::BadPlaceholder => DecodeError::BusAttachments,
                    _ => DecodeError::BusArgs,
                },
            )?;
    }
    Ok(Envelope { origin, sequence, message })
}

fn open(bytes: &[u8]) -> Result<(u64, &[u8]), DecodeError> {
    match *bytes.first().ok_or(DecodeError::BusTooShort)? {
        VERSION => {}
        _ => return Err(DecodeError::BusVersion),
    }
    let (sequence, body) = bytes[SEQUENCE_AT..].split_first_chunk().ok_or(DecodeError::BusTooShort)?;
    Ok((u64::from_be_bytes(*sequence), body))
}

type Reader<'de> = rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'de, [u8]>>;

fn reader(body: &[u8]) -> Reader<'_> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(body);
    reader.set_max_depth(DEEPEST_HEADER);
    reader
}

fn refused(error: &rmp_serde::decode::Error, otherwise: DecodeError) -> DecodeError {
    use rmp_serde::decode::Error::{InvalidDataRead, InvalidMarkerRead};
    match error {
        InvalidDataRead(_) | InvalidMarkerRead(_) => DecodeError::BusTooShort,
        _ => otherwise,
    }
}

#[cfg(test)]
mod tests;
