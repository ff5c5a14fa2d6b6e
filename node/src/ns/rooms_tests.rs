//! The room index against the plainest model of rooms: a set of names for each socket.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use proptest::{collection::vec, prelude::*, sample::select};
use sockeye_proto::{
    Limits, Time,
    eio::{Opening, TransportKind},
    name::NamespacePath,
    sio::mux::Mux,
};

use super::*;
use crate::{
    conn::{Conn, handshake::Handshake, outbox::Sink},
    limits::{LimitsMode, tests::guard},
    ns::{Namespace, socket::SocketInner},
    server::Server,
};

static GUARD: LazyLock<Guard> = LazyLock::new(|| guard(LimitsMode::Enforce, Limits::default()));

/// Sockets of one connection that nobody uses; the index only knows their ids.
pub(super) fn sockets(count: usize) -> Vec<Arc<SocketInner>> {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    });
    static CONN: LazyLock<(Arc<Conn>, Arc<Namespace>)> = LazyLock::new(|| {
        let _runtime = RUNTIME.enter();
        let server =
            futures_util::FutureExt::now_or_never(Server::builder().bus("memory://rooms-tests").build());
        let engine = server.expect("it does not wait").expect("nothing is wrong").service().engine;
        let conn = Conn::open(
            &engine,
            crate::http::Endpoint::SocketIo,
            Opening::v4(TransportKind::Polling),
            Sink::Polling,
            engine.mint(),
            &Arc::new(Handshake::empty()),
        );
        let ns = engine.namespaces.get("/").expect("it is always there");
        (conn, ns)
    });
    let (conn, ns) = &*CONN;
    let ticket = Mux::<()>::new(Time(0)).begin(NamespacePath::root(), 1).expect("it is the first");
    (0..count).map(|_| SocketInner::new(conn.engine.new_socket_id(), conn, ns, None, ticket)).collect()
}

/// What is known about each socket that is there: its rooms.
#[derive(Default)]
struct Model(BTreeMap<String, BTreeSet<RoomName>>);

impl Model {
    fn meant(&self, target: &Target) -> Vec<String> {
        let meant = self.0.iter().filter(|(_, rooms)| target.matches(|room| rooms.contains(room)));
        meant.map(|(id, _)| id.clone()).collect()
    }

    fn join(&mut self, id: &str, rooms: &[RoomName]) {
        if let Some(known) = self.0.get_mut(id) {
            known.extend(rooms.iter().cloned());
        }
    }

    fn leave(&mut self, id: &str, rooms: &[RoomName]) {
        if let Some(known) = self.0.get_mut(id) {
            known.retain(|room| !rooms.contains(room));
        }
    }
}

/// A room's name: one of a few, or that of some socket's own.
#[derive(Clone, Debug)]
enum Name {
    Plain(&'static str),
    Own(usize),
}

#[derive(Clone, Debug)]
struct Meant {
    rooms: Vec<Name>,
    except: Vec<Name>,
}

#[derive(Clone, Debug)]
enum Step {
    Insert(usize),
    Remove(usize),
    Join(usize, Vec<Name>),
    Leave(usize, Vec<Name>),
    JoinAll(Meant, Vec<Name>),
    LeaveAll(Meant, Vec<Name>),
    Close(Name),
    Look(Meant),
}

const SOCKETS: usize = 24;

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        3 => select(vec!["a", "b", "c", "", "twenty-characters-id"]).prop_map(Name::Plain),
        1 => (0..SOCKETS).prop_map(Name::Own),
    ]
}

fn meant() -> impl Strategy<Value = Meant> {
    (vec(name(), 0..4), vec(name(), 0..3)).prop_map(|(rooms, except)| Meant { rooms, except })
}

fn step() -> impl Strategy<Value = Step> {
    let socket = 0..SOCKETS;
    prop_oneof![
        4 => socket.clone().prop_map(Step::Insert),
        2 => socket.clone().prop_map(Step::Remove),
        6 => (socket.clone(), vec(name(), 0..4)).prop_map(|(socket, rooms)| Step::Join(socket, rooms)),
        3 => (socket, vec(name(), 0..3)).prop_map(|(socket, rooms)| Step::Leave(socket, rooms)),
        1 => (meant(), vec(name(), 0..3)).prop_map(|(meant, rooms)| Step::JoinAll(meant, rooms)),
        1 => (meant(), vec(name(), 0..3)).prop_map(|(meant, rooms)| Step::LeaveAll(meant, rooms)),
        1 => name().prop_map(Step::Close),
        6 => meant().prop_map(Step::Look),
    ]
}

proptest! {
    /// Whatever happened before: those who are reached are the members of any of the rooms, less the members of any of
    /// the exceptions, each of them once; and everything else that the index tells agrees with that.
    #[test]
    fn whoever_is_meant_is_reached_once(steps in vec(step(), 1..200)) {
        let sockets = sockets(SOCKETS);
        let names = |names: &[Name]| -> Vec<RoomName> {
            names
                .iter()
                .map(|name| match name {
                    Name::Plain(name) => RoomName::from(*name),
                    Name::Own(socket) => RoomName::from(sockets[*socket].id.as_str()),
                })
                .collect()
        };
        let target = |meant: &Meant| Target {
            rooms: names(&meant.rooms).into_iter().collect(),
            except: names(&meant.except).into_iter().collect(),
        };
        let (rooms, mut model) = (Rooms::new(), Model::default());
        for step in &steps {
            match step {
                Step::Insert(socket) => {
                    let socket = &sockets[*socket];
                    // A socket enters a namespace once.
                    if !model.0.contains_key(socket.id.as_str()) {
                        rooms.insert(socket);
                        rooms.confirm(socket);
                        let own = RoomName::from(socket.id.as_str());
                        model.0.insert(socket.id.to_string(), BTreeSet::from([own]));
                    }
                }
                Step::Remove(socket) => {
                    let socket = &sockets[*socket];
                    let mut left = rooms.remove(socket);
                    left.sort();
                    let known = model.0.remove(socket.id.as_str()).unwrap_or_default();
                    prop_assert_eq!(left, known.into_iter().collect::<Vec<_>>());
                }
                Step::Join(socket, joined) => {
                    let (id, joined) = (&sockets[*socket].id, names(joined));
                    prop_assert_eq!(rooms.join(id, &joined, &GUARD), model.0.contains_key(id.as_str()));
                    model.join(id.as_str(), &joined);
                }
                Step::Leave(socket, left) => {
                    let (id, left) = (&sockets[*socket].id, names(left));
                    prop_assert_eq!(rooms.leave(id, &left), model.0.contains_key(id.as_str()));
                    model.leave(id.as_str(), &left);
                }
                Step::JoinAll(meant, joined) => {
                    let (target, joined) = (target(meant), names(joined));
                    rooms.join_all(&target, &joined, &GUARD);
                    for id in model.meant(&target) {
                        model.join(&id, &joined);
                    }
                }
                Step::LeaveAll(meant, left) => {
                    let (target, left) = (target(meant), names(left));
                    rooms.leave_all(&target, &left);
                    for id in model.meant(&target) {
                        model.leave(&id, &left);
                    }
                }
                Step::Close(room) => {
                    let closed = names(std::slice::from_ref(room));
                    rooms.close(&closed[0]);
                    for known in model.0.values_mut() {
                        known.remove(&closed[0]);
                    }
                }
                Step::Look(meant) => {
                    let target = target(meant);
                    let mut reached = Vec::new();
                    rooms.select(&target, |socket| reached.push(socket.id.to_string()));
                    reached.sort();
                    let expected = model.meant(&target);
                    prop_assert_eq!(rooms.count(&target), expected.len());
                    prop_assert_eq!(reached, expected);
                }
            }
            prop_assert_eq!(rooms.is_empty(), model.0.is_empty());
            for socket in &sockets {
                let known = model.0.get(socket.id.as_str());
                let found = rooms.of(&socket.id).map(|rooms| rooms.into_iter().collect::<BTreeSet<_>>());
                prop_assert_eq!(found.as_ref(), known);
                prop_assert_eq!(rooms.get(&socket.id).is_some(), known.is_some());
            }
        }
        for socket in &sockets {
            rooms.remove(socket);
        }
        prop_assert!(rooms.is_empty());
        prop_assert_eq!(rooms.room_count(), 0, "a room ends with its last member");
    }

    /// The list of one room's members in one shard, beyond the size from which it keeps positions.
    #[test]
    fn members_come_and_go(steps in vec((0..300_u32, any::<bool>()), 1..2_000)) {
        let (mut members, mut model) = (Members::default(), BTreeSet::new());
        for (slot, there) in steps {
            if there && model.insert(slot) {
                members.insert(slot);
            } else if !there {
                members.remove(slot);
                model.remove(&slot);
            }
        }
        if let Some(positions) = &members.positions {
            prop_assert_eq!(positions.len(), members.list.len());
            prop_assert!(positions.iter().all(|(slot, at)| members.list[*at as usize] == *slot));
        }
        let mut list = members.list.clone();
        list.sort_unstable();
        prop_assert_eq!(list, model.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn large_rooms_overlap() {
    // More sockets in each shard than one word of the bitset has bits.
    let sockets = sockets(2_000);
    let rooms = Rooms::new();
    for (n, socket) in sockets.iter().enumerate() {
        rooms.insert(socket);
        rooms.confirm(socket);
        for divisor in [2, 3, 5] {
            if n % divisor == 0 {
                rooms.join(&socket.id, &[RoomName::from(format!("{divisor}"))], &GUARD);
            }
        }
    }
    let reached = |target: &Target| {
        let mut reached = BTreeSet::new();
        rooms.select(target, |socket| assert!(reached.insert(socket.id.to_string()), "once"));
        assert_eq!(rooms.count(target), reached.len());
        reached
    };
    let expected = |meant: &dyn Fn(usize) -> bool| {
        let meant = sockets.iter().enumerate().filter(|(n, _)| meant(*n));
        meant.map(|(_, socket)| socket.id.to_string()).collect::<BTreeSet<_>>()
    };
    let two_or_three = Target::room("2").to("3");
    assert_eq!(reached(&two_or_three), expected(&|n| n % 2 == 0 || n % 3 == 0));
    assert_eq!(
        reached(&two_or_three.clone().except("5")),
        expected(&|n| (n % 2 == 0 || n % 3 == 0) && n % 5 != 0)
    );
    assert_eq!(reached(&Target::everyone().except("2")), expected(&|n| n % 2 != 0));
    // Most of them go, others come into their slots.
    for socket in &sockets[500..] {
        rooms.remove(socket);
    }
    assert_eq!(reached(&Target::everyone()), expected(&|n| n < 500));
    assert_eq!(reached(&two_or_three), expected(&|n| n < 500 && (n % 2 == 0 || n % 3 == 0)));
    for socket in &sockets[500..1_000] {
        rooms.insert(socket);
        rooms.confirm(socket);
    }
    assert_eq!(
        reached(&two_or_three),
        expected(&|n| n < 500 && (n % 2 == 0 || n % 3 == 0)),
        "a new one is in no room"
    );
    assert_eq!(reached(&Target::everyone()), expected(&|n| n < 1_000));
}

/// As clients of Engine.IO 3 do that leave a namespace and join it again.
#[test]
fn a_socket_with_the_id_of_another_takes_its_place() {
    let twins = sockets(1);
    let (first, rooms) = (&twins[0], Rooms::new());
    let second = SocketInner::new(first.id.clone(), &first.conn, &first.ns, None, first.ticket);
    rooms.insert(first);
    rooms.join(&first.id, &["a".into()], &GUARD);
    rooms.insert(&second);
    assert_eq!(
        rooms.of(&first.id),
        Some(vec![RoomName::from(first.id.as_str())]),
        "it begins in no other room"
    );
    assert!(rooms.remove(first).is_empty(), "it is gone already");
    assert!(rooms.get(&first.id).is_some_and(|found| Arc::ptr_eq(&found, &second)));
    assert_eq!(rooms.remove(&second).len(), 1);
    assert!(rooms.is_empty());
    assert_eq!(rooms.room_count(), 0);
}

#[test]
fn a_socket_is_in_so_many_rooms_and_no_more() {
    let limits = Limits { max_rooms: 2, max_room_len: 3, ..Limits::default() };
    let strict = guard(LimitsMode::Enforce, limits.clone());
    let lax = guard(LimitsMode::Warn, limits);
    let sockets = sockets(1);
    let id = sockets[0].id.clone();
    let own = id.as_str();
    let rooms = Rooms::new();
    rooms.insert(&sockets[0]);
    let names = |names: &[&str]| names.iter().map(|name| RoomName::from(*name)).collect::<Vec<_>>();
    let now = || {
        let mut now = rooms.of(&id).unwrap();
        now.retain(|room| **room != *own);
        now.sort();
        now
    };
    // Its own room, long as its name may be, and those that it is in already do not count.
    assert!(rooms.join(&id, &names(&["a", own, "long", "b", "a", "c"]), &strict));
    assert_eq!(now(), names(&["a", "b"]));
    rooms.leave(&id, &names(&["a"]));
    rooms.join(&id, &names(&["b", "c", "d"]), &strict);
    assert_eq!(now(), names(&["b", "c"]));
    assert_eq!(rooms.room_count(), 2, "what was not joined is nowhere");
    // A limit that only warns has an end as well, a hundred times as far.
    rooms.join(&id, &names(&["long"]), &lax);
    let many: Vec<RoomName> = (0..300).map(|n| RoomName::from(format!("{n}"))).collect();
    rooms.join(&id, &many, &lax);
    assert_eq!(now().len(), 200);
}
