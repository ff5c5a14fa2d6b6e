//! The handle of a bus.

use crate::{
    config::BusConfig,
    driver::{Caps, Driver},
    error::{Error, ErrorKind, FlushError},
    message::{Outbound, Topic},
    observer::{Event, Observer},
    receipt::Receipt,
    state::{Shared, Status},
    supervisor::Supervisor,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};

/// What the one reader of a bus gets, in order. A reader that falls behind slows down the link's reading, never
/// anybody's `publish`; a reader that is dropped stops nothing.
pub type Events = mpsc::Receiver<Event>;

/// A supervised link to a broker. Clones are handles of the same bus; when the last one is dropped the bus is closed in
/// the background.
///
/// ```
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use sockeye_bus::{Bus, BusConfig, Event, Outbound, Topic};
/// use std::{sync::Arc, time::Duration};
///
/// let config = BusConfig { subscribe: vec![Topic::All], ..BusConfig::new("memory://example") };
/// let (bus, mut events) = Bus::open(config, Arc::new(()))?;
/// bus.connected(Duration::from_secs(1)).await?;
/// let delivery = bus.publish(Outbound::new(Topic::All, b"hello".to_vec())).await?;
/// assert_eq!(delivery.receivers, Some(1));
/// assert!(matches!(events.recv().await, Some(Event::Up { first: true, epoch: 1 })));
/// assert!(matches!(events.recv().await, Some(Event::Message(m)) if m.payload == b"hello"[..]));
/// bus.close().await;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
/// ```
#[derive(Clone)]
pub struct Bus {
    handle: Arc<Handle>,
}

/// Shared by the clones of a bus only, so that its drop means that they are all gone.
struct Handle {
    shared: Arc<Shared>,
    listeners: Option<Arc<AtomicUsize>>,
}

impl Bus {
    /// Opens a bus on the broker that the URL names and starts its one supervisor task. Returns at once: the broker may
    /// be away, then the bus goes on trying.
    ///
    /// # Errors
    /// The URL or an option is wrong (the text says what would be right), or there is no tokio runtime.
    pub fn open(config: BusConfig, observer: Arc<dyn Observer>) -> Result<(Self, Events), Error> {
        let driver = crate::driver(&config.url, &config.channel)?;
        Self::with_driver(driver, config, observer)
    }

    /// Like [`open`](Self::open), on a driver of your own; `config.url` is not looked at.
    ///
    /// # Errors
    /// There is no tokio runtime, or the configuration makes no sense.
    pub fn with_driver(
        driver: Box<dyn Driver>,
        config: BusConfig,
        observer: Arc<dyn Observer>,
    ) -> Result<(Self, Events), Error> {
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|e| Error::caused(ErrorKind::Config, "a bus needs a tokio runtime", e))?;
        if config.batch_messages == 0 || config.event_queue == 0 {
            return Err(Error::new(ErrorKind::Config, "batch_messages and event_queue must be at least 1"));
        }
        let shared = Arc::new(Shared::new(config, driver.caps(), driver.describe(), observer));
        let listeners = driver.listeners();
        let (supervisor, events) = Supervisor::new(Arc::clone(&shared), driver);
        runtime.spawn(supervisor.run());
        Ok((Self { handle: Arc::new(Handle { shared, listeners }) }, events))
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Accepts a message into the spool; never blocks. The receipt tells what became of it and may be dropped.
    ///
    /// A batch that was under way when a link broke is sent again: its messages may arrive twice. Stamped ones carry
    /// the same number both times, so that a reader can tell.
    pub fn publish(&self, out: Outbound) -> Receipt {
        self.shared().publish(out)
    }

    /// [`publish`](Self::publish) without a receipt: a little cheaper.
    pub fn publish_detached(&self, out: Outbound) {
        self.shared().publish_detached(out);
    }

    /// Sends a message ahead of the spool and past its hold, or forgets it when there is no link: for heartbeats and
    /// greetings, which are worth nothing later. It takes no sequence number (`stamp` is ignored) and is not counted.
    pub fn publish_control(&self, out: Outbound) {
        self.shared().publish_control(out);
    }

    /// Says that every live peer has been heard on the new link: what the spool held during the outage goes out now.
    pub fn release(&self) {
        self.shared().release();
    }

    /// Changes what is heard, on the open link and on all later ones. A bus that was opened without subscriptions
    /// stays one that only writes.
    pub fn watch(&self, add: &[Topic], remove: &[Topic]) {
        if !self.shared().config.subscribe.is_empty() {
            self.shared().change_topics(add, remove);
        }
    }

    /// Waits for the link.
    ///
    /// # Errors
    /// There was none in time (the error says what the last attempt met), or the bus was closed.
    pub async fn connected(&self, within: Duration) -> Result<(), Error> {
        let mut status = self.shared().status.subscribe();
        let found = timeout(within, status.wait_for(|s| s.up || s.closed)).await;
        let (status, late) = match found {
            Ok(Ok(status)) => (status.clone(), false),
            Ok(Err(_)) | Err(_) => (self.shared().status.borrow().clone(), true),
        };
        match status {
            Status { up: true, .. } => Ok(()),
            Status { closed: true, .. } => Err(Error::new(ErrorKind::Closed, "the bus was closed")),
            Status { error: Some(error), .. } => Err(error),
            Status { error: None, .. } if late => Err(Error::new(
                ErrorKind::Timeout,
                format!("{} did not answer within {within:?}", self.shared().name),
            )),
            Status { .. } => Err(Error::new(ErrorKind::Closed, "the bus was closed")),
        }
    }

    /// Whether there is a link now.
    pub fn is_connected(&self) -> bool {
        self.shared().status.borrow().up
    }

    /// Whether anybody else may hear what is published now. False only where it is certain that nobody does, because the
    /// driver counts its listeners and there is none beside this bus's own link.
    pub fn has_listeners(&self) -> bool {
        // Before the own link is up it is not among those that are counted.
        let own = usize::from(self.is_connected() && !self.shared().config.subscribe.is_empty());
        self.handle.listeners.as_ref().is_none_or(|listeners| listeners.load(Ordering::SeqCst) > own)
    }

    /// What the broker can do.
    pub fn caps(&self) -> Caps {
        self.shared().caps
    }

    /// The broker in words, without credentials.
    pub fn describe(&self) -> &str {
        &self.shared().name
    }

    /// Messages that wait, with those under way, and the bytes of memory that they take.
    pub fn spooled(&self) -> (usize, usize) {
        self.shared().state.lock().spool.size()
    }

    /// The last sequence number of each topic that the broker has taken, for readers that want to notice a missing
    /// tail. Topics that nothing stamped went to are left out.
    pub fn sequences(&self) -> Vec<(Topic, u64)> {
        self.shared().state.lock().spool.sequences()
    }

    /// Waits until everything accepted so far was taken by the broker or dropped. It does not end a hold.
    ///
    /// # Errors
    /// The time was up.
    pub async fn flush(&self, within: Duration) -> Result<(), FlushError> {
        let accepted = self.shared().state.lock().spool.accepted();
        match timeout(within, self.shared().flushed()).await {
            Ok(()) => Ok(()),
            Err(_) => match self.shared().state.lock().spool.unsettled(accepted) {
                0 => Ok(()),
                left => Err(FlushError { left }),
            },
        }
    }

    /// Flushes for at most `close_timeout`, hold or not, and leaves. What is left is counted as
    /// [`Closed`](crate::DropReason::Closed), as is everything that is published from now on.
    pub async fn close(&self) {
        self.handle.begin_close();
        let mut status = self.shared().status.subscribe();
        // An error means that the supervisor is gone, which is what this waits for.
        let _ = status.wait_for(|s| s.closed).await;
    }
}

impl Handle {
    fn begin_close(&self) {
        self.shared.begin_close(Instant::now() + self.shared.config.close_timeout);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.begin_close();
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus")
            .field("broker", &self.shared().name)
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
