//! What a bus can be told.

use crate::message::Topic;
use std::{fmt, time::Duration};

/// What happens to messages while there is no link.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum OnOutage {
    /// They wait in the spool, within its bounds.
    #[default]
    Buffer,
    /// New ones are refused at once; what was accepted before is still sent afterwards.
    Fail,
    /// They are dropped and counted, also those that were accepted before: nothing old is ever sent.
    Drop,
}

/// How to open a [`Bus`](crate::Bus).
#[derive(Clone)]
pub struct BusConfig {
    /// The broker, e.g. `memory://name` or `redis://user:password@host:6379/0`; see [`driver`](crate::driver()).
    pub url: String,
    /// The name that everything of one cluster shares on this broker; `?channel=` in the URL wins. Default `socketio`.
    pub channel: String,
    /// What to hear. Empty: this bus only writes.
    pub subscribe: Vec<Topic>,
    /// Bound of the spool in bytes of memory: payloads and what it takes to keep them. Default 64 MiB.
    pub spool_bytes: usize,
    /// Messages that waited longer are dropped. Default 30 s.
    pub spool_age: Duration,
    /// What happens to messages while there is no link.
    pub on_outage: OnOutage,
    /// After an outage the spool is held until [`Bus::release`](crate::Bus::release), but at most this long.
    /// Default 5 s. A bus that only writes has nobody to release it: see `settle`.
    pub hold_after_outage: Duration,
    /// How long a bus that only writes holds its spool after an outage, so that subscribers who are still connecting
    /// again do not miss it. Default 2.5 s: `backoff_max` and a margin.
    pub settle: Duration,
    /// How often the link's own probe is sent. Default 5 s.
    pub probe_interval: Duration,
    /// How long the probe may take to be heard. Default 5 s.
    pub probe_timeout: Duration,
    /// Bound of the first wait before connecting again; it doubles with every failure, and each wait is a random part
    /// of its bound. Default 100 ms.
    pub backoff_min: Duration,
    /// Bound of the longest wait before connecting again. Default 2 s.
    pub backoff_max: Duration,
    /// How long one attempt to connect may take. Default 5 s.
    pub connect_timeout: Duration,
    /// How long the broker may take to answer for a batch before the link counts as broken. Default 10 s.
    pub send_timeout: Duration,
    /// How long `close` may flush. Default 5 s.
    pub close_timeout: Duration,
    /// Most messages in one batch. Default 512.
    pub batch_messages: usize,
    /// Most bytes in one batch; a message that is larger goes alone. Default 256 KiB.
    pub batch_bytes: usize,
    /// How many events may wait for the reader before the bus stops reading from the broker. Default 1024.
    pub event_queue: usize,
}

impl BusConfig {
    /// The defaults for one broker.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            channel: "socketio".to_owned(),
            subscribe: Vec::new(),
            spool_bytes: 64 << 20,
            spool_age: Duration::from_secs(30),
            on_outage: OnOutage::default(),
            hold_after_outage: Duration::from_secs(5),
            settle: Duration::from_millis(2500),
            probe_interval: Duration::from_secs(5),
            probe_timeout: Duration::from_secs(5),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(5),
            send_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            batch_messages: 512,
            batch_bytes: 256 << 10,
            event_queue: 1024,
        }
    }
}

impl Default for BusConfig {
    /// `memory://`: the process's own unnamed hub.
    fn default() -> Self {
        Self::new("memory://")
    }
}

/// Leaves out the URL, which may hold a password.
impl fmt::Debug for BusConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusConfig")
            .field("channel", &self.channel)
            .field("subscribe", &self.subscribe)
            .field("spool_bytes", &self.spool_bytes)
            .field("spool_age", &self.spool_age)
            .field("on_outage", &self.on_outage)
            .finish_non_exhaustive()
    }
}
