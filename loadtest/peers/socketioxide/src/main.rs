//! The events of the load scenarios, as socketioxide's documentation would have one write them.
//!
//! `auth` (sent to who connects), `join`, `emit-to`, `message-with-ack` and `message` behave as in Sockeye's
//! acceptance app, so that `sockeye-loadtest` can be pointed at either. Everything else is left at socketioxide's defaults.

use std::fmt;
use std::net::SocketAddr;

use axum::Router;
use axum::serve::ListenerExt;
use clap::Parser;
use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeTuple;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};

/// The events of Sockeye's load scenarios on socketioxide.
#[derive(Parser)]
#[command(version)]
struct Cli {
    /// Address to serve on; port 0 picks a free one. The real one is printed as `listening on ADDR`
    #[arg(long, default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Threads that serve connections
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    workers: u16,
}

/// All arguments of an event, however many there are.
struct Args(Vec<Value>);

impl Serialize for Args {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // socketioxide takes a tuple for several arguments, anything else for one.
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for value in &self.0 {
            tuple.serialize_element(value)?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Args {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Args;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of arguments")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Args, A::Error> {
                let mut args = Vec::new();
                while let Some(value) = seq.next_element()? {
                    args.push(value);
                }
                Ok(Args(args))
            }
        }
        deserializer.deserialize_tuple(0, All)
    }
}

#[derive(Deserialize)]
struct EmitTo {
    #[serde(default)]
    to: Vec<String>,
    #[serde(default)]
    except: Vec<String>,
    event: String,
    #[serde(default)]
    args: Vec<Value>,
}

async fn join(socket: SocketRef, Data(room): Data<String>, ack: AckSender) {
    socket.join(room);
    let mut rooms: Vec<String> = socket.rooms().iter().map(ToString::to_string).collect();
    rooms.sort_unstable();
    ack.send(&rooms).ok();
}

async fn emit_to(io: SocketIo, Data(message): Data<EmitTo>, ack: AckSender) {
    io.to(message.to).except(message.except).emit(message.event, &Args(message.args)).await.ok();
    ack.send(&true).ok();
}

async fn message_with_ack(Data(args): Data<Args>, ack: AckSender) {
    ack.send(&args).ok();
}

async fn message(socket: SocketRef, Data(args): Data<Args>) {
    socket.emit("message-back", &args).ok();
}

async fn connected(socket: SocketRef, auth: TryData<Value>) {
    socket.on("join", join);
    socket.on("emit-to", emit_to);
    socket.on("message-with-ack", message_with_ack);
    socket.on("message", message);
    let auth = auth.0.unwrap_or_else(|_| Value::Object(Map::new()));
    socket.emit("auth", &auth).ok();
}

async fn serve(listen: SocketAddr) -> std::io::Result<()> {
    let (layer, io) = SocketIo::new_layer();
    io.ns("/", connected);
    let listener = tokio::net::TcpListener::bind(listen).await?;
    println!("listening on {}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        stream.set_nodelay(true).ok();
    });
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, Router::new().layer(layer)) => served,
        _ = terminate.recv() => Ok(()),
    }
}

fn main() -> std::io::Result<()> {
    let cli = Cli::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(cli.workers))
        .enable_all()
        .build()?
        .block_on(serve(cli.listen))
}
