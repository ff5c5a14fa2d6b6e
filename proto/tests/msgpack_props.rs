//! Msgpack packets against independent codecs: what we write, rmp-serde reads, and the other way round.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use sockeye_proto::Limits;
use sockeye_proto::prepared::Packet;
use sockeye_proto::sio::{Args, Inbound, IntoArgs as _, Spread, Value, msgpack};

fn number() -> impl Strategy<Value = serde_json::Number> {
    prop_oneof![
        any::<u64>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1000_i64..1000).prop_map(Into::into),
        any::<f64>().prop_filter_map("a finite one", serde_json::Number::from_f64),
    ]
}

/// Anything, with binary in it.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::Number),
        ".{0,40}".prop_map(Value::from),
        "[\u{0}-\u{1f}\"\\\\/🐟é]{0,5}".prop_map(Value::from),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Binary(bytes.into())),
    ];
    leaf.prop_recursive(5, 60, 20, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::Array),
            prop::collection::btree_map("[a-z\"é]{0,6}", inner, 0..20)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The same number, however it is written: JavaScript's parser makes integers of floats without a fraction.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one.is_f64() || other.is_f64() => {
            // serde_json reads long numbers with an error in the last place.
            one.as_f64()
                .zip(other.as_f64())
                .is_some_and(|(one, other)| (one - other).abs() <= one.abs() * 1e-12)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|(one, other)| one.0 == other.0 && same(&one.1, &other.1))
        }
        _ => one == other,
    }
}

fn limits() -> Limits {
    Limits { max_payload: usize::MAX, max_json_len: usize::MAX, ..Limits::default() }
}

fn read(message: &[u8]) -> (String, Args) {
    match msgpack::decode(message, &limits()).expect("a packet") {
        Inbound::Event { name, args, .. } => (name.into_owned(), args),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(name in "[^\u{0}]{1,20}", values in prop::collection::vec(value(), 0..4), id in any::<Option<u64>>()) {
        prop_assume!(!sockeye_proto::sio::RESERVED.contains(&name.as_str()));
        let args = Spread(&values).into_args().expect("arguments");
        let packet = Packet::event("/chat".into(), &*name, args, id);
        let message = msgpack::encode(&packet);
        let (read_name, read_args) = read(&message);
        prop_assert_eq!(&read_name, &name);
        let again: Vec<Value> = read_args.parse().expect("values");
        prop_assert!(same(&Value::Array(again), &Value::Array(values)));
        prop_assert_eq!(read_args.attachments(), packet.attachments());
        // What was read once is written and read without any further change.
        let once = Packet::event("/chat".into(), &*name, read_args.clone(), id);
        prop_assert_eq!(read(&msgpack::encode(&once)).1, read_args);
    }

    #[test]
    fn an_independent_decoder_reads_the_same(values in prop::collection::vec(value(), 0..4)) {
        let args = Spread(&values).into_args().expect("arguments");
        let message = msgpack::encode(&Packet::ack("/".into(), 7, args));
        #[derive(serde::Deserialize)]
        struct Wire {
            r#type: u8,
            data: Vec<Value>,
            nsp: String,
            id: u64,
        }
        let wire: Wire = rmp_serde::from_slice(&message).expect("msgpack");
        prop_assert_eq!((wire.r#type, &*wire.nsp, wire.id), (3, "/", 7));
        prop_assert!(same(&Value::Array(wire.data), &Value::Array(values)));
    }

    #[test]
    fn what_an_independent_encoder_writes_is_read(values in prop::collection::vec(value(), 0..4)) {
        #[derive(serde::Serialize)]
        struct Wire<'a> {
            nsp: &'a str,
            data: (&'a str, &'a [Value]),
            options: Json,
            r#type: u8,
        }
        let wire = Wire { nsp: "/", data: ("event", &values), options: json!({"compress": true}), r#type: 2 };
        let message = rmp_serde::to_vec_named(&wire).expect("msgpack");
        let (name, args) = read(&message);
        prop_assert_eq!(name, "event");
        let Value::Array(read) = args.first::<Value>().expect("a value") else { panic!("no list") };
        prop_assert!(same(&Value::Array(read), &Value::Array(values)));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), values in prop::collection::vec(value(), 0..3)) {
        let small = Limits { max_payload: 500, max_binary_values: 3, max_json_depth: 5, ..Limits::default() };
        let _ = msgpack::decode(&bytes, &small);
        // A packet with some bytes of it replaced.
        let args = Spread(&values).into_args().expect("arguments");
        let mut message = msgpack::encode(&Packet::event("/".into(), "event", args, None));
        let at = at.index(message.len());
        for (byte, other) in message[at..].iter_mut().zip(&bytes).take(3) {
            *byte = *other;
        }
        if let Ok(Inbound::Event { args, .. } | Inbound::Ack { args, .. }) = msgpack::decode(&message, &limits()) {
            let attachments: Vec<Bytes> = args.attachments().to_vec();
            prop_assert_eq!(Args::from_parts(args.json_bytes().clone(), attachments), Ok(args));
        }
    }
}
