//! What is said over a connection to MySQL or MariaDB, in words of our own.

use std::sync::Arc;

use futures::StreamExt;
use mysql_async::consts::{ColumnFlags, ColumnType};
use mysql_async::prelude::{Query, Queryable};
use mysql_async::{Column, Conn, DriverError, ResultSetStream, Row, TextProtocol, Value};

use crate::error::{DatabaseError, Error, explain};

/// Charset 63 is none: bytes.
const BINARY: u16 = 63;

/// A session. Dropping it closes the connection.
pub struct MySqlSession {
    connection: Conn,
    target: Arc<str>,
    /// As the server's greeting has it, e.g. `10.11.14`.
    pub server_version: String,
}

/// A column of a query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MySqlColumn {
    /// Name of the column in the result: its alias where the query gives one.
    pub name: String,
    /// What its values' texts are.
    pub kind: MySqlKind,
}

/// What the texts of a column's values are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MySqlKind {
    /// Whole and decimal numbers, exact; years, too.
    Number,
    /// `FLOAT` and `DOUBLE`: their text need not be exact.
    Approximate,
    /// `BIT(n)`: bytes, the highest bits first.
    Bit,
    /// `DATE`, as `2026-11-27`; `0000-00-00` where the server allows it.
    Date,
    /// `TIME`: a time of day or a span, as `-838:59:59` to `838:59:59`.
    Time,
    /// `DATETIME`, which has no zone.
    DateTime,
    /// `TIMESTAMP`: an instant, told in the session's zone.
    Timestamp,
    /// Texts of a character set: `CHAR`, `VARCHAR`, `TEXT`.
    Text,
    /// `ENUM` and `SET`: texts that are ordered by where they stand in the definition.
    Choice,
    /// `JSON` of MySQL. MariaDB's is a text.
    Json,
    /// Bytes without a character set, and types that have no text of their own (`BINARY`, `BLOB`, `GEOMETRY`).
    Binary,
}

/// Rows as the server sends them. Nothing is read ahead of who takes them, but for what the network holds.
pub struct MySqlRows {
    stream: Option<ResultSetStream<'static, 'static, 'static, Row, TextProtocol>>,
    target: Arc<str>,
}

/// One row of an answer, its values in the order of the query's columns.
pub struct MySqlRow(Row);

impl MySqlRow {
    /// Text of each value as the server writes it; NULL is none.
    pub fn cells(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.0.len()).map(|column| match self.0.as_ref(column) {
            Some(Value::Bytes(text)) => Some(text.as_slice()),
            // The text protocol has no other values.
            _ => None,
        })
    }
}

impl MySqlSession {
    /// Asks nothing: the library makes room for as many columns as an answer says it has, and a caller that only logs in must not be brought
    /// down by a server that says it has billions.
    pub(super) fn begin(connection: Conn, target: String) -> Self {
        let (major, minor, patch) = connection.server_version();
        Self { connection, target: target.into(), server_version: format!("{major}.{minor}.{patch}") }
    }

    /// Asks the server whether it is MariaDB and no MySQL: the two have some settings under different names.
    ///
    /// # Errors
    ///
    /// The server says no, or the connection is lost or ended by us.
    pub async fn is_mariadb(&mut self) -> Result<bool, DatabaseError> {
        // A row is taken as it comes; any other type would make the library panic on an answer that does not fit.
        let version: Option<Row> =
            self.connection.query_first("SELECT VERSION()").await.map_err(|error| database_error(&self.target, error))?;
        let version = version.map(MySqlRow);
        let text = version.as_ref().and_then(|row| row.cells().next().flatten()).unwrap_or_default();
        Ok(String::from_utf8_lossy(text).contains("MariaDB"))
    }

    /// A statement without results.
    pub async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.connection.query_drop(sql).await.map_err(|error| database_error(&self.target, error))
    }

    /// What a query would return; it does not run. It must be one statement.
    ///
    /// # Errors
    ///
    /// The query cannot be run: the server's words say why, and may quote the query.
    pub async fn columns(&mut self, query: &str) -> Result<Vec<MySqlColumn>, DatabaseError> {
        let statement = self.connection.prep(query).await.map_err(|error| database_error(&self.target, error))?;
        let columns = statement.columns().iter().map(MySqlColumn::of).collect();
        self.connection.close(statement).await.map_err(|error| database_error(&self.target, error))?;
        Ok(columns)
    }

    /// Runs a query that `columns` has found to be one statement.
    ///
    /// # Errors
    ///
    /// The server refuses the query before the first row.
    pub async fn rows(self, query: &str) -> Result<MySqlRows, DatabaseError> {
        let Self { connection, target, .. } = self;
        let result = query.to_owned().run(connection).await.map_err(|error| database_error(&target, error))?;
        let stream = result.stream_and_drop().await.map_err(|error| database_error(&target, error))?;
        Ok(MySqlRows { stream, target })
    }
}

impl MySqlRows {
    /// The next row; `None` after the last, however often it is asked for.
    ///
    /// # Errors
    ///
    /// The query was stopped, or the connection was lost or ended by us: no further row can be had.
    pub async fn next(&mut self) -> Result<Option<MySqlRow>, DatabaseError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        match stream.next().await.transpose() {
            Ok(Some(row)) => Ok(Some(MySqlRow(row))),
            Ok(None) => {
                self.stream = None;
                Ok(None)
            }
            Err(error) => Err(database_error(&self.target, error)),
        }
    }
}

impl Drop for MySqlRows {
    /// Inside of a runtime the library reads all that is left, to say goodbye in good order; a caller that drops rows wants an end now.
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            std::thread::spawn(move || drop(stream));
        }
    }
}

impl MySqlColumn {
    fn of(column: &Column) -> Self {
        Self { name: column.name_str().into_owned(), kind: MySqlKind::of(column) }
    }
}

impl MySqlKind {
    fn of(column: &Column) -> Self {
        use ColumnType as Type;
        match column.column_type() {
            Type::MYSQL_TYPE_DECIMAL
            | Type::MYSQL_TYPE_NEWDECIMAL
            | Type::MYSQL_TYPE_TINY
            | Type::MYSQL_TYPE_SHORT
            | Type::MYSQL_TYPE_INT24
            | Type::MYSQL_TYPE_LONG
            | Type::MYSQL_TYPE_LONGLONG
            | Type::MYSQL_TYPE_YEAR => Self::Number,
            Type::MYSQL_TYPE_FLOAT | Type::MYSQL_TYPE_DOUBLE => Self::Approximate,
            Type::MYSQL_TYPE_BIT => Self::Bit,
            Type::MYSQL_TYPE_DATE | Type::MYSQL_TYPE_NEWDATE => Self::Date,
            Type::MYSQL_TYPE_TIME | Type::MYSQL_TYPE_TIME2 => Self::Time,
            Type::MYSQL_TYPE_DATETIME | Type::MYSQL_TYPE_DATETIME2 => Self::DateTime,
            Type::MYSQL_TYPE_TIMESTAMP | Type::MYSQL_TYPE_TIMESTAMP2 => Self::Timestamp,
            Type::MYSQL_TYPE_JSON => Self::Json,
            Type::MYSQL_TYPE_ENUM | Type::MYSQL_TYPE_SET => Self::Choice,
            _ if column.flags().intersects(ColumnFlags::ENUM_FLAG | ColumnFlags::SET_FLAG) => Self::Choice,
            Type::MYSQL_TYPE_NULL => Self::Text,
            Type::MYSQL_TYPE_VARCHAR
            | Type::MYSQL_TYPE_VAR_STRING
            | Type::MYSQL_TYPE_STRING
            | Type::MYSQL_TYPE_TINY_BLOB
            | Type::MYSQL_TYPE_MEDIUM_BLOB
            | Type::MYSQL_TYPE_LONG_BLOB
            | Type::MYSQL_TYPE_BLOB
                if column.character_set() != BINARY =>
            {
                Self::Text
            }
            _ => Self::Binary,
        }
    }
}

fn database_error(target: &str, error: mysql_async::Error) -> DatabaseError {
    match error {
        mysql_async::Error::Server(error) => {
            let code = error.code.to_string();
            DatabaseError::Server { passing: super::is_passing(&code), code, message: error.message }
        }
        mysql_async::Error::Io(_) | mysql_async::Error::Driver(DriverError::ConnectionClosed) => DatabaseError::Lost(Box::new(error)),
        error => {
            let reason = match &error {
                mysql_async::Error::Driver(DriverError::LocalInfile(_)) => "it asks for a file of ours, and gets none".to_owned(),
                mysql_async::Error::Driver(DriverError::PacketTooLarge) => {
                    format!("it sends a message of more than {} bytes: a row must be shorter", super::MESSAGE_BYTES)
                }
                error => explain(error),
            };
            DatabaseError::Ended(Error::MySqlProtocol { target: target.to_owned(), reason })
        }
    }
}
