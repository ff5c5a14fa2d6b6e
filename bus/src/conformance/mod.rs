//! What every driver must do, as a list of checks that any crate can run on its own (feature `conformance`).
//!
//! ```no_run
//! # use sockeye_bus::{conformance, Driver};
//! # fn my_driver() -> Box<dyn Driver> { unimplemented!() }
//! # async fn test() {
//! conformance::run(my_driver).await.assert();
//! # }
//! ```
//! The closure is called for each participant and stands for one process: all its drivers must reach the same broker
//! and channel, and nothing else may use that channel meanwhile. With [`run_with_cut`] the supervisor's promises are
//! checked on the driver as well: links are broken, and come back.

mod delivery;
mod links;
mod recovery;

use crate::{
    driver::{BoxFuture, Caps, Driver, Link, Rx, Tx},
    error::ErrorKind,
    message::{Delivery, Inbound, Outbound, Topic},
};
use std::{fmt, time::Duration};
use tokio::time::{sleep, timeout};

/// How long a check as a whole may take.
const CHECK_TIME: Duration = Duration::from_secs(60);
/// How long something that has to happen may take.
const SOON: Duration = Duration::from_secs(20);

/// Runs all checks that need no broken links.
pub async fn run(make: impl Fn() -> Box<dyn Driver> + Send + Sync) -> Report {
    Context { make: &make, cut: None }.run().await
}

/// Runs all checks. `cut` breaks every link that is open at that moment, as a restart of the broker or of a router
/// does, and lets new ones through again when it has resolved.
pub async fn run_with_cut(
    make: impl Fn() -> Box<dyn Driver> + Send + Sync,
    cut: impl Fn() -> BoxFuture<'static, ()> + Send + Sync,
) -> Report {
    Context { make: &make, cut: Some(&cut) }.run().await
}

/// What became of the checks.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Names of the checks that passed.
    pub passed: Vec<&'static str>,
    /// Checks that do not apply to this driver, and why.
    pub skipped: Vec<(&'static str, &'static str)>,
    /// Checks that failed, and how.
    pub failed: Vec<(&'static str, String)>,
}

impl Report {
    /// Panics if a check failed or none passed, with all failures in the text.
    ///
    /// # Panics
    /// That is what it is for.
    #[track_caller]
    pub fn assert(&self) {
        assert!(self.failed.is_empty() && !self.passed.is_empty(), "the driver does not conform:\n{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.passed {
            writeln!(f, "  ok       {name}")?;
        }
        for (name, why) in &self.skipped {
            writeln!(f, "  skipped  {name}: {why}")?;
        }
        for (name, how) in &self.failed {
            writeln!(f, "  FAILED   {name}: {how}")?;
        }
        Ok(())
    }
}

/// How a check ends when it does not fail.
enum Done {
    Passed,
    DoesNotApply(&'static str),
}

/// A failure in words.
#[derive(Debug)]
struct Failure(String);

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

type Outcome = Result<Done, Failure>;
type Check = for<'a> fn(&'a Context<'a>) -> BoxFuture<'a, Outcome>;

fn fail<T>(text: impl Into<String>) -> Result<T, Failure> {
    Err(Failure(text.into()))
}

fn expect<T: PartialEq + fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), Failure> {
    if found == wanted { Ok(()) } else { fail(format!("{what}: found {found:?}, expected {wanted:?}")) }
}

struct Context<'a> {
    make: &'a (dyn Fn() -> Box<dyn Driver> + Send + Sync),
    cut: Option<&'a (dyn Fn() -> BoxFuture<'static, ()> + Send + Sync)>,
}

impl Context<'_> {
    async fn run(&self) -> Report {
        let mut report = Report::default();
        for (name, check) in delivery::CHECKS.iter().chain(links::CHECKS).chain(recovery::CHECKS) {
            match timeout(CHECK_TIME, check(self)).await {
                Ok(Ok(Done::Passed)) => report.passed.push(name),
                Ok(Ok(Done::DoesNotApply(why))) => report.skipped.push((name, why)),
                Ok(Err(Failure(how))) => report.failed.push((name, how)),
                Err(_) => report.failed.push((name, format!("not done within {CHECK_TIME:?}"))),
            }
        }
        report
    }

    fn caps(&self) -> Caps {
        (self.make)().caps()
    }

    /// A link of a process of its own.
    async fn link(&self, topics: &[Topic]) -> Result<Peer, Failure> {
        let driver = (self.make)();
        let Ok(link) = timeout(SOON, driver.connect(topics)).await else {
            return fail("connect did not resolve");
        };
        let Link { tx, rx } = link?;
        if rx.is_some() == topics.is_empty() {
            return fail("a link must have an Rx exactly if topics were asked for");
        }
        Ok(Peer { _driver: driver, tx, rx })
    }
}

/// Waits until nobody hears what goes to all: links of earlier checks may take a moment to be gone.
async fn until_alone(publisher: &mut Peer) -> Result<(), Failure> {
    let alone = async {
        while publisher.send(&[to_all("anybody there?")]).await?[0].receivers != Some(0) {
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    };
    let late = || fail("the broker still hands messages to links that were dropped");
    timeout(SOON, alone).await.unwrap_or_else(|_| late())
}

/// A participant.
struct Peer {
    _driver: Box<dyn Driver>,
    tx: Box<dyn Tx>,
    rx: Option<Box<dyn Rx>>,
}

impl Peer {
    /// Publishes a batch; checks that there is an answer for each message and returns them.
    async fn send(&mut self, batch: &[Outbound]) -> Result<Vec<Delivery>, Failure> {
        let Ok(answers) = timeout(SOON, self.tx.send(batch)).await else {
            return fail("send did not resolve");
        };
        let answers = answers?;
        expect("answers to a batch", &answers.len(), &batch.len())?;
        Ok(answers.into_iter().collect::<Result<_, _>>()?)
    }

    async fn recv(&mut self) -> Result<Inbound, Failure> {
        let Some(rx) = &mut self.rx else { return fail("this link does not listen") };
        match timeout(SOON, rx.recv()).await {
            Ok(message) => Ok(message?),
            Err(_) => fail(format!("nothing came within {SOON:?}")),
        }
    }

    /// The next `n` payloads.
    async fn payloads(&mut self, n: usize) -> Result<Vec<Vec<u8>>, Failure> {
        let mut payloads = Vec::with_capacity(n);
        for at in 0..n {
            match self.recv().await {
                Ok(message) => payloads.push(message.payload.to_vec()),
                Err(Failure(how)) => return fail(format!("message {at} of {n}: {how}")),
            }
        }
        Ok(payloads)
    }
}

fn to_all(payload: impl Into<Vec<u8>>) -> Outbound {
    Outbound::new(Topic::All, payload.into())
}

/// `n` numbered messages.
fn numbered(tag: &str, n: usize) -> Vec<Outbound> {
    (0..n).map(|at| to_all(format!("{tag}{at}"))).collect()
}

fn payloads_of(batch: &[Outbound]) -> Vec<Vec<u8>> {
    batch.iter().map(|out| out.payload.clone()).collect()
}

/// Whether an error of an [`Rx`] ends the link.
fn ends_link(kind: ErrorKind) -> bool {
    !matches!(kind, ErrorKind::Lagged(_))
}
