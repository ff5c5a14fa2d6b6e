//! The header of the native envelope: `[kind, origin kind, origin, …]`, one fixed order for each kind.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};
use serde::ser::Serialize;

use super::append;
use crate::DecodeError;
use crate::bus::list::List;
use crate::bus::message::{Answer, Message, Origin, Query, ReplyTo};
use crate::bus::{self, Target};
use crate::id::{NodeId, RequestId};
use crate::name::NamespacePath;
use crate::sio::Args;

// Numbers on the wire: new ones may be added, none may change.
const EMIT: u32 = 1;
const JOIN: u32 = 2;
const LEAVE: u32 = 3;
const DISCONNECT: u32 = 4;
const CLOSE_ROOM: u32 = 5;
const ASK_MEMBERS: u32 = 6;
const ASK_COUNT: u32 = 7;
const ASK_SERVER: u32 = 8;
const SERVER_EVENT: u32 = 9;
const MEMBERS: u32 = 10;
const COUNT: u32 = 11;
const SERVER_ANSWER: u32 = 12;
const ACK_COUNT: u32 = 13;
const ACKS: u32 = 14;
const HEARTBEAT: u32 = 15;
const LEAVING: u32 = 16;

const NODE: u8 = 0;
const EMITTER: u8 = 1;

pub(super) struct EmitHeader<'a> {
    pub(super) namespace: &'a NamespacePath,
    pub(super) event: &'a str,
    pub(super) target: &'a Target,
    pub(super) volatile: bool,
    pub(super) reply: Option<ReplyTo>,
}

pub(super) fn write_emit(out: &mut Vec<u8>, origin: &Origin, emit: &EmitHeader<'_>) {
    let EmitHeader { namespace, event, target, volatile, reply } = emit;
    let (sender, id) = sender(origin);
    let reply = (reply.map(|reply| reply.request), reply.map_or(0, |reply| millis(reply.ttl)));
    append(
        out,
        &(
            EMIT,
            sender,
            id,
            namespace,
            event,
            &target.rooms[..],
            &target.except[..],
            volatile,
            reply.0,
            reply.1,
        ),
    );
}

pub(super) fn write(out: &mut Vec<u8>, origin: &Origin, message: &Message) {
    let (sender, id) = sender(origin);
    let mut put = |fields: &dyn Fields| fields.append(out);
    match message {
        Message::Emit { namespace, event, target, volatile, reply, .. } => {
            let emit = EmitHeader { namespace, event, target, volatile: *volatile, reply: *reply };
            write_emit(out, origin, &emit);
        }
        Message::Join { namespace, target, rooms } => {
            put(&(JOIN, sender, id, namespace, &target.rooms[..], &target.except[..], rooms));
        }
        Message::Leave { namespace, target, rooms } => {
            put(&(LEAVE, sender, id, namespace, &target.rooms[..], &target.except[..], rooms));
        }
        Message::Disconnect { namespace, target, close } => {
            put(&(DISCONNECT, sender, id, namespace, &target.rooms[..], &target.except[..], close));
        }
        Message::CloseRoom { namespace, room } => put(&(CLOSE_ROOM, sender, id, namespace, room)),
        Message::Request { id: request, ttl, query } => match query {
            Query::Members { namespace, target } => {
                put(&(
                    ASK_MEMBERS,
                    sender,
                    id,
                    request,
                    millis(*ttl),
                    namespace,
                    &target.rooms[..],
                    &target.except[..],
                ));
            }
            Query::Count { namespace, target } => {
                put(&(
                    ASK_COUNT,
                    sender,
                    id,
                    request,
                    millis(*ttl),
                    namespace,
                    &target.rooms[..],
                    &target.except[..],
                ));
            }
            Query::ServerEvent { namespace, event, .. } => {
                put(&(ASK_SERVER, sender, id, request, millis(*ttl), namespace, event));
            }
        },
        Message::ServerEvent { namespace, event, .. } => put(&(SERVER_EVENT, sender, id, namespace, event)),
        Message::Answer { request, part, more, answer } => match answer {
            Answer::Members(members) => put(&(MEMBERS, sender, id, request, part, more, members)),
            Answer::Count(count) => put(&(COUNT, sender, id, request, part, more, count)),
            Answer::ServerEvent(args) => {
                put(&(SERVER_ANSWER, sender, id, request, part, more, args.is_some()));
            }
        },
        Message::AckCount { request, recipients } => put(&(ACK_COUNT, sender, id, request, recipients)),
        Message::Acks { request, acks } => {
            let sids: Vec<&str> = acks.iter().map(|(sid, _)| sid.as_str()).collect();
            let came: Vec<bool> = acks.iter().map(|(_, args)| args.is_some()).collect();
            put(&(ACKS, sender, id, request, sids, came));
        }
        Message::Heartbeat { boot, incarnation, sequences, hello, name, version } => {
            let (topics, last): (Vec<&str>, Vec<u64>) =
                sequences.iter().map(|(topic, last)| (topic.as_str(), *last)).unzip();
            let boot = serde_bytes::Bytes::new(boot);
            put(&(HEARTBEAT, sender, id, boot, incarnation, topics, last, hello, name, version));
        }
        Message::Leaving => put(&(LEAVING, sender, id)),
        Message::Unknown(kind) => put(&(kind, sender, id)),
    }
}

/// Lets [`write()`] have one closure for tuples of all lengths.
trait Fields {
    fn append(&self, out: &mut Vec<u8>);
}

impl<T: Serialize> Fields for T {
    fn append(&self, out: &mut Vec<u8>) {
        append(out, self);
    }
}

fn sender(origin: &Origin) -> (u8, &serde_bytes::Bytes) {
    match origin {
        Origin::Node(node) => (NODE, serde_bytes::Bytes::new(node.as_bytes())),
        Origin::Emitter(id) => (EMITTER, serde_bytes::Bytes::new(id)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

// === Reading ===

/// Reads the origin and skips the rest of the header.
pub(super) struct OriginSeed;

impl<'de> DeserializeSeed<'de> for OriginSeed {
    type Value = Origin;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Origin, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for OriginSeed {
    type Value = Origin;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Origin, A::Error> {
        let _kind: u32 = next(&mut seq)?;
        let origin = origin(&mut seq)?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(origin)
    }
}

/// Reads a whole header, and makes a message whose arguments are empty until its blocks are read.
pub(super) struct HeaderSeed<'a> {
    /// Why the header is refused, if it is.
    pub(super) problem: &'a Cell<DecodeError>,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed<'_> {
    type Value = (Origin, Message);
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed<'_> {
    type Value = (Origin, Message);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a header")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let kind = next(&mut seq)?;
        let origin = origin(&mut seq)?;
        let message = self.message(kind, &mut seq)?;
        // What newer nodes append.
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok((origin, message))
    }
}

impl HeaderSeed<'_> {
    fn message<'de, A: SeqAccess<'de>>(&self, kind: u32, seq: &mut A) -> Result<Message, A::Error> {
        let args = Args::empty();
        Ok(match kind {
            EMIT => {
                let (namespace, event, target) = (self.namespace(seq)?, self.event(seq)?, target(seq)?);
                let volatile = next(seq)?;
                let (request, ttl): (Option<RequestId>, _) = (next(seq)?, next(seq)?);
                let reply = request.map(|request| ReplyTo { request, ttl: Duration::from_millis(ttl) });
                Message::Emit { namespace, event, args, target, volatile, reply }
            }
            JOIN => {
                Message::Join { namespace: self.namespace(seq)?, target: target(seq)?, rooms: next(seq)? }
            }
            LEAVE => {
                Message::Leave { namespace: self.namespace(seq)?, target: target(seq)?, rooms: next(seq)? }
            }
            DISCONNECT => Message::Disconnect {
                namespace: self.namespace(seq)?,
                target: target(seq)?,
                close: next(seq)?,
            },
            CLOSE_ROOM => Message::CloseRoom { namespace: self.namespace(seq)?, room: next(seq)? },
            ASK_MEMBERS | ASK_COUNT | ASK_SERVER => {
                let (id, ttl) = (next(seq)?, Duration::from_millis(next(seq)?));
                let namespace = self.namespace(seq)?;
                let query = match kind {
                    ASK_MEMBERS => Query::Members { namespace, target: target(seq)? },
                    ASK_COUNT => Query::Count { namespace, target: target(seq)? },
                    _ => Query::ServerEvent { namespace, event: next::<&str, _>(seq)?.into(), args },
                };
                Message::Request { id, ttl, query }
            }
            SERVER_EVENT => {
                let (namespace, event) = (self.namespace(seq)?, next::<&str, _>(seq)?.into());
                Message::ServerEvent { namespace, event, args }
            }
            MEMBERS | COUNT | SERVER_ANSWER => {
                let (request, part, more) = (next(seq)?, next(seq)?, next(seq)?);
                let answer = match kind {
                    MEMBERS => Answer::Members(next(seq)?),
                    COUNT => Answer::Count(next(seq)?),
                    _ => Answer::ServerEvent(next::<bool, _>(seq)?.then_some(args)),
                };
                Message::Answer { request, part, more, answer }
            }
            ACK_COUNT => Message::AckCount { request: next(seq)?, recipients: next(seq)? },
            ACKS => {
                let request = next(seq)?;
                let (sids, came): (Vec<String>, Vec<bool>) = (next(seq)?, next(seq)?);
                let args = came.iter().map(|came| came.then(Args::empty));
                Message::Acks {
                    request,
                    acks: same_length::<A, _>(&sids, &came).map(|()| sids.into_iter().zip(args).collect())?,
                }
            }
            HEARTBEAT => {
                let boot: &serde_bytes::Bytes = next(seq)?;
                let boot =
                    boot.as_ref().try_into().map_err(|_| A::Error::custom("a boot id has two bytes"))?;
                let incarnation = next(seq)?;
                let (topics, last): (Vec<String>, Vec<u64>) = (next(seq)?, next(seq)?);
                same_length::<A, _>(&topics, &last)?;
                let sequences = topics.into_iter().zip(last).collect();
                let (hello, name, version) = (next(seq)?, next(seq)?, next(seq)?);
                Message::Heartbeat { boot, incarnation, sequences, hello, name, version }
            }
            LEAVING => Message::Leaving,
            _ => Message::Unknown(kind),
        })
    }

    fn namespace<'de, A: SeqAccess<'de>>(&self, seq: &mut A) -> Result<NamespacePath, A::Error> {
        let path: &str = next(seq)?;
        match NamespacePath::can_travel(path) {
            true => Ok(path.into()),
            false => Err(self.bad_name()),
        }
    }

    /// The name of an event that clients get.
    fn event<'de, A: SeqAccess<'de>>(&self, seq: &mut A) -> Result<Box<str>, A::Error> {
        let name: &str = next(seq)?;
        match bus::can_be_sent(name) {
            true => Ok(name.into()),
            false => Err(self.bad_name()),
        }
    }

    fn bad_name<E: serde::de::Error>(&self) -> E {
        self.problem.set(DecodeError::BusName);
        E::custom("a name is invalid")
    }
}

fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(seq: &mut A) -> Result<T, A::Error> {
    seq.next_element()?.ok_or_else(|| A::Error::custom("the header has too few elements"))
}

fn origin<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<Origin, A::Error> {
    let (sender, id): (u8, &serde_bytes::Bytes) = (next(seq)?, next(seq)?);
    let id = id.as_ref().try_into().map_err(|_| A::Error::custom("an origin has six bytes"))?;
    match sender {
        NODE => Ok(Origin::Node(NodeId::from_bytes(id))),
        EMITTER => Ok(Origin::Emitter(id)),
        _ => Err(A::Error::custom("the origin is neither a node nor an emitter")),
    }
}

fn target<'de, A: SeqAccess<'de>>(seq: &mut A) -> Result<Target, A::Error> {
    let (rooms, except): (List<_>, List<_>) = (next(seq)?, next(seq)?);
    Ok(Target { rooms: rooms.0, except: except.0 })
}

fn same_length<'de, A: SeqAccess<'de>, T>(left: &[String], right: &[T]) -> Result<(), A::Error> {
    match left.len() == right.len() {
        true => Ok(()),
        false => Err(A::Error::custom("two lists that belong together have different lengths")),
    }
}
