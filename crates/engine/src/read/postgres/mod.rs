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
use std::pin::Pin;

use api::import_job::SqlSource;
use async_trait::async_trait;
use bytes::Bytes;
use csv::ByteRecord;
use futures::StreamExt;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, CopyOutStream};

use self::copy::{Lines, unescape};
use self::sql::Query;
use self::value::Shape;
use crate::own;
use crate::read::{MAX_CHARACTERS, MAX_RECORD, ReadError, Source, characters};
use crate::row::{Batch, Header, Row, RowError};

/// Makes every value's text independent of the server's settings.
const SESSION: &str = "BEGIN READ ONLY; \
    SET LOCAL datestyle = 'ISO, YMD'; SET LOCAL timezone = 'UTC'; SET LOCAL intervalstyle = 'iso_8601'; \
    SET LOCAL bytea_output = 'hex'; SET LOCAL extra_float_digits = 1; SET LOCAL standard_conforming_strings = on; \
    SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

/// Where reading begins.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Start {
    #[default]
    First,
    /// Behind the row with this key, as an earlier attempt recorded it.
    Behind { key: Vec<String>, replay: Replay },
}

/// What becomes of the rows up to the key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Replay {
    /// They are not read.
    None,
    /// They are read again and marked as seen, for a pipeline that remembers rows.
    Seen,
}

/// A query being read. The connection must be kept alive by the caller and not be used for anything else.
pub struct PostgresSource {
    stream: Pin<Box<CopyOutStream>>,
    lines: Lines,
    header: Header,
    shapes: Vec<Shape>,
    keys: Keys,
    /// Columns that the job uses; absent when nobody said.
    used: Option<Vec<usize>>,
    /// The last cell says whether an earlier attempt had the row.
    marks_seen: bool,
    pending: Bytes,
    ended: bool,
    read: u64,
    cell: Vec<u8>,
}

/// Watches that `orderBy` does what resuming relies on.
struct Keys {
    columns: Vec<usize>,
    last: ByteRecord,
}

impl PostgresSource {
    /// Starts the query; the header is known, no row was read.
    pub async fn open(client: &Client, spec: &SqlSource, start: &Start) -> Result<Self, ReadError> {
        client.batch_execute(SESSION).await.map_err(ReadError::query)?;
        let statement = client.prepare(&sql::describe(&spec.query)).await.map_err(ReadError::query)?;
        let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
        let header = Header::new(statement.columns().iter().map(|column| column.name()));
        if header.is_empty() {
            return Err(ReadError::Empty);
        }
        let columns: Vec<usize> = spec
            .order_by
            .iter()
            .map(|name| header.find(name).map_err(|problem| ReadError::OrderBy { problem, header: header.described() }))
            .collect::<Result<_, _>>()?;
        let copy = Query { text: &spec.query, types: &types, keys: &columns }.copy(start)?;
        let stream = client.copy_out(copy.as_str()).await.map_err(ReadError::query)?;
        Ok(Self {
            stream: Box::pin(stream),
            lines: Lines::default(),
            shapes: types.iter().map(Shape::of).collect(),
            header,
            keys: Keys { columns, last: ByteRecord::new() },
            used: None,
            marks_seen: matches!(start, Start::Behind { replay: Replay::Seen, .. }),
            pending: Bytes::new(),
            ended: false,
            read: 0,
            cell: Vec::new(),
        })
    }

    /// Columns that the job uses, by their names: only in these a row may be too long for Salesforce.
    pub fn for_columns(self, names: &BTreeSet<String>) -> Self {
        let used = names.iter().filter_map(|name| self.header.find(name).ok()).collect();
        Self { used: Some(used), ..self }
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
                self.check_length(batch)?;
            }
        }
        Ok(())
    }

    /// Of the last row: only what is sent has a limit of Salesforce's.
    fn check_length(&self, batch: &Batch) -> Result<(), ReadError> {
        let Some(row) = batch.rows().last() else { return Ok(()) };
        let is_used = |column: usize| self.used.as_ref().is_none_or(|used| used.contains(&column));
        let sent = row.cells.iter().enumerate().filter(|(column, _)| is_used(*column)).map(|(_, cell)| characters(cell)).sum::<usize>();
        if sent > MAX_CHARACTERS { Err(ReadError::RowTooLong { row: row.number, limit: MAX_CHARACTERS }) } else { Ok(()) }
    }
}

#[async_trait]
impl Source for PostgresSource {
    fn header(&self) -> &Header {
        &self.header
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        loop {
            self.take_lines(batch)?;
            if batch.is_full() {
                return Ok(true);
            }
            if self.lines.begun() > MAX_RECORD {
                return Err(ReadError::LineTooLong { row: self.read + 1, limit: MAX_RECORD >> 20 });
            }
            if self.ended {
                return Ok(!batch.is_empty());
            }
            match self.stream.next().await {
                Some(Ok(bytes)) => self.pending = bytes,
                Some(Err(error)) => return Err(ReadError::database(error)),
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
) -> Result<(), ReadError> {
    let number = row.number;
    if line.len() > MAX_RECORD {
        return Err(ReadError::LineTooLong { row: number, limit: MAX_RECORD >> 20 });
    }
    let mut raw = line.split(|byte| *byte == b'\t');
    // The shapes come first: `zip` takes from its second only what the first has a partner for.
    for (column, (shape, text)) in shapes.iter().zip(raw.by_ref()).enumerate() {
        if unescape(text, cell) {
            if keys.columns.contains(&column) {
                return Err(ReadError::KeyIsNull { row: number, column: header.names()[column].clone() });
            }
            row.cells.push_field(b"");
            continue;
        }
        if keys.columns.contains(&column) {
            row.key.push_field(cell);
        }
        if let Err(value) = shape.write(cell, &mut row.cells) {
            row.cells.push_field(String::from_utf8_lossy(cell).as_bytes());
            let column = header.names()[column].clone();
            row.fault.get_or_insert(RowError::NoSuchValue { row: number, column, value: value.to_owned() });
        }
    }
    if row.cells.len() != shapes.len() {
        return Err(ReadError::Protocol { row: number });
    }
    if row.fault.is_some() {
        row.refused = own::refused(header.cells(), &row.cells, line);
    }
    row.seen = marks_seen && raw.next() == Some(b"f");
    keys.check(row, header)
}

impl Keys {
    /// Rows that share a key would be lost or doubled behind an interruption.
    fn check(&mut self, row: &mut Row, header: &Header) -> Result<(), ReadError> {
        if self.columns.is_empty() {
            return Ok(());
        }
        // The key was gathered in column order; it is told in the order of `orderBy`.
        if !self.columns.is_sorted() {
            let mut found = self.columns.clone();
            found.sort_unstable();
            let place = |column: &usize| found.iter().position(|known| known == column).unwrap_or_default();
            row.key = self.columns.iter().map(|column| &row.key[place(column)]).collect();
        }
        if row.key == self.last {
            let columns = self.columns.iter().map(|column| header.names()[*column].as_str()).collect::<Vec<_>>().join(", ");
            return Err(ReadError::KeyRepeats { row: row.number, columns });
        }
        self.last.clone_from(&row.key);
        Ok(())
    }
}
