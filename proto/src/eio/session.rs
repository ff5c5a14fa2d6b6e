//! One Engine.IO session as a state machine: heartbeat, upgrade, end. It knows no clock and no socket.
//!
//! The owner tells it what came ([`Session::receive`]) and what time it is ([`Session::handle_timeout`] when
//! [`Session::next_deadline`] has passed), and does what it answers. Messages themselves pass through.
//!
//! In version 4 the server asks for heartbeats, in version 3 the client does.
//!
//! Deviations from the JavaScript server, all harmless to its clients: an upgrade needs a probe before it (there a
//! bare `5` suffices), a close packet over WebSocket closes (there it is ignored), and while the node does not read a
//! connection its pongs are not missed.

mod reason;
mod settings;

use std::borrow::Cow;
use std::time::Duration;

use super::{Packet, Protocol, RequestError, TransportKind};
use crate::Time;
use crate::time::millis;

pub use reason::CloseReason;
pub use settings::{Settings, open_json};

/// What the owner of a session has to do about a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Nothing.
    Ignore,
    /// A text message for Socket.IO.
    Text(Cow<'a, str>),
    /// A binary message for Socket.IO.
    Binary(Cow<'a, [u8]>),
    /// Version 3: send `3` with this text on the session's own transport, before anything that waits.
    Pong(&'a str),
    /// Send `3probe` on the probed transport, and end a pending GET with `6` (see [`Session::polls_get_noop`]).
    ReplyProbe,
    /// The probed transport is the session's from now on, its packets come by [`Lane::Main`]. End a pending GET with
    /// `6` and send what is queued on the new transport.
    Upgraded,
    /// The client leaves: close with [`CloseReason::TransportClose`]. A pending GET ends with `6`.
    ClosedByPeer,
    /// Close the whole session for this reason.
    Fail(CloseReason),
    /// Close the probed transport only; the session has already forgotten it.
    DropProbe,
}

/// Which transport of a session a packet came by.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// The session's own transport.
    Main,
    /// A WebSocket that the session may be upgraded to.
    Probe,
}

/// What has become due.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing more.
    Nothing,
    /// Send `2` on the session's own transport.
    SendPing,
    /// Close the probed transport: the upgrade took too long.
    DropProbe,
    /// Close the whole session for this reason.
    Fail(CloseReason),
}

/// Why a GET or POST cannot be accepted by a session.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Another one is under way: answer 400 and close the session with [`CloseReason::TransportError`].
    Busy,
    /// The session is not polling (any more): answer [`RequestError::BadRequest`], the session lives on.
    NotPolling,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Probe {
    None,
    /// A WebSocket is there, `2probe` has not come.
    Silent,
    /// `2probe` was answered.
    Answered,
}

/// The state of one session: 40 bytes, no allocation.
#[derive(Clone, Debug)]
pub struct Session {
    /// While a pong is awaited and reading goes on: until when. Otherwise: when the next ping is due.
    /// In version 3: until when the client's next ping must have come; `NEVER` while paused.
    beat: Time,
    /// Until when the upgrade must be complete; `NEVER` without a probe.
    probe_until: Time,
    /// When the next ping is due even if the pong of the last one has only been read just before, because it lay unread
    /// while reading paused: the client counts from the ping. Otherwise `NEVER`.
    ping_by: Time,
    /// While paused with a pong awaited (version 3: a ping, which always is): the milliseconds that it has left.
    pong_left: u32,
    awaits_pong: bool,
    paused: bool,
    polling: bool,
    posting: bool,
    probe: Probe,
    transport: TransportKind,
    protocol: Protocol,
    closed: Option<CloseReason>,
}

/// Bytes of a ping that are sent back. Clients send `probe` at the most; one that sends more wants to be sent more than it
/// reads.
const MAX_ECHO: usize = 125;

impl Session {
    /// A session that was just opened.
    #[must_use]
    pub fn open(now: Time, transport: TransportKind, protocol: Protocol, s: &Settings) -> Self {
        let beat = match protocol {
            Protocol::V4 => now.plus(s.ping_interval),
            Protocol::V3 => now.plus(s.ping_interval).plus(s.ping_timeout),
        };
        Self {
            beat,
            probe_until: Time::NEVER,
            ping_by: Time::NEVER,
            pong_left: 0,
            awaits_pong: false,
            paused: false,
            polling: false,
            posting: false,
            probe: Probe::None,
            transport,
            protocol,
            closed: None,
        }
    }

    /// The version that the client speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The transport that packets to the client leave by.
    #[must_use]
    pub fn transport(&self) -> TransportKind {
        self.transport
    }

    /// Whether [`Session::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// Why the session ended, if it did.
    #[must_use]
    pub fn closed_by(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Whether a transport is being probed.
    #[must_use]
    pub fn upgrading(&self) -> bool {
        self.probe != Probe::None
    }

    /// Whether a GET is to be answered with the noop packet `6` if there is nothing else to answer it with, because the
    /// client waits for its last GET to end before it sends `5`. True from [`Step::ReplyProbe`] until the upgrade is
    /// complete or given up.
    #[must_use]
    pub fn polls_get_noop(&self) -> bool {
        self.probe == Probe::Answered
    }

    /// A packet came.
    #[inline]
    pub fn receive<'a>(&mut self, now: Time, lane: Lane, packet: Packet<'a>, s: &Settings) -> Step<'a> {
        if self.is_closed() {
            return Step::Ignore;
        }
        if lane == Lane::Probe {
            return self.receive_probe(&packet);
        }
        match packet {
            Packet::Message(text) => Step::Text(text),
            Packet::Binary(data) => Step::Binary(data),
            Packet::Ping(data) if self.protocol == Protocol::V3 => self.receive_ping(now, data, s),
            // Only the server answers; the word is JavaScript's for it.
            Packet::Pong(_) if self.protocol == Protocol::V3 => Step::Fail(CloseReason::TransportError),
            Packet::Pong(_) => {
                self.awaits_pong = false;
                // A ping that has become due meanwhile is due now: the client has all of its time to answer it.
                self.beat = now.plus(s.ping_interval).min(self.ping_by.max(now));
                Step::Ignore
            }
            Packet::Close => Step::ClosedByPeer,
            // Since version 4 only the server asks; the word is JavaScript's for it.
            Packet::Ping(_) => Step::Fail(CloseReason::TransportError),
            Packet::Open(_) | Packet::Upgrade | Packet::Noop => Step::Ignore,
        }
    }

    fn receive_ping<'a>(&mut self, now: Time, data: &'a str, s: &Settings) -> Step<'a> {
        if data.len() > MAX_ECHO {
            return Step::Fail(CloseReason::ParseError);
        }
        if self.paused {
            // It was read before reading stopped, or by a POST that goes on.
            self.pong_left = saturating(s.ping_interval.saturating_add(s.ping_timeout));
        } else {
            self.beat = now.plus(s.ping_interval).plus(s.ping_timeout);
        }
        Step::Pong(data)
    }

    fn receive_probe(&mut self, packet: &Packet<'_>) -> Step<'static> {
        match (self.probe, packet) {
            (Probe::Silent | Probe::Answered, Packet::Ping("probe")) => {
                self.probe = Probe::Answered;
                Step::ReplyProbe
            }
            (Probe::Answered, Packet::Upgrade) => {
                self.probe_lost();
                self.transport = TransportKind::WebSocket;
                self.polling = false;
                self.posting = false;
                Step::Upgraded
            }
            _ => {
                self.probe_lost();
                Step::DropProbe
            }
        }
    }

    /// A WebSocket came that asks to become this session's transport. Its packets come by [`Lane::Probe`].
    ///
    /// # Errors
    /// [`RequestError::BadRequest`] where upgrades are off, one is under way, or the session is on WebSocket already;
    /// [`RequestError::UnknownSid`] once it is closed. The session itself goes on.
    pub fn begin_probe(&mut self, now: Time, s: &Settings) -> Result<(), RequestError> {
        if self.is_closed() {
            return Err(RequestError::UnknownSid);
        }
        if !s.allow_upgrades || self.upgrading() || self.transport == TransportKind::WebSocket {
            return Err(RequestError::BadRequest);
        }
        self.probe = Probe::Silent;
        self.probe_until = now.plus(s.upgrade_timeout);
        Ok(())
    }

    /// The probed transport is gone. Only for the transport that is being probed: one that was dropped or upgraded to
    /// must not report its end here, another may be probed by then.
    pub fn probe_lost(&mut self) {
        self.probe = Probe::None;
        self.probe_until = Time::NEVER;
    }

    /// When [`Session::handle_timeout`] has something to do next; [`Time::NEVER`] once closed.
    #[must_use]
    pub fn next_deadline(&self) -> Time {
        if self.is_closed() { Time::NEVER } else { self.beat.min(self.probe_until) }
    }

    /// Does one thing that has become due by `now`; call it until it says [`Due::Nothing`]. Read what has arrived
    /// before, or a pong may be missed that is already there.
    pub fn handle_timeout(&mut self, now: Time, s: &Settings) -> Due {
        if self.is_closed() {
            return Due::Nothing;
        }
        if self.probe_until <= now {
            self.probe_lost();
            return Due::DropProbe;
        }
        if self.beat > now {
            return Due::Nothing;
        }
        if self.protocol == Protocol::V3 {
            self.beat = Time::NEVER;
            return Due::Fail(CloseReason::PingTimeout);
        }
        if self.paused {
            // The client's own clock runs on: it leaves when no ping comes, so that they go on coming.
            if !self.awaits_pong {
                self.awaits_pong = true;
                self.pong_left = saturating(s.ping_timeout);
            }
            self.beat = now.plus(s.ping_interval.max(Duration::from_millis(1)));
            return Due::SendPing;
        }
        if self.awaits_pong {
            self.beat = Time::NEVER;
            return Due::Fail(CloseReason::PingTimeout);
        }
        self.awaits_pong = true;
        self.ping_by = Time::NEVER;
        // The client counts from when the ping was due. An owner that looks a little late takes nothing from that; one
        // that was held up for long does not make its client pay for it.
        let late = now.since(self.beat) > s.ping_timeout / 8;
        self.beat = if late { now } else { self.beat }.plus(s.ping_timeout);
        Due::SendPing
    }

    /// The node stops reading this connection: from now on the deadline of a pong stands still, because the pong may
    /// wait in the node's own kernel. Pings go on. In version 3 it is the deadline of the client's ping that stands still.
    pub fn pause_heartbeat(&mut self, now: Time, s: &Settings) {
        if self.paused {
            return;
        }
        self.paused = true;
        if self.protocol == Protocol::V3 {
            self.pong_left = saturating(self.beat.since(now));
            self.beat = Time::NEVER;
        } else if self.awaits_pong {
            self.pong_left = saturating(self.beat.since(now));
            // One interval after the ping that is out, which left `ping_timeout` before its deadline.
            let asked = self.beat.0.saturating_sub(millis(s.ping_timeout));
            self.beat = Time(asked).plus(s.ping_interval).max(now);
        }
    }

    /// The node reads again: a pong that is still missing has the time that it had left when reading stopped.
    pub fn resume_heartbeat(&mut self, now: Time) {
        if self.paused && self.protocol == Protocol::V3 {
            self.beat = now.plus(Duration::from_millis(self.pong_left.into()));
        } else if self.paused && self.awaits_pong {
            self.ping_by = self.beat;
            self.beat = now.plus(Duration::from_millis(self.pong_left.into()));
        }
        self.paused = false;
    }

    /// A GET for packets came and waits.
    ///
    /// # Errors
    /// See [`Overlap`]; nothing has changed then.
    pub fn poll_started(&mut self) -> Result<(), Overlap> {
        self.check_polling(self.polling)?;
        self.polling = true;
        Ok(())
    }

    /// Whether a GET waits.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        self.polling
    }

    /// The GET was answered, or its client went.
    pub fn poll_ended(&mut self) {
        self.polling = false;
    }

    /// A POST with packets came and is being read.
    ///
    /// # Errors
    /// See [`Overlap`]; nothing has changed then.
    pub fn post_started(&mut self) -> Result<(), Overlap> {
        self.check_polling(self.posting)?;
        self.posting = true;
        Ok(())
    }

    /// The POST was answered, or its client went.
    pub fn post_ended(&mut self) {
        self.posting = false;
    }

    fn check_polling(&self, busy: bool) -> Result<(), Overlap> {
        if self.is_closed() || self.transport != TransportKind::Polling {
            return Err(Overlap::NotPolling);
        }
        if busy { Err(Overlap::Busy) } else { Ok(()) }
    }

    /// Ends the session. True the first time, which is when everything that depends on it is to be torn down; a probe
    /// under way is to be dropped too.
    pub fn close(&mut self, reason: CloseReason) -> bool {
        let first = self.closed.is_none();
        if first {
            self.closed = Some(reason);
            self.probe_lost();
        }
        first
    }
}

/// `d` in milliseconds for a field of four bytes; 49 days at most.
fn saturating(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
