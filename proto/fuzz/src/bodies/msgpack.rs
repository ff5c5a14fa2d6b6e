//! Msgpack packets: what is accepted survives being written and read again, in msgpack and in JSON, and an independent
//! decoder sees the same values.

use sockeye_proto::prepared::{Packet, Prepared};
use sockeye_proto::sio::{Args, Assembler, Inbound, Parsers, json, msgpack, parser::Message};
use sockeye_proto::{DecodeError, Limits};

use super::sio::check;

fn limits() -> Limits {
    Limits { max_payload: 4096, max_binary_values: 20, max_attachments: 20, ..Limits::default() }
}

/// One message.
pub fn packet(data: &[u8]) {
    let limits = limits();
    let inbound = match msgpack::decode(data, &limits) {
        Ok(inbound) => inbound,
        Err(error) => {
            assert!(data.len() <= limits.max_payload || error == DecodeError::MessageTooLarge);
            assert_eq!(error.layer(), sockeye_proto::Layer::SocketIo);
            return;
        }
    };
    assert!(data.len() <= limits.max_payload);
    let packet = match inbound {
        Inbound::Event { namespace, id, name, args } => {
            promises(&args, data, &limits);
            Packet::event((&*namespace).into(), &*name, args, id)
        }
        Inbound::Ack { namespace, id, args } => {
            promises(&args, data, &limits);
            Packet::ack((&*namespace).into(), id, args)
        }
        Inbound::Connect { auth: Some(json), .. } | Inbound::ConnectError { error: json, .. } => {
            let json = std::str::from_utf8(&json).expect("text");
            assert_eq!(json::validate(json, limits.max_json_depth), Ok(()));
            return;
        }
        Inbound::Connect { auth: None, .. } | Inbound::Disconnect { .. } => return,
    };
    // Numbers that served as names or keys have become text, which is longer.
    let limits = Limits { max_payload: 20 * limits.max_payload, ..limits };
    let again = msgpack::encode(&packet);
    assert_eq!(rebuilt(msgpack::decode(&again, &limits)), packet);
    // The same arguments, as the default parser writes them.
    let mut assembler = Assembler::new();
    let mut read = Ok(None);
    for message in Parsers::Json.encode(&packet) {
        read = match &message {
            Message::Text(text) => assembler.text(&text.clone(), &limits).map(owned),
            Message::Binary(data) => assembler.binary(data, &limits),
        };
    }
    assert_eq!(rebuilt(read.map(|inbound| inbound.expect("a whole packet"))), packet);
    let prepared = Prepared::with_parser(packet, Parsers::MsgPack);
    assert_eq!(prepared.len_hint(), prepared.websocket().len());
    assert!(prepared.websocket().ends_with(&again));
}

/// The arguments are as long as the limits allow, and what [`check`] wants of all arguments.
fn promises(args: &Args, data: &[u8], limits: &Limits) {
    check(args);
    Args::from_parts(args.json_bytes().clone(), args.attachments()).expect("valid placeholders");
    assert_eq!(json::validate(args.json(), limits.max_json_depth), Ok(()));
    assert!(args.attachments().len() <= limits.max_binary_values);
    let placeholders = 40 * args.attachments().len();
    assert!(
        args.json().len() <= 6 * data.len() + placeholders + 2,
        "{} of {}",
        args.json().len(),
        data.len()
    );
    let binary: usize = args.attachments().iter().map(|bytes| bytes.len()).sum();
    assert!(binary < data.len());
}

fn owned(inbound: Option<Inbound<'_>>) -> Option<Inbound<'static>> {
    inbound.map(|inbound| match inbound {
        Inbound::Event { namespace, id, name, args } => Inbound::Event {
            namespace: namespace.into_owned().into(),
            id,
            name: name.into_owned().into(),
            args,
        },
        Inbound::Ack { namespace, id, args } => {
            Inbound::Ack { namespace: namespace.into_owned().into(), id, args }
        }
        other => panic!("{other:?}"),
    })
}

fn rebuilt(inbound: Result<Inbound<'_>, DecodeError>) -> Packet {
    match inbound.expect("what was accepted is accepted again") {
        Inbound::Event { namespace, id, name, args } => Packet::event((&*namespace).into(), &*name, args, id),
        Inbound::Ack { namespace, id, args } => Packet::ack((&*namespace).into(), id, args),
        other => panic!("{other:?}"),
    }
}

/// The text of arguments (behind a byte that says how many attachments there are): written as msgpack and read again,
/// they mean the same.
pub fn written(data: &[u8]) {
    let Some((count, json)) = data.split_first() else { return };
    let attachments: Vec<_> = (0..count % 4).map(|number| vec![number; number.into()].into()).collect();
    let Ok(args) = Args::from_parts(json.to_vec().into(), attachments) else { return };
    let limits = Limits {
        max_binary_values: usize::MAX,
        max_json_depth: json::DEEPEST,
        max_payload: usize::MAX,
        max_json_len: usize::MAX,
        ..limits()
    };
    let message = msgpack::encode(&Packet::ack("/".into(), 1, args.clone()));
    let again = match msgpack::decode(&message, &limits) {
        Ok(Inbound::Ack { args, .. }) => args,
        other => panic!("{other:?}"),
    };
    // What is no float, or no text, in Rust, cannot be compared.
    let (Ok(one), Ok(other)) = (values(&args), values(&again)) else { return };
    assert!(same(&one, &other), "{one:?} and {other:?}");
}

type Value = sockeye_proto::sio::Value;

fn values(args: &Args) -> Result<Value, sockeye_proto::sio::ArgsError> {
    args.parse::<Vec<Value>>().map(Value::Array)
}

fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_f64(), other.as_f64()) {
            // serde_json reads long numbers with an error in the last place.
            (Some(one), Some(other)) => (one - other).abs() <= one.abs() * 1e-12,
            (one, other) => one == other,
        },
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
