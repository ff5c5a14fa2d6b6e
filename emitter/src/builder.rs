//! What an emitter can be told, and its URL.

use crate::{emitter::Emitter, ledger::Ledger, wire::Wire};
use sockeye_bus::{Bus, BusConfig, Error, ErrorKind, Observer, OnOutage};
use sockeye_proto::{Limits, bus::max_message};
use std::{fmt, str::FromStr, sync::Arc, time::Duration};

/// How an emitter writes its messages.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Sockeye's own. Sockeye nodes understand it.
    #[default]
    Native,
    /// That of python-socketio's managers, on the channel of the same name. python-socketio servers from 5.14 understand
    /// it, and so do Sockeye nodes.
    ///
    /// It cannot say everything:
    /// * [`except`](crate::Broadcast::except) leaves out single sockets, by their ids. Room names have no effect there.
    /// * [`join`](crate::Broadcast::join), [`leave`](crate::Broadcast::leave) and
    ///   [`disconnect`](crate::Broadcast::disconnect) take socket ids only, each named with [`to`](crate::Broadcast::to);
    ///   they become one message for each socket and room. Other targets are refused with [`Reason::Dialect`].
    /// * `disconnect(true)` and [`server_emit`](Emitter::server_emit) are refused.
    /// * [`volatile`](crate::Broadcast::volatile) means nothing to the receivers.
    /// * One argument that is `null` arrives as no argument. Python servers before 5.15.1 get several arguments, and one
    ///   argument that is a list, as one list; those before 5.14.2 cannot read binary.
    /// * Messages have no numbers: one that was sent again after an outage may be delivered twice.
    ///
    /// A room that is an integer in Python is [`integer_room`](crate::integer_room) here.
    ///
    /// [`Reason::Dialect`]: crate::Reason::Dialect
    Python,
}

impl Dialect {
    /// The dialect as written in URLs and options.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Python => "python",
        }
    }
}

impl FromStr for Dialect {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "native" => Ok(Self::Native),
            "python" => Ok(Self::Python),
            _ => Err(Error::new(
                ErrorKind::Config,
                format!("there is no dialect '{name}'; the dialects are native and python"),
            )),
        }
    }
}

/// How to make an [`Emitter`]; see [`Emitter::builder`].
#[derive(Clone)]
#[must_use = "nothing is connected before `connect`"]
pub struct Builder {
    config: BusConfig,
    dialect: Dialect,
    wait: Option<Duration>,
    max_message: usize,
    observer: Arc<dyn Observer>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            config: BusConfig::default(),
            dialect: Dialect::default(),
            wait: None,
            max_message: max_message(&Limits::default()),
            observer: Arc::new(()),
        }
    }

    /// The channel that the nodes use; `?channel=` in the URL wins. Default `socketio`.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.config.channel = channel.into();
        self
    }

    /// How messages are written; `?dialect=` in the URL wins. Default [`Dialect::Native`].
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// Makes [`connect`](Self::connect) wait for the broker and fail if it cannot be reached in this time. By default it
    /// returns at once, and messages wait for the broker instead.
    pub fn wait(mut self, within: Duration) -> Self {
        self.wait = Some(within);
        self
    }

    /// Bound of the queue in bytes of memory; when it is full, the oldest messages are lost. Default 64 MiB.
    pub fn spool_bytes(mut self, bytes: usize) -> Self {
        self.config.spool_bytes = bytes;
        self
    }

    /// Messages that waited longer for the broker are lost. Default 30 s.
    pub fn spool_age(mut self, age: Duration) -> Self {
        self.config.spool_age = age;
        self
    }

    /// What happens to messages while the broker is away. Default [`OnOutage::Buffer`].
    pub fn on_outage(mut self, policy: OnOutage) -> Self {
        self.config.on_outage = policy;
        self
    }

    /// How long [`Emitter::close`] may take. Default 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.close_timeout = timeout;
        self
    }

    /// Longest message in bytes, as it travels on the bus. Nodes drop longer ones, so the default is theirs: eight times
    /// the longest payload of a client, 8,000,000 bytes. Raise it if they were told to accept more.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Is told the numbers of the queue and the link, for metrics.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
        self
    }

    /// Changes anything else that a bus can be told: times, batches, reconnection. `url` and `subscribe` are overwritten.
    pub fn configure(mut self, change: impl FnOnce(&mut BusConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Makes the emitter, on the broker that the URL names: `redis://user:password@host:6379/0`, and whatever else
    /// [`sockeye_bus::driver()`] understands, with `?channel=` and `?dialect=`.
    ///
    /// # Errors
    /// The URL or an option is wrong (the text says what would be right, and no password), there is no tokio runtime,
    /// or, with [`wait`](Self::wait), the broker was not reached in time.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<Emitter, Error> {
        let (url, dialect) = split_dialect(url.as_ref())?;
        let dialect = dialect.unwrap_or(self.dialect);
        let wire = Wire::new(dialect, rand::random(), self.max_message);
        let ledger = Arc::new(Ledger::new(self.observer));
        let config = BusConfig { url, subscribe: Vec::new(), ..self.config };
        let observer: Arc<dyn Observer> = Arc::<Ledger>::clone(&ledger);
        let (bus, _events) = Bus::open(config, observer)?;
        if let Some(within) = self.wait {
            bus.connected(within).await?;
        }
        Ok(Emitter::new(bus, wire, ledger))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("config", &self.config)
            .field("dialect", &self.dialect)
            .field("wait", &self.wait)
            .field("max_message", &self.max_message)
            .finish_non_exhaustive()
    }
}

/// Takes `dialect` out of the URL's parameters. The rest stays as it was written: its parameters are the bus's.
fn split_dialect(url: &str) -> Result<(String, Option<Dialect>), Error> {
    let (url, fragment) = match url.find('#') {
        Some(at) => url.split_at(at),
        None => (url, ""),
    };
    let Some((base, query)) = url.split_once('?') else { return Ok((format!("{url}{fragment}"), None)) };
    let mut dialect = None;
    let mut rest = Vec::new();
    for parameter in query.split('&') {
        match parameter.split_once('=') {
            Some(("dialect", name)) => dialect = Some(name.parse()?),
            _ if parameter == "dialect" => dialect = Some("".parse()?),
            _ => rest.push(parameter),
        }
    }
    let mark = if rest.is_empty() { "" } else { "?" };
    Ok((format!("{base}{mark}{}{fragment}", rest.join("&")), dialect))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dialect_is_taken_out_of_the_url() {
        for (url, rest, dialect) in [
            ("redis://h", "redis://h", None),
            ("redis://h?channel=a+b", "redis://h?channel=a+b", None),
            ("redis://h?dialect=python", "redis://h", Some(Dialect::Python)),
            ("redis://h/1?x=%20&dialect=native&y#z", "redis://h/1?x=%20&y#z", Some(Dialect::Native)),
            ("redis://u:dialect=x@h/0#?dialect=y", "redis://u:dialect=x@h/0#?dialect=y", None),
        ] {
            let (found, named) = split_dialect(url).expect(url);
            assert_eq!((found.as_str(), named), (rest, dialect));
        }
    }

    #[test]
    fn unknown_dialects_are_named_and_passwords_are_not() {
        for url in ["redis://u:secret@h?dialect=klingon", "redis://u:secret@h?dialect"] {
            let text = split_dialect(url).expect_err(url).to_string();
            assert!(text.contains("native and python") && !text.contains("secret"), "{text}");
        }
        let builder = Emitter::builder().configure(|config| config.url = "redis://u:secret@h".to_owned());
        assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
    }
}
