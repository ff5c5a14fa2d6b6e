//! Engine.IO without Client.IO: text and binary messages to and from each client, for applications that want only that.
//!
//! ```
//! use sockeye::{Server, engineio::{Client, Message}};
//!
//! let builder = Server::builder().engine_io("/engine.io/", |endpoint| {
//!     endpoint.on_message(async |client: Client, message: Message| {
//!         client.send(message); // back to where it came from
//!     })
//! });
//! ```

mod inbox;

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use sockeye_proto::eio::TransportKind;

pub(crate) use inbox::{Inbox, Job, opened, submit};

use crate::{
    conn::{Conn, handshake::Handshake, outbox::Item},
    log,
    reason::DisconnectReason,
};

/// One Engine.IO message, which arrives as the kind that it was sent as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
}

impl Message {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Binary(_) => None,
        }
    }

    pub(crate) fn into_item(self) -> Item {
        match self {
            Self::Text(mut text) => {
                text.insert(0, '4');
                Item::Text(text.into())
            }
            Self::Binary(bytes) => Item::Binary(bytes),
        }
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}
impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}
impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}

type Open = Box<dyn Fn(Client) -> BoxFuture<'static, ()> + Send + Sync>;
type OnMessage = Box<dyn Fn(Client, Message) -> BoxFuture<'static, ()> + Send + Sync>;
type OnClose = Box<dyn Fn(Client, DisconnectReason) -> BoxFuture<'static, ()> + Send + Sync>;

/// The handlers of one Engine.IO endpoint.
///
/// The messages of one client are handled one after another, in the order in which they came; those of several clients side
/// by side. While a handler waits, up to a mailbox of messages (64 if the server was not told otherwise) wait with it, then
/// the client is read no further.
#[must_use]
#[derive(Default)]
pub struct Endpoint {
    open: Option<Open>,
    message: Option<OnMessage>,
    close: Option<OnClose>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Runs when a client has opened a session, before its first message is handled.
    pub fn on_open<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Client) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.open = Some(Box::new(move |client| Box::pin(handler(client))));
        self
    }

    /// Handles the messages of all clients.
    pub fn on_message<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Client, Message) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.message = Some(Box::new(move |client, message| Box::pin(handler(client, message))));
        self
    }

    /// Runs when a session has ended, after all of its messages were handled.
    pub fn on_close<F, Fut>(mut self, handler: F) -> Self
    where
        F: Fn(Client, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.close = Some(Box::new(move |client, reason| Box::pin(handler(client, reason))));
        self
    }

    /// Starts the handler of a job; `None` if nobody wants it.
    fn start(&self, client: Client, job: Job) -> Option<BoxFuture<'static, ()>> {
        match job {
            Job::Open => self.open.as_ref().map(|handler| handler(client)),
            Job::Message(message) => self.message.as_ref().map(|handler| handler(client, message)),
            Job::Close(reason) => self.close.as_ref().map(|handler| handler(client, reason)),
        }
    }
}

/// Where an [`Endpoint`] is served.
#[derive(Debug)]
pub(crate) struct Mounted {
    pub(crate) path: String,
    pub(crate) endpoint: Arc<Endpoint>,
}

/// One client of an Engine.IO endpoint. Cloning it is cheap; keeping it does not keep the client connected.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Conn>);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("id", &self.id()).finish()
    }
}

impl Client {
    /// A name for this client in logs and tables, unique while the server runs. It is not the session's id, which is a
    /// secret between client and server.
    pub fn id(&self) -> String {
        log::Name(&self.0).to_string()
    }

    /// Queues a message for the client. False if the session has ended, or ends because the client is too slow.
    pub fn send(&self, message: impl Into<Message>) -> bool {
        let conn = &self.0;
        let message = message.into();
        let binary = matches!(message, Message::Binary(_));
        conn.engine.metrics.message_sent(binary);
        conn.settle(conn.push(message.into_item(), false, conn.engine.clock.now()))
    }

    /// How the client is connected at this moment: long-polling may become WebSocket.
    pub fn transport(&self) -> TransportKind {
        self.0.transport()
    }

    /// The request that opened the session.
    pub fn handshake(&self) -> &Handshake {
        &self.0.handshake
    }

    /// Whether the session goes on.
    pub fn is_open(&self) -> bool {
        self.0.closed().is_none()
    }

    /// Ends the session, after what is queued was sent.
    pub fn close(&self) {
        self.0.close(DisconnectReason::ForcedServerClose);
    }
}
