//! Sources of rows: each is opened with what it needs, tells its header, and fills batches until it ends. Nothing here
//! knows what happens to the rows.

pub mod csv;
pub mod postgres;

use api::import_run::RunReason;
use async_trait::async_trait;

use self::postgres::sqlstate::SqlState;
use crate::row::{Batch, Column, ColumnError, Header, Position};

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
    #[error("the delimiter must be one ASCII character, neither quote nor line end")]
    Delimiter,
    #[error("{at}: the name of column {column} is not valid {encoding}; save the file as UTF-8 or set the format's `encoding`")]
    HeaderNotText { at: Position, column: Column, encoding: &'static str },
    #[error("{at}: the header has NUL characters; if the file is UTF-16 set the format's `encoding` to utf-16le or utf-16be")]
    HeaderNul { at: Position },
    #[error("{at}: the name of column {column} has a misplaced quote; quote whole names, and write a quote inside a name twice")]
    HeaderQuotes { at: Position, column: Column },
    #[error("{at}: column {column} has a quote that is opened and never closed; close it, or write a quote inside quoted text twice")]
    UnbalancedQuote { at: Position, column: Column },
    #[error("{at}: the record has more than {limit} characters; look for a quote that is never closed")]
    RecordTooLong { at: Position, limit: usize },
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
    #[error("orderBy: {0}")]
    OrderBy(ColumnError),
    #[error("row {row}: {column} is NULL; orderBy needs columns that are never NULL")]
    KeyIsNull { row: u64, column: String },
    #[error("row {row}: the row before has the same {columns}; orderBy needs columns that together identify each row")]
    KeyRepeats { row: u64, columns: String },
    #[error("the recorded key has {found} values, orderBy {expected} columns; the job was changed under a run")]
    KeyShape { expected: usize, found: usize },
    #[error("row {row}: more than {limit} characters")]
    RowTooLong { row: u64, limit: usize },
    #[error("row {row}: the database sent something else than a row")]
    Protocol { row: u64 },
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
            Self::RecordTooLong { at, .. } => at.row = row,
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
            Self::RecordTooLong { .. } | Self::RowTooLong { .. } | Self::TooManyColumns { .. } => RunReason::FileTooComplex,
            _ if self.is_transient() => RunReason::Interrupted,
            _ => RunReason::SourceFailed,
        }
    }
}
