//! The journal's own protocol (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>): a line is a datagram, and
//! each of its pairs is a field, by which `journalctl` finds it.
//!
//! Every field is sent with its length, the form for any bytes. So no value can begin another field. What a
//! peer can put into a line is bounded, and far below the length of a datagram (`net.core.wmem_default`):
//! passing longer ones as files is not needed.

use std::io;
use std::sync::LazyLock;

use log::Record;
use rustix::fs::fstat;

use super::line::{self, NAME, severity};

/// The number of the facility `daemon` (RFC 3164 §4.1.1). The journal passes it on to syslog.
const FACILITY: &str = "3";

/// The datagram for a line.
pub(super) fn datagram(record: &Record<'_>) -> Vec<u8> {
    let mut text = String::new();
    line::append(record, &mut text);
    let mut datagram = Vec::new();
    append(&mut datagram, "MESSAGE", &text);
    append(&mut datagram, "PRIORITY", &(severity(record.level()) as u8).to_string());
    append(&mut datagram, "SYSLOG_FACILITY", FACILITY);
    append(&mut datagram, "SYSLOG_IDENTIFIER", NAME);
    line::for_each_pair(record, |key, value| {
        let name = format!("ECHO_{}", key.to_ascii_uppercase().replace('-', "_"));
        append(&mut datagram, &name, &value.to_string());
    });
    datagram
}

/// Appends a field.
fn append(datagram: &mut Vec<u8>, name: &str, value: &str) {
    datagram.extend_from_slice(name.as_bytes());
    datagram.push(b'\n');
    datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
    datagram.extend_from_slice(value.as_bytes());
    datagram.push(b'\n');
}

/// Whether standard error leads to the journal: then systemd has named its device and inode in
/// `JOURNAL_STREAM` (systemd.exec(5)). It does not change while the program runs.
pub(super) fn is_stderr() -> bool {
    static IS_STDERR: LazyLock<bool> = LazyLock::new(|| {
        let named = std::env::var("JOURNAL_STREAM");
        let found = fstat(io::stderr()).map(|it| format!("{}:{}", it.st_dev, it.st_ino));
        matches!((named, found), (Ok(named), Ok(found)) if named == found)
    });
    *IS_STDERR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_fields_with_their_lengths() {
        let pairs = [("listener", Some("tls")), ("log-lines-lost", Some("a\nb")), ("sni", None)];
        let record = Record::builder();
        let sent = datagram(
            &{ record }
                .level(log::Level::Warn)
                .args(format_args!("hello"))
                .key_values(&pairs)
                .build(),
        );
        let field = |name: &str, value: &str| {
            [name.as_bytes(), b"\n", &(value.len() as u64).to_le_bytes(), value.as_bytes(), b"\n"]
                .concat()
        };
        let expected = [
            field("MESSAGE", "hello listener=tls log-lines-lost=\"a\\nb\""),
            field("PRIORITY", "4"),
            field("SYSLOG_FACILITY", "3"),
            field("SYSLOG_IDENTIFIER", "echo-alex"),
            field("ECHO_LISTENER", "tls"),
            field("ECHO_LOG_LINES_LOST", "a\nb"),
        ];
        assert_eq!(String::from_utf8(sent), String::from_utf8(expected.concat()));
    }
}
