//! A report as one HTML file, which loads nothing.

use std::fs::{self, File};
use std::path::Path;

use crate::exit::Failure;

/// What stands before the title.
const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width\">\n<style>\n\
    body { font: 15px/1.5 sans-serif; max-width: 820px; margin: 2em auto; padding: 0 1em }\n\
    th { text-align: left; font-weight: normal; color: #555; padding-right: 2em }\n\
    pre { overflow-x: auto }\n\
    svg { max-width: 100%; height: auto }\n.invalid { color: #b00020; font-weight: bold }\n\
    </style>\n";

/// Fails now if the file cannot be written later.
pub fn prepare(file: &Path) -> Result<(), Failure> {
    let opened = File::options().create(true).append(true).open(file);
    opened.map(drop).map_err(|error| cannot_write(file, &error))
}

/// Writes a page with this title about `host`, and this HTML.
pub fn write(file: &Path, host: &str, title: &str, body: &str) -> Result<(), Failure> {
    let (host, title) = (escaped(host), escaped(title));
    let text = format!("{HEAD}<title>{host}: {title}</title>\n<h1>{host}</h1>\n{body}</html>\n");
    fs::write(file, text).map_err(|error| cannot_write(file, &error))
}

fn cannot_write(file: &Path, error: &std::io::Error) -> Failure {
    Failure::system(format_args!("cannot write {}", file.display()), error)
}

/// A table of names and values.
pub fn table(rows: &[(&str, String)]) -> String {
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th>{}<td>{}\n", escaped(name), escaped(value))
    };
    format!("<table>\n{}</table>\n", rows.iter().map(row).collect::<String>())
}

/// Text that means nothing to HTML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_name_is_text_and_no_html() {
        assert_eq!(escaped("<b a=\"1\">&amp"), "&lt;b a=&quot;1&quot;&gt;&amp;amp");
    }
}
