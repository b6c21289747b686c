//! How the bytes of a file become rows.

use std::collections::BTreeSet;

use api::import_job::{self, FormatKind};

use super::blob::ByteStream;
use super::csv::{CsvOptions, CsvSource};
use super::excel::{ExcelOptions, ExcelRows};
use super::{FileError, ReadError, Rows};

/// Every format that is understood. Whatever depends on the format matches all of them.
#[derive(Clone, Debug)]
pub enum Format {
    /// Comma-separated values, with whatever delimiter.
    Csv(CsvOptions),
    /// A sheet of a workbook.
    Excel(ExcelOptions),
}

impl Format {
    /// What the job says of the file; CSV, with everything detected, when it says nothing.
    pub fn compile(said: Option<&import_job::Format>) -> Result<Self, FileError> {
        match import_job::Format::read_as(said).ok_or(FileError::UnknownFormat)? {
            FormatKind::Csv(csv) => Ok(Self::Csv(CsvOptions::compile(csv)?)),
            FormatKind::Excel(excel) => Ok(Self::Excel(ExcelOptions::compile(excel)?)),
        }
    }

    /// Reads up to the header.
    pub(super) async fn rows(self, bytes: ByteStream, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        match self {
            Self::Excel(options) => Ok(Box::new(ExcelRows::open(bytes, options, used.clone()).await?)),
            Self::Csv(options) => Ok(Box::new(CsvSource::open(bytes, options.for_columns(used.clone())).await?)),
        }
    }
}
