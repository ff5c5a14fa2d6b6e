//! Reading, on the raw text: only what a message is for is converted.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::memmem;
use smallvec::SmallVec;

use super::{Callback, INTEGER, Incoming, PythonError, PythonMessage};
use crate::Limits;
use crate::bus::{self, Target};
use crate::name::{NamespacePath, RoomName};
use crate::sio::{Args, json};

/// What every pickle of protocol 2 or later begins with. Protocols 0 and 1, which no version used by default, are not
/// JSON either.
const PICKLE: u8 = 0x80;

/// Reads a message.
///
/// # Errors
/// [`PythonError`]. A method that is not known is no error but [`PythonMessage::Unknown`].
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Incoming, PythonError> {
    if bytes.len() > bus::max_message(limits) {
        return Err(PythonError::TooLarge);
    }
    if bytes.first() == Some(&PICKLE) {
        return Err(PythonError::Pickle);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| PythonError::NotJson)?;
    let has = |token: &str| memmem::find(bytes, token.as_bytes()).is_some();
    let has_nan = has("NaN") || has("Infinity");
    let text = match has_nan {
        true => replace(text, &[("-Infinity", NAN), ("Infinity", NAN), ("NaN", NAN)])?.into(),
        false => Cow::Borrowed(text),
    };
    let text = json::validate_any(&text, json::DEEPEST).map_err(|_| PythonError::NotJson)?;
    if !text.starts_with('{') {
        return Err(PythonError::NotObject);
    }
    Fields::read(text, has_nan).message()
}

/// What stands for the tokens that Python's JSON has and JSON has not, until they become `null`: that must be later than
/// the rule by which a lone `null` is no argument. A number, written as no program writes it.
const NAN: &str = "-0e-0";

/// Replaces tokens outside of strings.
fn replace(text: &str, tokens: &[(&str, &str)]) -> Result<String, PythonError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let plain = memchr::memchr(b'"', rest.as_bytes()).unwrap_or(rest.len());
        let (between, string) = rest.split_at(plain);
        out.push_str(&tokens.iter().fold(between.to_owned(), |text, (from, to)| text.replace(from, to)));
        let end = match string {
            "" => 0,
            _ => json::string(string.as_bytes(), 1).map_err(|_| PythonError::NotJson)?,
        };
        out.push_str(&string[..end]);
        rest = &string[end..];
    }
    Ok(out)
}

/// The fields that any method has, as raw values. As in Python, the last one of a name counts.
#[derive(Default)]
struct Fields<'a> {
    method: Option<&'a str>,
    event: Option<&'a str>,
    data: Option<&'a str>,
    binary: Option<&'a str>,
    namespace: Option<&'a str>,
    room: Option<&'a str>,
    skip_sid: Option<&'a str>,
    callback: Option<&'a str>,
    host_id: Option<&'a str>,
    sid: Option<&'a str>,
    id: Option<&'a str>,
    args: Option<&'a str>,
    /// [`NAN`] may occur.
    has_nan: bool,
}

impl<'a> Fields<'a> {
    fn read(object: &'a str, has_nan: bool) -> Self {
        let mut fields = Self { has_nan, ..Self::default() };
        for (key, value) in json::members(object) {
            let name = json::unescape(key);
            let field = match name.as_deref() {
                // Here alone `null` is not the same as nothing.
                Some("data") => {
                    fields.data = Some(value);
                    continue;
                }
                Some("method") => &mut fields.method,
                Some("event") => &mut fields.event,
                Some("binary") => &mut fields.binary,
                Some("namespace") => &mut fields.namespace,
                Some("room") => &mut fields.room,
                Some("skip_sid") => &mut fields.skip_sid,
                Some("callback") => &mut fields.callback,
                Some("host_id") => &mut fields.host_id,
                Some("sid") => &mut fields.sid,
                Some("id") => &mut fields.id,
                Some("args") => &mut fields.args,
                _ => continue,
            };
            *field = (value != "null").then_some(value);
        }
        fields
    }

    fn message(&self) -> Result<Incoming, PythonError> {
        let method = self.string("method", self.method)?;
        let message = match &*method {
            "emit" => self.emit()?,
            "disconnect" => PythonMessage::Disconnect { sid: self.sid()?, namespace: self.namespace()? },
            "enter_room" => PythonMessage::EnterRoom {
                sid: self.sid()?,
                room: self.room()?,
                namespace: self.namespace()?,
            },
            "leave_room" => PythonMessage::LeaveRoom {
                sid: self.sid()?,
                room: self.room()?,
                namespace: self.namespace()?,
            },
            "close_room" => PythonMessage::CloseRoom { room: self.room()?, namespace: self.namespace()? },
            "callback" => return Ok(Incoming { host: None, message: self.callback()? }),
            _ => PythonMessage::Unknown,
        };
        let host = self.host_id.and_then(text).map(Cow::into_owned);
        Ok(Incoming { host, message })
    }

    fn emit(&self) -> Result<PythonMessage, PythonError> {
        let event = self.string("event", self.event)?;
        if !bus::can_be_sent(&event) {
            return Err(PythonError::ReservedEvent);
        }
        Ok(PythonMessage::Emit {
            namespace: self.namespace()?,
            event: event.into(),
            args: self.arguments()?,
            target: self.target()?,
            callback: self.callback.and_then(reply),
        })
    }

    /// An event's `data` becomes arguments, as python-socketio from 5.15.1 on reads it.
    fn arguments(&self) -> Result<Args, PythonError> {
        const WRONG: PythonError = PythonError::WrongType("data");
        let data = self.data.ok_or(PythonError::MissingField("data"))?;
        let (value, attachments) = match self.binary.is_some_and(truthy) {
            false => (data, Vec::new()),
            true => {
                let mut parts = json::elements(data);
                let value = parts.next().ok_or(WRONG)?;
                let attachment = |part| STANDARD.decode(&*text(part)?).ok().map(Bytes::from);
                (value, parts.map(attachment).collect::<Option<Vec<_>>>().ok_or(WRONG)?)
            }
        };
        if !value.starts_with('[') {
            return match value {
                "null" => Ok(Args::empty()),
                _ => self.args("data", &format!("[{value}]"), attachments),
            };
        }
        let mut elements = json::elements(value);
        match (elements.next(), elements.next()) {
            (None | Some("null"), None) => Ok(Args::empty()),
            _ => self.args("data", value, attachments),
        }
    }

    fn args(&self, name: &'static str, list: &str, attachments: Vec<Bytes>) -> Result<Args, PythonError> {
        let json = match self.has_nan {
            true => replace(list, &[(NAN, "null")])?.into(),
            false => Bytes::copy_from_slice(list.as_bytes()),
        };
        Args::from_parts(json, attachments).map_err(|_| PythonError::WrongType(name))
    }

    fn target(&self) -> Result<Target, PythonError> {
        let rooms = rooms("room", self.room)?;
        if rooms.is_empty() && self.room.is_some() {
            return Err(PythonError::EmptyRooms);
        }
        Ok(Target { rooms, except: SmallVec::from_iter(self::rooms("skip_sid", self.skip_sid)?) })
    }

    fn callback(&self) -> Result<PythonMessage, PythonError> {
        let id = self.id.ok_or(PythonError::MissingField("id"))?;
        let args = self.args.ok_or(PythonError::MissingField("args"))?;
        if !args.starts_with('[') {
            return Err(PythonError::WrongType("args"));
        }
        Ok(PythonMessage::Callback {
            host: self.string("host_id", self.host_id)?.into(),
            sid: room(self.sid.ok_or(PythonError::MissingField("sid"))?)
                .ok_or(PythonError::WrongType("sid"))?
                .into(),
            // Python does not look at it.
            namespace: self.namespace().unwrap_or_default(),
            id: id.parse().map_err(|_| PythonError::WrongType("id"))?,
            args: self.args("args", args, Vec::new())?,
        })
    }

    fn string(&self, name: &'static str, value: Option<&'a str>) -> Result<Cow<'a, str>, PythonError> {
        text(value.ok_or(PythonError::MissingField(name))?).ok_or(PythonError::WrongType(name))
    }

    fn sid(&self) -> Result<String, PythonError> {
        self.string("sid", self.sid).map(Cow::into_owned)
    }

    fn namespace(&self) -> Result<NamespacePath, PythonError> {
        let path = self.string("namespace", self.namespace)?;
        match NamespacePath::can_travel(&path) {
            true => Ok(path.into()),
            false => Err(PythonError::WrongType("namespace")),
        }
    }

    fn room(&self) -> Result<RoomName, PythonError> {
        let value = self.room.ok_or(PythonError::MissingField("room"))?;
        room(value).map(RoomName::from).ok_or(PythonError::WrongType("room"))
    }
}

/// The text of a string value.
fn text(value: &str) -> Option<Cow<'_, str>> {
    json::unescape(value.strip_prefix('"')?.strip_suffix('"')?)
}

/// What Python takes for true.
fn truthy(value: &str) -> bool {
    match value.as_bytes()[0] {
        b't' => true,
        b'f' | b'n' => false,
        b'"' => value.len() > 2,
        b'[' => json::elements(value).next().is_some(),
        b'{' => json::members(value).next().is_some(),
        _ => value.parse::<f64>().is_ok_and(|number| number != 0.0),
    }
}

/// A room that is a string or an integer.
fn room(value: &str) -> Option<Cow<'_, str>> {
    match value.as_bytes()[0] {
        b'"' => text(value),
        // Its digits are what tells it from others, so there must be one way only to write them.
        _ if value == "-0" => Some(format!("{INTEGER}0").into()),
        b'-' | b'0'..=b'9' if value[1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(format!("{INTEGER}{value}").into())
        }
        _ => None,
    }
}

/// One room, a list of rooms, or none.
fn rooms(name: &'static str, value: Option<&str>) -> Result<SmallVec<[RoomName; 2]>, PythonError> {
    let one = |value| room(value).map(RoomName::from).ok_or(PythonError::WrongType(name));
    let mut rooms = SmallVec::new();
    match value {
        None => {}
        Some(list) if list.starts_with('[') => {
            for value in json::elements(list) {
                rooms.push(one(value)?);
            }
        }
        Some(value) => rooms.push(one(value)?),
    }
    Ok(rooms)
}

/// `[room, namespace, id]`. As in Python, anything else is as good as nothing.
fn reply(value: &str) -> Option<Callback> {
    let mut parts = json::elements(value);
    let (first, namespace, id) = (parts.next()?, parts.next()?, parts.next()?);
    match parts.next() {
        None => Some(Callback {
            room: room(first)?.into(),
            namespace: text(namespace)?.into(),
            id: id.parse().ok()?,
        }),
        Some(_) => None,
    }
}
