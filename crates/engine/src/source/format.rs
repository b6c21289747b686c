//! How the bytes of a file become rows.

use std::collections::BTreeSet;

use api::import_job;

use super::blob::ByteStream;
use super::csv::{CsvOptions, CsvSource};
use super::{FileError, ReadError, Rows};

/// Every format that is understood. Whatever depends on the format matches all of them.
#[derive(Clone, Debug)]
pub enum Format {
    Csv(CsvOptions),
}

impl Format {
    /// What the job says of the file; CSV, with everything detected, when it says nothing.
    pub fn compile(format: Option<&import_job::Format>) -> Result<Self, FileError> {
        let csv = format.and_then(|format| format.csv.clone()).unwrap_or_default();
        Ok(Self::Csv(CsvOptions::compile(&csv)?))
    }

    /// Reads up to the header.
    pub(super) async fn rows(self, bytes: ByteStream, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        match self {
            Self::Csv(options) => Ok(Box::new(CsvSource::open(bytes, options.for_columns(used.clone())).await?)),
        }
    }
}
