//! Health, readiness and metrics.

use serde_json::Value;

use crate::process::{Node, get};

/// A port where nothing answers: reserved, and not for anyone without privileges.
const NO_BUS: &str = "redis://127.0.0.1:1";

fn readiness(node: &Node) -> (u16, Value) {
    let (status, head, body) = node.get("/readyz");
    assert!(head.contains("content-type: application/json"), "{head}");
    (status, serde_json::from_str(&body).unwrap())
}

#[test]
fn a_node_alone_is_healthy_and_ready_and_counts() {
    let node = Node::start(&["--node-name", "alone"]);
    let (status, _, body) = node.get("/healthz");
    assert_eq!((status, &*body), (200, "ok"));

    let (status, ready) = loop {
        let (status, ready) = readiness(&node);
        // Right after the start even the embedded bus is still on its way.
        if ready["state"] != "degraded" {
            break (status, ready);
        }
    };
    assert_eq!((status, &ready["state"]), (200, &Value::from("ready")));
    assert_eq!(ready["name"], "alone");
    assert_eq!(ready["bus_connected"], true);
    assert_eq!(ready["peers"], serde_json::json!([]));
    assert_eq!(ready["node"].as_str().map(str::len), Some(12));

    let (status, head, body) = node.get("/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    assert!(body.lines().any(|line| line.starts_with("# TYPE sockeye_")), "{body}");

    assert_eq!(node.get("/no-such-path").0, 404);
}

#[test]
fn without_its_bus_a_node_is_degraded_but_ready() {
    let (status, ready) = readiness(&Node::start(&["--bus", NO_BUS]));
    assert_eq!((status, &ready["state"]), (200, &Value::from("degraded")));
    assert_eq!(ready["bus_connected"], false);
}

#[test]
fn readiness_can_depend_on_the_bus() {
    let node = Node::start(&["--bus", NO_BUS, "--require-bus"]);
    let (status, ready) = readiness(&node);
    assert_eq!((status, &ready["state"]), (503, &Value::from("degraded")));
    assert_eq!(node.get("/healthz").0, 200);
}

#[test]
fn a_separate_address_keeps_them_from_clients() {
    let node = Node::start(&["--admin-listen", "127.0.0.1:0"]);
    let line = node.out.recv().unwrap();
    let admin = line.strip_prefix("admin on ").unwrap().parse().unwrap();
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(get(admin, path).0, 200, "{path}");
        assert_eq!(node.get(path).0, 404, "{path}");
    }
    assert_eq!(get(admin, "/").0, 404);
    assert_eq!(get(admin, "/socket.io/?EIO=4&transport=polling").0, 404);
    assert_eq!(node.get("/socket.io/?EIO=4&transport=polling").0, 200);
}
