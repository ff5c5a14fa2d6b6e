//! From an async function with extractors to something that can be kept in a map.

use std::{fmt::Display, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use sockeye_proto::sio::{Args, ArgsError, IntoArgs};

use super::{
    connect::ConnectRefused,
    context::{Context, HandlerKind},
    extract::{FromContext, Rejection},
};
use crate::state::StateMap;

/// An async function that can handle something: up to eight arguments, each an extractor.
///
/// You never implement this; any `async fn` or closure that returns a future has it. `M` only tells the compiler apart
/// functions of different arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not an async function of extractors",
    note = "a handler is an `async fn` or `async` closure whose arguments are extractors (`Socket`, `Data<T>`, `Spread<(A, B)>`, `Args`, \
            `Auth<T>`, `State<T>`, `AckSender`, …), at most eight of them, and whose future is `Send` (nothing that is not `Send`, \
            such as `Rc` or a lock guard, may be held over an `.await`)",
    note = "an argument of a type `T` of your own comes as `Data<T>`, where `T` implements `serde::Deserialize`; more than one as `Spread<(A, B)>`"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// What the function returns.
    type Output;

    /// Takes the arguments out of the context and calls the function.
    ///
    /// # Errors
    /// An extractor's rejection; the function is not called.
    fn call(
        &self,
        context: &mut Context,
    ) -> Result<impl Future<Output = Self::Output> + Send + 'static, Rejection>;

    /// Looks at registration whether all arguments can be there.
    ///
    /// # Errors
    /// What is wrong.
    fn check(kind: HandlerKind, state: &StateMap) -> Result<(), String>;
}

macro_rules! handler {
    ($($arg:ident),*) => {
        impl<F, Fut, $($arg,)*> Handler<fn($($arg,)*) -> Fut> for F
        where
            F: Fn($($arg,)*) -> Fut + Send + Sync + 'static,
            Fut: Future + Send + 'static,
            $($arg: FromContext,)*
        {
            type Output = Fut::Output;

            #[allow(non_snake_case, unused_variables)]
            fn call(&self, context: &mut Context) -> Result<impl Future<Output = Fut::Output> + Send + 'static, Rejection> {
                $(let $arg = $arg::from_context(context)?;)*
                Ok(self($($arg,)*))
            }

            #[allow(unused_variables)]
            fn check(kind: HandlerKind, state: &StateMap) -> Result<(), String> {
                $($arg::check(kind, state)?;)*
                Ok(())
            }
        }
    };
}

handler!();
handler!(T1);
handler!(T1, T2);
handler!(T1, T2, T3);
handler!(T1, T2, T3, T4);
handler!(T1, T2, T3, T4, T5);
handler!(T1, T2, T3, T4, T5, T6);
handler!(T1, T2, T3, T4, T5, T6, T7);
handler!(T1, T2, T3, T4, T5, T6, T7, T8);

/// What an event handler may return: the ack.
///
/// Nothing `()` is an ack without arguments; a value is one argument, a tuple several; a `Result` whose error can be shown
/// sends its value, and logs and counts its error without sending an ack.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the ack of an event",
    note = "an event handler returns `()`, a number, `String`, `bool`, `serde_json::Value`, `Vec<T>`, `Option<T>`, `Args`, a tuple (several \
            arguments), `Data(value)` for any other serialisable value, or a `Result` of these with an error that implements `Display`"
)]
pub trait IntoAck<K> {
    /// The ack's arguments.
    ///
    /// # Errors
    /// What is logged instead of sending an ack.
    fn into_ack(self) -> Result<Args, AckFailed>;
}

/// Why a handler's result is not sent.
#[derive(Debug)]
pub enum AckFailed {
    /// The handler returned an error.
    Handler(String),
    /// The value cannot be serialised.
    Args(ArgsError),
}

/// Marks a plain value.
#[derive(Debug)]
pub struct Plain;
/// Marks a `Result`.
#[derive(Debug)]
pub struct Fallible;

impl<T: IntoArgs> IntoAck<Plain> for T {
    fn into_ack(self) -> Result<Args, AckFailed> {
        self.into_args().map_err(AckFailed::Args)
    }
}

impl<T: IntoArgs, E: Display> IntoAck<Fallible> for Result<T, E> {
    fn into_ack(self) -> Result<Args, AckFailed> {
        match self {
            Ok(value) => value.into_args().map_err(AckFailed::Args),
            Err(error) => Err(AckFailed::Handler(error.to_string())),
        }
    }
}

/// What a connect handler may return: whether the client may join.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say whether the client may connect",
    note = "a connect handler returns `()` (yes), `bool`, or `Result<(), E>` where `E` is `ConnectRefused`, `&str` or `String`"
)]
pub trait IntoConnect {
    /// The decision.
    ///
    /// # Errors
    /// What the client is told.
    fn into_connect(self) -> Result<(), ConnectRefused>;
}

impl IntoConnect for () {
    fn into_connect(self) -> Result<(), ConnectRefused> {
        Ok(())
    }
}

impl IntoConnect for bool {
    fn into_connect(self) -> Result<(), ConnectRefused> {
        if self { Ok(()) } else { Err(ConnectRefused::default()) }
    }
}

impl<E: Into<ConnectRefused>> IntoConnect for Result<(), E> {
    fn into_connect(self) -> Result<(), ConnectRefused> {
        self.map_err(Into::into)
    }
}

/// An event or disconnect handler without its types.
pub(crate) trait EventCall: Send + Sync {
    fn call(&self, context: Context) -> BoxFuture<'static, ()>;
}

/// A connect handler without its types.
pub(crate) trait ConnectCall: Send + Sync {
    fn call(&self, context: Context) -> BoxFuture<'static, Result<(), ConnectRefused>>;
}

struct Erased<H, M>(H, std::marker::PhantomData<fn() -> M>);

pub(crate) fn erase_event<H, M, K>(handler: H) -> Arc<dyn EventCall>
where
    H: Handler<M>,
    H::Output: IntoAck<K>,
    M: 'static,
    K: 'static,
{
    Arc::new(Erased(handler, std::marker::PhantomData::<fn() -> (M, K)>))
}

impl<H, M, K> EventCall for Erased<H, (M, K)>
where
    H: Handler<M>,
    H::Output: IntoAck<K>,
    M: 'static,
    K: 'static,
{
    fn call(&self, mut context: Context) -> BoxFuture<'static, ()> {
        match self.0.call(&mut context) {
            Ok(handling) => Box::pin(async move {
                let output = handling.await;
                match output.into_ack() {
                    Ok(args) => context.take_reply().send(args),
                    Err(failed) => context.ack_failed(&failed),
                }
            }),
            Err(rejection) => {
                context.rejected(&rejection);
                Box::pin(std::future::ready(()))
            }
        }
    }
}

pub(crate) fn erase_connect<H, M>(handler: H) -> Arc<dyn ConnectCall>
where
    H: Handler<M>,
    H::Output: IntoConnect,
    M: 'static,
{
    Arc::new(Erased(handler, std::marker::PhantomData::<fn() -> M>))
}

impl<H, M> ConnectCall for Erased<H, M>
where
    H: Handler<M>,
    H::Output: IntoConnect,
    M: 'static,
{
    fn call(&self, mut context: Context) -> BoxFuture<'static, Result<(), ConnectRefused>> {
        match self.0.call(&mut context) {
            Ok(deciding) => Box::pin(async move { deciding.await.into_connect() }),
            Err(rejection) => {
                context.rejected(&rejection);
                Box::pin(std::future::ready(Err(ConnectRefused::default())))
            }
        }
    }
}

pub(crate) fn erase_disconnect<H, M>(handler: H) -> Arc<dyn EventCall>
where
    H: Handler<M, Output = ()>,
    M: 'static,
{
    erase_event::<H, M, Plain>(handler)
}

impl Context {
    fn rejected(&self, rejection: &Rejection) {
        self.socket.0.conn.engine.metrics.handler_failed("extract");
        tracing::warn!(
            namespace = %self.socket.namespace(),
            event = self.event.as_deref(),
            kind = ?self.kind,
            %rejection,
            "a handler was not called"
        );
    }

    fn ack_failed(&self, failed: &AckFailed) {
        let (kind, error) = match failed {
            AckFailed::Handler(error) => ("handler", error.clone()),
            AckFailed::Args(error) => ("reply", error.to_string()),
        };
        self.socket.0.conn.engine.metrics.handler_failed(kind);
        tracing::warn!(
            namespace = %self.socket.namespace(),
            event = self.event.as_deref(),
            error,
            "a handler failed; no ack is sent"
        );
    }
}
