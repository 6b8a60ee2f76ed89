//! Counts, and the bounds that they are held to.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use crate::Result;

/// Names and figures, in the order of the report.
pub(super) type Counts = Vec<(&'static str, f64)>;

/// The largest counts that pass: tables of `benches/bounds.toml`.
type Bounds = BTreeMap<String, BTreeMap<String, f64>>;

/// Compares counts with their bounds, and prints both.
pub(super) struct Judge {
    bounds: Bounds,
    passed: usize,
    failed: usize,
}

impl Judge {
    pub(super) fn new(file: &Path) -> Result<Self> {
        let bounds = toml::from_str(&fs::read_to_string(file)?)?;
        Ok(Self { bounds, passed: 0, failed: 0 })
    }

    /// Compares `counts` with the bounds in `table`. A count without a bound fails.
    pub(super) fn judge(&mut self, title: &str, table: &str, counts: &Counts) {
        println!("{title}");
        for (name, count) in counts {
            let bound = self.bounds.get(table).and_then(|table| table.get(*name));
            let passes = bound.is_some_and(|bound| count <= bound);
            *(if passes { &mut self.passed } else { &mut self.failed }) += 1;
            let bound = bound.map_or_else(|| "no bound".to_owned(), |bound| figure(*bound));
            let verdict = if passes { "" } else { "  FAILED" };
            println!("  {name:<34} {:>12}  at most {bound:>10}{verdict}", figure(*count));
        }
    }

    /// Prints how many counts passed: the exit code.
    pub(super) fn end(self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Prints counts that have no bounds.
pub(super) fn show(title: &str, counts: &Counts) {
    println!("{title}");
    for (name, count) in counts {
        println!("  {name:<34} {:>12}", figure(*count));
    }
}

fn figure(count: f64) -> String {
    if count < 1000.0 { format!("{count:.2}") } else { format!("{count:.0}") }
}
