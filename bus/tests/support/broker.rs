//! A broker made of a vector, for tests on virtual time: it refuses, stalls, breaks and goes deaf when told to.

use parking_lot::Mutex;
use sockeye_bus::{
    BoxFuture, Caps, Delivery, Driver, Error, ErrorKind, Inbound, Link, Outbound, Rx, SendError, Topic, Tx,
};
use std::sync::Arc;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// What the broker does to everybody.
#[derive(Copy, Clone, Debug, Default, PartialEq)]
pub(crate) struct Mood {
    /// Connecting fails at once.
    pub(crate) refuse: bool,
    /// Messages are taken and handed to nobody.
    pub(crate) deaf: bool,
    /// Nothing is answered.
    pub(crate) stall: bool,
    /// Links of an older age are broken.
    pub(crate) age: u64,
}

#[derive(Clone)]
pub(crate) struct Broker {
    mood: Arc<watch::Sender<Mood>>,
    state: Arc<Mutex<State>>,
    echoes: bool,
}

#[derive(Default)]
struct State {
    log: Vec<(Instant, Outbound)>,
    connects: Vec<Instant>,
    poison: Option<Vec<u8>>,
    refused: Option<Vec<u8>>,
    /// Takes the first half of the next batch, then breaks.
    half: bool,
    readers: Vec<(Vec<Topic>, mpsc::UnboundedSender<Inbound>)>,
}

impl Broker {
    pub(crate) fn new() -> Self {
        Self { mood: Arc::new(watch::Sender::new(Mood::default())), state: Arc::default(), echoes: true }
    }

    pub(crate) fn mood(&self, change: impl FnOnce(&mut Mood)) {
        self.mood.send_modify(change);
    }

    /// Breaks every open link.
    pub(crate) fn cut(&self) {
        self.mood(|m| m.age += 1);
        self.state.lock().readers.clear();
    }

    /// Breaks the link whenever a batch contains this payload.
    pub(crate) fn poison(&self, payload: &[u8]) {
        self.state.lock().poison = Some(payload.to_vec());
    }

    /// Refuses this payload for good, and nothing else.
    pub(crate) fn refuse(&self, payload: &[u8]) {
        self.state.lock().refused = Some(payload.to_vec());
    }

    /// Takes the first half of the next batch, then breaks the link.
    pub(crate) fn take_half(&self) {
        self.state.lock().half = true;
    }

    /// When somebody tried to connect.
    pub(crate) fn connects(&self) -> Vec<Instant> {
        self.state.lock().connects.clone()
    }

    /// What was taken, without probes, and when.
    pub(crate) fn log(&self) -> Vec<(Instant, Outbound)> {
        let probe = |out: &Outbound| out.payload.starts_with(b"\0sockeye-probe");
        self.state.lock().log.iter().filter(|(_, out)| !probe(out)).cloned().collect()
    }

    /// The payloads of [`log`](Self::log) as text.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.log().into_iter().map(|(_, out)| String::from_utf8_lossy(&out.payload).into_owned()).collect()
    }

    fn take(&self, out: &Outbound) -> Result<Delivery, Error> {
        let mut state = self.state.lock();
        if state.refused.as_ref() == Some(&out.payload) {
            return Err(Error::new(ErrorKind::Refused, "not this one"));
        }
        state.log.push((Instant::now(), out.clone()));
        if self.mood.borrow().deaf {
            return Ok(Delivery { receivers: Some(0) });
        }
        let mut receivers = 0;
        for (topics, reader) in &state.readers {
            let message = Inbound { topic: out.topic.clone(), payload: out.payload.clone().into() };
            if topics.contains(&out.topic) && reader.send(message).is_ok() {
                receivers += 1;
            }
        }
        Ok(Delivery { receivers: Some(receivers) })
    }

    async fn unless_broken<T>(&self, age: u64, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut mood = self.mood.subscribe();
        tokio::select! {
            biased;
            _ = mood.wait_for(|m| m.age != age) => Err(Error::new(ErrorKind::Lost, "the link was cut")),
            done = work => Ok(done),
        }
    }

    async fn unstalled(&self) {
        let _ = self.mood.subscribe().wait_for(|m| !m.stall).await;
    }
}

impl Driver for Broker {
    fn caps(&self) -> Caps {
        Caps {
            direct: true,
            cheap_topics: true,
            replay: None,
            ordered: true,
            max_payload: Some(1 << 20),
            echoes_own: self.echoes,
            counts_receivers: true,
        }
    }

    fn connect<'a>(&'a self, subscribe: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>> {
        Box::pin(async move {
            self.state.lock().connects.push(Instant::now());
            self.unstalled().await;
            let Mood { refuse, age, .. } = *self.mood.borrow();
            if refuse {
                return Err(Error::new(ErrorKind::Connect, "connection refused"));
            }
            let (sender, messages) = mpsc::unbounded_channel();
            let tx = Box::new(Half { broker: self.clone(), age });
            if subscribe.is_empty() {
                return Ok(Link { tx, rx: None });
            }
            self.state.lock().readers.push((subscribe.to_vec(), sender));
            Ok(Link { tx, rx: Some(Box::new(Reader { broker: self.clone(), age, messages })) })
        })
    }

    fn describe(&self) -> String {
        "a broker made of a vector".to_owned()
    }
}

struct Half {
    broker: Broker,
    age: u64,
}

impl Tx for Half {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>> {
        Box::pin(async move {
            let broken = |error| SendError { sent: 0, error };
            let stalled = self.broker.unstalled();
            self.broker.unless_broken(self.age, stalled).await.map_err(broken)?;
            let (poison, half) = {
                let mut state = self.broker.state.lock();
                (state.poison.clone(), std::mem::take(&mut state.half))
            };
            if batch.iter().any(|out| Some(&out.payload) == poison.as_ref()) {
                self.broker.cut();
                return Err(broken(Error::new(ErrorKind::Lost, "this message is poison")));
            }
            if half {
                let sent = batch.len() / 2;
                batch[..sent].iter().for_each(|out| drop(self.broker.take(out)));
                self.broker.cut();
                return Err(SendError { sent, error: Error::new(ErrorKind::Lost, "cut in the middle") });
            }
            Ok(batch.iter().map(|out| self.broker.take(out)).collect())
        })
    }

    fn closed(&mut self) -> BoxFuture<'_, Error> {
        Box::pin(async move {
            match self.broker.unless_broken(self.age, std::future::pending::<()>()).await {
                Err(error) => error,
                Ok(()) => std::future::pending().await,
            }
        })
    }
}

struct Reader {
    broker: Broker,
    age: u64,
    messages: mpsc::UnboundedReceiver<Inbound>,
}

impl Rx for Reader {
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>> {
        Box::pin(async move {
            match self.broker.unless_broken(self.age, self.messages.recv()).await? {
                Some(message) => Ok(message),
                None => Err(Error::new(ErrorKind::Lost, "the link was cut")),
            }
        })
    }

    fn try_recv(&mut self) -> Option<Result<Inbound, Error>> {
        self.messages.try_recv().ok().map(Ok)
    }
}
