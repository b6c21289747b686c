//! How the bytes of a file become rows.

use std::collections::BTreeSet;

use api::import_job::{self, FormatKind, ParquetFormat};

use super::csv::{CsvOptions, CsvSource, is_result_file};
use super::excel::{self, ExcelOptions};
use super::json::{JsonOptions, JsonSource};
use super::random_access::Content;
use super::{FileError, ReadError, Rows, Zoneless, kind, parquet};
use crate::Memory;

/// Every format that is understood. Whatever depends on the format matches all of them.
#[derive(Clone, Debug)]
pub enum Format {
    /// Comma-separated values, with whatever delimiter.
    Csv(CsvOptions),
    /// A sheet of a workbook.
    Excel(ExcelOptions),
    /// An object for each row.
    Json(JsonOptions),
    /// Parquet.
    Parquet,
}

impl Format {
    /// What the job says of the file.
    pub fn compile(said: &import_job::Format) -> Result<Self, FileError> {
        match said.kind().ok_or(FileError::UnknownFormat)? {
            FormatKind::Csv(csv) => Ok(Self::Csv(CsvOptions::compile(csv)?)),
            FormatKind::Excel(excel) => Ok(Self::Excel(ExcelOptions::compile(excel)?)),
            FormatKind::Json(json) => Ok(Self::Json(JsonOptions::compile(json))),
            FormatKind::Parquet(ParquetFormat {}) => Ok(Self::Parquet),
        }
    }

    /// What the job says, and without that what the file shows. A result file that comes back is CSV, whatever the job says of the file
    /// that it was made from.
    pub(super) fn of(told: Option<Self>, head: &[u8]) -> Self {
        match told {
            Some(told @ Self::Csv(_)) => told,
            _ if is_result_file(head) => Self::Csv(CsvOptions::default()),
            Some(told) => told,
            None if kind::is_workbook(head) => Self::Excel(ExcelOptions::default()),
            None if kind::is_parquet(head) => Self::Parquet,
            None if kind::is_json(kind::without_mark(head)) => Self::Json(JsonOptions::default()),
            None => Self::Csv(CsvOptions::default()),
        }
    }

    /// Reads up to the header.
    pub(super) async fn rows(
        self,
        content: Content,
        used: &BTreeSet<String>,
        memory: Memory,
        zoneless: Zoneless,
    ) -> Result<Box<dyn Rows>, ReadError> {
        match self {
            Self::Csv(options) => Ok(Box::new(CsvSource::open(content.bytes, options.for_columns(used.clone())).await?)),
            Self::Excel(options) => Ok(Box::new(excel::open(content, options.with(zoneless), used.clone(), memory).await?)),
            Self::Json(options) => Ok(Box::new(JsonSource::open(content.bytes, options, used).await?)),
            Self::Parquet => Ok(Box::new(parquet::open(content, used.clone(), memory).await?)),
        }
    }
}
