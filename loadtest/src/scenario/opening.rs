//! Opens the sockets of a run, a limited number at a time, and lets them join rooms.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::bail;

use crate::client::{Ended, SocketRef, Sockets, Workload};
use crate::fault::Fault;
use crate::net::Turn;
use crate::progress::Progress;
use crate::wire::socketio::Packet;
use crate::wire::websocket;

/// How long a `join` may stay unanswered before it is sent again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// After so many failures in a row there is no point in going on.
const HOPELESS: usize = 30;

/// The workload that opens sockets. A socket that fails is replaced, and the fault counted.
pub(super) struct Opening<'a> {
    concurrency: usize,
    /// The room that the socket of this ordinal joins.
    room: Option<&'a dyn Fn(usize) -> String>,
    progress: &'a mut Progress,
    /// Sockets that are not ready yet.
    dialing: usize,
    failures: usize,
    /// The sockets by ordinal.
    slots: Vec<Option<SocketRef>>,
    /// Ordinals without a socket, the next one last.
    vacant: Vec<usize>,
    /// Sockets whose `join` is not answered yet, with their ordinal, oldest first.
    joining: VecDeque<(SocketRef, usize, Instant)>,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        wanted: usize,
        concurrency: usize,
        room: Option<&'a dyn Fn(usize) -> String>,
        progress: &'a mut Progress,
    ) -> Self {
        Self {
            concurrency: concurrency.max(1),
            room,
            progress,
            dialing: 0,
            failures: 0,
            slots: vec![None; wanted],
            vacant: (0..wanted).rev().collect(),
            joining: VecDeque::new(),
        }
    }

    /// The sockets, by ordinal. All are there once the workload has come to its end.
    pub(super) fn opened(self) -> Vec<SocketRef> {
        self.slots.into_iter().flatten().collect()
    }

    fn ask(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, ordinal: usize, now: Instant) {
        if let Some(room) = self.room {
            let frame = join_frame(sockets, &room(ordinal));
            sockets.send(id, &frame);
            self.joining.push_back((id, ordinal, now));
        }
    }
}

/// The frame that asks to join a room, with the ack id 0.
pub(super) fn join_frame(sockets: &Sockets<'_>, room: &str) -> Vec<u8> {
    let event = sockets.namespace().event();
    websocket::text(format!("{event}0[\"join\",\"{room}\"]").as_bytes())
}

impl Workload for Opening<'_> {
    fn ready(&mut self, sockets: &mut Sockets<'_>, id: SocketRef, now: Instant) {
        self.dialing -= 1;
        self.failures = 0;
        if let Some(ordinal) = self.vacant.pop() {
            self.slots[ordinal] = Some(id);
            self.ask(sockets, id, ordinal, now);
        }
    }

    fn packet(&mut self, _: &mut Sockets<'_>, id: SocketRef, packet: Packet<'_>, _: Instant) {
        if matches!(packet, Packet::Ack { .. }) {
            self.joining.retain(|&(joining, ..)| joining != id);
        }
    }

    fn ended(&mut self, _: &mut Sockets<'_>, id: SocketRef, why: Ended, _: Instant) {
        self.failures += 1;
        if why == Ended::NotOpened {
            self.dialing -= 1;
        } else if let Some(ordinal) = self.slots.iter().position(|&slot| slot == Some(id)) {
            self.slots[ordinal] = None;
            self.vacant.push(ordinal);
            self.joining.retain(|&(joining, ..)| joining != id);
        }
    }

    fn turn(&mut self, sockets: &mut Sockets<'_>, now: Instant) -> anyhow::Result<Turn> {
        let wanted = self.slots.len();
        let done = wanted - self.vacant.len() - self.joining.len();
        self.progress.show(now, || {
            let errors = sockets.faults();
            format!("opening {done} of {wanted} sockets, errors: {errors}")
        });
        if done == wanted {
            return Ok(Turn::Done);
        }
        if self.failures >= HOPELESS {
            bail!("cannot open sockets: {}", first_faults(sockets));
        }
        while self.dialing + self.joining.len() < self.concurrency && self.dialing < self.vacant.len() {
            match sockets.open(now) {
                Ok(_) => self.dialing += 1,
                Err(error) => bail!("cannot open socket {} of {wanted}: {error}", done + 1),
            }
        }
        while let Some(&(id, ordinal, asked)) = self.joining.front()
            && now.duration_since(asked) >= ASK_AGAIN
        {
            self.joining.pop_front();
            self.failures += 1;
            let example = "the `join` sent when the namespace was joined";
            sockets.fault(Fault::JoinUnanswered, 1, example);
            self.ask(sockets, id, ordinal, now);
        }
        Ok(Turn::Wait(Duration::from_millis(50)))
    }
}

/// The faults so far, each with its first example.
pub(super) fn first_faults(sockets: &Sockets<'_>) -> String {
    let kinds: Vec<String> = sockets
        .faults()
        .iter()
        .map(|(fault, count, example)| format!("{count} × {} ({example})", fault.as_str()))
        .collect();
    kinds.join(", ")
}
