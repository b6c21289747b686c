//! What reads bytes of strangers, each fed with any input. A target fails by a panic: of the code that it feeds, or of an assertion
//! that says what must hold for every input.

mod csv;
mod excel;
mod file;
mod formula;
mod json;
mod parquet;
mod record;
mod results;
mod soql;

use engine::row::Batch;
use engine::source::{ReadError, Rows};

/// The name of a target, and what feeds it.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, in the order in which they are run.
pub const TARGETS: [Target; 9] = [
    ("csv", csv::feed),
    ("json", json::feed),
    ("file", file::feed),
    ("excel", excel::feed),
    ("parquet", parquet::feed),
    ("formula", formula::feed),
    ("record", record::feed),
    ("soql", soql::feed),
    ("results", results::feed),
];

/// The target of this name.
pub fn target(name: &str) -> Option<fn(&[u8])> {
    TARGETS.iter().find(|(target, _)| *target == name).map(|(_, feed)| *feed)
}

/// Reads to the end, tells every row, and looks at what must hold for all of them.
async fn tell(mut source: Box<dyn Rows>, told: &mut Vec<String>) -> Result<(), ReadError> {
    let mut batch = Batch::new();
    let (mut number, columns) = (0, source.header().len());
    told.push(format!("{:?}", source.header().names()));
    while source.next(&mut batch).await? {
        for row in batch.rows() {
            number += 1;
            assert_eq!(row.number, number, "rows are counted one by one");
            assert_eq!(row.cells.len(), columns, "as many cells as columns");
            assert!(row.cells.iter().all(|cell| std::str::from_utf8(cell).is_ok()), "cells are text");
            assert!(row.fault.is_some() || row.refused.is_empty(), "only a refused row is kept as it stood");
            told.push(format!("{:?} {} {:?}", row.cells, row.skipped, row.fault));
        }
    }
    told.push(format!("{} blank lines", source.blank_lines()));
    Ok(())
}

/// Cuts `bytes` into pieces whose sizes repeat: 1 to 16 for each four bits of `sizes`.
fn pieces(bytes: &[u8], sizes: u8) -> Vec<bytes::Bytes> {
    let mut sizes = [usize::from(sizes & 15) + 1, usize::from(sizes >> 4) + 1].into_iter().cycle();
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
        pieces.push(bytes::Bytes::copy_from_slice(piece));
        rest = behind;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Seeds are valid or nearly so: a target that refuses them all at its door finds nothing.
    #[test]
    fn every_target_has_seeds_and_takes_them() {
        for (name, feed) in TARGETS {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(name);
            let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(!files.is_empty(), "{name} has no seeds");
            for file in files {
                let seed = fs::read(&file).unwrap();
                if file.ends_with("lines.txt") { seed.split(|byte| *byte == b'\n').for_each(feed) } else { feed(&seed) }
            }
        }
    }

    #[test]
    fn pieces_are_the_whole() {
        let whole: Vec<u8> = (0..100).collect();
        for sizes in 0..=u8::MAX {
            assert_eq!(pieces(&whole, sizes).concat(), whole);
        }
    }
}
