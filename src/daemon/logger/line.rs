//! A line of the log: its priority, and its text, which is a message and then pairs as `key=value`.

use std::fmt::Write;

use log::kv::{Error, Key, Value, VisitSource, VisitValue};
use log::{Level, Record};
use syslog::Severity;

/// The program's name in syslog and in the journal.
pub(super) const NAME: &str = "echo-alex";

/// The priority of a level in syslog(3).
pub(super) fn severity(level: Level) -> Severity {
    match level {
        Level::Error => Severity::LOG_ERR,
        Level::Warn => Severity::LOG_WARNING,
        Level::Info => Severity::LOG_INFO,
        Level::Debug | Level::Trace => Severity::LOG_DEBUG,
    }
}

/// Appends the text of a line to `text`. A value whose end would not be clear is in quotes.
pub(super) fn append(record: &Record<'_>, text: &mut String) {
    // Writing to a string does not fail.
    let _ = write!(text, "{}", record.args());
    for_each_pair(record, |key, value| {
        let _ = write!(text, " {key}=");
        let start = text.len();
        let _ = write!(text, "{value}");
        if text.get(start..).is_some_and(needs_quotes) {
            let value = text.split_off(start);
            let _ = write!(text, "{value:?}");
        }
    });
}

fn needs_quotes(value: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\=".contains(&byte);
    value.is_empty() || !value.bytes().all(is_plain)
}

/// Calls `each` with the pairs of a line, in order; not with one whose value is `None`.
pub(super) fn for_each_pair(record: &Record<'_>, each: impl FnMut(&str, &Value<'_>)) {
    // The visitor does not fail.
    let _ = record.key_values().visit(&mut Pairs(each));
}

struct Pairs<F>(F);

impl<'a, F: FnMut(&str, &Value<'a>)> VisitSource<'a> for Pairs<F> {
    fn visit_pair(&mut self, key: Key<'a>, value: Value<'a>) -> Result<(), Error> {
        let mut is_none = IsNone(false);
        value.visit(&mut is_none)?;
        if !is_none.0 {
            (self.0)(key.as_str(), &value);
        }
        Ok(())
    }
}

/// Whether a value is `None`.
struct IsNone(bool);

impl VisitValue<'_> for IsNone {
    fn visit_any(&mut self, _: Value<'_>) -> Result<(), Error> {
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        self.0 = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pairs: &[(&str, Option<&str>)]) -> String {
        let mut text = String::new();
        append(
            &Record::builder().args(format_args!("session")).key_values(&pairs).build(),
            &mut text,
        );
        text
    }

    #[test]
    fn a_value_whose_end_is_not_clear_is_in_quotes() {
        for (value, shown) in [
            ("1.3", "1.3"),
            ("[2001:db8::1%eth0]:5000", "[2001:db8::1%eth0]:5000"),
            ("", r#""""#),
            ("out of memory", r#""out of memory""#),
            ("CN=alex", r#""CN=alex""#),
            ("no \"1.1\"", r#""no \"1.1\"""#),
            ("a\\b", r#""a\\b""#),
            ("a\nforged\u{1b}\u{202e}", r#""a\nforged\u{1b}\u{202e}""#),
            ("Jörg", r#""Jörg""#),
        ] {
            assert_eq!(text(&[("key", Some(value))]), format!("session key={shown}"));
        }
    }

    #[test]
    fn a_pair_without_a_value_is_left_out() {
        assert_eq!(text(&[("a", Some("1")), ("b", None), ("c", Some("3"))]), "session a=1 c=3");
    }
}
