//! From an async function with extractors to something that can be kept in a map.

use std::{fmt::Display, future::Future, sync::Arc};

use futures_util::future::BoxFuture;
use sockeye_proto::sio::{Args, ArgsError, IntoArgs};

use super::{
    connect::ConnectRefused,
    context::{Context, HandlerKind},
    extract::{FromContext, Rejection},
    hooks::{HandlerError, HandlerErrorKind},
};
use crate::state::StateMap;

/// A function of up to eight arguments.
///
/// You never implement this. To be a handler, the function also needs arguments that are extractors ([`Arguments`]) and a
/// future that is `Send`: these are bounds of their own wherever handlers are registered, so that the compiler names the
/// one that does not hold. `M` only tells the compiler apart functions of different arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no handler",
    label = "not a function of at most eight arguments that others may call at any time",
    note = "a handler is an `async fn` or an `async` closure with at most eight arguments, such as `async |socket: Socket, Data(text): Data<String>| …`; \
            what it captures is `Send`, `Sync` and not changed by it"
)]
pub trait Handler<M>: Send + Sync + 'static {
    /// The arguments, as a tuple.
    type Arguments;
    /// What calling the function returns.
    type Future;

    /// Calls the function.
    fn call(&self, arguments: Self::Arguments) -> Self::Future;
}

/// The arguments of a handler, all of them extractors.
///
/// You never implement this; tuples of up to eight [`FromContext`] do.
#[diagnostic::on_unimplemented(message = "a handler cannot take `{Self}` as its arguments")]
pub trait Arguments: Sized + Send {
    /// Takes the arguments out of the context, in order.
    ///
    /// # Errors
    /// The first rejection; the handler is not called.
    fn take(context: &mut Context) -> Result<Self, Rejection>;

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
        {
            type Arguments = ($($arg,)*);
            type Future = Fut;

            #[allow(non_snake_case)]
            fn call(&self, ($($arg,)*): Self::Arguments) -> Fut {
                self($($arg,)*)
            }
        }

        impl<$($arg: FromContext,)*> Arguments for ($($arg,)*) {
            #[allow(unused_variables)]
            fn take(context: &mut Context) -> Result<Self, Rejection> {
                Ok(($($arg::from_context(context)?,)*))
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
    H::Arguments: Arguments,
    H::Future: Future<Output: IntoAck<K>> + Send + 'static,
    M: 'static,
    K: 'static,
{
    Arc::new(Erased(handler, std::marker::PhantomData::<fn() -> (M, K)>))
}

impl<H, M, K> EventCall for Erased<H, (M, K)>
where
    H: Handler<M>,
    H::Arguments: Arguments,
    H::Future: Future<Output: IntoAck<K>> + Send + 'static,
    M: 'static,
    K: 'static,
{
    fn call(&self, mut context: Context) -> BoxFuture<'static, ()> {
        match H::Arguments::take(&mut context) {
            Ok(arguments) => {
                let handling = self.0.call(arguments);
                Box::pin(async move {
                    let output = handling.await;
                    match output.into_ack() {
                        Ok(args) => context.take_reply().send(args),
                        Err(failed) => context.ack_failed(&failed),
                    }
                })
            }
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
    H::Arguments: Arguments,
    H::Future: Future<Output: IntoConnect> + Send + 'static,
    M: 'static,
{
    Arc::new(Erased(handler, std::marker::PhantomData::<fn() -> M>))
}

impl<H, M> ConnectCall for Erased<H, M>
where
    H: Handler<M>,
    H::Arguments: Arguments,
    H::Future: Future<Output: IntoConnect> + Send + 'static,
    M: 'static,
{
    fn call(&self, mut context: Context) -> BoxFuture<'static, Result<(), ConnectRefused>> {
        match H::Arguments::take(&mut context) {
            Ok(arguments) => {
                let deciding = self.0.call(arguments);
                Box::pin(async move { deciding.await.into_connect() })
            }
            Err(rejection) => {
                context.rejected(&rejection);
                Box::pin(std::future::ready(Err(ConnectRefused::default())))
            }
        }
    }
}

impl Context {
    pub(crate) fn rejected(&self, rejection: &Rejection) {
        self.failed(HandlerErrorKind::Extract, &rejection.to_string());
    }

    pub(crate) fn ack_failed(&self, failed: &AckFailed) {
        match failed {
            AckFailed::Handler(error) => self.failed(HandlerErrorKind::Handler, error),
            AckFailed::Args(error) => self.failed(HandlerErrorKind::Reply, &error.to_string()),
        }
    }

    pub(crate) fn failed(&self, kind: HandlerErrorKind, message: &str) {
        let error = HandlerError { kind, event: self.event.clone(), message: message.to_owned() };
        self.socket.0.handler_failed(&error);
    }
}
