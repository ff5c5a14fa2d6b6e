//! Messages recorded between JavaScript's server and client with `socket.io-msgpack-parser`: each is read as the packet
//! that the default parser writes for it, and what can be written again has the same bytes.

use bytes::Bytes;
use sockeye_proto::Limits;
use sockeye_proto::prepared::{Body, Packet};
use sockeye_proto::sio::{Assembler, Inbound, PacketKind, Value, msgpack};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Packets compare by what they mean: the texts of floats differ between languages.
#[derive(Debug, PartialEq)]
struct Meaning {
    kind: PacketKind,
    namespace: String,
    id: Option<u64>,
    name: Option<String>,
    values: Vec<Value>,
    attachments: Vec<Bytes>,
}

fn meaning(inbound: &Inbound<'_>) -> Meaning {
    let json = |kind, namespace: &str, json: Option<&Bytes>| Meaning {
        kind,
        namespace: namespace.to_owned(),
        id: None,
        name: None,
        values: json.into_iter().map(|json| serde_json::from_slice(json).expect("JSON")).collect(),
        attachments: Vec::new(),
    };
    match inbound {
        Inbound::Connect { namespace, auth } => json(PacketKind::Connect, namespace, auth.as_ref()),
        Inbound::ConnectError { namespace, error } => json(PacketKind::ConnectError, namespace, Some(error)),
        Inbound::Disconnect { namespace } => json(PacketKind::Disconnect, namespace, None),
        Inbound::Event { namespace, id, name, args } => Meaning {
            id: *id,
            name: Some(name.clone().into_owned()),
            values: args.parse().expect("values"),
            attachments: args.attachments().to_vec(),
            ..json(PacketKind::Event, namespace, None)
        },
        Inbound::Ack { namespace, id, args } => Meaning {
            id: Some(*id),
            values: args.parse().expect("values"),
            attachments: args.attachments().to_vec(),
            ..json(PacketKind::Ack, namespace, None)
        },
    }
}

fn again(inbound: Inbound<'_>) -> Packet {
    let packet = |kind, namespace: &str, body| Packet {
        kind,
        namespace: namespace.into(),
        id: None,
        body,
        compress: true,
    };
    match inbound {
        Inbound::Connect { namespace, auth } => {
            packet(PacketKind::Connect, &namespace, auth.map_or(Body::None, Body::Json))
        }
        Inbound::Disconnect { namespace } => Packet::disconnect((&*namespace).into()),
        Inbound::ConnectError { namespace, error } => Packet::connect_error((&*namespace).into(), error),
        Inbound::Event { namespace, id, name, args } => Packet::event((&*namespace).into(), &*name, args, id),
        Inbound::Ack { namespace, id, args } => Packet::ack((&*namespace).into(), id, args),
    }
}

#[test]
fn what_javascript_peers_send_is_understood_and_written_alike() {
    let recorded: serde_json::Value =
        serde_json::from_str(include_str!("fixtures/js/msgpack-v3.json")).expect("a fixture is JSON");
    let limits = Limits::default();
    let (mut read, mut alike) = (0, 0);
    for message in recorded["messages"].as_array().expect("messages") {
        let name = format!("{} from the {}", message["name"], message["from"]);
        let bytes = hex(message["hex"].as_str().expect("hex"));
        let inbound = msgpack::decode(&bytes, &limits).unwrap_or_else(|error| panic!("{name}: {error}"));

        let mut assembler = Assembler::new();
        let text = message["text"].as_str().expect("a text");
        let mut expected = assembler.text(text, &limits).expect("a packet");
        for attachment in message["attachments"].as_array().expect("a list") {
            let attachment = hex(attachment.as_str().expect("hex"));
            expected = assembler.binary(&attachment, &limits).expect("an attachment");
        }
        let expected = meaning(&expected.expect("a whole packet"));
        assert_eq!(meaning(&inbound), expected, "{name}");
        read += 1;

        let written = msgpack::encode(&again(inbound));
        let reread = msgpack::decode(&written, &limits).expect("what we write");
        assert_eq!(meaning(&reread), expected, "{name}");
        // The order of the members, and what is undefined or a date, are written in another way.
        if message["from"] == "server" && has_one_form(&bytes, &reread) {
            assert_eq!(written, bytes, "{name}");
            alike += 1;
        }
    }
    assert!(read >= 70, "{read} messages");
    assert!(alike >= 12, "{alike} messages");
}

/// Whether the recorded message has nothing in it that has two forms.
fn has_one_form(bytes: &[u8], inbound: &Inbound<'_>) -> bool {
    let has_ext = [&[0xd4, 0x00, 0x00][..], &[0xd7, 0x00], &[0xc7]]
        .iter()
        .any(|form| bytes.windows(form.len()).any(|window| window == *form));
    let not_finite = bytes.windows(3).any(|window| matches!(window, [0xcb, 0x7f | 0xff, 0xf8 | 0xf0]));
    matches!(inbound, Inbound::Event { id: None, .. } | Inbound::Disconnect { .. } | Inbound::ConnectError { .. })
        && !has_ext
        && !not_finite
        // Here JavaScript writes the namespace first.
        && !matches!(inbound, Inbound::ConnectError { namespace, .. } if namespace == "/unknown")
}
