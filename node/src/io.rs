//! The server as the application sees it from outside of handlers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use sockeye_proto::{
    bus::{SocketFields, Target},
    id::{NodeId, SocketId},
    name::{NamespacePath, RoomName},
    sio::{Args, IntoArgs},
};

use crate::{
    changed::Changed,
    cluster::{Local, PeerInfo, RoomsPage},
    engine::Engine,
    error::{EmitError, Partial},
    ns::{
        Namespace,
        layers::Handlers,
        operator::Broadcast,
        remote::RemoteSocket,
        socket::{IntoRooms, Socket},
    },
    sent::Sent,
};

/// A handle to the server, in one namespace of it. Cloning it is cheap.
///
/// Get it from [`Server::io`](crate::Server::io), [`Socket::io`] or as a handler's argument.
#[derive(Clone, Debug)]
pub struct Io {
    pub(crate) engine: Arc<Engine>,
    ns: Arc<Namespace>,
    /// This node may not have the namespace: `ns` then is one that nobody can join.
    elsewhere: bool,
}

impl Io {
    pub(crate) fn new(engine: Arc<Engine>, ns: Arc<Namespace>) -> Self {
        Self { engine, ns, elsewhere: false }
    }

    /// The same server in another namespace; `None` if there can be no such namespace.
    ///
    /// A path that a [pattern](crate::ServerBuilder::namespace_pattern) means can be named whether this node has a client
    /// there or not: others may. A path that only a [predicate](crate::ServerBuilder::namespace_when) could accept, if
    /// there is one predicate; with several, only while this node has a client there.
    pub fn of(&self, namespace: &str) -> Option<Self> {
        let path = NamespacePath::from(namespace);
        Some(Self::new(self.engine.clone(), self.engine.namespaces.of(&path)?))
    }

    /// The same server in any namespace, whether this node knows it or not: other nodes may have clients there. `None` if no
    /// client could name it.
    ///
    /// ```
    /// # fn f(io: sockeye::Io, order: u64) -> Option<()> {
    /// // This node has registered `/` only; others serve `/orders-1`, `/orders-2` and so on.
    /// io.of_any(&format!("/orders-{order}"))?.emit("shipped", ());
    /// # Some(()) }
    /// ```
    pub fn of_any(&self, namespace: &str) -> Option<Self> {
        let path = NamespacePath::from(namespace);
        if let Some(ns) = self.engine.namespaces.of(&path) {
            return Some(Self::new(self.engine.clone(), ns));
        }
        NamespacePath::can_travel(&path).then(|| Self {
            engine: self.engine.clone(),
            ns: Arc::new(Namespace::new(path, Handlers::default())),
            elsewhere: true,
        })
    }

    /// This node's part of the namespace. One that it did not have may have come to be meanwhile.
    pub(crate) fn ns(&self) -> Arc<Namespace> {
        let now = if self.elsewhere { self.engine.namespaces.get(&self.ns.path) } else { None };
        now.unwrap_or_else(|| self.ns.clone())
    }

    /// What a placeholder of the namespace's pattern stands for.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.ns.param(name)
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// This namespace.
    pub fn namespace(&self) -> &NamespacePath {
        &self.ns.path
    }

    /// Everyone in the namespace, on all nodes.
    pub fn all(&self) -> Broadcast {
        Broadcast::new(self.engine.clone(), self.ns())
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

    /// Takes everyone out of one or more rooms, on every node. Await the result to know when, and how many there were.
    pub fn close_room(&self, rooms: impl IntoRooms) -> Changed {
        let cluster = self.engine.cluster();
        let (mut here, mut changes) = (0, Vec::new());
        for room in rooms.into_rooms() {
            here += self.ns().rooms.close(&room);
            changes.push(cluster.close_room(&self.ns.path, &room));
        }
        Changed::everywhere(here, cluster.clone(), changes)
    }

    /// A socket of this node by its id, also one whose connect handler has not decided. For what is kept for it, for
    /// example:
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
        let id = SocketId::parse(id)?;
        self.ns().rooms.get(&id).map(Socket)
    }

    /// The connected sockets of this node, in no order. (Those of all nodes: [`Broadcast::fetch_sockets`].)
    pub fn sockets(&self) -> Vec<Socket> {
        let mut sockets = Vec::new();
        self.ns().rooms.each_connected(&Target::everyone(), |socket| sockets.push(Socket(socket.clone())));
        sockets
    }

    /// The ids of this node's connected sockets in a room, in no order. (Those of all nodes: [`Broadcast::sockets`].)
    pub fn participants(&self, room: impl Into<RoomName>) -> Vec<SocketId> {
        self.ns().members(&Target::room(room))
    }

    /// A connected socket of any node by its id, with everything that is known of it but the headers.
    ///
    /// Ends with the answer of the node that has it; `None` and no node missing: it is not connected anywhere.
    ///
    /// ```
    /// # async fn f(io: sockeye::Io, sid: &str) {
    /// if let Some(socket) = io.find_socket(sid).await.value {
    ///     println!("{sid} is on {}, since {:?}", socket.node(), socket.time());
    ///     socket.emit("found", ());
    /// }
    /// # }
    /// ```
    pub async fn find_socket(&self, id: &str) -> Partial<Option<RemoteSocket>> {
        self.find(id, &SocketFields { rooms: true, connection: true, url: true, data: true, headers: vec![] })
            .await
    }

    /// The rooms of a connected socket of any node, in no order; the one named after its id is among them unless it was
    /// left. `None` and no node missing: it is not connected anywhere.
    pub async fn rooms_of(&self, id: &str) -> Partial<Option<Vec<RoomName>>> {
        let found = self.find(id, &SocketFields { rooms: true, ..SocketFields::default() }).await;
        Partial { value: found.value.map(RemoteSocket::into_rooms), missing: found.missing }
    }

    /// Whether a socket of this id is connected to any node.
    pub async fn is_connected(&self, id: &str) -> Partial<bool> {
        let found = self.find(id, &SocketFields::default()).await;
        Partial { value: found.value.is_some(), missing: found.missing }
    }

    async fn find(&self, id: &str, fields: &SocketFields) -> Partial<Option<RemoteSocket>> {
        if let Some(info) = self.ns().connected(id).and_then(|socket| socket.describe(fields)) {
            let found = RemoteSocket::new(self.clone(), self.engine.node, info);
            return Partial { value: Some(found), missing: Vec::new() };
        }
        let found = self.engine.cluster().socket(&self.ns.path, id, fields).await;
        let value = found.value.map(|(node, info)| RemoteSocket::new(self.clone(), node, info));
        Partial { value, missing: found.missing }
    }

    /// The namespaces that have connected sockets on any node, whatever namespace this handle is for, in the order of their
    /// paths.
    pub async fn namespaces(&self) -> Partial<Vec<NamespaceInfo>> {
        let asked = self.engine.cluster().namespaces();
        let mut sockets: BTreeMap<NamespacePath, u64> =
            Local::namespaces(&*self.engine).into_iter().collect();
        let Partial { value, missing } = asked.await.into();
        for (path, count) in value {
            *sockets.entry(path).or_default() += count;
        }
        let value = sockets.into_iter().map(|(path, sockets)| NamespaceInfo { path, sockets }).collect();
        Partial { value, missing }
    }

    /// Rooms of this namespace on all nodes, in the order of their names: up to `limit` (4,096 at the most) behind the name
    /// `after`. To go on, pass the last name; an empty answer is the end. A socket's own room is one only while somebody
    /// else is in it.
    ///
    /// ```
    /// # async fn f(io: sockeye::Io) {
    /// let mut last = None;
    /// loop {
    ///     let rooms = io.rooms(last.as_deref(), 1_000).await.value;
    ///     let Some(room) = rooms.last() else { break };
    ///     last = Some(room.name.to_string());
    ///     for room in rooms {
    ///         println!("{}: {}", room.name, room.sockets);
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn rooms(&self, after: Option<&str>, limit: usize) -> Partial<Vec<RoomInfo>> {
        let (after, limit) = (after.map(RoomName::from), limit.clamp(1, ROOMS_MOST));
        let asked = self.engine.cluster().rooms(&self.ns.path, after.as_ref(), limit);
        let own = self.ns().rooms.names(after.as_ref(), limit);
        let Partial { mut value, missing } = asked.await.into();
        value.push(own);
        Partial { value: merged(value, limit), missing }
    }

    /// Tells every other node something; their handlers registered with `on_server_event` run.
    ///
    /// `connect`, `connection` and `new_namespace` are reserved, as they are for socket.io servers.
    pub fn server_emit(&self, event: &str, args: impl IntoArgs) -> Sent {
        match server_args(event, args) {
            Ok(args) => {
                Sent::with_remote(0, Some(self.engine.cluster().server_emit(&self.ns.path, event, args)))
            }
            Err(error) => Sent::failed(error),
        }
    }

    /// Asks every other node something and gathers the answers, each with the node that gave it.
    ///
    /// # Errors
    /// The arguments cannot be serialised, or the name is reserved as for [`server_emit`](Self::server_emit).
    pub async fn server_call(
        &self,
        event: &str,
        args: impl IntoArgs,
        timeout: Duration,
    ) -> Result<Partial<Vec<(NodeId, Args)>>, EmitError> {
        let args = server_args(event, args)?;
        Ok(self.engine.cluster().server_call(&self.ns.path, event, args, timeout).await.into())
    }

    /// A handle that does not keep the server alive: for what the server itself keeps, such as the instance of a
    /// [class](crate::NamespaceClass) or [state](crate::ServerBuilder::state).
    pub fn downgrade(&self) -> WeakIo {
        WeakIo {
            engine: Arc::downgrade(&self.engine),
            ns: Arc::downgrade(&self.ns),
            elsewhere: self.elsewhere,
        }
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
    elsewhere: bool,
}

impl WeakIo {
    /// The server in that namespace, unless it is gone.
    pub fn upgrade(&self) -> Option<Io> {
        let (engine, ns) = (self.engine.upgrade()?, self.ns.upgrade()?);
        Some(Io { engine, ns, elsewhere: self.elsewhere })
    }
}

/// A namespace that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceInfo {
    /// Its path.
    pub path: NamespacePath,
    /// Its connected sockets, on all nodes that answered.
    pub sockets: u64,
}

/// A room that is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomInfo {
    /// Its name.
    pub name: RoomName,
    /// The connected sockets in it, on all nodes that answered.
    pub sockets: u64,
}

/// Rooms in one answer, however many are asked for.
const ROOMS_MOST: usize = 4096;

/// Names that socket.io servers keep for themselves between servers.
pub(crate) const RESERVED_BETWEEN_SERVERS: [&str; 3] = ["connect", "connection", "new_namespace"];

fn server_args(event: &str, args: impl IntoArgs) -> Result<Args, EmitError> {
    if RESERVED_BETWEEN_SERVERS.contains(&event) {
        return Err(EmitError::Reserved(event.to_owned()));
    }
    Ok(args.into_args()?)
}

/// The first rooms of all nodes together. Behind the last name of a node that has more, something may be missing.
fn merged(nodes: Vec<RoomsPage>, limit: usize) -> Vec<RoomInfo> {
    let known =
        nodes.iter().filter(|(_, more)| *more).filter_map(|(rooms, _)| Some(rooms.last()?.0.clone())).min();
    let mut sockets = BTreeMap::<RoomName, u64>::new();
    for (name, count) in nodes.into_iter().flat_map(|(rooms, _)| rooms) {
        *sockets.entry(name).or_default() += count;
    }
    let known = sockets.into_iter().filter(|(name, _)| known.as_ref().is_none_or(|known| name <= known));
    known.take(limit).map(|(name, sockets)| RoomInfo { name, sockets }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_of_several_nodes_are_merged_as_far_as_all_are_known() {
        let page = |names: &[(&str, u64)], more| {
            (names.iter().map(|(name, count)| (RoomName::from(*name), *count)).collect::<Vec<_>>(), more)
        };
        let text = |rooms: Vec<RoomInfo>| {
            rooms.iter().map(|room| format!("{}{}", room.name, room.sockets)).collect::<Vec<_>>().join(" ")
        };
        let nodes = || {
            vec![
                page(&[("a", 1), ("c", 2)], true),
                page(&[("b", 1), ("c", 1), ("d", 4)], false),
                page(&[], false),
            ]
        };
        // The first node may have a `d` as well.
        assert_eq!(text(merged(nodes(), 10)), "a1 b1 c3");
        assert_eq!(text(merged(nodes(), 2)), "a1 b1");
        assert_eq!(text(merged(vec![page(&[], false)], 2)), "");
    }
}
