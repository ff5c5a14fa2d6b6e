//! Reading headers.

use std::cell::Cell;
use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};

use super::*;
use crate::DecodeError;
use crate::bus::list::List;
use crate::bus::message::{Answer, Message, Origin, Query, ReplyTo};
use crate::bus::{self, SocketFields, Target};
use crate::id::{NodeId, RequestId};
use crate::name::{NamespacePath, RoomName};
use crate::sio::Args;

/// Reads the origin and skips the rest of the header.
pub(in crate::bus::native) struct OriginSeed;

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
pub(in crate::bus::native) struct HeaderSeed<'a> {
    /// Why the header is refused, if it is.
    pub(in crate::bus::native) problem: &'a Cell<DecodeError>,
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
            JOIN => Message::Join {
                namespace: self.namespace(seq)?,
                target: target(seq)?,
                rooms: next(seq)?,
                confirm: appended(seq)?,
            },
            LEAVE => Message::Leave {
                namespace: self.namespace(seq)?,
                target: target(seq)?,
                rooms: next(seq)?,
                confirm: appended(seq)?,
            },
            DISCONNECT => Message::Disconnect {
                namespace: self.namespace(seq)?,
                target: target(seq)?,
                close: next(seq)?,
                confirm: appended(seq)?,
            },
            CLOSE_ROOM => Message::CloseRoom {
                namespace: self.namespace(seq)?,
                room: next(seq)?,
                confirm: appended(seq)?,
            },
            ASK_MEMBERS | ASK_COUNT | ASK_SERVER | ASK_SOCKETS | ASK_SOCKET | ASK_NAMESPACES | ASK_ROOMS
            | ASK_OUTCOME => {
                let (id, ttl) = (next(seq)?, Duration::from_millis(next(seq)?));
                Message::Request { id, ttl, query: self.query(kind, seq)? }
            }
            SERVER_EVENT => {
                let (namespace, event) = (self.namespace(seq)?, next::<&str, _>(seq)?.into());
                Message::ServerEvent { namespace, event, args }
            }
            MEMBERS | COUNT | SERVER_ANSWER | SOCKETS | NAMESPACES | ROOMS => {
                let (request, part, more) = (next(seq)?, next(seq)?, next(seq)?);
                Message::Answer { request, part, more, answer: self.answer(kind, seq)? }
            }
            ACK_COUNT => Message::AckCount { request: next(seq)?, recipients: next(seq)? },
            ACKS => {
                let request = next(seq)?;
                let (sids, came): (Vec<String>, Vec<bool>) = (next(seq)?, next(seq)?);
                let args = came.iter().map(|came| came.then(Args::empty));
                Message::Acks {
                    request,
                    acks: same_length::<A, _, _>(&sids, &came)
                        .map(|()| sids.into_iter().zip(args).collect())?,
                }
            }
            HEARTBEAT => {
                let boot: &serde_bytes::Bytes = next(seq)?;
                let boot =
                    boot.as_ref().try_into().map_err(|_| A::Error::custom("a boot id has two bytes"))?;
                let incarnation = next(seq)?;
                let (topics, last): (Vec<String>, Vec<u64>) = (next(seq)?, next(seq)?);
                same_length::<A, _, _>(&topics, &last)?;
                let sequences = topics.into_iter().zip(last).collect();
                let (hello, name, version) = (next(seq)?, next(seq)?, next(seq)?);
                Message::Heartbeat { boot, incarnation, sequences, hello, name, version }
            }
            LEAVING => Message::Leaving,
            _ => Message::Unknown(kind),
        })
    }

    fn query<'de, A: SeqAccess<'de>>(&self, kind: u32, seq: &mut A) -> Result<Query, A::Error> {
        match kind {
            ASK_NAMESPACES => return Ok(Query::Namespaces),
            ASK_OUTCOME => return Ok(Query::Outcome { change: next(seq)? }),
            _ => {}
        }
        let namespace = self.namespace(seq)?;
        Ok(match kind {
            ASK_MEMBERS => Query::Members { namespace, target: target(seq)? },
            ASK_COUNT => Query::Count { namespace, target: target(seq)? },
            ASK_SOCKETS => {
                let (target, from, limit) = (target(seq)?, next(seq)?, next(seq)?);
                let fields = SocketFields::from_bits(next(seq)?, next(seq)?);
                Query::Sockets { namespace, target, from, limit, fields }
            }
            ASK_SOCKET => {
                let id = next(seq)?;
                let fields = SocketFields::from_bits(next(seq)?, next(seq)?);
                Query::Socket { namespace, id, fields }
            }
            ASK_ROOMS => Query::Rooms { namespace, after: next(seq)?, limit: next(seq)? },
            _ => {
                let event = next::<&str, _>(seq)?.into();
                Query::ServerEvent { namespace, event, args: Args::empty() }
            }
        })
    }

    fn answer<'de, A: SeqAccess<'de>>(&self, kind: u32, seq: &mut A) -> Result<Answer, A::Error> {
        Ok(match kind {
            MEMBERS => Answer::Members(next(seq)?),
            COUNT => Answer::Count(next(seq)?),
            SOCKETS => Answer::Sockets { sockets: next(seq)?, next: next(seq)? },
            NAMESPACES => {
                let (paths, counts): (Vec<String>, Vec<u64>) = (next(seq)?, next(seq)?);
                same_length::<A, _, _>(&paths, &counts)?;
                if !paths.iter().all(|path| NamespacePath::can_travel(path)) {
                    return Err(self.bad_name());
                }
                let paths = paths.into_iter().map(|path| NamespacePath::from(path.as_str()));
                Answer::Namespaces(paths.zip(counts).collect())
            }
            ROOMS => {
                let (names, counts): (Vec<RoomName>, Vec<u64>) = (next(seq)?, next(seq)?);
                same_length::<A, _, _>(&names, &counts)?;
                Answer::Rooms { rooms: names.into_iter().zip(counts).collect(), more: next(seq)? }
            }
            _ => Answer::ServerEvent(next::<bool, _>(seq)?.then(Args::empty)),
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

/// What earlier versions did not write.
fn appended<'de, T: Deserialize<'de> + Default, A: SeqAccess<'de>>(seq: &mut A) -> Result<T, A::Error> {
    Ok(seq.next_element()?.unwrap_or_default())
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

fn same_length<'de, A: SeqAccess<'de>, T, U>(left: &[T], right: &[U]) -> Result<(), A::Error> {
    match left.len() == right.len() {
        true => Ok(()),
        false => Err(A::Error::custom("two lists that belong together have different lengths")),
    }
}
