//! A socket of any node.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::de::DeserializeOwned;
use sockeye_proto::{
    bus::SocketInfo,
    id::NodeId,
    name::{NamespacePath, RoomName},
    sio::{Args, IntoArgs},
};

use super::{
    operator::{Broadcast, DEFAULT_ACK_TIMEOUT},
    socket::IntoRooms,
};
use crate::{
    changed::Changed,
    error::{CallError, DataError},
    io::Io,
    sent::Sent,
};

/// A socket of any node of the cluster: what was asked about it when it was [fetched](crate::Broadcast::fetch_sockets), and
/// what can be done with it. What is known of it does not change any more; what is done with it reaches it wherever it is,
/// and nothing happens when it is gone.
///
/// Everything goes to the room that is named after its id: a socket that left that room is not reached, and others that
/// joined it are.
#[derive(Clone)]
pub struct RemoteSocket {
    io: Io,
    node: NodeId,
    info: SocketInfo,
    timeout: Duration,
}

impl fmt::Debug for RemoteSocket {
    /// The URL, the headers and the data may carry secrets: they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteSocket")
            .field("id", &self.info.id)
            .field("namespace", self.namespace())
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl RemoteSocket {
    pub(crate) fn new(io: Io, node: NodeId, info: SocketInfo) -> Self {
        Self { io, node, info, timeout: DEFAULT_ACK_TIMEOUT }
    }

    pub(crate) fn into_rooms(self) -> Vec<RoomName> {
        self.info.rooms
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.info.id
    }

    /// The namespace that it is in.
    pub fn namespace(&self) -> &NamespacePath {
        self.io.namespace()
    }

    /// The node that its client is connected to.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// The rooms it was in, the one named after its id among them, in no order. Empty if they were not asked for.
    pub fn rooms(&self) -> &[RoomName] {
        &self.info.rooms
    }

    /// The client's address, as [`Handshake::client_addr`](crate::Handshake::client_addr). `None` if it was not asked for, or
    /// is not known.
    pub fn address(&self) -> Option<IpAddr> {
        self.info.connection.as_ref()?.address.parse().ok()
    }

    /// When the connection was opened, by its node's clock. `None` if it was not asked for.
    pub fn time(&self) -> Option<SystemTime> {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.info.connection.as_ref()?.time))
    }

    /// Whether the connection was encrypted. `None` if it was not asked for.
    pub fn is_secure(&self) -> Option<bool> {
        self.info.connection.as_ref().map(|of| of.secure)
    }

    /// `polling` or `websocket`, when it was asked. `None` if it was not.
    pub fn transport(&self) -> Option<&str> {
        self.info.connection.as_ref().map(|of| of.transport.as_str())
    }

    /// Path and query of the request that opened the connection. `None` if they were not asked for.
    pub fn url(&self) -> Option<&str> {
        self.info.url.as_deref()
    }

    /// A header of the request that opened the connection, `name` in any case. `None` if it was not asked for, or was not
    /// there.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.info.headers.iter().find(|(of, _)| of.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// What the application stored with [`Socket::set_data`](crate::Socket::set_data). Without any, and if it was not asked
    /// for, what `null` is read as.
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        Ok(serde_json::from_str(self.data_json().unwrap_or("null"))?)
    }

    /// The same as JSON text. `None` if nothing was stored, or it was not asked for.
    pub fn data_json(&self) -> Option<&str> {
        self.info.data.as_deref()
    }

    /// How long [`call`](Self::call) waits; 10 s if not said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn target(&self) -> Broadcast {
        let target = self.io.to(self.id()).timeout(self.timeout);
        if self.node == self.io.node_id() { target.local() } else { target }
    }

    /// Sends it an event.
    pub fn emit(&self, event: &str, args: impl IntoArgs) -> Sent {
        self.target().emit(event, args)
    }

    /// Sends it the event `message`.
    pub fn send(&self, args: impl IntoArgs) -> Sent {
        self.emit("message", args)
    }

    /// Sends it an event and waits for its ack.
    ///
    /// # Errors
    /// [`CallError::Timeout`] after [`timeout`](Self::timeout), [`CallError::Disconnected`] as soon as it is known to be
    /// gone.
    pub async fn call(&self, event: &str, args: impl IntoArgs) -> Result<Args, CallError> {
        let args = args.into_args().map_err(crate::EmitError::from)?;
        self.target().call(event, args).await
    }

    /// It enters these rooms.
    pub fn join(&self, rooms: impl IntoRooms) -> Changed {
        self.target().join(rooms)
    }

    /// It leaves these rooms.
    pub fn leave(&self, rooms: impl IntoRooms) -> Changed {
        self.target().leave(rooms)
    }

    /// It is disconnected from the namespace; with `close` its whole connection ends.
    pub fn disconnect(&self, close: bool) -> Changed {
        self.target().disconnect(close)
    }
}
