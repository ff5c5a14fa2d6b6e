//! What the program says of its options, and to wrong ones.

use std::net::TcpListener;

use crate::process::{Node, run};

const OPTIONS: [&str; 47] = [
    "listen",
    "admin-listen",
    "bus",
    "channel",
    "bridge",
    "secret",
    "secret-file",
    "node-name",
    "cors",
    "allow-join",
    "static",
    "demo",
    "path",
    "ping-interval",
    "ping-timeout",
    "connect-timeout",
    "upgrade-timeout",
    "max-payload",
    "transports",
    "parser",
    "no-upgrades",
    "eio3",
    "trusted-proxies",
    "proxy-protocol",
    "max-handshakes-per-address",
    "max-connections-per-address",
    "cookie",
    "compression-threshold",
    "limits-mode",
    "max-attachments",
    "max-json-depth",
    "max-json-values",
    "max-namespaces",
    "max-rooms",
    "max-pending-acks",
    "event-rate",
    "event-burst",
    "max-queue",
    "slow-policy",
    "require-bus",
    "shutdown-timeout",
    "log-level",
    "log-socketio",
    "log-engineio",
    "log-format",
    // These have no variable of their own.
    "no-demo",
    "help",
];

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn the_help_lists_every_option_with_its_variable() {
    let output = run(&["--help"], &[("SOCKEYE_SECRET", "do-not-show-this-to-anyone")]);
    assert!(output.status.success());
    let help = text(&output.stdout);
    for option in OPTIONS {
        assert!(help.contains(&format!("--{option}")), "--{option} is missing");
        let variable = format!("[env: SOCKEYE_{}]", option.to_uppercase().replace('-', "_"));
        assert!(help.contains(&variable) || ["no-demo", "help"].contains(&option), "{variable} is missing");
    }
    assert!(!help.contains("do-not-show"), "the help shows a secret");
    // Nothing is in the help that this test does not know.
    let listed = help.lines().filter(|line| line.starts_with("      --") || line.starts_with("  -")).count();
    assert_eq!(listed, OPTIONS.len() + 1, "--version is the only other one");
}

#[test]
fn the_book_lists_every_option() {
    let book = include_str!("../../../docs/running.md");
    for option in OPTIONS {
        assert!(book.contains(&format!("`--{option}")), "--{option} is missing");
        let variable = format!("`SOCKEYE_{}`", option.to_uppercase().replace('-', "_"));
        assert!(book.contains(&variable) || ["no-demo", "help"].contains(&option), "{variable} is missing");
    }
}

#[test]
fn all_wrong_options_are_named_at_once_before_anything_starts() {
    let output = run(
        &["--listen", "nonsense", "--bus", "carrier-pigeon://user:hunter2@x", "--ping-timeout", "20"],
        &[("SOCKEYE_MAX_PAYLOAD", "much"), ("SOCKEYE_SECRET", "short")],
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    for wrong in
        ["--listen: `nonsense`", "--bus: ", "--ping-timeout: `20`", "--max-payload: `much`", "--secret: "]
    {
        assert!(said.contains(wrong), "{wrong} is not in: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn an_option_that_does_not_exist_ends_it_in_the_same_way() {
    let output = run(&["--lissten", "127.0.0.1:0"], &[]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).contains("--listen"), "what was meant is proposed");
}

#[test]
fn an_address_that_is_taken_is_no_usage_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let said = text(&output.stderr);
    assert!(said.contains(&address) && said.contains("another program has it"), "{said}");
}

#[test]
fn variables_count_and_the_command_line_wins() {
    let env = [
        ("SOCKEYE_LISTEN", "nonsense"),
        ("SOCKEYE_NODE_NAME", "from-the-environment"),
        ("SOCKEYE_PATH", "/chat"),
        ("SOCKEYE_PING_INTERVAL", "7s"),
        ("SOCKEYE_DEMO", "false"),
        ("SOCKEYE_NO_UPGRADES", "true"),
        ("SOCKEYE_REQUIRE_BUS", "false"),
        ("SOCKEYE_ADMIN_LISTEN", ""),
    ];
    let node = Node::start_with(&["--listen", "127.0.0.1:0", "--ping-interval", "8s"], &env);
    assert!(node.get("/readyz").2.contains(r#""name":"from-the-environment""#));
    assert_eq!(node.get("/").0, 404);
    assert_eq!(node.get("/socket.io/?EIO=4&transport=polling").0, 404);
    let (status, _, open) = node.get("/chat/?EIO=4&transport=polling");
    assert_eq!(status, 200);
    assert!(open.contains(r#""pingInterval":8000"#) && open.contains(r#""upgrades":[]"#), "{open}");
}

#[test]
fn the_log_can_be_json_and_shows_no_password() {
    let env =
        [("SOCKEYE_BUS", "redis://user:hunter2@127.0.0.1:1"), ("SOCKEYE_SECRET", "this-is-nobodys-business")];
    let mut node = Node::start_with(&["--listen", "127.0.0.1:0", "--log-format", "json"], &env);
    let serving: serde_json::Value = serde_json::from_str(&node.logged("serving clients")).unwrap();
    assert_eq!(serving["level"], "INFO");
    assert_eq!(serving["listen"], node.address.to_string());
    assert_eq!(serving["demo"], true);
    let warning = node.logged("cannot connect to the bus");
    node.signal("TERM");
    assert_eq!(node.wait(), Some(0));
    for line in node.rest_of_log().iter().chain([&warning, &serving.to_string()]) {
        assert!(!line.contains("hunter2") && !line.contains("nobodys"), "{line}");
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}
