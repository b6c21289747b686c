//! The reader of Parquet files: any bytes as one.

use std::collections::BTreeSet;
use std::panic;
use std::sync::Once;

use engine::Memory;
use engine::row::Batch;
use engine::source::parquet::ParquetRows;

pub(crate) fn feed(input: &[u8]) {
    let_the_decoder_panic();
    assert_eq!(read(input), read(input), "the same each time");
}

/// A panic of the crate that decodes is a damaged file, as long as the reader says so. One of ours is a miss: libFuzzer's own hook ends the
/// process at each.
fn let_the_decoder_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let of_a_dependency =
                info.location().is_some_and(|place| place.file().contains("/registry/") || place.file().contains("/rustc/"));
            if !of_a_dependency {
                told(info);
            }
        }));
    });
}

/// Every row as the reader tells it, or the words with which it ends.
fn read(file: &[u8]) -> (Vec<String>, Option<String>) {
    let mut told = Vec::new();
    let used: BTreeSet<String> = ["a".to_owned(), "name".to_owned()].into();
    let mut rows = match ParquetRows::open(file.to_vec().into(), &used, Memory::of(Some(256 << 20))) {
        Ok(rows) => rows,
        Err(error) => return (told, Some(error.to_string())),
    };
    let (mut batch, mut number) = (Batch::new(), 0);
    loop {
        match rows.next(&mut batch) {
            Ok(true) => {}
            Ok(false) => return (told, None),
            Err(error) => return (told, Some(error.to_string())),
        }
        for row in batch.rows() {
            number += 1;
            assert_eq!(row.number, number, "rows are counted one by one");
            assert_eq!(row.cells.len(), rows.header().len(), "as many cells as columns");
            for cell in &row.cells {
                assert!(std::str::from_utf8(cell).is_ok_and(|cell| !cell.contains('\0')), "cells are UTF-8 without NUL");
            }
            if told.len() < 100 {
                told.push(format!("{:?} {:?}", row.cells, row.fault));
            }
        }
        // A page can stand for more rows than there is time for.
        if number > 20_000 {
            return (told, None);
        }
    }
}
