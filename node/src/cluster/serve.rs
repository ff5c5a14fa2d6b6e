//! What this node does for its peers' requests. The reader is never held up: what may take long runs in a task.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use sockeye_proto::bus::{Answer, Message, Query, Target};
use sockeye_proto::id::{NodeId, RequestId};
use sockeye_proto::name::NamespacePath;
use sockeye_proto::sio::Args;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::core::Core;
use super::local::Local;
use super::metrics::{Kind, SERVER_EVENT_LIMIT};
use super::peers::node_topic;

/// Handlers of server events that run at the same time.
const SERVER_EVENTS_RUNNING: usize = 256;
/// Server events that are being handled or wait for it.
const SERVER_EVENTS_WAITING: usize = 8 * 1024;
/// Member ids in one message: far below every broker's limit, and short enough not to hold up what follows it.
const MEMBERS_PER_PART: usize = 8 * 1024;

impl Core {
    /// Answers a request of `from`.
    pub(super) fn serve(
        self: &Arc<Self>,
        local: &Arc<dyn Local>,
        from: NodeId,
        id: RequestId,
        ttl: Duration,
        query: Query,
    ) {
        let core = Arc::clone(self);
        let local = Arc::clone(local);
        match query {
            Query::Count { namespace, target } if is_cheap(&target) => {
                let count = local.count(&namespace, &target) as u64;
                self.answer(from, id, 0, false, Answer::Count(count));
            }
            Query::Count { namespace, target } => {
                tokio::spawn(async move {
                    let count = local.count(&namespace, &target) as u64;
                    core.answer(from, id, 0, false, Answer::Count(count));
                });
            }
            Query::Members { namespace, target } => {
                tokio::spawn(
                    async move { core.answer_members(&*local, from, id, &namespace, &target).await },
                );
            }
            Query::ServerEvent { namespace, event, args } => {
                let deadline = Instant::now() + ttl;
                self.server_event(&local, from, &namespace, &event, args, move |answer| {
                    if Instant::now() < deadline {
                        core.answer(from, id, 0, false, Answer::ServerEvent(answer));
                    }
                });
            }
        }
    }

    fn answer(&self, to: NodeId, request: RequestId, part: u32, more: bool, answer: Answer) {
        self.publish(node_topic(to), Kind::Response, &Message::Answer { request, part, more, answer });
    }

    async fn answer_members(
        &self,
        local: &dyn Local,
        to: NodeId,
        request: RequestId,
        namespace: &NamespacePath,
        target: &Target,
    ) {
        let members = local.members(namespace, target);
        let mut parts = members.chunks(MEMBERS_PER_PART).peekable();
        if parts.peek().is_none() {
            return self.answer(to, request, 0, false, Answer::Members(Vec::new()));
        }
        let mut number = 0;
        while let Some(part) = parts.next() {
            let ids = part.iter().map(|id| id.as_str().to_owned()).collect();
            self.answer(to, request, number, parts.peek().is_some(), Answer::Members(ids));
            number += 1;
            tokio::task::yield_now().await;
        }
    }

    /// Runs the handler of a server event in a task of its own, then `answer` with what it returned.
    ///
    /// The number of such tasks is bounded; an event beyond the bound is lost and counted.
    pub(super) fn server_event(
        self: &Arc<Self>,
        local: &Arc<dyn Local>,
        from: NodeId,
        namespace: &str,
        event: &str,
        args: Args,
        answer: impl FnOnce(Option<Args>) + Send + 'static,
    ) {
        let Ok(place) = Arc::clone(&self.handlers.waiting).try_acquire_owned() else {
            tracing::warn!(event, %from, "too many server events wait for their handlers: this one is lost");
            return self.metrics.lost(SERVER_EVENT_LIMIT);
        };
        let handler = local.server_event(namespace, event, args, from);
        let handlers = Arc::clone(&self.handlers);
        tokio::spawn(async move {
            let answered = {
                // Never closed, so an error cannot happen; the handler would then run unbounded.
                let _running = handlers.running.acquire().await;
                AssertUnwindSafe(handler).catch_unwind().await
            };
            drop(place);
            answer(answered.unwrap_or_else(|_| {
                tracing::error!("a handler of a server event panicked");
                None
            }));
        });
    }
}

/// Bounds of the server events under way. Permits are handed out in the order in which they were asked for.
pub(super) struct Handlers {
    waiting: Arc<Semaphore>,
    running: Semaphore,
}

impl Default for Handlers {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(SERVER_EVENTS_WAITING)),
            running: Semaphore::new(SERVER_EVENTS_RUNNING),
        }
    }
}

/// Whether counting the target needs no look at each socket.
fn is_cheap(target: &Target) -> bool {
    target.except.is_empty() && target.rooms.len() <= 1
}
