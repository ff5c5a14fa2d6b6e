//! Drivers with one fault each, on top of the memory hub: what the conformance suite must find.

use sockeye_bus::{
    BoxFuture, Caps, Delivery, Driver, Error, Inbound, Link, Outbound, Rx, SendError, Topic, Tx,
    memory::Memory,
};
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Copy, Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    LosesSome,
    Repeats,
    Reorders,
    CutsAtZero,
    LosesEmpty,
    CutsLong,
    MixesTopics,
    ClaimsEcho,
    ClaimsCounts,
    AnswersTooFew,
    SubscribesLate,
    AlwaysListens,
    LosesCancelled,
    StaysSubscribed,
}

/// Each fault, and the check that is there for it.
pub(crate) const FAULTS: &[(Fault, &str)] = &[
    (Fault::LosesSome, "messages of one publisher keep their order"),
    (Fault::Repeats, "every subscriber gets one copy"),
    (Fault::Reorders, "messages of two publishers keep the order of each"),
    (Fault::CutsAtZero, "every byte arrives as it left"),
    (Fault::LosesEmpty, "an empty payload arrives"),
    (Fault::CutsLong, "a big payload arrives"),
    (Fault::MixesTopics, "topics keep apart"),
    (Fault::ClaimsEcho, "a link hears its own messages exactly if it says so"),
    (Fault::ClaimsCounts, "the broker counts receivers exactly if it says so"),
    (Fault::AnswersTooFew, "messages of one publisher keep their order"),
    (Fault::SubscribesLate, "subscriptions are in force when connect resolves"),
    (Fault::AlwaysListens, "a link without topics only writes"),
    (Fault::LosesCancelled, "cancelling recv loses nothing"),
    (Fault::StaysSubscribed, "a dropped link is gone"),
];

pub(crate) struct Faulty {
    fault: Fault,
    hub: Memory,
}

impl Faulty {
    pub(crate) fn new(fault: Fault) -> Self {
        Self { fault, hub: Memory::named("faulty", &format!("{fault:?}")) }
    }
}

impl Driver for Faulty {
    fn caps(&self) -> Caps {
        let caps = self.hub.caps();
        // The hub echoes; saying that it does not is as wrong as the other way round.
        Caps { echoes_own: self.fault != Fault::ClaimsEcho, max_payload: Some(1 << 20), ..caps }
    }

    fn connect<'a>(&'a self, subscribe: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>> {
        Box::pin(async move {
            let mut topics = subscribe.to_vec();
            match self.fault {
                Fault::MixesTopics if !topics.is_empty() => topics.push(Topic::node("ab")),
                Fault::AlwaysListens => topics.push(Topic::node("x")),
                _ => {}
            }
            let Link { tx, rx } = self.hub.connect(&topics).await?;
            if self.fault == Fault::StaysSubscribed && !subscribe.is_empty() {
                std::mem::forget(self.hub.connect(&topics).await?);
            }
            let late = u64::from(self.fault == Fault::SubscribesLate);
            let rx = rx.map(|inner| Box::new(Reader { fault: self.fault, inner, late }) as Box<dyn Rx>);
            Ok(Link { tx: Box::new(Writer { fault: self.fault, inner: tx, sent: AtomicU64::new(0) }), rx })
        })
    }

    fn describe(&self) -> String {
        "a faulty driver".to_owned()
    }
}

struct Writer {
    fault: Fault,
    inner: Box<dyn Tx>,
    sent: AtomicU64,
}

impl Writer {
    fn distort(&self, batch: &[Outbound]) -> Vec<Outbound> {
        let mut out = Vec::new();
        for message in batch {
            let tenth = self.sent.fetch_add(1, Ordering::Relaxed) % 10 == 9;
            let mut message = message.clone();
            match self.fault {
                Fault::LosesSome if tenth => continue,
                Fault::LosesEmpty if message.payload.is_empty() => continue,
                Fault::Repeats if tenth => out.push(message.clone()),
                Fault::CutsAtZero => message
                    .payload
                    .truncate(message.payload.iter().position(|b| *b == 0).unwrap_or(usize::MAX)),
                Fault::CutsLong => message.payload.truncate(1 << 16),
                _ => {}
            }
            out.push(message);
        }
        if self.fault == Fault::Reorders && out.len() > 1 {
            out.swap(0, 1);
        }
        out
    }
}

impl Tx for Writer {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>> {
        Box::pin(async move {
            let out = self.distort(batch);
            let mut answers = self.inner.send(&out).await?;
            answers.resize_with(batch.len(), || Ok(Delivery { receivers: Some(0) }));
            match self.fault {
                Fault::ClaimsCounts => answers.fill_with(|| Ok(Delivery::default())),
                Fault::AnswersTooFew => answers.truncate(1),
                _ => {}
            }
            Ok(answers)
        })
    }
}

struct Reader {
    fault: Fault,
    inner: Box<dyn Rx>,
    /// Messages that come too early for a subscription that is not in force yet.
    late: u64,
}

impl Rx for Reader {
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>> {
        Box::pin(async move {
            while self.late > 0 {
                self.inner.recv().await?;
                self.late -= 1;
            }
            if self.fault == Fault::LosesCancelled {
                let message = self.inner.recv().await?;
                // Whoever gives up here has lost it.
                tokio::task::yield_now().await;
                return Ok(message);
            }
            self.inner.recv().await
        })
    }
}
