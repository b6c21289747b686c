//! Files that other people's programs wrote, and hostile ones: what is read of them, what is refused, and that each limit is the reason of its
//! refusal.

mod hostile;
mod maker;
mod makers;

use std::collections::BTreeSet;

use super::*;
use crate::Memory;
use crate::row::RowError;

/// What is read of a file.
#[derive(Debug)]
struct Told {
    columns: Vec<String>,
    described: String,
    rows: Vec<Vec<String>>,
    faults: Vec<(u64, RowError)>,
}

fn names(used: &[&str]) -> BTreeSet<String> {
    used.iter().map(|name| (*name).to_owned()).collect()
}

fn told(file: impl Into<bytes::Bytes>, used: &[&str]) -> Result<Told, String> {
    let mut rows = ParquetRows::open(file.into(), &names(used), Memory::of(Some(256 << 20))).map_err(|error| error.to_string())?;
    let columns = rows.header().names().to_vec();
    let mut told = Told { columns, described: rows.header().described(), rows: Vec::new(), faults: Vec::new() };
    let mut batch = Batch::new();
    while rows.next(&mut batch).map_err(|error| error.to_string())? {
        for row in batch.rows() {
            assert_eq!(row.cells.len(), told.columns.len());
            assert_eq!(row.number, told.rows.len() as u64 + 1);
            told.rows.push(row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect());
            if let Some(fault) = &row.fault {
                assert!(!row.refused.is_empty(), "a row that is refused shows how it stood");
                told.faults.push((row.number, fault.clone()));
            }
        }
    }
    Ok(told)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/parquet/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}
