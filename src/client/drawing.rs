//! Drawing on a terminal: colours, and lines that are not too long.

use std::io::{self, IsTerminal};

/// Escape sequences, or none.
#[derive(Clone, Copy)]
pub struct Colours(pub bool);

impl Colours {
    /// On a terminal, unless `NO_COLOR` is set (no-color.org) or the terminal cannot.
    pub fn of_output() -> Self {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|value| value == "dumb");
        Self(io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb)
    }

    /// `text` in the colour with this code (ECMA-48, SGR).
    pub fn paint(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The rows of a text; those after the first are indented.
pub fn wrap(text: &str, indent: usize, width: usize) -> Vec<String> {
    let mut rows = Vec::new();
    let mut row = String::new();
    for word in text.split(' ') {
        let mut word = word;
        let length = |text: &str| text.chars().count();
        if length(&row) + 1 + length(word) > width && !row.trim().is_empty() {
            rows.push(std::mem::replace(&mut row, " ".repeat(indent)));
        } else if !row.trim().is_empty() {
            row.push(' ');
        }
        // A word that fits no row is cut.
        while length(&row) + length(word) > width {
            let room = width - length(&row);
            let cut = word.char_indices().nth(room).map_or(word.len(), |(place, _)| place);
            let (head, tail) = word.split_at(cut);
            row.push_str(head);
            rows.push(std::mem::replace(&mut row, " ".repeat(indent)));
            word = tail;
        }
        row.push_str(word);
    }
    rows.push(row);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_wrapped_between_words_and_long_words_are_cut() {
        const WIDTH: usize = 63;

        let long = "x".repeat(100);
        let rows = wrap(&format!("a word and {long} and so on"), 2, WIDTH);
        assert!(rows.iter().all(|row| row.chars().count() <= WIDTH), "{rows:?}");
        assert!(rows.iter().skip(1).all(|row| row.starts_with("  ")), "{rows:?}");
        let together: String = rows.concat().chars().filter(|c| *c != ' ').collect();
        assert_eq!(together, format!("awordand{long}andsoon"));
    }
}
