//! What the program logs of its clients, and what it never does.

use serde_json::{Value, json};

use crate::{client::Client, process::Node};

/// Runs a node with these options, lets one client come, call and go, and returns the log with the client's session id.
async fn story(options: &[&str]) -> (Vec<String>, String) {
    let mut node = Node::start(options);
    let mut client = Client::connect(node.address, json!({"token": "hush-hush-token"})).await;
    client.call("join", "hush-hush-room").await;
    let session = client.session.clone();
    client.close().await;
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    (node.rest_of_log(), session)
}

#[tokio::test]
async fn each_layer_has_a_switch_and_none_tells_secrets() {
    let (lines, session) = story(&["--log-socketio", "--log-engineio", "--log-format", "json"]).await;
    let log: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect();
    let said = |target: &str, message: &str| {
        let found = log.iter().find(|line| line["target"] == target && line["message"] == message);
        found.unwrap_or_else(|| panic!("{target} does not say `{message}`: {lines:#?}"))
    };
    let opened = said("sockeye::engineio", "a session was opened");
    assert_eq!((&opened["transport"], &opened["path"]), (&json!("websocket"), &json!("/socket.io/")));
    let packet = said("sockeye::engineio", "received a packet");
    assert_eq!((&packet["kind"], &packet["connection"]), (&json!("message"), &opened["connection"]));
    assert!(said("sockeye::engineio", "sent")["bytes"].as_u64() > Some(0));
    assert_eq!(said("sockeye::engineio", "a session was closed")["connection"], opened["connection"]);
    let joined = said("sockeye::socketio", "a client joined");
    assert_eq!((&joined["namespace"], &joined["connection"]), (&json!("/"), &opened["connection"]));
    let event = said("sockeye::socketio", "received an event");
    assert_eq!((&event["event"], &event["socket"]), (&json!("join"), &joined["socket"]));
    assert_eq!(event["bytes"], r#"["hush-hush-room"]"#.len());
    said("sockeye::socketio", "sent an ack");
    assert_eq!(said("sockeye::socketio", "a client left")["reason"], "transport close");
    let all = lines.concat();
    assert!(!all.contains("hush-hush"), "what clients send is theirs: {all}");
    assert!(!all.contains(&session), "who reads the log could take the session over: {all}");
}

#[tokio::test]
async fn one_layer_is_logged_without_the_other() {
    let layers = |lines: &[String]| {
        ["sockeye::engineio", "sockeye::socketio"].map(|layer| lines.iter().any(|line| line.contains(layer)))
    };
    assert_eq!(layers(&story(&[]).await.0), [false, false]);
    assert_eq!(layers(&story(&["--log-engineio"]).await.0), [true, false]);
    assert_eq!(layers(&story(&["--log-socketio", "--log-level", "warn"]).await.0), [false, true]);
}
