//! A driver that loses, repeats and cuts on command.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use sockeye_bus::{
    BoxFuture, Caps, Delivery, Driver, Error, ErrorKind, Inbound, Link, Outbound, Rx, SendError, Topic, Tx,
};
use tokio::sync::Notify;

/// What goes wrong with the link of one node.
#[derive(Default)]
pub(super) struct Faults {
    /// The broker is away: links break, new ones cannot be opened.
    away: AtomicBool,
    /// The broker takes what is sent and nobody hears it.
    silent: AtomicBool,
    /// So many of the next numbered messages vanish on their way to this node.
    lose: AtomicUsize,
    /// So many of the next messages that are meant for this node only vanish on their way to it.
    lose_direct: AtomicUsize,
    /// So many of the next numbered messages reach this node twice.
    repeat: AtomicUsize,
    /// The broker takes the next batch, and the link breaks before it can say so.
    hiccup: AtomicBool,
    changed: Notify,
}

impl Faults {
    /// The broker goes away.
    pub(super) fn cut(&self) {
        self.away.store(true, Ordering::SeqCst);
        self.changed.notify_waiters();
    }

    /// The broker is back.
    pub(super) fn mend(&self) {
        self.away.store(false, Ordering::SeqCst);
    }

    /// From now on nobody hears this node.
    pub(super) fn silence(&self) {
        self.silent.store(true, Ordering::SeqCst);
    }

    /// The next batch leaves, and the link breaks before the broker can say so.
    pub(super) fn hiccup(&self) {
        self.hiccup.store(true, Ordering::SeqCst);
    }

    pub(super) fn lose(&self, messages: usize) {
        self.lose.store(messages, Ordering::SeqCst);
    }

    pub(super) fn lose_direct(&self, messages: usize) {
        self.lose_direct.store(messages, Ordering::SeqCst);
    }

    pub(super) fn repeat(&self, messages: usize) {
        self.repeat.store(messages, Ordering::SeqCst);
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    async fn cut_off(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.is_away() {
                return;
            }
            changed.await;
        }
    }
}

/// Takes one of what is left; whether there was one.
fn take(left: &AtomicUsize) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

/// Heartbeats and the bus's own probes carry no number; faults leave them alone.
fn is_numbered(inbound: &Inbound) -> bool {
    inbound.topic != Topic::Channel && inbound.payload.get(1..9).is_some_and(|number| number != [0; 8])
}

fn away() -> Error {
    Error::new(ErrorKind::Lost, "the broker is away")
}

/// A driver with faults.
pub(super) struct Faulty {
    inner: Box<dyn Driver>,
    faults: Arc<Faults>,
}

impl Faulty {
    pub(super) fn new(inner: Box<dyn Driver>, faults: &Arc<Faults>) -> Self {
        Self { inner, faults: Arc::clone(faults) }
    }
}

impl Driver for Faulty {
    fn caps(&self) -> Caps {
        self.inner.caps()
    }

    fn connect<'a>(&'a self, subscribe: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>> {
        Box::pin(async move {
            if self.faults.is_away() {
                return Err(away());
            }
            let Link { tx, rx } = self.inner.connect(subscribe).await?;
            let faults = Arc::clone(&self.faults);
            let rx = rx.map(|inner| {
                Box::new(FaultyRx { inner, faults: Arc::clone(&faults), again: Mutex::default() })
                    as Box<dyn Rx>
            });
            Ok(Link { tx: Box::new(FaultyTx { inner: tx, faults }), rx })
        })
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

struct FaultyTx {
    inner: Box<dyn Tx>,
    faults: Arc<Faults>,
}

impl Tx for FaultyTx {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>> {
        Box::pin(async move {
            if self.faults.is_away() {
                return Err(SendError { sent: 0, error: away() });
            }
            if self.faults.silent.load(Ordering::SeqCst) {
                return Ok(vec![Ok(Delivery::default()); batch.len()]);
            }
            let answer = self.inner.send(batch).await;
            if batch.iter().any(|out| out.stamp.is_some()) && self.faults.hiccup.swap(false, Ordering::SeqCst)
            {
                return Err(SendError { sent: 0, error: away() });
            }
            answer
        })
    }

    fn closed(&mut self) -> BoxFuture<'_, Error> {
        Box::pin(async {
            self.faults.cut_off().await;
            away()
        })
    }
}

struct FaultyRx {
    inner: Box<dyn Rx>,
    faults: Arc<Faults>,
    again: Mutex<VecDeque<Inbound>>,
}

impl Rx for FaultyRx {
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>> {
        Box::pin(async move {
            if let Some(inbound) = self.again.lock().pop_front() {
                return Ok(inbound);
            }
            loop {
                let inbound = tokio::select! {
                    biased;
                    () = self.faults.cut_off() => return Err(away()),
                    inbound = self.inner.recv() => inbound?,
                };
                let is_direct = matches!(inbound.topic, Topic::Node(_));
                if is_numbered(&inbound)
                    && (take(&self.faults.lose) || is_direct && take(&self.faults.lose_direct))
                {
                    continue;
                }
                if is_numbered(&inbound) && take(&self.faults.repeat) {
                    self.again.lock().push_back(inbound.clone());
                }
                return Ok(inbound);
            }
        })
    }
}
