use super::*;

#[test]
fn agrees_with_serde_json_on_well_known_cases() {
    let cases = [
        "",
        " ",
        "null",
        "nul",
        "nulll",
        "true",
        "false",
        "tru",
        "0",
        "-0",
        "-",
        "01",
        "1.",
        ".5",
        "1.5e+3",
        "1e",
        "1e+",
        "1E-9",
        "+1",
        "--1",
        "\"",
        "\"a\"",
        "\"a",
        "\"\\\"",
        "\"\\u12g4\"",
        "\"\\u1234\"",
        "\"\\x\"",
        "\"\n\"",
        "\"\u{7f}\"",
        "\"é✓😀\"",
        "[",
        "]",
        "[]",
        "[ ]",
        "[1,]",
        "[,1]",
        "[1 2]",
        "[1,2]",
        " [ 1 , 2 ] ",
        "[1]]",
        "{",
        "{}",
        "{ }",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" : 1 , \"b\" : [ { } ] }",
        "{\"a\":1]",
        "[1}",
        "[[],{}]",
        "{\"a\":{\"b\":[]}}",
        "nullnull",
        "1 1",
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaa\u{1}\"",
        "\"12345678\\n12345678\\\\\"",
        "\u{feff}1",
        "NaN",
        "Infinity",
        "[1,\u{a0}2]",
    ];
    for case in cases {
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(case).is_ok();
        assert_eq!(validate(case, 64).is_ok(), theirs, "{case:?}");
    }
}

#[test]
fn every_special_byte_is_found_at_every_place() {
    for special in [b'"', b'\\', 0, 0x1f] {
        for at in 0..40 {
            let mut text = vec![b'\x20'; 41];
            text[at] = special;
            text[40] = b'"';
            assert_eq!(plain_run(&text, 0), at);
            assert_eq!(plain_run(&text, at + 1), 40, "{special} at {at}");
        }
    }
    assert_eq!(plain_run("é✓😀\u{80}\u{7f} !#[]".as_bytes(), 0), "é✓😀\u{80}\u{7f} !#[]".len());
    assert_eq!(plain_run(b"abc", 9), 9);
}

#[test]
fn depth_is_limited_exactly() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(validate(&nested(3), 3), Ok(()));
    assert_eq!(validate(&nested(4), 3), Err(DecodeError::TooDeep));
    assert_eq!(validate(&nested(DEEPEST), usize::MAX), Ok(()));
    assert_eq!(validate(&nested(DEEPEST + 1), usize::MAX), Err(DecodeError::TooDeep));
    assert_eq!(validate("1", 0), Ok(()));
    assert_eq!(validate(&"[".repeat(1_000_000), 64), Err(DecodeError::TooDeep));
    let deepest: serde_json::Result<serde_json::Value> = serde_json::from_str(&nested(DEEPEST));
    assert!(deepest.is_ok(), "what passes here can be parsed");
}

#[test]
fn parts_are_found() {
    let list: Vec<_> = elements(" [ 1 , \"a,]\" ,[2,3],{}]").collect();
    assert_eq!(list, ["1", "\"a,]\"", "[2,3]", "{}"]);
    assert_eq!(elements("[]").count() + elements("[ ]").count() + elements("7").count(), 0);
    let object: Vec<_> = members("{\"a\":1, \"b\\n\" : {\"c\":2}}").collect();
    assert_eq!(object, [("a", "1"), ("b\\n", "{\"c\":2}")]);
    assert_eq!(members("{ }").count() + members("[1]").count(), 0);
}

#[test]
fn strings_lose_their_escapes() {
    assert_eq!(unescape("plain").as_deref(), Some("plain"));
    assert_eq!(unescape("a\\u00e9\\n\\\"").as_deref(), Some("aé\n\""));
    assert_eq!(unescape("\\ud800"), None);
    assert_eq!(validate("\"\\ud800\"", 1), Ok(()), "as JSON.parse does");
}
