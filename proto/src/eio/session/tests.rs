use super::*;
use crate::eio::{Method, Opening};

const T0: Time = Time(1_000);

fn settings() -> Settings {
    Settings::default()
}

fn polling() -> Session {
    Session::open(T0, TransportKind::Polling, Protocol::V4, &settings())
}

fn after(ms: u64) -> Time {
    T0.plus(Duration::from_millis(ms))
}

#[test]
fn is_small() {
    assert!(size_of::<Session>() <= 40, "{}", size_of::<Session>());
}

#[test]
fn the_open_packet_is_javascripts() {
    // As recorded from socket.io 4.8, both with and without upgrades.
    assert_eq!(
        open_json("MctF8dX_kKe6Z2muAAAA", true, &settings()),
        r#"{"sid":"MctF8dX_kKe6Z2muAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#
    );
    let s = Settings { ping_interval: Duration::from_millis(250), max_payload: 1000, ..settings() };
    assert_eq!(
        open_json("x", false, &s),
        r#"{"sid":"x","upgrades":[],"pingInterval":250,"pingTimeout":20000,"maxPayload":1000}"#
    );
}

#[test]
fn messages_pass_through() {
    let (mut session, s) = (polling(), settings());
    let step = session.receive(T0, Lane::Main, Packet::Message("2[\"a\"]".into()), &s);
    assert_eq!(step, Step::Text("2[\"a\"]".into()));
    let step = session.receive(T0, Lane::Main, Packet::Binary(vec![1].into()), &s);
    assert_eq!(step, Step::Binary(vec![1].into()));
}

#[test]
fn a_client_may_not_ping_and_what_means_nothing_is_ignored() {
    let (mut session, s) = (polling(), settings());
    for packet in [Packet::Open("{}"), Packet::Noop, Packet::Upgrade, Packet::Pong("probe")] {
        assert_eq!(session.receive(T0, Lane::Main, packet, &s), Step::Ignore);
    }
    let step = session.receive(T0, Lane::Main, Packet::Ping(""), &s);
    assert_eq!(step, Step::Fail(CloseReason::TransportError));
    assert_eq!(session.receive(T0, Lane::Main, Packet::Close, &s), Step::ClosedByPeer);
    assert!(!session.is_closed(), "closing is the owner's");
}

#[test]
fn pings_until_a_pong_is_missing() {
    let (mut session, s) = (polling(), settings());
    assert_eq!(session.next_deadline(), after(25_000));
    assert_eq!(session.handle_timeout(after(24_999), &s), Due::Nothing);
    assert_eq!(session.handle_timeout(after(25_000), &s), Due::SendPing);
    assert_eq!(session.handle_timeout(after(25_000), &s), Due::Nothing);
    assert_eq!(session.receive(after(25_100), Lane::Main, Packet::Pong(""), &s), Step::Ignore);
    assert_eq!(session.next_deadline(), after(50_100));
    // The ping left a little late, as a timer's grain has it: the client's time began when it was due.
    assert_eq!(session.handle_timeout(after(51_000), &s), Due::SendPing);
    assert_eq!(session.handle_timeout(after(70_099), &s), Due::Nothing);
    assert_eq!(session.handle_timeout(after(70_100), &s), Due::Fail(CloseReason::PingTimeout));
    assert_eq!(session.handle_timeout(after(70_100), &s), Due::Nothing);
}

#[test]
fn a_ping_that_left_far_too_late_gives_the_client_its_full_time_from_then() {
    let (mut session, s) = (polling(), settings());
    assert_eq!(session.handle_timeout(after(40_000), &s), Due::SendPing);
    assert_eq!(session.handle_timeout(after(59_999), &s), Due::Nothing);
    assert_eq!(session.handle_timeout(after(60_000), &s), Due::Fail(CloseReason::PingTimeout));
}

#[test]
fn a_pong_nobody_asked_for_refreshes() {
    let (mut session, s) = (polling(), settings());
    session.receive(after(10_000), Lane::Main, Packet::Pong(""), &s);
    assert_eq!(session.next_deadline(), after(35_000));
}

#[test]
fn a_pause_stops_the_deadline_of_the_pong_but_not_the_pings() {
    let (mut session, s) = (polling(), settings());
    assert_eq!(session.handle_timeout(after(25_000), &s), Due::SendPing);
    session.pause_heartbeat(after(40_000), &s); // 5 s left for the pong
    session.pause_heartbeat(after(44_000), &s);
    assert_eq!(session.next_deadline(), after(50_000));
    assert_eq!(session.handle_timeout(after(50_000), &s), Due::SendPing);
    assert_eq!(session.handle_timeout(after(74_999), &s), Due::Nothing);
    assert_eq!(session.handle_timeout(after(75_000), &s), Due::SendPing);
    session.resume_heartbeat(after(80_000));
    session.resume_heartbeat(after(81_000));
    assert_eq!(session.next_deadline(), after(85_000));
    assert_eq!(session.handle_timeout(after(85_000), &s), Due::Fail(CloseReason::PingTimeout));
}

#[test]
fn a_ping_sent_while_paused_has_its_full_time_afterwards() {
    let (mut session, s) = (polling(), settings());
    session.pause_heartbeat(after(1_000), &s);
    assert_eq!(session.handle_timeout(after(25_000), &s), Due::SendPing);
    session.resume_heartbeat(after(40_000));
    assert_eq!(session.next_deadline(), after(60_000));
    // The client counts from the ping of 25,000, not from when its pong was read.
    session.receive(after(40_001), Lane::Main, Packet::Pong(""), &s);
    assert_eq!(session.next_deadline(), after(50_000));
    assert_eq!(session.handle_timeout(after(50_000), &s), Due::SendPing);
    session.receive(after(50_001), Lane::Main, Packet::Pong(""), &s);
    assert_eq!(session.next_deadline(), after(75_001));
}

#[test]
fn upgrades_by_probe() {
    let (mut session, s) = (polling(), settings());
    assert_eq!(session.begin_probe(T0, &s), Ok(()));
    assert!(session.upgrading() && !session.polls_get_noop());
    assert_eq!(session.poll_started(), Ok(()));
    assert_eq!(session.receive(T0, Lane::Probe, Packet::Ping("probe"), &s), Step::ReplyProbe);
    assert!(session.polls_get_noop());
    session.poll_ended();
    // The old transport still carries messages.
    let step = session.receive(T0, Lane::Main, Packet::Message("x".into()), &s);
    assert_eq!(step, Step::Text("x".into()));
    assert_eq!(session.receive(T0, Lane::Probe, Packet::Upgrade, &s), Step::Upgraded);
    assert_eq!(session.transport(), TransportKind::WebSocket);
    assert!(!session.upgrading() && !session.polls_get_noop());
    assert_eq!(session.poll_started(), Err(Overlap::NotPolling));
    assert_eq!(session.begin_probe(T0, &s), Err(RequestError::BadRequest));
    assert_eq!(session.handle_timeout(after(10_000), &s), Due::Nothing, "the probe's deadline is gone");
}

#[test]
fn anything_else_on_the_probe_closes_only_the_probe() {
    let s = settings();
    for packet in [
        Packet::Upgrade,
        Packet::Pong("probe"),
        Packet::Ping(""),
        Packet::Message("x".into()),
        Packet::Binary(vec![].into()),
        Packet::Close,
        Packet::Noop,
        Packet::Open(""),
    ] {
        let mut session = polling();
        session.begin_probe(T0, &s).unwrap();
        assert_eq!(session.receive(T0, Lane::Probe, packet.clone(), &s), Step::DropProbe, "{packet:?}");
        assert!(!session.upgrading());
        assert_eq!(session.receive(T0, Lane::Probe, Packet::Ping("probe"), &s), Step::DropProbe);
        assert_eq!(session.begin_probe(T0, &s), Ok(()), "another try is allowed");
    }
}

#[test]
fn only_one_probe_at_a_time_and_it_must_hurry() {
    let (mut session, s) = (polling(), settings());
    session.begin_probe(T0, &s).unwrap();
    assert_eq!(session.begin_probe(after(1), &s), Err(RequestError::BadRequest));
    assert_eq!(session.receive(after(9_000), Lane::Probe, Packet::Ping("probe"), &s), Step::ReplyProbe);
    assert_eq!(session.next_deadline(), after(10_000));
    assert_eq!(session.handle_timeout(after(30_000), &s), Due::DropProbe);
    assert_eq!(session.handle_timeout(after(30_000), &s), Due::SendPing);
    assert_eq!(session.handle_timeout(after(30_000), &s), Due::Nothing);
    assert_eq!(session.receive(after(30_000), Lane::Probe, Packet::Upgrade, &s), Step::DropProbe);
    assert_eq!(session.transport(), TransportKind::Polling);
}

#[test]
fn upgrades_can_be_off() {
    let s = Settings { allow_upgrades: false, ..settings() };
    assert_eq!(polling().begin_probe(T0, &s), Err(RequestError::BadRequest));
}

#[test]
fn one_get_and_one_post_at_a_time() {
    let mut session = polling();
    assert_eq!(session.poll_started(), Ok(()));
    assert_eq!(session.post_started(), Ok(()));
    assert_eq!(session.poll_started(), Err(Overlap::Busy));
    assert_eq!(session.post_started(), Err(Overlap::Busy));
    session.poll_ended();
    session.post_ended();
    assert_eq!(session.poll_started(), Ok(()));
    assert_eq!(session.post_started(), Ok(()));
}

#[test]
fn closes_once_and_is_silent_afterwards() {
    let (mut session, s) = (polling(), settings());
    session.begin_probe(T0, &s).unwrap();
    assert!(session.close(CloseReason::Slow));
    assert!(!session.close(CloseReason::PingTimeout));
    assert_eq!(session.closed_by(), Some(CloseReason::Slow));
    assert!(session.is_closed() && !session.upgrading());
    assert_eq!(session.next_deadline(), Time::NEVER);
    assert_eq!(session.handle_timeout(Time::NEVER, &s), Due::Nothing);
    for lane in [Lane::Main, Lane::Probe] {
        assert_eq!(session.receive(T0, lane, Packet::Message("x".into()), &s), Step::Ignore);
    }
    assert_eq!(session.poll_started(), Err(Overlap::NotPolling));
    assert_eq!(session.begin_probe(T0, &s), Err(RequestError::UnknownSid));
}

#[test]
fn a_session_that_began_on_websocket_cannot_be_polled() {
    let mut session = Session::open(T0, TransportKind::WebSocket, Protocol::V4, &settings());
    assert_eq!(session.poll_started(), Err(Overlap::NotPolling));
    assert_eq!(session.begin_probe(T0, &settings()), Err(RequestError::BadRequest));
    let request = crate::eio::request::parse(Method::Get, "EIO=4&transport=websocket", true, false);
    assert_eq!(request, Ok(crate::eio::Request::Open(Opening::v4(session.transport()))));
}

fn old() -> Session {
    Session::open(T0, TransportKind::Polling, Protocol::V3, &settings())
}

#[test]
fn in_version_three_the_client_asks() {
    let (mut session, s) = (old(), settings());
    assert_eq!(session.protocol(), Protocol::V3);
    assert_eq!(session.next_deadline(), after(45_000));
    assert_eq!(session.handle_timeout(after(44_999), &s), Due::Nothing);
    let step = session.receive(after(44_999), Lane::Main, Packet::Ping("x"), &s);
    assert_eq!(step, Step::Pong("x"));
    assert_eq!(session.next_deadline(), after(89_999));
    // Only pings keep it alive, as with JavaScript's server.
    session.receive(after(80_000), Lane::Main, Packet::Message("2[]".into()), &s);
    assert_eq!(session.handle_timeout(after(89_998), &s), Due::Nothing);
    assert_eq!(session.handle_timeout(after(89_999), &s), Due::Fail(CloseReason::PingTimeout));
    assert_eq!(session.handle_timeout(after(89_999), &s), Due::Nothing);
}

#[test]
fn in_version_three_a_client_may_not_answer_nor_have_long_texts_sent_back() {
    let (mut session, s) = (old(), settings());
    let step = session.receive(T0, Lane::Main, Packet::Pong(""), &s);
    assert_eq!(step, Step::Fail(CloseReason::TransportError));
    let text = "x".repeat(MAX_ECHO);
    assert_eq!(session.receive(T0, Lane::Main, Packet::Ping(&text), &s), Step::Pong(&text));
    let text = "x".repeat(MAX_ECHO + 1);
    let step = session.receive(T0, Lane::Main, Packet::Ping(&text), &s);
    assert_eq!(step, Step::Fail(CloseReason::ParseError));
}

#[test]
fn in_version_three_upgrades_are_the_same() {
    let (mut session, s) = (old(), settings());
    session.begin_probe(T0, &s).unwrap();
    assert_eq!(session.receive(T0, Lane::Probe, Packet::Ping("probe"), &s), Step::ReplyProbe);
    assert_eq!(session.next_deadline(), after(10_000), "the probe's");
    assert_eq!(session.receive(T0, Lane::Probe, Packet::Upgrade, &s), Step::Upgraded);
    assert_eq!(session.next_deadline(), after(45_000));
}

#[test]
fn in_version_three_a_pause_stops_the_deadline_of_the_ping() {
    let (mut session, s) = (old(), settings());
    session.pause_heartbeat(after(40_000), &s); // 5 s left for the ping
    session.pause_heartbeat(after(44_000), &s);
    assert_eq!(session.next_deadline(), Time::NEVER);
    assert_eq!(session.handle_timeout(after(500_000), &s), Due::Nothing);
    session.resume_heartbeat(after(500_000));
    session.resume_heartbeat(after(501_000));
    assert_eq!(session.next_deadline(), after(505_000));
    session.pause_heartbeat(after(501_000), &s);
    assert_eq!(session.receive(after(502_000), Lane::Main, Packet::Ping(""), &s), Step::Pong(""));
    session.resume_heartbeat(after(600_000));
    assert_eq!(session.handle_timeout(after(644_999), &s), Due::Nothing);
    assert_eq!(session.handle_timeout(after(645_000), &s), Due::Fail(CloseReason::PingTimeout));
}
