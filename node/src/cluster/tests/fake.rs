//! A node's sockets, scripted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use sockeye_proto::bus::{SocketFields, SocketInfo, Target};
use sockeye_proto::id::{NodeId, SocketId};
use sockeye_proto::name::{NamespacePath, RoomName};
use sockeye_proto::sio::Args;

use super::super::{AckSink, Local, RoomsPage, SocketsPage};

/// What a node's handler of server events does.
type Handler = Box<dyn Fn(&str, Args, NodeId) -> BoxFuture<'static, Option<Args>> + Send + Sync>;

/// Sockets of the namespace `/` that note what they get.
#[derive(Default)]
pub(super) struct Fake {
    sockets: Mutex<BTreeMap<SocketId, Socket>>,
    asked: Mutex<Vec<Asked>>,
    handler: Mutex<Option<Handler>>,
    server_events: Mutex<Vec<String>>,
    pages: Mutex<Vec<(u64, usize)>>,
    namespaces: Mutex<Vec<(NamespacePath, u64)>>,
}

fn describe(sid: &SocketId, socket: &Socket, fields: &SocketFields) -> SocketInfo {
    let rooms = if fields.rooms { socket.rooms.iter().cloned().collect() } else { Vec::new() };
    let data = fields.data.then(|| format!("\"data of {sid}\""));
    SocketInfo { id: sid.to_string(), rooms, data, ..SocketInfo::default() }
}

#[derive(Default)]
struct Socket {
    rooms: BTreeSet<RoomName>,
    got: Vec<String>,
    answer: Answer,
}

/// What a socket does when it is asked.
#[derive(Clone, Default)]
pub(super) enum Answer {
    /// Nothing, until the test answers for it.
    #[default]
    Later,
    /// It answers at once.
    Now(Args),
}

/// An ack that is still owed.
struct Asked {
    sid: SocketId,
    sink: Arc<dyn AckSink>,
}

impl Fake {
    /// A new socket in its own room and these.
    pub(super) fn socket(&self, number: u32, rooms: &[&str]) -> SocketId {
        let mut random = [0; 15];
        random[..4].copy_from_slice(&number.to_be_bytes());
        let sid = SocketId::from_random(random);
        let rooms = rooms.iter().copied().chain([sid.as_str()]).map(RoomName::from).collect();
        self.sockets.lock().insert(sid.clone(), Socket { rooms, ..Socket::default() });
        sid
    }

    /// From now on the socket answers at once.
    pub(super) fn answers(&self, sid: &SocketId, args: Args) {
        if let Some(socket) = self.sockets.lock().get_mut(sid) {
            socket.answer = Answer::Now(args);
        }
    }

    /// Runs for every server event.
    pub(super) fn on_server_event(
        &self,
        handler: impl Fn(&str, Args, NodeId) -> BoxFuture<'static, Option<Args>> + Send + Sync + 'static,
    ) {
        *self.handler.lock() = Some(Box::new(handler));
    }

    /// What the socket got, as `event args`.
    pub(super) fn got(&self, sid: &SocketId) -> Vec<String> {
        self.sockets.lock().get(sid).map(|socket| socket.got.clone()).unwrap_or_default()
    }

    pub(super) fn rooms(&self, sid: &SocketId) -> Vec<String> {
        let own = RoomName::from(sid.as_str());
        let sockets = self.sockets.lock();
        let rooms = sockets.get(sid).map(|socket| socket.rooms.clone()).unwrap_or_default();
        rooms.into_iter().filter(|room| *room != own).map(|room| room.to_string()).collect()
    }

    pub(super) fn is_connected(&self, sid: &SocketId) -> bool {
        self.sockets.lock().contains_key(sid)
    }

    /// Server events that came, as `event args`.
    pub(super) fn server_events(&self) -> Vec<String> {
        self.server_events.lock().clone()
    }

    /// The pages that were asked for, as first place and limit.
    pub(super) fn pages(&self) -> Vec<(u64, usize)> {
        self.pages.lock().clone()
    }

    /// Other namespaces that have sockets.
    pub(super) fn has_namespaces(&self, namespaces: &[(&str, u64)]) {
        *self.namespaces.lock() =
            namespaces.iter().map(|(path, sockets)| (NamespacePath::from(*path), *sockets)).collect();
    }

    /// How many acks are owed.
    pub(super) fn owed(&self) -> usize {
        self.asked.lock().len()
    }

    /// The next socket that owes an ack gives it (`None`: it is gone).
    pub(super) fn answer_next(&self, answer: Option<Args>) {
        let Asked { sid, sink } = self.asked.lock().remove(0);
        sink.ack(sid, answer);
    }

    fn select(
        &self,
        namespace: &str,
        target: &Target,
        mut visit: impl FnMut(SocketId, &mut Socket),
    ) -> usize {
        let mut count = 0;
        if namespace == "/" {
            for (sid, socket) in self.sockets.lock().iter_mut() {
                if target.matches(|room| socket.rooms.contains(room)) {
                    visit(sid.clone(), socket);
                    count += 1;
                }
            }
        }
        count
    }
}

impl Local for Fake {
    fn emit(&self, namespace: &str, event: &str, args: &Args, target: &Target, _volatile: bool) -> usize {
        assert_ne!(event, "panic", "a handler that panics");
        self.select(namespace, target, |_, socket| socket.got.push(format!("{event} {}", args.json())))
    }

    fn emit_with_ack(
        &self,
        namespace: &str,
        event: &str,
        args: &Args,
        target: &Target,
        _ttl: Duration,
        sink: Arc<dyn AckSink>,
    ) -> usize {
        let mut ready = Vec::new();
        let mut asked = self.asked.lock();
        let count = self.select(namespace, target, |sid, socket| {
            socket.got.push(format!("{event} {}", args.json()));
            match &socket.answer {
                Answer::Now(answer) => ready.push((sid, answer.clone())),
                Answer::Later => asked.push(Asked { sid, sink: Arc::clone(&sink) }),
            }
        });
        drop(asked);
        for (sid, answer) in ready {
            sink.ack(sid, Some(answer));
        }
        count
    }

    fn join(&self, namespace: &str, target: &Target, rooms: &[RoomName]) -> usize {
        self.select(namespace, target, |_, socket| socket.rooms.extend(rooms.iter().cloned()))
    }

    fn leave(&self, namespace: &str, target: &Target, rooms: &[RoomName]) -> usize {
        self.select(namespace, target, |_, socket| socket.rooms.retain(|room| !rooms.contains(room)))
    }

    fn disconnect(&self, namespace: &str, target: &Target, _close: bool) -> usize {
        let mut gone = Vec::new();
        self.select(namespace, target, |sid, _| gone.push(sid));
        self.sockets.lock().retain(|sid, _| !gone.contains(sid));
        gone.len()
    }

    fn close_room(&self, namespace: &str, room: &RoomName) -> usize {
        self.select(namespace, &Target::room(room), |_, socket| {
            socket.rooms.remove(room);
        })
    }

    fn members(&self, namespace: &str, target: &Target) -> Vec<SocketId> {
        let mut members = Vec::new();
        self.select(namespace, target, |sid, _| members.push(sid));
        members
    }

    fn count(&self, namespace: &str, target: &Target) -> usize {
        self.select(namespace, target, |_, _| {})
    }

    /// The place of a socket is its number; every page that is asked for is noted.
    fn sockets(
        &self,
        namespace: &str,
        target: &Target,
        from: u64,
        limit: usize,
        fields: &SocketFields,
    ) -> SocketsPage {
        self.pages.lock().push((from, limit));
        let mut all = Vec::new();
        self.select(namespace, target, |sid, socket| all.push(describe(&sid, socket, fields)));
        let from = from as usize;
        let sockets: Vec<SocketInfo> = all.iter().skip(from).take(limit).cloned().collect();
        SocketsPage { sockets, next: (from + limit < all.len()).then_some((from + limit) as u64) }
    }

    fn socket(&self, namespace: &str, id: &str, fields: &SocketFields) -> Option<SocketInfo> {
        let mut found = None;
        self.select(namespace, &Target::everyone(), |sid, socket| {
            if sid.as_str() == id {
                found = Some(describe(&sid, socket, fields));
            }
        });
        found
    }

    fn namespaces(&self) -> Vec<(NamespacePath, u64)> {
        let more = self.namespaces.lock().clone();
        let root = (NamespacePath::root(), self.count("/", &Target::everyone()) as u64);
        std::iter::once(root).filter(|(_, sockets)| *sockets > 0).chain(more).collect()
    }

    fn rooms(&self, _: &str, after: Option<&RoomName>, limit: usize) -> RoomsPage {
        let mut rooms = BTreeMap::<RoomName, u64>::new();
        for socket in self.sockets.lock().values() {
            socket.rooms.iter().for_each(|room| *rooms.entry(room.clone()).or_default() += 1);
        }
        let behind =
            |room: &RoomName| after.is_none_or(|after| room > after) && SocketId::parse(room).is_none();
        let some: Vec<_> = rooms.into_iter().filter(|(room, _)| behind(room)).take(limit + 1).collect();
        let more = some.len() > limit;
        (some.into_iter().take(limit).collect(), more)
    }

    fn server_event(
        &self,
        _namespace: &str,
        event: &str,
        args: Args,
        from: NodeId,
    ) -> BoxFuture<'static, Option<Args>> {
        self.server_events.lock().push(format!("{event} {}", args.json()));
        match &*self.handler.lock() {
            Some(handler) => handler(event, args, from),
            None => Box::pin(std::future::ready(None)),
        }
    }
}
