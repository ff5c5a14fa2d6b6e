//! Requests to the other nodes: one answer of each live peer, or the names of those that did not answer.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sockeye_bus::Topic;
use sockeye_proto::bus::{Answer, Message, Query, SocketFields, SocketInfo, Target};
use sockeye_proto::id::{NodeId, RequestId};
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::Args;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::core::Core;
use super::local::{Partial, RoomsPage, SocketsPage};
use super::metrics::{ClusterMetrics, Ended, Kind, Op};
use super::peers::node_topic;
use super::pending::{Entry, Progress};

/// A request on its way: who still owes an answer, and what came so far.
pub(super) struct Gather {
    op: Op,
    started: Instant,
    waiting: Vec<Waiting>,
    answered: Vec<NodeId>,
    missing: Vec<NodeId>,
    value: Collected,
    done: oneshot::Sender<(Collected, Vec<NodeId>)>,
}

/// A peer that owes (the rest of) its answer.
struct Waiting {
    node: NodeId,
    /// The part of its answer that comes next; a hole means that a part was lost.
    next_part: u32,
}

/// The answers, by what was asked.
pub(super) enum Collected {
    Members(Vec<String>),
    Count(u64),
    Events(Vec<(NodeId, Args)>),
    Sockets(Vec<(NodeId, SocketsPage)>),
    /// One socket: the first answer that has it is all that is wanted.
    Socket(Option<Box<(NodeId, SocketInfo)>>),
    Namespaces(Vec<(NamespacePath, u64)>),
    Rooms(Vec<RoomsPage>),
}

impl Gather {
    /// Takes one answer, or one part of it. An answer of a node that was not known when the request began counts.
    pub(super) fn answer(&mut self, from: NodeId, part: u32, more: bool, answer: Answer) -> Progress {
        let at = match self.waiting.iter().position(|waiting| waiting.node == from) {
            Some(at) => at,
            None if part == 0 && !self.answered.contains(&from) && !self.missing.contains(&from) => {
                self.waiting.push(Waiting { node: from, next_part: 0 });
                self.waiting.len() - 1
            }
            None => return Progress::Waiting,
        };
        if self.waiting[at].next_part != part || !self.value.add(from, answer) {
            self.waiting.swap_remove(at);
            self.missing.push(from);
        } else if more {
            self.waiting[at].next_part += 1;
        } else {
            self.waiting.swap_remove(at);
            self.answered.push(from);
        }
        if matches!(self.value, Collected::Socket(Some(_))) {
            // It is nowhere else.
            self.waiting.clear();
            self.missing.clear();
        }
        self.progress()
    }

    /// The peer will not answer any more.
    pub(super) fn peer_lost(&mut self, node: NodeId) -> Progress {
        if let Some(at) = self.waiting.iter().position(|waiting| waiting.node == node) {
            self.waiting.swap_remove(at);
            self.missing.push(node);
        }
        self.progress()
    }

    /// Nobody who still owes an answer will give it.
    pub(super) fn cut(&mut self) -> Progress {
        self.missing.extend(self.waiting.drain(..).map(|waiting| waiting.node));
        Progress::Done
    }

    fn progress(&self) -> Progress {
        if self.waiting.is_empty() { Progress::Done } else { Progress::Waiting }
    }

    /// Hands the result to the caller.
    pub(super) fn finish(mut self, metrics: &ClusterMetrics) {
        self.missing.sort_unstable();
        let ended = if self.missing.is_empty() { Ended::Complete } else { Ended::Partial };
        metrics.request_ended(self.op, ended, self.started.elapsed().as_secs_f64());
        // The caller may have gone away in this moment.
        let _ = self.done.send((self.value, self.missing));
    }

    /// The caller went away.
    pub(super) fn abandon(self, metrics: &ClusterMetrics) {
        metrics.request_ended(self.op, Ended::Abandoned, self.started.elapsed().as_secs_f64());
    }
}

impl Collected {
    /// Whether the answer fits the question.
    fn add(&mut self, from: NodeId, answer: Answer) -> bool {
        match (self, answer) {
            (Self::Members(all), Answer::Members(some)) => all.extend(some),
            (Self::Count(sum), Answer::Count(count)) => *sum = sum.saturating_add(count),
            (Self::Events(all), Answer::ServerEvent(answer)) => all.extend(answer.map(|args| (from, args))),
            (Self::Sockets(all), Answer::Sockets { sockets, next }) => {
                all.push((from, SocketsPage { sockets, next }));
            }
            (Self::Socket(found), Answer::Sockets { sockets, .. }) => {
                let socket = sockets.into_iter().next().map(|socket| Box::new((from, socket)));
                *found = socket.or_else(|| found.take());
            }
            (Self::Namespaces(all), Answer::Namespaces(some)) => all.extend(some),
            (Self::Rooms(all), Answer::Rooms { rooms, more }) => all.push((rooms, more)),
            _ => return false,
        }
        true
    }
}

/// Forgets the request when its caller stops waiting.
struct Guard {
    core: Arc<Core>,
    id: RequestId,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.core.pending.abandon(self.id);
    }
}

impl Core {
    /// Asks every live peer; the message leaves when this is called, not when the future is first polled.
    fn gather(
        self: &Arc<Self>,
        op: Op,
        value: Collected,
        query: &Query,
        ttl: Duration,
    ) -> impl Future<Output = (Collected, Vec<NodeId>)> + Send + use<> {
        self.gather_from(op, value, self.peers.ids(), ttl, &|id| {
            let query = query.clone();
            self.publish(Topic::All, Kind::Request, &Message::Request { id, ttl, query });
        })
    }

    /// Asks these peers; `ask` publishes what they are asked.
    fn gather_from(
        self: &Arc<Self>,
        op: Op,
        value: Collected,
        peers: Vec<NodeId>,
        ttl: Duration,
        ask: &dyn Fn(RequestId),
    ) -> impl Future<Output = (Collected, Vec<NodeId>)> + Send + use<> {
        let started = Instant::now();
        let id = self.pending.id();
        let (done, answer) = oneshot::channel();
        let alone = peers.is_empty();
        let waiting: Vec<Waiting> = peers.iter().map(|&node| Waiting { node, next_part: 0 }).collect();
        let mut gather =
            Gather { op, started, waiting, answered: Vec::new(), missing: Vec::new(), value, done };
        if alone || !self.is_linked() {
            gather.cut();
            gather.finish(&self.metrics);
        } else {
            self.pending.open(id, started + ttl, Entry::Gather(gather));
            ask(id);
            self.settle(id, &peers);
        }
        let guard = Guard { core: Arc::clone(self), id };
        async move {
            let _guard = guard;
            // The sender is only dropped without a word by `abandon`, which only the guard calls.
            answer.await.unwrap_or((Collected::Count(0), peers))
        }
    }

    /// A peer or the link may have been lost between the look at the table and the opening of the entry.
    pub(super) fn settle(&self, id: RequestId, peers: &[NodeId]) {
        let lost = self.peers.absent(peers);
        let linked = self.is_linked();
        if lost.is_empty() && linked {
            return;
        }
        self.pending.feed(id, |entry| match entry {
            Entry::Gather(gather) if !linked => gather.cut(),
            Entry::Gather(gather) => lost.iter().fold(Progress::Waiting, |_, &node| gather.peer_lost(node)),
            Entry::Collect(collect) => {
                lost.iter().fold(Progress::Waiting, |_, &node| collect.peer_lost(node))
            }
        });
    }

    pub(super) fn members(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        target: &Target,
    ) -> impl Future<Output = Partial<Vec<String>>> + Send + use<> {
        let query = Query::Members { namespace: namespace.clone(), target: target.clone() };
        let answers =
            self.gather(Op::Members, Collected::Members(Vec::new()), &query, self.settings.request_timeout);
        async move {
            match answers.await {
                (Collected::Members(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: Vec::new(), missing },
            }
        }
    }

    pub(super) fn count(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        target: &Target,
    ) -> impl Future<Output = Partial<u64>> + Send + use<> {
        let query = Query::Count { namespace: namespace.clone(), target: target.clone() };
        let answers = self.gather(Op::Count, Collected::Count(0), &query, self.settings.request_timeout);
        async move {
            match answers.await {
                (Collected::Count(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: 0, missing },
            }
        }
    }

    pub(super) fn server_call(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        event: &str,
        args: Args,
        ttl: Duration,
    ) -> impl Future<Output = Partial<Vec<(NodeId, Args)>>> + Send + use<> {
        let query = Query::ServerEvent { namespace: namespace.clone(), event: event.into(), args };
        let answers = self.gather(Op::ServerEvent, Collected::Events(Vec::new()), &query, ttl);
        async move {
            match answers.await {
                (Collected::Events(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: Vec::new(), missing },
            }
        }
    }

    /// Asks each of these peers for its next page, from the place that stands beside it on.
    pub(super) fn sockets(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        target: &Target,
        from: &[(NodeId, u64)],
        limit: usize,
        fields: &SocketFields,
    ) -> impl Future<Output = Partial<Vec<(NodeId, SocketsPage)>>> + Send + use<> {
        let peers = from.iter().map(|(node, _)| *node).collect();
        let (ttl, limit) = (self.settings.request_timeout, u32::try_from(limit).unwrap_or(u32::MAX));
        let answers = self.gather_from(Op::Sockets, Collected::Sockets(Vec::new()), peers, ttl, &|id| {
            for &(node, from) in from {
                let (namespace, target, fields) = (namespace.clone(), target.clone(), fields.clone());
                let query = Query::Sockets { namespace, target, from, limit, fields };
                self.publish(node_topic(node), Kind::Request, &Message::Request { id, ttl, query });
            }
        });
        async move {
            match answers.await {
                (Collected::Sockets(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: Vec::new(), missing },
            }
        }
    }

    pub(super) fn socket(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        id: &str,
        fields: &SocketFields,
    ) -> impl Future<Output = Partial<Option<(NodeId, SocketInfo)>>> + Send + use<> {
        let query = Query::Socket { namespace: namespace.clone(), id: id.to_owned(), fields: fields.clone() };
        let ttl = self.settings.request_timeout;
        let answers = self.gather(Op::Socket, Collected::Socket(None), &query, ttl);
        async move {
            match answers.await {
                (Collected::Socket(value), missing) => Partial { value: value.map(|found| *found), missing },
                (_, missing) => Partial { value: None, missing },
            }
        }
    }

    pub(super) fn namespaces(
        self: &Arc<Self>,
    ) -> impl Future<Output = Partial<Vec<(NamespacePath, u64)>>> + Send + use<> {
        let ttl = self.settings.request_timeout;
        let answers = self.gather(Op::Namespaces, Collected::Namespaces(Vec::new()), &Query::Namespaces, ttl);
        async move {
            match answers.await {
                (Collected::Namespaces(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: Vec::new(), missing },
            }
        }
    }

    pub(super) fn rooms(
        self: &Arc<Self>,
        namespace: &NamespacePath,
        after: Option<&RoomName>,
        limit: usize,
    ) -> impl Future<Output = Partial<Vec<RoomsPage>>> + Send + use<> {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let query = Query::Rooms { namespace: namespace.clone(), after: after.cloned(), limit };
        let ttl = self.settings.request_timeout;
        let answers = self.gather(Op::Rooms, Collected::Rooms(Vec::new()), &query, ttl);
        async move {
            match answers.await {
                (Collected::Rooms(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: Vec::new(), missing },
            }
        }
    }

    pub(super) fn confirm(
        self: &Arc<Self>,
        change: RequestId,
    ) -> impl Future<Output = Partial<u64>> + Send + use<> {
        let query = Query::Outcome { change };
        let answers = self.gather(Op::Confirm, Collected::Count(0), &query, self.settings.request_timeout);
        async move {
            match answers.await {
                (Collected::Count(value), missing) => Partial { value, missing },
                (_, missing) => Partial { value: 0, missing },
            }
        }
    }
}
