//! Our WebSocket decoder against tungstenite's, and against itself with other pieces: over streams of frames that are
//! mostly right and partly spoilt. What may differ is listed at `bodies::ws::compare`.

use proptest::prelude::*;
use sockeye_proto::ws::{Opcode, header, write_frame};

#[allow(unreachable_pub, dead_code)]
#[path = "../fuzz/src/bodies/mod.rs"]
mod bodies;

use bodies::ws::{End, Owned, compare, ours};

const MAX: usize = 300;

fn frame(first: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let (bytes, used) = header(Opcode::Continuation, payload.len());
    let mut out = bytes[..used].to_vec();
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => "[a-z\"\\[\\],0-9]{0,200}",
        3 => ".{0,60}",
        1 => "é{0,160}",
    ]
    .prop_map(String::into_bytes)
}

/// Cuts a message into fragments at any bytes, with control frames between them.
fn fragments(opcode: u8, data: &[u8], cuts: &[usize], mask: [u8; 4]) -> Vec<u8> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (data.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(data.len());
    let (mut out, mut from) = (Vec::new(), 0);
    for (i, to) in cuts.iter().enumerate() {
        let first = if i == 0 { opcode } else { 0 } | if i + 1 == cuts.len() { 0x80 } else { 0 };
        out.extend(frame(first, &data[from..*to], mask));
        if i + 1 < cuts.len() && to % 3 == 0 {
            out.extend(frame(
                if to % 2 == 0 { 0x89 } else { 0x8a },
                &data[from..*to.min(&(from + 125))],
                mask,
            ));
        }
        from = *to;
    }
    out
}

/// Bytes of one message or control frame, nearly always right.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let mask = any::<[u8; 4]>();
    let cuts = || prop::collection::vec(any::<usize>(), 0..5);
    prop_oneof![
        6 => (text(), mask).prop_map(|(data, mask)| frame(0x81, &data, mask)),
        2 => (prop::collection::vec(any::<u8>(), 0..200), any::<[u8; 4]>()).prop_map(|(data, mask)| frame(0x82, &data, mask)),
        4 => (text(), cuts(), any::<[u8; 4]>()).prop_map(|(data, cuts, mask)| fragments(1, &data, &cuts, mask)),
        1 => (prop::collection::vec(any::<u8>(), 0..200), cuts(), any::<[u8; 4]>())
            .prop_map(|(data, cuts, mask)| fragments(2, &data, &cuts, mask)),
        2 => (0x89..=0x8au8, prop::collection::vec(any::<u8>(), 0..126), any::<[u8; 4]>())
            .prop_map(|(first, data, mask)| frame(first, &data, mask)),
        1 => (998..1020u16, ".{0,20}", any::<[u8; 4]>())
            .prop_map(|(code, reason, mask)| frame(0x88, &[&code.to_be_bytes(), reason.as_bytes()].concat(), mask)),
    ]
}

/// How to spoil a stream.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(usize, u8),
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    prop_oneof![
        3 => (any::<usize>(), 0..8u8).prop_map(|(at, bit)| Spoil::Flip(at, bit)),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Spoil::Set(at, byte)),
        1 => (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Spoil::Insert(at, byte)),
        1 => any::<usize>().prop_map(Spoil::Remove),
        2 => any::<usize>().prop_map(Spoil::Cut),
    ]
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop::collection::vec(piece(), 1..6).prop_map(|pieces| pieces.concat());
    (pieces, prop::collection::vec(spoil(), 0..3)).prop_map(|(mut bytes, spoils)| {
        for spoil in spoils {
            let len = bytes.len().max(1);
            match spoil {
                Spoil::Flip(at, bit) => bytes.get_mut(at % len).map_or((), |byte| *byte ^= 1 << bit),
                Spoil::Set(at, new) => bytes.get_mut(at % len).map_or((), |byte| *byte = new),
                Spoil::Insert(at, new) => bytes.insert(at % len, new),
                Spoil::Remove(at) if !bytes.is_empty() => drop(bytes.remove(at % len)),
                Spoil::Remove(_) => {}
                Spoil::Cut(at) => bytes.truncate(at % len),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn both_decoders_agree(bytes in stream()) {
        compare(&bytes, MAX);
    }

    #[test]
    fn pieces_do_not_matter(bytes in stream(), chunks in prop::collection::vec(any::<u8>(), 1..6)) {
        let whole = ours(&bytes, MAX, &[]);
        prop_assert_eq!(&whole, &ours(&bytes, MAX, &[1]));
        prop_assert_eq!(&whole, &ours(&bytes, MAX, &[0x80]));
        prop_assert_eq!(&whole, &ours(&bytes, MAX, &chunks));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_is_sent_arrives(data in text(), cuts in prop::collection::vec(any::<usize>(), 0..9), mask in any::<[u8; 4]>()) {
        prop_assume!(data.len() <= MAX);
        let bytes = fragments(1, &data, &cuts, mask);
        let (frames, end) = ours(&bytes, MAX, &[]);
        prop_assert_eq!(end, End::Open);
        let text = String::from_utf8(data).expect("text");
        prop_assert_eq!(frames.last(), Some(&Owned::Text(text)));
    }

    /// Our frames, read by tungstenite as a client reads them.
    #[test]
    fn tungstenite_reads_what_we_write(messages in prop::collection::vec((any::<bool>(), ".{0,200}"), 0..9)) {
        let mut bytes = Vec::new();
        for (binary, text) in &messages {
            write_frame(&mut bytes, if *binary { Opcode::Binary } else { Opcode::Text }, text.as_bytes());
        }
        let mut wire = std::io::Cursor::new(bytes);
        let mut client = tungstenite::WebSocket::from_raw_socket(&mut wire, tungstenite::protocol::Role::Client, None);
        for (binary, text) in &messages {
            let message = client.read().expect("a whole message");
            prop_assert_eq!(message.is_binary(), *binary);
            prop_assert_eq!(message.into_data(), text.as_bytes());
        }
    }
}
