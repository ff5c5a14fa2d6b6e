//! Emits and operations on rooms across nodes.

use sockeye_proto::bus::Target;
use sockeye_proto::name::RoomName;
use sockeye_proto::sio::Binary;

use super::{args, cluster, eventually, root};

#[tokio::test(start_paused = true)]
async fn an_emit_reaches_the_sockets_of_the_other_nodes_and_not_its_own() {
    let [a, b, c] = cluster("emits-others").await;
    let here = a.local.socket(1, &["r"]);
    let there = b.local.socket(2, &["r"]);
    let elsewhere = c.local.socket(3, &["other"]);
    a.emit("ev", ("x", 2), &Target::room("r"));
    eventually("b has it", || !b.local.got(&there).is_empty()).await;
    a.emit("all", (), &Target::everyone());
    eventually("c has it", || !c.local.got(&elsewhere).is_empty()).await;
    assert_eq!(b.local.got(&there), ["ev [\"x\",2]", "all []"]);
    assert_eq!(c.local.got(&elsewhere), ["all []"]);
    assert!(a.local.got(&here).is_empty(), "the caller delivers to its own sockets itself");
    assert_eq!(b.metric("sockeye_bus_received_total", &["emit", "node"]), 2);
    assert_eq!(a.metric("sockeye_bus_received_total", &["emit"]), 0, "an echo is not a message");
}

#[tokio::test(start_paused = true)]
async fn five_hundred_events_arrive_once_and_in_order() {
    let [a, b] = cluster("emits-order").await;
    let sid = b.local.socket(1, &[]);
    for number in 0..500 {
        a.emit("n", number, &Target::everyone());
    }
    eventually("all arrived", || b.local.got(&sid).len() >= 500).await;
    let expected: Vec<String> = (0..500).map(|number| format!("n [{number}]")).collect();
    assert_eq!(b.local.got(&sid), expected);
    assert_eq!(b.gaps(), 0);
}

#[tokio::test(start_paused = true)]
async fn attachments_travel() {
    let [a, b] = cluster("emits-binary").await;
    let sid = b.local.socket(1, &[]);
    a.emit("bin", Binary(vec![0, 1, 255].into()), &Target::everyone());
    eventually("it arrived", || !b.local.got(&sid).is_empty()).await;
    assert_eq!(b.local.got(&sid), ["bin [{\"_placeholder\":true,\"num\":0}]"]);
}

#[tokio::test(start_paused = true)]
async fn operations_on_rooms_apply_to_the_other_nodes_in_order() {
    let [a, b] = cluster("emits-rooms").await;
    let sid = b.local.socket(1, &["r"]);
    let rooms = |names: &[&str]| names.iter().copied().map(RoomName::from).collect::<Vec<_>>();
    a.cluster.join(&root(), &Target::room("r"), &rooms(&["s", "t"]));
    eventually("joined", || b.local.rooms(&sid) == ["r", "s", "t"]).await;
    a.cluster.leave_rooms(&root(), &Target::room("s"), &rooms(&["t"]));
    eventually("left", || b.local.rooms(&sid) == ["r", "s"]).await;
    a.cluster.close_room(&root(), &RoomName::from("r"));
    eventually("closed", || b.local.rooms(&sid) == ["s"]).await;
    a.cluster.disconnect(&root(), &Target::room("s"), false);
    eventually("disconnected", || !b.local.is_connected(&sid)).await;
}

#[tokio::test(start_paused = true)]
async fn the_receipt_tells_what_the_broker_said() {
    let [a, b] = cluster("emits-receipt").await;
    let receipt = a.cluster.emit(&root(), "ev", &args(1), &Target::everyone(), false);
    let delivery = receipt.unwrap().await.unwrap();
    assert_eq!(delivery.receivers, Some(2), "both nodes' links");
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn a_panic_harms_one_message_only() {
    let [a, b] = cluster("emits-panic").await;
    let sid = b.local.socket(1, &[]);
    a.emit("panic", (), &Target::everyone());
    a.emit("after", (), &Target::everyone());
    eventually("the next one arrived", || b.local.got(&sid) == ["after []"]).await;
    assert_eq!(b.metric("sockeye_bus_decode_errors_total", &["panic"]), 1);
}
