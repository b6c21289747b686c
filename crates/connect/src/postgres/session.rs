//! What is said over a connection to PostgreSQL, in words of our own: a caller that reads a database needs no type of the library.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use tokio::task::JoinHandle;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{Client, CopyOutStream};

use super::of_refusal;
use super::watch::Refusal;
use crate::error::{DatabaseError, Error};

/// A session. Dropping it closes the connection.
pub struct PostgresSession {
    pub(super) client: Client,
    /// As the server tells it, e.g. `15.18 (Debian 15.18-0+deb12u1)`.
    pub server_version: String,
    pub(super) driver: JoinHandle<()>,
    pub(super) end: End,
}

/// Where the reason is found, should we have ended the connection: the library only knows that it ended.
#[derive(Clone)]
pub(super) struct End {
    pub(super) target: String,
    pub(super) refusal: Arc<OnceLock<Refusal>>,
}

/// A column of a query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresColumn {
    /// Name of the column in the result: its alias where the query gives one.
    pub name: String,
    /// Type of its values.
    pub kind: PostgresType,
}

/// The type of a column's values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PostgresType {
    /// Schema that the type is in: `pg_catalog` for PostgreSQL's own.
    pub schema: String,
    /// Name of the type in its schema, as in the catalogue: `int4`, not `integer`; `_int4` for an array of it.
    pub name: String,
    /// Name of PostgreSQL's own type whose text the values have: of a domain, what it is made of in the end. Absent for other people's
    /// types.
    pub built_in: Option<String>,
    /// It has fields: a row type, or the type of a `ROW(…)`.
    pub composite: bool,
}

/// What `COPY … TO STDOUT` sends, piece by piece.
pub struct PostgresCopy {
    stream: Pin<Box<CopyOutStream>>,
    end: End,
}

impl PostgresSession {
    /// Statements without results.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Server`]: the server refuses one of them, which undoes those before it unless they commit by themselves. Any other
    /// error: the session is over.
    pub async fn execute(&self, sql: &str) -> Result<(), DatabaseError> {
        self.client.batch_execute(sql).await.map_err(|error| self.end.database_error(error))
    }

    /// What a query would return; it does not run.
    ///
    /// # Errors
    ///
    /// The query cannot be run: the server's words say why, and may quote the query.
    pub async fn columns(&self, query: &str) -> Result<Vec<PostgresColumn>, DatabaseError> {
        let statement = self.client.prepare(query).await.map_err(|error| self.end.database_error(error))?;
        let column =
            |column: &tokio_postgres::Column| PostgresColumn { name: column.name().to_owned(), kind: PostgresType::of(column.type_()) };
        Ok(statement.columns().iter().map(column).collect())
    }

    /// Whether the query, whose one value is a boolean, says so.
    ///
    /// # Errors
    ///
    /// As those of [`execute`](Self::execute).
    pub async fn is_true(&self, query: &str) -> Result<bool, DatabaseError> {
        let row = self.client.query_one(query, &[]).await.map_err(|error| self.end.database_error(error))?;
        row.try_get(0).map_err(|error| self.end.database_error(error))
    }

    /// Starts a `COPY … TO STDOUT`. Nothing is read ahead of who takes the pieces, but for what the network holds.
    ///
    /// # Errors
    ///
    /// The server refuses the statement before the first piece; a later refusal comes as the last item of the stream.
    pub async fn copy_out(&self, statement: &str) -> Result<PostgresCopy, DatabaseError> {
        let stream = self.client.copy_out(statement).await.map_err(|error| self.end.database_error(error))?;
        Ok(PostgresCopy { stream: Box::pin(stream), end: self.end.clone() })
    }
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl PostgresType {
    fn of(kind: &Type) -> Self {
        let mut base = kind;
        while let Kind::Domain(inner) = base.kind() {
            base = inner;
        }
        let built_in = (base.schema() == "pg_catalog").then(|| base.name().to_owned());
        let composite = matches!(base.kind(), Kind::Composite(_)) || *base == Type::RECORD;
        Self { schema: kind.schema().to_owned(), name: kind.name().to_owned(), built_in, composite }
    }
}

impl Stream for PostgresCopy {
    type Item = Result<Bytes, DatabaseError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(self.stream.as_mut().poll_next(cx));
        Poll::Ready(next.map(|piece| piece.map_err(|error| self.end.database_error(error))))
    }
}

impl End {
    fn database_error(&self, error: tokio_postgres::Error) -> DatabaseError {
        if let Some(db) = error.as_db_error() {
            let code = db.code().code();
            return DatabaseError::Server { passing: is_passing(code), code: code.to_owned(), message: db.message().to_owned() };
        }
        match self.ended() {
            Some(ours) => DatabaseError::Ended(ours),
            None => DatabaseError::Lost(Box::new(error) as Box<dyn StdError + Send + Sync>),
        }
    }

    fn ended(&self) -> Option<Error> {
        self.refusal.get().map(|refusal| of_refusal(self.target.clone(), refusal))
    }
}

/// Shutdown, crash, failover, too many connections, conflict with recovery; a lock that somebody else holds.
fn is_passing(code: &str) -> bool {
    ["57P", "08", "53", "40", "55P03"].iter().any(|class| code.starts_with(class))
}
