//! Sources of rows: each is opened with what it needs, tells its header, and fills batches until it ends. Nothing here
//! knows what happens to the rows.

pub mod csv;
pub mod postgres;

use api::import_run::RunReason;
use async_trait::async_trait;

use self::postgres::sqlstate::SqlState;
use crate::row::{Batch, Column, ColumnError, Header, Position};

/// Longest record that is read, in bytes: what a record takes in memory, and what keeps an open quote from taking the
/// whole file.
const MAX_RECORD: usize = 8 << 20;

/// Salesforce takes no longer records; it counts for what is sent.
const MAX_CHARACTERS: usize = 400_000;

/// Rows, once, in order.
#[async_trait]
pub trait Source: Send {
    fn header(&self) -> &Header;

    /// Clears the batch and fills it. False: the source has ended and the batch is empty.
    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError>;

    /// Lines without any text, skipped so far; they are not rows.
    fn blank_lines(&self) -> u64 {
        0
    }
}

/// Why a source cannot be read any further. Never holds a cell's text.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("reading the source failed")]
    Io(#[from] std::io::Error),
    #[error("the file is empty; its first line must name the columns")]
    Empty,
    #[error("`encoding: {label}` is not a WHATWG encoding name such as windows-1252 or utf-16le")]
    UnknownEncoding { label: String },
    #[error("the file is UTF-32; save it as UTF-8")]
    Utf32,
    #[error("the file is {what}, not CSV: {remedy}")]
    NotCsv { what: &'static str, remedy: &'static str },
    #[error("the delimiter must be one ASCII character, neither quote nor line end")]
    Delimiter,
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
    #[error("the header has {found} columns, more than {limit}")]
    TooManyColumns { found: usize, limit: usize },
    /// The server's words; they speak of the query.
    #[error("the database refused the query: {message} ({})", SqlState(code))]
    Query { code: String, message: String },
    /// Only the code: the server's words may hold a value.
    #[error("the database stopped the query: {}", SqlState(code))]
    Database { code: String },
    #[error("the connection to the database failed")]
    Connection(#[source] tokio_postgres::Error),
    #[error("orderBy: {problem}; {header}")]
    OrderBy { problem: ColumnError, header: String },
    #[error("row {row}: {column} is NULL; orderBy needs columns that are never NULL")]
    KeyIsNull { row: u64, column: String },
    #[error("row {row}: the row before has the same {columns}; orderBy needs columns that together identify each row")]
    KeyRepeats { row: u64, columns: String },
    #[error("the recorded key has {found} values, orderBy {expected} columns; the job was changed under a run")]
    KeyShape { expected: usize, found: usize },
    #[error("row {row}: more than {limit} characters in the columns that the job uses; Salesforce takes no more")]
    RowTooLong { row: u64, limit: usize },
    #[error("row {row}: more than {limit} MiB; leave long columns out of the query")]
    LineTooLong { row: u64, limit: usize },
    #[error("row {row}: the database sent something else than a row")]
    Protocol { row: u64 },
}

/// Characters of a text: every byte but those 10xxxxxx begins one.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

impl ReadError {
    /// Names the row and the column of an error that only knew where it was.
    fn in_row(mut self, row: u64, header: &Header) -> Self {
        match &mut self {
            Self::UnbalancedQuote { at, column } => {
                at.row = row;
                if let Column::Number(number) = *column {
                    *column = header.column(number - 1);
                }
            }
            Self::RecordTooLong { at, .. } | Self::TooManyCells { at, .. } => at.row = row,
            _ => {}
        }
        self
    }

    /// What went wrong before the first row.
    fn query(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::Query { code: db.code().code().to_owned(), message: db.message().to_owned() },
            None => Self::Connection(error),
        }
    }

    /// What went wrong among the rows.
    fn database(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(code) => Self::Database { code: code.code().to_owned() },
            None => Self::Connection(error),
        }
    }

    /// The same may work a moment later.
    pub fn is_transient(&self) -> bool {
        use std::io::ErrorKind as Kind;
        match self {
            Self::Io(error) => !matches!(error.kind(), Kind::InvalidData | Kind::InvalidInput | Kind::PermissionDenied | Kind::NotFound),
            Self::Connection(_) => true,
            // Shutdown, crash, failover, too many connections, conflict with recovery.
            Self::Database { code } | Self::Query { code, .. } => {
                code.starts_with("57P") || code.starts_with("08") || code.starts_with("53") || code.starts_with("40")
            }
            _ => false,
        }
    }

    /// How a run ends that meets this.
    pub fn reason(&self) -> RunReason {
        match self {
            Self::RecordTooLong { .. }
            | Self::TooManyCells { .. }
            | Self::TooMuchToSend { .. }
            | Self::RowTooLong { .. }
            | Self::LineTooLong { .. }
            | Self::TooManyColumns { .. } => RunReason::FileTooComplex,
            _ if self.is_transient() => RunReason::Interrupted,
            _ => RunReason::SourceFailed,
        }
    }
}
