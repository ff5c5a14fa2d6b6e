//! What a client sent: from one Engine.IO packet to whoever it is for.

use std::{sync::Arc, task::Waker};

use bytes::Bytes;
use sockeye_proto::{
    eio::{
        Protocol,
        packet::Packet as EioPacket,
        session::{Lane, Step},
    },
    error::{DecodeError, Layer},
    sio::Inbound,
};

use super::Conn;
use crate::{engineio, log, reason::DisconnectReason};

impl Conn {
    /// Handles one Engine.IO packet that came as text.
    pub(crate) fn receive_text(self: &Arc<Self>, lane: Lane, text: &str) -> Received {
        let packet = match self.protocol {
            Protocol::V4 => EioPacket::decode_text(text),
            Protocol::V3 => EioPacket::decode_text_v3(text),
        };
        packet.map_or_else(|error| self.fail(error), |packet| self.receive(lane, packet))
    }

    /// Handles one Engine.IO packet that came as a binary frame.
    pub(crate) fn receive_binary(self: &Arc<Self>, lane: Lane, data: &[u8]) -> Received {
        let packet = match self.protocol {
            Protocol::V4 => Ok(EioPacket::Binary(data.into())),
            Protocol::V3 => EioPacket::decode_binary_v3(data),
        };
        packet.map_or_else(|error| self.fail(error), |packet| self.receive(lane, packet))
    }

    /// Handles one Engine.IO packet that came on the given lane.
    pub(crate) fn receive(self: &Arc<Self>, lane: Lane, packet: EioPacket<'_>) -> Received {
        let engine = &self.engine;
        let pong = matches!(packet, EioPacket::Pong(_));
        tracing::trace!(
            target: log::ENGINE_IO,
            connection = %log::Name(self),
            kind = packet.kind(),
            bytes = packet.content_len(),
            "received a packet"
        );
        let mut core = self.core.lock();
        if core.closed.is_some() {
            return Received::Closed;
        }
        let step = core.session.receive(engine.clock.now(), lane, packet, &engine.config.session);
        let inbound = match &step {
            Step::Ignore => {
                drop(core);
                // The deadline of the pong gives way to that of the next ping, which may be closer.
                if pong && engine.config.session.ping_interval < engine.config.session.ping_timeout {
                    self.deadline_moved_closer();
                }
                return Received::Handled;
            }
            Step::Text(text) if self.raw.is_some() => {
                let message = engineio::Message::Text(text.to_string());
                drop(core);
                return self.receive_raw(message);
            }
            Step::Binary(data) if self.raw.is_some() => {
                let message = engineio::Message::Binary(Bytes::copy_from_slice(data));
                drop(core);
                return self.receive_raw(message);
            }
            Step::Text(text) => core.text(text, &engine.guard),
            Step::Binary(data) => core.binary(data, &engine.guard),
            Step::Pong(data) => {
                drop(core);
                self.settle(self.outbox.push_answer(data, engine.clock.now()));
                return Received::Handled;
            }
            Step::ReplyProbe => return Received::Probe,
            Step::Upgraded => return Received::Upgraded,
            Step::DropProbe => return Received::DropProbe,
            Step::ClosedByPeer => {
                drop(core);
                self.close(DisconnectReason::TransportClose);
                return Received::Closed;
            }
            Step::Fail(reason) => {
                let reason = *reason;
                drop(core);
                self.close(reason.into());
                return Received::Closed;
            }
        };
        let inbound = match inbound {
            Ok(Some(inbound)) => inbound,
            Ok(None) => return Received::Handled,
            Err(error) => {
                drop(core);
                return self.fail(error);
            }
        };
        match inbound {
            Inbound::Event { namespace, id, name, args } => {
                engine.metrics.packet_received(args.has_binary(), false);
                let (socket, stranger) = core.member(&namespace);
                drop(core);
                match socket {
                    Some(socket) if socket.on_event(&name, args, id) => Received::Full(socket),
                    Some(_) => Received::Handled,
                    None => self.outside_namespace(stranger),
                }
            }
            Inbound::Ack { namespace, id, args } => {
                engine.metrics.packet_received(args.has_binary(), true);
                let (socket, stranger) = core.member(&namespace);
                drop(core);
                match socket {
                    Some(socket) => {
                        socket.on_ack(id, args);
                        Received::Handled
                    }
                    None => self.outside_namespace(stranger),
                }
            }
            Inbound::Connect { namespace, auth } => {
                engine.metrics.packets_received.connect.inc();
                self.join(core, &namespace, auth)
            }
            // Only servers send it.
            Inbound::ConnectError { .. } => {
                drop(core);
                self.fail(DecodeError::BadPacketType)
            }
            Inbound::Disconnect { namespace } => {
                engine.metrics.packets_received.disconnect.inc();
                let socket = core.mux.leave(&namespace);
                drop(core);
                if let Some(socket) = socket {
                    socket.closed(DisconnectReason::ClientNamespaceDisconnect);
                }
                Received::Handled
            }
        }
    }

    fn receive_raw(self: &Arc<Self>, message: engineio::Message) -> Received {
        self.engine.metrics.message_received(matches!(message, engineio::Message::Binary(_)));
        if engineio::submit(self, engineio::Job::Message(message)) {
            return Received::Full(self.clone());
        }
        Received::Handled
    }

    /// Closes the connection because of what the client sent, as the JavaScript server does.
    pub(crate) fn fail(self: &Arc<Self>, error: DecodeError) -> Received {
        self.engine.metrics.decode_error(error);
        tracing::debug!(
            target: log::ENGINE_IO,
            connection = %log::Name(self),
            %error,
            "the client sent what cannot be understood"
        );
        self.close(if error.layer() == Layer::SocketIo {
            DisconnectReason::ForcedClose
        } else {
            DisconnectReason::ParseError
        });
        Received::Closed
    }

    /// A packet for a namespace that this client is not in. After a disconnect by the server such packets are still
    /// under way and harmless; from a client that never joined anything they are an error.
    fn outside_namespace(self: &Arc<Self>, stranger: bool) -> Received {
        self.engine.metrics.outside_namespace.inc();
        if stranger {
            self.close(DisconnectReason::ForcedClose);
            return Received::Closed;
        }
        Received::Handled
    }
}

/// Handlers that a reader may have to wait for.
pub(crate) trait Backlog: Send + Sync {
    /// Whether the reader may go on; if not, the waker is woken when it may.
    fn has_room(&self, waker: &Waker) -> bool;
}

/// What a received packet asks the reader to do.
pub(crate) enum Received {
    /// Go on.
    Handled,
    /// Go on once the handlers have caught up.
    Full(Arc<dyn Backlog>),
    /// Answer the probe on the lane that it came from.
    Probe,
    /// That lane is the connection's transport from now on.
    Upgraded,
    /// Close only that lane.
    DropProbe,
    /// The connection is over.
    Closed,
}
