//! Writing headers.

use std::time::Duration;

use serde::ser::Serialize;

use super::*;
use crate::bus::Target;
use crate::bus::message::{Answer, Message, Origin, Query, ReplyTo};
use crate::bus::native::append;
use crate::name::NamespacePath;

pub(in crate::bus::native) struct EmitHeader<'a> {
    pub(in crate::bus::native) namespace: &'a NamespacePath,
    pub(in crate::bus::native) event: &'a str,
    pub(in crate::bus::native) target: &'a Target,
    pub(in crate::bus::native) volatile: bool,
    pub(in crate::bus::native) reply: Option<ReplyTo>,
}

pub(in crate::bus::native) fn write_emit(out: &mut Vec<u8>, origin: &Origin, emit: &EmitHeader<'_>) {
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

pub(in crate::bus::native) fn write(out: &mut Vec<u8>, origin: &Origin, message: &Message) {
    let (sender, id) = sender(origin);
    let mut put = |fields: &dyn Fields| fields.append(out);
    match message {
        Message::Emit { namespace, event, target, volatile, reply, .. } => {
            let emit = EmitHeader { namespace, event, target, volatile: *volatile, reply: *reply };
            write_emit(out, origin, &emit);
        }
        // Without a wish for confirmation they are what they always were.
        Message::Join { namespace, target, rooms, confirm } => {
            let (of, except) = (&target.rooms[..], &target.except[..]);
            match confirm {
                None => put(&(JOIN, sender, id, namespace, of, except, rooms)),
                Some(confirm) => put(&(JOIN, sender, id, namespace, of, except, rooms, confirm)),
            }
        }
        Message::Leave { namespace, target, rooms, confirm } => {
            let (of, except) = (&target.rooms[..], &target.except[..]);
            match confirm {
                None => put(&(LEAVE, sender, id, namespace, of, except, rooms)),
                Some(confirm) => put(&(LEAVE, sender, id, namespace, of, except, rooms, confirm)),
            }
        }
        Message::Disconnect { namespace, target, close, confirm } => {
            let (of, except) = (&target.rooms[..], &target.except[..]);
            match confirm {
                None => put(&(DISCONNECT, sender, id, namespace, of, except, close)),
                Some(confirm) => put(&(DISCONNECT, sender, id, namespace, of, except, close, confirm)),
            }
        }
        Message::CloseRoom { namespace, room, confirm } => match confirm {
            None => put(&(CLOSE_ROOM, sender, id, namespace, room)),
            Some(confirm) => put(&(CLOSE_ROOM, sender, id, namespace, room, confirm)),
        },
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
            Query::Sockets { namespace, target, from, limit, fields } => put(&(
                ASK_SOCKETS,
                sender,
                id,
                request,
                millis(*ttl),
                namespace,
                &target.rooms[..],
                &target.except[..],
                from,
                limit,
                fields.bits(),
                &fields.headers,
            )),
            Query::Socket { namespace, id: socket, fields } => {
                let (bits, headers) = (fields.bits(), &fields.headers);
                put(&(ASK_SOCKET, sender, id, request, millis(*ttl), namespace, socket, bits, headers));
            }
            Query::Namespaces => put(&(ASK_NAMESPACES, sender, id, request, millis(*ttl))),
            Query::Rooms { namespace, after, limit } => {
                put(&(ASK_ROOMS, sender, id, request, millis(*ttl), namespace, after, limit));
            }
            Query::Outcome { change } => put(&(ASK_OUTCOME, sender, id, request, millis(*ttl), change)),
        },
        Message::ServerEvent { namespace, event, .. } => put(&(SERVER_EVENT, sender, id, namespace, event)),
        Message::Answer { request, part, more, answer } => match answer {
            Answer::Members(members) => put(&(MEMBERS, sender, id, request, part, more, members)),
            Answer::Count(count) => put(&(COUNT, sender, id, request, part, more, count)),
            Answer::ServerEvent(args) => {
                put(&(SERVER_ANSWER, sender, id, request, part, more, args.is_some()));
            }
            Answer::Sockets { sockets, next } => {
                put(&(SOCKETS, sender, id, request, part, more, sockets, next));
            }
            Answer::Namespaces(namespaces) => {
                let (paths, counts): (Vec<_>, Vec<u64>) =
                    namespaces.iter().map(|(path, count)| (path, *count)).unzip();
                put(&(NAMESPACES, sender, id, request, part, more, paths, counts));
            }
            Answer::Rooms { rooms, more: follow } => {
                let (names, counts): (Vec<_>, Vec<u64>) =
                    rooms.iter().map(|(name, count)| (name, *count)).unzip();
                put(&(ROOMS, sender, id, request, part, more, names, counts, follow));
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
