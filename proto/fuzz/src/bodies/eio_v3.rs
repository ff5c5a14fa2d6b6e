//! Engine.IO 3: payloads against naive readings of them, and scripts and forms of JSONP.

use sockeye_proto::eio::jsonp::{self, Index};
use sockeye_proto::eio::payload_v3::{
    Dialect, Piece, decode_octets, decode_text, double, encode_octets, encode_text, push_text, read_text,
    utf16_len,
};
use sockeye_proto::{DecodeError, eio::Packet};

/// One byte (the limit of packets), then a text payload.
pub fn text(data: &[u8]) {
    let [limit, body @ ..] = data else { return };
    let Ok(body) = std::str::from_utf8(body) else { return };
    let limit = usize::from(*limit);
    let pieces: Vec<_> = decode_text(body, limit).collect();

    // The naive reading is JavaScript's: everything is UTF-16.
    let units: Vec<u16> = body.encode_utf16().collect();
    let (mut at, mut naive) = (0, Vec::new());
    while at < units.len() && naive.len() < limit {
        let Some(colon) = units[at..].iter().position(|unit| *unit == u16::from(b':')) else { break };
        let digits = String::from_utf16_lossy(&units[at..at + colon]);
        if digits.len() > 10 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            break;
        }
        let Ok(length) = digits.parse::<usize>() else { break };
        let begin = at + colon + 1;
        let Some(text) = units.get(begin..begin.saturating_add(length)) else { break };
        let Ok(text) = String::from_utf16(text) else { break };
        naive.push(text);
        at = begin + length;
    }
    let complete = at == units.len() && !naive.is_empty();
    assert_eq!(pieces.len(), naive.len() + usize::from(!complete));
    for (piece, naive) in pieces.iter().zip(&naive) {
        assert_eq!(*piece, Ok(Piece::Text(naive)));
    }
    assert!(complete || pieces.last().is_some_and(Result::is_err));

    for piece in pieces.iter().flatten() {
        survive(*piece);
        let Piece::Text(text) = piece else { continue };
        assert_eq!(utf16_len(text), text.encode_utf16().count());
        // Whatever was written in either way is read in the same, once the client is known.
        assert_eq!(read_text(text, Dialect::Plain), ((*text).into(), Dialect::Plain));
        let doubled = double(text);
        let expected = if text.is_ascii() { Dialect::Unknown } else { Dialect::Doubled };
        assert_eq!(read_text(&doubled, Dialect::Unknown), ((*text).into(), expected));
        let (_, learnt) = read_text(text, Dialect::Unknown);
        assert_eq!(learnt == Dialect::Unknown, text.is_ascii());
    }
}

/// One byte (the limit of packets), then a payload of octets.
pub fn octets(data: &[u8]) {
    let [limit, body @ ..] = data else { return };
    let limit = usize::from(*limit);
    let pieces: Vec<_> = decode_octets(body, limit).collect();
    assert!(pieces.len() <= limit + 1);
    let good: Vec<Piece<'_>> = pieces.iter().flatten().copied().collect();
    assert!(good.len() + 1 >= pieces.len(), "an error is the end");
    let size = |piece: &Piece<'_>| match piece {
        Piece::Text(text) => text.len(),
        Piece::Binary(data) => data.len(),
    };
    let least: usize = good.iter().map(|piece| 3 + size(piece)).sum();
    assert!(least <= body.len());
    if pieces.len() == good.len() {
        // Nothing was left out, but for leading zeros of lengths.
        let most: usize = good.iter().map(|piece| 12 + size(piece)).sum();
        assert!(body.len() <= most);
    }
    assert!(limit > 0 || pieces == [Err(DecodeError::TooManyPackets)]);
    good.into_iter().for_each(survive);
}

/// What was understood survives being written and read again, in both forms.
fn survive(piece: Piece<'_>) {
    let Ok(packet) = piece.decode() else { return };
    let mut out = Vec::new();
    encode_octets([&packet], &mut out);
    let read: Vec<_> = decode_octets(&out, 1).map(|piece| piece.and_then(Piece::decode)).collect();
    assert_eq!(read, [Ok(packet.clone())]);
    let mut out = Vec::new();
    encode_text([&packet], &mut out);
    let out = std::str::from_utf8(&out).expect("text");
    let read: Vec<_> = decode_text(out, 1).map(|piece| piece.and_then(Piece::decode)).collect();
    assert_eq!(read, [Ok(packet.clone())]);
    if let Packet::Message(text) = &packet {
        let mut again = Vec::new();
        push_text(&format!("4{text}"), &mut again);
        assert_eq!(again, out.as_bytes());
    }
}

/// A form of JSONP, or any text to be put into a script.
pub fn jsonp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(payload) = jsonp::payload(text) {
        assert!(payload.len() <= text.len());
    }
    // As clients write it: newlines escaped, and what looks like one.
    let escaped = text.replace("\\n", "\\\n").replace('\n', "\\n");
    let mut form = String::from("d=");
    for byte in escaped.bytes() {
        form.push_str(&format!("%{byte:02x}"));
    }
    // A backslash before a newline cannot be told from an escaped one. JSON has no newlines, so that it never comes.
    if !text.contains("\\\n") {
        assert_eq!(jsonp::payload(&form).as_deref(), Ok(text));
    }

    let script = Index::parse("5").expect("a number").script(text);
    let string = script.strip_prefix("___eio[5](").and_then(|rest| rest.strip_suffix(");"));
    let string = string.expect("one call");
    assert_eq!(serde_json::from_str::<String>(string).as_deref().ok(), Some(text));
    assert!(!string.contains(['\n', '\r', '\u{2028}', '\u{2029}', '<']));
    if let Some(index) = Index::parse(text) {
        assert!(!text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit()));
        let number = text.trim_start_matches('0');
        let number = if number.is_empty() { "0" } else { number };
        assert_eq!(index.script(""), format!("___eio[{number}](\"\");"));
    }
}
