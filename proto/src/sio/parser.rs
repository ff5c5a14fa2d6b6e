//! How packets become messages of Engine.IO, and back: the parser of a server.
//!
//! Socket.IO calls the pair of an encoder and a decoder a *parser*. Both sides of a connection must use the same one;
//! nothing on the wire says which. The default is [`Parsers::Json`], which every client has built in.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;

use super::header::{self, RESERVED};
use super::{Assembler, Inbound, json};
use crate::prepared::Packet;
use crate::{DecodeError, Limits};

/// A message of Engine.IO, as a packet's encoding: one WebSocket message, or one packet of a polling payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A text message. Since U+001E separates packets in long-polling, the server sends U+FFFD in its place: a parser
    /// whose texts may contain any character should escape it, or send binary.
    Text(String),
    /// A binary message.
    Binary(Bytes),
}

/// A parser of one's own, for clients that have the same: `io({ parser })` in JavaScript.
///
/// What comes from clients is checked behind every parser: reserved event names, the lengths of names, how deep the
/// arguments nest. What a parser has to see to itself is that it keeps no more than [`Limits::max_payload`] of a packet
/// whose end it waits for.
pub trait Parser: Send + Sync + 'static {
    /// Its name, for logs.
    fn name(&self) -> &str;

    /// The messages of a packet, at least one, in the order in which they are sent. They are made once for all
    /// recipients of a broadcast.
    ///
    /// Acknowledgements and events may have attachments, to which placeholders in the text of their arguments refer
    /// (`{"_placeholder":true,"num":0}`); [`Args::parse`](super::Args::parse) into [`Value`](super::Value)s resolves
    /// them.
    fn encode(&self, packet: &Packet) -> Vec<Message>;

    /// What reads the messages of one connection.
    fn decoder(&self) -> Box<dyn Decoder>;
}

/// Turns the messages of one connection into packets.
///
/// After an error the connection is closed. A panic counts as one.
pub trait Decoder: Send {
    /// Takes a text message. `None`: the packet is not whole yet.
    ///
    /// # Errors
    /// Why this is no packet; [`DecodeError::BadPacket`] if nothing else fits, and [`DecodeError::UnexpectedText`] if
    /// not said otherwise.
    fn text(&mut self, text: &str, limits: &Limits) -> Result<Option<Inbound<'static>>, DecodeError> {
        let _ = (text, limits);
        Err(DecodeError::UnexpectedText)
    }

    /// Takes a binary message. `None`: the packet is not whole yet.
    ///
    /// # Errors
    /// As [`Decoder::text`]; [`DecodeError::UnexpectedBinary`] if not said otherwise.
    fn binary(&mut self, data: &[u8], limits: &Limits) -> Result<Option<Inbound<'static>>, DecodeError> {
        let _ = (data, limits);
        Err(DecodeError::UnexpectedBinary)
    }

    /// Forgets a packet that is not whole yet: the connection is over.
    fn clear(&mut self) {}
}

/// The parser of a server.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Parsers {
    /// JSON text, and attachments behind it: what Socket.IO calls its default parser.
    #[default]
    Json,
    /// That of the npm package `socket.io-msgpack-parser`: each packet is one binary message. See
    /// [`msgpack`](super::msgpack).
    MsgPack,
    /// Any other.
    Custom(Arc<dyn Parser>),
}

impl Parsers {
    /// Its name, for logs.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Custom(parser) => parser.name(),
        }
    }

    /// The messages of a packet.
    #[must_use]
    pub fn encode(&self, packet: &Packet) -> Vec<Message> {
        match self {
            Self::Json => {
                let text = Message::Text(packet.text());
                let attachments = packet.attachments().iter().cloned().map(Message::Binary);
                std::iter::once(text).chain(attachments).collect()
            }
            Self::MsgPack => vec![Message::Binary(super::msgpack::encode(packet).into())],
            Self::Custom(parser) => {
                let mut messages = parser.encode(packet);
                for message in &mut messages {
                    if let Message::Text(text) = message
                        && text.contains('\u{1e}')
                    {
                        *text = text.replace('\u{1e}', "\u{fffd}");
                    }
                }
                messages
            }
        }
    }

    /// What reads the messages of one connection.
    #[must_use]
    pub fn decoder(&self) -> AnyDecoder {
        match self {
            Self::Json => AnyDecoder::Json(Assembler::new()),
            Self::MsgPack => AnyDecoder::MsgPack,
            Self::Custom(parser) => AnyDecoder::Custom(parser.decoder()),
        }
    }
}

impl<P: Parser> From<P> for Parsers {
    fn from(parser: P) -> Self {
        Self::Custom(Arc::new(parser))
    }
}

impl fmt::Debug for Parsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The decoder that belongs to one of the [`Parsers`].
pub enum AnyDecoder {
    /// Of [`Parsers::Json`].
    Json(Assembler),
    /// Of [`Parsers::MsgPack`], which keeps nothing between messages.
    MsgPack,
    /// Of [`Parsers::Custom`].
    Custom(Box<dyn Decoder>),
}

impl AnyDecoder {
    /// Takes a text message. `None`: the packet is not whole yet.
    ///
    /// # Errors
    /// [`DecodeError`] of the layer Socket.IO, after which the connection is to be closed.
    #[inline]
    pub fn text<'a>(&mut self, text: &'a str, limits: &Limits) -> Result<Option<Inbound<'a>>, DecodeError> {
        match self {
            Self::Json(assembler) => assembler.text(text, limits),
            Self::MsgPack => Err(DecodeError::UnexpectedText),
            Self::Custom(decoder) => guarded(limits, || decoder.text(text, limits)),
        }
    }

    /// Takes a binary message. `None`: the packet is not whole yet.
    ///
    /// # Errors
    /// As [`AnyDecoder::text`].
    #[inline]
    pub fn binary<'a>(
        &mut self,
        data: &'a [u8],
        limits: &Limits,
    ) -> Result<Option<Inbound<'a>>, DecodeError> {
        match self {
            Self::Json(assembler) => assembler.binary(data, limits),
            Self::MsgPack => super::msgpack::decode(data, limits).map(Some),
            Self::Custom(decoder) => guarded(limits, || decoder.binary(data, limits)),
        }
    }

    /// Forgets a packet that is not whole yet.
    pub fn clear(&mut self) {
        match self {
            Self::Json(assembler) => assembler.clear(),
            Self::MsgPack => {}
            Self::Custom(decoder) => decoder.clear(),
        }
    }
}

impl fmt::Debug for AnyDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "Json",
            Self::MsgPack => "MsgPack",
            Self::Custom(_) => "Custom",
        })
    }
}

/// Whatever a parser of somebody else says, what goes on keeps the rules.
fn guarded(
    limits: &Limits,
    decode: impl FnOnce() -> Result<Option<Inbound<'static>>, DecodeError>,
) -> Result<Option<Inbound<'static>>, DecodeError> {
    let inbound = catch_unwind(AssertUnwindSafe(decode)).unwrap_or(Err(DecodeError::BadPacket))?;
    inbound.map(|inbound| checked(inbound, limits)).transpose()
}

fn checked(mut inbound: Inbound<'static>, limits: &Limits) -> Result<Inbound<'static>, DecodeError> {
    let text = |json: &Bytes, first: &[u8]| {
        let text = std::str::from_utf8(json).map_err(|_| DecodeError::BadJson)?;
        let text = json::validate_any(text, limits.max_json_depth)?;
        match text.as_bytes() {
            [begin, ..] if first.contains(begin) => Ok(()),
            _ => Err(DecodeError::BadPayload),
        }
    };
    let namespace = match &mut inbound {
        Inbound::Connect { namespace, auth } => {
            auth.as_ref().map_or(Ok(()), |auth| text(auth, b"{"))?;
            namespace
        }
        Inbound::Disconnect { namespace } => namespace,
        Inbound::Event { namespace, name, args, .. } => {
            event_name(name, limits)?;
            text(args.json_bytes(), b"[")?;
            namespace
        }
        Inbound::Ack { namespace, args, .. } => {
            text(args.json_bytes(), b"[")?;
            namespace
        }
        Inbound::ConnectError { namespace, error } => {
            text(error, b"{\"")?;
            namespace
        }
    };
    let path = header::namespace(namespace, limits)?;
    if path.len() < namespace.len() {
        *namespace = path.to_owned().into();
    }
    Ok(inbound)
}

/// Checks an event's name.
pub(super) fn event_name(name: &str, limits: &Limits) -> Result<(), DecodeError> {
    if name.len() > limits.max_event_len {
        return Err(DecodeError::EventTooLong);
    }
    if RESERVED.contains(&name) {
        return Err(DecodeError::ReservedEvent);
    }
    Ok(())
}

#[cfg(test)]
#[path = "parser_tests.rs"]
mod tests;
