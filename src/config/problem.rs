//! An error in the file, and its place.

use std::ops::Range;

use super::settings::Source;
use crate::exit::Failure;

/// An error in the file.
pub(super) struct Problem {
    /// Its place: bytes of the text.
    span: Range<usize>,
    message: String,
}

impl Problem {
    pub(super) fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into() }
    }

    /// The problem in one line: file, line, column, message, and the text of that line.
    pub(super) fn located(self, text: &str, source: &Source) -> Failure {
        let at = self.span.start.min(text.len());
        let before = &text[..at];
        let start_of_line = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.matches('\n').count() + 1;
        let column = before[start_of_line..].chars().count() + 1;
        let content = text[start_of_line..].lines().next().unwrap_or_default().trim();
        let message = self.message.trim().replace('\n', ", ");
        let mut what = format!("{source}:{line}:{column}: {message}");
        if !content.is_empty() {
            what = format!("{what}: {content}");
        }
        Failure::config(what)
    }
}
