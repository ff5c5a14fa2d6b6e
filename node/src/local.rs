//! What the other nodes ask of this node's sockets.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sockeye_proto::{
    bus::{SocketFields, SocketInfo, Target},
    id::{NodeId, SocketId},
    name::{NamespacePath, RoomName},
    prepared::Packet,
    sio::Args,
};

use crate::{
    cluster::{AckSink, Local, RoomsPage, SocketsPage},
    engine::Engine,
    ns::{Namespace, event_packet},
};

impl Local for Engine {
    fn emit(&self, namespace: &str, event: &str, args: &Args, target: &Target, volatile: bool) -> usize {
        let Some(ns) = self.namespaces.get(namespace) else { return 0 };
        if ns.rooms.is_empty() {
            return 0;
        }
        match event_packet(&ns.path, event, args, None) {
            Ok(packet) => {
                ns.show_broadcast(self, &packet, target);
                ns.broadcast(self, packet, target, volatile)
            }
            Err(error) => {
                tracing::warn!(%error, "an event from the bus was not sent");
                0
            }
        }
    }

    fn emit_with_ack(
        &self,
        namespace: &str,
        event: &str,
        args: &Args,
        target: &Target,
        ttl: Duration,
        sink: Arc<dyn AckSink>,
    ) -> usize {
        let Some(ns) = self.namespaces.get(namespace) else { return 0 };
        if ns.is_watched() {
            ns.show_broadcast(self, &Packet::event(ns.path.clone(), event, args.clone(), None), target);
        }
        let packet = Packet::event(ns.path.clone(), event, args.clone(), None);
        self.ask_local(&ns, packet, target, ttl, sink).recipients
    }

    fn join(&self, namespace: &str, target: &Target, rooms: &[RoomName]) -> usize {
        self.namespaces.get(namespace).map_or(0, |ns| ns.rooms.join_all(target, rooms, &self.guard))
    }

    fn leave(&self, namespace: &str, target: &Target, rooms: &[RoomName]) -> usize {
        self.namespaces.get(namespace).map_or(0, |ns| ns.rooms.leave_all(target, rooms))
    }

    fn disconnect(&self, namespace: &str, target: &Target, close: bool) -> usize {
        self.namespaces.get(namespace).map_or(0, |ns| ns.disconnect(target, close))
    }

    fn close_room(&self, namespace: &str, room: &RoomName) -> usize {
        self.namespaces.get(namespace).map_or(0, |ns| ns.rooms.close(room))
    }

    fn members(&self, namespace: &str, target: &Target) -> Vec<SocketId> {
        self.namespaces.get(namespace).map(|ns| ns.members(target)).unwrap_or_default()
    }

    fn count(&self, namespace: &str, target: &Target) -> usize {
        self.namespaces.get(namespace).map_or(0, |ns| ns.rooms.count(target))
    }

    fn sockets(
        &self,
        namespace: &str,
        target: &Target,
        from: u64,
        limit: usize,
        fields: &SocketFields,
    ) -> SocketsPage {
        self.namespaces.get(namespace).map(|ns| ns.page(target, from, limit, fields)).unwrap_or_default()
    }

    fn socket(&self, namespace: &str, id: &str, fields: &SocketFields) -> Option<SocketInfo> {
        self.namespaces.get(namespace)?.connected(id)?.describe(fields)
    }

    fn namespaces(&self) -> Vec<(NamespacePath, u64)> {
        let count = |ns: &Arc<Namespace>| (ns.path.clone(), ns.rooms.count(&Target::everyone()) as u64);
        self.namespaces.all().iter().map(count).filter(|(_, sockets)| *sockets > 0).collect()
    }

    fn rooms(&self, namespace: &str, after: Option<&RoomName>, limit: usize) -> RoomsPage {
        self.namespaces.get(namespace).map(|ns| ns.rooms.names(after, limit)).unwrap_or_default()
    }

    fn server_event(
        &self,
        namespace: &str,
        event: &str,
        args: Args,
        from: NodeId,
    ) -> BoxFuture<'static, Option<Args>> {
        let handler =
            self.namespaces.of(namespace).and_then(|ns| ns.handlers.server_events.get(event).cloned());
        match handler {
            Some(handler) => handler(from, args),
            None => Box::pin(std::future::ready(None)),
        }
    }
}
