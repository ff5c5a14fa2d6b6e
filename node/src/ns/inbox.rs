//! The events of one socket, in the order in which they came, on their way to the handlers.
//!
//! Handlers start in order and run side by side, up to a bound. A handler that can answer without waiting does so right
//! here, in the reader's turn; only one that has to wait becomes a task.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context as Cx, Poll, Waker},
};

use futures_util::{FutureExt, future::BoxFuture};
use sockeye_proto::{name::RoomName, sio::Args};
use tokio::time::Sleep;

use super::{
    context::Context,
    handler::EventCall,
    socket::{Phase, Socket, SocketInner},
};
use crate::{
    conn::{Backlog, outbox::Item},
    reason::DisconnectReason,
};

/// Packets that may wait for the answer to CONNECT.
const HELD: usize = 4096;

/// One thing for a handler to do.
pub(crate) enum Job {
    Connected,
    Event { call: Arc<dyn EventCall>, name: Arc<str>, args: Args, ack: Option<u64> },
    Disconnect(DisconnectReason),
}

/// Guarded by one lock in the socket, under which only the connection's outbox may be locked.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: VecDeque<Job>,
    in_flight: u16,
    /// Somebody is starting handlers; others only queue.
    running: bool,
    /// Ids of the acks that the client owes, in order.
    pub(crate) owed: Vec<u64>,
    rare: Option<Box<Rare>>,
}

/// What most sockets never need.
#[derive(Default)]
pub(crate) struct Rare {
    /// Packets for a client that does not know yet that it is connected.
    pub(crate) held: Vec<Item>,
    /// Readers that wait for room.
    readers: Vec<Waker>,
    /// Until it is over, the client is not read from: it was too fast.
    pub(crate) pause: Option<Pin<Box<Sleep>>>,
    /// The rooms at the end.
    pub(crate) rooms: Vec<RoomName>,
}

impl Inbox {
    pub(crate) fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn rare_ref(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    /// Keeps a packet until the client knows that it is connected. False when too much waits already.
    pub(crate) fn hold(&mut self, item: Item) -> bool {
        let held = &mut self.rare().held;
        let room = held.len() < HELD;
        if room {
            held.push(item);
        }
        room
    }

    /// The first thing to do once the client is in.
    pub(crate) fn begin(&mut self) {
        self.queue.push_front(Job::Connected);
    }

    /// Whether packets are kept.
    pub(crate) fn holds(&self) -> bool {
        self.rare.as_ref().is_some_and(|rare| !rare.held.is_empty())
    }

    /// What was held, in order.
    pub(crate) fn take_held(&mut self) -> Vec<Item> {
        self.rare.as_mut().map(|rare| std::mem::take(&mut rare.held)).unwrap_or_default()
    }

    pub(crate) fn owe(&mut self, id: u64) {
        // Ids grow, but two that were drawn at the same time may come the other way round.
        let at = match self.owed.last() {
            Some(last) if *last > id => self.owed.partition_point(|owed| *owed < id),
            _ => self.owed.len(),
        };
        self.owed.insert(at, id);
    }

    pub(crate) fn owe_no_more(&mut self, id: u64) {
        if let Ok(at) = self.owed.binary_search(&id) {
            self.owed.remove(at);
        }
        if self.owed.is_empty() {
            self.owed = Vec::new();
        }
    }

    /// Whether the client was too fast a moment ago; if so, the reader is woken when that is over.
    fn is_paused(&mut self, waker: &Waker) -> bool {
        let Some(rare) = &mut self.rare else { return false };
        let Some(pause) = &mut rare.pause else { return false };
        if pause.as_mut().poll(&mut Cx::from_waker(waker)).is_pending() {
            return true;
        }
        rare.pause = None;
        self.wake_readers();
        false
    }

    pub(crate) fn wake_readers(&mut self) {
        if let Some(rare) = &mut self.rare {
            rare.readers.drain(..).for_each(Waker::wake);
        }
    }
}

impl SocketInner {
    /// How many handlers may run side by side.
    fn concurrency(&self) -> usize {
        self.ns.handlers.concurrency.unwrap_or(self.conn.engine.config.concurrency)
    }

    /// Hands a job to its handler, or queues it behind others. True if the queue is full: read no further.
    pub(crate) fn submit(self: &Arc<Self>, job: Job) -> bool {
        let config = &self.conn.engine.config;
        {
            let mut inbox = self.inbox.lock();
            let busy = inbox.running
                || !inbox.queue.is_empty()
                || usize::from(inbox.in_flight) >= self.concurrency()
                || matches!(self.phase(), Phase::Connecting | Phase::Greeted);
            if busy {
                inbox.queue.push_back(job);
                return inbox.queue.len() >= config.mailbox;
            }
            inbox.running = true;
            inbox.in_flight += 1;
        }
        let done = self.start(job);
        self.run_queue(done);
        false
    }

    /// Starts queued jobs as far as the bound allows. The caller has set `running`; `done` says whether its job is over.
    fn run_queue(self: &Arc<Self>, mut done: bool) {
        let config = &self.conn.engine.config;
        loop {
            let job = {
                let mut inbox = self.inbox.lock();
                if done {
                    inbox.in_flight -= 1;
                }
                if usize::from(inbox.in_flight) >= self.concurrency() {
                    inbox.running = false;
                    return;
                }
                let Some(job) = inbox.queue.pop_front() else {
                    inbox.queue = VecDeque::new();
                    inbox.running = false;
                    inbox.wake_readers();
                    return;
                };
                inbox.in_flight += 1;
                if inbox.queue.len() == config.mailbox / 2 {
                    inbox.wake_readers();
                }
                job
            };
            done = self.start(job);
        }
    }

    /// Lets queued jobs run, now that the client is connected.
    pub(crate) fn run_waiting(self: &Arc<Self>) {
        {
            let mut inbox = self.inbox.lock();
            if inbox.running {
                return;
            }
            inbox.running = true;
        }
        self.run_queue(false);
    }

    /// Starts a handler. True if it is over already; otherwise it goes on as a task of its own.
    fn start(self: &Arc<Self>, job: Job) -> bool {
        let engine = &self.conn.engine;
        let socket = Socket(self.clone());
        // Dropped when the disconnect handler is over, however it ends.
        let last = matches!(job, Job::Disconnect(_)).then(|| EndOfSession(self.clone()));
        let started = catch_unwind(AssertUnwindSafe(|| {
            let handlers = &self.ns.handlers;
            let mut handling: BoxFuture<'static, ()> = match job {
                Job::Event { call, name, args, ack } => call.call(Context::event(socket, name, args, ack)),
                Job::Connected => handlers.connected.as_ref()?.call(Context::connected(socket)),
                Job::Disconnect(reason) => {
                    handlers.disconnect.as_ref()?.call(Context::disconnect(socket, reason))
                }
            };
            match handling.as_mut().poll(&mut Cx::from_waker(Waker::noop())) {
                Poll::Ready(()) => None,
                Poll::Pending => Some(handling),
            }
        }));
        let handling = match started {
            Ok(None) => return true,
            Ok(Some(handling)) => handling,
            Err(panic) => {
                engine.handler_panicked(&self.ns.path, &*panic);
                return true;
            }
        };
        let socket = self.clone();
        engine.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(handling).catch_unwind().await {
                socket.conn.engine.handler_panicked(&socket.ns.path, &*panic);
            }
            drop(last);
            let resume = {
                let mut inbox = socket.inbox.lock();
                inbox.in_flight -= 1;
                let resume = !inbox.running && !inbox.queue.is_empty();
                inbox.running |= resume;
                resume
            };
            if resume {
                socket.run_queue(false);
            }
        });
        false
    }
}

/// The session ends with the disconnect handler.
struct EndOfSession(Arc<SocketInner>);

impl Drop for EndOfSession {
    fn drop(&mut self) {
        self.0.session.end();
    }
}

impl Backlog for SocketInner {
    fn has_room(&self, waker: &Waker) -> bool {
        let mut inbox = self.inbox.lock();
        if self.phase.load(Ordering::Acquire) == Phase::Closed as u8 {
            return true;
        }
        if !inbox.is_paused(waker) && inbox.queue.len() <= self.conn.engine.config.mailbox / 2 {
            return true;
        }
        let readers = &mut inbox.rare().readers;
        if !readers.iter().any(|known| known.will_wake(waker)) {
            readers.push(waker.clone());
        }
        false
    }
}
