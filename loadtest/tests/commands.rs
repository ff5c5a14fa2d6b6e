//! The program as users call it: exit status, text, JSON, and a comparison of two processes.

mod mock;

use std::process::{Command, Output};

use mock::{Manners, Mock};
use serde_json::Value;

fn loadtest(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sockeye-loadtest")).args(args).output().expect("runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Not a test: the server that the comparison starts, this test program itself.
#[test]
#[ignore = "a server for the comparison, which starts it"]
fn serve_as_mock() {
    let mock = Mock::start(Manners::default());
    println!("\nlistening on {}", mock.address);
    loop {
        std::thread::park();
    }
}

/// The command that starts this program as a server.
fn mock_command() -> String {
    let program = std::env::current_exe().expect("a path");
    format!("'{}' --ignored --exact serve_as_mock --nocapture", program.display())
}

#[test]
fn a_good_run_prints_text_writes_json_and_succeeds() {
    let mock = Mock::start(Manners::default());
    let file = std::env::temp_dir().join(format!("loadtest-{}.json", std::process::id()));
    let url = format!("http://{}", mock.address);
    let output = loadtest(&[
        "acks",
        "--url",
        &url,
        "--connections",
        "2",
        "--duration",
        "200ms",
        "--warmup",
        "0",
        "--pid",
        &std::process::id().to_string(),
        "--json",
        file.to_str().expect("UTF-8"),
    ]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("µs a request"));
    let json = std::fs::read_to_string(&file).expect("written");
    let json: Value = serde_json::from_str(&json).expect("JSON");
    std::fs::remove_file(&file).ok();
    assert_eq!(json["settings"]["transport"], "websocket");
    assert!(json["server_cpu_us_per_unit"].as_f64() > Some(0.0));
}

#[test]
fn faults_give_exit_status_1_and_no_run_gives_3() {
    let mock = Mock::start(Manners { duplicate: 2, ..Manners::default() });
    let url = format!("http://{}", mock.address);
    let args = ["--connections", "3", "--duration", "200ms", "--quiet"];
    let output = loadtest(&[&["fanout", "--url", &url], &args[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("duplicate"));
    let output = loadtest(&["idle", "--url", &url]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("--pid"));
    assert_eq!(loadtest(&["fanuot"]).status.code(), Some(2));
}

#[test]
fn two_servers_are_started_compared_and_stopped() {
    let command = mock_command();
    let output = loadtest(&[
        "compare",
        &command,
        &command,
        "--names",
        "one,two",
        "--rows",
        "acks-w1,connect,idle",
        "--rounds",
        "2",
        "--duration",
        "200ms",
        "--warmup",
        "50ms",
        "--idle-connections",
        "20",
        "--no-pin",
        "--quiet",
        "--json",
        "-",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = json["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 3);
    for row in &rows[..2] {
        let cells: Vec<&Value> = row["rounds"].as_array().into_iter().flatten().collect();
        assert_eq!(cells.len(), 2, "{row}");
        assert!(row["comparison"]["ratio"]["median"].as_f64() > Some(0.0), "{row}");
        assert_eq!(row["comparison"]["verdict"], "unsure", "{row}");
    }
}

#[test]
fn a_server_that_does_not_start_is_named() {
    let output =
        loadtest(&["compare", "--no-pin", "--quiet", "--rows", "acks-w1", "--rounds", "1", "false", "false"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("`false` ended before it listened"), "{table}");
}
