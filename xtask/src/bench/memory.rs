//! P3: memory does not grow with the file.

use anyhow::Result;

use super::Bench;
use super::data::Header;
use super::figures::Series;
use super::import::{Import, Results};
use super::report::{Bound, Chapter, Figure, Goal};

/// How much more rows the large file has.
const TIMES: u64 = 10;

pub(super) fn run(bench: &Bench) -> Result<Chapter> {
    let rounds = bench.rounds.unwrap_or(2);
    let import = Import { program: &bench.programs.dataimporter, folder: &bench.folder };
    let (small, large) = (bench.rows, bench.rows * TIMES);
    let mut peaks: [[Series; 2]; 2] = Default::default();
    for round in 1..=rounds {
        for (size, rows) in [small, large].into_iter().enumerate() {
            let file = bench.data(rows, Header::Columns)?;
            for (kind, results) in [Results::Files, Results::None].into_iter().enumerate() {
                bench.progress.say(&format!("memory: round {round} of {rounds}, {rows} rows, results {results:?}"));
                let org = bench.org.start()?;
                peaks[kind][size].push(import.run(&org, &file, rows, results)?.process.peak_mib);
            }
        }
    }
    let [[files_small, files_large], [none_small, none_large]] = peaks;
    Ok(Chapter {
        scenario: "memory".to_owned(),
        about: format!("most memory resident at a time (VmHWM), {small} and {large} rows"),
        figures: vec![
            Figure::of(&format!("{small} rows, result files"), "MiB", &files_small),
            Figure::of(&format!("{large} rows, result files"), "MiB", &files_large),
            Figure::of(&format!("{small} rows, results none"), "MiB", &none_small),
            Figure::of(&format!("{large} rows, results none"), "MiB", &none_large),
        ],
        goals: vec![
            Goal::new("P3", "large ÷ small, result files", Bound::AtMost(1.1), files_large.over(&files_small), "×"),
            Goal::new("P3", "large ÷ small, results none", Bound::AtMost(1.1), none_large.over(&none_small), "×"),
            Goal::new("P3", "large, result files", Bound::AtMost(64.0), files_large.median(), "MiB"),
            Goal::new("P3", "large, results none", Bound::AtMost(32.0), none_large.median(), "MiB"),
        ],
        notes: vec![
            "without a keeper: no checkpoints are written and nothing is encrypted".to_owned(),
            "read every 10 ms from /proc; what a process adds in its last moments may be missed".to_owned(),
        ],
    })
}
