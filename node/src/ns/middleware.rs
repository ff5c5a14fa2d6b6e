//! What comes before handlers: middlewares of a namespace, which let clients in, and middlewares of its events.

use std::{marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;
use sockeye_proto::sio::{Args, ArgsError, IntoArgs};

use super::{
    connect::ConnectRefused,
    context::Context,
    handler::{Arguments, ConnectCall, EventCall, Handler},
    hooks::{EventHook, HandlerErrorKind, look},
};

/// Why an event does not reach its handler. It is dropped, counted, and told to
/// [`on_error`](crate::NamespaceBuilder::on_error); the client hears of it only if there is an [`ack`](Self::ack).
///
/// ```
/// use sockeye::EventRefused;
///
/// let refused = EventRefused::new("too fast").ack(("error", "slow down"));
/// assert_eq!(refused.message(), "too fast");
/// ```
#[derive(Debug)]
pub struct EventRefused {
    message: String,
    ack: Option<Result<Args, ArgsError>>,
}

impl EventRefused {
    /// A refusal with its reason, for the log and for `on_error`.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ack: None }
    }

    /// Answers the event with these arguments if the client asked for an ack. Without this no ack is sent.
    #[must_use]
    pub fn ack(mut self, args: impl IntoArgs) -> Self {
        self.ack = Some(args.into_args());
        self
    }

    /// The reason.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl std::fmt::Display for EventRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for EventRefused {}

impl From<&str> for EventRefused {
    fn from(message: &str) -> Self {
        Self::new(message)
    }
}

impl From<String> for EventRefused {
    fn from(message: String) -> Self {
        Self::new(message)
    }
}

/// What an event middleware may return: whether the event goes on, and with which arguments.
///
/// `()` and `true` let it pass as it is, `false` drops it, [`Args`] replace its arguments, `None` leaves them; a `Result` of
/// `()`, `Args` or `Option<Args>` refuses it with its error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether the event goes on",
    note = "an event middleware returns `()` (yes), `bool`, `Args` (yes, with these arguments), or a `Result` of `()`, `Args` or \
            `Option<Args>` with an `EventRefused`, `&str` or `String`"
)]
pub trait IntoStep {
    /// The arguments that replace those of the event, if there are any.
    ///
    /// # Errors
    /// The event goes no further.
    fn into_step(self) -> Result<Option<Args>, EventRefused>;
}

impl IntoStep for () {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        Ok(None)
    }
}

impl IntoStep for bool {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        if self { Ok(None) } else { Err(EventRefused::new("a middleware did not let it pass")) }
    }
}

impl IntoStep for Args {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        Ok(Some(self))
    }
}

impl IntoStep for Option<Args> {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        Ok(self)
    }
}

impl<E: Into<EventRefused>> IntoStep for Result<(), E> {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        self.map(|()| None).map_err(Into::into)
    }
}

impl<E: Into<EventRefused>> IntoStep for Result<Args, E> {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        self.map(Some).map_err(Into::into)
    }
}

impl<E: Into<EventRefused>> IntoStep for Result<Option<Args>, E> {
    fn into_step(self) -> Result<Option<Args>, EventRefused> {
        self.map_err(Into::into)
    }
}

/// An event middleware without its types.
pub(crate) trait Step: Send + Sync {
    fn call(&self, context: Context) -> BoxFuture<'static, Result<Option<Args>, EventRefused>>;
}

struct Erased<H, M>(H, PhantomData<fn() -> M>);

pub(crate) fn erase_step<H, M>(handler: H) -> Arc<dyn Step>
where
    H: Handler<M>,
    H::Arguments: Arguments,
    H::Future: Future<Output: IntoStep> + Send + 'static,
    M: 'static,
{
    Arc::new(Erased(handler, PhantomData::<fn() -> M>))
}

impl<H, M> Step for Erased<H, M>
where
    H: Handler<M>,
    H::Arguments: Arguments,
    H::Future: Future<Output: IntoStep> + Send + 'static,
    M: 'static,
{
    fn call(&self, mut context: Context) -> BoxFuture<'static, Result<Option<Args>, EventRefused>> {
        match H::Arguments::take(&mut context) {
            Ok(arguments) => {
                let deciding = self.0.call(arguments);
                Box::pin(async move { deciding.await.into_step() })
            }
            // What a middleware cannot judge does not pass.
            Err(rejection) => {
                Box::pin(std::future::ready(Err(EventRefused::new(format!("a middleware: {rejection}")))))
            }
        }
    }
}

/// The middlewares of a namespace and its connect handler, one after the other; the first that refuses ends it.
pub(crate) struct ConnectChain(Arc<[Arc<dyn ConnectCall>]>);

impl ConnectChain {
    pub(crate) fn new(mut steps: Vec<Arc<dyn ConnectCall>>, last: Option<Arc<dyn ConnectCall>>) -> Self {
        steps.extend(last);
        Self(steps.into())
    }
}

impl ConnectCall for ConnectChain {
    fn call(&self, context: Context) -> BoxFuture<'static, Result<(), ConnectRefused>> {
        let steps = self.0.clone();
        Box::pin(async move {
            for step in steps.iter() {
                step.call(Context::connect(context.socket.clone())).await?;
            }
            Ok(())
        })
    }
}

/// Listeners and event middlewares of a namespace.
#[derive(Clone)]
pub(crate) struct EventChain {
    any: Arc<[EventHook]>,
    steps: Arc<[Arc<dyn Step>]>,
}

impl EventChain {
    pub(crate) fn new(any: Vec<EventHook>, steps: Vec<Arc<dyn Step>>) -> Self {
        Self { any: any.into(), steps: steps.into() }
    }

    /// A handler that is called with what the middlewares let pass.
    pub(crate) fn around(&self, last: Arc<dyn EventCall>) -> Arc<dyn EventCall> {
        Arc::new(Chained { chain: self.clone(), last })
    }
}

struct Chained {
    chain: EventChain,
    last: Arc<dyn EventCall>,
}

impl EventCall for Chained {
    fn call(&self, mut context: Context) -> BoxFuture<'static, ()> {
        let socket = &context.socket;
        for hook in self.chain.any.iter() {
            look(&socket.0.conn.engine, socket.namespace(), || {
                hook(socket, context.event.as_deref().unwrap_or_default(), &context.args);
            });
        }
        if self.chain.steps.is_empty() {
            return self.last.call(context);
        }
        let (steps, last) = (self.chain.steps.clone(), self.last.clone());
        Box::pin(async move {
            for step in steps.iter() {
                match step.call(context.for_middleware()).await {
                    Ok(None) => {}
                    Ok(Some(args)) => context.args = args,
                    Err(refused) => return context.refused(refused),
                }
            }
            last.call(context).await;
        })
    }
}

impl Context {
    /// Drops the event.
    pub(crate) fn refused(mut self, refused: EventRefused) {
        self.failed(HandlerErrorKind::Refused, &refused.message);
        match refused.ack {
            Some(Ok(args)) => self.take_reply().send(args),
            Some(Err(error)) => self.failed(HandlerErrorKind::Reply, &error.to_string()),
            None => {}
        }
    }
}

/// The end of an event that only middlewares and listeners want to see.
pub(crate) struct Unhandled;

impl EventCall for Unhandled {
    fn call(&self, context: Context) -> BoxFuture<'static, ()> {
        context.socket.0.conn.engine.metrics.unhandled_events.inc();
        Box::pin(std::future::ready(()))
    }
}
