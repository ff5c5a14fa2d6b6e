//! A bounded queue of incoming messages for drivers whose broker, or client library, cannot be made to wait.

use crate::{
    error::{Error, ErrorKind},
    message::Inbound,
};
use parking_lot::Mutex;
use std::{collections::VecDeque, time::Duration};
use tokio::{sync::Notify, time::timeout};

/// Bytes that may wait. A slower reader loses its oldest messages and is told how many, as Redis cuts off a subscriber
/// whose output buffer is full: nobody else may have to wait for it.
const LIMIT: usize = 64 << 20;

/// Bytes from which a writer that can wait should.
const FULL: usize = 1 << 20;

/// What waits for one subscriber: many writers, one reader.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// A leaf lock.
    queue: Mutex<Queue>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Inbound>,
    bytes: usize,
    missed: u64,
    room: Room,
}

/// Whether writers that can wait should.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
enum Room {
    #[default]
    Enough,
    /// Until half of it is free.
    Full,
    /// They have waited long enough: until half of it is free, nobody waits again.
    Hopeless,
}

fn weight(message: &Inbound) -> usize {
    message.payload.len() + size_of::<Inbound>()
}

impl Mailbox {
    /// Adds a message; true if the writer should [wait](Self::room) before the next ones.
    pub(crate) fn push(&self, message: Inbound) -> bool {
        let mut queue = self.queue.lock();
        let was_empty = queue.messages.is_empty();
        queue.bytes += weight(&message);
        queue.messages.push_back(message);
        while queue.bytes > LIMIT {
            let Some(oldest) = queue.messages.pop_front() else { break };
            queue.bytes -= weight(&oldest);
            queue.missed += 1;
        }
        if queue.bytes > FULL && queue.room == Room::Enough {
            queue.room = Room::Full;
        }
        let full = queue.room == Room::Full;
        drop(queue);
        if was_empty {
            self.filled.notify_one();
        }
        full
    }

    /// Waits until the reader has made room, but not for ever: a reader that does not read must not stop everybody
    /// else.
    pub(crate) async fn room(&self, at_most: Duration) {
        let room = async {
            loop {
                // Registered before the look, so that no change between the two is missed.
                let mut emptied = std::pin::pin!(self.emptied.notified());
                emptied.as_mut().enable();
                if self.queue.lock().room != Room::Full {
                    return;
                }
                emptied.await;
            }
        };
        if timeout(at_most, room).await.is_err() {
            self.queue.lock().room = Room::Hopeless;
            self.emptied.notify_waiters();
        }
    }

    /// Messages were lost before they could be pushed.
    pub(crate) fn missed(&self, messages: u64) {
        self.queue.lock().missed += messages;
        self.filled.notify_one();
    }

    /// The oldest message, or how many were lost before it.
    pub(crate) fn pop(&self) -> Option<Result<Inbound, Error>> {
        let mut queue = self.queue.lock();
        match std::mem::take(&mut queue.missed) {
            0 => {
                let message = queue.messages.pop_front()?;
                queue.bytes -= weight(&message);
                if queue.bytes <= FULL / 2 && queue.room != Room::Enough {
                    queue.room = Room::Enough;
                    self.emptied.notify_waiters();
                }
                if queue.messages.is_empty() && queue.messages.capacity() > 4096 {
                    // What a burst needed is not kept for life.
                    queue.messages = VecDeque::new();
                }
                Some(Ok(message))
            }
            missed => Some(Err(Error::new(
                ErrorKind::Lagged(missed),
                format!("the reader was too slow: {missed} messages were lost"),
            ))),
        }
    }

    /// Waits for [`pop`](Self::pop) to have something. Cancel-safe.
    pub(crate) async fn recv(&self) -> Result<Inbound, Error> {
        loop {
            if let Some(received) = self.pop() {
                return received;
            }
            self.filled.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Topic;

    #[test]
    fn a_slow_reader_loses_the_oldest_and_is_told_how_many() {
        let mailbox = Mailbox::default();
        let chunk = bytes::Bytes::from(vec![0; LIMIT / 8]);
        for _ in 0..10 {
            mailbox.push(Inbound { topic: Topic::All, payload: chunk.clone() });
        }
        let lost = mailbox.pop().and_then(Result::err).map(|e| e.kind());
        assert_eq!(lost, Some(ErrorKind::Lagged(3)));
        let kept = std::iter::from_fn(|| mailbox.pop()).filter(Result::is_ok).count();
        assert_eq!(kept, 7);
    }

    #[tokio::test(start_paused = true)]
    async fn a_writer_waits_for_a_reader_that_reads_and_gives_up_on_one_that_does_not() {
        let mailbox = Mailbox::default();
        let message = || Inbound { topic: Topic::All, payload: bytes::Bytes::from(vec![0; FULL / 4]) };
        while !mailbox.push(message()) {}
        let start = tokio::time::Instant::now();
        let second = Duration::from_secs(1);
        let read = async {
            tokio::time::sleep(second / 2).await;
            while mailbox.pop().is_some() {}
        };
        tokio::join!(mailbox.room(second), read);
        assert_eq!(start.elapsed(), second / 2, "it waited until there was room");
        while !mailbox.push(message()) {}
        mailbox.room(second).await;
        assert_eq!(start.elapsed(), second / 2 + second, "it waited as long as it may");
        assert!(!mailbox.push(message()), "and does not wait again");
        while mailbox.pop().is_some() {}
        while !mailbox.push(message()) {}
    }
}
