//! Dates in msgpack, as the text that `JSON.stringify` makes of them.

use std::io::Write as _;

/// The last millisecond that a JavaScript `Date` can be, and the first one below zero.
const LAST: i64 = 8_640_000_000_000_000;
const DAY: i64 = 86_400_000;

/// Milliseconds since 1970 of a timestamp (ext -1, in its forms of 4, 8 and 12 bytes). `None`: it is no such form.
pub(super) fn timestamp(data: &[u8]) -> Option<Option<i64>> {
    let (seconds, nanos) = match *data {
        [a, b, c, d] => (u32::from_be_bytes([a, b, c, d]).into(), 0),
        [a, b, c, d, e, f, g, h] => {
            let both = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
            ((both & 0x3_ffff_ffff) as i64, (both >> 34) as i64)
        }
        [a, b, c, d, ref seconds @ ..] => {
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes([a, b, c, d]).into())
        }
        _ => return None,
    };
    Some(seconds.checked_mul(1000).and_then(|millis| millis.checked_add(nanos / 1_000_000)))
}

/// Appends a date as a JSON string, or `null` where JavaScript has no such date.
pub(super) fn write(millis: Option<i64>, out: &mut Vec<u8>) {
    let Some(millis) = millis.filter(|millis| (-LAST..=LAST).contains(millis)) else {
        out.extend_from_slice(b"null");
        return;
    };
    let (year, month, day) = date(millis.div_euclid(DAY));
    let of_day = millis.rem_euclid(DAY);
    let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
    // A `Vec` takes everything.
    let _ = match year {
        0..=9999 => write!(out, "\"{year:04}"),
        _ => write!(out, "\"{year:+07}"),
    };
    let _ = write!(out, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z\"", of_day % 1000);
}

/// Year, month and day of a day counted from 1970-01-01, in the calendar that JavaScript extends in both directions.
fn date(day: i64) -> (i64, i64, i64) {
    // Eras of 400 years, each of which begins on a March 1st, so that the leap day is a year's last one.
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iso(millis: i64) -> String {
        let mut out = Vec::new();
        write(Some(millis), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn dates_read_as_javascript_writes_them() {
        assert_eq!(iso(0), "\"1970-01-01T00:00:00.000Z\"");
        assert_eq!(iso(1_700_000_000_123), "\"2023-11-14T22:13:20.123Z\"");
        assert_eq!(iso(951_782_400_000), "\"2000-02-29T00:00:00.000Z\"");
        assert_eq!(iso(-1), "\"1969-12-31T23:59:59.999Z\"");
        assert_eq!(iso(-62_167_219_200_001), "\"-000001-12-31T23:59:59.999Z\"");
        assert_eq!(iso(253_402_300_800_000), "\"+010000-01-01T00:00:00.000Z\"");
        assert_eq!(iso(LAST), "\"+275760-09-13T00:00:00.000Z\"");
        assert_eq!(iso(-LAST), "\"-271821-04-20T00:00:00.000Z\"");
        assert_eq!(iso(LAST + 1), "null");
        assert_eq!(iso(i64::MIN), "null");
    }

    #[test]
    fn timestamps_have_three_forms() {
        assert_eq!(timestamp(&1_700_000_000_u32.to_be_bytes()), Some(Some(1_700_000_000_000)));
        let both = 123_456_789_u64 << 34 | 1_700_000_000;
        assert_eq!(timestamp(&both.to_be_bytes()), Some(Some(1_700_000_000_123)));
        let mut long = vec![0x00, 0x0f, 0x42, 0x40];
        long.extend((-1_i64).to_be_bytes());
        assert_eq!(timestamp(&long), Some(Some(-999)));
        long[4..].copy_from_slice(&i64::MAX.to_be_bytes());
        assert_eq!(timestamp(&long), Some(None));
        for len in [0, 1, 3, 5, 7, 9, 11, 13] {
            assert_eq!(timestamp(&vec![0; len]), None);
        }
    }
}
