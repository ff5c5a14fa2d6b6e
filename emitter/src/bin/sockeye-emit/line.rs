//! One line of standard input becomes an event.

use serde::Deserialize;
use serde_json::value::RawValue;
use sockeye_emitter::Args;
use std::borrow::Cow;

/// An event, and where its line says that it goes; `None`: the line does not say.
#[derive(Debug, PartialEq)]
pub(crate) struct Line {
    pub(crate) event: String,
    pub(crate) args: Args,
    pub(crate) to: Option<Vec<String>>,
    pub(crate) except: Option<Vec<String>>,
    pub(crate) namespace: Option<String>,
    pub(crate) volatile: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Object<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    to: Option<Rooms>,
    except: Option<Rooms>,
    namespace: Option<String>,
    volatile: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a room's name or a list of them")]
enum Rooms {
    One(String),
    Several(Vec<String>),
}

impl Rooms {
    fn names(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Several(names) => names,
        }
    }
}

/// Reads `["event", args…]` or `{"event": …, "args": […], "to": …, "except": …, "namespace": …, "volatile": …}`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(line: &str) -> Result<Line, String> {
    match line.trim_start().as_bytes().first() {
        Some(b'[') => list(line),
        Some(b'{') => object(line),
        _ => Err(r#"neither a list like ["event",1] nor an object like {"event":"…","args":[1]}"#.to_owned()),
    }
}

fn list(line: &str) -> Result<Line, String> {
    let elements: Vec<&RawValue> = serde_json::from_str(line).map_err(|error| place(&error))?;
    let Some((event, rest)) = elements.split_first() else {
        return Err("the list is empty; the event's name comes first".to_owned());
    };
    let event: String = serde_json::from_str(event.get())
        .map_err(|_| "the first element must be the event's name, a string".to_owned())?;
    let mut json = String::with_capacity(line.len());
    for (index, element) in rest.iter().enumerate() {
        json.push(if index == 0 { '[' } else { ',' });
        json.push_str(element.get());
    }
    json.push_str(if rest.is_empty() { "[]" } else { "]" });
    Ok(Line { event, args: args(json)?, to: None, except: None, namespace: None, volatile: None })
}

fn object(line: &str) -> Result<Line, String> {
    let Object { event, args: given, to, except, namespace, volatile } =
        serde_json::from_str(line).map_err(|error| place(&error))?;
    let given = given.map_or("[]", RawValue::get);
    if !given.starts_with('[') {
        return Err("\"args\" must be a list".to_owned());
    }
    Ok(Line {
        event: event.into_owned(),
        args: args(given.to_owned())?,
        to: to.map(Rooms::names),
        except: except.map(Rooms::names),
        namespace,
        volatile,
    })
}

fn args(json: String) -> Result<Args, String> {
    Args::from_parts(json.into(), Vec::new()).map_err(|error| format!("the arguments are not valid: {error}"))
}

/// serde's words without "line 1", which here would be taken for the line's own number.
fn place(error: &serde_json::Error) -> String {
    error.to_string().replace("at line 1 column", "at column")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let line = parse(r#" ["tick", 1.0, {"a" : null} ] "#).expect("a list");
        assert_eq!((line.event.as_str(), line.args.json()), ("tick", r#"[1.0,{"a" : null}]"#));
        assert_eq!(parse(r#"["tick"]"#).expect("a list").args.json(), "[]");
        let whole = r#"{"event":"t\u0069ck","args":[1],"to":["a","b"],"except":"c","namespace":"/n","volatile":true}"#;
        let line = parse(whole).expect("an object");
        assert_eq!(line.event, "tick");
        assert_eq!(line.args.json(), "[1]");
        assert_eq!(line.to, Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(line.except, Some(vec!["c".to_owned()]));
        assert_eq!((line.namespace.as_deref(), line.volatile), (Some("/n"), Some(true)));
        let line = parse(r#"{"event":"tick"}"#).expect("an object");
        assert_eq!((line.args.json(), line.to, line.namespace), ("[]", None, None));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, words) in [
            ("tick", "neither a list"),
            ("5", "neither a list"),
            ("[]", "name comes first"),
            ("[1]", "event's name"),
            (r#"["tick",]"#, "at column"),
            (r#"["tick"] 1"#, "at column"),
            (r#"{"args":[]}"#, "event"),
            (r#"{"event":"tick","args":1}"#, "must be a list"),
            (r#"{"event":"tick","room":"a"}"#, "unknown field `room`"),
            (r#"{"event":"tick","to":7}"#, "a room's name or a list of them"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(words) && !error.contains("line 1"), "{line}: {error}");
        }
        let deep = format!(r#"["tick",{}{}]"#, "[".repeat(500), "]".repeat(500));
        parse(&deep).expect_err("too deep");
    }
}
