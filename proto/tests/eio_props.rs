//! Engine.IO's laws: what is written is read again, and sessions keep their promises under any script.

use proptest::prelude::*;
use sockeye_proto::DecodeError;
use sockeye_proto::eio::payload_v3::{self, Piece};
use sockeye_proto::eio::{Packet, Request, RequestError, decode_payload, encode_payload, request};

#[allow(unreachable_pub, dead_code)]
#[path = "../fuzz/src/bodies/mod.rs"]
mod bodies;

/// Text without the separator, which no JSON contains unescaped.
const TEXT: &str = "[^\u{1e}]{0,40}";

/// A packet that outlives the strings it was made of.
#[derive(Clone, Debug)]
enum Made {
    Text(u8, String),
    Binary(Vec<u8>),
}

impl Made {
    fn packet(&self) -> Packet<'_> {
        match self {
            Self::Text(0, text) => Packet::Open(text),
            Self::Text(1, _) => Packet::Close,
            Self::Text(2, text) => Packet::Ping(text),
            Self::Text(3, text) => Packet::Pong(text),
            Self::Text(4, text) => Packet::Message(text.into()),
            Self::Text(5, _) => Packet::Upgrade,
            Self::Text(..) => Packet::Noop,
            Self::Binary(data) => Packet::Binary(data.into()),
        }
    }
}

fn made() -> impl Strategy<Value = Made> {
    prop_oneof![
        3 => (0..7u8, TEXT).prop_map(|(kind, text)| Made::Text(kind, text)),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(Made::Binary),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn packets_survive(made in made()) {
        let mut out = Vec::new();
        made.packet().encode_text(&mut out);
        let text = String::from_utf8(out).expect("a packet's text form is text");
        prop_assert_eq!(Packet::decode_text(&text), Ok(made.packet()));
    }

    #[test]
    fn payloads_survive(made in prop::collection::vec(made(), 1..20)) {
        let packets: Vec<_> = made.iter().map(Made::packet).collect();
        let mut out = Vec::new();
        encode_payload(&packets, &mut out);
        let body = String::from_utf8(out).expect("a payload is text");
        let read: Result<Vec<_>, _> = decode_payload(&body, 20).collect();
        prop_assert_eq!(read, Ok(packets));
        // One packet less than there are: all but the last, then the error.
        let short: Vec<_> = decode_payload(&body, made.len() - 1).collect();
        prop_assert_eq!(short.len(), made.len());
        prop_assert_eq!(short.last(), Some(&Err(DecodeError::TooManyPackets)));
    }

    #[test]
    fn payloads_of_version_three_survive(made in prop::collection::vec(made(), 1..20)) {
        let packets: Vec<_> = made.iter().map(Made::packet).collect();
        let (mut text, mut octets) = (Vec::new(), Vec::new());
        payload_v3::encode_text(&packets, &mut text);
        payload_v3::encode_octets(&packets, &mut octets);
        let text = String::from_utf8(text).expect("a text payload is text");
        let read: Result<Vec<_>, _> =
            payload_v3::decode_text(&text, 20).map(|piece| piece.and_then(Piece::decode)).collect();
        prop_assert_eq!(read.as_ref(), Ok(&packets));
        let read: Result<Vec<_>, _> =
            payload_v3::decode_octets(&octets, 20).map(|piece| piece.and_then(Piece::decode)).collect();
        prop_assert_eq!(read, Ok(packets));
        let short: Vec<_> = payload_v3::decode_text(&text, made.len() - 1).collect();
        prop_assert_eq!((short.len(), short.last()), (made.len(), Some(&Err(DecodeError::TooManyPackets))));
    }

    #[test]
    fn any_text_is_a_payload_of_version_three_or_not(limit in 0..20u8, body in "([0-9]{0,2}:?[0-9b:A-Za-zÃ©é😀]{0,12}){0,6}") {
        bodies::eio_v3::text(&[&[limit], body.as_bytes()].concat());
    }

    #[test]
    fn any_octets_are_a_payload_of_version_three_or_not(
        limit in 0..20u8,
        body in prop::collection::vec(prop_oneof![0..10u8, Just(255), any::<u8>()], 0..80),
    ) {
        bodies::eio_v3::octets(&[&[limit], &body[..]].concat());
    }

    #[test]
    fn scripts_and_forms_of_jsonp_are_faithful(text in "[\\\\n\n\"<\u{2028}+%&=é0-9]{0,30}") {
        bodies::eio_v3::jsonp(text.as_bytes());
    }

    #[test]
    fn any_text_is_a_payload_or_not(limit in 0..20u8, body in "[0-9b\u{1e}A-Za-z=é😀]{0,60}") {
        bodies::eio::payload(&[&[limit], body.as_bytes()].concat());
    }

    #[test]
    fn any_query_is_a_request_or_not(
        how in any::<u8>(),
        query in "((EIO|transport|sid|t|j|b64|%73id|%)(=(3|4|polling|websocket|%34|a-_|%|é)?)?&?){0,6}",
    ) {
        bodies::eio::request(&[&[how], query.as_bytes()].concat());
    }

    #[test]
    fn other_keys_change_nothing(before in "(&?x[a-z]{0,5}=[^&]{0,5}){0,3}", after in "(&[A-DF-Z]+(=[^&]*)?){0,3}") {
        let query = format!("{before}&EIO=4&transport=polling&sid=abc{after}");
        prop_assert_eq!(
            request::parse(request::Method::Get, &query, false, false),
            Ok(Request::Poll { sid: "abc" }),
        );
        prop_assert_eq!(
            request::parse(request::Method::Other, &query, false, false),
            Err(RequestError::BadRequest),
        );
    }

    #[test]
    fn sessions_keep_their_promises(script in prop::collection::vec((0..14u8, any::<bool>(), 0..120u8), 0..60), begin in 0..8u8) {
        let mut data = vec![begin];
        data.extend(script.iter().flat_map(|(act, probe, wait)| [act | u8::from(*probe) << 7, *wait]));
        bodies::eio::session(&data);
    }
}
