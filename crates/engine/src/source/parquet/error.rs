//! Why a Parquet file cannot be read. Says columns, rows and limits, never what stands in a cell.

use formula::Shown;

use crate::source::Remedy;

/// What is wrong with a Parquet file as a whole, or with what the job wants of it.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is and shows its fields")]
pub enum ParquetError {
    #[error("the file is {what}, not a Parquet file: {remedy}")]
    NotParquet { what: &'static str, remedy: &'static str },
    #[error("the Parquet file is encrypted: write it once more without encryption")]
    Encrypted,
    #[error("the Parquet file is damaged or cut off in {part}: fetch it again, or write it once more")]
    Damaged { part: Part },
    #[error("the Parquet file says that its values stand in other files: write them into one file")]
    Elsewhere,
    #[error(
        "the Parquet file has more than {} MiB and cannot be fetched in parts, so that it would have to be held in memory: unpack it if it is packed, \
         upload it or put it into a bucket or onto an SFTP server, or divide it",
        .limit >> 20
    )]
    TooLarge { limit: usize },
    #[error("the footer of the Parquet file has more than {} MiB: write the file with larger row groups, or fewer columns", .limit >> 20)]
    FooterTooLarge { limit: usize },
    #[error("the Parquet file has {what}, more than {limit}: write it with {remedy}")]
    TooMuch { what: &'static str, limit: u64, remedy: &'static str },
    #[error("the pages of the columns take more than {} MiB at a time: write the file with smaller row groups or pages", .limit >> 20)]
    PagesTooLarge { limit: usize },
    #[error("the Parquet file is compressed with {codec}, which is not read: write it with Zstandard, Snappy, gzip, Brotli or LZ4_RAW")]
    Codec { codec: &'static str },
    #[error("the Parquet file has no column with one value for each row: lists and maps are not read, give each entry a row of its own")]
    NoColumns,
    #[error(
        "column {} is part of {}, a list or a map, and those are not read: write the file with one value in a column, or with a row for each entry",
        Shown(.name), Shown(.list)
    )]
    List { name: String, list: String },
    #[error("column {} has the type {kind}, which is no text: write it as {remedy}", Shown(.name))]
    Type { name: String, kind: &'static str, remedy: &'static str },
    #[error("row {row}: more than {} MiB: leave out long columns, or shorten their texts", .limit >> 20)]
    RowTooLong { row: u64, limit: usize },
    #[error("row {row}: more than {limit} characters in the columns that the job uses; Salesforce takes no more")]
    TooMuchToSend { row: u64, limit: usize },
}

impl ParquetError {
    pub(in crate::source) fn remedy(&self) -> Remedy {
        match self {
            Self::TooLarge { .. } => Remedy::Split,
            Self::FooterTooLarge { .. }
            | Self::TooMuch { .. }
            | Self::PagesTooLarge { .. }
            | Self::RowTooLong { .. }
            | Self::TooMuchToSend { .. } => Remedy::Shorten,
            Self::NotParquet { .. }
            | Self::Encrypted
            | Self::Damaged { .. }
            | Self::Elsewhere
            | Self::Codec { .. }
            | Self::NoColumns
            | Self::List { .. }
            | Self::Type { .. } => Remedy::Correct,
        }
    }
}

/// A part of a Parquet file, as messages call it.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Part {
    #[error("its footer")]
    Footer,
    #[error("column {} of row group {group}", Shown(.column))]
    Column { column: String, group: usize },
}

impl Part {
    pub(super) fn damaged(self) -> ParquetError {
        ParquetError::Damaged { part: self }
    }
}
