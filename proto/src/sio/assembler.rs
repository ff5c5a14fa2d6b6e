//! A packet's text and the attachments behind it become one thing.

use std::borrow::Cow;

use bytes::Bytes;

use super::args::{Args, Attachments};
use super::header::Header;
use super::{PacketKind, binary};
use crate::{DecodeError, Limits};

/// A whole packet from the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound<'a> {
    /// The peer wants to join a namespace. (From a server: it let us.)
    Connect {
        /// The path, without the query that old clients put behind it.
        namespace: Cow<'a, str>,
        /// What it brought for the handler: the text of a JSON object. What old clients put behind the path as a query
        /// (`/admin?token=x`) becomes one, see [`query::to_json`](crate::query::to_json).
        auth: Option<Bytes>,
    },
    /// The peer leaves a namespace.
    Disconnect {
        /// The path.
        namespace: Cow<'a, str>,
    },
    /// An event.
    Event {
        /// The path.
        namespace: Cow<'a, str>,
        /// Present if the peer wants an acknowledgement.
        id: Option<u64>,
        /// Its name; a number that served as one is its text.
        name: Cow<'a, str>,
        /// Its arguments, the name not among them.
        args: Args,
    },
    /// The acknowledgement of an event of ours.
    Ack {
        /// The path.
        namespace: Cow<'a, str>,
        /// The id that we sent.
        id: u64,
        /// What it brings.
        args: Args,
    },
    /// A server refuses a namespace. A client has no reason to send this; a server that gets it closes the connection.
    ConnectError {
        /// The path.
        namespace: Cow<'a, str>,
        /// Why: the text of a JSON object (`{"message":…,"data":…}`), or of a string from old servers.
        error: Bytes,
    },
}

/// Turns messages of one connection into packets. Idle, it is one empty pointer.
///
/// Bounded: the number of attachments is checked before any is kept, and a text together with its attachments is at
/// most [`Limits::max_payload`] bytes. (JavaScript's server bounds each WebSocket message alone, so that a client can
/// make it hold eleven times as much.)
///
/// After an error the connection is to be closed, as JavaScript's server does; [`Assembler::clear`] makes it usable
/// again for those who do not.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    namespace: Box<str>,
    /// `None`: an acknowledgement.
    event: Option<Box<str>>,
    id: Option<u64>,
    json: Bytes,
    attachments: Vec<Bytes>,
    wanted: usize,
    /// Bytes that may still come.
    room: usize,
}

impl Assembler {
    /// Nothing is awaited.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: None }
    }

    /// Whether no attachment is awaited.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.partial.is_none()
    }

    /// Forgets a packet whose attachments are awaited.
    pub fn clear(&mut self) {
        self.partial = None;
    }

    /// Takes a text message. `None`: attachments have to come first.
    ///
    /// # Errors
    /// [`DecodeError`] of the layer Socket.IO: [`DecodeError::UnexpectedText`] while attachments are awaited, or what is
    /// wrong with the packet.
    pub fn text<'a>(&mut self, text: &'a str, limits: &Limits) -> Result<Option<Inbound<'a>>, DecodeError> {
        if self.partial.is_some() {
            return Err(DecodeError::UnexpectedText);
        }
        if text.len() > limits.max_payload {
            return Err(DecodeError::MessageTooLarge);
        }
        let header = Header::decode(text, limits)?;
        let namespace = Cow::Borrowed(header.namespace);
        Ok(Some(match header.kind {
            PacketKind::Connect => Inbound::Connect { namespace, auth: header.object(limits)? },
            PacketKind::Disconnect if header.body.is_empty() => Inbound::Disconnect { namespace },
            PacketKind::Disconnect => return Err(DecodeError::BadPayload),
            PacketKind::ConnectError => {
                Inbound::ConnectError { namespace, error: header.object_or_text(limits)? }
            }
            PacketKind::Event | PacketKind::BinaryEvent => {
                let (name, json) = header.event(limits)?;
                if header.attachments > 0 {
                    return self.wait(&header, Some(name), json, text.len(), limits);
                }
                Inbound::Event {
                    namespace,
                    id: header.id,
                    name,
                    args: Args::trusted(json, Attachments::NONE),
                }
            }
            PacketKind::Ack | PacketKind::BinaryAck => {
                let id = header.id.ok_or(DecodeError::BadAckId)?;
                let json = header.array(limits)?;
                if header.attachments > 0 {
                    return self.wait(&header, None, json, text.len(), limits);
                }
                Inbound::Ack { namespace, id, args: Args::trusted(json, Attachments::NONE) }
            }
        }))
    }

    fn wait<'a>(
        &mut self,
        header: &Header<'_>,
        event: Option<Cow<'_, str>>,
        json: Bytes,
        size: usize,
        limits: &Limits,
    ) -> Result<Option<Inbound<'a>>, DecodeError> {
        // Before anything is kept: a text that no attachment can make whole.
        binary::check_placeholders(&json, header.attachments)?;
        self.partial = Some(Box::new(Partial {
            namespace: header.namespace.into(),
            event: event.map(|name| name.into()),
            id: header.id,
            json,
            attachments: Vec::with_capacity(header.attachments),
            wanted: header.attachments,
            room: limits.max_payload - size,
        }));
        Ok(None)
    }

    /// Takes a binary message, an attachment. `None`: more have to come.
    ///
    /// # Errors
    /// [`DecodeError::UnexpectedBinary`] when none is awaited, [`DecodeError::MessageTooLarge`] when the packet exceeds
    /// [`Limits::max_payload`] with it.
    pub fn binary(&mut self, data: &[u8], _limits: &Limits) -> Result<Option<Inbound<'static>>, DecodeError> {
        let mut partial = self.partial.take().ok_or(DecodeError::UnexpectedBinary)?;
        partial.room = partial.room.checked_sub(data.len()).ok_or(DecodeError::MessageTooLarge)?;
        partial.attachments.push(Bytes::copy_from_slice(data));
        if partial.attachments.len() < partial.wanted {
            self.partial = Some(partial);
            return Ok(None);
        }
        let namespace = Cow::Owned(partial.namespace.into());
        let args = Args::trusted(partial.json, partial.attachments.into());
        Ok(Some(match (partial.event, partial.id) {
            (Some(name), id) => Inbound::Event { namespace, id, name: Cow::Owned(name.into()), args },
            (None, id) => Inbound::Ack { namespace, id: id.ok_or(DecodeError::BadAckId)?, args },
        }))
    }
}
