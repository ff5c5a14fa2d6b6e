//! The embedded bus: a hub per name that everything in the process shares.

use crate::{
    driver::{BoxFuture, Caps, Driver, Link, Rx, SendError, Tx},
    error::Error,
    mailbox::Mailbox,
    message::{Delivery, Inbound, Outbound, Topic},
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How long a writer waits for a subscriber that is behind, before it goes on without waiting for that one.
const PATIENCE: Duration = Duration::from_secs(1);

/// Hubs by name and channel.
type Hubs = HashMap<(String, String), Weak<Hub>>;

/// The hubs that somebody uses.
static HUBS: LazyLock<Mutex<Hubs>> = LazyLock::new(Mutex::default);

/// The driver of the embedded bus.
#[derive(Debug)]
pub struct Memory {
    name: String,
    hub: Arc<Hub>,
}

impl Memory {
    /// The hub of this name and channel, shared by everything in the process that asks for the same two.
    pub fn named(name: &str, channel: &str) -> Self {
        let mut hubs = HUBS.lock();
        hubs.retain(|_, hub| hub.strong_count() > 0);
        let place = hubs.entry((name.to_owned(), channel.to_owned())).or_default();
        let hub = place.upgrade().unwrap_or_default();
        *place = Arc::downgrade(&hub);
        Self { name: name.to_owned(), hub }
    }
}

impl Driver for Memory {
    fn caps(&self) -> Caps {
        Caps {
            direct: true,
            cheap_topics: true,
            replay: None,
            ordered: true,
            max_payload: None,
            echoes_own: true,
            counts_receivers: true,
        }
    }

    fn connect<'a>(&'a self, subscribe: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>> {
        let seat = (!subscribe.is_empty()).then(|| Arc::new(Seat::new(&self.hub, subscribe)));
        let rx = seat.clone().map(|seat| Box::new(Reader { seat }) as Box<dyn Rx>);
        let tx = Box::new(Writer { hub: Arc::clone(&self.hub), seat });
        Box::pin(std::future::ready(Ok(Link { tx, rx })))
    }

    fn describe(&self) -> String {
        format!("memory://{}", self.name)
    }

    fn listeners(&self) -> Option<Arc<AtomicUsize>> {
        Some(Arc::clone(&self.hub.seats))
    }
}

/// Who hears what.
#[derive(Debug, Default)]
struct Hub {
    /// Taken before a mailbox's lock, never after.
    routes: Mutex<HashMap<Topic, Vec<Arc<Mailbox>>>>,
    /// How many links listen.
    seats: Arc<AtomicUsize>,
}

impl Hub {
    fn add(&self, topic: &Topic, mailbox: &Arc<Mailbox>) {
        let mut routes = self.routes.lock();
        let heard = routes.entry(topic.clone()).or_default();
        if !heard.iter().any(|m| Arc::ptr_eq(m, mailbox)) {
            heard.push(Arc::clone(mailbox));
        }
    }

    fn remove(&self, topic: &Topic, mailbox: &Arc<Mailbox>) {
        let mut routes = self.routes.lock();
        if let Some(heard) = routes.get_mut(topic) {
            heard.retain(|m| !Arc::ptr_eq(m, mailbox));
            if heard.is_empty() {
                routes.remove(topic);
            }
        }
    }

    /// Hands a batch to everybody who hears it, and notes who cannot take much more.
    fn publish(&self, batch: &[Outbound], full: &mut Vec<Arc<Mailbox>>) -> Vec<Result<Delivery, Error>> {
        let routes = self.routes.lock();
        let mut deliver = |out: &Outbound| {
            let heard = routes.get(&out.topic).map_or(&[][..], Vec::as_slice);
            if !heard.is_empty() {
                let message =
                    Inbound { topic: out.topic.clone(), payload: Bytes::copy_from_slice(&out.payload) };
                for mailbox in heard {
                    if mailbox.push(message.clone()) && !full.iter().any(|m| Arc::ptr_eq(m, mailbox)) {
                        full.push(Arc::clone(mailbox));
                    }
                }
            }
            Ok(Delivery { receivers: Some(heard.len() as u64) })
        };
        batch.iter().map(&mut deliver).collect()
    }
}

/// A subscriber's place in the hub; leaves it when dropped.
#[derive(Debug)]
struct Seat {
    hub: Arc<Hub>,
    mailbox: Arc<Mailbox>,
    topics: Mutex<Vec<Topic>>,
}

impl Seat {
    fn new(hub: &Arc<Hub>, topics: &[Topic]) -> Self {
        let mailbox = Arc::new(Mailbox::default());
        hub.seats.fetch_add(1, Ordering::SeqCst);
        topics.iter().for_each(|topic| hub.add(topic, &mailbox));
        Self { hub: Arc::clone(hub), mailbox, topics: Mutex::new(topics.to_vec()) }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for topic in self.topics.get_mut() {
            self.hub.remove(topic, &self.mailbox);
        }
        self.hub.seats.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Writer {
    hub: Arc<Hub>,
    seat: Option<Arc<Seat>>,
}

impl Tx for Writer {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>> {
        Box::pin(async move {
            let mut full = Vec::new();
            let answers = self.hub.publish(batch, &mut full);
            for mailbox in full {
                mailbox.room(PATIENCE).await;
            }
            Ok(answers)
        })
    }

    fn watch<'a>(&'a mut self, add: &'a [Topic], remove: &'a [Topic]) -> BoxFuture<'a, Result<(), Error>> {
        if let Some(seat) = &self.seat {
            let mut topics = seat.topics.lock();
            for topic in remove {
                topics.retain(|t| t != topic);
                seat.hub.remove(topic, &seat.mailbox);
            }
            for topic in add {
                topics.push(topic.clone());
                seat.hub.add(topic, &seat.mailbox);
            }
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

struct Reader {
    seat: Arc<Seat>,
}

impl Rx for Reader {
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>> {
        Box::pin(self.seat.mailbox.recv())
    }

    fn try_recv(&mut self) -> Option<Result<Inbound, Error>> {
        self.seat.mailbox.pop()
    }
}
