//! The results of a comparison, and their renderings.

mod chart;
mod markdown;
mod results;

pub(crate) use chart::draw;
pub(crate) use markdown::markdown;
pub(crate) use results::{Alone, Cost, Figure, Measured, Memory, Report};
