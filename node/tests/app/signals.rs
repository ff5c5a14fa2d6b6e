//! The end.

use std::{net::TcpListener, thread};

use serde_json::json;

use crate::{
    client::Client,
    process::{Node, get},
};

#[tokio::test]
async fn sigterm_ends_it_cleanly_with_clients_connected() {
    let mut node = Node::start(&[]);
    let mut ada = Client::connect(node.address, json!({})).await;
    let mut bob = Client::connect(node.address, json!({})).await;
    for client in [&mut ada, &mut bob] {
        client.call("join", "lobby").await;
    }
    let (_, _, open) = node.get("/socket.io/?EIO=4&transport=polling");
    assert!(open.starts_with("0{"), "a client on long-polling, too");

    node.signal("TERM");
    for mut client in [ada, bob] {
        while let Some(packet) = client.packet().await {
            assert_ne!(packet, "41", "a DISCONNECT packet would keep stock clients from coming back");
        }
    }
    assert_eq!(node.wait(), Some(0));
    let log = node.rest_of_log();
    assert!(log.iter().any(|line| line.contains("ended")), "{log:?}");
}

#[test]
fn sigint_ends_it_too() {
    let mut node = Node::start(&["--no-demo"]);
    node.signal("INT");
    assert_eq!(node.wait(), Some(0));
}

/// A bus that takes connections and never says anything: leaving it takes its time.
fn silent_bus() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || listener.incoming().collect::<Vec<_>>());
    url
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut node = Node::start(&["--bus", &silent_bus()]);
    node.signal("TERM");
    node.logged("a second signal ends it at once");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    let log = node.rest_of_log();
    assert!(log.iter().any(|line| line.contains("ended at once")), "{log:?}");
}

#[test]
fn while_it_ends_it_is_not_ready() {
    let mut node = Node::start(&["--bus", &silent_bus(), "--admin-listen", "127.0.0.1:0"]);
    let admin = node.out.recv().unwrap().strip_prefix("admin on ").unwrap().parse().unwrap();
    node.signal("TERM");
    node.logged("a second signal ends it at once");
    let (status, _, body) = get(admin, "/readyz");
    assert_eq!(status, 503);
    assert!(body.contains(r#""state":"draining""#), "{body}");
    assert_eq!(node.wait(), Some(0));
}
