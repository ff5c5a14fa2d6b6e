//! How many connections one address has, and how fast it opens new ones.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use parking_lot::Mutex;
use sockeye_proto::Time;

use super::error_text;
use crate::{engine::Engine, limits::Limit};

const SHARDS: usize = 16;
/// Addresses that one shard remembers at the most. Beyond that new ones are let in without being counted: who has that many addresses
/// is not stopped by counting them.
const MOST: usize = 16 * 1024;
/// When a client of an address with too many connections may try again.
const CROWDED: Duration = Duration::from_secs(10);
/// How often a full shard looks for addresses to forget, in microseconds.
const SWEEP_INTERVAL: u64 = 1_000_000;

/// What one client address may take, IPv4 by the address, IPv6 by the /64 network that it is in.
///
/// Off until it is known what a client's address is: [`trusted_proxies`](crate::ServerBuilder::trusted_proxies) names the proxies, or says that
/// there are none. (Without that, all clients behind a proxy would be one.) Then the defaults apply. They leave room for a company or a mobile
/// network behind one address; lower them where clients come from homes.
///
/// A client beyond them is refused with 429 and `Retry-After`, counted in `sockeye_limit_rejections_total` as `handshake_rate` or
/// `connections_per_address`. Clients whose address is unknown are not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimits {
    /// Connections opened per second in the long run; default 100, 0 is no limit.
    pub handshakes_per_second: u32,
    /// Connections that may be opened at once before that counts; default 1,000.
    pub handshake_burst: u32,
    /// Connections at the same time; default 10,000, 0 is no limit.
    pub connections: u32,
}

impl Default for AddressLimits {
    fn default() -> Self {
        Self { handshakes_per_second: 100, handshake_burst: 1_000, connections: 10_000 }
    }
}

/// What is limited together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    V6(u64),
}

impl From<IpAddr> for Key {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    connections: u32,
    /// When the handshakes so far would all have been due at the rate that is allowed, in microseconds.
    due: u64,
}

#[derive(Debug, Default)]
struct Shard {
    entries: HashMap<Key, Entry, RandomState>,
    /// How many entries there may be before those that say nothing are looked for.
    sweep_at: usize,
    /// When that was done last, in microseconds.
    swept: u64,
}

/// What a new connection found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entered {
    /// It comes too early, by so much.
    pub(crate) early: Option<Duration>,
    /// There are too many of its address.
    pub(crate) crowded: bool,
}

/// All addresses that have connections, or had some a moment ago. The locks are leaves.
#[derive(Debug)]
pub(crate) struct Addresses {
    limits: AddressLimits,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

impl Addresses {
    pub(crate) fn new(limits: AddressLimits) -> Self {
        Self { limits, hasher: RandomState::new(), shards: Default::default() }
    }

    fn shard(&self, key: Key) -> &Mutex<Shard> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    /// Counts a connection, whatever comes of it: the caller makes it [`leave`](Self::leave).
    pub(crate) fn enter(&self, address: IpAddr, now: Time) -> Entered {
        let key = Key::from(address);
        let now = now.0 * 1_000;
        let mut shard = self.shard(key).lock();
        if !shard.entries.contains_key(&key) {
            shard.sweep(now);
            if shard.entries.len() >= MOST {
                return Entered::default();
            }
        }
        let entry = shard.entries.entry(key).or_default();
        entry.connections += 1;
        let crowded = self.limits.connections > 0 && entry.connections > self.limits.connections;
        Entered { early: self.early(entry, now), crowded }
    }

    fn early(&self, entry: &mut Entry, now: u64) -> Option<Duration> {
        let rate = u64::from(self.limits.handshakes_per_second);
        if rate == 0 {
            return None;
        }
        let cost = 1_000_000 / rate;
        let burst = cost * u64::from(self.limits.handshake_burst.max(1));
        let due = entry.due.max(now) + cost;
        match (due - now).checked_sub(burst).filter(|early| *early > 0) {
            // It does not count: whoever comes back at the time that it was told gets in.
            Some(early) => Some(Duration::from_micros(early)),
            None => {
                entry.due = due;
                None
            }
        }
    }

    pub(crate) fn leave(&self, address: IpAddr) {
        let key = Key::from(address);
        if let Some(entry) = self.shard(key).lock().entries.get_mut(&key) {
            entry.connections = entry.connections.saturating_sub(1);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().entries.len()).sum()
    }
}

impl Shard {
    /// Forgets addresses that have no connections and might open as many as any other. Each new address pays for two looks.
    fn sweep(&mut self, now: u64) {
        let full = self.entries.len() >= MOST;
        if self.entries.len() < self.sweep_at.max(64) || (full && now < self.swept + SWEEP_INTERVAL) {
            return;
        }
        self.swept = now;
        self.entries.retain(|_, entry| entry.connections > 0 || entry.due > now);
        self.sweep_at = (self.entries.len() * 2).min(MOST);
        if self.entries.capacity() > 8 * self.sweep_at.max(64) {
            self.entries.shrink_to(self.sweep_at);
        }
    }
}

/// A connection that was counted and is not open yet.
pub(crate) struct Slot {
    engine: Arc<Engine>,
    address: Option<IpAddr>,
}

impl Slot {
    /// Counts a new connection; the answer if there are too many already, or too many a second.
    pub(crate) fn take(
        engine: &Arc<Engine>,
        address: Option<IpAddr>,
        transport: &str,
    ) -> Result<Self, Box<Response<Body>>> {
        let slot = Self { engine: engine.clone(), address };
        let (Some(addresses), Some(address)) = (&engine.addresses, address) else { return Ok(slot) };
        let Entered { early, crowded } = addresses.enter(address, engine.clock.now());
        let met = [(Limit::HandshakeRate, early), (Limit::ConnectionsPerAddress, crowded.then_some(CROWDED))];
        for (limit, wait) in met {
            let Some(wait) = wait else { continue };
            if !engine.guard.passes(limit) {
                engine.guard.met(limit, 1, 1);
                engine.metrics.handshake(transport, "address_limit");
                return Err(Box::new(too_many(wait)));
            }
        }
        Ok(slot)
    }

    /// It is open: its end gives the place back.
    pub(crate) fn keep(mut self) {
        self.address = None;
    }
}

fn too_many(wait: Duration) -> Response<Body> {
    let text = r#"{"code":3,"message":"Too many connections from this address"}"#;
    let mut response = error_text(StatusCode::TOO_MANY_REQUESTS, text.into());
    let seconds = wait.as_millis().div_ceil(1_000).max(1) as u64;
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let (Some(addresses), Some(address)) = (&self.engine.addresses, self.address) {
            addresses.leave(address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(handshakes_per_second: u32, handshake_burst: u32, connections: u32) -> Addresses {
        Addresses::new(AddressLimits { handshakes_per_second, handshake_burst, connections })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_and_then_a_steady_rate() {
        let addresses = addresses(10, 3, 0);
        let early = |at| addresses.enter(ip("192.0.2.1"), Time(at)).early.map(|early| early.as_millis());
        assert_eq!([early(0), early(0), early(0), early(0)], [None, None, None, Some(100)]);
        assert_eq!([early(40), early(100), early(100)], [Some(60), None, Some(100)]);
        assert_eq!(addresses.enter(ip("192.0.2.2"), Time(100)).early, None, "others have their own");
        assert_eq!(
            [early(10_000), early(10_000), early(10_000), early(10_000)],
            [None, None, None, Some(100)]
        );
    }

    #[test]
    fn connections_are_counted_until_they_leave() {
        let addresses = addresses(0, 0, 2);
        let crowded = |text| addresses.enter(ip(text), Time(0)).crowded;
        assert_eq!([crowded("192.0.2.1"), crowded("192.0.2.1"), crowded("192.0.2.1")], [false, false, true]);
        addresses.leave(ip("192.0.2.1"));
        addresses.leave(ip("::ffff:192.0.2.1"));
        assert_eq!([crowded("192.0.2.1"), crowded("192.0.2.1")], [false, true]);
        // One network of IPv6 is one client, however many addresses it has.
        assert_eq!(
            [crowded("2001:db8::1"), crowded("2001:db8::2:1"), crowded("2001:db8::3")],
            [false, false, true]
        );
        assert!(!crowded("2001:db8:0:1::1"));
        addresses.leave(ip("198.51.100.1"));
    }

    #[test]
    fn addresses_are_forgotten() {
        let addresses = addresses(10, 1, 0);
        let nth = |n: u32| IpAddr::from(n.to_be_bytes());
        for n in 0..100_000 {
            addresses.enter(nth(n), Time(u64::from(n)));
            if n % 1_000 > 0 {
                addresses.leave(nth(n));
            }
        }
        // A hundred have connections; of the rest only those of the last tenth of a second say anything.
        assert!(addresses.len() < 100 + 16 * 64 + 4 * 100, "{}", addresses.len());
        assert!(addresses.enter(nth(99_999), Time(99_999)).early.is_some());
    }

    #[test]
    fn there_are_never_more_than_so_many() {
        let addresses = addresses(1, 1, 1);
        for n in 0..(2 * SHARDS * MOST) as u32 {
            addresses.enter(IpAddr::from(n.to_be_bytes()), Time(0));
        }
        assert!(addresses.len() <= SHARDS * MOST);
        // Who is known stays limited, others pass.
        assert!(addresses.enter(ip("0.0.0.0"), Time(0)).crowded);
        assert_eq!(addresses.enter(ip("255.0.0.0"), Time(0)), Entered::default());
    }
}
