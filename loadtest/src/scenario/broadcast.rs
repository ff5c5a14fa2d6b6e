//! The running part of the fan-out: messages under way, and every subscriber's stream checked.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::check::{Seen, Track};
use super::meter::{Measured, Meter, Phase};
use super::opening::first_faults;
use crate::client::{Clients, Ended, SocketRef, Sockets, Workload};
use crate::fault::Fault;
use crate::net::Turn;
use crate::progress::Progress;
use crate::stats::Histogram;
use crate::wire::socketio::{Namespace, Numbered, Packet, Recognised};
use crate::wire::websocket;

/// The number of the first message on the wire; all have ten digits, so that all frames are equally long.
const FIRST: u64 = 1_000_000_000;
const DIGITS: usize = 10;
/// How long nothing may come before the run counts as over: duplicates would come in this time.
const QUIET: Duration = Duration::from_millis(100);

/// A message that has not reached everyone yet.
#[derive(Copy, Clone, Debug)]
struct Flight {
    sent: Instant,
    remaining: u32,
}

#[derive(Clone, Debug, Default)]
struct Subscriber {
    room: u64,
    track: Track,
    listens: bool,
}

/// The workload. Messages are numbered from 0; number `n` goes to room `n % rooms`.
pub(super) struct Broadcast<'a> {
    publisher: SocketRef,
    publishing: bool,
    window: usize,
    rooms: u64,
    /// The frame of each room's messages.
    frames: Vec<websocket::Numbered>,
    numbered: Numbered,
    /// By socket number.
    subscribers: Vec<Subscriber>,
    /// How many members each room has.
    members: Vec<u32>,
    /// The messages from number `base` on.
    flights: VecDeque<Flight>,
    base: u64,
    under_way: usize,
    deliveries: u64,
    last_delivery: Option<Instant>,
    /// Until one subscriber has it.
    each: Histogram,
    /// Until all of the room have it.
    whole: Histogram,
    meter: Meter,
    over: bool,
    patience: Duration,
    progress: &'a mut Progress,
}

impl<'a> Broadcast<'a> {
    #[expect(clippy::too_many_arguments, reason = "one caller, all of them needed")]
    pub(super) fn new(
        publisher: SocketRef,
        sockets: &[SocketRef],
        namespace: &Namespace,
        rooms: &[String],
        payload: usize,
        window: usize,
        meter: Meter,
        patience: Duration,
        progress: &'a mut Progress,
    ) -> Self {
        let numbered = Numbered::new(payload);
        let after = [numbered.tail(), b"}]"].concat();
        let frames = rooms.iter().map(|room| {
            let event = namespace.event();
            let name = Numbered::EVENT;
            let before = format!("{event}[\"emit-to\",{{\"to\":[\"{room}\"],\"event\":\"{name}\",\"args\":[");
            websocket::Numbered::framed(before.as_bytes(), DIGITS, &after)
        });
        let mut members = vec![0; rooms.len()];
        let size = sockets.iter().map(|id| id.0 + 1).max().unwrap_or(0);
        let mut subscribers = vec![Subscriber::default(); size];
        for (ordinal, id) in sockets.iter().enumerate() {
            let room = ordinal % rooms.len();
            members[room] += 1;
            subscribers[id.0] =
                Subscriber { room: room as u64, track: Track::new(room as u64), listens: true };
        }
        Self {
            publisher,
            publishing: true,
            window,
            rooms: rooms.len() as u64,
            frames: frames.collect(),
            numbered,
            subscribers,
            members,
            flights: VecDeque::new(),
            base: 0,
            under_way: 0,
            deliveries: 0,
            last_delivery: None,
            each: Histogram::default(),
            whole: Histogram::default(),
            meter,
            over: false,
            patience,
            progress,
        }
    }

    /// What was measured, the latencies of deliveries and of whole messages. Counts what was lost.
    pub(super) fn finish(self, clients: &mut Clients) -> anyhow::Result<(Measured, Histogram, Histogram)> {
        let end = self.end();
        for subscriber in self.subscribers.iter().filter(|one| one.listens) {
            if let Some((lost, example)) = subscriber.track.lost(end, self.rooms) {
                clients.fault(Fault::Lost, lost, format_args!("message {example} of {end}"));
            }
        }
        let measured = self.meter.measured().context("the run was not measured")?;
        Ok((measured, self.each, self.whole))
    }

    /// The number of the next message.
    fn end(&self) -> u64 {
        self.base + self.flights.len() as u64
    }

    /// Fills the window.
    fn publish(&mut self, sockets: &mut Sockets<'_>, now: Instant) {
        while self.publishing && !self.over && self.under_way < self.window {
            let number = self.end();
            let room = (number % self.rooms) as usize;
            let remaining = self.members[room];
            self.flights.push_back(Flight { sent: now, remaining });
            if remaining == 0 {
                // Everyone has left this room. Where all rooms are empty, the turn ends the run.
                if self.members.iter().all(|&members| members == 0) {
                    return;
                }
                continue;
            }
            self.under_way += 1;
            if let Some(outbox) = sockets.outbox(self.publisher) {
                self.frames[room].write(outbox, FIRST + number);
            }
        }
    }

    /// One subscriber has this message, or never will.
    #[inline]
    fn landed(&mut self, number: u64) -> Option<Instant> {
        let index = number.checked_sub(self.base)? as usize;
        let flight = self.flights.get_mut(index)?;
        let sent = flight.sent;
        if flight.remaining > 0 {
            flight.remaining -= 1;
            if flight.remaining == 0 {
                self.under_way -= 1;
            }
        }
        Some(sent)
    }

    /// Forgets the messages that are done.
    fn advance(&mut self) {
        while self.flights.front().is_some_and(|one| one.remaining == 0) {
            self.flights.pop_front();
            self.base += 1;
        }
    }

    /// Gives up the messages that wait for longer than anyone should.
    fn give_up(&mut self, now: Instant) {
        let patience = self.patience;
        for flight in &mut self.flights {
            if flight.remaining > 0 && now.duration_since(flight.sent) > patience {
                flight.remaining = 0;
                self.under_way -= 1;
            }
        }
        self.advance();
    }

    /// Whether nothing more is to come.
    fn settled(&self, now: Instant) -> bool {
        self.over
            && self.under_way == 0
            && self.last_delivery.is_none_or(|last| now.duration_since(last) >= QUIET)
    }
}

impl Workload for Broadcast<'_> {
    fn ready(&mut self, _: &mut Sockets<'_>, _: SocketRef, _: Instant) {}

    fn packet(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, packet: Packet<'_>, now: Instant) {
        let Packet::Event { args, .. } = packet else {
            return;
        };
        let (number, altered) = match self.numbered.recognise(args) {
            Recognised::Number(number) => (number, false),
            Recognised::Altered(number) => (number, true),
            Recognised::Other => return, // a server may have events of its own
        };
        if altered {
            let text = String::from_utf8_lossy(&args[..args.len().min(60)]);
            sockets.fault(Fault::WrongContent, 1, text);
        }
        let end = self.end();
        let (Some(number), Some(subscriber)) = (
            number.checked_sub(FIRST).filter(|&number| number < end),
            self.subscribers.get_mut(id.0).filter(|one| one.listens),
        ) else {
            return sockets.fault(Fault::Unexpected, 1, "a message that nobody had sent");
        };
        if self.rooms > 1 && number % self.rooms != subscriber.room {
            return sockets.fault(Fault::Unexpected, 1, "a message to another room");
        }
        match subscriber.track.see(number, self.rooms) {
            Seen::InOrder => {}
            Seen::Late => sockets.fault(Fault::OutOfOrder, 1, format_args!("message {number}")),
            Seen::Again => {
                return sockets.fault(Fault::Duplicate, 1, format_args!("message {number}"));
            }
        }
        self.deliveries += 1;
        self.last_delivery = Some(now);
        let under_way = self.under_way;
        if let Some(sent) = self.landed(number) {
            let latency = now.duration_since(sent);
            self.each.record(latency);
            if self.under_way < under_way {
                self.whole.record(latency);
                self.advance();
                self.publish(sockets, now);
            }
        }
    }

    fn ended(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, _: Ended, now: Instant) {
        if id == self.publisher {
            self.publishing = false;
            return;
        }
        let Some(subscriber) = self.subscribers.get_mut(id.0).filter(|one| one.listens) else {
            return;
        };
        let subscriber = std::mem::take(subscriber);
        self.members[subscriber.room as usize] -= 1;
        for number in self.base..self.end() {
            if number % self.rooms == subscriber.room && subscriber.track.lacks(number) {
                self.landed(number);
            }
        }
        self.advance();
        self.publish(sockets, now);
    }

    fn turn(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<Turn> {
        if !self.publishing {
            bail!("the publisher's connection ended: {}", first_faults(sockets));
        }
        if self.members.iter().all(|&members| members == 0) {
            bail!("all subscribers are gone: {}", first_faults(sockets));
        }
        match self.meter.turn(now, self.deliveries)? {
            Phase::Begin => {
                self.each.clear();
                self.whole.clear();
            }
            Phase::Over => self.over = true,
            Phase::WarmUp | Phase::Measure => {}
        }
        if self.flights.front().is_some_and(|first| now.duration_since(first.sent) > self.patience) {
            if self.deliveries == 0 {
                bail!(
                    "no subscriber got anything within {:?}: does the server implement `join` and `emit-to`?",
                    self.patience
                );
            }
            self.give_up(now);
        }
        self.publish(sockets, now);
        let (deliveries, (elapsed, planned)) = (self.deliveries, self.meter.elapsed(now));
        self.progress.show(now, || {
            let rate = deliveries as f64 / elapsed.as_secs_f64().max(1e-3);
            let errors = sockets.faults();
            format!("{elapsed:.1?} of {planned:.1?}: {rate:.0} deliveries/s, errors: {errors}")
        });
        Ok(if self.settled(now) { Turn::Done } else { Turn::Wait(Duration::from_millis(10)) })
    }
}
