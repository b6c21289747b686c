//! How the bytes of a file become rows.

use std::collections::BTreeSet;

use api::import_job::{self, FormatKind};

use super::blob::ByteStream;
use super::csv::{CsvOptions, CsvSource};
use super::{FileError, ReadError, Rows};

/// Every format that is understood. Whatever depends on the format matches all of them.
#[derive(Clone, Debug)]
pub enum Format {
    /// Comma-separated values, with whatever delimiter.
    Csv(CsvOptions),
}

impl Format {
    /// What the job says of the file; CSV, with everything detected, when it says nothing.
    pub fn compile(said: Option<&import_job::Format>) -> Result<Self, FileError> {
        match import_job::Format::read_as(said).ok_or(FileError::UnknownFormat)? {
            FormatKind::Csv(csv) => Ok(Self::Csv(CsvOptions::compile(csv)?)),
        }
    }

    /// Reads up to the header.
    pub(super) async fn rows(self, bytes: ByteStream, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        match self {
            Self::Csv(options) => Ok(Box::new(CsvSource::open(bytes, options.for_columns(used.clone())).await?)),
        }
    }
}
