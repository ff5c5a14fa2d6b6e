use super::*;

fn texts(body: &str, max: usize) -> Vec<Result<&str, DecodeError>> {
    let text = |piece| match piece {
        Piece::Text(text) => text,
        Piece::Binary(_) => panic!("text has no binary pieces"),
    };
    decode_text(body, max).map(|piece| piece.map(text)).collect()
}

#[test]
fn lengths_of_text_count_utf16_code_units() {
    // Recorded from socket.io 4.8 with a client of Socket.IO 2.
    let body = "45:451-[\"bin\",{\"_placeholder\":true,\"num\":0},\"é\"]10:b4AQID/w==15:42[\"txt\",\"€😀\"]";
    assert_eq!(
        texts(body, 16),
        [
            Ok("451-[\"bin\",{\"_placeholder\":true,\"num\":0},\"é\"]"),
            Ok("b4AQID/w=="),
            Ok("42[\"txt\",\"€😀\"]")
        ]
    );
    let packets: Vec<_> = decode_text(body, 16).map(|piece| piece.unwrap().decode().unwrap()).collect();
    let mut again = Vec::new();
    encode_text(&packets, &mut again);
    assert_eq!(String::from_utf8(again).unwrap(), body);
    assert_eq!((utf16_len("é€😀x"), utf16_len("")), (5, 0));
}

#[test]
fn octets_count_bytes() {
    // Recorded likewise, without `b64`.
    let body = b"\x00\x04\x06\xff451-[\"bin\",{\"_placeholder\":true,\"num\":0},\"\xc3\xa9\"]\x01\x05\xff\x04\x01\x02\x03\xff\
        \x00\x01\x09\xff42[\"txt\",\"\xe2\x82\xac\xf0\x9f\x98\x80\"]";
    let pieces: Vec<_> = decode_octets(body, 16).collect();
    assert_eq!(
        pieces,
        [
            Ok(Piece::Text("451-[\"bin\",{\"_placeholder\":true,\"num\":0},\"é\"]")),
            Ok(Piece::Binary(&[4, 1, 2, 3, 255])),
            Ok(Piece::Text("42[\"txt\",\"€😀\"]"))
        ]
    );
    let packets: Vec<_> = pieces.into_iter().map(|piece| piece.unwrap().decode().unwrap()).collect();
    let mut again = Vec::new();
    encode_octets(&packets, &mut again);
    assert_eq!(again, body);
}

#[test]
fn wrong_lengths_of_text_end_it() {
    let bad = |body: &str| assert_eq!(texts(body, 16).last(), Some(&Err(DecodeError::BadLength)), "{body}");
    for body in [
        "garbage",
        ":40",
        "2",
        "2:4",
        "3:40",
        "-1:4",
        "+1:4",
        " 1:4",
        "1.0:4",
        "0x1:4",
        "1e1:4",
        "2:40x",
        "2:402",
        "2:40:",
        "99999999999999999999:40",
        "18446744073709551617:4",
        "4294967297:4",
        "9999999999:4",
        // In the middle of a surrogate pair, of a character, of nothing.
        "3:4😀x",
        "2:4😀",
        "２:40",
    ] {
        bad(body);
    }
    assert_eq!(texts("", 16), [Err(DecodeError::EmptyPacket)]);
    assert_eq!(texts("2:4😀".trim_end(), 16), [Err(DecodeError::BadLength)]);
    assert_eq!(texts("3:4😀1:6", 16), [Ok("4😀"), Ok("6")]);
    // JavaScript takes leading zeros, and skips empty packets, which nobody sends and which are none.
    assert_eq!(texts("002:40", 16), [Ok("40")]);
    assert_eq!(texts("0:", 16), [Ok("")]);
    assert_eq!(Piece::Text("").decode(), Err(DecodeError::EmptyPacket));
}

#[test]
fn wrong_lengths_of_octets_end_them() {
    for body in [
        &[2, 1, 255, b'4'][..],
        b"1:4",
        &[0],
        &[0, 255, b'4'],
        &[0, 1],
        &[0, 1, b'4'],
        &[0, 2, 255, b'4'],
        &[1, 10, 255],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, b'4'],
        &[0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 255, b'4'],
    ] {
        assert_eq!(decode_octets(body, 16).last(), Some(Err(DecodeError::BadLength)), "{body:?}");
    }
    assert_eq!(decode_octets(&[], 16).last(), Some(Err(DecodeError::EmptyPacket)));
    assert_eq!(decode_octets(&[0, 2, 255, b'4', 0xff], 16).last(), Some(Err(DecodeError::BodyNotText)));
    assert_eq!(decode_octets(&[1, 0, 255], 16).last(), Some(Ok(Piece::Binary(&[]))));
}

#[test]
fn payloads_stop_at_the_limit() {
    let body = "1:6".repeat(10_000);
    let packets = texts(&body, 1024);
    assert_eq!((packets.len(), packets[1024]), (1025, Err(DecodeError::TooManyPackets)));
    assert_eq!(texts("1:61:6", 2), [Ok("6"), Ok("6")]);
    let body = [0, 1, 255, b'6'].repeat(10_000);
    assert_eq!(decode_octets(&body, 1024).count(), 1025);
    assert_eq!(decode_octets(&body, 1024).last(), Some(Err(DecodeError::TooManyPackets)));
    assert!(texts(&"0:".repeat(10_000), 1024).len() <= 1025, "empty packets count, too");
}

#[test]
fn clients_are_told_apart_by_what_they_write() {
    use Dialect::{Doubled, Plain, Unknown};
    let sent = |text: &str, dialect| {
        let (text, dialect) = read_text(text, dialect);
        (text.into_owned(), dialect)
    };
    for dialect in [Unknown, Plain, Doubled] {
        assert_eq!(sent("42[\"a\"]", dialect), ("42[\"a\"]".into(), dialect), "ASCII says nothing");
    }
    for text in ["é", "€", "😀", "☃ and é", "\u{9f}"] {
        assert_eq!(sent(text, Unknown), (text.into(), Plain));
        assert_eq!(sent(&double(text), Unknown), (text.into(), Doubled));
        assert_eq!(sent(&double(text), Doubled), (text.into(), Doubled));
        assert_eq!(sent(text, Plain), (text.into(), Plain));
    }
    assert_eq!(double("é"), "Ã©");
    assert_eq!(sent("Ã©", Plain), ("Ã©".into(), Plain), "one that is known to be plain is taken at its word");
    assert_eq!(sent("€", Doubled), ("€".into(), Plain), "one that doubles never says this");
}
