//! A tiny Socket.IO server over WebSocket, independent of the code under test, that can also misbehave.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use rand::Rng;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// What the server does wrong, always to the first member of a room. 0 = never.
#[derive(Copy, Clone, Default)]
pub(crate) struct Manners {
    /// Sends every so many-th message twice.
    pub(crate) duplicate: u64,
    /// Leaves every so many-th message out.
    pub(crate) drop: u64,
    /// Sends every so many-th message behind the one after it.
    pub(crate) swap: u64,
    /// Changes the content of every so many-th message.
    pub(crate) alter: u64,
    /// Closes the connection at the so many-th message.
    pub(crate) close: u64,
    /// Acknowledges everything twice.
    pub(crate) ack_twice: bool,
    /// Leaves every so many-th ack out.
    pub(crate) ack_drop: u64,
    /// Ignores the first `join` of every socket.
    pub(crate) deaf_to_first_join: bool,
    /// Refuses the namespace.
    pub(crate) refuse: bool,
    /// Knows no events.
    pub(crate) deaf: bool,
    /// Sends every message in three frames, with a WebSocket ping between. Not wrong, only rare.
    pub(crate) fragments: bool,
    /// Sends an Engine.IO ping, and an event of its own, when the namespace is joined. Not wrong either.
    pub(crate) pings: bool,
    /// Writes JSON with blanks. Not wrong either.
    pub(crate) blanks: bool,
}

type Rooms = Mutex<HashMap<String, Vec<(usize, UnboundedSender<String>)>>>;

#[derive(Default)]
struct Shared {
    manners: Manners,
    rooms: Rooms,
    next: AtomicUsize,
    emitted: AtomicU64,
    acked: AtomicU64,
    pongs: AtomicU64,
}

/// A running server; it ends with this value.
pub(crate) struct Mock {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Mock {
    pub(crate) fn start(manners: Manners) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let shared = Arc::new(Shared { manners, ..Shared::default() });
        let listener = runtime.block_on(listen());
        let address = listener.local_addr().expect("an address");
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, Arc::clone(&serving)));
            }
        });
        Self { address, shared, _runtime: runtime }
    }

    /// Engine.IO pongs that came.
    pub(crate) fn pongs(&self) -> u64 {
        self.shared.pongs.load(Ordering::SeqCst)
    }
}

/// A listener on a free port below the range that outgoing connections use.
pub(crate) async fn listen() -> TcpListener {
    loop {
        let port = rand::rng().random_range(10_000..32_000);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)).await {
            return listener;
        }
    }
}

#[expect(clippy::result_large_err, reason = "the library's signature")]
async fn connection(stream: TcpStream, shared: Arc<Shared>) -> Option<()> {
    let check = |request: &Request, response: Response| {
        if request.uri().path() == "/socket.io/" {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = tokio_tungstenite::tungstenite::http::StatusCode::NOT_FOUND;
        Err(refusal)
    };
    let websocket = tokio_tungstenite::accept_hdr_async(stream, check).await.ok()?;
    let id = shared.next.fetch_add(1, Ordering::SeqCst);
    let manners = shared.manners;
    let (out, mut queued) = unbounded_channel::<String>();
    out.send(json_text("0", &json!({"sid": "x", "pingInterval": 25000}), &manners)).ok()?;
    let mut socket = Socket { id, out, shared, joins: 0 };
    let (mut sink, mut stream) = websocket.split();
    loop {
        tokio::select! {
            text = queued.recv() => {
                let text = text?;
                if text == "close" {
                    return sink.close().await.ok();
                }
                for message in messages(&text, manners.fragments) {
                    sink.feed(message).await.ok()?;
                }
                sink.flush().await.ok()?;
            }
            message = stream.next() => match message?.ok()? {
                Message::Text(text) => socket.text(&text)?,
                Message::Close(_) => {
                    socket.leave();
                    // Sends the answer that the library has prepared, then ends the connection.
                    return sink.close().await.ok();
                }
                _ => {}
            },
        }
    }
}

struct Socket {
    id: usize,
    out: UnboundedSender<String>,
    shared: Arc<Shared>,
    joins: usize,
}

impl Socket {
    fn send(&self, text: String) {
        self.out.send(text).ok();
    }

    fn text(&mut self, text: &str) -> Option<()> {
        let manners = self.shared.manners;
        if text == "3" {
            self.shared.pongs.fetch_add(1, Ordering::SeqCst);
        } else if text == "40" && manners.refuse {
            self.send(r#"44{"message":"not today"}"#.to_owned());
        } else if text == "40" {
            self.send(json_text("40", &json!({"sid": "y"}), &manners));
            if manners.pings {
                self.send("2".to_owned());
                self.send(r#"42["auth",{}]"#.to_owned());
            }
        } else if let Some(rest) = text.strip_prefix("42").filter(|_| !manners.deaf) {
            let json = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let ack = &rest[..rest.len() - json.len()];
            let args: Vec<Value> = serde_json::from_str(json).ok()?;
            self.event(ack, &args)?;
        }
        Some(())
    }

    fn event(&mut self, ack: &str, args: &[Value]) -> Option<()> {
        let manners = self.shared.manners;
        match args[0].as_str()? {
            "join" => {
                self.joins += 1;
                if manners.deaf_to_first_join && self.joins == 1 {
                    return Some(());
                }
                let room = args[1].as_str()?.to_owned();
                self.shared.rooms.lock().entry(room.clone()).or_default().push((self.id, self.out.clone()));
                self.send(json_text(&format!("43{ack}"), &json!([[room]]), &manners));
            }
            "emit-to" => {
                let mut event = vec![args[1]["event"].clone()];
                event.extend(args[1]["args"].as_array()?.iter().cloned());
                for room in args[1]["to"].as_array()? {
                    self.emit(room.as_str()?, &Value::Array(event.clone()));
                }
            }
            "message-with-ack" => {
                let count = self.shared.acked.fetch_add(1, Ordering::SeqCst) + 1;
                if hits(manners.ack_drop, count) {
                    return Some(());
                }
                let text = json_text(&format!("43{ack}"), &json!(args[1..]), &manners);
                if manners.ack_twice {
                    self.send(text.clone());
                }
                self.send(text);
            }
            _ => {}
        }
        Some(())
    }

    fn emit(&self, room: &str, event: &Value) {
        let manners = self.shared.manners;
        let count = self.shared.emitted.fetch_add(1, Ordering::SeqCst) + 1;
        let rooms = self.shared.rooms.lock();
        let text = json_text("42", event, &manners);
        for (index, (_, member)) in rooms.get(room).into_iter().flatten().enumerate() {
            let send = |text: &str| member.send(text.to_owned()).ok();
            if index > 0 {
                send(&text);
                continue;
            }
            if hits(manners.drop, count) || hits(manners.swap, count) {
                continue; // a swapped one goes out with the next
            }
            if hits(manners.close, count) {
                send("close");
            } else if hits(manners.alter, count) {
                send(&text.replace('x', "y"));
            } else {
                send(&text);
            }
            if hits(manners.duplicate, count) {
                send(&text);
            }
            if count > 1 && hits(manners.swap, count - 1) {
                let mut previous = event.clone();
                previous[1] = json!(event[1].as_u64().expect("a number") - 1);
                send(&json_text("42", &previous, &manners));
            }
        }
    }

    fn leave(&self) {
        for members in self.shared.rooms.lock().values_mut() {
            members.retain(|(id, _)| *id != self.id);
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.leave();
    }
}

fn hits(every: u64, count: u64) -> bool {
    every > 0 && count.is_multiple_of(every)
}

fn json_text(before: &str, value: &Value, manners: &Manners) -> String {
    let json = if manners.blanks { format!("{value:#}") } else { value.to_string() };
    format!("{before}{json}")
}

fn messages(text: &str, fragments: bool) -> Vec<Message> {
    if !fragments || text.len() < 2 {
        return vec![Message::text(text)];
    }
    let (first, rest) = text.as_bytes().split_at(1);
    let (second, third) = rest.split_at(rest.len() / 2);
    let frame =
        |bytes: &[u8], opcode, fin| Message::Frame(Frame::message(bytes.to_vec(), OpCode::Data(opcode), fin));
    vec![
        frame(first, Data::Text, false),
        Message::Ping("are you there".into()),
        frame(second, Data::Continue, false),
        frame(third, Data::Continue, true),
    ]
}
