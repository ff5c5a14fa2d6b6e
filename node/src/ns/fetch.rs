//! Lists of sockets from all nodes, one page after the other.
//!
//! Nothing is kept on the nodes between two pages: each answers from a place on, and says where it stopped. A node sends
//! only what was asked for, and nobody waits for it any more once it failed to answer.

use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    sync::Arc,
};

use futures_util::{Stream, stream};
use sockeye_proto::{
    bus::{SocketFields, Target},
    id::NodeId,
};

use super::{Namespace, describe::PAGE_MOST, remote::RemoteSocket};
use crate::{engine::Engine, error::Partial, io::Io};

/// Sockets on a page when nobody said.
const PAGE_SIZE: usize = 1_000;

/// What is to be known about which sockets; made by [`Broadcast::fetch_sockets`](crate::Broadcast::fetch_sockets).
///
/// Without further words their ids, nodes and rooms. Awaiting it collects all of them; of many sockets one rather looks at
/// one page after the other:
///
/// ```
/// # async fn list(io: sockeye::Io) {
/// let mut pages = io.to("lobby").fetch_sockets().connection().header("user-agent").page_size(500).pages();
/// while let Some(page) = pages.next().await {
///     for socket in page.sockets {
///         println!("{} on {}: {:?}", socket.id(), socket.node(), socket.header("user-agent"));
///     }
/// }
/// if !pages.missing().is_empty() {
///     println!("these nodes did not answer: {:?}", pages.missing());
/// }
/// # }
/// ```
///
/// A socket that is there all the time is listed exactly once, one that comes or goes meanwhile at most once. Sockets whose
/// connect handler has not decided are not listed.
#[derive(Clone, Debug)]
#[must_use = "nobody is asked before it is awaited, or a page is"]
pub struct FetchSockets {
    io: Io,
    target: Target,
    local: bool,
    nobody: bool,
    fields: SocketFields,
    page_size: usize,
}

impl FetchSockets {
    pub(crate) fn new(
        engine: Arc<Engine>,
        ns: Arc<Namespace>,
        target: Target,
        local: bool,
        nobody: bool,
    ) -> Self {
        let fields = SocketFields { rooms: true, ..SocketFields::default() };
        Self { io: Io::new(engine, ns), target, local, nobody, fields, page_size: PAGE_SIZE }
    }

    /// Not the rooms: only who they are.
    pub fn without_rooms(mut self) -> Self {
        self.fields.rooms = false;
        self
    }

    /// Also address, time, transport, and whether the connection is encrypted.
    pub fn connection(mut self) -> Self {
        self.fields.connection = true;
        self
    }

    /// Also path and query of the request that opened the connection. They may carry secrets of the client.
    pub fn url(mut self) -> Self {
        self.fields.url = true;
        self
    }

    /// Also this header of the request that opened the connection; `name` in any case. May be called several times.
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.fields.headers.push(name.into());
        self
    }

    /// Also what the application stored with [`Socket::set_data`](crate::Socket::set_data).
    pub fn data(mut self) -> Self {
        self.fields.data = true;
        self
    }

    /// How many sockets are on one page at the most; 1,000 if not said, at least 1 and at most 10,000. A page of large
    /// sockets has fewer: no node sends much more than 256 KiB at a time.
    pub fn page_size(mut self, sockets: usize) -> Self {
        self.page_size = sockets.clamp(1, PAGE_MOST);
        self
    }

    /// One page after the other.
    pub fn pages(self) -> SocketPages {
        let here = (!self.nobody).then_some(0);
        let others = match self.local || self.nobody {
            true => Vec::new(),
            false => self.io.nodes().into_iter().map(|node| (node, 0)).collect(),
        };
        SocketPages { what: self, here, others, missing: Vec::new() }
    }
}

impl IntoFuture for FetchSockets {
    type Output = Partial<Vec<RemoteSocket>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Collects all pages.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let mut pages = self.pages();
            let mut value = Vec::new();
            while let Some(page) = pages.next().await {
                value.extend(page.sockets);
            }
            Partial { value, missing: pages.missing }
        })
    }
}

/// Some sockets of the list.
#[derive(Clone, Debug)]
pub struct SocketPage {
    /// They, in no order.
    pub sockets: Vec<RemoteSocket>,
    /// Nodes that did not answer for this page, and are not asked again: the rest of their sockets is not listed.
    pub missing: Vec<NodeId>,
}

/// A list of sockets, read page by page. Every page is asked for when [`next`](Self::next) is called, of all nodes at the
/// same time; dropping it leaves nothing behind anywhere.
#[derive(Debug)]
#[must_use = "nobody is asked before a page is"]
pub struct SocketPages {
    what: FetchSockets,
    /// Where this node's part goes on.
    here: Option<u64>,
    /// Where the other nodes' parts go on. Nodes that join later have nobody who was there before.
    others: Vec<(NodeId, u64)>,
    missing: Vec<NodeId>,
}

impl SocketPages {
    /// The next page; `None` at the end. It may have fewer sockets than the page size and still be followed by others. If
    /// the future is dropped, the next call asks for the same page.
    pub async fn next(&mut self) -> Option<SocketPage> {
        loop {
            if self.here.is_none() && self.others.is_empty() {
                return None;
            }
            let page = self.round().await;
            if !page.sockets.is_empty() || !page.missing.is_empty() {
                return Some(page);
            }
        }
    }

    /// Nodes that did not answer so far.
    pub fn missing(&self) -> &[NodeId] {
        &self.missing
    }

    /// The same as a stream.
    pub fn into_stream(self) -> impl Stream<Item = SocketPage> + Send {
        stream::unfold(self, |mut pages| async move { pages.next().await.map(|page| (page, pages)) })
    }

    /// Every node that has more gives an equal share of one page; where there are more nodes than sockets on a page, those
    /// that come first.
    async fn round(&mut self) -> SocketPage {
        let FetchSockets { io, target, fields, page_size, .. } = &self.what;
        let (here, parts) = (usize::from(self.here.is_some()), self.others.len());
        let asked = &self.others[..parts.min(page_size - here)];
        let share = page_size / (here + asked.len());
        let answers = (!asked.is_empty())
            .then(|| io.engine().cluster().sockets(io.namespace(), target, asked, share, fields));
        // This node takes what the division leaves.
        let rest = page_size - share * asked.len();
        let own = self.here.map(|from| io.ns().page(target, from, rest, fields)).unwrap_or_default();
        let answers = match answers {
            Some(answers) => answers.await,
            None => crate::cluster::Partial { value: Vec::new(), missing: Vec::new() },
        };
        self.here = own.next;
        let later = self.others.split_off(asked.len());
        self.others = answers.value.iter().filter_map(|(node, page)| Some((*node, page.next?))).collect();
        self.others.extend(later);
        self.missing.extend(&answers.missing);
        let sockets = std::iter::once((io.node_id(), own))
            .chain(answers.value)
            .flat_map(|(node, page)| page.sockets.into_iter().map(move |info| (node, info)))
            .map(|(node, info)| RemoteSocket::new(io.clone(), node, info))
            .collect();
        SocketPage { sockets, missing: answers.missing }
    }
}
