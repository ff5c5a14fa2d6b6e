//! The server as the application sees it from outside of handlers.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use sockeye_proto::{
    id::NodeId,
    name::NamespacePath,
    sio::{Args, IntoArgs},
};
use tokio::task::JoinHandle;

use crate::{
    cluster::PeerInfo,
    engine::Engine,
    error::{EmitError, Partial},
    ns::{
        Namespace,
        operator::Broadcast,
        socket::{IntoRooms, Socket},
    },
    sent::Sent,
};

/// Names of server events that the JavaScript server keeps for itself.
pub(crate) const RESERVED_SERVER_EVENTS: [&str; 3] = ["connect", "connection", "new_namespace"];

/// A handle to the server, in one namespace of it. Cloning it is cheap.
///
/// Get it from [`Server::io`](crate::Server::io), [`Socket::io`] or as a handler's argument.
#[derive(Clone, Debug)]
pub struct Io {
    engine: Arc<Engine>,
    ns: Arc<Namespace>,
}

impl Io {
    pub(crate) fn new(engine: Arc<Engine>, ns: Arc<Namespace>) -> Self {
        Self { engine, ns }
    }

    /// The same server in another namespace; `None` if there can be no such namespace.
    ///
    /// A path that a [pattern](crate::ServerBuilder::namespace_pattern) means can be named whether this node has a client
    /// there or not: others may. A path that only a [predicate](crate::ServerBuilder::namespace_when) could accept, if
    /// there is one predicate; with several, only while this node has a client there.
    pub fn of(&self, namespace: &str) -> Option<Self> {
        let path = NamespacePath::from(namespace);
        Some(Self { engine: self.engine.clone(), ns: self.engine.namespaces.of(&path)? })
    }

    /// What a placeholder of the namespace's pattern stands for.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.ns.param(name)
    }

    /// This namespace.
    pub fn namespace(&self) -> &NamespacePath {
        &self.ns.path
    }

    /// Everyone in the namespace, on all nodes.
    pub fn all(&self) -> Broadcast {
        Broadcast::new(self.engine.clone(), self.ns.clone())
    }

    /// The members of one or more rooms, on all nodes. A socket's id is the name of its own room.
    pub fn to(&self, rooms: impl IntoRooms) -> Broadcast {
        self.all().to(rooms)
    }

    /// Everyone but the members of one or more rooms.
    pub fn except(&self, rooms: impl IntoRooms) -> Broadcast {
        self.all().except(rooms)
    }

    /// Only clients of this node.
    pub fn local(&self) -> Broadcast {
        self.all().local()
    }

    /// Sends an event to everyone in the namespace.
    pub fn emit(&self, event: &str, args: impl IntoArgs) -> Sent {
        self.all().emit(event, args)
    }

    /// Empties a room on every node.
    pub fn close_room(&self, room: impl IntoRooms) {
        for room in room.into_rooms() {
            self.ns.rooms.close(&room);
            self.engine.cluster().close_room(&self.ns.path, &room);
        }
    }

    /// A socket of this node by its id; for what is kept for it, for example:
    ///
    /// ```
    /// # fn name(io: sockeye::Io, sid: &str) -> Option<String> {
    /// #[derive(Clone, Default)]
    /// struct Profile {
    ///     name: String,
    /// }
    /// let profile = io.socket(sid)?.session::<Profile>()?;
    /// # Some(profile.name.clone()) }
    /// ```
    pub fn socket(&self, id: &str) -> Option<Socket> {
        let id = sockeye_proto::id::SocketId::parse(id)?;
        self.ns.rooms.get(&id).map(Socket)
    }

    /// Tells every other node something; their handlers registered with `on_server_event` run.
    pub fn server_emit(&self, event: &str, args: impl IntoArgs) -> Sent {
        if RESERVED_SERVER_EVENTS.contains(&event) {
            return Sent::failed(EmitError::Reserved(event.to_owned()));
        }
        match args.into_args() {
            Ok(args) => {
                Sent::with_remote(0, Some(self.engine.cluster().server_emit(&self.ns.path, event, args)))
            }
            Err(error) => Sent::failed(error.into()),
        }
    }

    /// Asks every other node something and gathers the answers, each with the node that gave it.
    ///
    /// # Errors
    /// The arguments cannot be serialised, or the name is reserved.
    pub async fn server_call(
        &self,
        event: &str,
        args: impl IntoArgs,
        timeout: Duration,
    ) -> Result<Partial<Vec<(NodeId, Args)>>, EmitError> {
        if RESERVED_SERVER_EVENTS.contains(&event) {
            return Err(EmitError::Reserved(event.to_owned()));
        }
        let args = args.into_args()?;
        let partial = self.engine.cluster().server_call(&self.ns.path, event, args, timeout).await;
        Ok(Partial { value: partial.value, missing: partial.missing })
    }

    // === background tasks ===

    /// Runs something in the background that ends with the server.
    ///
    /// When the server ends, [`shutting_down`](Self::shutting_down) is ready; tasks that have not ended by themselves when the
    /// [shutdown timeout](crate::ServerBuilder::shutdown_timeout) is over are cut off where they wait. None is left when
    /// [`Server::shutdown`](crate::Server::shutdown) returns. A panic ends the task and nothing else; how tasks ended is counted
    /// in `sockeye_background_tasks_ended_total`.
    ///
    /// ```
    /// # fn run(io: sockeye::Io) {
    /// use std::time::Duration;
    ///
    /// io.spawn({
    ///     let io = io.clone();
    ///     async move {
    ///         let mut every_second = tokio::time::interval(Duration::from_secs(1));
    ///         loop {
    ///             tokio::select! {
    ///                 _ = every_second.tick() => drop(io.emit("tick", ())),
    ///                 () = io.shutting_down() => return, // the place to save what has to be kept
    ///             }
    ///         }
    ///     }
    /// });
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.engine.background.spawn(task)
    }

    /// Runs something that blocks on a thread of its own. The end of the server waits for it as for other background tasks,
    /// but cannot cut it off.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.engine.background.spawn_blocking(work)
    }

    /// Ready when the server begins to end.
    pub fn shutting_down(&self) -> impl Future<Output = ()> + Send + use<> {
        self.engine.background.end_announced()
    }

    /// A handle that does not keep the server alive: for what the server itself keeps, such as the instance of a
    /// [class](crate::NamespaceClass) or [state](crate::ServerBuilder::state).
    pub fn downgrade(&self) -> WeakIo {
        WeakIo { engine: Arc::downgrade(&self.engine), ns: Arc::downgrade(&self.ns) }
    }

    /// This node's id.
    pub fn node_id(&self) -> NodeId {
        self.engine.node
    }

    /// The name that this node was given, or its id.
    pub fn node_name(&self) -> &str {
        &self.engine.config.name
    }

    /// The other nodes that are alive.
    pub fn nodes(&self) -> Vec<NodeId> {
        self.engine.cluster().peers().into_iter().map(|peer: PeerInfo| peer.node).collect()
    }

    /// Whether the bus is connected. Always true for the embedded one.
    pub fn is_bus_connected(&self) -> bool {
        self.engine.cluster().bus_connected()
    }

    /// Connections of this node, whatever namespaces they are in.
    pub fn connections(&self) -> usize {
        self.engine.registry.len()
    }
}

/// An [`Io`] that does not keep the server alive. Cloning it is cheap.
#[derive(Clone, Debug)]
pub struct WeakIo {
    engine: Weak<Engine>,
    ns: Weak<Namespace>,
}

impl WeakIo {
    /// The server in that namespace, unless it is gone.
    pub fn upgrade(&self) -> Option<Io> {
        Some(Io { engine: self.engine.upgrade()?, ns: self.ns.upgrade()? })
    }
}
