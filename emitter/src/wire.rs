//! From an operation to the messages that say it, for each dialect. Pure.

use crate::{builder::Dialect, error::Reason};
use smallvec::{SmallVec, smallvec};
use sockeye_bus::{Outbound, Topic};
use sockeye_proto::{
    bus::{Message, Origin, Target, can_be_sent, native, python},
    name::{NamespacePath, RoomName},
    sio::{Args, json},
};

/// What is to be done, to the sockets of a [`Target`] or to the servers.
pub(crate) enum Action<'a> {
    Emit { event: &'a str, args: &'a Args, volatile: bool },
    ServerEmit { event: &'a str, args: &'a Args },
    Join(&'a [RoomName]),
    Leave(&'a [RoomName]),
    Disconnect { close: bool },
    CloseRooms(&'a [RoomName]),
}

/// The messages of one operation: one, nearly always.
pub(crate) type Messages = SmallVec<[Outbound; 1]>;

/// How one emitter writes.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) dialect: Dialect,
    origin: Origin,
    /// What the emitter calls itself in Python's dialect.
    host: String,
    /// Longest message in bytes; nodes refuse longer ones.
    max_message: usize,
}

impl Wire {
    pub(crate) fn new(dialect: Dialect, id: [u8; 6], max_message: usize) -> Self {
        Self { dialect, origin: Origin::Emitter(id), host: python::emitter_host_id(id), max_message }
    }

    /// The messages that say it, in order.
    ///
    /// # Errors
    /// It cannot be said, or nobody would understand it.
    pub(crate) fn messages(
        &self,
        namespace: &NamespacePath,
        target: &Target,
        action: &Action<'_>,
    ) -> Result<Messages, Reason> {
        if !NamespacePath::can_travel(namespace) {
            return Err(Reason::Namespace);
        }
        if let Action::Emit { event, args, .. } | Action::ServerEmit { event, args } = action {
            if matches!(action, Action::Emit { .. }) && !can_be_sent(event) {
                return Err(Reason::Reserved);
            }
            check(args)?;
        }
        let messages = match self.dialect {
            Dialect::Native => self.native(namespace, target, action),
            Dialect::Python => self.python(namespace, target, action)?,
        };
        match messages.iter().map(|out| out.payload.len()).find(|bytes| *bytes > self.max_message) {
            Some(bytes) => Err(Reason::TooLarge { bytes, limit: self.max_message }),
            None => Ok(messages),
        }
    }

    fn native(&self, namespace: &NamespacePath, target: &Target, action: &Action<'_>) -> Messages {
        let stamped = |payload: Vec<u8>| Outbound::stamped(Topic::All, payload, native::SEQUENCE_AT);
        let encode = |message: &Message| stamped(native::encode(&self.origin, message));
        let (namespace, target) = (|| namespace.clone(), || target.clone());
        smallvec![match action {
            Action::Emit { event, args, volatile } => {
                let (namespace, target) = (namespace(), target());
                stamped(native::encode_emit(&self.origin, &namespace, event, args, &target, *volatile, None))
            }
            Action::ServerEmit { event, args } => encode(&Message::ServerEvent {
                namespace: namespace(),
                event: (*event).into(),
                args: (*args).clone(),
            }),
            Action::Join(rooms) => encode(&Message::Join {
                namespace: namespace(),
                target: target(),
                rooms: rooms.to_vec(),
                confirm: None
            }),
            Action::Leave(rooms) => encode(&Message::Leave {
                namespace: namespace(),
                target: target(),
                rooms: rooms.to_vec(),
                confirm: None
            }),
            Action::Disconnect { close } => encode(&Message::Disconnect {
                namespace: namespace(),
                target: target(),
                close: *close,
                confirm: None
            }),
            Action::CloseRooms(rooms) => {
                return rooms
                    .iter()
                    .map(|room| {
                        encode(&Message::CloseRoom {
                            namespace: namespace(),
                            room: room.clone(),
                            confirm: None,
                        })
                    })
                    .collect();
            }
        }]
    }

    fn python(
        &self,
        namespace: &NamespacePath,
        target: &Target,
        action: &Action<'_>,
    ) -> Result<Messages, Reason> {
        let host = self.host.as_str();
        let payloads: SmallVec<[Vec<u8>; 1]> = match action {
            Action::Emit { event, args, .. } => {
                smallvec![python::encode_emit(host, namespace, event, args, target, None)]
            }
            Action::ServerEmit { .. } => {
                return Err(Reason::Dialect("it has no events for the servers' own handlers"));
            }
            Action::Join(rooms) => pairs(single_sockets(target)?, rooms)
                .map(|(sid, room)| python::encode_enter_room(host, sid, room, namespace))
                .collect(),
            Action::Leave(rooms) => pairs(single_sockets(target)?, rooms)
                .map(|(sid, room)| python::encode_leave_room(host, sid, room, namespace))
                .collect(),
            Action::Disconnect { close: true } => {
                return Err(Reason::Dialect(
                    "it can disconnect from a namespace, not close the connection: use `disconnect(false)`",
                ));
            }
            Action::Disconnect { close: false } => single_sockets(target)?
                .iter()
                .map(|sid| python::encode_disconnect(host, sid, namespace))
                .collect(),
            Action::CloseRooms(rooms) => {
                rooms.iter().map(|room| python::encode_close_room(host, room, namespace)).collect()
            }
        };
        Ok(payloads.into_iter().map(|payload| Outbound::new(Topic::Channel, payload)).collect())
    }
}

/// In Python's dialect an operation on sockets names one socket.
fn single_sockets(target: &Target) -> Result<&[RoomName], Reason> {
    if target.rooms.is_empty() {
        return Err(Reason::Dialect(
            "joining, leaving and disconnecting need socket ids: name each with `to`, not everyone",
        ));
    }
    if !target.except.is_empty() {
        return Err(Reason::Dialect(
            "joining, leaving and disconnecting name socket ids with `to`; there is no `except` for them",
        ));
    }
    Ok(&target.rooms)
}

fn pairs<'a>(
    sids: &'a [RoomName],
    rooms: &'a [RoomName],
) -> impl Iterator<Item = (&'a RoomName, &'a RoomName)> {
    sids.iter().flat_map(move |sid| rooms.iter().map(move |room| (sid, room)))
}

/// Refuses what receivers would refuse. Arguments were written by serde or validated when they were made; what is left
/// is their depth, and texts of the caller's that look like a placeholder beside real attachments.
fn check(args: &Args) -> Result<(), Reason> {
    let brackets = || args.json().bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if args.has_binary() || brackets() > json::DEEPEST {
        Args::from_parts(args.json_bytes().clone(), args.attachments()).map_err(Reason::Invalid)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
