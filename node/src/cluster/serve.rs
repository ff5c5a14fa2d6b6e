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
use super::metrics::{Kind, QUERY_LIMIT, SERVER_EVENT_LIMIT};
use super::peers::node_topic;

/// Handlers of server events that run at the same time.
const SERVER_EVENTS_RUNNING: usize = 256;
/// Server events that are being handled or wait for it.
const SERVER_EVENTS_WAITING: usize = 8 * 1024;
/// Questions that are answered at the same time: the cores are for the clients.
const QUESTIONS_RUNNING: usize = 2;
/// Questions that are being answered or wait for it.
const QUESTIONS_WAITING: usize = 1024;
/// Names of namespaces or rooms in one message.
const NAMES_PER_PART: usize = 4 * 1024;
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
            Query::Sockets { namespace, target, from: place, limit, fields } => {
                self.in_turn(ttl, move || {
                    let page = local.sockets(&namespace, &target, place, limit as usize, &fields);
                    let answer = Answer::Sockets { sockets: page.sockets, next: page.next };
                    core.answer(from, id, 0, false, answer);
                });
            }
            Query::Socket { namespace, id: socket, fields } => {
                let sockets = local.socket(&namespace, &socket, &fields).into_iter().collect();
                self.answer(from, id, 0, false, Answer::Sockets { sockets, next: None });
            }
            Query::Namespaces => self.in_turn(ttl, move || {
                let namespaces = local.namespaces();
                let parts = namespaces.len().div_ceil(NAMES_PER_PART).max(1);
                for part in 0..parts {
                    let some = namespaces.iter().skip(part * NAMES_PER_PART).take(NAMES_PER_PART);
                    let answer = Answer::Namespaces(some.cloned().collect());
                    core.answer(from, id, part as u32, part + 1 < parts, answer);
                }
            }),
            Query::Rooms { namespace, after, limit } => self.in_turn(ttl, move || {
                let limit = (limit as usize).clamp(1, NAMES_PER_PART);
                let (rooms, more) = local.rooms(&namespace, after.as_ref(), limit);
                core.answer(from, id, 0, false, Answer::Rooms { rooms, more });
            }),
            // Here, because the answer has to come after what this reader did before.
            Query::Outcome { change } => match self.outcomes.of(from, change) {
                Some(found) => self.answer(from, id, 0, false, Answer::Count(found)),
                // Not what was asked for: the asker takes this node for missing, and need not wait.
                None => self.answer(from, id, 0, false, Answer::ServerEvent(None)),
            },
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

    /// Answers a question that costs something, in a task, and not many of them side by side. A question beyond the bound
    /// stays unanswered, as does one that nobody waits for any more.
    fn in_turn(self: &Arc<Self>, ttl: Duration, answer: impl FnOnce() + Send + 'static) {
        let Ok(place) = Arc::clone(&self.questions.waiting).try_acquire_owned() else {
            tracing::warn!("too many questions of other nodes wait: this one is not answered");
            return self.metrics.lost(QUERY_LIMIT);
        };
        let (core, deadline) = (Arc::clone(self), Instant::now() + ttl);
        tokio::spawn(async move {
            // Never closed, so an error cannot happen; the answer would then come out of turn.
            let _running = core.questions.running.acquire().await;
            if Instant::now() < deadline {
                answer();
            }
            drop(place);
        });
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

/// Bounds of the questions that are answered in tasks.
pub(super) struct Questions {
    waiting: Arc<Semaphore>,
    running: Semaphore,
}

impl Default for Questions {
    fn default() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(QUESTIONS_WAITING)),
            running: Semaphore::new(QUESTIONS_RUNNING),
        }
    }
}

/// Whether counting the target needs no look at each socket.
fn is_cheap(target: &Target) -> bool {
    target.except.is_empty() && target.rooms.len() <= 1
}
