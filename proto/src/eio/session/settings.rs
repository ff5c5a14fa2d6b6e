//! What all sessions have in common, and how a client is told.

use std::fmt::Write as _;
use std::time::Duration;

use crate::time::millis;

/// What all sessions of a server have in common. The defaults are JavaScript's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// From one pong to the next ping.
    pub ping_interval: Duration,
    /// From a ping to the pong that it needs.
    pub ping_timeout: Duration,
    /// From the beginning of a probe to the upgrade.
    pub upgrade_timeout: Duration,
    /// Bytes of one message; told to the client, enforced by the decoders.
    pub max_payload: usize,
    /// Whether a session may move from polling to WebSocket.
    pub allow_upgrades: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_secs(20),
            upgrade_timeout: Duration::from_secs(10),
            max_payload: 1_000_000,
            allow_upgrades: true,
        }
    }
}

/// The JSON of the open packet. `sid` must need no escaping in JSON; `upgrades` says whether this session can be
/// upgraded, which takes polling and a server that allows it.
#[must_use]
pub fn open_json(sid: &str, upgrades: bool, s: &Settings) -> String {
    let mut json = String::with_capacity(160);
    let upgrades = if upgrades { "[\"websocket\"]" } else { "[]" };
    // Writing to a String cannot fail.
    let _ = write!(
        json,
        "{{\"sid\":\"{sid}\",\"upgrades\":{upgrades},\"pingInterval\":{},\"pingTimeout\":{},\"maxPayload\":{}}}",
        millis(s.ping_interval),
        millis(s.ping_timeout),
        s.max_payload
    );
    json
}
