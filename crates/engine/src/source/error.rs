//! Why a source cannot be read any further, by what has to be done about it: who reads an error asks whether waiting
//! helps, who has to change what, and how the run ends, and not which driver it came from.

use api::import_run::RunReason;
use connect::DatabaseError;

use super::blob::BlobError;
use super::excel::WorkbookError;
use super::parquet::ParquetError;
use super::watermark::Since;
use crate::row::{Column, ColumnError, Header, Position};

/// Why a source cannot be read any further. Never holds a cell's text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file, or what the job says of it.
    #[error(transparent)]
    File(#[from] FileError),
    /// The query, or what it met at the database.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// The bytes of a file do not come, or are others.
    #[error(transparent)]
    Blob(#[from] BlobError),
    /// There is no session with the database, or we ended it because of what the server sent.
    #[error("the database cannot be reached")]
    Unreachable(#[from] connect::Error),
    /// The connection broke while the query ran, or the server ended it.
    #[error("the connection to the database failed")]
    Lost(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What has to be done before the same job can read its source.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Remedy {
    /// Nothing, as there is nothing to read.
    None,
    /// Nothing: the same may work a moment later.
    Wait,
    /// The file, the query, the connection or what the job says of them has to be corrected.
    Correct,
    /// There has to be less in one place: shorter records, fewer columns.
    Shorten,
    /// The file, which is held in memory, has to become smaller, or of a kind that is read as it comes.
    Split,
}

impl Remedy {
    /// How a run ends that cannot go on without it.
    pub fn reason(self) -> RunReason {
        match self {
            Self::None => RunReason::NothingNew,
            Self::Wait => RunReason::Interrupted,
            Self::Correct => RunReason::SourceFailed,
            Self::Shorten => RunReason::FileTooComplex,
            Self::Split => RunReason::FileTooLarge,
        }
    }
}

impl ReadError {
    /// What a database said before the first row: its words, which speak of the query. `named`: an error's code as people look it up.
    pub(super) fn refused(error: DatabaseError, named: fn(&str) -> String) -> Self {
        match error {
            DatabaseError::Server { code, message, passing } => QueryError::Refused { message, passing, code: named(&code) }.into(),
            error => Self::stopped(error, named),
        }
    }

    /// What a database said while the query ran: only the code.
    pub(super) fn stopped(error: DatabaseError, named: fn(&str) -> String) -> Self {
        match error {
            DatabaseError::Server { code, passing, .. } => QueryError::Stopped { passing, code: named(&code) }.into(),
            DatabaseError::Ended(error) => error.into(),
            DatabaseError::Lost(error) => Self::Lost(error),
        }
    }

    /// What has to be done before the same job can read this source.
    pub fn remedy(&self) -> Remedy {
        match self {
            Self::File(error) => error.remedy(),
            Self::Query(error) => error.remedy(),
            Self::Blob(error) => error.remedy(),
            // An address, a certificate or a login that was refused is refused again. A host that does not answer, or a server that starts
            // or has too many guests, may be there when the next attempt looks.
            Self::Unreachable(error) if error.is_transient() => Remedy::Wait,
            Self::Unreachable(_) => Remedy::Correct,
            Self::Lost(_) => Remedy::Wait,
        }
    }

    /// The same may work a moment later.
    pub fn is_transient(&self) -> bool {
        self.remedy() == Remedy::Wait
    }

    /// How a run ends that meets this.
    pub fn reason(&self) -> RunReason {
        self.remedy().reason()
    }
}

/// What is wrong with a file as a whole, or with what the job says of it.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is and shows its fields")]
pub enum FileError {
    #[error("{}the file is the same that the last successful run has read; set the source's `unchanged` to Read to read it again", file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default())]
    NothingNew { file: Option<String> },
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    #[error(
        "the source's format has no key that this version knows, or more than one: set exactly one that it knows, or upgrade Dataimporter"
    )]
    UnknownFormat,
    #[error("`encoding: {label}` is not a WHATWG encoding name such as windows-1252 or utf-16le, nor utf-32le or utf-32be")]
    UnknownEncoding { label: String },
    #[error("the file is {what}, not {expected}: {remedy}")]
    Unexpected { what: &'static str, expected: &'static str, remedy: &'static str },
    #[error("the file is {what} and cannot be unpacked ({why}): it is damaged or cut off; pack it again")]
    Unpack { what: &'static str, why: String },
    #[error("the file is {what} and unpacks to more than {times} times its size; unpack it yourself, and look at what is in it")]
    UnpacksTooFar { what: &'static str, times: u64 },
    #[error(
        "the file is a ZIP archive of more than {limit} MiB and cannot be fetched in parts, so that it would have to be held in memory; \
         upload it or put it into a bucket or onto an SFTP server, or pack its file with gzip or Zstandard, which are read as they come"
    )]
    ArchiveTooLarge { limit: usize },
    #[error("the file is a ZIP archive with more than {limit} files; take the one that is meant out of it")]
    TooManyMembers { limit: usize },
    #[error("the file is a ZIP archive without a file in it; pack the file that is meant")]
    EmptyArchive,
    #[error("the file is a ZIP archive with {count} files ({names}); name the one that is meant in the source's `member`")]
    ManyMembers { count: usize, names: String },
    #[error("`member` matches none of the files in the ZIP archive ({names})")]
    NoMember { names: String },
    #[error("`member` matches {count} files in the ZIP archive ({names}); it must be one")]
    ManyMatch { count: usize, names: String },
    #[error("`member` is for ZIP archives, and the file is none; leave it out")]
    NoArchive,
    #[error("the file in the ZIP archive is protected with a password; pack it without one")]
    EncryptedMember,
    #[error("the file in the ZIP archive is packed by {method}; pack it by Deflate, as ZIP programs do unless they are told otherwise")]
    MemberMethod { method: String },
    #[error("the delimiter must be one ASCII character, neither quote nor line end")]
    Delimiter,
    #[error("the format's `{option}` must be one ASCII character that shows and stands for nothing else in the file")]
    Mark { option: &'static str },
    #[error("`columns` is for files without a header, and `headerRow` says where one is: leave out one of them")]
    ColumnsAndHeader,
    #[error("the file has no text from line {line} on, where the header is to be; correct the format's `headerRow`")]
    NoHeader { line: u64 },
    #[error("{at}: the last rows up to here, which the format's `skipFooterRows` holds back, take more than {limit} MiB; make it smaller")]
    FooterTooLong { at: Position, limit: usize },
    #[error("{at}: the name of column {column} is not valid {encoding}; {remedy}")]
    HeaderNotText { at: Position, column: Column, encoding: &'static str, remedy: &'static str },
    #[error("{at}: the header has NUL characters; if the file is UTF-16 set the format's `encoding` to utf-16le or utf-16be")]
    HeaderNul { at: Position },
    #[error("{at}: the header has NUL characters, although the file is read as {encoding}; name the encoding that it is in")]
    HeaderNulTold { at: Position, encoding: &'static str },
    #[error("{at}: column {column} is UTF-8, not {encoding} as the format's `encoding` says: leave `encoding` out")]
    Contradicted { at: Position, column: Column, encoding: &'static str },
    #[error(
        "{at}: a byte order mark begins another file here, and its first line is not the header of this one; import the files one by \
         one, or remove the mark if the columns are the same"
    )]
    AnotherFile { at: Position },
    /// Both readings.
    #[error(
        "{at}: column {column} opens a quote that closes {lines} lines later, and those lines read as rows of their own. Up to where it was \
         read, the file has {rows} rows, {suspected} of them in such doubt, if quotes enclose text, and {as_text} rows if quotes are text. \
         Set the format's `quote` to none if quotes are text in this file, or to '\"' if the lines belong into their cells"
    )]
    QuotesInDoubt { at: Position, column: Column, lines: u64, rows: u64, suspected: u64, as_text: u64 },
    #[error("{at}: the name of column {column} has a misplaced quote; quote whole names, and write a quote inside a name twice")]
    HeaderQuotes { at: Position, column: Column },
    #[error(
        "{at}: column {column} has a quote that is opened and never closed; close it, write a quote inside quoted text twice, or set the format's `quote` to none if quotes are text in this file"
    )]
    UnbalancedQuote { at: Position, column: Column },
    #[error("{at}: the record has more than {limit} MiB; look for a quote that is never closed")]
    RecordTooLong { at: Position, limit: usize },
    #[error("{at}: the record has more than {limit} fields; look for a quote that is never closed")]
    TooManyCells { at: Position, limit: usize },
    #[error("{at}: the record has more than {limit} characters in the columns that the job uses; Salesforce takes no more")]
    TooMuchToSend { at: Position, limit: usize },
    #[error("{at}: the file is no valid JSON here: {why}; correct it, or make the file again")]
    JsonBroken { at: Position, why: &'static str },
    #[error("{at}: the file ends inside of this record: it is cut off; fetch or make it again")]
    JsonCutOff { at: Position },
    #[error("{at}: the record has more than {limit} MiB; look for a bracket or a quote that is never closed")]
    JsonTooLong { at: Position, limit: usize },
    #[error("the file has no object in its first mebibyte, so nothing tells its columns; name them in the format's `columns`")]
    NoObject,
    #[error("the objects of the file have more than {limit} different fields; name those that are meant in the format's `columns`")]
    TooManyFields { limit: usize },
    #[error("the header has {found} columns, more than {limit}")]
    TooManyColumns { found: usize, limit: usize },
    #[error(transparent)]
    Workbook(#[from] WorkbookError),
    #[error(transparent)]
    Parquet(#[from] ParquetError),
}

impl FileError {
    fn remedy(&self) -> Remedy {
        match self {
            Self::RecordTooLong { .. }
            | Self::TooManyCells { .. }
            | Self::TooMuchToSend { .. }
            | Self::FooterTooLong { .. }
            | Self::TooManyColumns { .. }
            | Self::TooManyFields { .. }
            | Self::JsonTooLong { .. }
            | Self::UnpacksTooFar { .. }
            | Self::TooManyMembers { .. } => Remedy::Shorten,
            Self::ArchiveTooLarge { .. } => Remedy::Split,
            Self::NothingNew { .. } => Remedy::None,
            Self::Workbook(error) => error.remedy(),
            Self::Parquet(error) => error.remedy(),
            Self::Empty
            | Self::UnknownFormat
            | Self::UnknownEncoding { .. }
            | Self::Unexpected { .. }
            | Self::JsonBroken { .. }
            | Self::JsonCutOff { .. }
            | Self::NoObject
            | Self::Unpack { .. }
            | Self::EmptyArchive
            | Self::ManyMembers { .. }
            | Self::NoMember { .. }
            | Self::ManyMatch { .. }
            | Self::NoArchive
            | Self::EncryptedMember
            | Self::MemberMethod { .. }
            | Self::Delimiter
            | Self::Mark { .. }
            | Self::ColumnsAndHeader
            | Self::NoHeader { .. }
            | Self::HeaderNotText { .. }
            | Self::HeaderNul { .. }
            | Self::HeaderNulTold { .. }
            | Self::Contradicted { .. }
            | Self::AnotherFile { .. }
            | Self::QuotesInDoubt { .. }
            | Self::HeaderQuotes { .. }
            | Self::UnbalancedQuote { .. } => Remedy::Correct,
        }
    }

    /// Names the row and the column of an error that only knew where it was.
    pub(super) fn in_row(mut self, row: u64, header: &Header) -> Self {
        match &mut self {
            Self::UnbalancedQuote { at, column } => {
                at.row = row;
                if let Column::Number(number) = *column {
                    *column = header.column(number - 1);
                }
            }
            Self::RecordTooLong { at, .. }
            | Self::TooManyCells { at, .. }
            | Self::JsonBroken { at, .. }
            | Self::JsonCutOff { at }
            | Self::JsonTooLong { at, .. } => at.row = row,
            _ => {}
        }
        self
    }
}

/// What is wrong with a query, or what it met. Codes come with the names that the database's documentation has for them.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is and shows its fields")]
pub enum QueryError {
    /// Before it ran: the server's words, which speak of the query. `passing`: of its own trouble.
    #[error("the database refused the query: {message} ({code})")]
    Refused { message: String, code: String, passing: bool },
    /// While it ran: only the code, as the server's words may hold a value.
    #[error("the database stopped the query: {code}")]
    Stopped { code: String, passing: bool },
    #[error("source.sql names neither a query nor a table, or both: set one of them")]
    NoQuery,
    #[error("the query returns no columns")]
    NoColumns,
    #[error("the query ends with a semicolon; leave it out: the query must be one SELECT")]
    Semicolon,
    #[error("the query gives more than one result, of which the first was read; it must be one SELECT")]
    ManyResults,
    #[error("{field}: {problem}; {header}")]
    KeyColumn { field: &'static str, problem: ColumnError, header: String },
    #[error("column {column:?} is {kind}, which is no text: {remedy}")]
    ColumnKind { column: String, kind: &'static str, remedy: &'static str },
    #[error(
        "{field}: {column} is NULL in some rows; name columns that are never NULL, put a value in its place with COALESCE, or leave such rows \
         out with WHERE"
    )]
    KeyHasNull { field: &'static str, column: String },
    #[error(
        "row {row}: {column} is NULL; {field} needs columns that are never NULL: put a value in its place with COALESCE, or leave such rows \
         out with WHERE"
    )]
    KeyIsNull { row: u64, field: &'static str, column: String },
    #[error("row {row}: the row before has the same {columns}; orderBy needs columns that together identify each row")]
    KeyRepeats { row: u64, columns: String },
    #[error("the recorded key has {found} values, orderBy {expected} columns; the job was changed under a run")]
    KeyShape { expected: usize, found: usize },
    #[error("{field}: {column} is {kind}; order by columns of numbers, dates or text")]
    KeyKind { field: &'static str, column: String, kind: &'static str },
    #[error("the recorded key has no value of {column}; the job was changed under a run")]
    KeyText { column: String },
    #[error("watermark.from: {value:?} is not compared with {column}; write a number, or a time as in 2026-11-28 06:00:00 (UTC)")]
    WatermarkFrom { column: String, value: String },
    #[error("row {row}: {column} is infinite or no number, so no row would come after it; leave such rows out with WHERE")]
    WatermarkEndless { row: u64, column: String },
    #[error("what the last run has read up to is no value of {column} now; begin anew by another watermark.from")]
    WatermarkKind { column: String },
    #[error("row {row}: more than {limit} characters in the columns that the job uses; Salesforce takes no more")]
    RowTooLong { row: u64, limit: usize },
    #[error("row {row}: more than {limit} MiB; leave long columns out of the query")]
    LineTooLong { row: u64, limit: usize },
    #[error("row {row}: the database sent something else than a row")]
    Protocol { row: u64 },
}

impl QueryError {
    /// The same of the value of a watermark, which is no key.
    pub(super) fn of_watermark(self, since: &Since) -> Self {
        match (self, since) {
            (Self::KeyText { column }, Since::Told(value)) => Self::WatermarkFrom { column, value: value.clone() },
            (Self::KeyText { column }, Since::Kept(_)) => Self::WatermarkKind { column },
            (error, _) => error,
        }
    }

    fn remedy(&self) -> Remedy {
        match self {
            Self::Refused { passing: true, .. } | Self::Stopped { passing: true, .. } => Remedy::Wait,
            Self::RowTooLong { .. } | Self::LineTooLong { .. } => Remedy::Shorten,
            Self::Refused { passing: false, .. }
            | Self::Stopped { passing: false, .. }
            | Self::NoQuery
            | Self::NoColumns
            | Self::Semicolon
            | Self::ManyResults
            | Self::KeyColumn { .. }
            | Self::ColumnKind { .. }
            | Self::KeyHasNull { .. }
            | Self::KeyIsNull { .. }
            | Self::KeyRepeats { .. }
            | Self::KeyShape { .. }
            | Self::KeyKind { .. }
            | Self::KeyText { .. }
            | Self::WatermarkFrom { .. }
            | Self::WatermarkEndless { .. }
            | Self::WatermarkKind { .. }
            | Self::Protocol { .. } => Remedy::Correct,
        }
    }
}
#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_database_that_may_be_there_in_a_moment_is_worth_another_attempt() {
        let target = || "db:5432".to_owned();
        let refused = |code: &str| connect::Error::PostgresRefused { target: target(), code: code.to_owned(), reason: String::new() };
        for (error, remedy) in [
            (connect::Error::Unreachable { target: target(), source: io::ErrorKind::ConnectionRefused.into() }, Remedy::Wait),
            (refused("53300"), Remedy::Wait),
            (refused("57P03"), Remedy::Wait),
            (refused("28P01"), Remedy::Correct),
            (connect::Error::Tls { target: target(), reason: String::new() }, Remedy::Correct),
        ] {
            let words = error.to_string();
            assert_eq!(ReadError::from(error).remedy(), remedy, "{words}");
        }
    }
}
