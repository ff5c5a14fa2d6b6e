//! Engine.IO: payloads and requests against naive readings of them, the session against its promises.

use std::time::Duration;

use sockeye_proto::Time;
use sockeye_proto::eio::request::{Method, Request, RequestError, parse};
use sockeye_proto::eio::{
    CloseReason, Due, Lane, Packet, Protocol, Session, Settings, Step, TransportKind, decode_payload,
    encode_payload,
};

/// One byte (the limit of packets), then a polling body.
pub fn payload(data: &[u8]) {
    let [limit, body @ ..] = data else { return };
    let Ok(body) = std::str::from_utf8(body) else { return };
    let limit = usize::from(*limit);
    let items: Vec<_> = decode_payload(body, limit).collect();

    // The naive reading: all pieces, up to the limit or the first that is no packet.
    let pieces = body.split('\u{1e}');
    let naive = pieces.clone().take(limit).map(Packet::decode_text);
    let good = naive.clone().take_while(Result::is_ok).count();
    let complete = good == pieces.count();
    assert_eq!(items.len(), if complete { good } else { good + 1 });
    assert!(items.iter().zip(naive).all(|(a, b)| *a == b));
    assert!(items[..good].iter().all(Result::is_ok));

    // What was understood survives being written and read again.
    let packets: Vec<_> = items.into_iter().flatten().collect();
    let mut out = Vec::new();
    encode_payload(&packets, &mut out);
    let again = std::str::from_utf8(&out).expect("packets are text");
    if !packets.is_empty() {
        let read: Result<Vec<_>, _> = decode_payload(again, packets.len()).collect();
        assert_eq!(read.as_ref(), Ok(&packets));
    }
}

/// One byte (method, whether it is a WebSocket handshake and whether version 3 is allowed), then a query.
pub fn request(data: &[u8]) {
    let [how, query @ ..] = data else { return };
    let Ok(query) = std::str::from_utf8(query) else { return };
    let upgrade = how & 0x80 != 0;
    let allow_v3 = how & 0x40 != 0;
    let method = match how & 0x3f {
        0 => Method::Get,
        1 => Method::Post,
        2 => Method::Options,
        3 => Method::Head,
        _ => Method::Other,
    };
    let result = parse(method, query, upgrade, allow_v3);
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let sid = pairs.find(|(key, _)| *key == "sid").map(|(_, value)| value);
    match result {
        Ok(Request::Open(opening)) => {
            assert_eq!(method, Method::Get);
            assert_eq!(upgrade, opening.transport == TransportKind::WebSocket);
            assert!(allow_v3 || opening.protocol == Protocol::V4);
            assert!(opening.protocol == Protocol::V3 || (!opening.base64 && opening.jsonp.is_none()));
            assert!(opening.jsonp.is_none() || (opening.base64 && !upgrade));
            assert!(sid.is_none_or(str::is_empty) || query.contains('%'));
        }
        Ok(Request::Poll { sid: found }) | Ok(Request::Post { sid: found }) => {
            assert!(!upgrade && !found.is_empty() && query.contains(found));
            assert!(sid == Some(found) || query.contains('%'));
        }
        Ok(Request::Upgrade { sid: found, .. }) => {
            assert!(upgrade && !found.is_empty() && query.contains(found));
        }
        Err(error) => {
            assert!(error != RequestError::UnknownSid && error != RequestError::Forbidden);
            assert_eq!(error.status(), 400);
        }
    }
}

/// A script for a session: each pair of bytes is an act and how long to wait before it.
///
/// # Panics
/// If the session breaks one of its promises: time stands still, deadlines that were handled come again, a transport
/// goes back, a heartbeat in time does not count, a missing one is forgiven.
pub fn session(data: &[u8]) {
    let [begin, script @ ..] = data else { return };
    let s = Settings {
        ping_interval: Duration::from_millis(100),
        ping_timeout: Duration::from_millis(80),
        upgrade_timeout: Duration::from_millis(60),
        max_payload: 1000,
        allow_upgrades: begin & 2 == 0,
    };
    let transport = if begin & 1 == 0 { TransportKind::Polling } else { TransportKind::WebSocket };
    let protocol = if begin & 4 == 0 { Protocol::V4 } else { Protocol::V3 };
    let mut now = Time(u64::from(*begin));
    let mut session = Session::open(now, transport, protocol, &s);
    let (mut last_pong, mut paused, mut was_paused) = (now, false, false);

    for act in script.chunks_exact(2) {
        let before = session.transport();
        // Time passes, and every deadline in it is met exactly.
        let target = now.plus(Duration::from_millis(act[1].into()));
        while session.next_deadline() <= target {
            now = now.max(session.next_deadline());
            let deadline = session.next_deadline();
            match session.handle_timeout(now, &s) {
                Due::Nothing => panic!("a deadline without anything due"),
                Due::SendPing => {
                    assert_eq!(protocol, Protocol::V4);
                    assert!(session.next_deadline() > now || session.upgrading());
                }
                Due::DropProbe => assert!(!session.upgrading()),
                Due::Fail(reason) => {
                    assert_eq!(reason, CloseReason::PingTimeout);
                    let patience = match protocol {
                        Protocol::V4 => s.ping_timeout,
                        Protocol::V3 => s.ping_interval + s.ping_timeout,
                    };
                    assert!(!paused && deadline.since(last_pong) >= patience);
                    assert!(session.close(reason));
                }
            }
        }
        now = target;
        if !session.is_closed() && !was_paused {
            let longest = s.ping_interval + s.ping_timeout;
            assert!(now.since(last_pong) < longest, "a missing heartbeat was forgiven");
        }

        let lane = if act[0] & 0x80 == 0 { Lane::Main } else { Lane::Probe };
        let was_closed = session.is_closed();
        let packet = match act[0] & 0x7f {
            0 => Packet::Message("2[\"e\"]".into()),
            1 => Packet::Binary(vec![1].into()),
            2 => Packet::Pong(""),
            3 => Packet::Ping("probe"),
            4 => Packet::Upgrade,
            5 => Packet::Close,
            6 => Packet::Noop,
            7 => {
                let allowed = s.allow_upgrades && !session.upgrading() && before == TransportKind::Polling;
                assert_eq!(session.begin_probe(now, &s).is_ok(), allowed && !was_closed);
                continue;
            }
            8 => {
                session.probe_lost();
                continue;
            }
            9 => {
                session.pause_heartbeat(now, &s);
                (paused, was_paused) = (true, true);
                continue;
            }
            10 => {
                session.resume_heartbeat(now);
                paused = false;
                continue;
            }
            11 => {
                let started = session.poll_started();
                assert!(started.is_err() || session.poll_started().is_err());
                continue;
            }
            12 => {
                session.poll_ended();
                continue;
            }
            13 => {
                assert_eq!(session.close(CloseReason::ForcedClose), !was_closed);
                continue;
            }
            _ => continue,
        };
        let pong = matches!(packet, Packet::Pong(_)) && lane == Lane::Main;
        let upgrading = session.upgrading();
        match session.receive(now, lane, packet, &s) {
            Step::Ignore => {
                if pong && !was_closed {
                    last_pong = now;
                    was_paused = paused;
                }
            }
            Step::Pong(text) => {
                assert_eq!((protocol, lane, text), (Protocol::V3, Lane::Main, "probe"));
                last_pong = now;
                was_paused = paused;
            }
            Step::Text(_) | Step::Binary(_) | Step::ClosedByPeer => {
                assert!(lane == Lane::Main && !was_closed)
            }
            Step::Fail(reason) => assert_eq!((reason, lane), (CloseReason::TransportError, Lane::Main)),
            Step::ReplyProbe => assert!(lane == Lane::Probe && upgrading && session.polls_get_noop()),
            Step::Upgraded => {
                assert_eq!((before, session.transport()), (TransportKind::Polling, TransportKind::WebSocket));
                assert!(upgrading && !session.upgrading() && s.allow_upgrades);
            }
            Step::DropProbe => assert!(lane == Lane::Probe && !session.upgrading()),
        }
        assert!(before == session.transport() || lane == Lane::Probe);
    }
}
