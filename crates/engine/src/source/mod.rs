//! Where rows come from, in three words:
//!
//! | word | what | files |
//! |---|---|---|
//! | [`Blob`](blob::Blob) | bytes somewhere, with an identity; they may be packed | `blob`, `packed` |
//! | [`Format`] | how bytes become rows | `format`, `kind`, `csv`, `excel`, `json`, `parquet`; `random_access`, `archive` |
//! | [`Rows`] | a header and batches of rows; a database has them without blob and format | `postgres`, `mysql`, `sqlserver`; `keys`, `ordered`, `statement`, `watermark` |
//!
//! A [`Source`] is what can be opened to rows: it knows where to begin and how it can be read once more. Nothing here
//! knows what happens to the rows.

mod archive;
pub mod blob;
pub mod csv;
mod error;
pub mod excel;
mod file;
mod format;
pub mod json;
mod keys;
mod kind;
mod limits;
pub mod mysql;
mod ordered;
mod packed;
pub mod parquet;
mod peek;
pub mod postgres;
mod random_access;
pub mod sqlserver;
mod statement;
mod values;
mod watermark;

use std::collections::BTreeSet;

use api::import_run::Warning;
use async_trait::async_trait;

pub use self::error::{FileError, QueryError, ReadError, Remedy};
pub use self::file::{FileSource, Said};
pub use self::format::Format;
pub use self::values::Zoneless;
pub use self::watermark::Since;
use crate::load::Reread;
use crate::row::{Batch, Header};

/// What can be opened to rows.
#[async_trait]
pub trait Source: Send + Sync {
    /// How the rows can be read once more by a later attempt.
    fn reread(&self) -> Reread;

    /// By what a later attempt knows what this one has opened, so that it reads that and nothing else; empty when there is nothing to know.
    /// It is kept sealed.
    fn origin(&self) -> Vec<String> {
        Vec::new()
    }

    /// What was opened, where the job leaves that to what is there.
    fn name(&self) -> Option<String> {
        None
    }

    /// What a job that reads only what is new has read once this is read to its end; its next run is told. Kept sealed, too.
    fn reached(&self) -> Vec<String> {
        self.origin()
    }

    /// So many of what was there wait for runs of their own.
    fn left(&self) -> u64 {
        0
    }

    /// Opens the source; the header is known then, no row was read. `used`: the columns that the job uses, by their
    /// names; only in these a row may be too long for Salesforce.
    async fn open(&self, start: &Start, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError>;
}

/// Rows, once, in order. Nothing is read ahead of the batch that is asked for, but for what a connection holds on its
/// way, and for a file that can only be read as a whole.
#[async_trait]
pub trait Rows: Send {
    /// Names of the columns of all the rows.
    fn header(&self) -> &Header;

    /// Clears the batch and fills it. False: the source has ended and the batch is empty. A call that is dropped before
    /// it is done loses the rows that it had begun with, and no rows may be asked for after it.
    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError>;

    /// The whole file is in memory beside the rows that are under way.
    fn holds_file(&self) -> bool {
        false
    }

    /// The highest value of the job's watermark so far, as the database wrote it; absent without one, and before the first row.
    fn watermark(&self) -> Option<String> {
        None
    }

    /// Lines without any text, skipped so far; they are not rows.
    fn blank_lines(&self) -> u64 {
        0
    }

    /// What is odd about the rows so far, and what became of it.
    fn warnings(&self) -> Vec<Warning> {
        Vec::new()
    }
}

/// Where reading begins.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Start {
    /// With the first row.
    #[default]
    First,
    /// With the first row of what an earlier attempt opened.
    Again {
        /// What that attempt's [`Source::origin`] was.
        origin: Vec<String>,
    },
    /// Behind the row with this key, as an earlier attempt recorded it.
    Behind {
        /// Texts of the `orderBy` columns, in that order, as the database wrote them.
        key: Vec<String>,
        /// Whether the rows up to that key are read once more.
        replay: Replay,
    },
}

/// What becomes of the rows up to the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Replay {
    /// They are not read.
    None,
    /// They are read again and marked as seen, for a pipeline that remembers rows.
    Seen,
}
