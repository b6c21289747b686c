//! What a row costs in instructions, by `valgrind --tool=callgrind`: a figure that does not depend on what else the machine does, so a change
//! that makes a row dearer is seen here first. The one scenario that fails: when a row costs more than it did.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::figures::Series;
use super::report::{Bound, Chapter, Figure, Goal};
use crate::progress::Progress;
use crate::{packages, process, workspace};

/// What a row cost when this was written, with result files and without, and how much more it may cost before somebody looks.
const ROW: [(&str, &str, f64); 2] = [("files", "a row, with result files", FILES), ("none", "a row, results counted", COUNTED)];
const FILES: f64 = 8_857.0;
const COUNTED: f64 = 6_600.0;
const TOLERANCE: f64 = 1.03;

/// The difference of two loads is rows alone: starting and the first allocations are in both.
const ROWS: [u32; 2] = [20_000, 120_000];

const VALGRIND: packages::Package = packages::Package::with_program("valgrind", "valgrind");

pub(super) fn run(progress: &Progress, folder: &Path) -> Result<Chapter> {
    packages::install(progress, &[VALGRIND, packages::CMAKE])?;
    let program = progress.during("building the measurement of a load", String::new, build)?;
    let (mut figures, mut goals) = (Vec::new(), Vec::new());
    for (results, what, before) in ROW {
        let [few, many] = ROWS.map(|rows| {
            let doing = format!("counting instructions of {rows} rows, results: {results}");
            progress.during(&doing, String::new, || count(&program, rows, results, folder))
        });
        let mut row = Series::default();
        row.push((many? - few?) / f64::from(ROWS[1] - ROWS[0]));
        goals.push(Goal::new("P1", what, Bound::AtMost(before * TOLERANCE), row.median(), ""));
        figures.push(Figure::of(what, "", &row));
    }
    ensure!(goals.iter().all(Goal::is_met), "a row costs more than {:.0} % of what it did: {}", TOLERANCE * 100.0, told(&goals));
    Ok(Chapter {
        scenario: "instructions".to_owned(),
        about: "a whole load without its network (`cargo bench -p engine --bench load`), instructions".to_owned(),
        figures,
        goals,
        notes: vec!["what the org in memory does to answer is not counted".to_owned()],
    })
}

fn told(goals: &[Goal]) -> String {
    goals.iter().map(Goal::told).collect::<Vec<_>>().join("; ")
}

fn build() -> Result<String> {
    let mut cargo = process::cargo();
    cargo.args(["bench", "--locked", "-p", "engine", "--bench", "load", "--no-run", "--message-format", "json-render-diagnostics"]);
    let said = process::output(cargo.current_dir(workspace::root()))?;
    let program = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()).find_map(|artifact| {
        let is_bench = artifact["target"]["name"] == "load" && artifact["target"]["kind"][0] == "bench";
        artifact["executable"].as_str().filter(|_| is_bench).map(str::to_owned)
    });
    program.context("cargo does not say where the bench of crate engine is")
}

fn count(program: &str, rows: u32, results: &str, folder: &Path) -> Result<f64> {
    let file = folder.join("callgrind.out");
    let mut valgrind = Command::new("valgrind");
    valgrind.arg("--tool=callgrind").arg(format!("--callgrind-out-file={}", file.display()));
    // Entering one of these stops the count, leaving it goes on.
    for left_out in ["load::echo", "load::bytecount", "load::shared::file"] {
        valgrind.arg(format!("--toggle-collect={left_out}"));
    }
    // The last one decides, and each --toggle-collect begins without counting.
    valgrind.arg("--collect-atstart=yes");
    process::output(valgrind.arg(program).arg(rows.to_string()).arg(results))?;
    let text = std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    total(&text).with_context(|| format!("{} has no total", file.display()))
}

/// `summary: 812440920`
fn total(text: &str) -> Option<f64> {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("summary:").or_else(|| line.strip_prefix("totals:")))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_off_what_callgrind_writes() {
        assert_eq!(total("version: 1\nevents: Ir\nsummary: 812440920\n\nfn=(1) main\n1 5\n\ntotals: 812440921\n"), Some(812_440_921.0));
        assert_eq!(total("fn=(1) main\n1 5\n"), None);
    }
}
