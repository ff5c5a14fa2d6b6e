//! The channel of python-socketio: its write-only emitters are always heard; with the bridge this node also takes part
//! in a cluster of python-socketio nodes.
//!
//! Inbound, with or without the bridge: `emit`, `enter_room`, `leave_room`, `close_room` and `disconnect` of every
//! foreign host are applied to the local sockets. Operations name one `sid`, which here is the room of that name.
//! A message that carries the host id of a Sockeye node is a copy for Python nodes and is skipped: what it says came
//! in native form already.
//!
//! With the bridge also outbound: emits, room operations and disconnects are copied to the channel, and acks travel
//! both ways as `callback` messages. Emitters that publish in the native form are not copied: an emitter whose events
//! Python nodes shall hear uses `?dialect=python`.
//!
//! What a Python message cannot carry:
//! * Binary data in an ack, in either direction (python-socketio fails to encode it and never answers). Such an answer
//!   of a local socket is dropped and counted as `python_binary_ack`.
//! * Which socket answered: an ack that comes from a Python node names the room that was addressed.
//! * How many sockets were asked. An emit with ack to anything but a single socket therefore collects until its time
//!   is over, unless the broker counts its listeners and there is no Python node among them.
//! * A socket that went away: nothing is said about it.
//! * Rooms in `except`: only single sockets can be left out.
//! * Joins, leaves and disconnects of anything but a single socket.
//! * Closing the whole connection: a Python node only ends the namespace.
//! * Members, counts and server events: Python nodes do not answer requests and are never missing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use sockeye_bus::{Delivery, Outbound, Topic};
use sockeye_proto::bus::Target;
use sockeye_proto::bus::python::{self, Callback, Incoming, PythonError, PythonMessage};
use sockeye_proto::id::{NodeId, RequestId, SocketId};
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::Args;

use super::acks::{Collect, Foreign};
use super::core::Core;
use super::local::{AckSink, Local};
use super::metrics::{Kind, PYTHON_BINARY_ACK, Sender};

/// This node as python-socketio nodes see it.
pub(super) struct Bridge {
    host: String,
}

/// An event on its way to the channel.
pub(super) struct Emit<'a> {
    pub(super) namespace: &'a NamespacePath,
    pub(super) event: &'a str,
    pub(super) args: &'a Args,
    pub(super) target: &'a Target,
}

impl Bridge {
    pub(super) fn new(node: NodeId) -> Self {
        Self { host: python::host_id(node) }
    }

    pub(super) fn emit(&self, core: &Core, emit: &Emit<'_>) {
        self.publish(core, Kind::Emit, self.encode(emit, None));
    }

    /// Emits with a callback, for the entry `id`. If answers are waited for and the broker says that only native nodes
    /// listen to the channel, they are waited for no longer.
    pub(super) fn ask(&self, core: &Arc<Core>, emit: &Emit<'_>, id: RequestId, foreign: Foreign) {
        let room = emit.target.rooms.first().map_or("", RoomName::as_str);
        let payload = self.encode(emit, Some((room, id.0)));
        if foreign == Foreign::No || !core.bus.caps().counts_receivers {
            return self.publish(core, Kind::Emit, payload);
        }
        core.count_published(Kind::Emit);
        let receipt = core.bus.publish(Outbound::new(Topic::Channel, payload));
        let waiting = Arc::clone(core);
        core.runtime.spawn(async move {
            let Ok(Delivery { receivers: Some(receivers) }) = receipt.await else { return };
            // A native node that is not known yet is taken for a Python node: that only costs time.
            if receivers <= 1 + waiting.peers.len() as u64 {
                waiting.pending.feed_acks(id, Collect::only_native);
            }
        });
    }

    fn encode(&self, emit: &Emit<'_>, callback: Option<(&str, u64)>) -> Vec<u8> {
        python::encode_emit(&self.host, emit.namespace, emit.event, emit.args, emit.target, callback)
    }

    pub(super) fn enter_rooms(
        &self,
        core: &Core,
        namespace: &NamespacePath,
        target: &Target,
        rooms: &[RoomName],
    ) {
        let Some(sid) = single_socket(target) else { return };
        for room in rooms {
            self.publish(core, Kind::Rooms, python::encode_enter_room(&self.host, sid, room, namespace));
        }
    }

    pub(super) fn leave_rooms(
        &self,
        core: &Core,
        namespace: &NamespacePath,
        target: &Target,
        rooms: &[RoomName],
    ) {
        let Some(sid) = single_socket(target) else { return };
        for room in rooms {
            self.publish(core, Kind::Rooms, python::encode_leave_room(&self.host, sid, room, namespace));
        }
    }

    pub(super) fn disconnect(&self, core: &Core, namespace: &NamespacePath, target: &Target) {
        let Some(sid) = single_socket(target) else { return };
        self.publish(core, Kind::Disconnect, python::encode_disconnect(&self.host, sid, namespace));
    }

    pub(super) fn close_room(&self, core: &Core, namespace: &NamespacePath, room: &RoomName) {
        self.publish(core, Kind::Rooms, python::encode_close_room(&self.host, room, namespace));
    }

    fn publish(&self, core: &Core, kind: Kind, payload: Vec<u8>) {
        core.count_published(kind);
        core.bus.publish_detached(Outbound::new(Topic::Channel, payload));
    }
}

/// The socket that is the whole target, if it is one.
fn single_socket(target: &Target) -> Option<&str> {
    match target.rooms.as_slice() {
        [room] if target.except.is_empty() && SocketId::is_id(room) => Some(room),
        _ => None,
    }
}

impl Core {
    /// What acks of Python nodes an emit to this target has to wait for.
    pub(super) fn foreign_share(&self, namespace: &NamespacePath, target: &Target) -> Foreign {
        if single_socket(target).is_none() {
            return Foreign::Any;
        }
        let here = self.local().count(namespace, target);
        if here > 0 { Foreign::No } else { Foreign::One }
    }
}

/// Reads the channel.
#[derive(Default)]
pub(super) struct PythonReader {
    /// Whether the operator was told about pickle.
    named_pickle: AtomicBool,
}

impl PythonReader {
    pub(super) fn receive(&self, core: &Arc<Core>, payload: &Bytes) {
        let incoming = match python::decode(payload, &core.settings.python_limits) {
            Ok(incoming) => incoming,
            Err(error) => return self.undecodable(core, error),
        };
        let Incoming { host, message } = incoming;
        if let PythonMessage::Callback { host, sid, namespace: _, id, args } = message {
            return callback(core, &host, sid, id, args);
        }
        if host.as_deref().is_some_and(|host| python::sockeye_node(host).is_some()) {
            return;
        }
        core.metrics.received(kind(&message), Sender::Foreign);
        apply(core, &*core.local(), host, message);
    }

    fn undecodable(&self, core: &Core, error: PythonError) {
        core.metrics.undecodable(error.kind());
        if error == PythonError::Pickle && !self.named_pickle.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a program publishes pickled messages on this channel: python-socketio before 5.14. They are skipped \
                 (opening them would run whatever they contain); upgrade that program to python-socketio 5.14 or newer"
            );
        } else {
            tracing::debug!(%error, "skipped a message on the channel");
        }
    }
}

fn kind(message: &PythonMessage) -> Kind {
    match message {
        PythonMessage::Emit { .. } => Kind::Emit,
        PythonMessage::Disconnect { .. } => Kind::Disconnect,
        PythonMessage::EnterRoom { .. }
        | PythonMessage::LeaveRoom { .. }
        | PythonMessage::CloseRoom { .. } => Kind::Rooms,
        PythonMessage::Callback { .. } => Kind::Ack,
        PythonMessage::Unknown => Kind::Unknown,
    }
}

fn apply(core: &Arc<Core>, local: &dyn Local, host: Option<String>, message: PythonMessage) {
    match message {
        PythonMessage::Emit { namespace, event, args, target, callback } => match (callback, host) {
            // Without the bridge, and for who cannot hear an answer, the event alone.
            (Some(callback), Some(host)) if core.bridge.is_some() => {
                let sink = Arc::new(PythonAcks { core: Arc::clone(core), host, callback });
                local.emit_with_ack(
                    &namespace,
                    &event,
                    &args,
                    &target,
                    core.settings.python_ack_timeout,
                    sink,
                );
            }
            _ => {
                local.emit(&namespace, &event, &args, &target, false);
            }
        },
        PythonMessage::Disconnect { sid, namespace } => {
            local.disconnect(&namespace, &Target::room(sid), false);
        }
        PythonMessage::EnterRoom { sid, room, namespace } => {
            local.join(&namespace, &Target::room(sid), &[room]);
        }
        PythonMessage::LeaveRoom { sid, room, namespace } => {
            local.leave(&namespace, &Target::room(sid), &[room]);
        }
        PythonMessage::CloseRoom { room, namespace } => {
            local.close_room(&namespace, &room);
        }
        PythonMessage::Callback { .. } | PythonMessage::Unknown => {}
    }
}

/// A Python node answers an emit of this node, if it is addressed to it.
fn callback(core: &Core, host: &str, sid: String, id: u64, args: Args) {
    if core.bridge.as_ref().is_none_or(|bridge| bridge.host != host) {
        return;
    }
    core.metrics.received(Kind::Ack, Sender::Foreign);
    core.pending.feed_acks(RequestId(id), |collect| collect.foreign_ack(sid, args));
}

/// The answers of local sockets to an emit of a Python node: one `callback` message each. The node takes the first.
struct PythonAcks {
    core: Arc<Core>,
    host: String,
    callback: Callback,
}

impl AckSink for PythonAcks {
    fn ack(&self, _from: SocketId, answer: Option<Args>) {
        let (Some(bridge), Some(args)) = (&self.core.bridge, answer) else { return };
        let Callback { room, namespace, id } = &self.callback;
        match python::encode_callback(&self.host, room, namespace, *id, &args) {
            Some(payload) => bridge.publish(&self.core, Kind::Ack, payload),
            None => self.core.metrics.lost(PYTHON_BINARY_ACK),
        }
    }
}
