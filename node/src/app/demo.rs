//! The demo: a page for the browser, and the handlers behind it. Any client may join and send, so it is for trying out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::{
    Router,
    http::{HeaderName, header},
    response::IntoResponse,
    routing::get,
};
use serde::{Deserialize, Serialize};
use sockeye::{
    Auth, Data, DisconnectReason, Io, NamespaceBuilder, NodeId, RoomName, Socket, SocketId, TransportKind,
};

use super::{
    config::Config,
    rooms::{self, reply},
};

/// The longest text of a message, in characters.
const LONGEST_TEXT: usize = 1000;
/// The longest name of a sender, in characters.
const LONGEST_NAME: usize = 32;
/// How long the members of a room may take to confirm a message.
const PATIENCE: Duration = Duration::from_secs(2);

// === the page ===

/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Serves the page and its files.
pub(crate) fn router(config: &Config) -> Router {
    let transports: Vec<&str> = config.transports.iter().map(|kind: &TransportKind| kind.as_str()).collect();
    // Both consist of characters only that mean nothing to HTML: the configuration was checked.
    let page = include_str!("../../demo/index.html")
        .replace("{{path}}", &config.path)
        .replace("{{transports}}", &transports.join(" "));
    let file = |kind: &'static str, text: &'static str| get(async move || answer(kind, text));
    Router::new()
        .route("/", get(async move || answer("text/html; charset=utf-8", page.clone())))
        .route("/demo/style.css", file("text/css; charset=utf-8", include_str!("../../demo/style.css")))
        .route(
            "/demo/client.js",
            file("text/javascript; charset=utf-8", include_str!("../../demo/client.js")),
        )
        .route("/demo/page.js", file("text/javascript; charset=utf-8", include_str!("../../demo/page.js")))
        .route("/demo/icon.svg", file("image/svg+xml", include_str!("../../demo/icon.svg")))
}

fn answer(kind: &'static str, body: impl IntoResponse) -> impl IntoResponse {
    let headers: [(HeaderName, &str); 5] = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    (headers, body)
}

// === the handlers ===

#[derive(Debug, Deserialize)]
struct Who {
    name: Option<String>,
}

/// What the sender is called, kept in the session.
struct Name(String);

#[derive(Debug, Serialize)]
struct Welcome<'a> {
    id: SocketId,
    name: &'a str,
    node: &'a str,
    version: &'static str,
}

#[derive(Debug, Serialize)]
struct Members {
    room: RoomName,
    node: String,
    /// How many clients are in the room, on all nodes that answered.
    members: u64,
    /// How many nodes there are.
    nodes: usize,
    /// Nodes that did not answer.
    missing_nodes: Vec<NodeId>,
}

#[derive(Debug, Serialize)]
struct Presence<'a> {
    room: &'a RoomName,
    id: SocketId,
    name: &'a str,
    node: &'a str,
    here: bool,
}

#[derive(Debug, Deserialize)]
struct Post {
    room: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct Message<'a> {
    room: &'a RoomName,
    text: &'a str,
    id: SocketId,
    name: &'a str,
    node: &'a str,
    /// Milliseconds since 1970.
    at: u64,
}

#[derive(Debug, Serialize)]
struct Delivered {
    node: String,
    /// Members who confirmed the message.
    delivered: usize,
    /// Members who did not in time, or went.
    missing: usize,
    missing_nodes: Vec<NodeId>,
}

#[derive(Debug, Serialize)]
struct Typing<'a> {
    room: &'a RoomName,
    id: SocketId,
    name: &'a str,
}

/// Registers the demo's handlers.
pub(crate) fn register(ns: NamespaceBuilder) -> NamespaceBuilder {
    ns.on_connect(connect)
        .on("join", async |socket, room| reply(join(&socket, room).await))
        .on("leave", async |socket, room| reply(leave(&socket, room)))
        .on("members", async |socket, room| reply(members(&socket, room).await))
        .on("send", async |socket, post| reply(send(&socket, post).await))
        .on("typing", typing)
        .on("name", async |socket, name| reply(rename(&socket, name)))
        .on_disconnect(gone)
}

async fn connect(socket: Socket, auth: Option<Auth<Who>>) {
    let asked = auth.and_then(|Auth(who)| who.name);
    let name = asked.and_then(|name| sender(&name).ok()).unwrap_or_else(|| {
        let id = socket.id().to_string();
        format!("guest-{}", id.get(..4).unwrap_or_default())
    });
    let io = socket.io();
    let welcome =
        Welcome { id: socket.id(), name: &name, node: io.node_name(), version: env!("CARGO_PKG_VERSION") };
    socket.emit("welcome", &welcome);
    socket.save_session(Name(name));
}

async fn join(socket: &Socket, room: Option<Data<String>>) -> Result<Members, String> {
    let room = rooms::enter(socket, room)?;
    tell(socket, &room, true);
    Ok(count(&socket.io(), room).await)
}

fn leave(socket: &Socket, room: Option<Data<String>>) -> Result<RoomName, String> {
    let room = rooms::exit(socket, room)?;
    tell(socket, &room, false);
    Ok(room)
}

async fn members(socket: &Socket, room: Option<Data<String>>) -> Result<Members, String> {
    let Some(Data(room)) = room else { return Err("the first argument must be the name of a room".into()) };
    let room = rooms::own(socket, &room)?;
    Ok(count(&socket.io(), room).await)
}

async fn count(io: &Io, room: RoomName) -> Members {
    let count = io.to(&room).count().await;
    Members {
        room,
        node: io.node_name().to_owned(),
        members: count.value,
        nodes: io.nodes().len() + 1,
        missing_nodes: count.missing,
    }
}

async fn send(socket: &Socket, post: Option<Data<Post>>) -> Result<Delivered, String> {
    let Some(Data(Post { room, text })) = post else {
        return Err("the first argument must be an object with the strings `room` and `text`".into());
    };
    if text.trim().is_empty() {
        return Err("a message needs a text".into());
    }
    if text.chars().nth(LONGEST_TEXT).is_some() {
        return Err(format!("a message may have {LONGEST_TEXT} characters at the most"));
    }
    let room = rooms::own(socket, &room)?;
    let io = socket.io();
    let name = name_of(socket);
    let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    let message =
        Message { room: &room, text: &text, id: socket.id(), name: &name, node: io.node_name(), at };
    let asked = socket.to(&room).timeout(PATIENCE).emit_with_ack("message", &message);
    let heard = asked.map_err(|error| error.to_string())?.gather().await;
    Ok(Delivered {
        node: io.node_name().to_owned(),
        delivered: heard.answers.len(),
        missing: heard.missing,
        missing_nodes: heard.missing_nodes,
    })
}

async fn typing(socket: Socket, room: Option<Data<String>>) {
    let Some(Ok(room)) = room.map(|Data(room)| rooms::own(&socket, &room)) else { return };
    let name = name_of(&socket);
    socket.to(&room).volatile().emit("typing", &Typing { room: &room, id: socket.id(), name: &name });
}

fn rename(socket: &Socket, name: Option<Data<String>>) -> Result<String, String> {
    let Some(Data(name)) = name else { return Err("the first argument must be a name, a string".into()) };
    let name = sender(&name)?;
    socket.save_session(Name(name.clone()));
    Ok(name)
}

async fn gone(socket: Socket, _: DisconnectReason) {
    let own = socket.id();
    for room in socket.rooms().iter().filter(|room| ***room != *own.as_str()) {
        tell(&socket, room, false);
    }
}

/// Tells the others in a room that somebody came or went.
fn tell(socket: &Socket, room: &RoomName, here: bool) {
    let io = socket.io();
    let presence = Presence { room, id: socket.id(), name: &name_of(socket), node: io.node_name(), here };
    socket.to(room).emit("presence", &presence);
}

fn name_of(socket: &Socket) -> String {
    socket.session::<Name>().map(|name| name.0.clone()).unwrap_or_default()
}

fn sender(name: &str) -> Result<String, String> {
    let name = name.trim();
    if name.is_empty() || name.chars().nth(LONGEST_NAME).is_some() || name.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {LONGEST_NAME} characters"));
    }
    Ok(name.to_owned())
}
