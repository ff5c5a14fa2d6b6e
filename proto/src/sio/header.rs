//! The text of a packet, up to and into its JSON (Socket.IO protocol 5, "Packet encoding").
//!
//! `type [attachments "-"] [namespace ","] [id] [JSON]`

use std::borrow::Cow;

use bytes::Bytes;

use super::parser::event_name;
use super::{PacketKind, json};
use crate::name::NamespacePath;
use crate::{DecodeError, Limits, query};

/// Event names that mean something else to the libraries on both sides; JavaScript's parser refuses them too.
pub const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

pub(super) struct Header<'a> {
    pub(super) kind: PacketKind,
    /// How many attachments follow, 0 for kinds without.
    pub(super) attachments: usize,
    /// Begins with `/`; a query that the client put behind it is gone.
    pub(super) namespace: &'a str,
    /// What the client put behind the namespace and a `?`.
    pub(super) query: Option<&'a str>,
    pub(super) id: Option<u64>,
    /// What follows, not looked at yet.
    pub(super) body: &'a str,
}

impl<'a> Header<'a> {
    pub(super) fn decode(text: &'a str, limits: &Limits) -> Result<Self, DecodeError> {
        let digit = *text.as_bytes().first().ok_or(DecodeError::EmptyMessage)?;
        let kind = PacketKind::from_digit(digit).ok_or(DecodeError::BadPacketType)?;
        let mut rest = &text[1..];
        let mut attachments = 0;
        if kind.is_binary() {
            let (count, behind) = digits(rest);
            attachments = count
                .map_err(|()| DecodeError::TooManyAttachments)?
                .ok_or(DecodeError::BadAttachmentCount)?;
            rest = behind.strip_prefix('-').ok_or(DecodeError::BadAttachmentCount)?;
            if attachments > limits.max_attachments as u64 {
                return Err(DecodeError::TooManyAttachments);
            }
        }
        let (mut namespace, mut query) = ("/", None);
        if rest.starts_with('/') {
            (namespace, rest) = rest.split_once(',').unwrap_or((rest, ""));
            query = namespace.split_once('?').map(|(_path, query)| query);
            namespace = self::namespace(namespace, limits)?;
        }
        let (id, body) = digits(rest);
        let id = id.map_err(|()| DecodeError::BadAckId)?;
        if body.len() > limits.max_json_len {
            return Err(DecodeError::JsonTooLong);
        }
        if json::has_more_values(body, limits.max_json_values) {
            return Err(DecodeError::TooManyValues);
        }
        Ok(Self { kind, attachments: attachments as usize, namespace, query, id, body })
    }

    /// The payload of CONNECT: nothing, or an object. Old clients have none, but may have a query.
    pub(super) fn object(&self, limits: &Limits) -> Result<Option<Bytes>, DecodeError> {
        match self.body.as_bytes() {
            [] => Ok(self.query.and_then(|query| query::to_json(query, &[])).map(Bytes::from)),
            _ => match json::validate_any(self.body, limits.max_json_depth)? {
                object if object.starts_with('{') => Ok(Some(Bytes::copy_from_slice(object.as_bytes()))),
                _ => Err(DecodeError::BadPayload),
            },
        }
    }

    /// The payload of CONNECT_ERROR: an object, or a text.
    pub(super) fn object_or_text(&self, limits: &Limits) -> Result<Bytes, DecodeError> {
        match json::validate_any(self.body, limits.max_json_depth)? {
            value if value.starts_with(['{', '"']) => Ok(Bytes::copy_from_slice(value.as_bytes())),
            _ => Err(DecodeError::BadPayload),
        }
    }

    /// The payload of ACK: an array.
    pub(super) fn array(&self, limits: &Limits) -> Result<Bytes, DecodeError> {
        if self.body.is_empty() {
            return Err(DecodeError::BadPayload);
        }
        let array = &self.body[json::validate_array(self.body, limits.max_json_depth)?];
        Ok(match array {
            "[]" => Bytes::from_static(b"[]"),
            _ => Bytes::copy_from_slice(array.as_bytes()),
        })
    }

    /// The payload of EVENT: an array whose first element is the name. Returns the name, and the array without it.
    pub(super) fn event(&self, limits: &Limits) -> Result<(Cow<'a, str>, Bytes), DecodeError> {
        let bytes = self.body.as_bytes();
        if bytes.first() != Some(&b'[') {
            return Err(DecodeError::BadPayload);
        }
        let begin = json::skip_space(bytes, 1);
        let (name, end) = match bytes.get(begin) {
            Some(b'"') => {
                let end = json::string(bytes, begin + 1)?;
                (json::unescape(&self.body[begin + 1..end - 1]).ok_or(DecodeError::BadEventName)?, end)
            }
            Some(b'-' | b'0'..=b'9') => {
                let end = json::number(bytes, begin)?;
                (Cow::Borrowed(&self.body[begin..end]), end)
            }
            _ => return Err(DecodeError::BadEventName),
        };
        event_name(&name, limits)?;
        let behind = json::skip_space(bytes, end);
        match bytes.get(behind) {
            Some(b',') => {
                let end = json::rest_of_array(bytes, behind + 1, limits.max_json_depth)?;
                json::expect_end(bytes, end)?;
                // The comma behind the name becomes the bracket in front of the arguments.
                let mut args = bytes[behind..end].to_vec();
                args[0] = b'[';
                Ok((name, args.into()))
            }
            Some(b']') => {
                json::expect_end(bytes, behind + 1)?;
                Ok((name, Bytes::from_static(b"[]")))
            }
            _ => Err(DecodeError::BadJson),
        }
    }
}

/// Checks the path of a namespace, and takes away the query that old clients put behind it.
pub(super) fn namespace<'a>(path: &'a str, limits: &Limits) -> Result<&'a str, DecodeError> {
    let path = path.split_once('?').map_or(path, |(path, _query)| path);
    if path.len() > limits.max_namespace_len {
        return Err(DecodeError::NamespaceTooLong);
    }
    // A comma ends it where packets are text, and one control character separates those in a polling payload, in which
    // our answer may have to name it.
    if !NamespacePath::can_travel(path) {
        return Err(DecodeError::BadNamespace);
    }
    Ok(path)
}

/// The number at the beginning of `text`, if there is one, and what follows it. `Err`: too large.
fn digits(text: &str) -> (Result<Option<u64>, ()>, &str) {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    match digits {
        "" => (Ok(None), rest),
        _ => (digits.parse().map(Some).map_err(drop), rest),
    }
}
