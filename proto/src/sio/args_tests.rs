use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Args, ArgsError, Binary, Data, IntoArgs, Value};
use crate::DecodeError;

fn args(json: &'static str) -> Args {
    Args::from_parts(Bytes::from_static(json.as_bytes()), vec![]).unwrap()
}

fn written(value: impl IntoArgs) -> String {
    value.into_args().unwrap().json().to_owned()
}

fn binary(bytes: &[u8]) -> Binary {
    Binary::from(bytes)
}

#[test]
#[expect(clippy::needless_borrows_for_generic_args, reason = "a reference means one argument")]
fn everything_ordinary_becomes_arguments() {
    assert_eq!(written(()), "[]");
    assert_eq!(written("a\"é"), r#"["a\"é"]"#);
    assert_eq!(written(&"a"), r#"["a"]"#);
    assert_eq!(written(&[1, 2][..]), "[[1,2]]");
    assert_eq!(written(&(1, "two")), r#"[[1,"two"]]"#, "a reference is one argument");
    assert_eq!(written((1,)), "[1]");
    assert_eq!(written((1, "two", json!({"a": null}), Some(true))), r#"[1,"two",{"a":null},true]"#);
    assert_eq!(written((1, 2, 3, 4, 5, 6, 7, 8)), "[1,2,3,4,5,6,7,8]");
    assert_eq!(written(vec![1, 2]), "[[1,2]]");
    assert_eq!(written(None::<u8>), "[null]");
    assert_eq!(written(f64::NAN), "[null]");
    assert_eq!(written(u128::MAX), format!("[{}]", u128::MAX));
    assert_eq!(written(Data((1, 2))), "[[1,2]]");
    assert_eq!(written(args("[1, 2]")), "[1, 2]");
    assert_eq!(written(&args("[1]")), "[1]");
    assert_eq!(written(BTreeMap::from([(1, 'x')])), r#"[{"1":"x"}]"#);
}

#[test]
fn what_json_cannot_say_names_the_argument() {
    let map = HashMap::from([(vec![1], 1)]);
    let error = (1, &map).into_args().unwrap_err();
    assert!(matches!(error, ArgsError::Unsendable { index: 1, .. }), "{error}");
    assert_eq!(error.to_string(), "args[1] cannot be sent: key must be a string");
    assert!(Binary::default().into_args().is_ok(), "nothing is left of the failure");
}

#[test]
fn arguments_are_read_as_tuples_lists_and_structs() {
    #[derive(Deserialize, PartialEq, Debug)]
    struct Point {
        x: i32,
        y: Option<i32>,
    }
    let some = args(r#"[1,"two",{"x":3,"y":4}]"#);
    assert_eq!(some.parse(), Ok((1, "two".to_owned(), Point { x: 3, y: Some(4) })));
    assert_eq!(some.parse(), Ok((1_u8,)), "superfluous arguments are ignored");
    assert_eq!(some.parse(), Ok(()));
    assert_eq!(some.parse::<Vec<Value>>().unwrap().len(), 3);
    assert_eq!(some.parse(), Ok(json!([1, "two", {"x": 3, "y": 4}])));
    assert_eq!(some.first(), Ok(1));
    assert_eq!(args("[1]").parse(), Ok((1, None::<String>, None::<u8>)), "missing arguments are null");
    assert_eq!(args("[5,6]").parse(), Ok(Point { x: 5, y: Some(6) }));
    assert_eq!(args("[5]").parse(), Ok(Point { x: 5, y: None }));
    assert_eq!(args("[]").first(), Ok(None::<u8>));
    assert_eq!(args("[ ]").first(), Ok(()));
    assert_eq!(args("[[]]").parse(), Ok((Vec::<u8>::new(),)));
    assert_eq!((some.len(), args("[]").len(), args("[[],[1,2]]").len()), (3, 0, 2));
    assert!(args("[]").is_empty() && args("[ ]").is_empty() && !some.is_empty());
}

#[test]
fn errors_say_which_argument_what_was_expected_and_what_came() {
    fn error<T: serde::de::DeserializeOwned + std::fmt::Debug>(json: &'static str) -> String {
        args(json).parse::<T>().unwrap_err().to_string()
    }
    assert_eq!(error::<(u8, u8)>(r#"[1,"x"]"#), r#"args[1]: expected u8, got string "x""#);
    assert_eq!(error::<(u8,)>("[300]"), "args[0]: expected u8, got integer `300`");
    assert_eq!(error::<(u8, String)>("[3]"), "args[1] is missing: expected a string");
    assert_eq!(error::<(u8, String)>("[3,null]"), "args[1]: expected a string, got null");
    assert_eq!(error::<Vec<bool>>("[true,1]"), "args[1]: expected a boolean, got integer `1`");
    assert_eq!(error::<((u8, u8),)>("[[1]]"), "args[0]: expected a tuple of size 2, got length 1");
    assert_eq!(error::<(Binary,)>("[\"x\"]"), "args[0]: expected binary, got string \"x\"");
    assert_eq!(error::<(Binary,)>("[{}]"), "args[0]: expected binary, got map");
    assert_eq!(error::<(Binary,)>("[]"), "args[0] is missing: expected binary");
    assert!(error::<HashMap<String, u8>>("[1]").contains("the list of arguments cannot be read as a map"));

    #[derive(Deserialize, Debug)]
    #[expect(dead_code)]
    struct Message {
        text: String,
    }
    assert_eq!(error::<(Message,)>(r#"[{"txt":"a"}]"#), "args[0]: missing field `text`");
    assert_eq!(
        args(r#"["a, expected b"]"#).first::<u8>().unwrap_err().to_string(),
        r#"args[0]: expected u8, got string "a, expected b""#
    );
    assert_eq!(args("[]").first::<u8>().unwrap_err().to_string(), "args[0] is missing: expected u8");
    let long = Args::from_parts(format!("[\"{}\"]", "é".repeat(1000)).into(), vec![]).unwrap();
    assert!(long.first::<u8>().unwrap_err().to_string().chars().count() < 150);
    assert!(args(r#"["\ud800"]"#).first::<String>().is_err(), "no text, but not a panic either");
}

#[derive(Serialize, Deserialize, PartialEq, Debug, Clone)]
struct File {
    name: String,
    content: Binary,
    thumbnails: Vec<Binary>,
}

fn file() -> File {
    File { name: "a".into(), content: binary(b"\x01\x02"), thumbnails: vec![binary(b""), binary(b"\xff")] }
}

#[test]
fn binary_becomes_attachments_and_comes_back() {
    let sent = ("x", file(), binary(b"z")).into_args().unwrap();
    assert_eq!(
        sent.json(),
        concat!(
            r#"["x",{"name":"a","content":{"_placeholder":true,"num":0},"thumbnails":["#,
            r#"{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]},{"_placeholder":true,"num":3}]"#
        )
    );
    assert_eq!(sent.attachments(), [&b"\x01\x02"[..], b"", b"\xff", b"z"]);
    assert_eq!(sent.parse(), Ok(("x".to_owned(), file(), binary(b"z"))));
    let value: Vec<Value> = sent.parse().unwrap();
    assert_eq!(value[1].get("content").and_then(Value::as_binary).unwrap(), &b"\x01\x02"[..]);
    assert_eq!(Data(value).into_args().unwrap().attachments(), sent.attachments());
    let again = Args::from_parts(sent.json_bytes().clone(), sent.attachments()).unwrap();
    assert_eq!(again, sent);
    assert_eq!((sent.size(), sent.has_binary()), (sent.json().len() + 4, true));
}

#[test]
fn binary_survives_untagged_and_flattened_types() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Binary(Binary),
        File { file: Binary },
    }
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Outer {
        id: u8,
        #[serde(flatten)]
        file: File,
    }
    let sent = (
        Either::Binary(binary(b"1")),
        Either::File { file: binary(b"2") },
        Either::Text("t".into()),
        Outer { id: 7, file: file() },
    );
    let read = sent.into_args().unwrap().parse::<(Either, Either, Either, Outer)>().unwrap();
    assert_eq!(read.0, Either::Binary(binary(b"1")));
    assert_eq!(read.1, Either::File { file: binary(b"2") });
    assert_eq!(read.2, Either::Text("t".into()));
    assert_eq!(read.3, Outer { id: 7, file: file() });
}

#[test]
fn outside_of_arguments_binary_is_serde_bytes() {
    assert_eq!(serde_json::to_string(&binary(b"\x01")).unwrap(), "[1]");
    assert_eq!(serde_json::from_str::<Binary>("[1]").unwrap(), binary(b"\x01"));
    let packed = rmp_serde::to_vec(&Value::Array(vec![Value::Binary(Bytes::from_static(b"\x01"))])).unwrap();
    assert_eq!(packed, [0x91, 0xc4, 1, 1]);
    assert_eq!(
        rmp_serde::from_slice::<Value>(&packed).unwrap().as_array().unwrap()[0].as_binary().unwrap(),
        &b"\x01"[..]
    );
}

#[test]
fn writing_and_reading_may_nest() {
    struct Nested(Binary);
    impl Serialize for Nested {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let inner = ("inner", &self.0, binary(b"second")).into_args().unwrap();
            assert_eq!(inner.attachments(), [&self.0[..], b"second"]);
            let (_, read, _): (String, Binary, Binary) = inner.parse().unwrap();
            assert_eq!(read, self.0);
            assert!(inner.first::<Binary>().is_err());
            (&self.0, inner.json()).serialize(serializer)
        }
    }
    let sent = (binary(b"0"), Nested(binary(b"1")), binary(b"2")).into_args().unwrap();
    assert_eq!(sent.attachments(), [&b"0"[..], b"1", b"2"]);
    assert!(sent.json().ends_with(r#"{"_placeholder":true,"num":2}]"#), "{sent:?}");
}

#[test]
fn a_panic_leaves_nothing_behind() {
    struct Bomb;
    impl Serialize for Bomb {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            panic!("expected by the test")
        }
    }
    impl<'de> Deserialize<'de> for Bomb {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
            panic!("expected by the test")
        }
    }
    let sent = binary(b"1").into_args().unwrap();
    assert!(std::panic::catch_unwind(|| (binary(b"0"), Bomb).into_args()).is_err());
    assert!(std::panic::catch_unwind(|| sent.first::<Bomb>().is_ok()).is_err());
    assert_eq!(serde_json::to_string(&binary(b"\x01")).unwrap(), "[1]", "writing has ended");
    let after = binary(b"2").into_args().unwrap();
    assert_eq!(
        (after.json(), after.attachments()),
        (r#"[{"_placeholder":true,"num":0}]"#, &[Bytes::from_static(b"2")][..])
    );
    assert_eq!(args(r#"[{"_placeholder":true,"num":0}]"#).first::<Value>().unwrap().as_binary(), None);
}

#[test]
fn placeholders_are_checked() {
    let with = |json: &str| Args::from_parts(json.to_owned().into(), [Bytes::new(), Bytes::new()]);
    for good in [
        r#"[{"_placeholder":true,"num":1}]"#,
        r#"[{"num":0.0,"x":[{}],"_placeholder":true}]"#,
        r#"[{"_placeholder":false,"num":9}]"#,
        r#"[{"_placeholder":1,"num":9},{"_placeholder":"true"},{"num":7},"_placeholder"]"#,
        r#"[{"_placeholder":true,"_placeholder":{},"num":9}]"#,
        r#"[{"_placeholder":[true],"num":9}]"#,
        r#"[]"#,
    ] {
        let args = with(good).unwrap_or_else(|error| panic!("{good}: {error}"));
        assert!(args.parse::<Vec<Value>>().is_ok(), "{good}");
    }
    for bad in [
        r#"[{"_placeholder":true,"num":2}]"#,
        r#"[{"_placeholder":true,"num":-1}]"#,
        r#"[{"_placeholder":true,"num":0.5}]"#,
        r#"[{"_placeholder":true,"num":1e300}]"#,
        r#"[{"_placeholder":true,"num":"0"}]"#,
        r#"[{"_placeholder":true,"num":[0]}]"#,
        r#"[{"_placeholder":true,"num":null}]"#,
        r#"[{"_placeholder":true}]"#,
        r#"[[{"a":{"_placeholder":true,"num":0,"num":5}}]]"#,
        r#"[{"\u005fplaceholder":true,"n\u0075m":2}]"#,
    ] {
        assert_eq!(with(bad), Err(DecodeError::BadPlaceholder), "{bad}");
        let unchecked = Args::trusted(bad.to_owned().into(), vec![Bytes::new()].into());
        assert!(unchecked.parse::<Vec<Value>>().is_err(), "{bad}");
        assert!(
            Args::from_parts(bad.to_owned().into(), vec![]).is_ok(),
            "without attachments it is an object"
        );
    }
}

#[test]
fn parts_are_validated() {
    let from = |json: &'static [u8]| Args::from_parts(Bytes::from_static(json), vec![]);
    assert_eq!(from(b" [1 ] \n").unwrap().json(), "[1 ]");
    assert_eq!(from(b"{}"), Err(DecodeError::BadPayload));
    assert_eq!(from(b"[1,]"), Err(DecodeError::BadJson));
    assert_eq!(from(b"[\"\xff\"]"), Err(DecodeError::BadJson));
    assert_eq!(from(b""), Err(DecodeError::BadJson));
    assert_eq!(Args::default(), args("[]"));
    assert_eq!(size_of::<Args>(), 6 * size_of::<usize>());
}
