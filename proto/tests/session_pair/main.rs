//! Whole lives of sessions on virtual time: an hour takes microseconds, and every race can be had by its seed.

mod client;
mod pair;
mod server;

use std::time::Duration;

use client::Manners;
use pair::{Act, Pair};
use proptest::prelude::*;
use sockeye_proto::eio::{CloseReason, Settings, TransportKind};

const GOOD: Manners = Manners { deaf: false, never_upgrades: false };
const MINUTE: u64 = 60_000;

fn pair(transport: TransportKind, manners: Manners) -> Pair {
    Pair::new(transport, Settings::default(), manners, 40, 7)
}

fn polling() -> Pair {
    pair(TransportKind::Polling, GOOD)
}

fn words(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{prefix}{i}")).collect()
}

#[test]
fn a_good_client_stays_for_an_hour_on_either_transport() {
    for transport in [TransportKind::Polling, TransportKind::WebSocket] {
        let mut pair = pair(transport, GOOD);
        pair.at(5_000, Act::ClientSays("hello".into()));
        pair.at(6_000, Act::ServerSays("welcome".into()));
        pair.run(60 * MINUTE);
        assert_eq!((pair.closed, pair.client_gave_up), (None, None), "{transport:?}");
        // One each 25 s, and what the pongs took.
        assert!((135..=144).contains(&pair.pings), "{} pings", pair.pings);
        assert_eq!(pair.at_server, ["hello"]);
        assert_eq!(pair.at_client(), ["welcome"]);
    }
}

#[test]
fn a_client_without_pongs_is_closed_after_interval_and_timeout() {
    for transport in [TransportKind::Polling, TransportKind::WebSocket] {
        let mut pair = pair(transport, Manners { deaf: true, ..GOOD });
        pair.at(1_000, Act::ClientSays("still here".into()));
        pair.at(44_000, Act::ClientSays("messages are no pongs".into()));
        pair.run(10 * MINUTE);
        assert_eq!(pair.closed, Some((45_000, CloseReason::PingTimeout)), "{transport:?}");
        assert_eq!(pair.pings, 1);
    }
}

#[test]
fn a_client_that_vanished_is_found_out() {
    for transport in [TransportKind::Polling, TransportKind::WebSocket] {
        let mut pair = pair(transport, GOOD);
        pair.at(100_000, Act::Vanish);
        pair.run(10 * MINUTE);
        let (when, reason) = pair.closed.expect("closed");
        assert_eq!(reason, CloseReason::PingTimeout);
        assert!((100_000..=145_100).contains(&when), "{when}");
    }
}

#[test]
fn a_client_that_leaves_is_gone_at_once() {
    for transport in [TransportKind::Polling, TransportKind::WebSocket] {
        let mut pair = pair(transport, GOOD);
        pair.at(1_000, Act::ClientSays("bye".into()));
        pair.at(2_000, Act::Leave);
        pair.run(MINUTE);
        let (when, reason) = pair.closed.expect("closed");
        assert_eq!(reason, CloseReason::TransportClose);
        assert!(when <= 2_040);
        assert_eq!(pair.at_server, ["bye"]);
    }
}

#[test]
fn upgrades_while_both_sides_talk() {
    let mut pair = polling();
    for i in 0..100 {
        pair.at(900 + i * 5, Act::ClientSays(format!("c{i}")));
        pair.at(901 + i * 5, Act::ServerSays(format!("s{i}")));
    }
    pair.at(1_000, Act::Upgrade);
    pair.run(5 * MINUTE);
    assert_eq!(pair.session.transport(), TransportKind::WebSocket);
    assert_eq!(pair.at_server, words("c", 100));
    assert_eq!(pair.at_client(), words("s", 100));
    assert_eq!((pair.closed, pair.client_gave_up), (None, None));
    assert!(pair.probes_dropped.is_empty() && pair.refused.is_empty());
}

#[test]
fn an_idle_session_upgrades_because_its_poll_is_ended() {
    let mut pair = polling();
    pair.at(1_000, Act::Upgrade);
    pair.run(1_500);
    assert_eq!(pair.session.transport(), TransportKind::WebSocket);
}

#[test]
fn a_probe_without_an_upgrade_is_dropped_and_polling_goes_on() {
    let mut pair = pair(TransportKind::Polling, Manners { never_upgrades: true, ..GOOD });
    pair.at(1_000, Act::Upgrade);
    pair.at(5_000, Act::ServerSays("meanwhile".into()));
    pair.at(20_000, Act::ClientSays("after".into()));
    pair.run(5 * MINUTE);
    assert_eq!(pair.session.transport(), TransportKind::Polling);
    assert_eq!(pair.probes_dropped.len(), 1);
    assert!((11_000..=11_040).contains(&pair.probes_dropped[0]));
    assert_eq!(pair.at_client(), ["meanwhile"]);
    assert_eq!(pair.at_server, ["after"]);
    assert_eq!(pair.closed, None);
}

#[test]
fn a_lost_probe_can_be_followed_by_another() {
    let mut pair = polling();
    pair.at(1_000, Act::Upgrade);
    pair.at(1_001, Act::LoseProbe);
    pair.at(2_000, Act::Upgrade);
    pair.at(3_000, Act::ServerSays("on websocket".into()));
    pair.run(MINUTE);
    assert_eq!(pair.session.transport(), TransportKind::WebSocket);
    assert_eq!(pair.at_client(), ["on websocket"]);
    assert_eq!(pair.closed, None);
}

#[test]
fn nonsense_on_a_probe_harms_nobody() {
    for nonsense in ["5", "4early", "1", "3probe", "2", "6"] {
        let mut pair = pair(TransportKind::Polling, Manners { never_upgrades: true, ..GOOD });
        pair.at(1_000, Act::Upgrade);
        // "5" is the right word, but a second time it comes by the session's own transport and means nothing.
        pair.at(2_000, Act::Raw(nonsense));
        pair.at(2_001, Act::Raw(nonsense));
        pair.run(MINUTE);
        let upgraded = pair.session.transport() == TransportKind::WebSocket;
        assert_eq!(upgraded, nonsense == "5");
        assert_eq!(pair.probes_dropped.len(), usize::from(!upgraded), "{nonsense}");
        assert!(!matches!(pair.closed, Some((when, _)) if when < 45_000), "{nonsense}: {:?}", pair.closed);
        assert!(pair.at_server.is_empty());
    }
}

#[test]
fn a_clients_ping_and_garbage_close_the_session() {
    for (text, reason) in
        [("2", CloseReason::TransportError), ("x", CloseReason::ParseError), ("", CloseReason::ParseError)]
    {
        let mut pair = pair(TransportKind::WebSocket, GOOD);
        pair.at(1_000, Act::Raw(text));
        pair.run(MINUTE);
        assert_eq!(pair.closed.map(|(_, reason)| reason), Some(reason));
    }
}

#[test]
fn overlapping_polls_close_the_session() {
    let mut pair = polling();
    pair.at(1_000, Act::PollTwice);
    pair.run(2_000);
    assert_eq!(pair.closed.map(|(_, reason)| reason), Some(CloseReason::TransportError));
}

#[test]
fn a_poll_behind_the_upgrade_is_refused_and_nothing_else() {
    let mut pair = polling();
    pair.at(1_000, Act::Upgrade);
    pair.at(3_000, Act::PollTwice);
    pair.run(MINUTE);
    assert_eq!(pair.refused, [400]);
    assert_eq!(pair.closed, None);
}

/// While a node does not read a client, neither side may conclude that the other is gone.
#[test]
fn a_pause_of_ten_minutes_kills_nobody() {
    for begin in (1_000..51_000).step_by(997) {
        let mut pair = pair(TransportKind::WebSocket, GOOD);
        pair.at(begin, Act::Pause(true));
        pair.at(begin + 10, Act::ClientSays("patience".into()));
        pair.at(begin + 10 * MINUTE, Act::Pause(false));
        pair.run(20 * MINUTE);
        assert_eq!((pair.closed, pair.client_gave_up), (None, None), "paused at {begin}");
        assert_eq!(pair.at_server, ["patience"]);
    }
}

#[test]
fn a_client_that_vanishes_in_a_pause_is_found_out_afterwards() {
    let mut pair = pair(TransportKind::WebSocket, GOOD);
    pair.at(1_000, Act::Pause(true));
    pair.at(1_500, Act::Vanish);
    pair.at(10 * MINUTE, Act::Pause(false));
    pair.run(20 * MINUTE);
    assert_eq!(pair.closed, Some((10 * MINUTE + 20_000, CloseReason::PingTimeout)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whenever the upgrade happens, whatever the network's delays, and with heartbeats in between: every message
    /// arrives once and in order.
    #[test]
    fn no_race_loses_or_reorders_a_message(
        seed in any::<u64>(),
        delay in 1..300u64,
        upgrade in 0..3_000u64,
        spacing in 1..120u64,
        interval in 200..2_000u64,
        lose in prop::option::of(1..1_000u64),
    ) {
        let settings = Settings {
            ping_interval: Duration::from_millis(interval),
            // Three messages at most lie between a ping and its pong: a poll under way, the ping, a post in the queue.
            ping_timeout: Duration::from_millis(6 * delay),
            upgrade_timeout: Duration::from_millis(20 * delay),
            ..Settings::default()
        };
        let mut pair = Pair::new(TransportKind::Polling, settings, GOOD, delay, seed);
        for i in 0..40 {
            pair.at(i * spacing, Act::ClientSays(format!("c{i}")));
            pair.at(i * spacing + seed % 3, Act::ServerSays(format!("s{i}")));
        }
        pair.at(upgrade, Act::Upgrade);
        if let Some(lose) = lose.filter(|lose| *lose < delay) {
            // Before the answer can be there, so that the client has not moved yet.
            pair.at(upgrade + lose.min(1), Act::LoseProbe);
            pair.at(upgrade + 10 * delay + 1_000, Act::Upgrade);
        }
        pair.run(20_000 + 40 * delay);
        prop_assert_eq!((pair.closed, pair.client_gave_up), (None, None));
        prop_assert_eq!(pair.session.transport(), TransportKind::WebSocket);
        prop_assert_eq!(&pair.at_server, &words("c", 40));
        prop_assert_eq!(pair.at_client(), &words("s", 40)[..]);
        prop_assert!(pair.refused.is_empty());
    }
}
