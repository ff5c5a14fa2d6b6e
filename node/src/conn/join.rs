//! How a connection asks for namespaces.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::MutexGuard;
use sockeye_proto::{
    eio::Protocol, id::SocketId, name::NamespacePath, prepared::Packet, query, sio::mux::MuxError,
};

use super::{Conn, Core, Received};
use crate::{
    limits::Limit,
    ns::{connect, namespaces::Found},
    reason::DisconnectReason,
};

impl Conn {
    /// The client is to be let into a namespace, if its handlers agree.
    pub(super) fn join(
        self: &Arc<Self>,
        mut core: MutexGuard<'_, Core>,
        namespace: &str,
        auth: Option<Bytes>,
    ) -> Received {
        let engine = &self.engine;
        if core.closed.is_some() {
            return Received::Closed;
        }
        let found = engine.namespaces.find(namespace);
        let path = match &found {
            Found::Namespace(ns) => ns.path.clone(),
            Found::Ask(_) => NamespacePath::from(namespace),
            Found::Nothing => {
                drop(core);
                self.no_such_namespace(NamespacePath::from(namespace));
                return Received::Handled;
            }
        };
        let guard = &engine.guard;
        let begun = match core.mux.begin(path.clone(), guard.limits().max_namespaces) {
            Err(MuxError::TooMany) if guard.passes(Limit::Namespaces) => {
                core.mux.begin(path.clone(), guard.ceilings().max_namespaces)
            }
            begun => begun,
        };
        let ticket = match begun {
            Ok(ticket) => ticket,
            // The server itself lets these clients into it; some ask all the same.
            Err(MuxError::Already) if self.protocol == Protocol::V3 && path.is_root() => {
                return Received::Handled;
            }
            Err(MuxError::Already) => {
                drop(core);
                self.close(DisconnectReason::ForcedClose);
                return Received::Closed;
            }
            Err(MuxError::TooMany) => {
                drop(core);
                guard.met(Limit::Namespaces, 1, 1);
                self.send(&Packet::connect_error(
                    path,
                    Bytes::from_static(br#"{"message":"Too many namespaces on one connection"}"#),
                ));
                return Received::Handled;
            }
        };
        drop(core);
        let auth = auth.or_else(|| self.auth_of_handshake());
        match found {
            Found::Namespace(ns) => connect::begin(self, &ns, auth, ticket),
            Found::Ask(candidates) => connect::ask(self, path, candidates, auth, ticket),
            Found::Nothing => {}
        }
        Received::Handled
    }

    /// Clients of Engine.IO 3 say with the query of their first request what others bring to each namespace.
    fn auth_of_handshake(&self) -> Option<Bytes> {
        match self.protocol {
            Protocol::V4 => None,
            Protocol::V3 => query::to_json(self.handshake.query_string(), &query::ENGINE_IO).map(Bytes::from),
        }
    }

    /// The id of this client in a namespace.
    pub(crate) fn new_socket_id(&self, namespace: &NamespacePath) -> SocketId {
        match self.protocol {
            Protocol::V4 => self.engine.new_socket_id(),
            Protocol::V3 => SocketId::legacy(namespace, &self.sid),
        }
    }
}
