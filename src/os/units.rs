//! Durations and counts of bytes, as people write and read them.

use std::fmt::Write;
use std::time::Duration;

/// What [`duration`] takes, for messages.
pub const DURATION_EXAMPLES: &str = "\"10s\", \"5min\" or \"1h\"";

/// The units and their names, in seconds.
const UNITS: [(f64, &[&str]); 10] = [
    (1e-9, &["ns", "nsec", "nanos"]),
    (1e-6, &["us", "usec"]),
    (1e-3, &["ms", "msec", "millis"]),
    (1.0, &["s", "sec", "secs", "second", "seconds"]),
    (60.0, &["m", "min", "mins", "minute", "minutes"]),
    (3600.0, &["h", "hr", "hrs", "hour", "hours"]),
    (86_400.0, &["d", "day", "days"]),
    (604_800.0, &["w", "week", "weeks"]),
    // 30.44 days.
    (2_630_016.0, &["M", "month", "months"]),
    // 365.25 days.
    (31_557_600.0, &["y", "year", "years"]),
];

/// The sum of numbers with units, such as "10s", "0.5s" or "1h 30min"; `None` where the text is
/// anything else, or more than a [`Duration`] holds.
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = None;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|c: char| c.is_ascii_alphabetic())?);
        let end = behind.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(end);
        let time = scale(number.trim_end(), unit)?;
        sum = Some(sum.unwrap_or(Duration::ZERO).checked_add(time)?);
        rest = behind.trim_start();
    }
    sum
}

fn scale(number: &str, unit: &str) -> Option<Duration> {
    // What else a floating-point number may be, such as "-1" or "1e9", is not meant here.
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let (seconds, _) = UNITS.iter().find(|(_, names)| names.contains(&unit))?;
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
}

/// A count of bytes for people, in powers of a thousand: "4.1 MB".
pub fn bytes(count: u64) -> String {
    let mut scaled = count;
    let mut tenths = 0;
    for unit in ["bytes", "kB", "MB", "GB", "TB", "PB"] {
        if scaled < 1000 {
            return match unit {
                "bytes" => format!("{scaled} {unit}"),
                _ => format!("{scaled}.{tenths} {unit}"),
            };
        }
        tenths = scaled % 1000 / 100;
        scaled /= 1000;
    }
    format!("{scaled} EB")
}

/// Two digits for each byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_units_add_up() {
        for (text, millis) in [
            ("10s", 10_000),
            ("0.2s", 200),
            ("500ms", 500),
            ("5min", 300_000),
            ("1h 30min", 5_400_000),
            ("1h30m", 5_400_000),
            (" 2 days  1 sec ", 172_801_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text:?}");
        }
        assert_eq!(duration("3ns"), Some(Duration::from_nanos(3)));
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            " ",
            "10",
            "s",
            "10 x",
            "-1s",
            "1e3s",
            "1 2",
            ".s",
            "1..2s",
            "infs",
            "10s 5",
            "1sec!",
            "5µs",
            "99999999999999999999years",
            "18446744073709551615s 1000000000ns",
        ] {
            assert_eq!(duration(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_examples_are_durations() {
        let examples: Vec<&str> = DURATION_EXAMPLES.split('"').skip(1).step_by(2).collect();
        assert_eq!(examples.len(), 3);
        assert!(examples.iter().all(|text| duration(text).is_some()));
    }

    #[test]
    fn a_count_of_bytes_has_three_digits_at_most() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1000), "1.0 kB");
        assert_eq!(bytes(u64::MAX), "18 EB");
    }
}
