//! A packet from its message.

use std::borrow::Cow;

use super::to_json::{Writer, scalar};
use super::token::{Reader, Token};
use crate::sio::args::{Args, Attachments};
use crate::sio::header;
use crate::sio::{Inbound, PacketKind, parser};
use crate::{DecodeError, Limits};

/// Reads a packet.
///
/// Members of its map that mean nothing to us are passed over, and of those that occur twice the last one counts, as in
/// JavaScript. Besides what JavaScript's decoder lets pass, nil counts as undefined: Python's clients write that.
///
/// Bounded: a message is at most [`Limits::max_payload`] bytes, and its JSON at most six times as long; binary values
/// are counted against [`Limits::max_binary_values`] before they are kept. [`Limits::max_json_len`] bounds the message
/// without its binary values.
///
/// # Errors
/// [`DecodeError::BadMsgpack`] when the bytes are not one whole value, or have a string that is not UTF-8 or a key that
/// JSON has no text for; otherwise as [`Assembler`](crate::sio::Assembler).
pub fn decode<'a>(message: &'a [u8], limits: &Limits) -> Result<Inbound<'a>, DecodeError> {
    if message.len() > limits.max_payload {
        return Err(DecodeError::MessageTooLarge);
    }
    let members = Members::read(message)?;
    let kind = match members.kind.map(|mut at| at.next()).transpose()? {
        Some(Token::Uint(kind @ 0..=4)) => PacketKind::from_digit(b'0' + kind as u8),
        _ => None,
    };
    let kind = kind.ok_or(DecodeError::BadPacketType)?;
    let namespace = match members.namespace.map(|mut at| at.next()).transpose()? {
        Some(Token::Str(path)) => header::namespace(path, limits)?.into(),
        _ => return Err(DecodeError::BadNamespace),
    };
    let id = match members.id.map(|mut at| at.next()).transpose()?.filter(|id| !id.is_absent()) {
        None => None,
        Some(Token::Uint(id)) => Some(id),
        Some(Token::Int(id)) => Some(id.try_into().map_err(|_| DecodeError::BadAckId)?),
        Some(_) => return Err(DecodeError::BadAckId),
    };
    let data = members.data.filter(|at| !at.clone().next().is_ok_and(|token| token.is_absent()));
    Ok(match kind {
        PacketKind::Connect => {
            let auth = data.map(|mut data| match data.clone().next()? {
                Token::Map(_) => text(&mut data, message.len(), limits),
                _ => Err(DecodeError::BadPayload),
            });
            Inbound::Connect { namespace, auth: auth.transpose()? }
        }
        PacketKind::ConnectError => {
            let mut data = data.ok_or(DecodeError::BadPayload)?;
            match data.clone().next()? {
                Token::Map(_) | Token::Str(_) => {
                    Inbound::ConnectError { namespace, error: text(&mut data, message.len(), limits)? }
                }
                _ => return Err(DecodeError::BadPayload),
            }
        }
        PacketKind::Disconnect if data.is_none() => Inbound::Disconnect { namespace },
        PacketKind::Disconnect => return Err(DecodeError::BadPayload),
        PacketKind::Event | PacketKind::BinaryEvent => {
            let (mut data, len) = list(data)?;
            let len = len.checked_sub(1).ok_or(DecodeError::BadEventName)?;
            let name = event_name(data.next()?)?;
            parser::event_name(&name, limits)?;
            Inbound::Event { namespace, id, name, args: args(len, &mut data, message.len(), limits)? }
        }
        PacketKind::Ack | PacketKind::BinaryAck => {
            let id = id.ok_or(DecodeError::BadAckId)?;
            let (mut data, len) = list(data)?;
            Inbound::Ack { namespace, id, args: args(len, &mut data, message.len(), limits)? }
        }
    })
}

/// Where the members of a packet's map are.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Reader<'a>>,
    data: Option<Reader<'a>>,
    namespace: Option<Reader<'a>>,
    id: Option<Reader<'a>>,
}

impl<'a> Members<'a> {
    fn read(message: &'a [u8]) -> Result<Self, DecodeError> {
        if message.is_empty() {
            return Err(DecodeError::EmptyMessage);
        }
        let mut reader = Reader::new(message);
        let Token::Map(len) = reader.next()? else { return Err(DecodeError::BadMsgpack) };
        let mut members = Self::default();
        for _ in 0..len {
            let key = match reader.next()? {
                Token::Str(key) => key,
                Token::Array(_) | Token::Map(_) => return Err(DecodeError::BadMsgpack),
                _ => "",
            };
            let value = Some(reader.clone());
            match key {
                "type" => members.kind = value,
                "data" => members.data = value,
                "nsp" => members.namespace = value,
                "id" => members.id = value,
                _ => {}
            }
            reader.skip()?;
        }
        if reader.is_at_end() { Ok(members) } else { Err(DecodeError::BadMsgpack) }
    }
}

/// The JSON of a value in which there is no binary.
fn text(data: &mut Reader<'_>, size: usize, limits: &Limits) -> Result<bytes::Bytes, DecodeError> {
    let mut writer = Writer::new(size, limits);
    writer.value(data)?;
    match writer.into_parts()? {
        (json, binaries) if binaries.is_empty() => Ok(json),
        _ => Err(DecodeError::BadPayload),
    }
}

/// The list that events and acknowledgements carry: where its first value is, and how many there are.
fn list(data: Option<Reader<'_>>) -> Result<(Reader<'_>, usize), DecodeError> {
    let mut data = data.ok_or(DecodeError::BadPayload)?;
    match data.next()? {
        Token::Array(len) => Ok((data, len)),
        _ => Err(DecodeError::BadPayload),
    }
}

fn event_name(token: Token<'_>) -> Result<Cow<'_, str>, DecodeError> {
    match token {
        Token::Str(name) => Ok(name.into()),
        Token::Uint(_) | Token::Int(_) | Token::Float(_) => {
            let mut name = Vec::new();
            scalar(token, &mut name);
            String::from_utf8(name).map(Into::into).map_err(|_| DecodeError::BadEventName)
        }
        _ => Err(DecodeError::BadEventName),
    }
}

fn args(len: usize, data: &mut Reader<'_>, size: usize, limits: &Limits) -> Result<Args, DecodeError> {
    if len == 0 {
        return Ok(Args::empty());
    }
    let mut writer = Writer::new(size, limits);
    writer.list(len, data)?;
    let (json, binaries) = writer.into_parts()?;
    Ok(Args::trusted(json, Attachments::from(binaries)))
}
