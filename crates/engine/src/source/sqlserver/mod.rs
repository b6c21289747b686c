//! Rows of a SQL Server or Azure SQL query, one by one as the server sends them. With `orderBy` the rows come in that order and each carries
//! its key, so that a killed run goes on behind the last one it kept.
//!
//! The query runs in a transaction that nobody commits. It sees one state of the data if the database allows snapshots, else what is committed
//! when it comes to it. Times without a zone are taken for UTC unless the job names another.

pub mod error_code;
mod sql;
mod value;

use std::collections::BTreeSet;
use std::time::Duration;

use api::import_job::SqlSource;
use async_trait::async_trait;
use connect::{
    DatabaseError, Dialer, SqlServerColumn, SqlServerKind, SqlServerParams, SqlServerRow, SqlServerRows, SqlServerSession, SqlServerValue,
};
use secrecy::SecretString;
use tokio::time::Instant;

use self::error_code::ErrorCode;
use super::keys::Keys;
use super::limits::{MAX_CHARACTERS, MAX_RECORD, check_length};
use super::{QueryError, ReadError, Replay, Rows, Since, Source, Start, Zoneless, statement};
use crate::load::Reread;
use crate::own;
use crate::row::{Batch, Header, Row, RowError};

/// A query at a database that nobody has logged in to yet.
pub struct SqlServerSource {
    /// Opens the connection, to addresses that it allows.
    pub dialer: Dialer,
    /// Host, port, database, user and TLS of the server.
    pub params: SqlServerParams,
    /// Password of that user.
    pub password: SecretString,
    /// The query, with `orderBy` if its rows can be read on from a key.
    pub query: SqlSource,
    /// Only rows beyond this are read.
    pub since: Option<Since>,
    /// What times without a zone are.
    pub zoneless: Zoneless,
    /// How long the run may still take. The server itself ends no query: we hang up.
    pub time_left: Duration,
}

#[async_trait]
impl Source for SqlServerSource {
    fn reread(&self) -> Reread {
        if self.query.order_by.is_empty() { Reread::Never } else { Reread::BeyondKey }
    }

    async fn open(&self, start: &Start, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        let until = Instant::now() + self.time_left;
        sql::check(&statement::query(&self.query, sql::quoted)?)?;
        let mut session = self.dialer.sql_server(&self.params, &self.password).await?;
        in_time(until, async {
            session.execute(sql::SESSION).await.map_err(refused)?;
            let snapshot = match session.is_one(sql::ALLOWS_SNAPSHOTS).await {
                // Whoever may not see it, or has no such thing, reads what is committed.
                Err(DatabaseError::Server { passing: false, .. }) => false,
                told => told.map_err(refused)?,
            };
            session.execute(&sql::begin(snapshot)).await.map_err(refused)?;
            Ok(Box::new(QueryRows::open(session, self, start, used, until).await?) as Box<dyn Rows>)
        })
        .await
    }
}

/// A server that is silent, or sends next to nothing, is left when the run is over.
async fn in_time<T>(until: Instant, work: impl Future<Output = Result<T, ReadError>>) -> Result<T, ReadError> {
    tokio::time::timeout_at(until, work).await.unwrap_or_else(|late| Err(ReadError::Lost(Box::new(late))))
}

/// A query being read.
struct QueryRows {
    rows: SqlServerRows,
    header: Header,
    kinds: Vec<SqlServerKind>,
    zoneless: Zoneless,
    keys: Keys,
    /// Columns that the job uses.
    used: Vec<usize>,
    /// The last cell says whether an earlier attempt had the row.
    marks_seen: bool,
    ended: bool,
    read: u64,
    until: Instant,
    /// Of the cell under way.
    text: String,
}

impl QueryRows {
    /// Starts the query; the header is known, no row was read.
    async fn open(
        mut session: SqlServerSession,
        source: &SqlServerSource,
        start: &Start,
        used: &BTreeSet<String>,
        until: Instant,
    ) -> Result<Self, ReadError> {
        let SqlServerSource { query: spec, since, zoneless, .. } = source;
        let ordered = !spec.order_by.is_empty() || spec.watermark.is_some();
        let mut columns = Vec::new();
        let query = statement::query(spec, sql::quoted)?;
        let mut text = query.clone().into_owned();
        if ordered {
            columns = session.columns(&sql::describe(&query)).await.map_err(refused)?;
            let header = header(&columns)?;
            let keys = Keys::find(spec, &header, start)?;
            text = sql::select(&query, &columns, &keys.named(), since.as_ref(), start)?;
            // A row whose key is NULL would be found when others were loaded already. An interrupted run has looked.
            if *start == Start::First {
                for column in keys.columns() {
                    if session.is_one(&sql::has_null(&query, &columns[*column])).await.map_err(refused)? {
                        return Err(QueryError::KeyHasNull { field: keys.field(*column), column: header.names()[*column].clone() }.into());
                    }
                }
            }
        }
        // A statement that holds a value of a row was described above: what the server says of it now may show the value.
        let private = matches!(start, Start::Behind { .. }) || matches!(since, Some(Since::Kept(_)));
        let rows = session.rows(&text).await.map_err(if private { stopped } else { refused })?;
        if !ordered {
            columns = rows.columns().to_vec();
        }
        let header = header(&columns)?;
        let used: Vec<usize> = used.iter().filter_map(|name| header.find(name).ok()).collect();
        for (at, column) in columns.iter().enumerate() {
            // The server writes these in a way of its own, so nobody is shown them.
            let shown = !matches!(column.kind, SqlServerKind::Variant | SqlServerKind::Clr);
            if let Some((kind, remedy)) = value::no_cell(column.kind)
                && (!shown || used.contains(&at))
            {
                return Err(QueryError::ColumnKind { column: header.names()[at].clone(), kind, remedy }.into());
            }
        }
        Ok(Self {
            rows,
            keys: Keys::find(spec, &header, start)?,
            header,
            kinds: columns.iter().map(|column| column.kind).collect(),
            zoneless: *zoneless,
            used,
            marks_seen: matches!(start, Start::Behind { replay: Replay::Seen, .. }),
            ended: false,
            read: 0,
            until,
            text: String::new(),
        })
    }

    fn take(&mut self, found: &SqlServerRow, batch: &mut Batch) -> Result<(), QueryError> {
        self.read += 1;
        let mut result = Ok(());
        let Self { header, kinds, zoneless, keys, text, marks_seen, read, .. } = self;
        batch.push(*read, |row| result = fill(row, found, header, (kinds, *zoneless), *marks_seen, keys, text));
        result?;
        let length = batch.rows().last().map_or(0, |row| row.cells.iter().map(<[u8]>::len).sum());
        if length > MAX_RECORD {
            return Err(QueryError::LineTooLong { row: self.read, limit: MAX_RECORD >> 20 });
        }
        if length > MAX_CHARACTERS { check_length(batch, &self.used) } else { Ok(()) }
    }

    async fn next_row(&mut self) -> Result<Option<SqlServerRow>, ReadError> {
        in_time(self.until, async { self.rows.next().await.map_err(stopped) }).await
    }
}

#[async_trait]
impl Rows for QueryRows {
    fn header(&self) -> &Header {
        &self.header
    }

    fn watermark(&self) -> Option<String> {
        self.keys.watermark()
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        while !batch.is_full() && !self.ended {
            match self.next_row().await? {
                Some(row) => self.take(&row, batch)?,
                None if self.rows.has_another() => return Err(QueryError::ManyResults.into()),
                None => self.ended = true,
            }
        }
        Ok(!batch.is_empty())
    }
}

fn header(columns: &[SqlServerColumn]) -> Result<Header, ReadError> {
    let header = Header::new(columns.iter().map(|column| column.name.as_str()));
    if header.is_empty() { Err(QueryError::NoColumns.into()) } else { Ok(header) }
}

fn fill(
    row: &mut Row,
    found: &SqlServerRow,
    header: &Header,
    (kinds, zoneless): (&[SqlServerKind], Zoneless),
    marks_seen: bool,
    keys: &mut Keys,
    text: &mut String,
) -> Result<(), QueryError> {
    let number = row.number;
    let mut cells = found.cells();
    // The kinds come first: `zip` takes from its second only what the first has a partner for.
    for (column, (kind, value)) in kinds.iter().zip(cells.by_ref()).enumerate() {
        if keys.columns().contains(&column) {
            // What cannot be written is told as that of the cell.
            let _ = value::key(*kind, value, text);
            keys.take(row, column, (value != SqlServerValue::Null).then_some(text.as_bytes()), header)?;
        }
        let written = value::cell(*kind, zoneless, value, text);
        row.cells.push_field(text.as_bytes());
        if let Err(value) = written {
            let column = header.names()[column].clone();
            row.fault.get_or_insert(RowError::NoSuchValue { row: number, column, value: value.to_owned() });
        }
    }
    if row.cells.len() != kinds.len() {
        return Err(QueryError::Protocol { row: number });
    }
    if row.fault.is_some() {
        let shown: Vec<&[u8]> = row.cells.iter().collect();
        row.refused = own::refused(header.cells(), &row.cells, &shown.join(&b'\t'));
    }
    row.seen = marks_seen && cells.next() == Some(SqlServerValue::Integer(1));
    keys.check(row, header)
}

/// What went wrong before the first row: the server's words are shown where they speak of the query.
fn refused(error: DatabaseError) -> ReadError {
    match error {
        DatabaseError::Server { code, message, passing } if ErrorCode(&code).is_of_the_query() => {
            let code = ErrorCode(&code);
            let message = code.remedy().map_or(message.clone(), |remedy| format!("{message} {remedy}"));
            QueryError::Refused { message, passing, code: code.to_string() }.into()
        }
        error => stopped(error),
    }
}

/// What went wrong while the query ran.
fn stopped(error: DatabaseError) -> ReadError {
    ReadError::stopped(error, |code| ErrorCode(code).to_string())
}
