//! The handle of an emitter.

use crate::{
    broadcast::Broadcast,
    builder::{Builder, Dialect},
    error::{EmitError, FlushError, Reason, Subject},
    ledger::Ledger,
    receipt::Receipt,
    rooms::IntoRooms,
    wire::{Action, Wire},
};
use smallvec::SmallVec;
use sockeye_bus::{Bus, DropReason, Error, ErrorKind};
use sockeye_proto::{
    bus::Target,
    name::{NamespacePath, RoomName},
    sio::IntoArgs,
};
use std::{fmt, sync::Arc, time::Duration};

/// Publishes to the clients of a cluster, in one namespace. Clones and [`of`](Self::of) share one connection and queue,
/// which end in the background when the last of them is gone; [`close`](Self::close) waits for that.
///
/// See the [crate's page](crate) for what is promised.
#[derive(Clone)]
pub struct Emitter {
    inner: Arc<Inner>,
    namespace: NamespacePath,
}

/// What all handles and receipts of one emitter share.
pub(crate) struct Inner {
    bus: Bus,
    wire: Wire,
    pub(crate) ledger: Arc<Ledger>,
}

/// The numbers of an emitter, since it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Whether there is a connection to the broker now.
    pub connected: bool,
    /// Messages that wait for the broker.
    pub waiting: usize,
    /// Bytes of memory that they take.
    pub waiting_bytes: usize,
    /// Messages that the broker took.
    pub published: u64,
    /// Messages that were lost, for whatever reason; [`Emitter::lost`] tells them apart.
    pub lost: u64,
    /// Operations that could not be sent at all: arguments, names, lengths, or a dialect without words for them.
    pub invalid: u64,
}

impl Emitter {
    /// An emitter for the namespace `/`, on the broker that the URL names, with the defaults of [`builder`](Self::builder).
    /// Returns at once: until the broker is reached, messages wait in the queue.
    ///
    /// ```
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use sockeye_emitter::Emitter;
    ///
    /// // The bus inside of this process, which servers in the same process may share.
    /// let emitter = Emitter::connect("memory://example").await?;
    /// let delivery = emitter.to("room").emit("hello", ("world", 42)).await?;
    /// assert_eq!(delivery.receivers, Some(0), "there are no servers");
    /// emitter.close().await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(example()).unwrap();
    /// ```
    ///
    /// # Errors
    /// The URL is wrong (the text says what would be right, and no password), or there is no tokio runtime.
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, Error> {
        Self::builder().connect(url).await
    }

    /// An emitter with options of your own.
    ///
    /// ```no_run
    /// # async fn f() -> Result<(), sockeye_emitter::Error> {
    /// use sockeye_emitter::{Dialect, Emitter, OnOutage};
    /// use std::time::Duration;
    ///
    /// let emitter = Emitter::builder()
    ///     .channel("shop")
    ///     .dialect(Dialect::Python)
    ///     .wait(Duration::from_secs(5))
    ///     .spool_bytes(8 << 20)
    ///     .on_outage(OnOutage::Fail)
    ///     .connect("redis://worker:secret@redis.internal:6379")
    ///     .await?;
    /// # Ok(()) }
    /// ```
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new(bus: Bus, wire: Wire, ledger: Arc<Ledger>) -> Self {
        Self { inner: Arc::new(Inner { bus, wire, ledger }), namespace: NamespacePath::root() }
    }

    /// The same emitter in another namespace. A missing `/` in front is added.
    pub fn namespace(&self, path: impl Into<NamespacePath>) -> Self {
        Self { inner: Arc::clone(&self.inner), namespace: path.into() }
    }

    /// Short for [`namespace`](Self::namespace), as in Socket.IO's own libraries.
    pub fn of(&self, path: impl Into<NamespacePath>) -> Self {
        self.namespace(path)
    }

    /// The namespace that this handle emits to.
    pub fn path(&self) -> &NamespacePath {
        &self.namespace
    }

    /// Everyone in the namespace.
    pub fn all(&self) -> Broadcast {
        Broadcast::new(self.clone())
    }

    /// The members of one or more rooms. A socket's id is the name of its own room.
    pub fn to(&self, rooms: impl IntoRooms) -> Broadcast {
        self.all().to(rooms)
    }

    /// Everyone but the members of these rooms.
    pub fn except(&self, rooms: impl IntoRooms) -> Broadcast {
        self.all().except(rooms)
    }

    /// Everyone who is ready to receive: see [`Broadcast::volatile`].
    pub fn volatile(&self) -> Broadcast {
        self.all().volatile()
    }

    /// Sends an event to everyone in the namespace.
    pub fn emit(&self, event: &str, args: impl IntoArgs) -> Receipt {
        self.all().emit(event, args)
    }

    /// Takes everyone out of these rooms, which ends them. Clients stay connected.
    pub fn close_room(&self, rooms: impl IntoRooms) -> Receipt {
        let rooms: SmallVec<[RoomName; 2]> = rooms.into_rooms().collect();
        let subject = Subject::new("close_room", None, &self.namespace);
        if rooms.is_empty() {
            return Receipt::nothing(subject, Arc::clone(&self.inner));
        }
        self.send(subject, &Target::default(), &Action::CloseRooms(&rooms))
    }

    /// Sends an event to the nodes' own handlers for server-side events. Clients do not see it.
    pub fn server_emit(&self, event: &str, args: impl IntoArgs) -> Receipt {
        let subject = Subject::new("server_emit", Some(event), &self.namespace);
        match args.into_args() {
            Ok(args) => self.send(subject, &Target::default(), &Action::ServerEmit { event, args: &args }),
            Err(error) => self.refuse(subject, Reason::Args(error)),
        }
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn send(&self, subject: Subject, target: &Target, action: &Action<'_>) -> Receipt {
        match self.inner.wire.messages(&self.namespace, target, action) {
            Ok(messages) => {
                let receipts = messages.into_iter().map(|out| self.inner.bus.publish(out)).collect();
                Receipt::waiting(receipts, subject, Arc::clone(&self.inner))
            }
            Err(reason) => self.refuse(subject, reason),
        }
    }

    /// It cannot be sent. Logged here, because the receipt may be ignored.
    pub(crate) fn refuse(&self, subject: Subject, reason: Reason) -> Receipt {
        tracing::error!("{}", EmitError::new(subject.clone(), reason.clone()));
        let receipt = Receipt::failed(reason, true, subject, Arc::clone(&self.inner));
        self.inner.ledger.invalid();
        receipt
    }

    /// Waits for the connection to the broker.
    ///
    /// # Errors
    /// There was none in time (the error says what the last attempt met), or the emitter was closed.
    pub async fn connected(&self, within: Duration) -> Result<(), Error> {
        self.inner.bus.connected(within).await
    }

    /// Whether there is a connection to the broker now.
    pub fn is_connected(&self) -> bool {
        self.inner.bus.is_connected()
    }

    /// Waits until everything emitted so far, in whatever namespace, was taken by the broker.
    ///
    /// # Errors
    /// Something still waits when the time is up, or something was lost since the last flush without its receipt having
    /// told so.
    pub async fn flush(&self, within: Duration) -> Result<(), FlushError> {
        let waiting = self.inner.bus.flush(within).await.map_or_else(|error| error.left, |()| 0);
        self.inner.settle(waiting).await
    }

    /// Flushes for at most [`Builder::close_timeout`] and ends the connection, for all handles of this emitter. What is
    /// emitted from now on is lost.
    ///
    /// # Errors
    /// Something was lost, as for [`flush`](Self::flush).
    pub async fn close(&self) -> Result<(), FlushError> {
        let cause = self.inner.trouble().await;
        self.inner.bus.close().await;
        match self.inner.ledger.turn() {
            0 => Ok(()),
            lost => Err(FlushError { waiting: 0, lost, cause }),
        }
    }

    /// The numbers of this emitter.
    pub fn stats(&self) -> Stats {
        let Inner { bus, ledger, .. } = &*self.inner;
        let (waiting, waiting_bytes) = bus.spooled();
        Stats {
            connected: bus.is_connected(),
            waiting,
            waiting_bytes,
            published: ledger.published_so_far(),
            lost: ledger.lost_so_far(),
            invalid: ledger.invalid_so_far(),
        }
    }

    /// How many messages were lost for one reason.
    pub fn lost(&self, reason: DropReason) -> u64 {
        self.inner.ledger.lost_for(reason)
    }

    /// How this emitter writes.
    pub fn dialect(&self) -> Dialect {
        self.inner.wire.dialect
    }

    /// The broker in words, without credentials.
    pub fn describe(&self) -> &str {
        self.inner.bus.describe()
    }
}

impl Inner {
    async fn settle(&self, waiting: usize) -> Result<(), FlushError> {
        match self.ledger.turn() {
            0 if waiting == 0 => Ok(()),
            lost => Err(FlushError { waiting, lost, cause: self.trouble().await }),
        }
    }

    /// What is wrong with the link now, if something is known to be.
    pub(crate) async fn trouble(&self) -> Option<Error> {
        let error = self.bus.connected(Duration::ZERO).await.err()?;
        let nothing_tried_yet =
            error.kind() == ErrorKind::Timeout && error.to_string().ends_with("within 0ns");
        let says_why = error.kind() != ErrorKind::Closed && !nothing_tried_yet;
        says_why.then_some(error)
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emitter")
            .field("broker", &self.describe())
            .field("namespace", &self.namespace)
            .field("dialect", &self.dialect())
            .field("connected", &self.is_connected())
            .finish_non_exhaustive()
    }
}
