//! Rows of a PostgreSQL query, streamed by `COPY … TO STDOUT` with no more than a few rows in memory. With `orderBy` the
//! rows come in that order and each carries its key, so that a killed run goes on behind the last one it kept.
//!
//! The query runs in a read-only transaction. Timestamps come in UTC; those without a time zone are taken for UTC, as
//! nothing says otherwise: name another with `AT TIME ZONE` in the query.

mod copy;
mod sql;
pub mod sqlstate;
mod value;

use std::collections::BTreeSet;

use api::import_job::SqlSource;
use async_trait::async_trait;
use bytes::Bytes;
use connect::{DatabaseError, Dialer, PostgresCopy, PostgresCredential, PostgresParams, PostgresSession};
use futures::StreamExt;

use self::copy::{Lines, cells, unescape};
use self::sql::Query;
use self::sqlstate::SqlState;
use self::value::{Shape, no_cell};
use super::keys::Keys;
use super::limits::{MAX_CHARACTERS, MAX_RECORD, check_length};
use super::{QueryError, ReadError, Replay, Rows, Since, Source, Start, Zoneless, statement};
use crate::load::Reread;
use crate::own;
use crate::row::{Batch, Header, Row, RowError};

/// Makes every value's text independent of the server's settings. A query may take as long as its run; but one that waits for a lock, which only a
/// change of the table itself holds against readers, is better tried again than waited for.
const SESSION: &str = "BEGIN READ ONLY; \
    SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL timezone = 'UTC'; SET LOCAL intervalstyle = 'iso_8601'; \
    SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL standard_conforming_strings = on; \
    SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s'; SET LOCAL idle_in_transaction_session_timeout = 0";

/// A query at a database that nobody has logged in to yet.
pub struct PostgresSource {
    /// Opens the connection, to addresses that it allows.
    pub dialer: Dialer,
    /// Host, port, database, user and TLS of the server.
    pub params: PostgresParams,
    /// What logs that user in.
    pub credential: PostgresCredential,
    /// The query, with `orderBy` if its rows can be read on from a key.
    pub query: SqlSource,
    /// Only rows beyond this are read.
    pub since: Option<Since>,
    /// What a `timestamp` is.
    pub zoneless: Zoneless,
}

#[async_trait]
impl Source for PostgresSource {
    fn reread(&self) -> Reread {
        if self.query.order_by.is_empty() { Reread::Never } else { Reread::BeyondKey }
    }

    async fn open(&self, start: &Start, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        let session = self.dialer.postgres(&self.params, &self.credential).await?;
        Ok(Box::new(PostgresRows::open(session, self, start, used).await?))
    }
}

/// A query being read.
struct PostgresRows {
    /// Lives as long as the rows are wanted.
    _session: PostgresSession,
    stream: PostgresCopy,
    lines: Lines,
    header: Header,
    shapes: Vec<Shape>,
    keys: Keys,
    /// Columns that the job uses.
    used: Vec<usize>,
    /// The last cell says whether an earlier attempt had the row.
    marks_seen: bool,
    pending: Bytes,
    ended: bool,
    read: u64,
    cell: Vec<u8>,
}

impl PostgresRows {
    /// Starts the query; the header is known, no row was read.
    async fn open(session: PostgresSession, source: &PostgresSource, start: &Start, used: &BTreeSet<String>) -> Result<Self, ReadError> {
        let PostgresSource { query: spec, since, zoneless, .. } = source;
        session.execute(SESSION).await.map_err(refused)?;
        let text = statement::query(spec, sql::identifier)?;
        let columns = session.columns(&sql::describe(&text)).await.map_err(refused)?;
        let header = Header::new(columns.iter().map(|column| column.name.as_str()));
        if header.is_empty() {
            return Err(QueryError::NoColumns.into());
        }
        let keys = Keys::find(spec, &header, start)?;
        let used: Vec<usize> = used.iter().filter_map(|name| header.find(name).ok()).collect();
        let types: Vec<_> = columns.into_iter().map(|column| column.kind).collect();
        for column in &used {
            if let Some((kind, remedy)) = no_cell(&types[*column]) {
                return Err(QueryError::ColumnKind { column: header.names()[*column].clone(), kind, remedy }.into());
            }
        }
        let query = Query { text: &text, types: &types, keys: keys.columns(), since: since.as_ref().map(Since::value) };
        // NULL comes last in the order, after all other rows were sent. An interrupted run has looked already.
        if *start == Start::First {
            for column in keys.columns() {
                if session.is_true(&query.has_null(*column)).await.map_err(refused)? {
                    return Err(QueryError::KeyHasNull { field: keys.field(*column), column: header.names()[*column].clone() }.into());
                }
            }
        }
        let copy = query.copy(start)?;
        // The server's words may show a value of the statement: there is one of a row in it behind a key, and beyond what was read before.
        let private = matches!(start, Start::Behind { .. }) || matches!(since, Some(Since::Kept(_)));
        let stream = session.copy_out(&copy).await.map_err(if private { stopped } else { refused })?;
        Ok(Self {
            _session: session,
            stream,
            lines: Lines::default(),
            shapes: types.iter().map(|kind| Shape::of(kind, *zoneless)).collect(),
            used,
            header,
            keys,
            marks_seen: matches!(start, Start::Behind { replay: Replay::Seen, .. }),
            pending: Bytes::new(),
            ended: false,
            read: 0,
            cell: Vec::new(),
        })
    }

    fn take_lines(&mut self, batch: &mut Batch) -> Result<(), ReadError> {
        while !batch.is_full()
            && let Some(line) = self.lines.next(&mut self.pending)
        {
            self.read += 1;
            let mut result = Ok(());
            batch.push(self.read, |row| {
                result = fill(row, &line, &self.header, &self.shapes, self.marks_seen, &mut self.cell, &mut self.keys)
            });
            result?;
            if line.len() > MAX_CHARACTERS {
                check_length(batch, &self.used)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Rows for PostgresRows {
    fn header(&self) -> &Header {
        &self.header
    }

    fn watermark(&self) -> Option<String> {
        self.keys.watermark()
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        loop {
            self.take_lines(batch)?;
            if batch.is_full() {
                return Ok(true);
            }
            if self.lines.begun() > MAX_RECORD {
                return Err(QueryError::LineTooLong { row: self.read + 1, limit: MAX_RECORD >> 20 }.into());
            }
            if self.ended {
                return Ok(!batch.is_empty());
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.pending = bytes,
                Some(Err(error)) => return Err(stopped(error)),
                None => self.ended = true,
            }
        }
    }
}

fn fill(
    row: &mut Row,
    line: &[u8],
    header: &Header,
    shapes: &[Shape],
    marks_seen: bool,
    cell: &mut Vec<u8>,
    keys: &mut Keys,
) -> Result<(), QueryError> {
    let number = row.number;
    if line.len() > MAX_RECORD {
        return Err(QueryError::LineTooLong { row: number, limit: MAX_RECORD >> 20 });
    }
    let mut raw = cells(line);
    // The shapes come first: `zip` takes from its second only what the first has a partner for.
    for (column, (shape, text)) in shapes.iter().zip(raw.by_ref()).enumerate() {
        let text = unescape(text, cell);
        keys.take(row, column, text, header)?;
        let Some(text) = text else {
            row.cells.push_field(b"");
            continue;
        };
        if let Err(value) = shape.write(text, &mut row.cells) {
            row.cells.push_field(String::from_utf8_lossy(text).as_bytes());
            let column = header.names()[column].clone();
            row.fault.get_or_insert(RowError::NoSuchValue { row: number, column, value: value.to_owned() });
        }
    }
    if row.cells.len() != shapes.len() {
        return Err(QueryError::Protocol { row: number });
    }
    if row.fault.is_some() {
        row.refused = own::refused(header.cells(), &row.cells, line);
    }
    row.seen = marks_seen && raw.next() == Some(b"f");
    keys.check(row, header)
}

/// What went wrong before the first row.
fn refused(error: DatabaseError) -> ReadError {
    ReadError::refused(error, |code| SqlState(code).to_string())
}

/// What went wrong among the rows.
fn stopped(error: DatabaseError) -> ReadError {
    ReadError::stopped(error, |code| SqlState(code).to_string())
}
