//! Lists of sockets, namespaces and rooms, and changes that are confirmed.

use std::collections::BTreeSet;
use std::time::Duration;

use sockeye_proto::bus::{SocketFields, Target};
use sockeye_proto::id::{NodeId, RequestId};
use sockeye_proto::name::RoomName;
use tokio::time::Instant;

use super::super::{Partial, RoomsPage, SocketsPage};
use super::{Node, cluster, eventually, id, root};

fn rooms_wanted() -> SocketFields {
    SocketFields { rooms: true, ..SocketFields::default() }
}

fn ids(page: &SocketsPage) -> Vec<String> {
    page.sockets.iter().map(|socket| socket.id.clone()).collect()
}

/// Reads the lists of these nodes to their end; all ids that came.
async fn everything(asker: &Node, nodes: &[NodeId], limit: usize) -> Vec<String> {
    let mut from: Vec<(NodeId, u64)> = nodes.iter().map(|node| (*node, 0)).collect();
    let mut all = Vec::new();
    while !from.is_empty() {
        let answers = asker.cluster.sockets(&root(), &Target::room("r"), &from, limit, &rooms_wanted()).await;
        assert_eq!(answers.missing, []);
        assert!(answers.value.iter().all(|(_, page)| page.sockets.len() <= limit));
        all.extend(answers.value.iter().flat_map(|(_, page)| ids(page)));
        from = answers.value.iter().filter_map(|(node, page)| Some((*node, page.next?))).collect();
    }
    all
}

#[tokio::test(start_paused = true)]
async fn sockets_come_page_by_page_and_only_when_asked_for() {
    let [a, b, c] = cluster("lists-pages").await;
    let mut expected = BTreeSet::new();
    for number in 0..25 {
        expected.insert(b.local.socket(number, &["r"]).to_string());
    }
    for number in 100..103 {
        expected.insert(c.local.socket(number, &["r"]).to_string());
        c.local.socket(number + 100, &["other"]);
    }
    let first = a.cluster.sockets(&root(), &Target::room("r"), &[(id(2), 0)], 10, &rooms_wanted()).await;
    let (node, page) = &first.value[0];
    assert_eq!((*node, page.sockets.len(), page.next), (id(2), 10, Some(10)));
    assert!(page.sockets[0].rooms.contains(&RoomName::from("r")) && page.sockets[0].data.is_none());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(b.local.pages(), [(0, 10)], "nothing more before somebody asks");
    assert_eq!(c.local.pages(), [], "nobody asked it");

    let all = everything(&a, &[id(2), id(3)], 10).await;
    assert_eq!(all.len(), expected.len(), "none twice");
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(b.local.pages(), [(0, 10), (0, 10), (10, 10), (20, 10)]);
    assert_eq!(c.local.pages(), [(0, 10)], "it had nothing more and was not asked again");
    let data = SocketFields { data: true, ..SocketFields::default() };
    let page = a.cluster.sockets(&root(), &Target::room("r"), &[(id(3), 0)], 1, &data).await;
    let socket = &page.value[0].1.sockets[0];
    assert_eq!((socket.rooms.len(), socket.data.clone()), (0, Some(format!("\"data of {}\"", socket.id))));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_lost_costs_its_part_only() {
    let [a, b, c, d] = cluster("lists-lost").await;
    let in_c = c.local.socket(1, &["r"]).to_string();
    b.kill();
    d.faults.silence();
    let started = Instant::now();
    let from = [(id(2), 0), (id(3), 0), (id(4), 0)];
    let fields = SocketFields::default();
    let answers = a.cluster.sockets(&root(), &Target::room("r"), &from, 10, &fields).await;
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    assert_eq!(answers.missing, [id(2), id(4)]);
    assert_eq!(answers.value.iter().flat_map(|(_, page)| ids(page)).collect::<Vec<_>>(), [in_c]);
}

#[tokio::test(start_paused = true)]
async fn one_socket_is_found_without_waiting_for_the_others() {
    let [a, b, c] = cluster("lists-find").await;
    let sid = b.local.socket(1, &["r"]).to_string();
    c.faults.silence();
    let started = Instant::now();
    let found = a.cluster.socket(&root(), &sid, &rooms_wanted()).await;
    assert!(started.elapsed() < Duration::from_millis(100), "the silent node is not waited for");
    assert_eq!(found.missing, [], "and nobody misses it");
    let (node, socket) = found.value.unwrap();
    assert_eq!((node, socket.id, socket.rooms.len()), (id(2), sid, 2));
    let nobody = a.cluster.socket(&root(), "nobody", &rooms_wanted()).await;
    assert_eq!((nobody.value, nobody.missing), (None, vec![id(3)]));
}

#[tokio::test(start_paused = true)]
async fn namespaces_and_rooms_of_all_nodes_are_listed() {
    let [a, b, c] = cluster("lists-names").await;
    b.local.socket(1, &["x", "y"]);
    b.local.socket(2, &["y"]);
    c.local.socket(3, &["a", "y"]);
    let many: Vec<String> = (0..10_000).map(|n| format!("/dyn-{n}")).collect();
    c.local.has_namespaces(&many.iter().map(|path| (path.as_str(), 1)).collect::<Vec<_>>());
    let Partial { mut value, missing } = a.cluster.namespaces().await;
    assert_eq!(missing, []);
    value.sort_unstable();
    assert_eq!(value.len(), 10_002, "in several parts");
    assert_eq!(value[..2], [(root(), 1), (root(), 2)]);
    assert!(value.iter().all(|(path, _)| path.is_root() || path.starts_with("/dyn-")));

    let text = |rooms: Partial<Vec<RoomsPage>>| {
        let mut text: Vec<String> = rooms
            .value
            .into_iter()
            .map(|(rooms, more)| {
                let rooms: String = rooms.iter().map(|(name, sockets)| format!("{name}{sockets} ")).collect();
                format!("{rooms}{}", if more { "…" } else { "." })
            })
            .collect();
        text.sort_unstable();
        text
    };
    assert_eq!(text(a.cluster.rooms(&root(), None, 1).await), ["a1 …", "x1 …"]);
    assert_eq!(text(a.cluster.rooms(&root(), Some(&"a".into()), 9).await), ["x1 y2 .", "y1 ."]);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_confirmed_once_it_is_done_everywhere() {
    let [a, b, c] = cluster("lists-confirm").await;
    let sids: Vec<_> = (0..3).map(|number| b.local.socket(number, &["r"])).collect();
    c.local.socket(9, &["r"]);
    let joined = a.cluster.join(&root(), &Target::room("r"), &["s".into()]);
    let left = a.cluster.leave_rooms(&root(), &Target::room(sids[0].as_str()), &["r".into()]);
    let nobody = a.cluster.join(&root(), &Target::room("nobody"), &["s".into()]);
    let closed = a.cluster.close_room(&root(), &"r".into());
    let gone = a.cluster.disconnect(&root(), &Target::room("s").except(sids[1].as_str()), false);
    // The last one first: each is remembered.
    for (change, found) in [(gone, 3), (closed, 3), (nobody, 0), (left, 1), (joined, 4)] {
        assert_eq!(a.cluster.confirm(change).await, Partial { value: found, missing: vec![] });
    }
    assert_eq!(b.local.rooms(&sids[1]), ["s"]);
    // Somebody else's change of the same number, and one that never was.
    assert_eq!(c.cluster.confirm(joined).await.missing, [id(1), id(2)]);
    let started = Instant::now();
    assert_eq!(a.cluster.confirm(RequestId(1)).await.missing, [id(2), id(3)]);
    assert!(started.elapsed() < Duration::from_millis(100), "they say that they do not know it");
}

#[tokio::test(start_paused = true)]
async fn a_change_while_the_bus_is_away_is_not_confirmed_but_made() {
    let [a, b] = cluster("lists-away").await;
    let sid = b.local.socket(1, &["r"]);
    a.faults.cut();
    eventually("a notices", || !a.cluster.bus_connected()).await;
    let change = a.cluster.join(&root(), &Target::room("r"), &["s".into()]);
    assert_eq!(a.cluster.confirm(change).await, Partial { value: 0, missing: vec![id(2)] });
    a.faults.mend();
    eventually("it arrives", || b.local.rooms(&sid) == ["r", "s"]).await;
    assert_eq!(a.cluster.confirm(change).await, Partial { value: 1, missing: vec![] });
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_questions_is_bounded() {
    let [a, b] = cluster("lists-flood").await;
    b.local.socket(1, &["r"]);
    let from = [(id(2), 0)];
    let asked: Vec<_> = (0..3_000)
        .map(|_| a.cluster.sockets(&root(), &Target::room("r"), &from, 10, &SocketFields::default()))
        .collect();
    let answered = futures_util::future::join_all(asked).await;
    let complete = answered.iter().filter(|answer| answer.missing.is_empty()).count();
    let refused = b.metric("sockeye_bus_dropped_total", &["query_limit"]) as usize;
    assert_eq!((complete + refused, answered.len()), (3_000, 3_000));
    assert!(complete >= 1_024, "{complete}");
    let again = a.cluster.sockets(&root(), &Target::room("r"), &from, 10, &SocketFields::default()).await;
    assert_eq!(again.missing, [], "it goes on");
}
