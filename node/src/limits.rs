//! Which limits there are, what is counted when one is met, and whether that has a consequence.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus::IntCounterVec;
use sockeye_proto::{DecodeError, Limits, Time, sio::json::DEEPEST};

/// How much further than its value a limit goes in [`LimitsMode::Warn`], where what is beyond it takes memory.
const CEILING: usize = 100;

/// A limit is logged at most once in this time, however often it is met.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Whether clients feel the limits.
///
/// ```
/// use sockeye::{Limits, LimitsMode, Server};
///
/// // Tries stricter limits on real clients: sockeye_limit_warnings_total tells which of them would have been refused.
/// let builder = Server::builder()
///     .limits(Limits { max_rooms: 50, events_per_second: 20, event_burst: 200, ..Limits::default() })
///     .limits_mode(LimitsMode::Warn);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LimitsMode {
    /// What is beyond a limit is refused, and counted in `sockeye_limit_rejections_total`.
    #[default]
    Enforce,
    /// What is beyond a limit is counted in `sockeye_limit_warnings_total`, logged, and let through.
    ///
    /// What protects the memory of the process holds all the same: the payload, fragments, the outbox, requests, and a
    /// hundred times the value of the limits of attachments, namespaces, rooms and pending acks.
    Warn,
}

/// The limits that the node itself checks; decoders name theirs by [`DecodeError::limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    Packets,
    Namespaces,
    Rooms,
    RoomLength,
    PendingAcks,
    EventRate,
    HandshakeRate,
    ConnectionsPerAddress,
}

impl Limit {
    /// The label of the counters.
    fn as_str(self) -> &'static str {
        match self {
            Self::Packets => "packets_per_payload",
            Self::Namespaces => "namespaces",
            Self::Rooms => "rooms",
            Self::RoomLength => "room_length",
            Self::PendingAcks => "pending_acks",
            Self::EventRate => "event_rate",
            Self::HandshakeRate => "handshake_rate",
            Self::ConnectionsPerAddress => "connections_per_address",
        }
    }
}

/// Every label of the counters of limits.
pub(crate) const LABELS: [&str; 21] = [
    "payload",
    "fragments",
    "packets_per_payload",
    "attachments",
    "json_depth",
    "json_length",
    "json_values",
    "namespaces",
    "namespace_length",
    "event_length",
    "rooms",
    "room_length",
    "pending_acks",
    "event_rate",
    "handshake_rate",
    "connections_per_address",
    "outbox_bytes",
    "outbox_packets",
    "outbox_age",
    "request_time",
    "accept",
];

/// The limits of one server.
#[derive(Debug)]
pub(crate) struct Guard {
    mode: LimitsMode,
    /// As configured.
    limits: Limits,
    /// What holds whatever the mode.
    ceilings: Limits,
    rejections: IntCounterVec,
    warnings: IntCounterVec,
    /// What the log has not been told yet, in the order of [`LABELS`]. Limits are met under locks, where nothing is logged.
    unsaid: [Unsaid; LABELS.len()],
}

#[derive(Debug, Default)]
struct Unsaid {
    refused: AtomicU64,
    warned: AtomicU64,
    /// When it may be logged again, in milliseconds.
    quiet_until: AtomicU64,
}

impl Guard {
    pub(crate) fn new(
        mode: LimitsMode,
        limits: Limits,
        rejections: IntCounterVec,
        warnings: IntCounterVec,
    ) -> Self {
        let ceilings = match mode {
            LimitsMode::Enforce => limits.clone(),
            LimitsMode::Warn => ceilings(&limits),
        };
        Self { mode, limits, ceilings, rejections, warnings, unsaid: Default::default() }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What is refused whatever the mode.
    pub(crate) fn ceilings(&self) -> &Limits {
        &self.ceilings
    }

    pub(crate) fn enforces(&self) -> bool {
        self.mode == LimitsMode::Enforce
    }

    /// Decodes something within the limits. What is beyond one but may pass is decoded again.
    pub(crate) fn decode<T>(
        &self,
        mut decode: impl FnMut(&Limits) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match decode(&self.limits) {
            Err(error) if self.mode == LimitsMode::Warn => {
                let Some(limit) = error.limit() else { return Err(error) };
                let passed = decode(&self.ceilings)?;
                self.warned(limit, 1);
                Ok(passed)
            }
            decoded => decoded,
        }
    }

    /// Something is beyond a limit: true if it may pass all the same, which is counted.
    pub(crate) fn passes(&self, limit: Limit) -> bool {
        let passes = self.mode == LimitsMode::Warn;
        if passes {
            self.warned(limit.as_str(), 1);
        }
        passes
    }

    /// Counts what was beyond a limit, and how much of that was refused.
    pub(crate) fn met(&self, limit: Limit, beyond: usize, refused: usize) {
        if beyond > refused {
            self.warned(limit.as_str(), beyond - refused);
        }
        if refused > 0 {
            self.rejections.with_label_values(&[limit.as_str()]).inc_by(refused as u64);
            self.unsaid(limit.as_str(), |unsaid| &unsaid.refused, refused);
        }
    }

    fn warned(&self, limit: &str, times: usize) {
        self.warnings.with_label_values(&[limit]).inc_by(times as u64);
        self.unsaid(limit, |unsaid| &unsaid.warned, times);
    }

    fn unsaid(&self, limit: &str, count: impl Fn(&Unsaid) -> &AtomicU64, times: usize) {
        if let Some(at) = LABELS.iter().position(|label| *label == limit) {
            count(&self.unsaid[at]).fetch_add(times as u64, Ordering::Relaxed);
        }
    }

    /// Logs which limits were met, each now and then. Called by the timer.
    pub(crate) fn log(&self, now: Time) {
        for (limit, unsaid) in LABELS.iter().zip(&self.unsaid) {
            let (refused, warned) =
                (unsaid.refused.load(Ordering::Relaxed), unsaid.warned.load(Ordering::Relaxed));
            if refused + warned == 0 || now.0 < unsaid.quiet_until.load(Ordering::Relaxed) {
                continue;
            }
            unsaid.quiet_until.store(now.plus(LOG_INTERVAL).0, Ordering::Relaxed);
            unsaid.refused.fetch_sub(refused, Ordering::Relaxed);
            unsaid.warned.fetch_sub(warned, Ordering::Relaxed);
            tracing::warn!(limit, refused, let_through = warned, "a limit was met");
        }
    }
}

/// What limits become when they only warn. Whatever is let through still fits into `max_payload`.
fn ceilings(limits: &Limits) -> Limits {
    Limits {
        max_payload: limits.max_payload,
        max_attachments: limits.max_attachments.saturating_mul(CEILING),
        max_binary_values: limits.max_binary_values.saturating_mul(CEILING),
        max_json_depth: DEEPEST,
        max_json_len: usize::MAX,
        max_json_values: usize::MAX,
        max_packets_per_payload: usize::MAX,
        max_namespaces: limits.max_namespaces.saturating_mul(CEILING),
        max_namespace_len: usize::MAX,
        max_event_len: usize::MAX,
        max_rooms: limits.max_rooms.saturating_mul(CEILING),
        max_room_len: usize::MAX,
        max_pending_acks: limits.max_pending_acks.saturating_mul(CEILING),
        events_per_second: 0,
        event_burst: 0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use prometheus::Opts;

    use super::*;

    pub(crate) fn guard(mode: LimitsMode, limits: Limits) -> Guard {
        let counters = |name| IntCounterVec::new(Opts::new(name, name), &["limit"]).unwrap();
        Guard::new(mode, limits, counters("rejections"), counters("warnings"))
    }

    fn counted(counters: &IntCounterVec, limit: Limit) -> u64 {
        counters.with_label_values(&[limit.as_str()]).get()
    }

    #[test]
    fn enforced_limits_refuse_and_others_only_count() {
        let limits = Limits { max_attachments: 2, ..Limits::default() };
        let within = |limits: &Limits| match limits.max_attachments {
            50.. => Ok(limits.max_attachments),
            _ => Err(DecodeError::TooManyAttachments),
        };
        let strict = guard(LimitsMode::Enforce, limits.clone());
        assert_eq!(strict.decode(within), Err(DecodeError::TooManyAttachments));
        assert!(!strict.passes(Limit::Namespaces));
        strict.met(Limit::Rooms, 3, 3);
        assert_eq!(
            (counted(&strict.rejections, Limit::Rooms), counted(&strict.warnings, Limit::Rooms)),
            (3, 0)
        );

        let lax = guard(LimitsMode::Warn, limits);
        assert_eq!(lax.decode(within), Ok(200));
        assert_eq!(lax.decode(|_| Err::<(), _>(DecodeError::BadJson)), Err(DecodeError::BadJson));
        assert_eq!(
            lax.decode(|_| Err::<(), _>(DecodeError::MessageTooLarge)),
            Err(DecodeError::MessageTooLarge)
        );
        assert_eq!(lax.warnings.with_label_values(&["attachments"]).get(), 1);
        assert_eq!(lax.warnings.with_label_values(&["payload"]).get(), 0, "what is refused is no warning");
        assert!(lax.passes(Limit::Namespaces));
        assert_eq!(counted(&lax.warnings, Limit::Namespaces), 1);
        lax.met(Limit::Rooms, 3, 1);
        assert_eq!((counted(&lax.rejections, Limit::Rooms), counted(&lax.warnings, Limit::Rooms)), (1, 2));
    }

    #[test]
    fn each_limit_has_a_label_that_is_logged_now_and_then() {
        for error in DecodeError::ALL {
            assert!(error.limit().is_none_or(|limit| LABELS.contains(&limit)), "{error:?}");
        }
        let guard = guard(LimitsMode::Enforce, Limits::default());
        let rooms = &guard.unsaid[LABELS.iter().position(|label| *label == "rooms").unwrap()];
        let unsaid = || rooms.refused.load(Ordering::Relaxed);
        for (now, met, left) in [(0, 3, 0), (9_999, 2, 2), (10_000, 1, 0)] {
            guard.met(Limit::Rooms, met, met);
            guard.log(Time(now));
            assert_eq!(unsaid(), left as u64, "at {now}");
        }
    }
}
