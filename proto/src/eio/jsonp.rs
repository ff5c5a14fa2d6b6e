//! Polling for clients that can only load scripts and submit forms (Engine.IO 3): a GET is answered with a call of a
//! function that takes the payload as a string, and a POST is a form with the payload in its field `d`.
//!
//! Whatever the payload contains, the answer is one statement, and nothing of the request but a number gets into it.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::DecodeError;

/// Which of the functions in its page a client wants to be called: the value of `j`, nine digits at the most.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Index(u32);

impl Index {
    /// Reads the value of `j`. `None` for anything but one to nine digits: it becomes part of a script.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if fits { text.parse().ok().map(Self) } else { None }
    }

    /// The script that hands `payload` to the client: `___eio[0]("…");`.
    ///
    /// Line separators (U+2028, U+2029), which old engines take
    /// for the end of a line within a string, and `<`, which could end or begin a tag where the script is put into a page,
    /// are escaped.
    #[must_use]
    pub fn script(self, payload: &str) -> String {
        // Text always becomes JSON.
        let string = serde_json::to_string(payload).unwrap_or_else(|_| "\"\"".to_owned());
        let mut script = String::with_capacity(string.len() + 24);
        script.push_str("___eio[");
        script.push_str(&self.0.to_string());
        script.push_str("](");
        for character in string.chars() {
            match character {
                '\u{2028}' => script.push_str("\\u2028"),
                '\u{2029}' => script.push_str("\\u2029"),
                '<' => script.push_str("\\u003c"),
                other => script.push(other),
            }
        }
        script.push_str(");");
        script
    }
}

/// The payload in the form that a client posted, `d=…` (`application/x-www-form-urlencoded`).
///
/// Forms change line ends, so clients write `\n` (two characters) for a newline and double the backslash where the
/// payload has these two characters itself.
///
/// # Errors
/// [`DecodeError::BodyNotForm`]: there is no field `d`. [`DecodeError::BodyNotText`]: it is not UTF-8.
pub fn payload(form: &str) -> Result<String, DecodeError> {
    let field = form.split('&').find_map(|pair| pair.strip_prefix("d=")).ok_or(DecodeError::BodyNotForm)?;
    let spaced: Cow<'_, str> =
        if field.contains('+') { field.replace('+', " ").into() } else { field.into() };
    let text = percent_decode_str(&spaced).decode_utf8().map_err(|_| DecodeError::BodyNotText)?;
    let mut payload = String::with_capacity(text.len());
    let mut rest = &*text;
    while let Some(at) = rest.find('\\') {
        payload.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(behind) = rest.strip_prefix("\\\\n") {
            payload.push_str("\\n");
            rest = behind;
        } else if let Some(behind) = rest.strip_prefix("\\n") {
            payload.push('\n');
            rest = behind;
        } else {
            payload.push('\\');
            rest = &rest[1..];
        }
    }
    payload.push_str(rest);
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(payload: &str) -> String {
        Index::parse("0").unwrap().script(payload)
    }

    #[test]
    fn answers_are_a_call_with_a_string() {
        // Recorded from socket.io 4.8.
        let payload = "25:42[\"echo\",\"a\\nb\",\"plain\"]";
        assert_eq!(script(payload), r#"___eio[0]("25:42[\"echo\",\"a\\nb\",\"plain\"]");"#);
        assert_eq!(script("line\u{2028}sep\u{2029}"), "___eio[0](\"line\\u2028sep\\u2029\");");
        assert_eq!(script("é€😀"), "___eio[0](\"é€😀\");");
    }

    #[test]
    fn nothing_breaks_out_of_the_string() {
        for evil in ["\");alert(1);(\"", "\\\");alert(1)//", "\n", "\r", "\u{0}", "</script><script>", "<!--"]
        {
            let script = script(evil);
            let string = script.strip_prefix("___eio[0](").and_then(|s| s.strip_suffix(");")).unwrap();
            assert_eq!(serde_json::from_str::<String>(string).unwrap(), evil);
            assert!(!script.contains(['\n', '\r', '\0', '<']), "{script:?}");
        }
    }

    #[test]
    fn only_digits_get_into_the_script() {
        for (text, index) in [("0", "0"), ("12", "12"), ("007", "7"), ("999999999", "999999999")] {
            assert!(Index::parse(text).unwrap().script("").starts_with(&format!("___eio[{index}](")));
        }
        for evil in
            ["", "1a", "-1", "+1", " 1", "1]", "0](alert(1));//", "1e3", "0x1", "1234567890", "१", "%30"]
        {
            assert_eq!(Index::parse(evil), None, "{evil}");
        }
    }

    #[test]
    fn forms_bring_the_payload() {
        // Recorded from a client of Socket.IO 2.
        assert_eq!(
            payload("d=25%3A42%5B%22echo%22%2C%22a%5C%5Cnb%22%2C%22plain%22%5D"),
            Ok("25:42[\"echo\",\"a\\nb\",\"plain\"]".into())
        );
        for (form, wanted) in [
            ("d=1%3A2", "1:2"),
            ("x=1&d=a+b%2Bc&d=late", "a b+c"),
            ("d=", ""),
            (r"d=\n", "\n"),
            (r"d=\\n", r"\n"),
            (r"d=\\\n", r"\\n"),
            (r"d=\x\\", r"\x\\"),
            (r"d=%E2%82%AC\", "€\\"),
            ("d=100%", "100%"),
        ] {
            assert_eq!(payload(form).as_deref(), Ok(wanted), "{form}");
        }
        assert_eq!(payload("e=1"), Err(DecodeError::BodyNotForm));
        assert_eq!(payload("2:40"), Err(DecodeError::BodyNotForm));
        assert_eq!(payload("d=%ff"), Err(DecodeError::BodyNotText));
    }
}
