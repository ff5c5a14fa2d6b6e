//! Namespaces, their handlers and how those run.

use std::any::Any;

use sockeye_proto::name::NamespacePath;

use super::ServerBuilder;
use crate::ns::builder::NamespaceBuilder;

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

    /// Shares a value with all handlers, one for each type; they take it as [`State<T>`](crate::State).
    pub fn state<T: Any + Clone + Send + Sync>(mut self, value: T) -> Self {
        self.state.insert(value);
        self
    }

    /// How many handlers of one socket may run side by side; 16 if not said. With 1 they run strictly one after another.
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
