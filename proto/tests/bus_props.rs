//! Properties of what nodes say to each other.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize as _;
use sockeye_proto::Limits;
use sockeye_proto::bus::native::{self, SEQUENCE_AT};
use sockeye_proto::bus::python::{self, Callback, Incoming, PythonMessage, integer_room};
use sockeye_proto::bus::{
    Answer, ConnectionInfo, Envelope, Message, Origin, Query, ReplyTo, SocketFields, SocketInfo, Target,
};
use sockeye_proto::id::{NodeId, RequestId};
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::{Args, Binary, IntoArgs as _, RESERVED};

fn namespace() -> impl Strategy<Value = NamespacePath> {
    "/[a-zé/]{0,6}".prop_map(NamespacePath::from)
}

fn event() -> impl Strategy<Value = Box<str>> {
    any::<String>().prop_filter("not reserved", |name| !RESERVED.contains(&name.as_str())).prop_map(Box::from)
}

fn room() -> impl Strategy<Value = RoomName> {
    prop_oneof!["[a-d]", any::<String>()].prop_map(RoomName::from)
}

fn target() -> impl Strategy<Value = Target> {
    let rooms = || prop::collection::vec(room(), 0..4);
    (rooms(), rooms()).prop_map(|(rooms, except)| Target {
        rooms: rooms.into_iter().collect(),
        except: except.into_iter().collect(),
    })
}

fn args() -> impl Strategy<Value = Args> {
    let json = prop_oneof![
        Just("null".to_owned()),
        any::<f64>().prop_map(|number| serde_json::to_string(&number).expect("JSON")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("JSON")),
        Just("[]".to_owned()),
        Just("[null]".to_owned()),
        Just(r#"{"a":[1,{"b":null}]}"#.to_owned()),
    ];
    let plain = prop::collection::vec(json, 0..4).prop_map(|list| {
        Args::from_parts(format!("[{}]", list.join(",")).into(), vec![]).expect("arguments")
    });
    let bytes = || prop::collection::vec(any::<u8>(), 0..40).prop_map(Binary::from);
    prop_oneof![
        plain,
        bytes().prop_map(|binary| binary.into_args().expect("arguments")),
        prop::collection::vec(bytes(), 0..4).prop_map(|list| list.into_args().expect("arguments")),
        (any::<String>(), bytes(), bytes()).prop_map(|tuple| tuple.into_args().expect("arguments")),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    let millis = || any::<u64>().prop_map(Duration::from_millis);
    let request = || any::<u64>().prop_map(RequestId);
    let reply = prop::option::of((request(), millis()).prop_map(|(request, ttl)| ReplyTo { request, ttl }));
    let rooms = || prop::collection::vec(room(), 0..4);
    let query = prop_oneof![
        (namespace(), target()).prop_map(|(namespace, target)| Query::Members { namespace, target }),
        (namespace(), target()).prop_map(|(namespace, target)| Query::Count { namespace, target }),
        (namespace(), event(), args()).prop_map(|(namespace, event, args)| Query::ServerEvent {
            namespace,
            event,
            args
        }),
    ];
    let fields = || {
        (any::<[bool; 4]>(), prop::collection::vec(any::<String>(), 0..3)).prop_map(
            |([rooms, connection, url, data], headers)| SocketFields {
                rooms,
                connection,
                url,
                data,
                headers,
            },
        )
    };
    let listing = prop_oneof![
        (namespace(), target(), any::<u64>(), any::<u32>(), fields()).prop_map(
            |(namespace, target, from, limit, fields)| Query::Sockets {
                namespace,
                target,
                from,
                limit,
                fields
            }
        ),
        (namespace(), any::<String>(), fields()).prop_map(|(namespace, id, fields)| Query::Socket {
            namespace,
            id,
            fields
        }),
        Just(Query::Namespaces),
        (namespace(), prop::option::of(room()), any::<u32>())
            .prop_map(|(namespace, after, limit)| Query::Rooms { namespace, after, limit }),
        request().prop_map(|change| Query::Outcome { change }),
    ];
    let query = prop_oneof![query, listing];
    let connection = (any::<String>(), any::<u64>(), any::<bool>(), any::<String>())
        .prop_map(|(address, time, secure, transport)| ConnectionInfo { address, time, secure, transport });
    let socket = (
        any::<String>(),
        rooms(),
        prop::option::of(connection),
        any::<Option<String>>(),
        prop::collection::vec(any::<(String, String)>(), 0..3),
        any::<Option<String>>(),
    )
        .prop_map(|(id, rooms, connection, url, headers, data)| SocketInfo {
            id,
            rooms,
            connection,
            url,
            headers,
            data,
        });
    let listed = prop_oneof![
        (prop::collection::vec(socket, 0..4), any::<Option<u64>>())
            .prop_map(|(sockets, next)| Answer::Sockets { sockets, next }),
        prop::collection::vec((namespace(), any::<u64>()), 0..4).prop_map(Answer::Namespaces),
        (prop::collection::vec((room(), any::<u64>()), 0..4), any::<bool>())
            .prop_map(|(rooms, more)| Answer::Rooms { rooms, more }),
    ];
    let answer = prop_oneof![
        prop::collection::vec(any::<String>(), 0..5).prop_map(Answer::Members),
        any::<u64>().prop_map(Answer::Count),
        prop::option::of(args()).prop_map(Answer::ServerEvent),
        listed,
    ];
    let confirm = || prop::option::of(request());
    let heartbeat = (
        any::<[u8; 2]>(),
        any::<u64>(),
        prop::collection::vec(any::<(String, u64)>(), 0..4),
        any::<bool>(),
        any::<String>(),
        any::<String>(),
    );
    prop_oneof![
        (namespace(), event(), args(), target(), any::<bool>(), reply).prop_map(
            |(namespace, event, args, target, volatile, reply)| Message::Emit {
                namespace,
                event,
                args,
                target,
                volatile,
                reply
            }
        ),
        (namespace(), target(), rooms(), confirm()).prop_map(|(namespace, target, rooms, confirm)| {
            Message::Join { namespace, target, rooms, confirm }
        }),
        (namespace(), target(), rooms(), confirm()).prop_map(|(namespace, target, rooms, confirm)| {
            Message::Leave { namespace, target, rooms, confirm }
        }),
        (namespace(), target(), any::<bool>(), confirm()).prop_map(|(namespace, target, close, confirm)| {
            Message::Disconnect { namespace, target, close, confirm }
        }),
        (namespace(), room(), confirm()).prop_map(|(namespace, room, confirm)| Message::CloseRoom {
            namespace,
            room,
            confirm
        }),
        (request(), millis(), query).prop_map(|(id, ttl, query)| Message::Request { id, ttl, query }),
        (namespace(), event(), args()).prop_map(|(namespace, event, args)| Message::ServerEvent {
            namespace,
            event,
            args
        }),
        (request(), any::<u32>(), any::<bool>(), answer)
            .prop_map(|(request, part, more, answer)| Message::Answer { request, part, more, answer }),
        (request(), any::<u64>()).prop_map(|(request, recipients)| Message::AckCount { request, recipients }),
        (request(), prop::collection::vec((any::<String>(), prop::option::of(args())), 0..4))
            .prop_map(|(request, acks)| Message::Acks { request, acks }),
        heartbeat.prop_map(|(boot, incarnation, sequences, hello, name, version)| Message::Heartbeat {
            boot,
            incarnation,
            sequences,
            hello,
            name,
            version
        }),
        Just(Message::Leaving),
        (1_000..u32::MAX).prop_map(Message::Unknown),
    ]
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        any::<[u8; 6]>().prop_map(|id| Origin::Node(NodeId::from_bytes(id))),
        any::<[u8; 6]>().prop_map(Origin::Emitter),
    ]
}

proptest! {
    #[test]
    fn native_messages_come_back(message in message(), origin in origin(), sequence: u64) {
        let mut bytes = native::encode(&origin, &message);
        bytes[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&sequence.to_be_bytes());
        prop_assert_eq!(native::peek(&bytes), Ok((origin, sequence)));
        let envelope = native::decode(&bytes.into(), &Limits::default());
        prop_assert_eq!(envelope, Ok(Envelope { origin, sequence, message }));
    }

    /// A newer node says the same and more.
    #[test]
    fn elements_that_newer_nodes_append_change_nothing(message in message(), origin in origin(), extra: Vec<String>) {
        let bytes = native::encode(&origin, &message);
        let header_at = SEQUENCE_AT + 8;
        let mut reader = rmp_serde::Deserializer::new(Cursor::new(&bytes[header_at..]));
        serde::de::IgnoredAny::deserialize(&mut reader).expect("a header");
        let blocks_at = header_at + reader.get_ref().position() as usize;
        let count = bytes[header_at] & 0xf;
        prop_assert_eq!(bytes[header_at] & 0xf0, 0x90, "a short array");

        let mut newer = bytes[..header_at].to_vec();
        let left_out = u8::from(matches!(
            message,
            Message::Join { confirm: None, .. }
                | Message::Leave { confirm: None, .. }
                | Message::Disconnect { confirm: None, .. }
                | Message::CloseRoom { confirm: None, .. }
        ));
        newer.extend([0xdc, 0, count + left_out + 2]);
        newer.extend(&bytes[header_at + 1..blocks_at]);
        newer.extend(vec![0xc0; left_out.into()]);
        newer.extend(rmp_serde::to_vec(&extra).expect("msgpack"));
        newer.extend(rmp_serde::to_vec(&Some((1, "x"))).expect("msgpack"));
        newer.extend(&bytes[blocks_at..]);
        prop_assert_eq!(native::peek(&newer), Ok((origin, 0)));
        let envelope = native::decode(&newer.into(), &Limits::default());
        prop_assert_eq!(envelope, Ok(Envelope { origin, sequence: 0, message }));
    }

    #[test]
    fn no_bytes_make_the_native_decoder_panic(mut bytes: Vec<u8>, version: bool) {
        if let (true, Some(first)) = (version, bytes.first_mut()) {
            *first = native::VERSION;
        }
        let _ = native::peek(&bytes);
        let _ = native::decode(&bytes.into(), &Limits::default());
    }

    #[test]
    fn no_change_of_a_byte_makes_the_native_decoder_panic(
        message in message(),
        origin in origin(),
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bytes = native::encode(&origin, &message);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(envelope) = native::decode(&Bytes::from(bytes), &Limits::default()) {
            // What is accepted can be said again.
            let again = native::encode(&envelope.origin, &envelope.message);
            let again = native::decode(&again.into(), &Limits::default()).map(|envelope| envelope.message);
            prop_assert_eq!(again, Ok(envelope.message));
        }
    }

    #[test]
    fn python_emits_come_back(
        namespace in namespace(),
        event in event(),
        args in args(),
        target in target(),
        number: i64,
        callback in prop::option::of((any::<String>(), any::<u64>())),
    ) {
        // A name that is how an integer is spelt inside is that integer.
        prop_assume!(!target.rooms.iter().chain(&target.except).any(|room| room.starts_with('\0')));
        prop_assume!(callback.as_ref().is_none_or(|(room, _)| !room.starts_with('\0')));
        let target = target.to(integer_room(number));
        let reply = callback.as_ref().map(|(room, id)| (room.as_str(), *id));
        let bytes = python::encode_emit("host", &namespace, &event, &args, &target, reply);
        // The one thing that cannot be said.
        let args = if args.json() == "[null]" { Args::empty() } else { args };
        let callback =
            callback.map(|(room, id)| Callback { room, namespace: namespace.as_str().to_owned(), id });
        let message = PythonMessage::Emit { namespace, event, args, target, callback };
        let want = Incoming { host: Some("host".to_owned()), message };
        prop_assert_eq!(python::decode(&bytes, &Limits::default()), Ok(want));
    }

    #[test]
    fn no_text_makes_the_python_decoder_panic(
        text in r#"\{("(method|event|data|room|binary|callback|namespace|id|sid|args|skip_sid|host_id)":(null|"emit"|"callback"|"/"|true|NaN|-?[0-9]{1,3}|\[\]|\["/",1,\{"_placeholder":true,"num":0\}\]|-Infinity),?){0,9}\}?"#
    ) {
        let _ = python::decode(text.as_bytes(), &Limits::default());
    }

    /// The rule of targets, by sets: the union of the rooms without the union of the exceptions.
    #[test]
    fn a_target_is_a_union_without_a_union(
        sockets in prop::collection::vec(prop::collection::btree_set("[a-d]", 0..4), 0..10),
        rooms in prop::collection::vec("[a-d]", 0..3),
        except in prop::collection::vec("[a-d]", 0..3),
    ) {
        let members = |names: &[String]| -> BTreeSet<usize> {
            let within = |socket: &BTreeSet<String>| names.iter().any(|name| socket.contains(name));
            sockets.iter().enumerate().filter(|(_, socket)| within(socket)).map(|(index, _)| index).collect()
        };
        let everyone: BTreeSet<usize> = (0..sockets.len()).collect();
        let meant = if rooms.is_empty() { everyone } else { members(&rooms) };
        let want: BTreeSet<usize> = meant.difference(&members(&except)).copied().collect();

        let start = except.iter().fold(Target::everyone(), |target, room| target.except(room));
        let target = rooms.iter().fold(start, |target, room| target.to(room));
        let got: BTreeSet<usize> = sockets
            .iter()
            .enumerate()
            .filter(|(_, socket)| target.matches(|room| socket.contains(room.as_str())))
            .map(|(index, _)| index)
            .collect();
        prop_assert_eq!(got, want);
    }
}
