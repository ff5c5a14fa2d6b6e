//! A parser of one's own: each packet is one JSON text, and binary stands in it as Node.js writes its buffers,
//! `{"type":"Buffer","data":[1,2,3]}`. For clients, or proxies between, that understand nothing but text.
//!
//! ```sh
//! cargo run -p sockeye --example custom_parser
//! ```
//!
//! Try it with the stock JavaScript client (`npm install socket.io-client`, then `node`), which takes a parser, too:
//!
//! ```js
//! const { io } = require("socket.io-client");
//! const { EventEmitter } = require("events");
//! const revive = (key, value) => (value?.type === "Buffer" ? Buffer.from(value.data) : value);
//! const parser = {
//!   Encoder: class { encode(packet) { return [JSON.stringify(packet)]; } },
//!   Decoder: class extends EventEmitter {
//!     add(text) { this.emit("decoded", JSON.parse(text, revive)); }
//!     destroy() { this.removeAllListeners(); }
//!   },
//! };
//! const socket = io("http://127.0.0.1:3000", { parser });
//! socket.emit("turn round", Buffer.from("abc"), console.log); // <Buffer 63 62 61>
//! ```

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use sockeye::{
    Args, Binary, Data, IntoArgs, Server, ServerBuilder, Spread, Value,
    parser::{Body, DecodeError, Decoder, Inbound, Limits, Message, Packet, PacketKind, Parser},
};
use tokio::{net::TcpListener, signal};

/// A packet as JavaScript's libraries see it, too.
#[derive(Deserialize, Serialize)]
struct Wire {
    /// The number of its kind.
    #[serde(rename = "type")]
    kind: u8,
    #[serde(rename = "nsp")]
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    /// An event's name and arguments, an acknowledgement's arguments, or an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Json>,
}

/// The parser. It has nothing to configure and keeps nothing between messages, so that it is its own decoder.
pub(crate) struct Plain;

impl Parser for Plain {
    fn name(&self) -> &str {
        "plain"
    }

    fn encode(&self, packet: &Packet) -> Vec<Message> {
        let kind = match packet.kind {
            PacketKind::BinaryEvent => PacketKind::Event,
            PacketKind::BinaryAck => PacketKind::Ack,
            kind => kind,
        };
        let data = match &packet.body {
            Body::None => None,
            Body::Json(json) => serde_json::from_slice(json).ok(),
            Body::Event { name, args } => Some([vec![json!(name)], to_json(args)].concat().into()),
            Body::Args(args) => Some(to_json(args).into()),
        };
        let wire = Wire { kind: kind as u8, namespace: packet.namespace.to_string(), id: packet.id, data };
        vec![Message::Text(json!(wire).to_string())]
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(Self)
    }
}

impl Decoder for Plain {
    fn text(&mut self, text: &str, _limits: &Limits) -> Result<Option<Inbound<'static>>, DecodeError> {
        let Wire { kind, namespace, id, data } =
            serde_json::from_str(text).map_err(|_| DecodeError::BadPacket)?;
        let namespace = namespace.into();
        Ok(Some(match (kind, data) {
            (0, data) => Inbound::Connect { namespace, auth: data.map(|data| data.to_string().into()) },
            (1, None) => Inbound::Disconnect { namespace },
            (2, Some(Json::Array(list))) if !list.is_empty() => {
                let mut list = list.into_iter();
                let Some(Json::String(name)) = list.next() else { return Err(DecodeError::BadEventName) };
                Inbound::Event { namespace, id, name: name.into(), args: from_json(list)? }
            }
            (3, Some(Json::Array(list))) => {
                let id = id.ok_or(DecodeError::BadAckId)?;
                Inbound::Ack { namespace, id, args: from_json(list)? }
            }
            _ => return Err(DecodeError::BadPacket),
        }))
    }
}

/// Arguments are JSON text with placeholders for binary, and the binary beside it; as values they have it in its place.
fn to_json(args: &Args) -> Vec<Json> {
    fn one(value: Value) -> Json {
        match value {
            Value::Binary(bytes) => json!({ "type": "Buffer", "data": bytes.to_vec() }),
            Value::Array(list) => list.into_iter().map(one).collect(),
            Value::Object(members) => members.into_iter().map(|(key, value)| (key, one(value))).collect(),
            other => json!(other),
        }
    }
    args.parse::<Vec<Value>>().unwrap_or_default().into_iter().map(one).collect()
}

fn from_json(list: impl IntoIterator<Item = Json>) -> Result<Args, DecodeError> {
    fn one(json: Json) -> Value {
        match json {
            Json::Array(list) => list.into_iter().map(one).collect::<Vec<_>>().into(),
            Json::Object(members) => match members.get("data").map(Vec::<u8>::deserialize) {
                Some(Ok(bytes)) if members["type"] == "Buffer" => Binary::from(bytes).into(),
                _ => Value::Object(members.into_iter().map(|(key, json)| (key, one(json))).collect()),
            },
            other => other.into(),
        }
    }
    let values: Vec<Value> = list.into_iter().map(one).collect();
    Spread(values).into_args().map_err(|_| DecodeError::BadPacket)
}

/// Turns round whatever binary it is sent.
pub(crate) fn application() -> ServerBuilder {
    Server::builder().parser(Plain).namespace("/", |ns| {
        ns.on("turn round", async |Data(bytes): Data<Binary>| {
            Binary::from(bytes.iter().rev().copied().collect::<Vec<u8>>())
        })
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = application().build().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    server
        .serve(listener, async {
            let _ = signal::ctrl_c().await;
        })
        .await;
    Ok(())
}
