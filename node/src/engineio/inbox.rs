//! The messages of one raw client, on their way to the endpoint's handlers: one at a time, in order.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    task::{Context, Poll, Waker},
};

use futures_util::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use sockeye_proto::name::NamespacePath;

use super::{Client, Endpoint, Message};
use crate::{
    conn::{Backlog, Conn},
    reason::DisconnectReason,
};

/// One thing for a handler to do.
pub(crate) enum Job {
    Open,
    Message(Message),
    Close(DisconnectReason),
}

/// What a connection to a raw endpoint has beside its transport. Its lock is a leaf.
pub(crate) struct Inbox {
    /// Which of the server's endpoints it is.
    pub(crate) index: usize,
    endpoint: Arc<Endpoint>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    queue: VecDeque<Job>,
    /// A handler is at work; what comes meanwhile is queued.
    running: bool,
    readers: Vec<Waker>,
}

impl Inbox {
    pub(crate) fn new(index: usize, endpoint: Arc<Endpoint>) -> Self {
        Self { index, endpoint, waiting: Mutex::default() }
    }
}

impl Backlog for Conn {
    fn has_room(&self, waker: &Waker) -> bool {
        let Some(raw) = &self.raw else { return true };
        let mut waiting = raw.waiting.lock();
        if waiting.queue.len() <= self.engine.config.mailbox / 2 || self.closed().is_some() {
            return true;
        }
        if !waiting.readers.iter().any(|known| known.will_wake(waker)) {
            waiting.readers.push(waker.clone());
        }
        false
    }
}

/// The client knows that its session is open.
pub(crate) fn opened(conn: &Arc<Conn>) {
    submit(conn, Job::Open);
}

/// Hands a job to the endpoint, or queues it behind others. True if the queue is full: read no further.
pub(crate) fn submit(conn: &Arc<Conn>, job: Job) -> bool {
    let Some(raw) = &conn.raw else { return false };
    {
        let mut waiting = raw.waiting.lock();
        if waiting.running {
            if matches!(job, Job::Close(_)) {
                waiting.readers.drain(..).for_each(Waker::wake);
            }
            waiting.queue.push_back(job);
            return waiting.queue.len() >= conn.engine.config.mailbox;
        }
        waiting.running = true;
    }
    run(conn, raw, Some(job));
    false
}

/// Runs jobs until one has to wait, which then goes on with the rest as a task. The caller has set `running`.
fn run(conn: &Arc<Conn>, raw: &Inbox, mut job: Option<Job>) {
    loop {
        let next = job.take().or_else(|| {
            let mut waiting = raw.waiting.lock();
            let next = waiting.queue.pop_front();
            if next.is_none() {
                waiting.running = false;
                waiting.queue = VecDeque::new();
            }
            if waiting.queue.len() <= conn.engine.config.mailbox / 2 {
                waiting.readers.drain(..).for_each(Waker::wake);
            }
            next
        });
        let Some(next) = next else { return };
        if let Some(handling) = start(conn, raw, next) {
            let conn = conn.clone();
            return conn.engine.clone().spawn(async move {
                if let Err(panic) = AssertUnwindSafe(handling).catch_unwind().await {
                    panicked(&conn, &*panic);
                }
                if let Some(raw) = &conn.raw {
                    run(&conn, raw, None);
                }
            });
        }
    }
}

/// Starts a handler; `None` if it is over already.
fn start(conn: &Arc<Conn>, raw: &Inbox, job: Job) -> Option<BoxFuture<'static, ()>> {
    let started = catch_unwind(AssertUnwindSafe(|| {
        let mut handling = raw.endpoint.start(Client(conn.clone()), job)?;
        match handling.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => None,
            Poll::Pending => Some(handling),
        }
    }));
    started.unwrap_or_else(|panic| {
        panicked(conn, &*panic);
        None
    })
}

fn panicked(conn: &Conn, panic: &(dyn std::any::Any + Send)) {
    conn.engine.handler_panicked(&NamespacePath::from(conn.handshake.path()), panic);
}
