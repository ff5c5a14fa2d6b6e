//! Namespaces, their handlers and how those run.

use std::{any::Any, future::Future, sync::Arc};

use sockeye_proto::{name::NamespacePath, sio::Parsers};

use super::{DynamicNamespace, ServerBuilder};
use crate::ns::{
    builder::NamespaceBuilder,
    namespaces::{Matcher, NamespaceRequest},
    pattern::Pattern,
};

impl ServerBuilder {
    /// Adds a namespace and its handlers. Clients that ask for a namespace that was not added are refused with
    /// `Invalid namespace`.
    ///
    /// ```
    /// use sockeye::{Data, Server, Socket};
    ///
    /// let builder = Server::builder().namespace("/chat", |ns| {
    ///     ns.on("join", async |socket: Socket, Data(room): Data<String>| socket.join(room))
    ///         .on("say", async |socket: Socket, Data(text): Data<String>| {
    ///             socket.to("lobby").emit("said", &text);
    ///             text.len() // the ack
    ///         })
    /// });
    /// ```
    pub fn namespace(
        mut self,
        path: &str,
        register: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder,
    ) -> Self {
        self.namespaces.push((NamespacePath::from(path), register(NamespaceBuilder::new())));
        self
    }

    /// Adds all namespaces whose path fits a pattern: `{name}` stands for one or more characters other than a slash,
    /// `{*name}` for any. Handlers learn what it stands for from [`Params`](crate::Params) or
    /// [`Socket::param`](crate::Socket::param).
    ///
    /// Each path is a namespace of its own, with its own rooms, that exists while somebody is in it. Namespaces that were
    /// added by name come first, then patterns in the order in which they were added, then predicates.
    ///
    /// ```
    /// use sockeye::{Params, Server, Socket};
    ///
    /// let builder = Server::builder().namespace_pattern("/tenant-{id}", |ns| {
    ///     ns.on_connect(async |socket: Socket, params: Params| {
    ///         socket.emit("tenant", params.get("id"));
    ///     })
    /// });
    /// ```
    pub fn namespace_pattern(
        mut self,
        pattern: &str,
        register: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder,
    ) -> Self {
        self.dynamic.push(DynamicNamespace {
            label: pattern.to_owned(),
            matcher: Pattern::parse(pattern).map(Matcher::Pattern),
            builder: register(NamespaceBuilder::new()),
        });
        self
    }

    /// Adds all namespaces that a predicate accepts. It is asked each time that a client wants to join one, also when
    /// others are in it already; a client that it does not accept is told `Invalid namespace`.
    ///
    /// `name` stands for all of these namespaces in metrics.
    ///
    /// ```
    /// use sockeye::{NamespaceRequest, Server, Socket};
    ///
    /// async fn exists(request: NamespaceRequest) -> bool {
    ///     request.path().starts_with("/project/") // or ask a database
    /// }
    /// let builder = Server::builder().namespace_when("projects", exists, |ns| {
    ///     ns.on("where", async |socket: Socket| socket.namespace().to_string())
    /// });
    /// ```
    pub fn namespace_when<F, Fut>(
        mut self,
        name: &str,
        predicate: F,
        register: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder,
    ) -> Self
    where
        F: Fn(NamespaceRequest) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = bool> + Send + 'static,
    {
        self.dynamic.push(DynamicNamespace {
            label: name.to_owned(),
            matcher: Ok(Matcher::When(Arc::new(move |request| Box::pin(predicate(request))))),
            builder: register(NamespaceBuilder::new()),
        });
        self
    }

    /// Adds handlers to every namespace: they handle what a namespace has no handler of its own for, be it named, by pattern
    /// or by predicate. May be called several times.
    ///
    /// What is nearer wins: an event goes to the namespace's handler of that event, else to its
    /// [`fallback`](NamespaceBuilder::fallback), else to the handler of that event given here, else to the fallback given here; a
    /// [class](NamespaceBuilder::class) comes after functions in each of these places. Middlewares and listeners given here run
    /// in every namespace, before its own. Which namespaces there are does not change:
    /// see [`accept_any_namespace`](Self::accept_any_namespace).
    ///
    /// ```
    /// use sockeye::{ConnectRefused, HandshakeRef, Server, Socket};
    ///
    /// let builder = Server::builder()
    ///     .namespace("/", |ns| ns.on("hello", async || "from the root"))
    ///     .namespace("/chat", |ns| ns)
    ///     .on_any_namespace(|ns| {
    ///         ns.use_connect(async |handshake: HandshakeRef| handshake.header("authorization").is_some())
    ///             .on("where", async |socket: Socket| socket.namespace().to_string())
    ///     });
    /// ```
    pub fn on_any_namespace(mut self, register: impl FnOnce(NamespaceBuilder) -> NamespaceBuilder) -> Self {
        self.every_namespace = register(self.every_namespace);
        self
    }

    /// Accepts clients in whatever namespace they ask for, if nothing else says what there is; off if not said. Such
    /// namespaces have the handlers of [`on_any_namespace`](Self::on_any_namespace) and exist while somebody is in them. In
    /// metrics they are all called `/*`.
    pub fn accept_any_namespace(mut self, accept: bool) -> Self {
        self.accept_any_namespace = accept;
        self
    }

    /// How packets are written on the wire: [`Parsers::Json`] if not said. All clients must use the same, and all nodes of
    /// a cluster should: a client that reconnects may come to any of them.
    ///
    /// ```
    /// use sockeye::{Parsers, Server};
    ///
    /// // For clients with `io({ parser: require("socket.io-msgpack-parser") })`.
    /// let builder = Server::builder().parser(Parsers::MsgPack);
    /// ```
    ///
    /// A parser of one's own implements [`Parser`](crate::parser::Parser).
    pub fn parser(mut self, parser: impl Into<Parsers>) -> Self {
        self.parser = parser.into();
        self
    }

    /// Shares a value with all handlers, one for each type; they take it as [`State<T>`](crate::State).
    pub fn state<T: Any + Clone + Send + Sync>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// How many handlers of one socket may run side by side; 16 if not said. With 1 they run strictly one after another. A
    /// namespace may have [its own](NamespaceBuilder::concurrency) number.
    pub fn concurrency(mut self, handlers: usize) -> Self {
        self.concurrency = handlers;
        self
    }

    /// How many events of one socket may wait for a handler before its connection is read no further; 64 if not said.
    pub fn mailbox(mut self, events: usize) -> Self {
        self.mailbox = events;
        self
    }
}
