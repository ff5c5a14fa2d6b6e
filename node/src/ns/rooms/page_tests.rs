//! Lists that others change while they are read.

use std::collections::{BTreeMap, BTreeSet};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{super::tests::sockets, *};

const SOCKETS: usize = 120;

#[derive(Clone, Debug)]
enum Step {
    Enter(usize),
    Leave(usize),
    Connect(usize),
    Join(usize, &'static str),
    Part(usize, &'static str),
    Page(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let socket = || 0..SOCKETS;
    let room = || select(&["a", "b", "c"][..]);
    prop_oneof![
        3 => socket().prop_map(Step::Enter),
        2 => socket().prop_map(Step::Leave),
        3 => socket().prop_map(Step::Connect),
        3 => (socket(), room()).prop_map(|(at, room)| Step::Join(at, room)),
        1 => (socket(), room()).prop_map(|(at, room)| Step::Part(at, room)),
        2 => (1..9_usize).prop_map(Step::Page),
    ]
}

fn target() -> impl Strategy<Value = Target> {
    let rooms = || vec(select(&["a", "b", "c"][..]), 0..3);
    (rooms(), rooms()).prop_map(|(rooms, except)| {
        let target = rooms.into_iter().fold(Target::everyone(), Target::to);
        except.into_iter().fold(target, Target::except)
    })
}

/// What is known about each socket that is there: whether it is connected, and its rooms.
type Model = BTreeMap<String, (bool, BTreeSet<RoomName>)>;

fn meant(model: &Model, target: &Target) -> BTreeSet<String> {
    let meant =
        model.iter().filter(|(_, (there, rooms))| *there && target.matches(|room| rooms.contains(room)));
    meant.map(|(id, _)| id.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Who is meant all the time is listed exactly once, everyone else at most once, and only while he is meant.
    #[test]
    fn a_list_survives_those_who_come_and_go(before in vec(step(), 0..400), during in vec(step(), 0..200), target in target()) {
        let (rooms, sockets) = (Rooms::new(), sockets(SOCKETS));
        let mut model = Model::new();
        let (mut listed, mut from) = (BTreeSet::new(), Some(0));
        let mut throughout: Option<BTreeSet<String>> = None;
        let read = |limit: usize, model: &Model, listed: &mut BTreeSet<String>, from: &mut Option<u64>| {
            let Some(place) = *from else { return };
            let page = rooms.page(&target, place, limit);
            assert!(page.sockets.len() <= limit);
            let now = meant(model, &target);
            for (_, socket) in page.sockets {
                assert!(now.contains(socket.id.as_str()), "only those who are meant");
                assert!(listed.insert(socket.id.to_string()), "nobody twice");
            }
            *from = page.next;
        };
        let begin = before.len();
        for (n, step) in before.into_iter().chain(during).enumerate() {
            match step {
                Step::Enter(at) if !model.contains_key(sockets[at].id.as_str()) => {
                    rooms.insert(&sockets[at]);
                    model.insert(sockets[at].id.to_string(), (false, BTreeSet::new()));
                }
                // A socket that left does not come back: the next one has another id.
                Step::Leave(at) if n < begin || !listed.contains(sockets[at].id.as_str()) => {
                    rooms.remove(&sockets[at]);
                    model.remove(sockets[at].id.as_str());
                }
                Step::Connect(at) => {
                    rooms.confirm(&sockets[at]);
                    if let Some((there, _)) = model.get_mut(sockets[at].id.as_str()) {
                        *there = true;
                    }
                }
                Step::Join(at, room) => {
                    rooms.join(&sockets[at].id, &[room.into()], &sockets[0].conn.engine.guard);
                    if let Some((_, rooms)) = model.get_mut(sockets[at].id.as_str()) {
                        rooms.insert(room.into());
                    }
                }
                Step::Part(at, room) => {
                    rooms.leave(&sockets[at].id, &[room.into()]);
                    if let Some((_, rooms)) = model.get_mut(sockets[at].id.as_str()) {
                        rooms.remove(room);
                    }
                }
                Step::Page(limit) if n >= begin => read(limit, &model, &mut listed, &mut from),
                _ => {}
            }
            let now = meant(&model, &target);
            prop_assert_eq!(rooms.count(&target), now.len());
            if n >= begin {
                throughout = Some(throughout.map_or(now.clone(), |all| &all & &now));
            }
        }
        while from.is_some() {
            read(7, &model, &mut listed, &mut from);
        }
        let throughout = throughout.unwrap_or_else(|| meant(&model, &target));
        prop_assert!(throughout.is_subset(&listed), "{throughout:?} {listed:?}");

        // The other lists say the same as the model.
        let mut all = BTreeSet::new();
        rooms.each_connected(&target, |socket| assert!(all.insert(socket.id.to_string())));
        prop_assert_eq!(all, meant(&model, &target));
        let mut counts = BTreeMap::<RoomName, u64>::new();
        for (_, rooms) in model.values().filter(|(there, _)| *there) {
            rooms.iter().for_each(|room| *counts.entry(room.clone()).or_default() += 1);
        }
        prop_assert_eq!(rooms.names(None, 100), (counts.into_iter().collect::<Vec<_>>(), false));
        let named: BTreeSet<_> = model.values().flat_map(|(_, rooms)| rooms.clone()).collect();
        prop_assert_eq!(rooms.room_count(), named.len());
    }
}

#[test]
fn rooms_are_listed_in_order_and_in_portions() {
    let (rooms, sockets) = (Rooms::new(), sockets(300));
    for (n, socket) in sockets.iter().enumerate() {
        rooms.insert(socket);
        rooms.confirm(socket);
        rooms.join(
            &socket.id,
            &[format!("room {:03}", n / 2).into(), "all".into()],
            &sockets[0].conn.engine.guard,
        );
    }
    assert_eq!(rooms.room_count(), 151, "not once for each shard");
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let (some, more) = rooms.names(after.as_ref(), 40);
        assert_eq!(more, some.len() == 40, "{}", some.len());
        after = some.last().map(|(name, _)| name.clone());
        names.extend(some);
        if !more {
            break;
        }
    }
    let expected = (0..150).map(|n| (RoomName::from(format!("room {n:03}")), 2));
    assert_eq!(names, std::iter::once((RoomName::from("all"), 300)).chain(expected).collect::<Vec<_>>());

    // The room of a socket's own, with guests: from other shards and from its own.
    let host = RoomName::from(sockets[0].id.as_str());
    let listed = |rooms: &Rooms| rooms.names(None, 1000).0.into_iter().find(|(name, _)| *name == host);
    assert_eq!(listed(&rooms), None, "nobody else is in it");
    for guests in 1..20 {
        rooms.join(&sockets[guests].id, std::slice::from_ref(&host), &sockets[0].conn.engine.guard);
        assert_eq!(listed(&rooms), Some((host.clone(), guests as u64 + 1)));
        assert_eq!(rooms.count(&Target::room(host.clone())), guests + 1);
    }
    rooms.leave(&sockets[0].id, std::slice::from_ref(&host));
    assert_eq!(listed(&rooms), Some((host.clone(), 19)));
}

#[test]
fn a_page_of_a_hundred_thousand_costs_little_more_than_itself() {
    const MANY: usize = 100_000;
    let (rooms, sockets) = (Rooms::new(), sockets(MANY));
    for (n, socket) in sockets.iter().enumerate() {
        rooms.insert(socket);
        rooms.confirm(socket);
        let names = [(1, "most"), (50, "some"), (1000, "few")];
        for (divisor, name) in names {
            if (n + 1) % divisor == 0 {
                rooms.join(&socket.id, &[name.into()], &sockets[0].conn.engine.guard);
            }
        }
    }
    for (target, members) in [
        (Target::everyone(), MANY),
        (Target::room("most"), MANY),
        (Target::room("some"), MANY / 50),
        (Target::room("few"), MANY / 1000),
        (Target::room("some").to("few"), MANY / 50),
        (Target::room("most").except("some"), MANY - MANY / 50),
        (Target::room("none"), 0),
    ] {
        assert_eq!(rooms.count(&target), members);
        let (mut found, mut from, mut pages) = (0, Some(0), 0);
        let started = std::time::Instant::now();
        while let Some(place) = from {
            let (next, looked) = rooms.scan(&target, place, 1000, FOR_ONE_PAGE, |_, _| found += 1);
            // Of a room in which every fiftieth is, every fiftieth slot that is looked at hits.
            assert!(looked <= 51 * 1000, "{target:?}: {looked} slots for one page");
            if members == MANY {
                assert!(looked <= 1000 + AT_ONCE, "{target:?}: {looked} slots for one page");
            }
            from = next;
            pages += 1;
        }
        assert_eq!(found, members);
        assert!(pages <= members.div_ceil(1000) + 1, "{target:?}: {pages} pages");
        println!("{target:?}: {pages} pages, {:?} each", started.elapsed() / pages as u32);
    }
    // What is excluded costs work too, and that is bounded: a page may be empty with others behind it.
    let mut pages = 0;
    let (mut found, mut from) = (0, Some(0));
    while let Some(place) = from {
        let (next, looked) =
            rooms.scan(&Target::everyone().except("most"), place, 1000, FOR_ONE_PAGE, |_, _| found += 1);
        assert!(looked < FOR_ONE_PAGE + AT_ONCE);
        (from, pages) = (next, pages + 1);
    }
    assert_eq!((found, pages), (0, MANY.div_ceil(FOR_ONE_PAGE)));
}
