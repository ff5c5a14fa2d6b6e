//! Class-based namespaces: a type whose methods are the handlers.

use std::{future::Future, marker::PhantomData, sync::Arc};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sockeye_proto::sio::{Args, IntoArgs};

use super::{
    builder::{Check, NamespaceBuilder},
    connect::ConnectRefused,
    context::{Context, HandlerKind},
    handler::{Arguments, ConnectCall, EventCall, Handler, IntoAck, IntoConnect},
    layers::Layer,
    middleware::{EventRefused, IntoStep, Unhandled},
    socket::Socket,
};
use crate::{io::Io, reason::DisconnectReason};

/// A type whose methods are the handlers of a namespace. One instance serves all clients:
/// [`NamespaceBuilder::class`](crate::NamespaceBuilder::class) takes it.
///
/// Methods take the instance as `Arc<Self>`, and then whatever [handlers](crate::FromContext) take. `Io` among it is the
/// namespace that the class serves, and so are [`Call::io`] and the one that [`start`](Self::start) gets: nothing has to be
/// named. Standalone handlers win over methods of the same event.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use sockeye::{Call, Class, ConnectRefused, Data, Io, NamespaceClass, Server, Socket};
///
/// #[derive(Default)]
/// struct Chat {
///     said: AtomicU64,
/// }
///
/// impl Chat {
///     async fn connect(self: Arc<Self>, socket: Socket) -> Result<(), ConnectRefused> {
///         socket.join("lobby");
///         Ok(())
///     }
///
///     async fn say(self: Arc<Self>, socket: Socket, Data(text): Data<String>) -> u64 {
///         socket.to("lobby").emit("said", &text);
///         self.said.fetch_add(1, Ordering::Relaxed) + 1 // the ack
///     }
///
///     async fn close(self: Arc<Self>, io: Io) {
///         io.close_room("lobby"); // that of the namespace that the class serves
///     }
/// }
///
/// impl NamespaceClass for Chat {
///     fn handlers(class: Class<Self>) -> Class<Self> {
///         class.on_connect(Self::connect).on("say", Self::say).on("close", Self::close)
///     }
///
///     async fn dispatch(self: Arc<Self>, call: Call) {
///         tracing::debug!(event = call.event_name(), "a call");
///         call.run().await;
///     }
/// }
///
/// let builder = Server::builder().namespace("/chat", |ns| ns.class(Chat::default()));
/// ```
pub trait NamespaceClass: Send + Sync + Sized + 'static {
    /// Says which method handles what.
    fn handlers(class: Class<Self>) -> Class<Self>;

    /// Called with each namespace that the instance serves once it is there, before its first client. The place to begin
    /// [background tasks](crate::Io::spawn). A [dynamic](crate::ServerBuilder::namespace_pattern) namespace begins with its first
    /// client, and again with the first one after it was left by all.
    ///
    /// To keep the handle in the instance, keep a [`WeakIo`](crate::WeakIo): the server owns the instance.
    fn start(self: Arc<Self>, io: Io) {
        let _ = io;
    }

    /// Called for everything that one of the methods handles, and for events that nobody handles. Without
    /// [`Call::run`] the method is not called: a client that connects is then refused, an event is dropped.
    fn dispatch(self: Arc<Self>, call: Call) -> impl Future<Output = ()> + Send {
        call.run()
    }
}

/// A method of a class as a handler: its first argument is the instance, `Arc<Self>`.
///
/// You never implement this. As with [`Handler`], what its other arguments and its future have to be are bounds of their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no method that handles events of `{T}`",
    label = "not a method `async fn(self: Arc<Self>, …)` with at most seven more arguments",
    note = "the first argument of a method is the instance as `self: Arc<Self>`, not `&self`: \
            `async fn hello(self: Arc<Self>, socket: Socket, Data(name): Data<String>) -> String`"
)]
pub trait Method<T, M>: Send + Sync + 'static {
    /// The other arguments, as a tuple.
    type Arguments;
    /// What calling the method returns.
    type Future;

    /// Calls the method.
    fn call(&self, this: Arc<T>, arguments: Self::Arguments) -> Self::Future;
}

macro_rules! method {
    ($($arg:ident),*) => {
        impl<F, T, Fut, $($arg,)*> Method<T, fn($($arg,)*) -> Fut> for F
        where
            F: Fn(Arc<T>, $($arg,)*) -> Fut + Send + Sync + 'static,
        {
            type Arguments = ($($arg,)*);
            type Future = Fut;

            #[allow(non_snake_case)]
            fn call(&self, this: Arc<T>, ($($arg,)*): Self::Arguments) -> Fut {
                self(this, $($arg,)*)
            }
        }
    };
}

method!();
method!(T1);
method!(T1, T2);
method!(T1, T2, T3);
method!(T1, T2, T3, T4);
method!(T1, T2, T3, T4, T5);
method!(T1, T2, T3, T4, T5, T6);
method!(T1, T2, T3, T4, T5, T6, T7);

/// A method with its instance: a handler like any other.
struct Bound<T, F> {
    this: Arc<T>,
    method: F,
}

/// Tells the compiler methods apart from functions.
struct OfClass<T, M>(PhantomData<fn() -> (T, M)>);

impl<T, F, M> Handler<OfClass<T, M>> for Bound<T, F>
where
    T: Send + Sync + 'static,
    F: Method<T, M>,
{
    type Arguments = F::Arguments;
    type Future = F::Future;

    fn call(&self, arguments: Self::Arguments) -> Self::Future {
        self.method.call(self.this.clone(), arguments)
    }
}

/// The methods of a class, while [`NamespaceClass::handlers`] names them.
#[must_use]
pub struct Class<T> {
    this: Arc<T>,
    builder: NamespaceBuilder,
}

impl<T> std::fmt::Debug for Class<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.builder.fmt(f)
    }
}

impl<T: NamespaceClass> Class<T> {
    pub(crate) fn register(instance: T) -> (Layer, Vec<Check>) {
        let class = T::handlers(Self { this: Arc::new(instance), builder: NamespaceBuilder::new() });
        let Self { this, builder } = class;
        let (mut layer, checks) = builder.into_parts();
        let method = |call: Arc<dyn EventCall>| -> Arc<dyn EventCall> {
            Arc::new(Dispatched { this: this.clone(), method: call })
        };
        layer.events.values_mut().for_each(|call| *call = method(call.clone()));
        layer.fallback = layer.fallback.map(method);
        layer.unhandled = Some(method(Arc::new(Unhandled)));
        layer.connected = layer.connected.map(method);
        layer.disconnect = layer.disconnect.map(method);
        layer.connect = layer.connect.map(|call| -> Arc<dyn ConnectCall> {
            Arc::new(Dispatched { this: this.clone(), method: call })
        });
        let starting = this;
        layer.starts.push(Arc::new(move |io| starting.clone().start(io)));
        (layer, checks)
    }

    fn bound<F>(&self, method: F) -> Bound<T, F> {
        Bound { this: self.this.clone(), method }
    }

    /// The instance, for methods that are written as closures.
    pub fn instance(&self) -> &Arc<T> {
        &self.this
    }

    /// The method that decides whether a client may join, as [`NamespaceBuilder::on_connect`].
    pub fn on_connect<F, M>(mut self, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output: IntoConnect> + Send + 'static,
        M: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.on_connect(method);
        self
    }

    /// The method that runs once a client is in, as [`NamespaceBuilder::on_connected`].
    pub fn on_connected<F, M>(mut self, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output = ()> + Send + 'static,
        M: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.on_connected(method);
        self
    }

    /// The method that runs when a socket is gone, as [`NamespaceBuilder::on_disconnect`].
    pub fn on_disconnect<F, M>(mut self, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output = ()> + Send + 'static,
        M: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.on_disconnect(method);
        self
    }

    /// The method that handles an event, as [`NamespaceBuilder::on`].
    pub fn on<F, M, K>(mut self, event: &str, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output: IntoAck<K>> + Send + 'static,
        M: 'static,
        K: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.on(event, method);
        self
    }

    /// A method that is no `async fn` and runs on a thread of its own, as [`NamespaceBuilder::on_blocking`].
    pub fn on_blocking<F, M, K>(mut self, event: &str, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments + 'static,
        F::Future: IntoAck<K> + 'static,
        M: 'static,
        K: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.on_blocking(event, method);
        self
    }

    /// The method that handles events for which there is no other, as [`NamespaceBuilder::fallback`].
    pub fn fallback<F, M, K>(mut self, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output: IntoAck<K>> + Send + 'static,
        M: 'static,
        K: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.fallback(method);
        self
    }

    /// A method that is asked before `on_connect`, as [`NamespaceBuilder::use_connect`].
    pub fn use_connect<F, M>(mut self, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output: IntoConnect> + Send + 'static,
        M: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.use_connect(method);
        self
    }

    /// A method that every event passes before its handler, as [`NamespaceBuilder::use_event`].
    pub fn use_event<F, M>(mut self, method: F) -> Self
    where
        F: Method<T, M>,
        F::Arguments: Arguments,
        F::Future: Future<Output: IntoStep> + Send + 'static,
        M: 'static,
    {
        let method = self.bound(method);
        self.builder = self.builder.use_event(method);
        self
    }
}

type Decision = Arc<Mutex<Option<Result<(), ConnectRefused>>>>;

enum Target {
    Event(Arc<dyn EventCall>),
    Connect(Arc<dyn ConnectCall>, Decision),
}

/// A method that is about to be called, for [`NamespaceClass::dispatch`].
#[must_use = "the method is not called before `run`"]
pub struct Call {
    context: Context,
    target: Target,
}

impl std::fmt::Debug for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Call").field("context", &self.context).finish_non_exhaustive()
    }
}

impl Call {
    /// What happened: a client wants to join, an event came, a socket is gone.
    pub fn kind(&self) -> HandlerKind {
        self.context.kind
    }

    /// Whose call it is.
    pub fn socket(&self) -> &Socket {
        &self.context.socket
    }

    /// The namespace that the class serves.
    pub fn io(&self) -> Io {
        self.context.socket.io()
    }

    /// The event's name; `None` if it is not about an event.
    pub fn event_name(&self) -> Option<&str> {
        self.context.event_name()
    }

    /// The event's arguments.
    pub fn args(&self) -> &Args {
        &self.context.args
    }

    /// Why the socket is gone; `None` if it is not about that.
    pub fn reason(&self) -> Option<DisconnectReason> {
        self.context.reason
    }

    /// Has the method get other arguments than those that came.
    pub fn replace_args(&mut self, args: Args) {
        self.context.args = args;
    }

    /// Calls the method; what it returns is the ack, or the decision. An event without a method is counted as unhandled.
    pub async fn run(self) {
        match self.target {
            Target::Event(method) => method.call(self.context).await,
            Target::Connect(method, decision) => {
                let decided = method.call(self.context).await;
                *decision.lock() = Some(decided);
            }
        }
    }

    /// Answers the event without calling the method, if the client asked for an ack.
    pub fn reply(mut self, args: impl IntoArgs) {
        self.context.take_reply().send(args);
    }

    /// Does not call the method: a client that connects is refused with this message, an event is dropped and counted.
    pub fn refuse(self, message: impl Into<String>) {
        match self.target {
            Target::Event(_) => self.context.refused(EventRefused::new(message)),
            Target::Connect(_, decision) => *decision.lock() = Some(Err(ConnectRefused::new(message))),
        }
    }
}

/// A method whose calls go through the class's `dispatch`.
struct Dispatched<T, C: ?Sized> {
    this: Arc<T>,
    method: Arc<C>,
}

impl<T: NamespaceClass> EventCall for Dispatched<T, dyn EventCall> {
    fn call(&self, context: Context) -> BoxFuture<'static, ()> {
        let call = Call { context, target: Target::Event(self.method.clone()) };
        Box::pin(self.this.clone().dispatch(call))
    }
}

impl<T: NamespaceClass> ConnectCall for Dispatched<T, dyn ConnectCall> {
    fn call(&self, context: Context) -> BoxFuture<'static, Result<(), ConnectRefused>> {
        let decision = Decision::default();
        let call = Call { context, target: Target::Connect(self.method.clone(), decision.clone()) };
        let dispatching = self.this.clone().dispatch(call);
        Box::pin(async move {
            dispatching.await;
            decision.lock().take().unwrap_or_else(|| Err(ConnectRefused::default()))
        })
    }
}
