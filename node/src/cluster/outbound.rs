//! What this node sends: native messages to everyone or to one node, and their Python copies for the bridge.

use std::sync::Arc;
use std::time::Duration;

use sockeye_bus::{Outbound, Receipt, Topic};
use sockeye_proto::bus::{Message, ReplyTo, Target, native};
use sockeye_proto::id::RequestId;
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::Args;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::acks::{Collect, Foreign};
use super::bridge_python::Emit;
use super::core::Core;
use super::local::RemoteAck;
use super::metrics::{Kind, Published};
use super::pending::{Entry, Progress};

impl Core {
    /// Publishes a numbered message, unless there is certainly nobody to hear it.
    pub(super) fn publish(&self, topic: Topic, kind: Kind, message: &Message) {
        if !self.is_heard() {
            return;
        }
        self.count_published(kind);
        let payload = native::encode(&self.origin, message);
        self.bus.publish_detached(Outbound::stamped(topic, payload, native::SEQUENCE_AT));
    }

    /// Publishes an unnumbered message that is worth nothing later.
    pub(super) fn control(&self, topic: Topic, message: &Message) {
        if self.is_linked() {
            self.metrics.published(Kind::Control, Published::Ok);
            self.bus.publish_control(Outbound::new(topic, native::encode(&self.origin, message)));
        }
    }

    pub(super) fn count_published(&self, kind: Kind) {
        let result = if self.is_linked() { Published::Ok } else { self.settings.offline };
        self.metrics.published(kind, result);
    }

    /// Whether anybody else may hear what is published now. While the link is away nobody can tell.
    fn is_heard(&self) -> bool {
        !self.is_linked() || self.bus.has_listeners()
    }

    pub(super) fn emit(
        &self,
        namespace: &NamespacePath,
        event: &str,
        args: &Args,
        target: &Target,
        volatile: bool,
    ) -> Option<Receipt> {
        if (volatile && !self.is_linked()) || !self.is_heard() {
            return None;
        }
        if let Some(bridge) = &self.bridge {
            bridge.emit(self, &Emit { namespace, event, args, target });
        }
        self.count_published(Kind::Emit);
        let payload = native::encode_emit(&self.origin, namespace, event, args, target, volatile, None);
        Some(self.bus.publish(Outbound::stamped(Topic::All, payload, native::SEQUENCE_AT)))
    }

    pub(super) fn emit_with_ack(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        event: &str,
        args: &Args,
        target: &Target,
        ttl: Duration,
        sink: UnboundedSender<RemoteAck>,
    ) {
        let peers = self.peers.ids();
        let foreign = self.bridge.as_ref().map_or(Foreign::No, |_| self.foreign_share(namespace, target));
        let id = self.pending.id();
        let mut collect = Collect::new(sink, &peers, foreign);
        if collect.progress() == Progress::Done {
            // Nobody is known who could answer. A node that starts in this moment may still receive the event.
            collect.finish(&self.metrics);
        } else {
            self.pending.open(id, Instant::now() + ttl, Entry::Collect(collect));
        }
        if !self.is_heard() {
            return self.pending.feed_acks(id, Collect::only_native);
        }
        if let Some(bridge) = &self.bridge {
            bridge.ask(self, &Emit { namespace, event, args, target }, id, foreign);
        }
        self.count_published(Kind::Emit);
        let reply = Some(ReplyTo { request: id, ttl });
        let payload = native::encode_emit(&self.origin, namespace, event, args, target, false, reply);
        self.bus.publish_detached(Outbound::stamped(Topic::All, payload, native::SEQUENCE_AT));
        self.settle(id, &peers);
    }

    pub(super) fn join(&self, namespace: &NamespacePath, target: &Target, rooms: &[RoomName]) -> RequestId {
        if let Some(bridge) = &self.bridge {
            bridge.enter_rooms(self, namespace, target, rooms);
        }
        let change = self.pending.id();
        let (namespace, target) = (namespace.clone(), target.clone());
        let message = Message::Join { namespace, target, rooms: rooms.to_vec(), confirm: Some(change) };
        self.publish(Topic::All, Kind::Rooms, &message);
        change
    }

    pub(super) fn leave_rooms(
        &self,
        namespace: &NamespacePath,
        target: &Target,
        rooms: &[RoomName],
    ) -> RequestId {
        if let Some(bridge) = &self.bridge {
            bridge.leave_rooms(self, namespace, target, rooms);
        }
        let change = self.pending.id();
        let (namespace, target) = (namespace.clone(), target.clone());
        let message = Message::Leave { namespace, target, rooms: rooms.to_vec(), confirm: Some(change) };
        self.publish(Topic::All, Kind::Rooms, &message);
        change
    }

    pub(super) fn disconnect(&self, namespace: &NamespacePath, target: &Target, close: bool) -> RequestId {
        if let Some(bridge) = &self.bridge {
            bridge.disconnect(self, namespace, target);
        }
        let change = self.pending.id();
        let (namespace, target) = (namespace.clone(), target.clone());
        self.publish(
            Topic::All,
            Kind::Disconnect,
            &Message::Disconnect { namespace, target, close, confirm: Some(change) },
        );
        change
    }

    pub(super) fn close_room(&self, namespace: &NamespacePath, room: &RoomName) -> RequestId {
        if let Some(bridge) = &self.bridge {
            bridge.close_room(self, namespace, room);
        }
        let change = self.pending.id();
        let message =
            Message::CloseRoom { namespace: namespace.clone(), room: room.clone(), confirm: Some(change) };
        self.publish(Topic::All, Kind::Rooms, &message);
        change
    }

    pub(super) fn server_emit(&self, namespace: &NamespacePath, event: &str, args: Args) -> Receipt {
        let message = Message::ServerEvent { namespace: namespace.clone(), event: event.into(), args };
        self.count_published(Kind::ServerEvent);
        let payload = native::encode(&self.origin, &message);
        self.bus.publish(Outbound::stamped(Topic::All, payload, native::SEQUENCE_AT))
    }
}
