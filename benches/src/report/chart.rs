//! The ratios as a bar chart in SVG.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::results::Report;
use crate::Result;
use crate::servers::{self, Transport};

/// The workloads that are shown, and their captions.
const SHOWN: [(&str, &str); 7] = [
    ("plain/100x64", "Messages, 100 sessions"),
    ("plain/stream-1", "A stream"),
    ("plain/connect", "Connections"),
    ("tls/100x64", "Messages, 100 sessions"),
    ("tls/stream-1", "A stream"),
    ("tls/full-ecdsa", "Full handshakes"),
    ("tls/resumed-ecdsa", "Resumed handshakes"),
];

/// Readable on white and on black.
const INK: RGBColor = RGBColor(125, 133, 144);
const OURS: RGBColor = RGBColor(46, 160, 67);
const THEIRS: RGBColor = RGBColor(110, 140, 180);

/// Pixels: the width of a column, the height of a line, the room for names before the bars.
const COLUMN: i32 = 420;
const LINE: i32 = 18;
const NAMES: i32 = 120;
/// The ratio at which bars are cut. The figure beside a bar is always the true one.
const MOST: f64 = 3.0;

/// The caption of one workload, and its bars.
type Group = (&'static str, Vec<(String, f64)>);

/// Draws `report` into a file: plain on the left, TLS on the right.
pub(crate) fn draw(report: &Report, path: &Path) -> Result<()> {
    let transports = [Transport::Plain, Transport::Tls];
    let columns = transports.map(|transport| groups(report, transport));
    let lines = |groups: &Vec<Group>| groups.iter().map(|(_, bars)| bars.len() + 2).sum::<usize>();
    let lines = 4 + columns.iter().map(lines).max().unwrap_or_default();
    let size = (2 * COLUMN.unsigned_abs(), u32::try_from(lines)? * LINE.unsigned_abs());
    let area = SVGBackend::new(path, size).into_drawing_area();
    let words = "Processor time of the server (median). Less is better; bars are cut at 3.";
    area.draw(&Text::new(words, (4, LINE), style(HPos::Left, FontStyle::Normal)))?;
    let (left, right) = area.split_horizontally(COLUMN);
    for ((column, transport), groups) in [left, right].iter().zip(transports).zip(&columns) {
        let head = format!("{}, {} is 1", transport.title(), transport.reference());
        column.draw(&Text::new(head, (4, LINE * 5 / 2), style(HPos::Left, FontStyle::Bold)))?;
        bars(column, groups)?;
    }
    area.present()?;
    Ok(())
}

/// The groups of one transport, each with its smallest ratio first.
fn groups(report: &Report, transport: Transport) -> Vec<Group> {
    SHOWN
        .iter()
        .filter_map(|(name, title)| {
            let mut workloads = report.workloads.iter();
            let workload = workloads.find(|one| one.name == *name && one.transport == transport)?;
            let title_of = |server| servers::title(server, transport);
            let ratios = workload
                .servers
                .iter()
                .filter_map(|cost| Some((title_of(cost.server), cost.ratio?.median)));
            let mut bars: Vec<(String, f64)> = ratios.collect();
            bars.sort_by(|one, other| one.1.total_cmp(&other.1));
            Some((*title, bars))
        })
        .collect()
}

fn bars(area: &DrawingArea<SVGBackend, Shift>, groups: &[Group]) -> Result<()> {
    // The end of a bar.
    #[allow(clippy::cast_possible_truncation)] // Within the picture.
    let end = |ratio: f64| NAMES + (ratio.min(MOST) / MOST * f64::from(COLUMN - NAMES - 50)) as i32;
    let mut y = 3 * LINE;
    for (title, bars) in groups {
        let middle = y + LINE * 3 / 4;
        area.draw(&Text::new(*title, (4, middle), style(HPos::Left, FontStyle::Normal)))?;
        y += LINE * 3 / 2;
        let top = y;
        for (server, ratio) in bars {
            let (middle, end) = (y + LINE / 2, end(*ratio));
            let colour = if server == "echo-alex" { OURS } else { THEIRS };
            let (name, figure) = (server.clone(), format!("{ratio:.2}"));
            area.draw(&Text::new(
                name,
                (NAMES - 8, middle),
                style(HPos::Right, FontStyle::Normal),
            ))?;
            area.draw(&Rectangle::new([(NAMES, y + 2), (end, y + LINE - 2)], colour.filled()))?;
            area.draw(&Text::new(figure, (end + 6, middle), style(HPos::Left, FontStyle::Normal)))?;
            y += LINE;
        }
        area.draw(&PathElement::new([(end(1.0), top), (end(1.0), y)], INK.stroke_width(1)))?;
        y += LINE / 2;
    }
    Ok(())
}

fn style(side: HPos, weight: FontStyle) -> TextStyle<'static> {
    ("sans-serif", 16, weight).into_font().color(&INK).pos(Pos::new(side, VPos::Center))
}
