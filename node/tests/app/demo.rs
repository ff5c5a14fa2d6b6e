//! The demo: where it is served, and what its handlers do.

use serde_json::json;

use crate::{client::Client, process::Node};

#[test]
fn the_page_and_its_files_are_there_on_loopback() {
    let node = Node::start(&["--path", "/chat/"]);
    let (status, head, page) = node.get("/");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(page.contains(r#"data-path="/chat/" data-transports="polling websocket""#), "{page}");
    for id in ["room", "join", "message", "send", "log", "node", "members", "status"] {
        assert!(page.contains(&format!(r#"id="{id}""#)), "#{id} is missing");
    }
    for (file, kind) in [
        ("/demo/style.css", "text/css"),
        ("/demo/client.js", "text/javascript"),
        ("/demo/page.js", "text/javascript"),
        ("/demo/icon.svg", "image/svg+xml"),
    ] {
        let (status, head, _) = node.get(file);
        assert_eq!(status, 200, "{file}");
        assert!(head.contains(&format!("content-type: {kind}")), "{head}");
    }
    // A page that needs the network, or that could be made to run what others wrote, would not be ours.
    for text in
        [&*page, &node.get("/demo/page.js").2, &node.get("/demo/client.js").2, &node.get("/demo/style.css").2]
    {
        for wrong in ["https://", "//cdn", "innerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!text.contains(wrong), "{wrong}");
        }
    }
}

#[test]
fn it_is_off_on_other_addresses_and_where_it_is_told_so() {
    let start = |args: &[&str]| Node::start_with(args, &[]);
    assert_eq!(start(&["--listen", "0.0.0.0:0"]).get("/").0, 404);
    assert_eq!(start(&["--listen", "0.0.0.0:0", "--demo"]).get("/").0, 200);
    let without = start(&["--listen", "127.0.0.1:0", "--no-demo"]);
    assert_eq!(without.get("/").0, 404);
    assert_eq!(without.get("/demo/client.js").0, 404);
    assert_eq!(without.get("/healthz").0, 200);
}

#[tokio::test]
async fn a_message_reaches_the_others_in_the_room_and_is_confirmed() {
    let node = Node::start(&["--node-name", "here"]);
    let mut ada = Client::connect(node.address, json!({"name": "Ada"})).await;
    let mut bob = Client::connect(node.address, json!({})).await;
    let welcome = ada.event("welcome").await;
    assert_eq!(
        (&welcome["name"], &welcome["node"], &welcome["id"]),
        (&json!("Ada"), &json!("here"), &json!(ada.id))
    );
    assert!(bob.event("welcome").await["name"].as_str().unwrap().starts_with("guest-"));

    let joined = ada.call("join", "lobby").await;
    assert_eq!(
        joined,
        json!({"room": "lobby", "node": "here", "members": 1, "nodes": 1, "missing_nodes": []})
    );
    assert_eq!(bob.call("join", "lobby").await["members"], 2);
    let came = ada.event("presence").await;
    assert_eq!((&came["id"], &came["here"], &came["room"]), (&json!(bob.id), &json!(true), &json!("lobby")));

    let sent = ada.ask("send", json!({"room": "lobby", "text": "hello <b>"})).await;
    let message = bob.event("message").await;
    assert_eq!(
        (&message["text"], &message["name"], &message["node"]),
        (&json!("hello <b>"), &json!("Ada"), &json!("here"))
    );
    assert!(message["at"].as_u64().unwrap() > 1_700_000_000_000);
    let ack = ada.answer(sent).await;
    assert_eq!(ack, json!({"node": "here", "delivered": 1, "missing": 0, "missing_nodes": []}));

    assert_eq!(bob.call("name", " Bob ").await, "Bob");
    bob.call("typing", "lobby").await;
    assert_eq!(ada.event("typing").await["name"], "Bob");

    bob.close().await;
    let went = ada.event("presence").await;
    assert_eq!((&went["name"], &went["here"]), (&json!("Bob"), &json!(false)));
    assert_eq!(ada.call("members", "lobby").await["members"], 1);
    assert_eq!(ada.call("leave", "lobby").await, "lobby");
    assert_eq!(ada.call("members", "lobby").await, json!({"error": "join the room `lobby` first"}));
}

#[tokio::test]
async fn a_member_who_goes_instead_of_confirming_is_missing_at_once() {
    let node = Node::start(&[]);
    let mut ada = Client::connect(node.address, json!({})).await;
    let mut bob = Client::connect(node.address, json!({})).await;
    ada.call("join", "lobby").await;
    bob.call("join", "lobby").await;
    let sent = ada.ask("send", json!({"room": "lobby", "text": "hello"})).await;
    while !bob.packet().await.unwrap().contains(r#""message""#) {}
    bob.close().await;
    let ack = ada.answer(sent).await;
    assert_eq!((&ack["delivered"], &ack["missing"]), (&json!(0), &json!(1)));
}

#[tokio::test]
async fn what_is_too_long_or_makes_no_sense_is_refused_with_a_reason() {
    let node = Node::start(&[]);
    let mut ada = Client::connect(node.address, json!({"name": 7})).await;
    let bob = Client::connect(node.address, json!({"name": ""})).await;
    ada.call("join", "x".repeat(64)).await;
    for (event, argument, reason) in [
        ("join", json!("x".repeat(65)), "64 characters"),
        ("join", json!(" "), "needs a name"),
        ("join", json!("a\u{0}b"), "control characters"),
        ("join", json!(7), "a string"),
        ("join", json!({"room": "lobby"}), "a string"),
        ("join", json!(bob.id), "client's id"),
        ("leave", json!(null), "a string"),
        ("members", json!(bob.id), "client's id"),
        ("send", json!({"room": "elsewhere", "text": "hello"}), "join the room"),
        ("send", json!({"room": bob.id, "text": "hello"}), "client's id"),
        ("send", json!({"room": "x".repeat(64), "text": "y".repeat(1001)}), "1000 characters"),
        ("send", json!({"room": "x".repeat(64), "text": " "}), "needs a text"),
        ("send", json!("hello"), "`room` and `text`"),
        ("name", json!("y".repeat(33)), "32 characters"),
    ] {
        let ack = ada.call(event, argument.clone()).await;
        assert!(
            ack["error"].as_str().is_some_and(|error| error.contains(reason)),
            "{event} {argument}: {ack}"
        );
    }
    for number in 1..64 {
        assert_eq!(ada.call("join", format!("room {number}")).await["error"], json!(null));
    }
    let ack = ada.call("join", "one too many").await;
    assert!(ack["error"].as_str().unwrap().contains("64 rooms"), "{ack}");
    assert_eq!(ada.call("join", "room 1").await["error"], json!(null), "it is in there already");
}

#[tokio::test]
async fn without_the_demo_clients_join_only_if_they_may() {
    let open = Node::start_with(
        &["--listen", "127.0.0.1:0", "--no-demo", "--allow-join"],
        &[("SOCKEYE_NODE_NAME", "open")],
    );
    let mut ada = Client::connect(open.address, json!({})).await;
    assert_eq!(ada.call("join", "lobby").await, json!({"room": "lobby", "node": "open"}));
    assert_eq!(ada.call("leave", "lobby").await, json!({"room": "lobby", "node": "open"}));
    assert!(ada.call("join", ada.id.clone()).await["error"].is_string());

    let closed = Node::start(&["--no-demo"]);
    let mut bob = Client::connect(closed.address, json!({})).await;
    bob.ask("join", "lobby").await;
    let unhandled = || closed.get("/metrics").2.contains("\nsockeye_unhandled_events_total 1\n");
    while !unhandled() {
        tokio::task::yield_now().await;
    }
}
