//! The decoder and encoder as a pair.

use super::*;
use crate::DecodeError;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A client's frame; `first` is its whole first byte.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let (bytes, used) = header(Opcode::Continuation, payload.len());
    let mut out = bytes[..used].to_vec();
    out[0] = first;
    out[1] |= 0x80;
    out.extend_from_slice(&MASK);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    out
}

/// What came out, as text, and whether the decoder kept anything.
fn feed(decoder: &mut Decoder, bytes: &[u8], max: usize) -> (Vec<String>, Result<usize, DecodeError>) {
    let mut seen = Vec::new();
    let result = decoder.feed(&mut bytes.to_vec(), max, |frame| {
        seen.push(format!("{frame:?}"));
        Flow::Continue
    });
    (seen, result)
}

fn all(bytes: &[u8]) -> (Vec<String>, Result<usize, DecodeError>) {
    feed(&mut Decoder::new(), bytes, 1000)
}

/// The same bytes at once and one by one: the same frames, and the same end.
#[track_caller]
fn check(bytes: &[u8], frames: &[&str], error: Option<DecodeError>) {
    let (seen, result) = all(bytes);
    assert_eq!(seen, frames);
    assert_eq!(result.err(), error);
    let mut decoder = Decoder::new();
    let (mut slowly, mut end) = (Vec::new(), None);
    for byte in bytes {
        let (mut seen, result) = feed(&mut decoder, &[*byte], 1000);
        slowly.append(&mut seen);
        end = end.or(result.err());
    }
    assert_eq!(slowly, frames);
    assert_eq!(end, error);
}

#[test]
fn is_small_when_idle() {
    assert!(size_of::<Decoder>() <= 16);
}

#[test]
fn whole_frames() {
    let bytes = [
        frame(0x81, b"4hello"),
        frame(0x82, &[0, 255]),
        frame(0x89, b"?"),
        frame(0x8a, b""),
        frame(0x81, "ö".repeat(80).as_bytes()),
        frame(0x88, &[3, 232, b'o', b'k']),
    ]
    .concat();
    let long = format!("Text({:?})", "ö".repeat(80));
    let close = "Close { code: Some(1000), reason: \"ok\" }";
    check(&bytes, &["Text(\"4hello\")", "Binary([0, 255])", "Ping([63])", "Pong([])", &long, close], None);
}

#[test]
fn fragments_with_control_frames_between() {
    let bytes = [
        frame(0x01, "aé€".as_bytes().split_at(2).0),
        frame(0x89, b"1"),
        frame(0x00, b""),
        frame(0x00, "aé€".as_bytes().split_at(2).1.split_at(2).0),
        frame(0x8a, b"2"),
        frame(0x80, &"€".as_bytes()[1..]),
        frame(0x02, b"x"),
        frame(0x80, b"y"),
    ]
    .concat();
    check(&bytes, &["Ping([49])", "Pong([50])", "Text(\"aé€\")", "Binary([120, 121])"], None);
}

#[test]
fn keeps_only_what_is_incomplete() {
    let bytes = [frame(0x81, b"one"), frame(0x81, b"three")].concat();
    let mut decoder = Decoder::new();
    let cut = bytes.len() - 2;
    let (seen, _) = feed(&mut decoder, &bytes[..cut], 1000);
    assert_eq!(seen, ["Text(\"one\")"]);
    assert!(!decoder.is_idle());
    assert_eq!(decoder.buffered(), 3);
    let (seen, _) = feed(&mut decoder, &bytes[cut..], 1000);
    assert_eq!(seen, ["Text(\"three\")"]);
    assert!(decoder.is_idle());
    assert_eq!(decoder.buffered(), 0);
}

#[test]
fn pauses_behind_any_frame() {
    let mut bytes =
        [frame(0x81, b"1"), frame(0x01, b"2"), frame(0x89, b"p"), frame(0x80, b"3"), frame(0x81, b"4")]
            .concat();
    let mut decoder = Decoder::new();
    let (mut seen, mut at, mut calls) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        at += decoder
            .feed(&mut bytes[at..], 1000, |frame| {
                seen.push(format!("{frame:?}"));
                Flow::Pause
            })
            .unwrap();
        calls += 1;
        assert_eq!(seen.len(), calls, "one frame a call");
    }
    assert_eq!(seen, ["Text(\"1\")", "Ping([112])", "Text(\"23\")", "Text(\"4\")"]);
}

#[test]
fn nothing_is_read_behind_a_close_frame_or_an_error() {
    let mut decoder = Decoder::new();
    let bytes = [frame(0x88, b""), frame(0x81, b"late"), vec![0xff; 20]].concat();
    let (seen, result) = feed(&mut decoder, &bytes, 1000);
    assert_eq!(seen, ["Close { code: None, reason: \"\" }"]);
    assert_eq!(result, Ok(bytes.len()));
    assert!(decoder.is_idle());
    assert_eq!(feed(&mut decoder, &frame(0x81, b"later"), 1000), (vec![], Ok(11)));

    let mut decoder = Decoder::new();
    assert_eq!(feed(&mut decoder, &[0xff, 0], 1000).1, Err(DecodeError::ReservedBits));
    assert_eq!(feed(&mut decoder, &frame(0x81, b"later"), 1000), (vec![], Ok(11)));
}

#[test]
fn refuses_what_the_rfc_forbids() {
    use DecodeError as E;
    for (bytes, error) in [
        (frame(0xc1, b""), E::ReservedBits),
        (frame(0x91, b""), E::ReservedBits),
        (frame(0x83, b""), E::ReservedOpcode),
        (frame(0x8f, b""), E::ReservedOpcode),
        (vec![0x81, 1, b'x'], E::Unmasked),
        (vec![0x88, 0], E::Unmasked),
        (frame(0x89, &[0; 126]), E::ControlTooLong),
        (vec![0x89, 0xff, 255, 255, 255, 255, 255, 255, 255, 255], E::ControlTooLong),
        (frame(0x09, b""), E::ControlFragmented),
        (frame(0x80, b"x"), E::LoneContinuation),
        ([frame(0x01, b"a"), frame(0x81, b"b")].concat(), E::InterruptedMessage),
        ([frame(0x01, b"a"), frame(0x02, b"b")].concat(), E::InterruptedMessage),
        (frame(0x81, &[0xc3]), E::BadUtf8),
        (frame(0x81, &[0xed, 0xa0, 0x80]), E::BadUtf8),
        ([frame(0x01, &[0xc3]), frame(0x80, b"")].concat(), E::BadUtf8),
        ([frame(0x01, &[0xe2, 0x82]), frame(0x00, b"x")].concat(), E::BadUtf8),
        (frame(0x88, &[3]), E::BadClose),
        (frame(0x88, &[3, 236]), E::BadClose),
        (frame(0x88, &[0, 0]), E::BadClose),
        (frame(0x88, &[3, 232, 0xff]), E::BadUtf8),
        (frame(0x81, &[b'x'; 1001]), E::FrameTooLarge),
        ([frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 401])].concat(), E::FrameTooLarge),
        (vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], E::FrameTooLarge),
        ([frame(0x01, b""), frame(0x00, b"").repeat(1000)].concat(), E::TooManyFragments),
    ] {
        check(&bytes, &[], Some(error));
    }
}

#[test]
fn limits_are_inclusive_and_do_not_touch_control_frames() {
    check(&frame(0x81, &[b'x'; 1000]), &[&format!("Text({:?})", "x".repeat(1000))], None);
    let (seen, result) = feed(&mut Decoder::new(), &[frame(0x89, &[1; 125]), frame(0x8a, &[])].concat(), 0);
    assert_eq!((seen.len(), result.is_ok()), (2, true));
    let (seen, result) = feed(&mut Decoder::new(), &frame(0x81, b""), 0);
    assert_eq!((seen.len(), result.is_ok()), (1, true));
}

#[test]
fn lengths_need_not_be_minimal() {
    let mut bytes = vec![0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, b'x'];
    bytes.extend_from_slice(&[0x8a, 0xfe, 0, 1, 0, 0, 0, 0, b'y']);
    check(&bytes, &["Text(\"x\")", "Pong([121])"], None);
}

#[test]
fn text_is_refused_as_soon_as_it_is_wrong() {
    let bytes = frame(0x81, b"ok so far \xff and on");
    let mut decoder = Decoder::new();
    let (_, result) = feed(&mut decoder, &bytes[..6 + 10], 1000);
    assert!(result.is_ok());
    let (_, result) = feed(&mut decoder, &bytes[16..17], 1000);
    assert_eq!(result, Err(DecodeError::BadUtf8));
}

#[test]
fn every_close_code_that_may_be_sent_is_understood() {
    for code in 0..=u16::MAX {
        let valid = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
        let (_, result) = all(&frame(0x88, &code.to_be_bytes()));
        assert_eq!(result.is_ok(), valid, "{code}");
    }
}

#[test]
fn server_frames_are_read_by_the_same_layout() {
    for len in [0, 1, 125, 126, 65_535, 65_536] {
        let (bytes, used) = header(Opcode::Binary, len);
        let mut masked = bytes[..used].to_vec();
        masked[1] |= 0x80;
        masked.extend_from_slice(&[0; 4]);
        masked.resize(used + 4 + len, 9);
        let mut got = None;
        let result = Decoder::new().feed(&mut masked, len, |frame| {
            if let Frame::Binary(data) = frame {
                got = Some(data.len());
            }
            Flow::Continue
        });
        assert_eq!((result, got), (Ok(used + 4 + len), Some(len)));
    }
}
