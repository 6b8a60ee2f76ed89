//! The ratios as bars.

use std::path::Path;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Result;
use crate::compare::Report;

/// What of all workloads is shown: its name, and words for it.
const SHOWN: [(&str, &str); 7] = [
    ("plain/100x64", "Messages of 64 bytes, 100 sessions"),
    ("plain/stream-1", "A stream"),
    ("plain/connect", "Connections"),
    ("tls/100x64", "TLS: messages of 64 bytes, 100 sessions"),
    ("tls/stream-1", "TLS: a stream"),
    ("tls/full-ecdsa", "TLS: full handshakes"),
    ("tls/resumed-ecdsa", "TLS: resumed handshakes"),
];

/// Readable on white and on black.
const INK: RGBColor = RGBColor(125, 133, 144);
const OURS: RGBColor = RGBColor(31, 136, 61);
const THEIRS: RGBColor = RGBColor(110, 140, 180);

const WIDTH: i32 = 800;
const BAR: i32 = 18;
const LEFT: i32 = 150;
/// Longer bars are cut, and have a figure all the same.
const MOST: f64 = 3.0;

/// Draws `report` into a file.
pub(crate) fn draw(report: &Report, path: &Path) -> Result<()> {
    let groups: Vec<_> = SHOWN
        .iter()
        .filter_map(|(name, title)| {
            let workload = report.workloads.iter().find(|workload| workload.name == *name)?;
            let mut bars: Vec<(&str, f64)> = workload
                .servers
                .iter()
                .filter_map(|cost| Some((cost.server, cost.ratio?.median)))
                .collect();
            bars.sort_by(|one, other| one.1.total_cmp(&other.1));
            Some((*title, bars))
        })
        .collect();
    let rows: usize = groups.iter().map(|(_, bars)| bars.len()).sum();
    let height = i32::try_from(rows)? * BAR + i32::try_from(groups.len())? * 2 * BAR + 3 * BAR;
    let area =
        SVGBackend::new(path, (WIDTH.unsigned_abs(), height.unsigned_abs())).into_drawing_area();
    let style = |size: i32| ("sans-serif", size).into_font().color(&INK);
    let left = style(13).pos(Pos::new(HPos::Left, VPos::Center));
    let right = style(13).pos(Pos::new(HPos::Right, VPos::Center));
    let title = ("sans-serif", 14, FontStyle::Bold).into_font().color(&INK);
    let title = title.pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(
        "Processor time of the server; a bare epoll loop in C, for TLS over OpenSSL, is 1. Less is better.",
        (4, BAR),
        left.clone(),
    ))?;
    let mut y = 2 * BAR;
    for (words, bars) in groups {
        y += BAR / 2;
        area.draw(&Text::new(words, (4, y + BAR / 2), title.clone()))?;
        y += BAR + BAR / 3;
        let top = y;
        for (server, ratio) in bars {
            let colour = if server == "echo-alex" { OURS } else { THEIRS };
            let middle = y + BAR / 2;
            area.draw(&Text::new(server, (LEFT - 8, middle), right.clone()))?;
            let end = along(ratio);
            area.draw(&Rectangle::new([(LEFT, y + 2), (end, y + BAR - 2)], colour.filled()))?;
            let figure = format!("{ratio:.2}");
            area.draw(&Text::new(figure, (end + 6, middle), left.clone()))?;
            y += BAR;
        }
        area.draw(&PathElement::new([(along(1.0), top), (along(1.0), y)], INK.stroke_width(1)))?;
    }
    area.present()?;
    Ok(())
}

/// Where a bar for `ratio` ends.
#[allow(clippy::cast_possible_truncation)] // Within the picture.
fn along(ratio: f64) -> i32 {
    LEFT + (ratio.min(MOST) / MOST * f64::from(WIDTH - LEFT - 60)) as i32
}
