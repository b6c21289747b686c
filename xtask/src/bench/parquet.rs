//! P7: reading a Parquet file, rows and all, against the library that people read it with. Named only: its peer is installed first.

use std::path::Path;

use anyhow::Result;

use super::data::{self, Header};
use super::python::Python;
use super::readers::{Runner, in_turns, program, source_of_a_file, source_of_parts};
use super::report::{Bound, Chapter, Goal};
use crate::progress::Progress;

pub(super) fn run(progress: &Progress, folder: &Path, rows: u64, rounds: Option<u16>) -> Result<Chapter> {
    let pyarrow = Python::with(progress, "crates/engine/tests/parquet/requirements.txt", &["pyarrow"])?;
    let program = program(progress)?;
    let csv = progress.during(&format!("the file of {rows} rows"), String::new, || data::file(folder, rows, Header::Columns))?;
    let file = pyarrow.made(progress, "pyarrow_make.py", &csv, "parquet")?;
    let runners: [Runner<'_>; 3] = [
        ("pyarrow", Box::new(|| pyarrow.script("pyarrow_read.py", &[&file]))),
        ("a source, Parquet", source_of_a_file(&program, &file)),
        ("a source, Parquet in parts", source_of_parts(&program, &file)),
    ];
    let used = in_turns(progress, folder, &runners, rows, rounds.unwrap_or(7))?;
    let [theirs, ours] = [&used[0], &used[1]];
    let goal = |what: &str, ratio: f64| Goal::new("P7", &format!("{what} of pyarrow ÷ a source"), Bound::AtLeast(1.0), ratio, "×");
    Ok(Chapter {
        scenario: "parquet".to_owned(),
        about: format!("the same {rows} rows as a Parquet file of the disk, {:.1} MB", data::bytes(&file)? as f64 / 1e6),
        figures: runners.iter().zip(&used).flat_map(|((name, _), used)| used.figures(name)).collect(),
        goals: vec![
            goal("processor time", theirs.processor_seconds.over(&ours.processor_seconds)),
            goal("wall time", theirs.seconds.over(&ours.seconds)),
        ],
        notes: vec![
            "a source makes rows of text of what it reads; pyarrow reads batches and writes them as CSV to /dev/null, with all cores"
                .to_owned(),
            "the file is as pyarrow makes it when nobody says how: Snappy, dictionaries, one row group of up to 1,048,576 rows".to_owned(),
            pyarrow.versions()?,
        ],
    })
}
