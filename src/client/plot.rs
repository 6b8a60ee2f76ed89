//! Diagrams in SVG.

use std::error::Error;

use plotters::prelude::*;

use crate::exit::{Exit, Failure};

/// The size of a diagram.
const SIZE: (u32, u32) = (800, 280);

/// How many points a line has at most.
const POINTS: usize = 800;

const COLOURS: [RGBColor; 3] =
    [RGBColor(31, 119, 180), RGBColor(214, 118, 9), RGBColor(176, 0, 32)];

/// A line of a diagram. With a single one, the name may be empty.
pub struct Line {
    /// What it is called.
    pub name: &'static str,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
    /// Where something has no value: these get crosses at the top.
    pub marks: Vec<f64>,
}

impl Line {
    /// A line through these points, of which it takes a part if there are many.
    pub fn new(name: &'static str, points: impl IntoIterator<Item = (f64, f64)>) -> Self {
        Self { name, points: thin(&points.into_iter().collect::<Vec<_>>()), marks: Vec::new() }
    }
}

/// The points themselves, or of many, the greatest of several at a time.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS).max(1);
    let point = |piece: &[(f64, f64)]| {
        let start = piece.first().map_or(0.0, |(x, _)| *x);
        (start, piece.iter().map(|(_, y)| *y).fold(0.0, f64::max))
    };
    points.chunks(together).map(point).collect()
}

/// Bars over a logarithmic axis: each bin has its upper end in milliseconds and its count.
pub fn histogram(bins: &[(f64, u64)]) -> Result<String, Failure> {
    draw_histogram(bins).map_err(|error| no_diagram(&*error))
}

/// Lines over an axis with this unit, and beside one.
pub fn lines(x_unit: &str, y_unit: &str, lines: &[Line]) -> Result<String, Failure> {
    draw_lines(x_unit, y_unit, lines).map_err(|error| no_diagram(&*error))
}

fn no_diagram(error: &dyn Error) -> Failure {
    Failure::new(Exit::Failure, format!("cannot draw a diagram: {error}"))
}

type Drawn = Result<String, Box<dyn Error>>;

#[allow(clippy::cast_precision_loss)] // Counts are below 2^53.
fn draw_histogram(bins: &[(f64, u64)]) -> Drawn {
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

fn draw_lines(x_unit: &str, y_unit: &str, lines: &[Line]) -> Drawn {
    let mut svg = String::new();
    let all = || lines.iter().flat_map(|line| line.points.iter().copied());
    let marks = || lines.iter().flat_map(|line| line.marks.iter().copied());
    let end = all().map(|(x, _)| x).chain(marks()).fold(1.0, f64::max);
    let most = all().map(|(_, y)| y).fold(0.001, f64::max) * 1.05;
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d(0.0..end, 0.0..most)?;
        chart.configure_mesh().x_desc(x_unit).y_desc(y_unit).draw()?;
        for (Line { name, points, marks }, colour) in lines.iter().zip(COLOURS) {
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2));
            let drawn = chart.draw_series(line)?;
            if !name.is_empty() {
                drawn.label(*name).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(2))
                });
            }
            chart.draw_series(marks.iter().map(|x| Cross::new((*x, most), 4, colour)))?;
        }
        if lines.len() > 1 {
            chart.configure_series_labels().border_style(BLACK.mix(0.3)).draw()?;
        }
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_points_the_greatest_stay() {
        let few = vec![(0.0, 1.0), (1.0, 2.0)];
        assert_eq!(thin(&few), few);
        let many = (0..10_000).map(|x| (f64::from(x), if x == 5001 { 9.0 } else { 1.0 }));
        let thin = thin(&many.collect::<Vec<_>>());
        assert!(thin.len() <= POINTS);
        assert!(thin.contains(&(4992.0, 9.0)), "{thin:?}");
    }

    #[test]
    fn a_diagram_has_its_names_and_a_cross_for_each_mark() {
        let line = |name, marks| Line { marks, ..Line::new(name, [(0.0, 1.0), (1.0, 3.0)]) };
        let without = lines("s", "ms", &[line("UDP", vec![]), line("TCP", vec![])]).unwrap();
        assert!(without.contains("UDP") && without.contains("TCP"), "{without}");
        let with = lines("s", "ms", &[line("UDP", vec![0.5, 0.7]), line("TCP", vec![])]).unwrap();
        let strokes = |svg: &str| svg.matches("<line").count() + svg.matches("<polyline").count();
        assert!(strokes(&with) > strokes(&without), "{with}");
        assert!(lines("s", "ms", &[]).is_ok() && histogram(&[]).is_ok());
    }
}
