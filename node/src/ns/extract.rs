//! What a handler may ask for as its arguments.

use std::{any::Any, fmt, ops::Deref, sync::Arc};

use bytes::Bytes;
use serde::de::DeserializeOwned;
use sockeye_proto::sio::{Args, Data, IntoArgs, Spread};

use super::{
    context::{Context, HandlerKind, Reply},
    socket::Socket,
};
use crate::{conn::handshake::HandshakeRef, io::Io, reason::DisconnectReason, state::StateMap};

/// Why a handler was not called: what it asked for was not there, or was something else.
#[derive(Debug)]
pub struct Rejection(String);

impl Rejection {
    /// A rejection with its reason, for the log.
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Rejection {}

/// Something that a handler can take as an argument.
///
/// Implement it for your own types to put what many handlers do at their beginning into one place.
#[diagnostic::on_unimplemented(
    message = "a handler cannot take `{Self}` as an argument",
    label = "not an extractor",
    note = "handlers take: `Socket`, `Io`, `Data<T>` (the first argument), `Spread<(A, B)>` (several), `Args` (raw), `Attachments`, \
            `Auth<T>`, `State<T>`, `Params`, `HandshakeRef`, `AckSender`, `EventName`, `DisconnectReason`, or an `Option` of these",
    note = "to take the event's first argument as a `{Self}`, write `Data(value): Data<{Self}>`"
)]
pub trait FromContext: Sized + Send {
    /// Takes the value out of the call.
    ///
    /// # Errors
    /// The handler is not called; the reason is logged and counted, and an ack that the client waits for is not sent.
    fn from_context(context: &mut Context) -> Result<Self, Rejection>;

    /// Looks at registration whether the value can ever be there.
    ///
    /// # Errors
    /// What is wrong, for the builder's error.
    fn check(kind: HandlerKind, state: &StateMap) -> Result<(), String> {
        let _ = (kind, state);
        Ok(())
    }
}

fn only_events(kind: HandlerKind, what: &str) -> Result<(), String> {
    match kind {
        HandlerKind::Event | HandlerKind::Middleware => Ok(()),
        _ => Err(format!("`{what}` is only there for event handlers")),
    }
}

impl FromContext for Socket {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(context.socket.clone())
    }
}

impl FromContext for Io {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(context.socket.io())
    }
}

/// The first argument, deserialised. A missing argument is `null`.
impl<T: DeserializeOwned + Send> FromContext for Data<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        context.args.first().map(Data).map_err(|error| Rejection(error.to_string()))
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        only_events(kind, "Data")
    }
}

/// All arguments, deserialised into a tuple or a list: `Spread((room, text)): Spread<(String, String)>`.
impl<T: DeserializeOwned + Send> FromContext for Spread<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        context.args.parse().map(Spread).map_err(|error| Rejection(error.to_string()))
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        only_events(kind, "Spread")
    }
}

/// All arguments as they came, to be passed on or looked at later.
impl FromContext for Args {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(context.args.clone())
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        only_events(kind, "Args")
    }
}

/// The binary attachments of the event, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments(pub Vec<Bytes>);

impl FromContext for Attachments {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self(context.args.attachments().to_vec()))
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        only_events(kind, "Attachments")
    }
}

/// The auth object that the client sent when it joined the namespace; `{}` if it sent none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth<T>(pub T);

impl<T: DeserializeOwned + Send> FromContext for Auth<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        let text = context.socket.0.auth().map_or(&b"{}"[..], |auth| auth);
        // The value may be a secret: the error names the place, not the content.
        serde_json::from_slice(text).map(Auth).map_err(|error| {
            Rejection(format!(
                "the auth object does not fit (line {}, column {})",
                error.line(),
                error.column()
            ))
        })
    }
}

/// Something that was handed to the builder with `state`, shared by all handlers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T: Any + Clone + Send + Sync> FromContext for State<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        match context.state::<T>() {
            Some(state) => Ok(Self((*state).clone())),
            None => Err(Rejection(format!("no state of type {}", std::any::type_name::<T>()))),
        }
    }

    fn check(_: HandlerKind, state: &StateMap) -> Result<(), String> {
        if state.get::<T>().is_some() {
            return Ok(());
        }
        let name = std::any::type_name::<T>();
        Err(format!("it wants State<{name}>, but the builder was given none: call `.state(…)` with a {name}"))
    }
}

/// What the placeholders of a [namespace pattern](crate::ServerBuilder::namespace_pattern) stand for in the path that the
/// client asked for. Empty in other namespaces.
#[derive(Clone)]
pub struct Params(Arc<super::Namespace>);

impl Params {
    /// The value of one placeholder.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.param(name)
    }

    /// All of them, in the order of the pattern, each with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.params()
    }
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl FromContext for Params {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self(context.socket.0.ns.clone()))
    }
}

impl FromContext for HandshakeRef {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self(context.socket.0.conn.handshake.clone()))
    }
}

/// The name of the event, for handlers of more than one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventName(pub Arc<str>);

impl Deref for EventName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromContext for EventName {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        context.event.clone().map(EventName).ok_or_else(|| Rejection::new("no event"))
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        only_events(kind, "EventName")
    }
}

impl FromContext for DisconnectReason {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        context.reason.ok_or_else(|| Rejection::new("no disconnect"))
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        match kind {
            HandlerKind::Disconnect => Ok(()),
            _ => Err("`DisconnectReason` is only there for disconnect handlers".into()),
        }
    }
}

/// Answers the event at a moment of the handler's choice; what the handler returns is then not sent.
///
/// Dropped without [`send`](Self::send), the client's ack never comes; that is counted.
#[derive(Debug)]
pub struct AckSender(Option<Reply>);

impl AckSender {
    /// Whether the client waits for an answer.
    pub fn is_wanted(&self) -> bool {
        self.0.as_ref().is_some_and(Reply::is_wanted)
    }

    /// Sends the ack. Does nothing if the client did not ask for one or is gone.
    pub fn send(mut self, args: impl IntoArgs) {
        if let Some(reply) = self.0.take() {
            reply.send(args);
        }
    }
}

impl Drop for AckSender {
    fn drop(&mut self) {
        if let Some(reply) = &self.0 {
            reply.abandon();
        }
    }
}

impl FromContext for AckSender {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(Self(Some(context.take_reply())))
    }

    fn check(kind: HandlerKind, _: &StateMap) -> Result<(), String> {
        match kind {
            HandlerKind::Middleware => Err(
                "`AckSender` is not there for middlewares: refuse with an ack, or leave it to the handler"
                    .into(),
            ),
            _ => only_events(kind, "AckSender"),
        }
    }
}

/// `None` instead of a rejection.
impl<T: FromContext> FromContext for Option<T> {
    fn from_context(context: &mut Context) -> Result<Self, Rejection> {
        Ok(T::from_context(context).ok())
    }
}
