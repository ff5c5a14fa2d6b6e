//! Redis pub/sub through fred: one connection that publishes, one that subscribes.
//!
//! fred's own reconnection is off (no policy, one attempt for each command), so that the supervisor is the only one
//! that retries. At most once: what is published while a subscriber is not connected is lost to it.

mod session;
mod target;

use crate::{
    driver::{BoxFuture, Caps, Driver, Link, Rx, SendError, Tx},
    error::{Error, ErrorKind},
    mailbox::Mailbox,
    message::{Delivery, Inbound, Outbound, Topic},
};
use bytes::Bytes;
use fred::{
    bytes_utils::Str,
    clients::Client,
    error::Error as FredError,
    interfaces::{ClientLike, EventInterface, PubsubInterface},
    types::{Message, Value},
};
use futures_util::future::{join, try_join};
use session::{Session, explain};
use std::sync::Arc;
use target::Target;
use tokio::{sync::broadcast, task::AbortHandle};
use url::Url;

/// Redis cuts off a subscriber that has this much waiting for it (`client-output-buffer-limit pubsub 32mb 8mb 60`), so
/// a longer message would cut off everybody.
const MAX_PAYLOAD: usize = 32 << 20;

/// Messages that may be between fred's task and ours. It only has to cover what fred reads in one go (a ring costs
/// about 0.8 KiB a place, whether used or not); who reads slowly is the mailbox's business.
const RING: usize = 4096;

/// Errors that may wait in a client that hears nothing.
const SMALL_RING: usize = 16;

/// The driver of one Redis server, or of anything that speaks its protocol.
#[derive(Debug)]
pub struct Redis {
    target: Target,
    names: Names,
}

impl Redis {
    /// Understands `redis://`, `rediss://`, `redis+unix://` and `unix://`; see [`driver`](crate::driver()).
    ///
    /// # Errors
    /// Something in the URL is wrong; the text says what and never repeats credentials.
    pub fn new(url: &Url, channel: &str) -> Result<Self, Error> {
        Ok(Self { target: Target::parse(url)?, names: Names::new(channel) })
    }

    async fn publisher(&self) -> Result<Session, Error> {
        let mut session = Session::start(self.target.config.clone(), SMALL_RING)?;
        let client = session.client.clone();
        session.run(client.ping::<Value>(None)).await?;
        Ok(session)
    }

    async fn subscriber(&self, topics: &[Topic]) -> Result<Reader, Error> {
        let mut session = Session::start(self.target.config.clone(), RING)?;
        let messages = session.client.message_rx();
        let client = session.client.clone();
        session.run(subscribe(&client, self.names.of(topics), Vec::new())).await?;
        let mailbox = Arc::new(Mailbox::default());
        let pump = tokio::spawn(pump(messages, Arc::clone(&mailbox), self.names.clone())).abort_handle();
        Ok(Reader { session, mailbox, pump })
    }
}

impl Driver for Redis {
    fn caps(&self) -> Caps {
        Caps {
            direct: true,
            cheap_topics: true,
            replay: None,
            ordered: true,
            max_payload: Some(MAX_PAYLOAD),
            echoes_own: true,
            counts_receivers: true,
        }
    }

    fn connect<'a>(&'a self, topics: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>> {
        Box::pin(async move {
            let names = self.names.clone();
            if topics.is_empty() {
                let session = self.publisher().await?;
                return Ok(Link { tx: Box::new(Writer { session, names, subscriber: None }), rx: None });
            }
            let (session, reader) = try_join(self.publisher(), self.subscriber(topics)).await?;
            let subscriber = Some(reader.session.client.clone());
            Ok(Link { tx: Box::new(Writer { session, names, subscriber }), rx: Some(Box::new(reader)) })
        })
    }

    fn describe(&self) -> String {
        self.target.name.clone()
    }
}

/// How topics are spelt as Redis channels.
#[derive(Clone, Debug)]
struct Names {
    all: Str,
    channel: Str,
}

impl Names {
    fn new(channel: &str) -> Self {
        Self { all: format!("{channel}:sockeye").into(), channel: channel.into() }
    }

    fn name(&self, topic: &Topic) -> Str {
        match topic {
            Topic::All => self.all.clone(),
            Topic::Node(id) => format!("{}:{id}", self.all).into(),
            Topic::Channel => self.channel.clone(),
        }
    }

    fn of(&self, topics: &[Topic]) -> Vec<Str> {
        topics.iter().map(|topic| self.name(topic)).collect()
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        if name == &*self.all {
            Some(Topic::All)
        } else if name == &*self.channel {
            Some(Topic::Channel)
        } else {
            name.strip_prefix(&*self.all)?.strip_prefix(':').map(Topic::node)
        }
    }
}

/// Changes the subscriptions and waits until they are in force. fred expects no answer to a SUBSCRIBE, so the PING
/// behind it is what is waited for: it gets the pong, or, if Redis refused the SUBSCRIBE, the error. That holds only if
/// both are written before anything is read, which is what a pipeline does.
async fn subscribe(client: &Client, add: Vec<Str>, remove: Vec<Str>) -> Result<(), FredError> {
    let pipeline = client.pipeline();
    if !add.is_empty() {
        pipeline.subscribe(add).await?;
    }
    if !remove.is_empty() {
        pipeline.unsubscribe(remove).await?;
    }
    pipeline.ping::<()>(None).await?;
    pipeline.last::<Value>().await.map(drop)
}

struct Writer {
    session: Session,
    names: Names,
    /// The client of the other half, to change its subscriptions.
    subscriber: Option<Client>,
}

impl Tx for Writer {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>> {
        Box::pin(async move {
            let client = self.session.client.clone();
            let answers = self.session.run(publish(&client, &self.names, batch)).await;
            answers.map_err(|error| SendError { sent: 0, error })
        })
    }

    fn watch<'a>(&'a mut self, add: &'a [Topic], remove: &'a [Topic]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(async move {
            let Some(client) = &self.subscriber else { return Ok(()) };
            subscribe(client, self.names.of(add), self.names.of(remove)).await.map_err(explain)
        })
    }

    fn closed(&mut self) -> BoxFuture<'_, Error> {
        Box::pin(self.session.lost())
    }
}

/// Publishes a batch: all but the last message as one pipeline, and the last one right behind it as a command of its
/// own. fred writes to the socket command by command unless it sees another command queued behind the one it is at;
/// the last message is that command. Both are queued, in order, before either is waited for.
async fn publish(
    client: &Client,
    names: &Names,
    batch: &[Outbound],
) -> Result<Vec<Result<Delivery, Error>>, FredError> {
    let Some((last, rest)) = batch.split_last() else { return Ok(Vec::new()) };
    let last = client.publish::<Value, _, _>(names.name(&last.topic), payload(last));
    if rest.is_empty() {
        return Ok(vec![answer(last.await)?]);
    }
    let pipeline = client.pipeline();
    for out in rest {
        // Resolves at once: it is only put into the pipeline.
        pipeline.publish::<(), _, _>(names.name(&out.topic), payload(out)).await?;
    }
    let (answers, last) = join(pipeline.try_all::<Value>(), last).await;
    let mut all = Vec::with_capacity(batch.len());
    for result in answers {
        all.push(answer(result)?);
    }
    all.push(answer(last)?);
    Ok(all)
}

fn payload(out: &Outbound) -> Value {
    Value::Bytes(Bytes::copy_from_slice(&out.payload))
}

/// A message that Redis refused is its own failure; anything else is the link's.
fn answer(result: Result<Value, FredError>) -> Result<Result<Delivery, Error>, FredError> {
    match result {
        Ok(value) => Ok(Ok(Delivery { receivers: value.as_u64() })),
        Err(error) => {
            let explained = explain(error.clone());
            if explained.kind() == ErrorKind::Refused { Ok(Err(explained)) } else { Err(error) }
        }
    }
}

struct Reader {
    session: Session,
    mailbox: Arc<Mailbox>,
    pump: AbortHandle,
}

impl Rx for Reader {
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                received = self.mailbox.recv() => received,
                error = self.session.lost() => Err(error),
            }
        })
    }

    fn try_recv(&mut self) -> Option<Result<Inbound, Error>> {
        self.mailbox.pop()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.pump.abort();
    }
}

/// Empties fred's ring as fast as it fills: fred cannot be made to wait, it drops what does not fit.
async fn pump(mut messages: broadcast::Receiver<Message>, mailbox: Arc<Mailbox>, names: Names) {
    loop {
        match messages.recv().await {
            Ok(Message { channel, value, .. }) => {
                let payload = match value {
                    Value::Bytes(bytes) => bytes,
                    Value::String(text) => text.into_inner(),
                    _ => continue,
                };
                if let Some(topic) = names.topic(&channel) {
                    mailbox.push(Inbound { topic, payload });
                }
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => mailbox.missed(missed),
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_have_the_names_that_everybody_agreed_on() {
        let names = Names::new("socketio");
        for (topic, name) in [
            (Topic::All, "socketio:sockeye"),
            (Topic::node("0011aabbccdd"), "socketio:sockeye:0011aabbccdd"),
            (Topic::Channel, "socketio"),
        ] {
            assert_eq!(&*names.name(&topic), name);
            assert_eq!(names.topic(name), Some(topic));
        }
        assert_eq!(names.topic("socketio:sockeyed"), None);
        assert_eq!(names.topic("other"), None);
    }
}
