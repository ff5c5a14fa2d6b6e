//! The server as the application sees it from outside of handlers.

use std::{sync::Arc, time::Duration};

use sockeye_proto::{
    id::NodeId,
    name::NamespacePath,
    sio::{Args, IntoArgs},
};

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

    /// A socket of this node by its id.
    pub fn socket(&self, id: &str) -> Option<Socket> {
        let id = sockeye_proto::id::SocketId::parse(id)?;
        self.ns.rooms.get(&id).map(Socket)
    }

    /// Tells every other node something; their handlers registered with `on_server_event` run.
    pub fn server_emit(&self, event: &str, args: impl IntoArgs) -> Sent {
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
    /// The arguments cannot be serialised.
    pub async fn server_call(
        &self,
        event: &str,
        args: impl IntoArgs,
        timeout: Duration,
    ) -> Result<Partial<Vec<(NodeId, Args)>>, EmitError> {
        let args = args.into_args()?;
        let partial = self.engine.cluster().server_call(&self.ns.path, event, args, timeout).await;
        Ok(Partial { value: partial.value, missing: partial.missing })
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
