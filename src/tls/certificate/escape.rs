//! Makes text from strangers safe to print.

/// Whether a terminal acts on this character or does not show it: control characters, line separators,
/// overrides of the writing direction, characters without width.
pub(crate) fn is_unprintable(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `text` with every such character escaped. The backslash is escaped too, so that escapes are unambiguous.
pub(crate) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_unprintable(letter) {
            safe.extend(letter.escape_unicode());
        } else if letter == '\\' {
            safe.push_str("\\\\");
        } else {
            safe.push(letter);
        }
    }
    safe
}

/// The same for a text whose backslashes begin escapes already.
pub(crate) fn printable_escaped(text: &str) -> String {
    printable(text).replace("\\\\", "\\")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_acts_on_are_escaped() {
        assert_eq!(printable("\u{1b}[2Jalex\n\u{7f}\u{9b}"), "\\u{1b}[2Jalex\\u{a}\\u{7f}\\u{9b}");
        assert_eq!(printable("\u{202e}lacol.xela\u{2066}"), "\\u{202e}lacol.xela\\u{2066}");
        assert_eq!(printable("a\u{200b}b\u{2028}\u{feff}\u{e0041}"), {
            "a\\u{200b}b\\u{2028}\\u{feff}\\u{e0041}"
        });
        assert_eq!(printable("\\u{1b}"), "\\\\u{1b}", "a backslash is escaped too");
        assert_eq!(printable("Jörg's Pi, 日本"), "Jörg's Pi, 日本");
    }
}
