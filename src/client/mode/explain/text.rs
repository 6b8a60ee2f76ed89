//! The story as a sequence diagram of 80 columns.

use std::fmt::Write;

use super::report::{Report, Step, in_milliseconds};
use crate::client::drawing::{Colours, wrap};
use crate::client::mode::both::text::draw_rows;
use crate::client::tap::Direction;

/// The columns between the two life lines.
const WIDTH: usize = 68;

/// The longest row of text between them.
const ROW: usize = WIDTH - 5;

/// The columns before them: a time.
const MARGIN: usize = 10;

/// Draws the report.
pub fn draw(report: &Report, colours: Colours) -> String {
    let mut text = String::new();
    let title = |name: &str| colours.paint("1", name);
    let _ = writeln!(
        text,
        "{:>9} {}{}{}",
        "ms",
        title("client"),
        " ".repeat(WIDTH - 10),
        title("server")
    );
    for step in &report.steps {
        draw_step(&mut text, step, colours);
    }
    text.push('\n');
    for phase in &report.phases {
        let length = in_milliseconds(phase.length);
        let _ = writeln!(text, "{:<10} {length:>9.3} ms  {}", phase.name, bar(report, phase));
    }
    if let Some(facts) = &report.facts {
        for row in wrap(&facts.to_string(), 2, 80) {
            let _ = writeln!(text, "{row}");
        }
    }
    if let Some(rows) = &report.ends {
        text.push('\n');
        text.push_str(&draw_rows(rows, colours));
    }
    text
}

/// A bar for a phase, where it stands in the whole.
fn bar(report: &Report, phase: &super::report::Phase) -> String {
    const BAR: f64 = 50.0;

    let end = report.phases.iter().map(|it| it.start + it.length).max().unwrap_or_default();
    let whole = in_milliseconds(end).max(0.001);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let column = |ms: f64| (ms / whole * BAR).clamp(0.0, BAR) as usize;
    let (from, length) = (in_milliseconds(phase.start), in_milliseconds(phase.length));
    format!("{}{}", " ".repeat(column(from)), "#".repeat(column(length).max(1)))
}

fn draw_step(text: &mut String, step: &Step, colours: Colours) {
    let time = format!("{:>9.3} ", in_milliseconds(step.time));
    let size = match (step.wire.0.len(), &step.plaintext) {
        (0, None) => String::new(),
        (0, Some(_)) => ", in the same record".into(),
        (size, None) => format!(", {size} bytes"),
        (size, Some(_)) => format!(", encrypted, {size} bytes"),
    };
    let label: String = format!("{}{size}", step.name).chars().take(WIDTH - 8).collect();
    let dashes = "-".repeat(WIDTH.saturating_sub(6 + label.chars().count()));
    let (colour, line) = match step.direction {
        Some(Direction::Sent) => ("36", format!("|-- {label} {dashes}>|")),
        Some(Direction::Received) => ("32", format!("|<-- {label} {dashes}|")),
        None => ("33", format!("* {label}")),
    };
    let colour = if step.is_fault { "31" } else { colour };
    let _ = writeln!(text, "{time}{}", colours.paint(colour, &line));
    for line in &step.details {
        for row in wrap(&format!("{}: {}", line.name, line.value), 2, ROW) {
            let code = if line.name == "REFUSED" { "31" } else { "0" };
            write_row(text, &row, code, colours);
        }
    }
    if !step.purpose.is_empty() {
        // The section is not torn apart.
        let section = step.rfc.replace(' ', "\u{a0}");
        for row in wrap(&format!("{} [{section}]", step.purpose), 0, ROW) {
            let row = row.replace('\u{a0}', " ");
            write_row(text, &row, "2", colours);
        }
    }
    write_row(text, "", "0", colours);
}

/// A row between the life lines.
fn write_row(text: &mut String, row: &str, code: &str, colours: Colours) {
    let space = " ".repeat((WIDTH - 3).saturating_sub(row.chars().count()));
    let row = if code == "0" { row.to_owned() } else { colours.paint(code, row) };
    let _ = writeln!(text, "{}|   {row}{space}|", " ".repeat(MARGIN));
}
