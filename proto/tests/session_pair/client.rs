//! The client's half of a [`Pair`], which does as engine.io-client does.

use sockeye_proto::eio::Packet;

use crate::pair::{Pair, Wire};

/// How a client deviates from a good one.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Manners {
    /// Never answers a ping.
    pub(crate) deaf: bool,
    /// Never sends `5`.
    pub(crate) never_upgrades: bool,
}

/// The client's state.
#[derive(Default)]
pub(crate) struct Client {
    pub(crate) manners: Manners,
    pub(crate) websocket: bool,
    pub(crate) gone: bool,
    pub(crate) get_waits: bool,
    pub(crate) post_waits: bool,
    /// `3probe` came: no further GET, and `5` once nothing waits.
    pub(crate) pausing: bool,
    pub(crate) probing: bool,
    pub(crate) outbox: Vec<String>,
    pub(crate) last_ping: u64,
    pub(crate) received: Vec<String>,
}

impl Pair {
    pub(crate) fn client_take(&mut self, wire: Wire) {
        match wire {
            Wire::GetAnswer(Ok(packets)) => {
                self.client.get_waits = false;
                for packet in packets {
                    self.client_packet(&packet);
                }
            }
            Wire::GetAnswer(Err(status)) => self.refused.push(status),
            Wire::PostAnswer => self.client.post_waits = false,
            Wire::WsDown(text) if text == "3probe" => {
                self.client.pausing = self.client.probing && !self.client.manners.never_upgrades;
            }
            Wire::WsDown(text) => self.client_packet(&text),
            Wire::WsGone if self.client.websocket => self.client.gone = true,
            Wire::WsGone => {
                self.client.probing = false;
                self.client.pausing = false;
            }
            _ => unreachable!("not for the client"),
        }
        self.client_flush();
    }

    pub(crate) fn client_packet(&mut self, text: &str) {
        match Packet::decode_text(text).expect("servers send packets") {
            Packet::Message(text) => self.client.received.push(text.into_owned()),
            Packet::Ping(_) => {
                self.client.last_ping = self.now;
                if !self.client.manners.deaf {
                    self.client.outbox.push("3".into());
                }
            }
            Packet::Close => self.client.gone = true,
            _ => {}
        }
    }

    pub(crate) fn client_flush(&mut self) {
        if self.client.gone {
            return;
        }
        let client = &mut self.client;
        if client.pausing && !client.get_waits && !client.post_waits {
            client.pausing = false;
            client.probing = false;
            client.websocket = true;
            self.send(Wire::WsUp("5".into()));
        }
        let client = &mut self.client;
        if client.websocket {
            for text in std::mem::take(&mut client.outbox) {
                self.send(Wire::WsUp(text));
            }
            return;
        }
        if !client.post_waits && !client.pausing && !client.outbox.is_empty() {
            client.post_waits = true;
            let packets = std::mem::take(&mut client.outbox);
            self.send(Wire::Post(packets));
        }
        let client = &mut self.client;
        if !client.get_waits && !client.pausing {
            client.get_waits = true;
            self.send(Wire::Get);
        }
    }
}
