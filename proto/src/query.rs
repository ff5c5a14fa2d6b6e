//! Query strings, as clients of Engine.IO 3 say with them who they are.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// So many pairs are looked at, as in Node.js; the rest is ignored.
const MAX_PAIRS: usize = 1000;

/// Keys that Engine.IO itself puts into the query of a request.
pub const ENGINE_IO: [&str; 6] = ["EIO", "transport", "sid", "t", "b64", "j"];

/// The pairs of a query (what follows `?`) as the text of a JSON object of strings, and arrays of them where a key is
/// repeated. `None` if there are none but those with keys to leave out.
///
/// `+` is a space; bytes that are not UTF-8 are replaced.
#[must_use]
pub fn to_json(query: &str, leave_out: &[&str]) -> Option<String> {
    let mut object = Map::new();
    for pair in query.split('&').take(MAX_PAIRS) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decode(key);
        if pair.is_empty() || leave_out.contains(&&*key) {
            continue;
        }
        let value = Value::String(decode(value));
        match object.get_mut(&key) {
            None => drop(object.insert(key, value)),
            Some(Value::Array(all)) => all.push(value),
            Some(one) => *one = Value::Array(vec![one.take(), value]),
        }
    }
    if object.is_empty() { None } else { Some(Value::Object(object).to_string()) }
}

fn decode(text: &str) -> String {
    percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_become_an_object() {
        for (query, json) in [
            ("token=ok&x=1%202", r#"{"token":"ok","x":"1 2"}"#),
            ("a=1&a=2&a=3&b", r#"{"a":["1","2","3"],"b":""}"#),
            ("n%61me=J%C3%BCrgen+K&=x", r#"{"":"x","name":"Jürgen K"}"#),
            ("q=%22%5C&r=%ff", "{\"q\":\"\\\"\\\\\",\"r\":\"\u{fffd}\"}"),
            ("EIO=3&transport=polling&t=1&b64=1&j=0&sid=x&__proto__=1", r#"{"__proto__":"1"}"#),
        ] {
            assert_eq!(to_json(query, &ENGINE_IO).as_deref(), Some(json), "{query}");
        }
        for query in ["", "&&", "EIO=3&transport=websocket"] {
            assert_eq!(to_json(query, &ENGINE_IO), None, "{query}");
        }
        let many: String = (0..5000).map(|n| format!("k{n}=1&")).collect();
        let json = to_json(&many, &[]).unwrap();
        assert_eq!(serde_json::from_str::<Map<String, Value>>(&json).unwrap().len(), 1000);
    }
}
