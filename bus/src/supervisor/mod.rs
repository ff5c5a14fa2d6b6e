//! The one task of a bus, and the only code that connects, waits, connects again, holds and probes.
//!
//! ```text
//!            connect ok                      broken, deaf, timed out
//!  offline ──────────────► online: writer │ reader │ probe ──────────────► offline (backoff, jitter) …
//!     │                      └ after an outage: held until release() or the deadline, then flight first, then spool
//!     └ all the while: messages expire, the reader gets its events, close() is heard
//! ```

mod backoff;
mod link;
mod outlet;
mod probe;

use crate::{
    bus::Events,
    config::OnOutage,
    driver::{Driver, Link},
    error::{DropReason, Error, ErrorKind},
    message::Topic,
    spool::Flight,
    state::{Shared, Status},
};
use backoff::Backoff;
use outlet::Outlet;
use probe::Probe;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(crate) struct Supervisor {
    shared: Arc<Shared>,
    driver: Box<dyn Driver>,
    outlet: Outlet,
    flight: Flight,
    backoff: Backoff,
    probe: Probe,
    epoch: u64,
    /// Something has failed since messages last flowed: the next link comes after an outage.
    troubled: bool,
}

/// How the time without a link, or a part of it, ended.
enum Offline<T> {
    Done(T),
    Closing,
}

/// How the time on a link ended.
enum Online {
    Broken(Error),
    Closing,
}

impl Supervisor {
    pub(crate) fn new(shared: Arc<Shared>, driver: Box<dyn Driver>) -> (Self, Events) {
        let (outlet, events) = Outlet::new(shared.config.event_queue);
        let backoff = Backoff::new(shared.config.backoff_min, shared.config.backoff_max);
        let probe = Probe::new(rand::random(), &mut shared.state.lock().topics);
        let flight = Flight::default();
        (Self { shared, driver, outlet, flight, backoff, probe, epoch: 0, troubled: false }, events)
    }

    pub(crate) async fn run(mut self) {
        loop {
            match self.connect().await {
                Offline::Closing => break,
                Offline::Done(Ok(link)) => {
                    self.up();
                    match self.online(link).await {
                        Online::Closing => break,
                        Online::Broken(error) => self.down(error),
                    }
                }
                Offline::Done(Err(error)) => self.failed(error),
            }
            self.shared.observer.reconnecting();
            let wait = self.backoff.next(rand::random());
            if let Offline::Closing = self.offline(sleep(wait)).await {
                break;
            }
        }
    }

    async fn connect(&mut self) -> Offline<Result<Link, Error>> {
        let shared = Arc::clone(&self.shared);
        let topics: Vec<Topic> = {
            let mut state = shared.state.lock();
            state.watch.clear();
            state.topics.clone()
        };
        let within = shared.config.connect_timeout;
        let Self { driver, outlet, flight, .. } = self;
        let attempt = async {
            let late = || {
                Error::new(ErrorKind::Timeout, format!("no connection to {} within {within:?}", shared.name))
            };
            timeout(within, driver.connect(&topics)).await.unwrap_or_else(|_| Err(late()))
        };
        offline(&shared, outlet, flight, attempt).await
    }

    async fn offline(&mut self, wait: impl Future<Output = ()>) -> Offline<()> {
        offline(&self.shared, &mut self.outlet, &self.flight, wait).await
    }

    fn up(&mut self) {
        self.epoch += 1;
        let first = self.epoch == 1;
        // A node that starts has no peers to wait for. A bus that only writes knows nothing of the others: if the
        // broker was away just now, they are probably still on their way back.
        let listens = !self.shared.config.subscribe.is_empty();
        let held = if listens { !first } else { self.troubled };
        self.troubled = false;
        {
            let mut state = self.shared.state.lock();
            state.up = true;
            state.held = held;
            state.control.clear();
        }
        tracing::info!(bus = %self.shared.name, epoch = self.epoch, "connected to the bus");
        self.outlet.up(first, self.epoch);
        self.shared.observer.connected(true);
        self.shared.status.send_replace(Status { up: true, ..Status::default() });
    }

    fn down(&mut self, error: Error) {
        {
            let mut state = self.shared.state.lock();
            state.up = false;
            state.control.clear();
        }
        if error.kind() == ErrorKind::Deaf {
            self.shared.observer.probe_failed();
        }
        tracing::warn!(bus = %self.shared.name, %error, "lost the bus");
        self.outlet.down(error.to_string());
        self.shared.observer.connected(false);
        self.troubled = true;
        self.give_up_old();
        self.shared.status.send_replace(Status { error: Some(error), ..Status::default() });
    }

    fn failed(&mut self, error: Error) {
        // Once for each outage; the reconnect counter tells of the rest.
        if self.troubled {
            tracing::debug!(bus = %self.shared.name, %error, "still cannot connect to the bus");
        } else {
            tracing::warn!(bus = %self.shared.name, %error, "cannot connect to the bus");
        }
        self.troubled = true;
        self.shared.status.send_replace(Status { error: Some(error), ..Status::default() });
    }

    fn give_up_old(&mut self) {
        if self.shared.config.on_outage == OnOutage::Drop {
            let left = self.flight.len();
            self.shared.abandon(&mut self.flight, left, DropReason::Offline);
            self.shared.discard(DropReason::Offline);
        }
    }
}

/// However the task ends, nothing that was accepted is left uncounted and nobody waits for ever.
impl Drop for Supervisor {
    fn drop(&mut self) {
        let was_up = {
            let mut state = self.shared.state.lock();
            state.closed = true;
            state.control.clear();
            std::mem::take(&mut state.up)
        };
        let left = self.flight.len();
        self.shared.abandon(&mut self.flight, left, DropReason::Closed);
        self.shared.discard(DropReason::Closed);
        if was_up {
            self.shared.observer.connected(false);
            self.outlet.down("closed".to_owned());
        }
        self.outlet.try_pump();
        tracing::debug!(bus = %self.shared.name, "left the bus");
        self.shared.status.send_replace(Status { closed: true, ..Status::default() });
    }
}

/// Runs `work` while there is no link; what has to go on meanwhile goes on.
async fn offline<T>(
    shared: &Shared,
    outlet: &mut Outlet,
    flight: &Flight,
    work: impl Future<Output = T>,
) -> Offline<T> {
    tokio::select! {
        done = work => Offline::Done(done),
        () = closing(shared, flight) => Offline::Closing,
        () = chores(shared) => Offline::Closing,
        () = async { outlet.pump().await; std::future::pending().await } => Offline::Closing,
    }
}

/// Resolves when the bus is to be closed and there is nothing left to flush, or no time.
async fn closing(shared: &Shared, flight: &Flight) {
    loop {
        let by = {
            let state = shared.state.lock();
            if state.close_by.is_some() && state.spool.is_empty() && flight.is_empty() {
                return;
            }
            state.close_by
        };
        match by {
            Some(by) => {
                tokio::select! {
                    () = sleep_until(by) => return,
                    () = shared.closing.notified() => {}
                }
            }
            None => shared.closing.notified().await,
        }
    }
}

/// Drops what is too old, for ever.
async fn chores(shared: &Shared) {
    let every = (shared.config.spool_age / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
    let mut next = Instant::now();
    loop {
        shared.expire();
        next += every;
        sleep_until(next).await;
        next = next.max(Instant::now());
    }
}
