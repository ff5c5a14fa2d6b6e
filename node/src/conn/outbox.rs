//! What waits to be sent to one client, and the rules for when too much of it waits.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use sockeye_proto::Time;
use tokio::net::TcpStream;

pub use super::limits::{OutboxLimits, SlowPolicy};
pub(crate) use super::{form::Form, item::Item};

/// Frames up to this size are copied together into one write; larger ones leave from where they are.
const COPY_LIMIT: usize = 16 * 1024;
/// Engine.IO packets in the answer of one GET. python-engineio's client ends the session when it gets more than 16, whatever
/// server they come from; others poll again at once.
const POLL_PACKETS: usize = 16;
/// How much is gathered for one write at the most.
pub(crate) const SCRATCH: usize = 64 * 1024;

/// Where the packets of a connection go.
#[derive(Debug)]
pub(crate) enum Sink {
    /// Into the answer of the next GET.
    Polling,
    /// Into a TCP stream that anyone who holds the lock may write to without waiting.
    Tcp(Arc<TcpStream>),
    /// Into some other stream, which only the connection's own task can write to.
    Stream,
    /// Nowhere any more.
    Closed,
}

/// Who has promised to send what is queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Nobody,
    Flusher,
    /// The connection's task: it is handling a read, or waits until the socket takes more.
    Task,
}

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// Queued; somebody is already on the way to send it.
    Queued,
    /// Queued, and the caller must hand the connection to its flusher.
    Dirty,
    /// A volatile packet that was not worth waiting for.
    Dropped,
    /// An event for which there was no room, where such events are dropped.
    Skipped,
    /// The client is too slow: the caller must close it.
    Overflow,
    /// The connection is closing or gone.
    Closed,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drained {
    /// Nothing is left.
    Empty,
    /// The socket is full; the connection's task waits until it takes more.
    Blocked,
    /// The stream is broken.
    Broken,
}

/// What the answer of a GET contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PollBody {
    Packets,
    /// Packets of which the application wants none compressed.
    Uncompressed,
    Noop,
    Close,
    /// The server is leaving: the client shall try elsewhere.
    Leaving,
}

/// The bounded queue of one connection. The lock is the last one taken: nothing is locked under it.
#[derive(Debug)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    /// The queue went over its soft limit since [`pause_reader`](Self::pause_reader) last looked. For whoever handles many
    /// packets in a row and should not add the answers to all of them to a queue that nobody drains meanwhile.
    long: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    queue: VecDeque<Item>,
    bytes: usize,
    /// Bytes of the front item that have left already. Only a WebSocket sends part of an item.
    sent: usize,
    /// When the client last took something, or when the queue began to fill.
    progress: Time,
    sink: Sink,
    form: Form,
    owner: Owner,
    /// The GET that waits, or the task that runs the WebSocket. Kept under the lock, so that a GET of the old transport
    /// cannot take the new one's place.
    waker: Option<Waker>,
    /// A transport upgrade is under way: a waiting GET has to come back.
    release_poll: bool,
    /// The reader waits until the queue is short again.
    reader_waits: bool,
    /// Nothing more is accepted; what is queued still leaves.
    closing: bool,
    /// What a GET is answered with when nothing is left after that.
    goodbye: PollBody,
    /// The bound that was met last, as the label of its counter.
    overflow: &'static str,
}

impl Outbox {
    pub(crate) fn new(sink: Sink, form: Form) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            bytes: 0,
            sent: 0,
            progress: Time(0),
            sink,
            form,
            owner: Owner::Nobody,
            waker: None,
            release_poll: false,
            reader_waits: false,
            closing: false,
            goodbye: PollBody::Close,
            overflow: "outbox_age",
        };
        Self { inner: Mutex::new(inner), long: AtomicBool::new(false) }
    }

    /// The task of a WebSocket wants to be woken when there is something to do for it.
    pub(crate) fn register_task(&self, waker: &Waker) {
        let mut inner = self.inner.lock();
        if !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
            inner.waker = Some(waker.clone());
        }
    }

    /// Queues one packet.
    pub(crate) fn push(&self, item: Item, volatile: bool, now: Time, limits: &OutboxLimits) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.closing || matches!(inner.sink, Sink::Closed) {
            return Pushed::Closed;
        }
        let size = item.size();
        if !inner.queue.is_empty() {
            let bytes = inner.bytes + size;
            let packets = inner.queue.len() + 1;
            let drops = volatile && limits.policy != SlowPolicy::Close;
            if drops && (bytes > limits.soft_bytes || packets > limits.soft_packets) {
                return Pushed::Dropped;
            }
            if bytes > limits.hard_bytes || packets > limits.hard_packets {
                inner.overflow = if bytes > limits.hard_bytes { "outbox_bytes" } else { "outbox_packets" };
                return Pushed::Overflow;
            }
        } else {
            inner.progress = now;
        }
        inner.bytes += size;
        inner.queue.push_back(item);
        if inner.is_long(limits) {
            self.long.store(true, Ordering::Relaxed);
        }
        self.announce(inner)
    }

    /// Queues a heartbeat before everything else: it must not wait behind what a slow client has not read.
    pub(crate) fn push_ping(&self, now: Time) -> Pushed {
        self.push_first(Item::Text(Bytes::from_static(b"2")), now)
    }

    /// Queues the answer to a heartbeat of a client of Engine.IO 3, like a heartbeat of ours. One that asks again before it
    /// has read the answer gets no second one.
    pub(crate) fn push_answer(&self, data: &str, now: Time) -> Pushed {
        let is_answer = |item: &Item| matches!(item, Item::Text(text) if text.first() == Some(&b'3'));
        // Others may have been put before it, but each of those once.
        if self.inner.lock().queue.iter().take(4).any(is_answer) {
            return Pushed::Queued;
        }
        self.push_first(Item::Text(format!("3{data}").into()), now)
    }

    /// Queues the answer to a WebSocket ping. A client that asks for too many and reads none does not get all.
    pub(crate) fn push_pong(&self, frame: Bytes, now: Time) -> Pushed {
        if matches!(self.inner.lock().queue.back(), Some(Item::Frame(_))) {
            return Pushed::Dropped;
        }
        self.push_first(Item::Frame(frame), now)
    }

    /// Queues the end of a WebSocket before everything else.
    pub(crate) fn push_close(&self, frame: Bytes, now: Time) -> Pushed {
        self.push_first(Item::Frame(frame), now)
    }

    fn push_first(&self, item: Item, now: Time) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.closing || matches!(inner.sink, Sink::Closed) {
            return Pushed::Closed;
        }
        if inner.queue.is_empty() {
            inner.progress = now;
        }
        inner.bytes += item.size();
        // A frame that has begun to leave must end before another begins.
        let at = usize::from(inner.sent > 0);
        inner.queue.insert(at, item);
        self.announce(inner)
    }

    fn announce(&self, mut inner: MutexGuard<'_, Inner>) -> Pushed {
        match inner.sink {
            Sink::Tcp(_) if inner.owner == Owner::Nobody => {
                inner.owner = Owner::Flusher;
                Pushed::Dirty
            }
            Sink::Tcp(_) => Pushed::Queued,
            Sink::Polling | Sink::Stream => {
                inner.wake();
                Pushed::Queued
            }
            Sink::Closed => Pushed::Closed,
        }
    }

    /// The flusher's turn.
    pub(crate) fn flush(&self, scratch: &mut Vec<u8>, now: Time, written: &mut u64) {
        let mut inner = self.inner.lock();
        if inner.owner != Owner::Flusher {
            return;
        }
        match inner.drain(scratch, now, written) {
            Drained::Empty => {
                inner.owner = Owner::Nobody;
                if std::mem::take(&mut inner.reader_waits) || inner.closing {
                    inner.wake();
                }
            }
            Drained::Blocked | Drained::Broken => {
                inner.owner = Owner::Task;
                inner.wake();
            }
        }
    }

    /// The connection's task takes over, so that what its handlers send leaves with its own write.
    pub(crate) fn claim(&self) {
        self.inner.lock().owner = Owner::Task;
    }

    /// The connection's task sends what it can and gives the outbox back when it is empty.
    pub(crate) fn flush_own(&self, scratch: &mut Vec<u8>, now: Time, written: &mut u64) -> Drained {
        let mut inner = self.inner.lock();
        let drained = inner.drain(scratch, now, written);
        inner.owner = if drained == Drained::Empty { Owner::Nobody } else { Owner::Task };
        drained
    }

    /// Whether the task must wait until the socket takes more.
    pub(crate) fn is_blocked(&self) -> bool {
        self.inner.lock().owner == Owner::Task
    }

    /// For streams that only the task can write to: the next bytes, nothing if the queue is empty.
    pub(crate) fn take_stream_bytes(&self, scratch: &mut Vec<u8>, now: Time) -> bool {
        let mut inner = self.inner.lock();
        scratch.clear();
        while let Some(item) = inner.queue.front() {
            if !scratch.is_empty() && scratch.len() + item.websocket_len(inner.form) > SCRATCH {
                break;
            }
            item.write_websocket(inner.form, scratch, 0);
            let size = item.size();
            inner.bytes = inner.bytes.saturating_sub(size);
            inner.queue.pop_front();
        }
        if inner.queue.is_empty() {
            inner.bytes = 0;
            inner.queue = VecDeque::new();
        }
        inner.progress = now;
        !scratch.is_empty()
    }

    /// Whether the client has so much unread that it should not be read from; then the reader is woken when that changes.
    pub(crate) fn pause_reader(&self, limits: &OutboxLimits) -> bool {
        let mut inner = self.inner.lock();
        let over = inner.is_long(limits);
        inner.reader_waits = over;
        if !over {
            self.long.store(false, Ordering::Relaxed);
        }
        over
    }

    /// Whether it is time to ask [`pause_reader`](Self::pause_reader).
    pub(crate) fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    /// What a waiting GET can be answered with; if nothing yet, `waker` is woken when there is. Packets are appended to
    /// `body`, about `max_payload` bytes at the most.
    pub(crate) fn take_poll(
        &self,
        body: &mut Vec<u8>,
        max_payload: usize,
        now: Time,
        waker: &Waker,
    ) -> Option<PollBody> {
        let mut inner = self.inner.lock();
        if !matches!(inner.sink, Sink::Polling) {
            let released = matches!(inner.sink, Sink::Closed);
            return Some(if released { inner.goodbye } else { PollBody::Noop });
        }
        let (mut packets, mut compress) = (0, false);
        if inner.form != Form::V4 {
            compress = inner.take_v3(body, max_payload);
        }
        while inner.form == Form::V4
            && let Some(item) = inner.queue.front()
        {
            let (more, bytes) = item.polling_size();
            if more > 0 {
                if !body.is_empty() {
                    if body.len() + 1 + bytes > max_payload || packets + more > POLL_PACKETS {
                        break;
                    }
                    body.push(0x1e);
                }
                item.write_polling(body);
                packets += more;
                compress |= item.wants_compression();
            }
            let size = item.size();
            inner.bytes = inner.bytes.saturating_sub(size);
            inner.queue.pop_front();
        }
        if !body.is_empty() {
            inner.progress = now;
            if inner.queue.is_empty() {
                inner.bytes = 0;
                inner.queue = VecDeque::new();
            }
            return Some(if compress { PollBody::Packets } else { PollBody::Uncompressed });
        }
        if inner.closing {
            return Some(inner.goodbye);
        }
        if std::mem::take(&mut inner.release_poll) {
            return Some(PollBody::Noop);
        }
        inner.waker = Some(waker.clone());
        None
    }

    /// A waiting GET returns empty-handed, because the client moves to WebSocket.
    pub(crate) fn release_poll(&self) {
        let mut inner = self.inner.lock();
        inner.release_poll = true;
        inner.wake();
    }

    /// A GET begins: an older wish for its return is void.
    pub(crate) fn begin_poll(&self) {
        self.inner.lock().release_poll = false;
    }

    /// Moves everything that is queued, and all that follows, to another transport. Returns the old one.
    pub(crate) fn switch(&self, sink: Sink, form: Form) -> Sink {
        let mut inner = self.inner.lock();
        inner.form = form;
        inner.sent = 0;
        // The caller is the task of the new transport and sends what is queued.
        inner.owner = Owner::Task;
        let old = std::mem::replace(&mut inner.sink, sink);
        inner.wake();
        old
    }

    /// Accepts nothing more. With `discard` what is queued is thrown away; the number of packets is returned. A GET is
    /// answered with `goodbye` when nothing is left.
    pub(crate) fn close(&self, discard: bool, goodbye: PollBody) -> usize {
        let mut inner = self.inner.lock();
        inner.closing = true;
        inner.goodbye = goodbye;
        let lost = if discard {
            let lost = inner.queue.len();
            inner.queue = VecDeque::new();
            inner.bytes = 0;
            lost
        } else {
            0
        };
        inner.wake();
        lost
    }

    /// Lets go of the transport; returns how many packets never left.
    pub(crate) fn release(&self) -> usize {
        let mut inner = self.inner.lock();
        inner.closing = true;
        inner.sink = Sink::Closed;
        inner.bytes = 0;
        let lost = inner.queue.len();
        inner.queue = VecDeque::new();
        lost
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.inner.lock().closing
    }

    /// Too many packets wait for the client elsewhere.
    pub(crate) fn overflowed(&self) -> Pushed {
        self.inner.lock().overflow = "outbox_packets";
        Pushed::Overflow
    }

    /// Which bound of the outbox the client that is closed as slow has met.
    pub(crate) fn overflow(&self) -> &'static str {
        self.inner.lock().overflow
    }

    /// The form of the packets.
    pub(crate) fn form(&self) -> Form {
        self.inner.lock().form
    }

    /// From now on packets have this form.
    pub(crate) fn set_form(&self, form: Form) {
        self.inner.lock().form = form;
    }

    /// Since when nothing moved although packets wait.
    pub(crate) fn stuck_since(&self) -> Option<Time> {
        let inner = self.inner.lock();
        (!inner.queue.is_empty()).then_some(inner.progress)
    }

    /// Queued bytes and packets.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.bytes, inner.queue.len())
    }
}

impl Inner {
    fn is_long(&self, limits: &OutboxLimits) -> bool {
        self.bytes > limits.soft_bytes || self.queue.len() > limits.soft_packets
    }

    /// Takes packets for the answer of a GET of Engine.IO 3, which are written in one of several forms, depending on all of
    /// them.
    fn take_v3(&mut self, body: &mut Vec<u8>, max_payload: usize) -> bool {
        let (mut items, mut packets, mut size, mut binary, mut ascii) = (0, 0, 0, false, true);
        for item in &self.queue {
            let next = item.polling_v3();
            let fits = size + next.size <= max_payload && packets + next.packets <= POLL_PACKETS;
            if packets > 0 && !fits {
                break;
            }
            items += 1;
            packets += next.packets;
            size += next.size;
            binary |= next.binary;
            ascii &= next.ascii;
        }
        let payload = self.form.payload(binary, ascii);
        let mut compress = false;
        for item in self.queue.drain(..items) {
            item.write_polling_v3(payload, body);
            compress |= item.wants_compression();
            self.bytes = self.bytes.saturating_sub(item.size());
        }
        compress
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn drain(&mut self, scratch: &mut Vec<u8>, now: Time, total: &mut u64) -> Drained {
        let Self { queue, bytes, sent, sink, form, progress, .. } = self;
        let Sink::Tcp(stream) = sink else { return Drained::Empty };
        while let Some(front) = queue.front() {
            let (wanted, result) = match front {
                Item::Shared(packet) if form.frames(packet).len() > COPY_LIMIT => {
                    let rest = &form.frames(packet)[*sent..];
                    (rest.len(), stream.try_write(rest))
                }
                _ => {
                    scratch.clear();
                    let mut skip = *sent;
                    for item in queue.iter() {
                        let len = item.websocket_len(*form);
                        let too_much = scratch.len() + len > SCRATCH || len > COPY_LIMIT;
                        if too_much && !scratch.is_empty() {
                            break;
                        }
                        item.write_websocket(*form, scratch, skip);
                        skip = 0;
                    }
                    (scratch.len(), stream.try_write(scratch))
                }
            };
            let written = match result {
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Drained::Blocked,
                Err(_) => return Drained::Broken,
            };
            *progress = now;
            *total += written as u64;
            let mut left = *sent + written;
            while let Some(item) = queue.front() {
                let len = item.websocket_len(*form);
                if left < len {
                    break;
                }
                left -= len;
                *bytes = bytes.saturating_sub(item.size());
                queue.pop_front();
            }
            *sent = left;
            if written < wanted {
                return Drained::Blocked;
            }
        }
        // An idle connection keeps no buffer.
        *queue = VecDeque::new();
        *bytes = 0;
        Drained::Empty
    }
}

#[cfg(test)]
#[path = "outbox_tests.rs"]
mod tests;
