//! What is written on the command line becomes arguments of an event.

use serde_json::value::RawValue;
use sockeye_emitter::Args;
use std::{
    io::Read,
    path::{Path, PathBuf},
};

/// JSON texts (or plain strings, with `text`), `@FILE` for the bytes of a file, and more files behind them.
///
/// # Errors
/// One is not JSON, or a file cannot be read; the text says which and what to do.
pub(crate) fn read(arguments: &[String], text: bool, files: &[PathBuf]) -> Result<Args, String> {
    let mut json = String::from("[");
    let mut attachments = Vec::new();
    let mut attach = |json: &mut String, file: &Path| -> Result<(), String> {
        json.push_str(&format!(r#"{{"_placeholder":true,"num":{}}}"#, attachments.len()));
        attachments.push(bytes_of(file)?.into());
        Ok(())
    };
    for (number, argument) in (1..).zip(arguments) {
        comma(&mut json);
        if text {
            json.push_str(&serde_json::Value::from(argument.as_str()).to_string());
        } else if let Some(file) = argument.strip_prefix('@') {
            attach(&mut json, Path::new(file))?;
        } else {
            json.push_str(value(number, argument)?);
        }
    }
    for file in files {
        comma(&mut json);
        attach(&mut json, file)?;
    }
    json.push(']');
    Args::from_parts(json.into(), attachments)
        .map_err(|error| format!("the arguments are not valid: {error}"))
}

fn comma(json: &mut String) {
    if json.len() > 1 {
        json.push(',');
    }
}

fn value(number: usize, argument: &str) -> Result<&str, String> {
    serde_json::from_str::<&RawValue>(argument).map(RawValue::get).map_err(|error| {
        let looks_like_text = !argument.starts_with(['{', '[', '"']);
        let advice = if looks_like_text {
            // The shell takes the outer quotes away.
            let quoted = serde_json::Value::from(argument).to_string().replace('\'', r"'\''");
            format!("a string is written '{}', or use --text", shortened(&quoted))
        } else {
            format!("{error}; put '…' around it, so that the shell leaves it alone")
        };
        format!("argument {number} is not JSON: {}\n  {advice}", shortened(argument))
    })
}

fn shortened(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn bytes_of(file: &Path) -> Result<Vec<u8>, String> {
    let read = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    read.map_err(|error| format!("cannot read {}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn json_is_kept_as_it_was_written() {
        let texts = arguments(&[" 1.50 ", "\"é\\u0062\"", r#"{"b":1,"a":12345678901234567890123}"#, "null"]);
        let args = read(&texts, false, &[]).expect("JSON");
        assert_eq!(args.json(), r#"[1.50,"é\u0062",{"b":1,"a":12345678901234567890123},null]"#);
        assert_eq!(read(&[], false, &[]).expect("none").json(), "[]");
        let args = read(&arguments(&["1", "say \"hi\"", "@x"]), true, &[]).expect("text");
        assert_eq!(args.json(), r#"["1","say \"hi\"","@x"]"#);
    }

    #[test]
    fn files_are_attached_where_they_are_named() {
        let file = std::env::temp_dir().join(format!("sockeye-emit-{}.bin", std::process::id()));
        std::fs::write(&file, b"\x00\xff").expect("written");
        let texts = [format!("@{}", file.display()), "1".to_owned()];
        let args = read(&texts, false, std::slice::from_ref(&file)).expect("readable");
        std::fs::remove_file(&file).expect("removed");
        assert_eq!(args.json(), r#"[{"_placeholder":true,"num":0},1,{"_placeholder":true,"num":1}]"#);
        assert_eq!(args.attachments(), [b"\x00\xff".as_slice(), b"\x00\xff"]);
    }

    #[test]
    fn what_is_not_json_gets_advice() {
        for (text, words) in [
            ("hello", r#"'"hello"'"#),
            ("it's", r#"'"it'\''s"'"#),
            ("", r#"'""'"#),
            ("{who:1}", "key must be a string"),
            ("1 2", "not JSON: 1 2"),
        ] {
            let error = read(&arguments(&["1", text]), false, &[]).expect_err(text);
            assert!(error.starts_with("argument 2 is not JSON") && error.contains(words), "{error}");
        }
        let long = read(&["x".repeat(10_000)], false, &[]).expect_err("not JSON");
        assert!(long.len() < 400, "{long}");
    }
}
