//! Diagrams in SVG.

use std::error::Error;

use plotters::prelude::*;

use super::recorder::Interval;

/// The size of a diagram.
const SIZE: (u32, u32) = (800, 280);

/// How many points a line has at most.
const POINTS: usize = 800;

const COLOURS: [RGBColor; 3] =
    [RGBColor(31, 119, 180), RGBColor(214, 118, 9), RGBColor(176, 0, 32)];

type Drawn = Result<String, Box<dyn Error>>;

/// A figure of each interval by the time; of many intervals, the greatest of several at a time.
pub(super) fn points(intervals: &[Interval], figure: fn(&Interval) -> f64) -> Vec<(f64, f64)> {
    let together = intervals.len().div_ceil(POINTS).max(1);
    let pieces = intervals.chunks(together);
    let point = |piece: &[Interval]| {
        let start = piece.first().map_or(0.0, |interval| interval.start_s);
        (start, piece.iter().map(figure).fold(0.0, f64::max))
    };
    pieces.map(point).collect()
}

/// Bars over a logarithmic axis: each bin has its upper end in milliseconds and its count.
#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
pub(super) fn histogram(bins: &[(f64, u64)]) -> Drawn {
    let mut svg = String::new();
    let ends = || bins.iter().map(|(end, _)| *end);
    let first = ends().next().unwrap_or(1.0);
    let last = ends().next_back().unwrap_or(2.0).max(first * 2.0);
    let growth = ends().nth(1).map_or(2.0, |second| second / first);
    let most = bins.iter().map(|(_, count)| *count).max().unwrap_or(1) as f64;
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((first / growth..last * growth).log_scale(), 0.0..most * 1.05)?;
        chart.configure_mesh().disable_x_mesh().x_desc("ms").y_desc("messages").draw()?;
        chart.draw_series(bins.iter().map(|(end, count)| {
            let corners = [(end / growth, 0.0), (*end, *count as f64)];
            Rectangle::new(corners, COLOURS[0].filled())
        }))?;
        area.present()?;
    }
    Ok(svg)
}

/// Lines over the time in seconds.
pub(super) fn lines(unit: &str, series: &[(&str, Vec<(f64, f64)>)]) -> Drawn {
    let mut svg = String::new();
    let all = || series.iter().flat_map(|(_, points)| points.iter().copied());
    let end = all().map(|(time, _)| time).fold(1.0, f64::max);
    let most = all().map(|(_, value)| value).fold(0.001, f64::max);
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..end, 0.0..most * 1.05)?;
        chart.configure_mesh().x_desc("s").y_desc(unit).draw()?;
        for ((name, points), colour) in series.iter().zip(COLOURS) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(line)?;
            if !name.is_empty() {
                drawn.label(*name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            }
        }
        if series.len() > 1 {
            chart.configure_series_labels().border_style(BLACK.mix(0.3)).draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}
