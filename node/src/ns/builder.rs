//! Registration of a namespace's handlers.

use std::{future::Future, sync::Arc};

use sockeye_proto::{
    id::NodeId,
    sio::{Args, RESERVED},
};

use super::{
    Handlers,
    context::HandlerKind,
    handler::{Arguments, Handler, IntoAck, IntoConnect, Plain, erase_connect, erase_event},
};
use crate::state::StateMap;

type Check = Box<dyn FnOnce(&StateMap) -> Result<(), String>>;

/// The handlers of one namespace. They are in place before any client connects, so no event is ever missed.
///
/// A handler is an async function; what it takes as arguments, it gets ([extractors](crate::FromContext)); what it returns is
/// the ack. Handlers of one socket start in the order of its events; up to 16 of them run side by side.
#[must_use]
pub struct NamespaceBuilder {
    pub(crate) handlers: Handlers,
    pub(crate) checks: Vec<Check>,
}

impl std::fmt::Debug for NamespaceBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events: Vec<&str> = self.handlers.events.keys().map(|name| &**name).collect();
        f.debug_struct("NamespaceBuilder").field("events", &events).finish_non_exhaustive()
    }
}

impl NamespaceBuilder {
    pub(crate) fn new() -> Self {
        Self { handlers: Handlers::default(), checks: Vec::new() }
    }

    fn check<A: Arguments>(&mut self, kind: HandlerKind, what: String) {
        self.checks
            .push(Box::new(move |state| A::check(kind, state).map_err(|wrong| format!("{what}: {wrong}"))));
    }

    fn twice(&mut self, what: &str) {
        let what = format!("{what}: there is a handler already; which of the two should run?");
        self.checks.push(Box::new(move |_| Err(what)));
    }

    /// Decides whether a client may join. Without this handler everyone may.
    ///
    /// Rooms that are joined and events that are emitted here take effect; the client hears them after it heard that it is
    /// connected.
    pub fn on_connect<H, M>(mut self, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output: IntoConnect> + Send + 'static,
        M: 'static,
    {
        if self.handlers.connect.is_some() {
            self.twice("on_connect");
        }
        self.check::<H::Arguments>(HandlerKind::Connect, "on_connect".into());
        self.handlers.connect = Some(erase_connect(handler));
        self
    }

    /// Runs when a socket is gone, after all handlers of its events have started. The socket's rooms and session can still
    /// be read.
    pub fn on_disconnect<H, M>(mut self, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output = ()> + Send + 'static,
        M: 'static,
    {
        if self.handlers.disconnect.is_some() {
            self.twice("on_disconnect");
        }
        self.check::<H::Arguments>(HandlerKind::Disconnect, "on_disconnect".into());
        self.handlers.disconnect = Some(erase_event::<H, M, Plain>(handler));
        self
    }

    /// Handles an event. What the handler returns is the ack, if the client asked for one.
    pub fn on<H, M, K>(mut self, event: &str, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output: IntoAck<K>> + Send + 'static,
        M: 'static,
        K: 'static,
    {
        if RESERVED.contains(&event) {
            let what = format!("on({event:?}): the name is reserved, no client can send it");
            self.checks.push(Box::new(move |_| Err(what)));
        }
        if self.handlers.events.contains_key(event) {
            self.twice(&format!("on({event:?})"));
        }
        self.check::<H::Arguments>(HandlerKind::Event, format!("on({event:?})"));
        self.handlers.events.insert(Arc::from(event), erase_event(handler));
        self
    }

    /// Handles every event that no other handler is registered for. [`EventName`](crate::EventName) says which it was.
    pub fn fallback<H, M, K>(mut self, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output: IntoAck<K>> + Send + 'static,
        M: 'static,
        K: 'static,
    {
        if self.handlers.fallback.is_some() {
            self.twice("fallback");
        }
        self.check::<H::Arguments>(HandlerKind::Event, "fallback".into());
        self.handlers.fallback = Some(erase_event(handler));
        self
    }

    /// Handles an event that another node sends to this one with [`Io::server_emit`](crate::Io::server_emit) or
    /// [`Io::server_call`](crate::Io::server_call); what it returns is the answer.
    pub fn on_server_event<F, Fut, R, K>(mut self, event: &str, handler: F) -> Self
    where
        F: Fn(NodeId, Args) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = R> + Send + 'static,
        R: IntoAck<K>,
        K: 'static,
    {
        let name = event.to_owned();
        let call: super::ServerEventCall = Arc::new(move |from, args| {
            let handling = handler(from, args);
            let name = name.clone();
            Box::pin(async move {
                match handling.await.into_ack() {
                    Ok(args) => Some(args),
                    Err(failed) => {
                        tracing::warn!(event = name, ?failed, "a handler of a server event failed");
                        None
                    }
                }
            })
        });
        self.handlers.server_events.insert(event.into(), call);
        self
    }
}
