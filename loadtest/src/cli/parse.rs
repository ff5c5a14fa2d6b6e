//! Values on the command line.

use std::time::Duration;

/// Reads `500ms`, `3s`, `1.5s`, `10m`; a bare number is seconds.
///
/// # Errors
/// What is wrong, in words for the user.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit `{unit}`, use ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| "expected a time as in 500ms, 3s or 1.5s".to_owned())?;
    Duration::try_from_secs_f64(number * factor).map_err(|error| error.to_string())
}

/// Reads a number of at least one.
///
/// # Errors
/// What is wrong, in words for the user.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.replace('_', "").parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("expected a whole number".to_owned()),
    }
}

/// The words of a line, quotes taken off.
#[cfg(test)]
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("500ms", 500), ("3s", 3000), ("1.5s", 1500), ("2", 2000), ("10m", 600_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1d", "-1s", "1.2.3s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts() {
        assert_eq!(positive("18_000"), Ok(18_000));
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("x").is_err());
    }
}
