//! What was registered for a namespace, in layers, and the handlers that come of them.
//!
//! A namespace has up to three layers: its standalone handlers, those of its class, and those of every namespace. They
//! are put together once, before the server runs: an event then costs one look into one map, however many layers and
//! middlewares there were.

use std::{collections::HashMap, sync::Arc};

use super::{
    ServerEventCall,
    handler::{ConnectCall, EventCall},
    hooks::{ErrorHook, EventHook, OutgoingHook},
    middleware::{ConnectChain, EventChain, Step, Unhandled},
};
use crate::io::Io;

/// Called with the namespace once it is there.
pub(crate) type StartHook = Arc<dyn Fn(Io) + Send + Sync>;

/// What was registered in one place.
#[derive(Clone, Default)]
pub(crate) struct Layer {
    pub(crate) connect: Option<Arc<dyn ConnectCall>>,
    pub(crate) connected: Option<Arc<dyn EventCall>>,
    pub(crate) disconnect: Option<Arc<dyn EventCall>>,
    pub(crate) events: HashMap<Arc<str>, Arc<dyn EventCall>>,
    pub(crate) fallback: Option<Arc<dyn EventCall>>,
    /// A class hears of events that nobody handles.
    pub(crate) unhandled: Option<Arc<dyn EventCall>>,
    pub(crate) server_events: HashMap<Box<str>, ServerEventCall>,
    pub(crate) connect_steps: Vec<Arc<dyn ConnectCall>>,
    pub(crate) event_steps: Vec<Arc<dyn Step>>,
    pub(crate) any: Vec<EventHook>,
    pub(crate) any_outgoing: Vec<OutgoingHook>,
    pub(crate) errors: Vec<ErrorHook>,
    pub(crate) starts: Vec<StartHook>,
    pub(crate) concurrency: Option<usize>,
}

impl Layer {
    /// Takes from the namespace's class what has no standalone handler.
    pub(crate) fn with_class(mut self, class: Self) -> Self {
        for (event, call) in class.events {
            self.events.entry(event).or_insert(call);
        }
        self.fallback = self.fallback.or(class.fallback);
        self.rest(class.connect_steps, class.event_steps, class.unhandled, class.starts);
        self.connect = self.connect.or(class.connect);
        self.connected = self.connected.or(class.connected);
        self.disconnect = self.disconnect.or(class.disconnect);
        self
    }

    /// Takes from the handlers of every namespace what this one has no handler for. Middlewares and listeners of every
    /// namespace come before its own.
    pub(crate) fn with_every(mut self, every: &Self) -> Self {
        let every = every.clone();
        // A catch-all of this namespace is nearer than any handler of every namespace.
        if self.fallback.is_none() {
            for (event, call) in every.events {
                self.events.entry(event).or_insert(call);
            }
            self.fallback = every.fallback;
        }
        for (event, call) in every.server_events {
            self.server_events.entry(event).or_insert(call);
        }
        before(&mut self.any, every.any);
        before(&mut self.any_outgoing, every.any_outgoing);
        before(&mut self.errors, every.errors);
        self.connect = self.connect.or(every.connect);
        self.connected = self.connected.or(every.connected);
        self.disconnect = self.disconnect.or(every.disconnect);
        self.concurrency = self.concurrency.or(every.concurrency);
        let (connect_steps, event_steps) =
            (std::mem::take(&mut self.connect_steps), std::mem::take(&mut self.event_steps));
        (self.connect_steps, self.event_steps) = (every.connect_steps, every.event_steps);
        self.rest(connect_steps, event_steps, every.unhandled, every.starts);
        self
    }

    fn rest(
        &mut self,
        connect_steps: Vec<Arc<dyn ConnectCall>>,
        event_steps: Vec<Arc<dyn Step>>,
        unhandled: Option<Arc<dyn EventCall>>,
        starts: Vec<StartHook>,
    ) {
        self.connect_steps.extend(connect_steps);
        self.event_steps.extend(event_steps);
        self.unhandled = self.unhandled.take().or(unhandled);
        self.starts.extend(starts);
    }

    /// Puts middlewares and listeners around the handlers.
    pub(crate) fn into_handlers(self) -> Handlers {
        let Self { mut connect, mut events, mut fallback, .. } = self;
        if !self.connect_steps.is_empty() {
            connect = Some(Arc::new(ConnectChain::new(self.connect_steps, connect)));
        }
        fallback = fallback.or(self.unhandled);
        if !self.event_steps.is_empty() || !self.any.is_empty() {
            let chain = EventChain::new(self.any, self.event_steps);
            for call in events.values_mut() {
                *call = chain.around(call.clone());
            }
            // Listeners and middlewares hear of events without a handler, too.
            fallback = Some(chain.around(fallback.unwrap_or_else(|| Arc::new(Unhandled))));
        }
        Handlers {
            connect,
            connected: self.connected,
            disconnect: self.disconnect,
            events,
            fallback,
            server_events: self.server_events,
            any_outgoing: self.any_outgoing.into(),
            errors: self.errors.into(),
            starts: self.starts.into(),
            concurrency: self.concurrency,
        }
    }
}

fn before<T>(own: &mut Vec<T>, mut first: Vec<T>) {
    first.append(own);
    *own = first;
}

/// The handlers of one namespace as they run. Never changes once the server runs.
#[derive(Default)]
pub(crate) struct Handlers {
    pub(crate) connect: Option<Arc<dyn ConnectCall>>,
    pub(crate) connected: Option<Arc<dyn EventCall>>,
    pub(crate) disconnect: Option<Arc<dyn EventCall>>,
    events: HashMap<Arc<str>, Arc<dyn EventCall>>,
    fallback: Option<Arc<dyn EventCall>>,
    pub(crate) server_events: HashMap<Box<str>, ServerEventCall>,
    pub(crate) any_outgoing: Box<[OutgoingHook]>,
    pub(crate) errors: Box<[ErrorHook]>,
    pub(crate) starts: Box<[StartHook]>,
    /// How many of one socket run side by side, if it is not as many as in other namespaces.
    pub(crate) concurrency: Option<usize>,
}

impl Handlers {
    /// Who handles an event, and its name to keep.
    pub(crate) fn event(&self, name: &str) -> Option<(Arc<dyn EventCall>, Arc<str>)> {
        match self.events.get_key_value(name) {
            Some((name, call)) => Some((call.clone(), name.clone())),
            None => self.fallback.as_ref().map(|call| (call.clone(), Arc::from(name))),
        }
    }
}
