//! The answers to a broadcast, as they come.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::Stream;
use sockeye_proto::{
    id::{NodeId, SocketId},
    sio::Args,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, Sleep, sleep_until},
};

use super::Namespace;
use crate::{
    cluster::{AckSink, RemoteAck},
    engine::Asked,
    error::{Answer, Gathered, Partial},
};

/// How much later than the caller the cluster may say that the time is over.
const REMOTE_GRACE: Duration = Duration::from_millis(100);

/// Answers of this node's clients go the same way as those of other nodes.
pub(crate) struct LocalSink {
    node: NodeId,
    sender: UnboundedSender<RemoteAck>,
}

impl LocalSink {
    pub(crate) fn new(node: NodeId, sender: UnboundedSender<RemoteAck>) -> Arc<Self> {
        Arc::new(Self { node, sender })
    }
}

impl AckSink for LocalSink {
    fn ack(&self, from: SocketId, answer: Option<Args>) {
        let sid = from.to_string();
        // Nobody listens any more when the caller stopped waiting.
        let _ = self.sender.send(match answer {
            Some(args) => RemoteAck::Answer { node: Some(self.node), sid, args },
            None => RemoteAck::Gone { sid },
        });
    }
}

/// Takes the entry out when the caller stops waiting.
#[derive(Debug)]
struct Forget {
    ns: Arc<Namespace>,
    id: u64,
}

impl Drop for Forget {
    fn drop(&mut self) {
        self.ns.forget_ack(self.id);
    }
}

/// The answers to a broadcast, as they come: a [`Stream`], or [`gather`](Self::gather)ed.
///
/// ```
/// # use std::time::Duration;
/// # async fn poll(io: sockeye::Io) -> Result<(), Box<dyn std::error::Error>> {
/// let mut answers = io.to("voters").timeout(Duration::from_secs(5)).emit_with_ack("vote", "pizza?")?;
/// let asked = answers.expected().await.value;
/// while let Some(answer) = answers.next().await {
///     println!("{} of {asked}: {:?}", answer.sid, answer.args.first::<bool>());
/// }
/// # Ok(()) }
/// ```
///
/// Who does not answer in time is missing; the answers that came stay valid. Dropping it stops the waiting.
#[derive(Debug)]
pub struct Acks {
    receiver: UnboundedReceiver<RemoteAck>,
    deadline: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    asked: usize,
    answered: usize,
    gone: usize,
    /// Of those who are gone, who were not asked because they owe too many answers.
    refused: usize,
    /// The other nodes may still say something.
    remote_open: bool,
    /// How many they asked is not known yet.
    counting: bool,
    missing_nodes: Vec<NodeId>,
    ready: VecDeque<Answer>,
    local: Option<Forget>,
}

impl Acks {
    /// Answers that nobody owes yet, and where they go.
    pub(crate) fn new(timeout: Duration) -> (Self, UnboundedSender<RemoteAck>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let acks = Self {
            receiver,
            deadline: Instant::now() + timeout,
            timer: None,
            asked: 0,
            answered: 0,
            gone: 0,
            refused: 0,
            remote_open: false,
            counting: false,
            missing_nodes: Vec::new(),
            ready: VecDeque::new(),
            local: None,
        };
        (acks, sender)
    }

    /// So many clients of this node were asked.
    pub(crate) fn asked_here(&mut self, asked: Asked, ns: &Arc<Namespace>) {
        self.asked = asked.recipients;
        self.refused = asked.refused;
        self.local = Some(Forget { ns: ns.clone(), id: asked.id });
    }

    /// Other nodes are asked too.
    pub(crate) fn expect_others(&mut self) {
        self.remote_open = true;
        self.counting = true;
    }

    /// The next answer; `None` when everyone has answered or is gone, or when the time is over.
    pub async fn next(&mut self) -> Option<Answer> {
        poll_fn(|cx| self.poll_answer(cx)).await
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        loop {
            if let Some(answer) = self.ready.pop_front() {
                return Poll::Ready(Some(answer));
            }
            if self.is_finished() {
                return Poll::Ready(None);
            }
            if std::task::ready!(self.poll_event(cx)).is_none() {
                return Poll::Ready(None);
            }
        }
    }

    /// Takes the next thing that somebody says; `None` if nobody will, or when the time is over.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        match self.receiver.poll_recv(cx) {
            Poll::Ready(Some(event)) => {
                self.note(event);
                return Poll::Ready(Some(()));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        // The cluster's own deadline is a moment later; what it says then names the nodes that did not report.
        let grace = if self.remote_open { REMOTE_GRACE } else { Duration::ZERO };
        let end = self.deadline + grace;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
        if timer.deadline() != end {
            timer.as_mut().reset(end);
        }
        timer.as_mut().poll(cx).map(|()| None)
    }

    fn note(&mut self, event: RemoteAck) {
        match event {
            RemoteAck::Expect { recipients, .. } => self.asked += recipients as usize,
            RemoteAck::Answer { node, sid, args } => {
                self.answered += 1;
                self.ready.push_back(Answer { sid, node, args });
            }
            RemoteAck::Gone { .. } => self.gone += 1,
            RemoteAck::Missing { node, owed } => {
                // Its clients went with it.
                self.gone += owed as usize;
                self.missing_nodes.push(node);
            }
            RemoteAck::Asked => self.counting = false,
            RemoteAck::Complete => (self.remote_open, self.counting) = (false, false),
        }
    }

    /// Whether nothing more can come: everyone has answered or is gone.
    pub fn is_finished(&self) -> bool {
        !self.remote_open && self.answered + self.gone >= self.asked && self.ready.is_empty()
    }

    /// Whether nobody was asked because all of them owe too many answers.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused > 0 && self.refused == self.asked
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// How many clients are known to have been asked so far. Final once [`expected`](Self::expected) has returned.
    pub fn asked(&self) -> usize {
        self.asked
    }

    /// How many clients were asked, as soon as every node has said how many it asked: long before the last answer. Answers
    /// that come meanwhile are kept for [`next`](Self::next).
    ///
    /// `missing` are nodes that did not say it in time. Clients of python-socketio nodes are not counted before they
    /// answer, because their nodes do not tell.
    pub async fn expected(&mut self) -> Partial<usize> {
        poll_fn(|cx| {
            while self.counting {
                if std::task::ready!(self.poll_event(cx)).is_none() {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
        Partial { value: self.asked, missing: self.missing_nodes.clone() }
    }

    /// Waits for all answers.
    pub async fn gather(mut self) -> Gathered<Answer> {
        let mut answers = Vec::with_capacity(self.asked);
        while let Some(answer) = self.next().await {
            answers.push(answer);
        }
        let missing = self.asked.saturating_sub(self.answered);
        drop(self.local.take());
        Gathered { answers, missing, missing_nodes: std::mem::take(&mut self.missing_nodes) }
    }
}

impl Stream for Acks {
    type Item = Answer;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        self.poll_answer(cx)
    }
}
