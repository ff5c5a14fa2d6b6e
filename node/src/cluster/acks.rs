//! Acks across nodes: collected where the emit began, sent in batches from where the sockets are.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use sockeye_bus::Topic;
use sockeye_proto::bus::Message;
use sockeye_proto::id::{NodeId, RequestId, SocketId};
use sockeye_proto::sio::Args;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::core::Core;
use super::local::{AckSink, RemoteAck};
use super::metrics::{ClusterMetrics, Ended, Kind, Op};
use super::pending::{Progress, Reason};

/// So many acks leave at once.
const BATCH: usize = 64;
/// So many bytes of acks leave at once.
const BATCH_BYTES: usize = 64 * 1024;
/// So long an ack waits for company.
const BATCH_DELAY: Duration = Duration::from_millis(2);

/// An emit of this node that collects the acks of other nodes' sockets.
pub(super) struct Collect {
    started: Instant,
    sink: UnboundedSender<RemoteAck>,
    nodes: Vec<Share>,
    foreign: Foreign,
    /// Nodes that were reported missing; what comes from them later is passed on, but not waited for.
    lost: Vec<NodeId>,
    /// Something that was waited for did not come.
    partial: bool,
    /// It was said that everyone has been asked.
    asked: bool,
}

/// What one peer owes.
struct Share {
    node: NodeId,
    /// How many sockets it asked; unknown until it says so.
    recipients: Option<u64>,
    /// How many of them are answered or gone. Acks may overtake the count.
    settled: u64,
}

/// What nodes of another product owe, who never say how many sockets they asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Foreign {
    /// Nothing is expected of them.
    No,
    /// One socket was addressed and no native node has it: the first answer is the only one.
    One,
    /// Sockets of theirs may be in the room: only the deadline ends the waiting.
    Any,
}

impl Collect {
    pub(super) fn new(sink: UnboundedSender<RemoteAck>, peers: &[NodeId], foreign: Foreign) -> Self {
        let nodes = peers.iter().map(|&node| Share { node, recipients: None, settled: 0 }).collect();
        Self { started: Instant::now(), sink, nodes, foreign, lost: Vec::new(), partial: false, asked: false }
    }

    /// Whether there is nothing to wait for.
    pub(super) fn progress(&mut self) -> Progress {
        // A foreign node never says how many it asked: only for a single socket it matters.
        let counted =
            self.foreign != Foreign::One && self.nodes.iter().all(|share| share.recipients.is_some());
        if counted && !std::mem::replace(&mut self.asked, true) {
            self.say(RemoteAck::Asked);
        }
        let done = self.foreign == Foreign::No && self.nodes.iter().all(Share::is_done);
        if done || self.sink.is_closed() { Progress::Done } else { Progress::Waiting }
    }

    /// A node says how many sockets it asked.
    pub(super) fn count(&mut self, node: NodeId, recipients: u64) -> Progress {
        if let Some(share) = self.share(node) {
            share.recipients = Some(recipients);
        }
        self.say(RemoteAck::Expect { node: Some(node), recipients });
        if recipients > 0 && self.foreign == Foreign::One {
            self.foreign = Foreign::No;
        }
        self.progress()
    }

    /// Some of a node's sockets answered or went away.
    pub(super) fn acks(&mut self, node: NodeId, acks: Vec<(String, Option<Args>)>) -> Progress {
        if let Some(share) = self.share(node) {
            share.settled += acks.len() as u64;
        }
        for (sid, answer) in acks {
            self.say(match answer {
                Some(args) => RemoteAck::Answer { node: Some(node), sid, args },
                None => RemoteAck::Gone { sid },
            });
        }
        self.progress()
    }

    /// A socket of a foreign node answered.
    pub(super) fn foreign_ack(&mut self, sid: String, args: Args) -> Progress {
        if self.foreign == Foreign::One {
            self.foreign = Foreign::No;
        }
        self.say(RemoteAck::Expect { node: None, recipients: 1 });
        self.say(RemoteAck::Answer { node: None, sid, args });
        self.progress()
    }

    /// Nobody but native nodes has heard the question.
    pub(super) fn only_native(&mut self) -> Progress {
        self.foreign = Foreign::No;
        self.progress()
    }

    /// The peer is gone, and with it what it owes.
    pub(super) fn peer_lost(&mut self, node: NodeId) -> Progress {
        if let Some(at) = self.nodes.iter().position(|share| share.node == node) {
            let share = self.nodes.swap_remove(at);
            if !share.is_done() {
                self.lose(&share);
            }
        }
        self.progress()
    }

    /// The waiting ends now. At the deadline a node is missing only if it never said how many it asked: if it did,
    /// the rest of its sockets stayed silent.
    pub(super) fn cut(&mut self, reason: Reason) {
        if self.foreign == Foreign::One {
            // It may have been asked and stayed silent: nobody knows.
            self.partial = true;
            self.say(RemoteAck::Expect { node: None, recipients: 1 });
        }
        for share in std::mem::take(&mut self.nodes) {
            self.partial |= !share.is_done();
            let owes = match reason {
                Reason::Deadline => share.recipients.is_none(),
                Reason::Cut => !share.is_done(),
            };
            if owes {
                self.lose(&share);
            }
        }
    }

    /// Says that nothing follows.
    pub(super) fn finish(self, metrics: &ClusterMetrics) {
        let ended = if self.sink.is_closed() {
            Ended::Abandoned
        } else if self.partial {
            Ended::Partial
        } else {
            Ended::Complete
        };
        metrics.request_ended(Op::Ack, ended, self.started.elapsed().as_secs_f64());
        self.say(RemoteAck::Complete);
    }

    fn lose(&mut self, share: &Share) {
        self.partial = true;
        self.lost.push(share.node);
        let owed = share.recipients.map_or(0, |recipients| recipients.saturating_sub(share.settled));
        self.say(RemoteAck::Missing { node: share.node, owed });
    }

    /// A node that joined after the emit began may have received it too; one that was given up has no share.
    fn share(&mut self, node: NodeId) -> Option<&mut Share> {
        if self.lost.contains(&node) {
            return None;
        }
        let at = self.nodes.iter().position(|share| share.node == node).unwrap_or_else(|| {
            self.nodes.push(Share { node, recipients: None, settled: 0 });
            self.nodes.len() - 1
        });
        self.nodes.get_mut(at)
    }

    fn say(&self, ack: RemoteAck) {
        // A caller that stopped listening is noticed by `progress`.
        let _ = self.sink.send(ack);
    }
}

impl Share {
    fn is_done(&self) -> bool {
        self.recipients.is_some_and(|recipients| self.settled >= recipients)
    }
}

/// The answers of this node's sockets to an emit of another node, on their way back to it.
pub(super) struct RemoteAcks {
    core: Arc<Core>,
    me: Weak<Self>,
    origin: NodeId,
    request: RequestId,
    /// Guards the batch under way. Leaf: nothing is published or scheduled under it.
    batch: Mutex<Batch>,
}

#[derive(Default)]
struct Batch {
    acks: Vec<(String, Option<Args>)>,
    bytes: usize,
    /// How many sockets were asked; unknown until the local emit returned.
    recipients: Option<u64>,
    settled: u64,
    scheduled: bool,
}

impl RemoteAcks {
    pub(super) fn new(core: &Arc<Core>, origin: NodeId, request: RequestId) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            core: Arc::clone(core),
            me: Weak::clone(me),
            origin,
            request,
            batch: Mutex::default(),
        })
    }

    /// The local emit is done: tells the origin how many sockets were asked, and what they said meanwhile.
    pub(super) fn asked(&self, recipients: usize) {
        let recipients = recipients as u64;
        let count = Message::AckCount { request: self.request, recipients };
        self.core.publish(self.topic(), Kind::Ack, &count);
        let mut batch = self.batch.lock();
        batch.recipients = Some(recipients);
        let all = batch.is_last();
        drop(batch);
        if all {
            self.flush();
        }
    }

    /// Sends what has gathered.
    pub(super) fn flush(&self) {
        let mut batch = self.batch.lock();
        batch.scheduled = false;
        batch.bytes = 0;
        let acks = std::mem::take(&mut batch.acks);
        drop(batch);
        if !acks.is_empty() {
            self.core.publish(self.topic(), Kind::Ack, &Message::Acks { request: self.request, acks });
        }
    }

    fn topic(&self) -> Topic {
        Topic::Node(self.origin.to_string().into())
    }
}

impl Batch {
    /// Whether nothing follows, so that waiting for company is in vain.
    fn is_last(&self) -> bool {
        self.recipients.is_some_and(|recipients| self.settled >= recipients)
    }
}

impl AckSink for RemoteAcks {
    fn ack(&self, from: SocketId, answer: Option<Args>) {
        let mut batch = self.batch.lock();
        batch.settled += 1;
        batch.bytes += answer.as_ref().map_or(0, size);
        batch.acks.push((from.as_str().to_owned(), answer));
        let full = batch.acks.len() >= BATCH || batch.bytes >= BATCH_BYTES || batch.is_last();
        let schedule = !full && !std::mem::replace(&mut batch.scheduled, true);
        drop(batch);
        if full {
            self.flush();
        } else if schedule && let Some(me) = self.me.upgrade() {
            self.core.pending.flush_at(Instant::now() + BATCH_DELAY, me);
        }
    }
}

/// Bytes that `args` take on the bus, about.
fn size(args: &Args) -> usize {
    args.json().len() + args.attachments().iter().map(|attachment| attachment.len()).sum::<usize>()
}
