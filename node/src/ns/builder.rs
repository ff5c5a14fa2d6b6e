//! Registration of a namespace's handlers.

use std::{future::Future, sync::Arc};

use sockeye_proto::{
    id::NodeId,
    sio::{Args, RESERVED},
};

use super::{
    blocking::erase_blocking,
    class::{Class, NamespaceClass},
    context::HandlerKind,
    handler::{Arguments, Handler, IntoAck, IntoConnect, Plain, erase_connect, erase_event},
    hooks::{HandlerError, Outgoing},
    layers::Layer,
    middleware::{IntoStep, erase_step},
    socket::Socket,
};
use crate::{io::RESERVED_BETWEEN_SERVERS, state::StateMap};

pub(crate) type Check = Box<dyn FnOnce(&StateMap) -> Result<(), String>>;

/// The handlers of one namespace. They are in place before any client connects, so no event is ever missed.
///
/// A handler is an async function; what it takes as arguments, it gets ([extractors](crate::FromContext)); what it returns is
/// the ack. Handlers of one socket start in the order of its events; up to 16 of them run side by side.
///
/// Middlewares come before handlers, in the order in which they were registered: [`use_connect`](Self::use_connect) before the
/// connect handler, [`use_event`](Self::use_event) before the handler of an event.
#[must_use]
pub struct NamespaceBuilder {
    layer: Layer,
    class: Option<Layer>,
    checks: Vec<Check>,
}

impl std::fmt::Debug for NamespaceBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let events: Vec<&str> = self.layer.events.keys().map(|name| &**name).collect();
        f.debug_struct("NamespaceBuilder").field("events", &events).finish_non_exhaustive()
    }
}

impl NamespaceBuilder {
    pub(crate) fn new() -> Self {
        Self { layer: Layer::default(), class: None, checks: Vec::new() }
    }

    /// What was registered, and what is to be looked at before it is used.
    pub(crate) fn into_parts(self) -> (Layer, Vec<Check>) {
        let layer = match self.class {
            Some(class) => self.layer.with_class(class),
            None => self.layer,
        };
        (layer, self.checks)
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
    /// connected. So there is no need to accept clients before the handler has decided, which python-socketio's
    /// `always_connect` is for; what has to wait for the client's answers belongs in [`on_connected`](Self::on_connected).
    pub fn on_connect<H, M>(mut self, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output: IntoConnect> + Send + 'static,
        M: 'static,
    {
        if self.layer.connect.is_some() {
            self.twice("on_connect");
        }
        self.check::<H::Arguments>(HandlerKind::Connect, "on_connect".into());
        self.layer.connect = Some(erase_connect(handler));
        self
    }

    /// Runs once a client is in, before the handlers of its events start: `connection` of the JavaScript server.
    ///
    /// It may ask the client with [`call`](Socket::call), which a connect handler cannot wait for.
    ///
    /// ```
    /// use sockeye::{Server, Socket};
    ///
    /// let builder = Server::builder().namespace("/", |ns| {
    ///     ns.on_connected(async |socket: Socket| {
    ///         if socket.call("ready?", ()).await.is_err() {
    ///             socket.disconnect(false);
    ///         }
    ///     })
    /// });
    /// ```
    pub fn on_connected<H, M>(mut self, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output = ()> + Send + 'static,
        M: 'static,
    {
        if self.layer.connected.is_some() {
            self.twice("on_connected");
        }
        self.check::<H::Arguments>(HandlerKind::Connected, "on_connected".into());
        self.layer.connected = Some(erase_event::<H, M, Plain>(handler));
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
        if self.layer.disconnect.is_some() {
            self.twice("on_disconnect");
        }
        self.check::<H::Arguments>(HandlerKind::Disconnect, "on_disconnect".into());
        self.layer.disconnect = Some(erase_event::<H, M, Plain>(handler));
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
        self.event::<H::Arguments>("on", event);
        self.layer.events.insert(Arc::from(event), erase_event(handler));
        self
    }

    /// Handles an event with a function that is no `async fn`, on a thread where it may block: files, a database driver that
    /// waits, long computations.
    ///
    /// Such handlers count among those that may run [side by side](Self::concurrency); the end of the server waits for them
    /// as for all others, but cannot cut them off. The threads are tokio's for blocking work.
    ///
    /// ```
    /// use sockeye::{Data, Server};
    ///
    /// let builder = Server::builder().namespace("/", |ns| {
    ///     ns.on_blocking("read", |Data(path): Data<String>| {
    ///         std::fs::read_to_string(format!("/srv/notes/{}", path.replace(['/', '.'], "")))
    ///     })
    /// });
    /// ```
    pub fn on_blocking<H, M, K>(mut self, event: &str, handler: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments + 'static,
        H::Future: IntoAck<K> + 'static,
        M: 'static,
        K: 'static,
    {
        self.event::<H::Arguments>("on_blocking", event);
        self.layer.events.insert(Arc::from(event), erase_blocking(handler));
        self
    }

    /// Looks at the registration of an event's handler.
    fn event<A: Arguments>(&mut self, method: &str, event: &str) {
        let what = format!("{method}({event:?})");
        if RESERVED.contains(&event) {
            let what = format!("{what}: the name is reserved, no client can send it");
            self.checks.push(Box::new(move |_| Err(what)));
        }
        if self.layer.events.contains_key(event) {
            self.twice(&what);
        }
        self.check::<A>(HandlerKind::Event, what);
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
        if self.layer.fallback.is_some() {
            self.twice("fallback");
        }
        self.check::<H::Arguments>(HandlerKind::Event, "fallback".into());
        self.layer.fallback = Some(erase_event(handler));
        self
    }

    /// A middleware of the namespace: decides, before `on_connect`, whether a client may join. Several are asked in the order
    /// in which they were registered; the first that refuses ends it, and the client's `connect_error` gets its message and
    /// data.
    ///
    /// One that panics, or whose arguments are not there, refuses. What it saves in the [session](Socket::save_session) is there
    /// for those that come after it.
    ///
    /// ```
    /// use sockeye::{Auth, ConnectRefused, Server, Socket};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Token {
    ///     token: String,
    /// }
    /// struct User(String);
    ///
    /// let builder = Server::builder().namespace("/", |ns| {
    ///     ns.use_connect(async |socket: Socket, Auth(auth): Auth<Token>| {
    ///         if auth.token != "secret" {
    ///             return Err(ConnectRefused::new("not authorized").data(&serde_json::json!({"code": 401})));
    ///         }
    ///         socket.save_session(User("ada".into()));
    ///         Ok(())
    ///     })
    ///     .on_connect(async |socket: Socket| {
    ///         let user = socket.session::<User>().expect("the middleware saved it");
    ///         socket.join(format!("user {}", user.0));
    ///     })
    /// });
    /// ```
    pub fn use_connect<H, M>(mut self, middleware: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output: IntoConnect> + Send + 'static,
        M: 'static,
    {
        self.check::<H::Arguments>(HandlerKind::Connect, "use_connect".into());
        self.layer.connect_steps.push(erase_connect(middleware));
        self
    }

    /// A middleware of events: every event of a client, whatever its name and whether there is a handler or not, passes it
    /// before its handler. Several come in the order in which they were registered. Each may look at the event, replace its
    /// arguments, or refuse it: see [`IntoStep`].
    ///
    /// An event that is refused is dropped and counted (`sockeye_handler_errors_total{kind="refused"}`), and
    /// [`on_error`](Self::on_error) hears of it; the client does only if the [refusal has an ack](crate::EventRefused::ack). One
    /// that panics, or whose arguments are not there, drops the event.
    ///
    /// A middleware that waits is part of its event's handling: with a [concurrency](Self::concurrency) of 1 no event
    /// overtakes another, otherwise events whose middlewares wait longer come later.
    ///
    /// ```
    /// use sockeye::{Args, EventName, EventRefused, Server, Socket};
    ///
    /// struct Admin;
    ///
    /// let builder = Server::builder().namespace("/", |ns| {
    ///     ns.use_event(async |socket: Socket, EventName(event): EventName| {
    ///         if event.starts_with("admin:") && socket.session::<Admin>().is_none() {
    ///             return Err(EventRefused::new("not an admin").ack("forbidden"));
    ///         }
    ///         Ok(())
    ///     })
    ///     .on("admin:stats", async || 42)
    /// });
    /// ```
    pub fn use_event<H, M>(mut self, middleware: H) -> Self
    where
        H: Handler<M>,
        H::Arguments: Arguments,
        H::Future: Future<Output: IntoStep> + Send + 'static,
        M: 'static,
    {
        self.check::<H::Arguments>(HandlerKind::Middleware, "use_event".into());
        self.layer.event_steps.push(erase_step(middleware));
        self
    }

    /// Has the methods of an instance handle what no function of this builder does: see [`NamespaceClass`].
    ///
    /// What is nearer wins: the handler of an event, then the method of the event, then [`fallback`](Self::fallback), then the
    /// class's, then the [handlers of every namespace](crate::ServerBuilder::on_any_namespace).
    pub fn class<T: NamespaceClass>(mut self, class: T) -> Self {
        if self.class.is_some() {
            self.twice("class");
        }
        let (layer, checks) = Class::register(class);
        self.class = Some(layer);
        self.checks.extend(checks);
        self
    }

    /// Shows every event of every client to a function, beside its handler: before the middlewares, in the order in which
    /// handlers start. For logs and statistics; it cannot change anything. Several see each event in the order in which they
    /// were registered.
    ///
    /// ```
    /// use sockeye::Server;
    ///
    /// let builder = Server::builder().namespace("/", |ns| {
    ///     ns.on_any(|socket, event, args| tracing::debug!(sid = %socket.id(), event, bytes = args.size(), "in"))
    ///         .on_any_outgoing(|out| tracing::debug!(event = out.event(), to = ?out.to(), "out"))
    /// });
    /// ```
    pub fn on_any(mut self, listener: impl Fn(&Socket, &str, &Args) + Send + Sync + 'static) -> Self {
        self.layer.any.push(Arc::new(listener));
        self
    }

    /// Shows every event that is sent to clients of this node to a function, once for each emit, before it is sent, whoever
    /// emits it: this node, another, or an emitter. Acks are not shown, nor is what other nodes send while nobody here is in
    /// the namespace.
    pub fn on_any_outgoing(mut self, listener: impl Fn(&Outgoing<'_>) + Send + Sync + 'static) -> Self {
        self.layer.any_outgoing.push(Arc::new(listener));
        self
    }

    /// Tells a function of every event that was not handled as it should: refused by a middleware, arguments that are not
    /// there, a handler that returned an error, an answer that cannot be serialised. All are counted in
    /// `sockeye_handler_errors_total` and logged without it.
    ///
    /// ```
    /// use sockeye::Server;
    ///
    /// let builder = Server::builder().namespace("/", |ns| {
    ///     ns.on_error(|socket, error| {
    ///         socket.emit("problem", (error.event(), error.kind().as_str()));
    ///     })
    /// });
    /// ```
    pub fn on_error(mut self, listener: impl Fn(&Socket, &HandlerError) + Send + Sync + 'static) -> Self {
        self.layer.errors.push(Arc::new(listener));
        self
    }

    /// How many handlers of one socket may run side by side in this namespace, instead of the server's
    /// [`concurrency`](crate::ServerBuilder::concurrency). With 1 they run strictly one after another.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        if handlers == 0 {
            self.checks.push(Box::new(|_| Err("concurrency must be at least 1".into())));
        }
        self.layer.concurrency = Some(handlers);
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
        if RESERVED_BETWEEN_SERVERS.contains(&event) {
            let what = format!("on_server_event({event:?}): the name is reserved, no node can send it");
            self.checks.push(Box::new(move |_| Err(what)));
        }
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
        self.layer.server_events.insert(event.into(), call);
        self
    }
}
