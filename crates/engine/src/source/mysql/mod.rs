//! Rows of a MySQL or MariaDB query, one by one as the server sends them. With `orderBy` the rows come in that order and
//! each carries its key, so that a killed run goes on behind the last one it kept.
//!
//! The query runs in a read-only transaction that sees one state of the data. `TIMESTAMP`s come in UTC; `DATETIME`s,
//! which have no zone, are taken for UTC unless the job names another.

pub mod error_code;
mod sql;
mod value;

use std::collections::BTreeSet;
use std::time::Duration;

use api::import_job::SqlSource;
use async_trait::async_trait;
use connect::{DatabaseError, Dialer, MySqlKind, MySqlParams, MySqlRow, MySqlRows, MySqlSession};
use secrecy::SecretString;

use self::error_code::ErrorCode;
use super::keys::Keys;
use super::limits::{MAX_CHARACTERS, MAX_RECORD, check_length};
use super::{QueryError, ReadError, Replay, Rows, Since, Source, Start, Zoneless, statement};
use crate::load::Reread;
use crate::own;
use crate::row::{Batch, Header, Row, RowError};

/// A query at a database that nobody has logged in to yet.
pub struct MySqlSource {
    /// Opens the connection, to addresses that it allows.
    pub dialer: Dialer,
    /// Host, port, database, user and TLS of the server.
    pub params: MySqlParams,
    /// Password of that user.
    pub password: SecretString,
    /// The query, with `orderBy` if its rows can be read on from a key.
    pub query: SqlSource,
    /// Only rows beyond this are read.
    pub since: Option<Since>,
    /// What a `DATETIME` is.
    pub zoneless: Zoneless,
    /// How long the run may still take: the server gives up the query then, and not before.
    pub time_left: Duration,
}

#[async_trait]
impl Source for MySqlSource {
    fn reread(&self) -> Reread {
        if self.query.order_by.is_empty() { Reread::Never } else { Reread::BeyondKey }
    }

    async fn open(&self, start: &Start, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        let mut session = self.dialer.mysql(&self.params, &self.password).await?;
        let mariadb = session.is_mariadb().await.map_err(refused)?;
        for statement in sql::session(mariadb, self.time_left) {
            session.execute(&statement).await.map_err(refused)?;
        }
        Ok(Box::new(QueryRows::open(session, self, start, used).await?))
    }
}

/// A query being read.
struct QueryRows {
    rows: MySqlRows,
    header: Header,
    kinds: Vec<MySqlKind>,
    zoneless: Zoneless,
    keys: Keys,
    /// Columns that the job uses.
    used: Vec<usize>,
    /// The last cell says whether an earlier attempt had the row.
    marks_seen: bool,
    ended: bool,
    read: u64,
}

impl QueryRows {
    /// Starts the query; the header is known, no row was read.
    async fn open(mut session: MySqlSession, source: &MySqlSource, start: &Start, used: &BTreeSet<String>) -> Result<Self, ReadError> {
        let MySqlSource { query: spec, since, zoneless, .. } = source;
        let query = statement::query(spec, sql::quoted)?;
        let columns = session.columns(&query).await.map_err(refused)?;
        let header = Header::new(columns.iter().map(|column| column.name.as_str()));
        if header.is_empty() {
            return Err(QueryError::NoColumns.into());
        }
        let keys = Keys::find(spec, &header, start)?;
        let text = sql::select(&query, &columns, &keys.named(), since.as_ref(), start)?;
        // What is wrong with the query itself was told above; from here on the server's words may hold a value, or the key.
        let rows = session.rows(&text).await.map_err(stopped)?;
        Ok(Self {
            rows,
            used: used.iter().filter_map(|name| header.find(name).ok()).collect(),
            header,
            kinds: columns.iter().map(|column| column.kind).collect(),
            zoneless: *zoneless,
            keys,
            marks_seen: matches!(start, Start::Behind { replay: Replay::Seen, .. }),
            ended: false,
            read: 0,
        })
    }

    fn take(&mut self, found: &MySqlRow, batch: &mut Batch) -> Result<(), QueryError> {
        self.read += 1;
        let length: usize = found.cells().flatten().map(<[u8]>::len).sum();
        if length > MAX_RECORD {
            return Err(QueryError::LineTooLong { row: self.read, limit: MAX_RECORD >> 20 });
        }
        let mut result = Ok(());
        batch.push(self.read, |row| result = fill(row, found, &self.header, (&self.kinds, self.zoneless), self.marks_seen, &mut self.keys));
        result?;
        if length > MAX_CHARACTERS { check_length(batch, &self.used) } else { Ok(()) }
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
            match self.rows.next().await.map_err(stopped)? {
                Some(row) => self.take(&row, batch)?,
                None => self.ended = true,
            }
        }
        Ok(!batch.is_empty())
    }
}

fn fill(
    row: &mut Row,
    found: &MySqlRow,
    header: &Header,
    (kinds, zoneless): (&[MySqlKind], Zoneless),
    marks_seen: bool,
    keys: &mut Keys,
) -> Result<(), QueryError> {
    let number = row.number;
    let mut cells = found.cells();
    // The kinds come first: `zip` takes from its second only what the first has a partner for.
    for (column, (kind, text)) in kinds.iter().zip(cells.by_ref()).enumerate() {
        keys.take(row, column, text, header)?;
        let Some(text) = text else {
            row.cells.push_field(b"");
            continue;
        };
        if let Err(value) = value::write(*kind, zoneless, text, &mut row.cells) {
            row.cells.push_field(String::from_utf8_lossy(text).as_bytes());
            let column = header.names()[column].clone();
            row.fault.get_or_insert(RowError::NoSuchValue { row: number, column, value: value.to_owned() });
        }
    }
    if row.cells.len() != kinds.len() {
        return Err(QueryError::Protocol { row: number });
    }
    if row.fault.is_some() {
        let shown: Vec<&[u8]> = found.cells().take(kinds.len()).map(Option::unwrap_or_default).collect();
        row.refused = own::refused(header.cells(), &row.cells, &shown.join(&b'\t'));
    }
    row.seen = marks_seen && cells.next() == Some(Some(b"0"));
    keys.check(row, header)
}

/// What is wrong with the query.
fn refused(error: DatabaseError) -> ReadError {
    ReadError::refused(error, |code| ErrorCode(code).to_string())
}

/// What went wrong while the query ran.
fn stopped(error: DatabaseError) -> ReadError {
    ReadError::stopped(error, |code| ErrorCode(code).to_string())
}
