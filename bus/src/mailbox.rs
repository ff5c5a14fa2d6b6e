//! A bounded queue of incoming messages for drivers whose broker, or client library, cannot be made to wait.

use crate::{
    error::{Error, ErrorKind},
    message::Inbound,
};
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Bytes that may wait. A slower reader loses its oldest messages and is told how many, as Redis cuts off a subscriber
/// whose output buffer is full: nobody else may have to wait for it.
const LIMIT: usize = 64 << 20;

/// What waits for one subscriber: many writers, one reader.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    /// A leaf lock.
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Inbound>,
    bytes: usize,
    missed: u64,
}

fn weight(message: &Inbound) -> usize {
    message.payload.len() + size_of::<Inbound>()
}

impl Mailbox {
    pub(crate) fn push(&self, message: Inbound) {
        let mut queue = self.queue.lock();
        let was_empty = queue.messages.is_empty();
        queue.bytes += weight(&message);
        queue.messages.push_back(message);
        while queue.bytes > LIMIT {
            let Some(oldest) = queue.messages.pop_front() else { break };
            queue.bytes -= weight(&oldest);
            queue.missed += 1;
        }
        drop(queue);
        if was_empty {
            self.filled.notify_one();
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
}
