//! Handlers that may block, on threads of their own.

use std::{marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    context::Context,
    handler::{Arguments, EventCall, Handler, IntoAck},
};

struct Blocking<H, M>(Arc<H>, PhantomData<fn() -> M>);

/// A function that returns its answer itself: what a [`Handler`] calls its future is then the answer.
pub(crate) fn erase_blocking<H, M, K>(handler: H) -> Arc<dyn EventCall>
where
    H: Handler<M>,
    H::Arguments: Arguments + 'static,
    H::Future: IntoAck<K> + 'static,
    M: 'static,
    K: 'static,
{
    Arc::new(Blocking(Arc::new(handler), PhantomData::<fn() -> (M, K)>))
}

impl<H, M, K> EventCall for Blocking<H, (M, K)>
where
    H: Handler<M>,
    H::Arguments: Arguments + 'static,
    H::Future: IntoAck<K> + 'static,
    M: 'static,
    K: 'static,
{
    fn call(&self, mut context: Context) -> BoxFuture<'static, ()> {
        let arguments = match H::Arguments::take(&mut context) {
            Ok(arguments) => arguments,
            Err(rejection) => {
                context.rejected(&rejection);
                return Box::pin(std::future::ready(()));
            }
        };
        let handler = self.0.clone();
        Box::pin(async move {
            let answered = tokio::task::spawn_blocking(move || handler.call(arguments).into_ack()).await;
            match answered {
                Ok(Ok(args)) => context.take_reply().send(args),
                Ok(Err(failed)) => context.ack_failed(&failed),
                Err(failed) => {
                    // Counted by whoever runs this. Cancelled is what the end of the runtime has not begun.
                    if let Ok(panic) = failed.try_into_panic() {
                        std::panic::resume_unwind(panic);
                    }
                }
            }
        })
    }
}
