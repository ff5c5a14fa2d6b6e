//! What became of a message.

use crate::{
    emitter::Inner,
    error::{EmitError, Reason, Subject},
};
use smallvec::SmallVec;
use sockeye_bus::{BoxFuture, Delivery, DropReason, Error, PublishError};
use std::{
    cmp, fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What became of an operation: await it, or drop it, which changes nothing for the message and costs nothing.
///
/// Resolves to what the broker said once it took the message. Where an operation takes several messages (see
/// [`Dialect::Python`](crate::Dialect::Python)), that is the smallest number of receivers, and it fails if any of them was
/// lost. A receipt that is awaited keeps its emitter's queue alive. Must not be polled again after it has resolved.
pub struct Receipt {
    state: State,
    subject: Subject,
    emitter: Arc<Inner>,
    /// The ledger's page at the time of the operation.
    page: u32,
}

enum State {
    Waiting(Waiting),
    /// It is lost; the bus is being asked what is wrong with the link.
    Asking(BoxFuture<'static, Option<Error>>, Loss),
    /// It could not be sent. Whether that was counted as a loss.
    Failed(Reason, bool),
    /// There was nothing to send.
    Nothing,
    Resolved,
}

struct Waiting {
    receipts: SmallVec<[sockeye_bus::Receipt; 1]>,
    /// Receipts at the front that are read.
    read: usize,
    delivery: Option<Delivery>,
    loss: Option<Loss>,
}

/// The first loss of one operation, and how many there were.
#[derive(Copy, Clone)]
struct Loss {
    reason: DropReason,
    lost: usize,
    of: usize,
}

impl Receipt {
    pub(crate) fn waiting(
        receipts: SmallVec<[sockeye_bus::Receipt; 1]>,
        subject: Subject,
        emitter: Arc<Inner>,
    ) -> Self {
        let waiting = Waiting { receipts, read: 0, delivery: None, loss: None };
        Self::new(State::Waiting(waiting), subject, emitter)
    }

    pub(crate) fn failed(reason: Reason, counted: bool, subject: Subject, emitter: Arc<Inner>) -> Self {
        Self::new(State::Failed(reason, counted), subject, emitter)
    }

    pub(crate) fn nothing(subject: Subject, emitter: Arc<Inner>) -> Self {
        Self::new(State::Nothing, subject, emitter)
    }

    fn new(state: State, subject: Subject, emitter: Arc<Inner>) -> Self {
        let page = emitter.ledger.page();
        Self { state, subject, emitter, page }
    }

    fn lost(&self, loss: Loss, cause: Option<Error>) -> EmitError {
        let reason = Reason::Lost { reason: loss.reason, cause };
        EmitError::some(self.subject.clone(), reason, loss.lost, loss.of)
    }
}

impl Future for Receipt {
    type Output = Result<Delivery, EmitError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match std::mem::replace(&mut self.state, State::Resolved) {
                State::Waiting(mut waiting) => {
                    let Poll::Ready(outcome) = waiting.poll(cx) else {
                        self.state = State::Waiting(waiting);
                        return Poll::Pending;
                    };
                    let loss = match outcome {
                        Ok(delivery) => return Poll::Ready(Ok(delivery)),
                        Err(loss) => loss,
                    };
                    self.emitter.ledger.told(self.page, loss.lost as u64);
                    // Outside of a runtime there are no timers, which asking needs.
                    if !loss.is_the_links() || tokio::runtime::Handle::try_current().is_err() {
                        return Poll::Ready(Err(self.lost(loss, None)));
                    }
                    let emitter = Arc::clone(&self.emitter);
                    let cause = Box::pin(async move { emitter.trouble().await });
                    self.state = State::Asking(cause, loss);
                }
                State::Asking(mut cause, loss) => {
                    let Poll::Ready(cause) = cause.as_mut().poll(cx) else {
                        self.state = State::Asking(cause, loss);
                        return Poll::Pending;
                    };
                    return Poll::Ready(Err(self.lost(loss, cause)));
                }
                State::Failed(reason, counted) => {
                    if counted {
                        self.emitter.ledger.told(self.page, 1);
                    }
                    return Poll::Ready(Err(EmitError::new(self.subject.clone(), reason)));
                }
                State::Nothing => return Poll::Ready(Ok(Delivery::default())),
                State::Resolved => return Poll::Pending,
            }
        }
    }
}

impl Waiting {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Delivery, Loss>> {
        while let Some(receipt) = self.receipts.get_mut(self.read) {
            match ready!(Pin::new(receipt).poll(cx)) {
                Ok(delivery) => self.taken(delivery),
                Err(error) => self.lost(&error),
            }
            self.read += 1;
        }
        Poll::Ready(match self.loss {
            None => Ok(self.delivery.unwrap_or_default()),
            Some(loss) => Err(loss),
        })
    }

    fn taken(&mut self, delivery: Delivery) {
        self.delivery = Some(match self.delivery {
            None => delivery,
            Some(least) => {
                let both = least.receivers.zip(delivery.receivers);
                Delivery { receivers: both.map(|(a, b)| cmp::min(a, b)) }
            }
        });
    }

    fn lost(&mut self, error: &PublishError) {
        let first = Loss { reason: error.reason, lost: 0, of: self.receipts.len() };
        self.loss.get_or_insert(first).lost += 1;
    }
}

impl Loss {
    /// Whether the state of the link may be why.
    fn is_the_links(self) -> bool {
        matches!(
            self.reason,
            DropReason::Overflow | DropReason::Expired | DropReason::Closed | DropReason::Offline
        )
    }
}

impl fmt::Debug for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Waiting(_) | State::Asking(..) => "waiting",
            State::Failed(..) => "failed",
            State::Nothing => "nothing to send",
            State::Resolved => "resolved",
        };
        write!(f, "Receipt({}: {state})", self.subject)
    }
}
