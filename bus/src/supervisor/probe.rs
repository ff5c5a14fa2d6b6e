//! The link's own probe: a message to ourselves that must come back.
//!
//! A connection can be alive and its subscription dead, or half open, with no error for many minutes. The probe goes
//! the whole way round; a link that does not hear it in time is renewed. Where nothing is subscribed (or the broker
//! does not echo) the broker's answer to the probe counts instead.

use crate::{
    config::BusConfig,
    message::{Inbound, Outbound, Topic},
};
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::{sync::Notify, time::Instant};

/// Begins every probe. No envelope of ours begins with a zero byte, no JSON dialect does either.
const MARKER: &[u8] = b"\0sockeye-probe\0";

/// How many more times a link may keep its own probe waiting while others' messages come in.
const PATIENCE: u32 = 4;

/// Which bus the probes are of, and where they go.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    nonce: u64,
    topic: Topic,
}

impl Probe {
    /// A link that listens hears one more topic, which nobody else knows: no probe ever reaches anybody who would not
    /// understand it, and no change of topics can take it away.
    pub(super) fn new(nonce: u64, subscribe: &mut Vec<Topic>) -> Self {
        let topic = Topic::node(format!("probe-{nonce:016x}"));
        if !subscribe.is_empty() {
            subscribe.push(topic.clone());
        }
        Self { nonce, topic }
    }

    fn message(&self, number: u64) -> Outbound {
        let payload = [MARKER, &self.nonce.to_be_bytes(), &number.to_be_bytes()].concat();
        Outbound::new(self.topic.clone(), payload)
    }

    /// The number of our own probe, or nothing for somebody else's; `Err` for a message that is no probe.
    pub(super) fn recognise(&self, message: Inbound) -> Result<Option<u64>, Inbound> {
        if matches!(message.topic, Topic::Channel) || !message.payload.starts_with(MARKER) {
            return Err(message);
        }
        let rest: &Bytes = &message.payload.slice(MARKER.len()..);
        let nonce = rest.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
        let number = rest.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_be_bytes);
        Ok(number.filter(|_| nonce == Some(self.nonce)))
    }
}

/// What the halves of one link tell its watch.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Whether a probe can be heard at all.
    echo: bool,
    /// Number of the last probe sent and heard.
    sent: AtomicU64,
    heard: AtomicU64,
    /// Messages that came in.
    traffic: AtomicU64,
    /// The reader of the bus is slow, so that nothing can be heard through our own fault.
    blocked: AtomicBool,
    changed: Notify,
}

impl Pulse {
    pub(super) fn new(echo: bool) -> Self {
        Self { echo, ..Self::default() }
    }

    pub(super) fn traffic(&self, messages: u64) {
        self.traffic.fetch_add(messages, Ordering::Relaxed);
    }

    pub(super) fn blocked(&self, blocked: bool) {
        self.blocked.store(blocked, Ordering::Relaxed);
    }

    pub(super) fn heard(&self, number: u64) {
        self.heard.fetch_max(number, Ordering::Relaxed);
        self.changed.notify_one();
    }

    /// The broker has answered for every probe sent so far.
    pub(super) fn answered(&self) {
        if !self.echo {
            self.heard(self.sent.load(Ordering::Relaxed));
        }
    }

    /// Whether any probe came back: the link has proved itself.
    pub(super) fn proven(&self) -> bool {
        self.heard.load(Ordering::Relaxed) > 0
    }

    /// Sends probes for as long as they come back; returns when one does not.
    pub(super) async fn watch(&self, probe: &Probe, config: &BusConfig, send: impl Fn(Outbound)) {
        for number in 1.. {
            let sent = Instant::now();
            let mut traffic = self.traffic.load(Ordering::Relaxed);
            self.sent.store(number, Ordering::Relaxed);
            send(probe.message(number));
            let mut deadline = sent + config.probe_timeout;
            let mut patience = PATIENCE;
            while self.heard.load(Ordering::Relaxed) < number {
                tokio::select! {
                    () = self.changed.notified() => {}
                    () = tokio::time::sleep_until(deadline) => {
                        let busy = self.traffic.load(Ordering::Relaxed);
                        if self.blocked.load(Ordering::Relaxed) {
                            patience = PATIENCE;
                        } else if busy > traffic && patience > 0 {
                            patience -= 1;
                        } else {
                            return;
                        }
                        traffic = busy;
                        deadline += config.probe_timeout;
                    }
                }
            }
            tokio::time::sleep_until(sent + config.probe_interval).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_probes_are_taken_for_probes() {
        let ours = Probe::new(7, &mut Vec::new());
        let inbound = |payload: Vec<u8>| Inbound { topic: ours.topic.clone(), payload: payload.into() };
        let probe = ours.message(3);
        assert_eq!(ours.recognise(inbound(probe.payload.clone())), Ok(Some(3)));
        let theirs = Probe::new(8, &mut Vec::new());
        assert_eq!(theirs.recognise(inbound(probe.payload.clone())), Ok(None));
        assert_eq!(ours.recognise(inbound(probe.payload[..MARKER.len() + 3].to_vec())), Ok(None));
        for other in [b"\x01abc".to_vec(), Vec::new(), b"\0sockeye-prob".to_vec()] {
            assert_eq!(ours.recognise(inbound(other.clone())), Err(inbound(other)));
        }
        let foreign = Inbound { topic: Topic::Channel, payload: probe.payload.into() };
        assert!(ours.recognise(foreign).is_err());
    }

    #[test]
    fn what_listens_hears_a_private_topic_and_what_only_writes_hears_nothing() {
        let mut subscribe = vec![Topic::All, Topic::node("me")];
        let probe = Probe::new(1, &mut subscribe);
        assert_eq!(subscribe, [Topic::All, Topic::node("me"), probe.topic.clone()]);
        let mut nothing = Vec::new();
        Probe::new(1, &mut nothing);
        assert!(nothing.is_empty());
    }
}
