//! P7: reading a workbook, rows and all, against the library that people read it with. Named only: its peer takes minutes.

use std::path::Path;

use anyhow::{Result, ensure};

use super::data::{self, Header};
use super::figures::Series;
use super::python::Python;
use super::readers::{Runner, in_turns, program, source_of_a_file, source_of_parts};
use super::report::{Bound, Chapter, Figure, Goal};
use crate::progress::Progress;

/// Rows of a sheet, as Excel has them, without the header.
const MOST: u64 = 1_048_575;

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    ensure!(rows <= MOST, "a sheet takes {MOST} rows and a header: say --rows with less");
    let python = Python::with(progress, "crates/engine/tests/workbooks/requirements.txt", &["openpyxl", "XlsxWriter"])?;
    let program = program(progress)?;
    let csv = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let file = python.made(progress, "xlsxwriter_make.py", &csv, "xlsx")?;
    let compressed = data::bytes(&file)? as f64;
    let runners: [Runner<'_>; 3] = [
        ("openpyxl", Box::new(|| python.script("openpyxl_read.py", &[&file]))),
        ("a source, workbook", source_of_a_file(&program, &file)),
        ("a source, workbook in parts", source_of_parts(&program, &file)),
    ];
    let used = in_turns(progress, folder, &runners, rows, rounds.unwrap_or(3))?;
    let [theirs, ours, parts] = [&used[0], &used[1], &used[2]];
    let size: Series = [compressed / f64::from(1 << 20)].into_iter().collect();
    let figures = runners.iter().zip(&used).flat_map(|((name, _), used)| used.figures(name));
    Ok(Chapter {
        scenario: "workbook".to_owned(),
        about: format!("the same {rows} rows as a workbook of the disk"),
        figures: figures.chain([Figure::of("the file", "MiB", &size)]).collect(),
        goals: vec![
            Goal::new(
                "P7",
                "processor time of openpyxl ÷ a source",
                Bound::AtLeast(20.0),
                theirs.processor_seconds.over(&ours.processor_seconds),
                "×",
            ),
            Goal::new("P7", "memory of a source that reads in parts", Bound::AtMost(64.0), parts.peak_mib.median(), "MiB"),
            Goal::new("P7", "memory of a source − the file", Bound::AtMost(64.0), ours.peak_mib.median() - size.median(), "MiB"),
        ],
        notes: vec![
            "a source makes rows of text of what it reads; openpyxl makes values, read only, and throws them away".to_owned(),
            "each text stands in its cell: no list of texts that cells share has to be held".to_owned(),
            python.versions()?,
        ],
    })
}
