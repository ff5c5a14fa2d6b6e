//! Messages between nodes: what is accepted can be said again and means the same.

use bytes::Bytes;
use sockeye_proto::Limits;
use sockeye_proto::bus::python::{
    self, Incoming, PythonMessage, encode_callback, encode_close_room, encode_disconnect, encode_emit,
    encode_enter_room, encode_leave_room,
};
use sockeye_proto::bus::{Answer, Message, Query, native};
use sockeye_proto::sio::Args;

use super::sio;

/// A whole message.
pub fn native_envelope(data: &[u8]) {
    let (limits, bytes) = (Limits::default(), Bytes::copy_from_slice(data));
    let peeked = native::peek(&bytes);
    let Ok(envelope) = native::decode(&bytes, &limits) else { return };
    assert_eq!(peeked, Ok((envelope.origin, envelope.sequence)));
    match &envelope.message {
        Message::Emit { args, .. }
        | Message::ServerEvent { args, .. }
        | Message::Request { query: Query::ServerEvent { args, .. }, .. }
        | Message::Answer { answer: Answer::ServerEvent(Some(args)), .. } => sio::check(args),
        Message::Acks { acks, .. } => acks.iter().filter_map(|(_, args)| args.as_ref()).for_each(sio::check),
        _ => {}
    }
    let again = native::encode(&envelope.origin, &envelope.message);
    let again = native::decode(&again.into(), &limits).expect("what was accepted is accepted again");
    assert_eq!((again.origin, again.message), (envelope.origin, envelope.message));
}

/// A whole message.
pub fn python_envelope(data: &[u8]) {
    let limits = Limits::default();
    let Ok(Incoming { host, message }) = python::decode(data, &limits) else { return };
    let name = host.as_deref().unwrap_or("host");
    let written = match &message {
        PythonMessage::Emit { namespace, event, args, target, callback } => {
            sio::check(args);
            let callback = callback.as_ref().filter(|callback| callback.namespace == **namespace);
            let callback = callback.map(|callback| (callback.room.as_str(), callback.id));
            encode_emit(name, namespace, event, args, target, callback)
        }
        PythonMessage::Disconnect { sid, namespace } => encode_disconnect(name, sid, namespace),
        PythonMessage::EnterRoom { sid, room, namespace } => encode_enter_room(name, sid, room, namespace),
        PythonMessage::LeaveRoom { sid, room, namespace } => encode_leave_room(name, sid, room, namespace),
        PythonMessage::CloseRoom { room, namespace } => encode_close_room(name, room, namespace),
        PythonMessage::Callback { host, sid, namespace, id, args } => {
            encode_callback(host, sid, namespace, *id, args).expect("Python sends no binary")
        }
        PythonMessage::Unknown => return,
    };
    let again = python::decode(&written, &limits).expect("what was accepted is accepted again");
    match (again.message, message) {
        (
            PythonMessage::Emit { namespace, event, args, target, .. },
            PythonMessage::Emit {
                namespace: namespace2, event: event2, args: args2, target: target2, ..
            },
        ) => {
            assert_eq!((namespace, event, target), (namespace2, event2, target2));
            // The one thing that cannot be said is a lone null, which NaN becomes.
            let arguments = |args: &Args| args.iter().map(str::to_owned).collect::<Vec<_>>();
            assert!(arguments(&args) == arguments(&args2) || arguments(&args2) == ["null"]);
            assert_eq!(args.attachments(), if args.is_empty() { &[] } else { args2.attachments() });
        }
        (again, message) => assert_eq!(again, message),
    }
}
