//! Traffic recorded between stock clients and servers, JavaScript and Python: every packet in it is decoded and written
//! again, byte for byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sockeye_proto::prepared::{Body, Packet, Prepared};
use sockeye_proto::sio::{Assembler, Inbound, PacketKind};
use sockeye_proto::{DecodeError, Limits};

/// An Engine.IO message as either transport carries it.
#[derive(Clone, Debug)]
enum Message {
    Text(String),
    Binary(Vec<u8>),
}

struct Scenario {
    name: String,
    from_client: Vec<Message>,
    from_server: Vec<Message>,
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture is JSON")
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

fn javascript() -> Vec<Scenario> {
    let recorded = json(include_str!("fixtures/js/wire-v4.json"));
    let scenario = |scenario: &Value| {
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        for entry in scenario["log"].as_array().expect("a log") {
            match entry["kind"].as_str().expect("a kind") {
                "http_request" => from_client.extend(payload(&entry["body"])),
                "http_response" => from_server.extend(payload(&entry["body"])),
                "ws_frame" => {
                    let to =
                        if entry["dir"] == "client->server" { &mut from_client } else { &mut from_server };
                    to.push(match (entry["opcode"].as_str(), entry["text"].as_str()) {
                        (Some("text"), Some(text)) => Message::Text(text.to_owned()),
                        (_, Some(text)) => Message::Binary(text.into()),
                        _ => Message::Binary(hex(entry["hex"].as_str().expect("text or hex"))),
                    });
                }
                _ => {}
            }
        }
        Scenario { name: scenario["name"].as_str().expect("a name").to_owned(), from_client, from_server }
    };
    recorded["scenarios"].as_array().expect("scenarios").iter().map(scenario).collect()
}

fn payload(body: &Value) -> Vec<Message> {
    let text = match body["hex"].as_str() {
        // Recorded so because of the separator.
        Some(digits) => String::from_utf8(hex(digits)).unwrap_or_default(),
        None => body["text"].as_str().unwrap_or_default().to_owned(),
    };
    let message = |packet: &str| match packet.strip_prefix('b') {
        Some(base64) => {
            STANDARD.decode(base64).map_or_else(|_| Message::Text(packet.to_owned()), Message::Binary)
        }
        None => Message::Text(packet.to_owned()),
    };
    text.split('\u{1e}').map(message).collect()
}

fn python() -> Vec<Scenario> {
    let recorded = json(include_str!("fixtures/python/wire.json"));
    let scenario = |scenario: &Value| {
        let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
        for frame in scenario["frames"].as_array().expect("frames") {
            let to = if frame["dir"] == "c2s" { &mut from_client } else { &mut from_server };
            match (frame["type"].as_str(), frame["data"].as_str(), frame["hex"].as_str()) {
                (Some("text"), Some(text), _) => to.push(Message::Text(text.to_owned())),
                (Some("binary"), _, Some(digits)) => to.push(Message::Binary(hex(digits))),
                _ => {}
            }
        }
        Scenario { name: scenario["name"].as_str().expect("a name").to_owned(), from_client, from_server }
    };
    recorded["ws"].as_array().expect("scenarios").iter().map(scenario).collect()
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

/// Decodes all packets of one direction. Returns how many there were, or the first error.
fn replay(name: &str, messages: &[Message]) -> Result<usize, DecodeError> {
    let limits = Limits::default();
    let mut assembler = Assembler::new();
    let (mut count, mut original) = (0, String::new());
    for message in messages {
        let inbound = match message {
            Message::Text(text) => {
                let Some(packet) = text.strip_prefix('4') else { continue };
                original = text.clone();
                assembler.text(packet, &limits)?
            }
            Message::Binary(bytes) => {
                original += "\u{1e}b";
                original += &STANDARD.encode(bytes);
                assembler.binary(bytes, &limits)?
            }
        };
        if let Some(inbound) = inbound {
            count += 1;
            let written = Prepared::new(again(inbound));
            let written = std::str::from_utf8(written.polling()).expect("polling is text");
            // What stock peers write: a comma behind a namespace is optional where nothing follows it, and old clients
            // put a query there.
            if original != "40/chat" && !original.contains('?') {
                assert_eq!(written, original, "{name}");
            }
        }
    }
    assert!(assembler.is_idle() || name == "raw_binary_before_connect", "{name}");
    Ok(count)
}

#[test]
fn what_stock_peers_send_is_understood_and_written_alike() {
    let mut count = 0;
    for scenario in javascript().into_iter().chain(python()) {
        for (from, messages) in [("client", &scenario.from_client), ("server", &scenario.from_server)] {
            let result = replay(&scenario.name, messages);
            match refused(&scenario.name, from) {
                Some(error) => assert_eq!(result, Err(error), "{} from the {from}", scenario.name),
                None => {
                    count +=
                        result.unwrap_or_else(|error| panic!("{} from the {from}: {error}", scenario.name));
                }
            }
        }
    }
    assert!(count > 300, "{count} packets");
}

/// The scenarios in which somebody misbehaves, mostly on purpose.
fn refused(scenario: &str, from: &str) -> Option<DecodeError> {
    Some(match (scenario, from) {
        ("bad_packet" | "post_too_large" | "ws_too_large" | "raw_unknown_packet_type", "client") => {
            DecodeError::BadPacketType
        }
        ("raw_unexpected_binary", "client") => DecodeError::UnexpectedBinary,
        ("raw_text_while_binary_pending", "client") => DecodeError::UnexpectedText,
        ("raw_bad_json", "client") => DecodeError::BadEventName,
        ("raw_event_not_array", "client") => DecodeError::BadPayload,
        ("raw_reserved_event_from_client", "client") => DecodeError::ReservedEvent,
        ("raw_ack_id_big", "client") => DecodeError::BadAckId,
        // Python's server puts a payload into DISCONNECT here, which JavaScript's client refuses as well.
        ("reject_always_connect_false" | "reject_always_connect_cre2", "server") => DecodeError::BadPayload,
        _ => return None,
    })
}
