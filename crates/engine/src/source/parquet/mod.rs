//! Rows of a Parquet file.
//!
//! bytes → `footer` (what the file consists of; `thrift`) → `columns` (which of it are columns; `shape`) → `pages` (checked and unpacked within
//! a `budget`; `rest`, `header`, `inflate`, `differences`) → `texts`, or for other values the crate `parquet`, which decodes them (`decoder`) → `cells` (values; `value`, `decimal`) → `rows`
//! (header, faults, batches)
//!
//! What a file consists of stands at its end, so any part of it has to be at hand (`random_access`). It is read on a thread that may block.

mod budget;
mod cells;
mod columns;
mod decimal;
mod decoder;
mod differences;
mod error;
mod footer;
mod header;
mod inflate;
mod kinds;
mod limits;
mod line;
mod numbers;
mod pages;
mod rest;
mod rows;
mod shape;
mod texts;
mod thrift;
mod value;

use std::collections::BTreeSet;

pub use self::error::{ParquetError, Part};
pub use self::rows::ParquetRows;
use super::random_access::{Content, HeldRows, Threaded};
use super::{FileError, ReadError};
use crate::Memory;
use crate::row::{Batch, Header};

/// Reads up to the header.
pub(super) async fn open(content: Content, used: BTreeSet<String>, memory: Memory) -> Result<Threaded, ReadError> {
    let file = content.random_access(memory, |limit| ParquetError::TooLarge { limit }.into()).await?;
    Threaded::open(file, move |file| ParquetRows::of(file, &used, memory)).await
}

impl HeldRows for ParquetRows {
    fn header(&self) -> &Header {
        self.header()
    }

    fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError> {
        self.next(batch)
    }
}

#[cfg(test)]
mod tests;
