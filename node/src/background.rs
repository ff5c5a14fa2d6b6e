//! Tasks of the application that end with the server.

use std::{
    collections::HashMap,
    future::Future,
    panic::{AssertUnwindSafe, resume_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::{AbortHandle, JoinHandle},
};

use crate::{io::Io, metrics::Metrics};

/// The background tasks of one server.
pub(crate) struct Background {
    tasks: Mutex<Tasks>,
    empty: Notify,
    ending: watch::Sender<bool>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Tasks {
    next: u64,
    /// `None` until the runtime has taken the task.
    running: HashMap<u64, Option<AbortHandle>>,
    /// Nothing begins any more.
    closed: bool,
}

impl Background {
    pub(crate) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let (ending, _) = watch::channel(false);
        Arc::new(Self { tasks: Mutex::default(), empty: Notify::new(), ending, metrics })
    }

    pub(crate) fn spawn<T: Send + 'static>(
        self: &Arc<Self>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let entry = self.enter();
        let id = entry.id;
        let task = tokio::spawn(Tracked { future: Box::pin(AssertUnwindSafe(future).catch_unwind()), entry });
        self.started(id, task.abort_handle());
        task
    }

    pub(crate) fn spawn_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        let mut entry = self.enter();
        let id = entry.id;
        let task =
            tokio::task::spawn_blocking(move || match std::panic::catch_unwind(AssertUnwindSafe(work)) {
                Ok(value) => {
                    entry.end = End::Done;
                    drop(entry);
                    value
                }
                Err(panic) => {
                    entry.end = End::Panicked;
                    drop(entry);
                    tracing::error!("a background task panicked");
                    resume_unwind(panic)
                }
            });
        self.started(id, task.abort_handle());
        task
    }

    fn enter(self: &Arc<Self>) -> Entry {
        let mut tasks = self.tasks.lock();
        tasks.next += 1;
        let id = tasks.next;
        tasks.running.insert(id, None);
        self.metrics.background_tasks.inc();
        Entry { background: self.clone(), id, end: End::Aborted }
    }

    fn started(&self, id: u64, handle: AbortHandle) {
        let mut tasks = self.tasks.lock();
        if tasks.closed {
            drop(tasks);
            handle.abort();
        } else if let Some(running) = tasks.running.get_mut(&id) {
            *running = Some(handle);
        }
    }

    /// Says to all who want to know that the server ends.
    pub(crate) fn announce_end(&self) {
        self.ending.send_replace(true);
    }

    /// Waits until the server ends.
    pub(crate) fn end_announced(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut ending = self.ending.subscribe();
        async move {
            let _ = ending.wait_for(|ending| *ending).await;
        }
    }

    /// Waits until there is no task.
    pub(crate) async fn all_ended(&self) {
        loop {
            let notified = self.empty.notified();
            if self.tasks.lock().running.is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Ends what still runs, and everything that begins from now on. Returns how many were running. What is on a thread
    /// for blocking work cannot be ended.
    pub(crate) fn abort(&self) -> usize {
        let handles: Vec<_> = {
            let mut tasks = self.tasks.lock();
            tasks.closed = true;
            tasks.running.values().cloned().collect()
        };
        handles.iter().flatten().for_each(AbortHandle::abort);
        handles.len()
    }
}

impl Io {
    /// Runs something in the background that ends with the server.
    ///
    /// When the server ends, [`shutting_down`](Self::shutting_down) is ready; tasks that have not ended by themselves when the
    /// [shutdown timeout](crate::ServerBuilder::shutdown_timeout) is over are cut off where they wait. None is left when
    /// [`Server::shutdown`](crate::Server::shutdown) returns. A panic ends the task and nothing else; how tasks ended is counted
    /// in `sockeye_background_tasks_ended_total`.
    ///
    /// ```
    /// # fn run(io: sockeye::Io) {
    /// use std::time::Duration;
    ///
    /// io.spawn({
    ///     let io = io.clone();
    ///     async move {
    ///         let mut every_second = tokio::time::interval(Duration::from_secs(1));
    ///         loop {
    ///             tokio::select! {
    ///                 _ = every_second.tick() => drop(io.emit("tick", ())),
    ///                 () = io.shutting_down() => return, // the place to save what has to be kept
    ///             }
    ///         }
    ///     }
    /// });
    /// # }
    /// ```
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.engine.background.spawn(task)
    }

    /// Runs something that blocks on a thread of its own. The end of the server waits for it as for other background tasks,
    /// but cannot cut it off.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn spawn_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        self.engine.background.spawn_blocking(work)
    }

    /// Ready when the server begins to end.
    pub fn shutting_down(&self) -> impl Future<Output = ()> + Send + use<> {
        self.engine.background.end_announced()
    }
}

/// How a task ended.
#[derive(Clone, Copy)]
enum End {
    Done,
    Panicked,
    Aborted,
}

/// The place of a task among those that run.
struct Entry {
    background: Arc<Background>,
    id: u64,
    end: End,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let background = &self.background;
        let empty = {
            let mut tasks = background.tasks.lock();
            tasks.running.remove(&self.id);
            tasks.running.is_empty()
        };
        background.metrics.background_tasks.dec();
        background.metrics.background_ended(match self.end {
            End::Done => "done",
            End::Panicked => "panicked",
            End::Aborted => "aborted",
        });
        if empty {
            background.empty.notify_waiters();
        }
    }
}

type Caught<T> = Pin<Box<dyn Future<Output = std::thread::Result<T>> + Send>>;

/// A task with its entry, which is dropped after what the task holds.
struct Tracked<T> {
    future: Caught<T>,
    entry: Entry,
}

impl<T> Future for Tracked<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.future.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(value)) => {
                self.entry.end = End::Done;
                Poll::Ready(value)
            }
            Poll::Ready(Err(panic)) => {
                self.entry.end = End::Panicked;
                tracing::error!("a background task panicked");
                resume_unwind(panic)
            }
        }
    }
}
