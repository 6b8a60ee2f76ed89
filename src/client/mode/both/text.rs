//! The comparison as a table of 80 columns.

use std::fmt::Write;

use super::clocks::Times;
use super::rows::Row;
use crate::client::drawing::{Colours, wrap};

/// The columns of a name, of the client's view and of the server's; a mark and spaces are around them.
const NAME: usize = 19;
const VIEW: usize = 28;

/// The columns of an explanation, and of the whole.
const INDENT: usize = 4;
const WIDTH: usize = 80;

/// The mark in front of a row, and its colour.
type Style = (&'static str, &'static str);
const TITLE: Style = (" ", "1");
const USUAL: Style = (" ", "0");
const MARKED: Style = ("*", "33");

/// Draws the rows, and where the time went.
pub fn draw(rows: &[Row], times: Option<&Times>, colours: Colours) -> String {
    let mut text = draw_rows(rows, colours);
    text.push('\n');
    match times {
        Some(times) => draw_times(&mut text, times, colours),
        None => text.push_str("  The server has recorded no time at which a message came\n"),
    }
    text
}

/// Draws the rows.
pub fn draw_rows(rows: &[Row], colours: Colours) -> String {
    let mut text = String::new();
    write_row(&mut text, ["", "client", "server"], TITLE, colours);
    for Row { name, client, server, finding } in rows {
        let style = if finding.is_some() { MARKED } else { USUAL };
        write_row(&mut text, [name, client, server], style, colours);
        if let Some(finding) = finding {
            explain(&mut text, &finding.explanation, colours);
        }
    }
    text
}

fn draw_times(text: &mut String, times: &Times, colours: Colours) {
    let title = format!("least of {}", times.messages);
    write_row(text, ["time", &title, "varied by"], TITLE, colours);
    let style = if times.is_uneven() { MARKED } else { USUAL };
    let ways = [
        ("round trip", times.round_trip, USUAL),
        ("to the server", times.to_server, style),
        ("back", times.back, style),
    ];
    for (name, way, style) in ways {
        let least = way.least.map_or_else(|| "not known".into(), |it| it.to_string());
        write_row(text, [name, &least, &way.varied.to_string()], style, colours);
    }
    explain(text, &times.explanation(), colours);
}

/// A row of the table; a cell that is too long has several lines.
fn write_row(text: &mut String, cells: [&str; 3], (mark, code): Style, colours: Colours) {
    let widths = [NAME, VIEW, VIEW];
    let columns: Vec<Vec<String>> =
        cells.into_iter().zip(widths).map(|(cell, width)| wrap(cell, 0, width)).collect();
    for number in 0..columns.iter().map(Vec::len).max().unwrap_or(0) {
        let mut line = if number == 0 { mark.to_owned() } else { " ".into() };
        for (column, width) in columns.iter().zip(widths) {
            let cell = column.get(number).map_or("", String::as_str);
            let _ = write!(line, " {cell:<width$}");
        }
        let line = line.trim_end();
        let line = if code == "0" { line.to_owned() } else { colours.paint(code, line) };
        let _ = writeln!(text, "{line}");
    }
}

fn explain(text: &mut String, explanation: &str, colours: Colours) {
    for row in wrap(explanation, 0, WIDTH - INDENT) {
        let _ = writeln!(text, "{}{}", " ".repeat(INDENT), colours.paint("2", &row));
    }
}
