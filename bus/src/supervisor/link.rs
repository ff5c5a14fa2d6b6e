//! The time on one open link: a writer, a reader and a watch, side by side in the supervisor's task.

use super::{
    Online, Supervisor, chores,
    outlet::Outlet,
    probe::{Probe, Pulse},
};
use crate::{
    driver::{Link, Rx, SendError, Tx},
    error::{DropReason, Error, ErrorKind},
    message::{Delivery, Outbound, Topic},
    spool::Flight,
    state::{Change, Shared, Work},
};
use std::{future::pending, time::Duration};
use tokio::time::{sleep, sleep_until, timeout};

/// Messages that are taken from the link before they are handed to the reader.
const BURST: u64 = 128;

/// After breaking this many links that were well otherwise, the batch under way is sent one message at a time, to
/// find out whether one of them is the reason; ...
const SUSPICIOUS: u32 = 3;
/// ... and the message that then broke the link this many times is given up.
const POISON: u32 = 6;

impl Supervisor {
    pub(super) async fn online(&mut self, link: Link) -> Online {
        let Link { mut tx, rx } = link;
        let shared = &*self.shared;
        let pulse = Pulse::new(rx.is_some() && shared.caps.echoes_own);
        let ended = tokio::select! {
            ended = write(shared, &mut self.flight, &mut *tx, &pulse) => ended,
            error = read(shared, &mut self.outlet, rx, &pulse, &self.probe) => Online::Broken(error),
            () = pulse.watch(&self.probe, &shared.config, |probe| shared.publish_control(probe)) => {
                let text = format!("{} is connected but our own messages do not come back", shared.name);
                Online::Broken(Error::new(ErrorKind::Deaf, text))
            }
            () = hold(shared) => Online::Closing,
            () = close_deadline(shared) => Online::Closing,
            () = chores(shared) => Online::Closing,
        };
        if pulse.proven() {
            self.backoff.reset();
        }
        ended
    }
}

/// Sends what there is to send until the link breaks or the bus is closed.
async fn write(shared: &Shared, flight: &mut Flight, tx: &mut dyn Tx, pulse: &Pulse) -> Online {
    loop {
        let result = match shared.next_work(flight) {
            Work::Done => return Online::Closing,
            Work::Nothing => {
                tokio::select! {
                    () = shared.work.notified() => continue,
                    error = tx.closed() => Err(error),
                }
            }
            Work::Watch(changes) => change(shared, tx, changes).await,
            Work::Control(batch) => {
                let sent = send(shared, tx, &batch).await;
                sent.map(|_| pulse.answered()).map_err(|e| e.error)
            }
            Work::Send => {
                let sent = send_flight(shared, flight, tx, pulse).await;
                // A driver may never have to wait, but the reader and the watch share this task.
                tokio::task::yield_now().await;
                sent
            }
        };
        if let Err(error) = result {
            return Online::Broken(error);
        }
    }
}

async fn send(
    shared: &Shared,
    tx: &mut dyn Tx,
    batch: &[Outbound],
) -> Result<Vec<Result<Delivery, Error>>, SendError> {
    let within = shared.config.send_timeout;
    timeout(within, tx.send(batch)).await.unwrap_or_else(|_| {
        let text = format!("{} did not answer for {} messages within {within:?}", shared.name, batch.len());
        Err(SendError { sent: 0, error: Error::new(ErrorKind::Timeout, text) })
    })
}

async fn send_flight(
    shared: &Shared,
    flight: &mut Flight,
    tx: &mut dyn Tx,
    pulse: &Pulse,
) -> Result<(), Error> {
    let alone = flight.attempts >= SUSPICIOUS;
    let waiting = &flight.batch[flight.done..];
    let batch = if alone { &waiting[..1] } else { waiting };
    let messages = batch.len();
    match send(shared, tx, batch).await {
        Ok(answers) => {
            flight.attempts = if alone { SUSPICIOUS } else { 0 };
            let silent = messages.saturating_sub(answers.len());
            shared.settle(flight, answers, silent);
            Ok(())
        }
        Err(SendError { sent, error }) => {
            if sent > 0 {
                flight.attempts = 0;
                shared.settle(flight, Vec::new(), sent.min(messages));
            }
            // An outage is nobody's fault: only a link that was seen to work counts against the message.
            if pulse.proven() && !flight.is_empty() {
                flight.attempts += 1;
                if flight.attempts >= POISON {
                    tracing::warn!(bus = %shared.name, %error, "gave up a message that broke every link it was sent on");
                    shared.abandon(flight, 1, DropReason::Refused);
                    flight.attempts = SUSPICIOUS;
                }
            }
            Err(error)
        }
    }
}

async fn change(shared: &Shared, tx: &mut dyn Tx, changes: Vec<Change>) -> Result<(), Error> {
    let (mut add, mut remove): (Vec<Topic>, Vec<Topic>) = (Vec::new(), Vec::new());
    for change in changes {
        // The last word on a topic counts.
        let (topic, wanted, other) = match change {
            Change::Add(topic) => (topic, &mut add, &mut remove),
            Change::Remove(topic) => (topic, &mut remove, &mut add),
        };
        other.retain(|t| *t != topic);
        wanted.push(topic);
    }
    let within = shared.config.send_timeout;
    timeout(within, tx.watch(&add, &remove)).await.unwrap_or_else(|_| {
        let text = format!("{} did not change the subscriptions within {within:?}", shared.name);
        Err(Error::new(ErrorKind::Timeout, text))
    })
}

/// Moves messages from the link to the reader; reads no further than the reader can take.
async fn read(
    shared: &Shared,
    outlet: &mut Outlet,
    rx: Option<Box<dyn Rx>>,
    pulse: &Pulse,
    probe: &Probe,
) -> Error {
    let Some(mut rx) = rx else {
        outlet.pump().await;
        return pending().await;
    };
    loop {
        outlet.try_pump();
        if outlet.is_blocked() {
            pulse.blocked(true);
            outlet.pump().await;
            pulse.blocked(false);
        }
        let mut next = Some(rx.recv().await);
        let mut taken = 0;
        while let Some(received) = next {
            match received.map(|message| probe.recognise(message)) {
                Ok(Err(message)) => outlet.message(message),
                Ok(Ok(Some(number))) => pulse.heard(number),
                Ok(Ok(None)) => {}
                Err(error) => match error.kind() {
                    ErrorKind::Lagged(missed) => shared.observer.lagged(missed),
                    _ => return error,
                },
            }
            taken += 1;
            next = if taken < BURST { rx.try_recv() } else { None };
        }
        pulse.traffic(taken);
        if taken == BURST {
            tokio::task::yield_now().await;
        }
    }
}

/// Ends the hold when its time is up. Never resolves.
async fn hold(shared: &Shared) {
    let held = shared.state.lock().held;
    if held {
        sleep(hold_time(shared)).await;
        shared.release();
    }
    pending().await
}

fn hold_time(shared: &Shared) -> Duration {
    if shared.config.subscribe.is_empty() { shared.config.settle } else { shared.config.hold_after_outage }
}

/// Resolves when the bus is being closed and the time for that is up.
async fn close_deadline(shared: &Shared) {
    loop {
        let by = shared.state.lock().close_by;
        match by {
            Some(by) => return sleep_until(by).await,
            None => shared.closing.notified().await,
        }
    }
}
