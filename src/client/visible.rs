//! Makes control characters visible, so that a terminal shows what a server sends and does not obey it.

use std::str;

/// Text that arrives in pieces. A character may be split between two of them.
#[derive(Debug, Default)]
pub struct Visible {
    /// The beginning of a character, or a carriage return.
    held: Vec<u8>,
}

impl Visible {
    /// The next bytes, as they are shown: line ends and tabs as they are, other control characters as
    /// `^[` or `\u{9b}`, and what is not UTF-8 as `\xff`.
    pub fn show(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        let mut shown = String::with_capacity(all.len());
        let mut rest = all.as_slice();
        loop {
            let (text, behind, invalid) = split(rest);
            match text.strip_suffix('\r') {
                // A line feed may follow.
                Some(text) if behind.is_empty() => {
                    show_text(text, &mut shown);
                    self.held = vec![b'\r'];
                }
                _ => show_text(text, &mut shown),
            }
            let Some(invalid) = invalid else {
                self.held.extend_from_slice(behind);
                break;
            };
            let (invalid, next) = behind.split_at(invalid);
            shown.extend(invalid.iter().map(|byte| format!("\\x{byte:02x}")));
            rest = next;
        }
        shown.into_bytes()
    }

    /// The rest: no more bytes come.
    pub fn finish(&mut self) -> Vec<u8> {
        let held = std::mem::take(&mut self.held);
        let shown = held.iter().map(|byte| match byte {
            b'\r' => "^M".to_owned(),
            byte => format!("\\x{byte:02x}"),
        });
        shown.collect::<String>().into_bytes()
    }
}

/// The valid text at the beginning, and what is behind it: this many bytes are not UTF-8. Without a number,
/// they are the beginning of a character, or none.
fn split(bytes: &[u8]) -> (&str, &[u8], Option<usize>) {
    match str::from_utf8(bytes) {
        Ok(text) => (text, &[], None),
        Err(error) => {
            let (valid, behind) = bytes.split_at(error.valid_up_to());
            (str::from_utf8(valid).unwrap_or_default(), behind, error.error_len())
        }
    }
}

/// Appends valid text.
fn show_text(text: &str, shown: &mut String) {
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => shown.push(character),
            '\r' if characters.peek() == Some(&'\n') => shown.push('\r'),
            '\u{7f}' => shown.push_str("^?"),
            // "^@" for 0, "^[" for 27.
            '\0'..='\x1f' => {
                shown.push('^');
                shown.extend(char::from_u32(u32::from(character) + 64));
            }
            character if character.is_control() => shown.extend(character.escape_unicode()),
            character => shown.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of `bytes` if they arrive in pieces of this length.
    fn shown(bytes: &[u8], length: usize) -> String {
        let mut visible = Visible::default();
        let mut shown: Vec<u8> =
            bytes.chunks(length).flat_map(|piece| visible.show(piece)).collect();
        shown.extend(visible.finish());
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn control_characters_are_shown_however_they_arrive() {
        for (bytes, expected) in [
            (&b"a line\r\nand\ta tab\n"[..], "a line\r\nand\ta tab\n"),
            (b"\x1b[2J\x1b]0;title\x07", "^[[2J^[]0;title^G"),
            (b"over\rwritten\r", "over^Mwritten^M"),
            (b"\r\r\n\r", "^M\r\n^M"),
            (b"\0\x08\x7f", "^@^H^?"),
            ("gr\u{fc}\u{df} \u{1f600}".as_bytes(), "gr\u{fc}\u{df} \u{1f600}"),
            ("\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            (b"\x9b31m\xff\xfe.", "\\x9b31m\\xff\\xfe."),
            (b"\xf0\x9f\x98", "\\xf0\\x9f\\x98"),
            (b"\r\xff\r\xe2\x82\xac\r\n", "^M\\xff^M\u{20ac}\r\n"),
            (b"\xe2\x82\r\n", "\\xe2\\x82\r\n"),
            (b"", ""),
        ] {
            for length in 1..=bytes.len().max(1) {
                assert_eq!(shown(bytes, length), expected, "{bytes:?} by {length}");
            }
        }
    }
}
