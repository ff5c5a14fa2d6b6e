//! The server's half of a [`Pair`]: what a node does with its session's answers.

use sockeye_proto::Time;
use sockeye_proto::eio::{CloseReason, Due, Lane, Overlap, Packet, Step, TransportKind};

use crate::pair::{Pair, Wire};

impl Pair {
    pub(crate) fn server_take(&mut self, wire: Wire) {
        match wire {
            Wire::Get => match self.session.poll_started() {
                Ok(()) => {
                    self.get_pending = true;
                    self.server_flush();
                }
                Err(overlap) => {
                    self.send(Wire::GetAnswer(Err(400)));
                    if overlap == Overlap::Busy {
                        self.close(CloseReason::TransportError);
                    }
                }
            },
            Wire::Post(packets) => {
                if self.session.post_started().is_ok() {
                    for packet in &packets {
                        self.server_packet(Lane::Main, packet);
                    }
                    self.session.post_ended();
                }
                self.send(Wire::PostAnswer);
            }
            Wire::WsOpen => {
                if self.session.begin_probe(Time(self.now), &self.settings).is_ok() {
                    self.lane = Some(Lane::Probe);
                } else {
                    self.send(Wire::WsGone);
                }
            }
            Wire::WsLost => {
                if self.lane == Some(Lane::Probe) {
                    self.session.probe_lost();
                    self.lane = None;
                }
            }
            Wire::WsUp(text) if self.paused => self.unread.push_back(text),
            Wire::WsUp(text) => self.server_read_ws(&text),
            _ => unreachable!("not for the server"),
        }
    }

    pub(crate) fn server_read_ws(&mut self, text: &str) {
        if let Some(lane) = self.lane {
            self.server_packet(lane, text);
        }
    }

    pub(crate) fn server_packet(&mut self, lane: Lane, text: &str) {
        let Ok(packet) = Packet::decode_text(text) else { return self.close(CloseReason::ParseError) };
        match self.session.receive(Time(self.now), lane, packet, &self.settings) {
            // The pair speaks version 4, in which the server asks.
            Step::Ignore | Step::Binary(_) | Step::Pong(_) => {}
            Step::Text(text) => self.at_server.push(text.into_owned()),
            Step::ReplyProbe => {
                self.send(Wire::WsDown("3probe".into()));
                self.server_flush();
            }
            Step::Upgraded => {
                self.lane = Some(Lane::Main);
                self.end_get(vec!["6".into()]);
                self.server_flush();
            }
            Step::ClosedByPeer => {
                self.end_get(vec!["6".into()]);
                self.close(CloseReason::TransportClose);
            }
            Step::Fail(reason) => self.close(reason),
            Step::DropProbe => self.drop_probe(),
        }
    }

    pub(crate) fn timers(&mut self) {
        loop {
            match self.session.handle_timeout(Time(self.now), &self.settings) {
                Due::Nothing => return,
                Due::SendPing => {
                    self.pings += 1;
                    self.server_send("2".into());
                }
                Due::DropProbe => self.drop_probe(),
                Due::Fail(reason) => self.close(reason),
            }
        }
    }

    pub(crate) fn server_send(&mut self, packet: String) {
        self.outbox.push_back(packet);
        self.server_flush();
    }

    pub(crate) fn server_flush(&mut self) {
        if self.session.is_closed() {
            return;
        }
        if self.session.transport() == TransportKind::WebSocket {
            for packet in std::mem::take(&mut self.outbox) {
                self.send(Wire::WsDown(packet));
            }
        } else if self.get_pending {
            if !self.outbox.is_empty() {
                let packets = self.outbox.drain(..).collect();
                self.end_get(packets);
            } else if self.session.polls_get_noop() {
                self.end_get(vec!["6".into()]);
            }
        }
    }

    pub(crate) fn end_get(&mut self, packets: Vec<String>) {
        if std::mem::take(&mut self.get_pending) {
            self.session.poll_ended();
            self.send(Wire::GetAnswer(Ok(packets)));
        }
    }

    pub(crate) fn drop_probe(&mut self) {
        self.probes_dropped.push(self.now);
        self.lane = None;
        self.send(Wire::WsGone);
    }

    pub(crate) fn close(&mut self, reason: CloseReason) {
        if self.session.close(reason) {
            assert!(self.closed.is_none(), "closed twice");
            self.closed = Some((self.now, reason));
            self.end_get(vec!["1".into()]);
            if self.lane.take().is_some() {
                self.send(Wire::WsGone);
            }
        }
    }
}
