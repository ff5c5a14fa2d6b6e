//! Writing, with the fields in the order in which python-socketio writes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::INTEGER;
use crate::bus::Target;
use crate::sio::{Args, json};

/// An event for clients. `callback`: the room to name in the answer, and a number for it.
///
/// See the [module](super) for what becomes of arguments and exceptions at which version.
#[must_use]
pub fn encode_emit(
    host: &str,
    namespace: &str,
    event: &str,
    args: &Args,
    target: &Target,
    callback: Option<(&str, u64)>,
) -> Vec<u8> {
    let mut object = Object::new("emit", args.size() * 4 / 3 + 8 * args.attachments().len() + 256);
    object.text("event", event);
    object.key("data");
    data(&mut object.out, args);
    object.raw("binary", if args.has_binary() { "true" } else { "false" });
    object.text("namespace", namespace);
    object.rooms("room", &target.rooms);
    object.rooms("skip_sid", &target.except);
    match callback {
        None => object.raw("callback", "null"),
        Some((to, id)) => {
            object.key("callback");
            object.out.push(b'[');
            room(&mut object.out, to);
            object.out.push(b',');
            text(&mut object.out, namespace);
            object.out.extend_from_slice(format!(",{id}]").as_bytes());
        }
    }
    object.text("host_id", host);
    object.end()
}

/// Disconnects a socket.
#[must_use]
pub fn encode_disconnect(host: &str, sid: &str, namespace: &str) -> Vec<u8> {
    let mut object = Object::new("disconnect", 0);
    object.text("sid", sid);
    object.text("namespace", namespace);
    object.text("host_id", host);
    object.end()
}

/// Puts a socket into a room.
#[must_use]
pub fn encode_enter_room(host: &str, sid: &str, room: &str, namespace: &str) -> Vec<u8> {
    room_operation("enter_room", host, Some(sid), room, namespace)
}

/// Takes a socket out of a room.
#[must_use]
pub fn encode_leave_room(host: &str, sid: &str, room: &str, namespace: &str) -> Vec<u8> {
    room_operation("leave_room", host, Some(sid), room, namespace)
}

/// Takes everyone out of a room.
#[must_use]
pub fn encode_close_room(host: &str, room: &str, namespace: &str) -> Vec<u8> {
    room_operation("close_room", host, None, room, namespace)
}

fn room_operation(method: &str, host: &str, sid: Option<&str>, room: &str, namespace: &str) -> Vec<u8> {
    let mut object = Object::new(method, 0);
    if let Some(sid) = sid {
        object.text("sid", sid);
    }
    object.key("room");
    self::room(&mut object.out, room);
    object.text("namespace", namespace);
    object.text("host_id", host);
    object.end()
}

/// A client's acknowledgement. `host`, `sid`, `namespace` and `id` are those of the event that asked for it
/// ([`super::Incoming::host`] and [`super::Callback`]).
///
/// `None`: the arguments have attachments, which Python has no way to say; it sends nothing then, either.
#[must_use]
pub fn encode_callback(host: &str, sid: &str, namespace: &str, id: u64, args: &Args) -> Option<Vec<u8>> {
    if args.has_binary() {
        return None;
    }
    let mut object = Object::new("callback", args.size());
    object.text("host_id", host);
    object.key("sid");
    room(&mut object.out, sid);
    object.text("namespace", namespace);
    object.raw("id", &id.to_string());
    object.raw("args", args.json());
    Some(object.end())
}

/// The form that most versions understand.
fn data(out: &mut Vec<u8>, args: &Args) {
    let only = {
        let mut arguments = args.iter();
        arguments.next().filter(|first| !first.starts_with('[') && arguments.next().is_none())
    };
    let value = match only {
        _ if args.is_empty() && !args.has_binary() => "null",
        Some(argument) => argument,
        None => args.json(),
    };
    if args.has_binary() {
        out.push(b'[');
    }
    out.extend_from_slice(value.as_bytes());
    for attachment in args.attachments() {
        out.extend_from_slice(b",\"");
        let begin = out.len();
        out.resize(begin + attachment.len().div_ceil(3) * 4, 0);
        // The slice is as long as padded base64 is.
        let _ = STANDARD.encode_slice(attachment, &mut out[begin..]);
        out.push(b'"');
    }
    if args.has_binary() {
        out.push(b']');
    }
}

struct Object {
    out: Vec<u8>,
}

impl Object {
    fn new(method: &str, room: usize) -> Self {
        let mut out = Vec::with_capacity(160 + room);
        out.extend_from_slice(b"{\"method\":");
        text(&mut out, method);
        Self { out }
    }

    fn key(&mut self, key: &str) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn raw(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.extend_from_slice(value.as_bytes());
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        text(&mut self.out, value);
    }

    fn rooms(&mut self, key: &str, rooms: &[crate::name::RoomName]) {
        self.key(key);
        match rooms {
            [] => self.out.extend_from_slice(b"null"),
            [one] => room(&mut self.out, one),
            several => {
                for (index, name) in several.iter().enumerate() {
                    self.out.push(if index == 0 { b'[' } else { b',' });
                    room(&mut self.out, name);
                }
                self.out.push(b']');
            }
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

fn text(out: &mut Vec<u8>, value: &str) {
    // Text always becomes JSON, and memory always takes it.
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// An integer if the name says so and its digits can be one, otherwise text.
fn room(out: &mut Vec<u8>, name: &str) {
    match name.strip_prefix(INTEGER) {
        Some(digits) if json::number(digits.as_bytes(), 0) == Ok(digits.len()) => {
            out.extend_from_slice(digits.as_bytes());
        }
        _ => text(out, name),
    }
}
