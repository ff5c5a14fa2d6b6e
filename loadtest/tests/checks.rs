//! Each scenario against a small server of its own, and what it says when that server misbehaves.

mod mock;

use std::time::Duration;

use mock::{Manners, Mock};
use sockeye_loadtest::fault::Fault;
use sockeye_loadtest::interrupt::Interrupt;
use sockeye_loadtest::progress::Progress;
use sockeye_loadtest::report::Report;
use sockeye_loadtest::scenario::{Acks, Connect, Fanout, Idle, Setting, Timing, Transport};
use sockeye_loadtest::target::Target;
use sockeye_loadtest::wire::socketio::Namespace;

const TIMING: Timing = Timing { duration: Duration::from_millis(300), warmup: Duration::from_millis(50) };

fn target(mock: &Mock) -> Target {
    Target { patience: Duration::from_secs(20), ..Target::local(mock.address, std::process::id()) }
}

fn run(
    target: Target,
    scenario: impl FnOnce(Setting<'_>) -> anyhow::Result<Report>,
) -> anyhow::Result<Report> {
    scenario(Setting { target, progress: &mut Progress::quiet(), interrupt: Interrupt::default() })
}

fn fanout() -> Fanout {
    Fanout { connections: 6, window: 4, payload: 32, rooms: 1, concurrency: 3, timing: TIMING }
}

fn acks() -> Acks {
    Acks { connections: 3, window: 4, payload: 32, transport: Transport::Websocket, timing: TIMING }
}

/// Runs the fan-out against a server with these manners.
fn fanout_with(manners: Manners, patience: Duration) -> Report {
    let mock = Mock::start(manners);
    let target = Target { patience, ..target(&mock) };
    run(target, |setting| fanout().run(setting)).expect("runs")
}

/// The kinds of faults of a report.
fn kinds(report: &Report) -> Vec<Fault> {
    report.faults.iter().map(|(fault, ..)| fault).collect()
}

#[test]
fn a_well_behaved_server_has_no_faults_in_any_scenario() {
    let mock = Mock::start(Manners::default());
    let reports = [
        run(target(&mock), |to| fanout().run(to)).expect("fan-out"),
        run(target(&mock), |to| acks().run(to)).expect("acks"),
        run(target(&mock), |to| Connect { concurrency: 4, rooms: 2, timing: TIMING }.run(to))
            .expect("connect"),
    ];
    for report in reports {
        assert_eq!(kinds(&report), [], "{report}");
        let measured = report.measured.expect("measured");
        assert!(measured.units > 0, "{report}");
        assert!(report.cost().is_some_and(|cost| cost > 0.0), "{report}");
        let (_, latency) = report.latencies[0];
        assert!(latency.p50_us > 0.0 && latency.p50_us <= latency.p99_us, "{report}");
    }
}

#[test]
fn rare_but_right_forms_are_understood() {
    let manners = Manners { fragments: true, pings: true, blanks: true, ..Manners::default() };
    let mock = Mock::start(manners);
    let report = run(target(&mock), |to| fanout().run(to)).expect("fan-out");
    assert_eq!(kinds(&report), [], "{report}");
    assert!(report.measured.expect("measured").units > 0);
    let report = run(target(&mock), |to| acks().run(to)).expect("acks");
    assert_eq!(kinds(&report), [], "{report}");
}

#[test]
fn several_rooms_get_their_own_messages_only() {
    let mock = Mock::start(Manners::default());
    let scenario = Fanout { rooms: 4, connections: 10, ..fanout() };
    let report = run(target(&mock), |to| scenario.run(to)).expect("runs");
    assert_eq!(kinds(&report), [], "{report}");
}

#[test]
fn duplicates_are_found() {
    let manners = Manners { duplicate: 3, ..Manners::default() };
    let report = fanout_with(manners, Duration::from_secs(20));
    assert_eq!(kinds(&report), [Fault::Duplicate], "{report}");
}

#[test]
fn losses_are_found_and_do_not_end_the_run() {
    let manners = Manners { drop: 5, ..Manners::default() };
    let report = fanout_with(manners, Duration::from_secs(1));
    assert_eq!(kinds(&report), [Fault::Lost], "{report}");
    assert!(report.faults.count(Fault::Lost) >= 2, "{report}");
}

#[test]
fn reordering_is_found_and_is_no_loss() {
    let manners = Manners { swap: 4, ..Manners::default() };
    // The last message of the run may be one that waits for the next: it is lost then, and nothing else is.
    let report = fanout_with(manners, Duration::from_secs(1));
    assert!(report.faults.count(Fault::OutOfOrder) > 0, "{report}");
    assert!(report.faults.count(Fault::Lost) <= 1, "{report}");
    assert_eq!(report.faults.count(Fault::Duplicate), 0, "{report}");
}

#[test]
fn altered_content_is_found() {
    let manners = Manners { alter: 1, ..Manners::default() };
    let report = fanout_with(manners, Duration::from_secs(20));
    assert_eq!(kinds(&report), [Fault::WrongContent], "{report}");
}

#[test]
fn a_subscriber_that_is_closed_is_counted_and_the_others_go_on() {
    let manners = Manners { close: 7, ..Manners::default() };
    let mock = Mock::start(manners);
    let scenario = Fanout { connections: 200, ..fanout() };
    // Every seventh message costs a subscriber its connection; they may all be gone at the end.
    let report = run(target(&mock), |to| scenario.run(to));
    match report {
        Ok(report) => assert_eq!(kinds(&report), [Fault::Closed], "{report}"),
        Err(error) => assert!(error.to_string().contains("gone"), "{error}"),
    }
}

#[test]
fn wrong_acks_are_found() {
    let manners = Manners { ack_twice: true, ..Manners::default() };
    let mock = Mock::start(manners);
    let report = run(target(&mock), |to| acks().run(to)).expect("runs");
    assert_eq!(kinds(&report), [Fault::Duplicate], "{report}");

    let manners = Manners { ack_drop: 50, ..Manners::default() };
    let mock = Mock::start(manners);
    let target = Target { patience: Duration::from_secs(1), ..target(&mock) };
    let report = run(target, |to| acks().run(to)).expect("runs");
    assert_eq!(kinds(&report), [Fault::Lost], "{report}");
}

#[test]
fn a_join_that_is_overlooked_is_sent_again_and_counted() {
    let manners = Manners { deaf_to_first_join: true, ..Manners::default() };
    let report = fanout_with(manners, Duration::from_secs(20));
    assert_eq!(kinds(&report), [Fault::JoinUnanswered], "{report}");
    assert_eq!(report.faults.count(Fault::JoinUnanswered), 6, "{report}");
}

#[test]
fn a_server_without_the_events_is_told_from_a_slow_one() {
    let mock = Mock::start(Manners { deaf: true, ..Manners::default() });
    let target = Target { patience: Duration::from_millis(500), ..target(&mock) };
    let error = run(target, |to| acks().run(to)).expect_err("deaf");
    assert!(error.to_string().contains("message-with-ack"), "{error}");
}

#[test]
fn refusals_say_what_was_refused() {
    let mock = Mock::start(Manners { refuse: true, ..Manners::default() });
    let error = run(target(&mock), |to| acks().run(to)).expect_err("refused");
    assert!(error.to_string().contains("not today"), "{error}");

    let mock = Mock::start(Manners::default());
    let wrong_path = Target { path: "/elsewhere/".to_owned(), ..target(&mock) };
    let error = run(wrong_path, |to| acks().run(to)).expect_err("no such path");
    assert!(error.to_string().contains("404"), "{error}");

    let wrong_namespace = Target {
        namespace: Namespace::new("/nowhere"),
        patience: Duration::from_millis(200),
        ..target(&mock)
    };
    let many = Acks { connections: 50, ..acks() };
    let error = run(wrong_namespace, |to| many.run(to)).expect_err("no such namespace");
    assert!(error.to_string().contains("timeout"), "{error}");

    let address = mock.address;
    drop(mock);
    let nobody = Target::local(address, std::process::id());
    let error = run(nobody, |to| acks().run(to)).expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn idle_sockets_answer_pings_and_stay() {
    let mock = Mock::start(Manners { pings: true, ..Manners::default() });
    let scenario = Idle { connections: 300, concurrency: 50, rooms: 3, hold: Duration::from_millis(300) };
    let target = Target {
        sources: vec!["127.0.0.2".parse().expect("an address"), "127.0.0.3".parse().expect("an address")],
        ..target(&mock)
    };
    let report = run(target, |to| scenario.run(to)).expect("runs");
    assert_eq!(kinds(&report), [], "{report}");
    let fact = |name| report.facts.iter().find(|(fact, _)| *fact == name);
    assert_eq!(fact("open connections"), Some(&("open connections", 300.0)));
    assert_eq!(fact("pings answered"), Some(&("pings answered", 300.0)));
    assert_eq!(mock.pongs(), 300);
    assert!(report.memory.is_some(), "{report}");
}

#[test]
fn an_interrupt_ends_the_run() {
    let mock = Mock::start(Manners::default());
    let interrupt = Interrupt::default();
    interrupt.raise();
    let setting = Setting { target: target(&mock), progress: &mut Progress::quiet(), interrupt };
    let error = fanout().run(setting).expect_err("interrupted");
    assert!(format!("{error:#}").contains("interrupted"), "{error:#}");
}
