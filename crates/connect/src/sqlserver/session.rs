//! What is said over a connection to SQL Server, in words and values of our own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures::StreamExt;
use tiberius::{Client, ColumnData, ColumnType, QueryItem, Row};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;
use tokio_util::compat::Compat;

use super::handshake::Handshake;
use super::wire::{Meter, Wire};
use crate::error::{DatabaseError, Error};

/// What is read without a row having come of it, and so the longest row. Texts come in UTF-16, and a job takes 8 MiB of UTF-8.
const ROW_BYTES: usize = 20 << 20;

/// Rows that were read and that nobody has taken yet.
const AHEAD: usize = 1;

/// Days from 0001-01-01 and from 1900-01-01 to 1970-01-01.
const SINCE_YEAR_1: i64 = 719_162;
const SINCE_1900: i64 = 25_567;

/// Of a second.
const PARTS: u64 = 10_000_000;

/// The library reads money as a number of floating point. Up to here each ten thousandth has one of its own.
const EXACT_MONEY: f64 = 225_179_981_368.0;

/// Ends with whether another result comes behind.
type Reading = Pin<Box<dyn Future<Output = Result<bool, DatabaseError>> + Send>>;

type Connection = Client<Compat<Wire<TlsStream<Handshake<TcpStream>>>>>;

/// A session. Dropping it closes the connection, which undoes whatever is not committed.
pub struct SqlServerSession {
    client: Box<Connection>,
    end: End,
    /// As the server's greeting has it, e.g. `16.0.4131`.
    pub server_version: String,
}

/// Tells why a session ends.
struct End {
    meter: Arc<Meter>,
    target: String,
}

/// A column of a query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SqlServerColumn {
    /// Name of the column in the result: its alias where the query gives one; empty where it has none.
    pub name: String,
    /// What its values are.
    pub kind: SqlServerKind,
}

/// What a column's values are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SqlServerKind {
    /// `bit`.
    Bit,
    /// `tinyint` to `bigint`.
    Integer,
    /// `decimal`, `numeric`: exact.
    Decimal,
    /// `money`, `smallmoney`: read as a number of floating point.
    Money,
    /// `real`, `float`.
    Approximate,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `datetime`, in parts of 1/300 s, and `smalldatetime`, in minutes. Without a zone.
    DateTime,
    /// `datetime2`, in parts of 100 ns. Without a zone.
    DateTime2,
    /// `datetimeoffset`: an instant.
    DateTimeOffset,
    /// `varchar`, `nvarchar`.
    Text,
    /// `char`, `nchar`: with spaces up to their length.
    PaddedText,
    /// `text`, `ntext`: texts that the server neither compares nor orders.
    LongText,
    /// `uniqueidentifier`.
    Guid,
    /// `xml`.
    Xml,
    /// Bytes: `binary`, `varbinary`, `image`, `rowversion`.
    Binary,
    /// `sql_variant`: each value is of a type of its own.
    Variant,
    /// Types made of code (CLR): `hierarchyid`, `geometry`, `geography`.
    Clr,
}

/// One value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SqlServerValue<'r> {
    /// There is none.
    Null,
    /// A bit.
    Bit(bool),
    /// A whole number.
    Integer(i64),
    /// `digits` with the point before the last `scale` of them.
    Decimal {
        /// All of them, as one number.
        digits: i128,
        /// So many stand behind the point.
        scale: u8,
    },
    /// Money that is too much to be exact.
    TooMuchMoney,
    /// A number of floating point with 24 bits.
    Real(f32),
    /// A number of floating point with 53 bits.
    Float(f64),
    /// Days since 1970-01-01.
    Date(i64),
    /// Time of a day in 100 ns.
    Time(u64),
    /// A day and a time of it.
    Instant {
        /// Days since 1970-01-01.
        day: i64,
        /// Time of the day in 100 ns. `datetime` has parts of 1/300 s, which are rounded to milliseconds as the server shows them.
        time: u64,
    },
    /// A text.
    Text(&'r str),
    /// The sixteen bytes in the order in which they are written.
    Guid([u8; 16]),
    /// Bytes.
    Binary(&'r [u8]),
}

/// One row of an answer, its values in the order of the query's columns.
pub struct SqlServerRow(Row);

impl SqlServerRow {
    /// Each value.
    pub fn cells(&self) -> impl Iterator<Item = SqlServerValue<'_>> {
        self.0.cells().map(|(column, data)| value(column.column_type(), data))
    }
}

/// Rows as the server sends them. One is read ahead of who takes them, and what the network holds.
pub struct SqlServerRows {
    /// Reads while somebody waits for a row; `None` once the answer is over.
    reading: Option<Reading>,
    read: mpsc::Receiver<SqlServerRow>,
    columns: Vec<SqlServerColumn>,
    another: bool,
}

impl SqlServerSession {
    pub(super) fn begin(client: Connection, meter: Arc<Meter>, target: String, server_version: String) -> Self {
        Self { client: Box::new(client), end: End { meter, target }, server_version }
    }

    /// Statements whose results are of no interest.
    ///
    /// # Errors
    ///
    /// The server refuses one of them, or the connection is lost or ended by us.
    pub async fn execute(&mut self, sql: &str) -> Result<(), DatabaseError> {
        self.answer(sql, |_| ()).await
    }

    /// The columns that a query says it has; it runs, and is to give no rows.
    ///
    /// # Errors
    ///
    /// The query cannot be run: the server's words say why, and may quote the query.
    pub async fn columns(&mut self, query: &str) -> Result<Vec<SqlServerColumn>, DatabaseError> {
        let mut columns = Vec::new();
        self.answer(query, |item| {
            if let QueryItem::Metadata(found) = item {
                columns = found.columns().iter().map(SqlServerColumn::of).collect();
            }
        })
        .await?;
        Ok(columns)
    }

    /// Whether the query, whose one value is a whole number, says 1.
    ///
    /// # Errors
    ///
    /// As those of [`execute`](Self::execute).
    pub async fn is_one(&mut self, query: &str) -> Result<bool, DatabaseError> {
        let mut found = false;
        self.answer(query, |item| {
            if let QueryItem::Row(row) = item {
                found = SqlServerRow(row).cells().next() == Some(SqlServerValue::Integer(1));
            }
        })
        .await?;
        Ok(found)
    }

    async fn answer(&mut self, sql: &str, mut take: impl FnMut(QueryItem)) -> Result<(), DatabaseError> {
        let Self { client, end, .. } = self;
        end.meter.allow(ROW_BYTES);
        let mut answer = client.simple_query(sql).await.map_err(|error| end.database_error(error))?;
        while let Some(item) = answer.next().await {
            take(item.map_err(|error| end.database_error(error))?);
        }
        Ok(())
    }

    /// Runs a query; its columns are known once this is done, and no row was taken.
    ///
    /// # Errors
    ///
    /// The server refuses the query before it says what its columns are.
    pub async fn rows(self, query: &str) -> Result<SqlServerRows, DatabaseError> {
        let (send, read) = mpsc::channel(AHEAD);
        let (tell, mut told) = mpsc::channel(1);
        let reading = Box::pin(read_rows(self, query.to_owned(), tell, send));
        let mut rows = SqlServerRows { reading: Some(reading), read, columns: Vec::new(), another: false };
        let Some(reading) = &mut rows.reading else { return Ok(rows) };
        tokio::select! {
            biased;
            Some(columns) = told.recv() => rows.columns = columns,
            ended = reading => {
                rows.reading = None;
                rows.another = ended?;
                // An answer that is short is over as soon as it has begun.
                rows.columns = told.try_recv().unwrap_or_default();
            }
        }
        Ok(rows)
    }
}

/// The library lends the session to the answer. This owns both, and goes on when somebody waits for it. True: another result comes behind.
async fn read_rows(
    session: SqlServerSession,
    query: String,
    tell: mpsc::Sender<Vec<SqlServerColumn>>,
    send: mpsc::Sender<SqlServerRow>,
) -> Result<bool, DatabaseError> {
    let SqlServerSession { mut client, end, .. } = session;
    end.meter.allow(ROW_BYTES);
    let mut answer = client.simple_query(query).await.map_err(|error| end.database_error(error))?;
    let mut known = false;
    while let Some(item) = answer.next().await {
        match item.map_err(|error| end.database_error(error))? {
            QueryItem::Metadata(_) if known => return Ok(true),
            QueryItem::Metadata(found) => {
                known = true;
                let _ = tell.send(found.columns().iter().map(SqlServerColumn::of).collect()).await;
            }
            QueryItem::Row(row) => {
                end.meter.allow(ROW_BYTES);
                if send.send(SqlServerRow(row)).await.is_err() {
                    break;
                }
            }
        }
    }
    Ok(false)
}

impl SqlServerRows {
    /// The columns; none if the statement gives no rows.
    pub fn columns(&self) -> &[SqlServerColumn] {
        &self.columns
    }

    /// Behind the last row another result began, which is not read: the query is more than one.
    pub fn has_another(&self) -> bool {
        self.another
    }

    /// The next row; `None` after the last, however often it is asked for.
    ///
    /// # Errors
    ///
    /// The query was stopped, or the connection was lost or ended by us: no further row can be had.
    pub async fn next(&mut self) -> Result<Option<SqlServerRow>, DatabaseError> {
        let Some(reading) = &mut self.reading else { return Ok(self.read.recv().await) };
        tokio::select! {
            biased;
            Some(row) = self.read.recv() => Ok(Some(row)),
            ended = reading => {
                self.reading = None;
                self.another = ended?;
                Ok(self.read.recv().await)
            }
        }
    }
}

impl End {
    fn database_error(&self, error: tiberius::error::Error) -> DatabaseError {
        let ended = |reason| DatabaseError::Ended(Error::SqlServerProtocol { target: self.target.clone(), reason });
        if self.meter.exceeded() {
            return ended(format!("it sends more than {} MiB without a row's end: a row must be shorter", ROW_BYTES >> 20));
        }
        match error {
            tiberius::error::Error::Server(error) => {
                let code = error.code().to_string();
                DatabaseError::Server { passing: super::is_passing(&code), code, message: error.message().to_owned() }
            }
            error @ tiberius::error::Error::Io { .. } => DatabaseError::Lost(Box::new(error)),
            error => ended(error.to_string()),
        }
    }
}

impl SqlServerColumn {
    fn of(column: &tiberius::Column) -> Self {
        Self { name: column.name().to_owned(), kind: SqlServerKind::of(column.column_type()) }
    }
}

impl SqlServerKind {
    fn of(kind: ColumnType) -> Self {
        use ColumnType as Type;
        match kind {
            Type::Bit | Type::Bitn => Self::Bit,
            Type::Int1 | Type::Int2 | Type::Int4 | Type::Int8 | Type::Intn => Self::Integer,
            Type::Decimaln | Type::Numericn => Self::Decimal,
            Type::Money | Type::Money4 => Self::Money,
            Type::Float4 | Type::Float8 | Type::Floatn => Self::Approximate,
            Type::Daten => Self::Date,
            Type::Timen => Self::Time,
            Type::Datetime | Type::Datetime4 | Type::Datetimen => Self::DateTime,
            Type::Datetime2 => Self::DateTime2,
            Type::DatetimeOffsetn => Self::DateTimeOffset,
            Type::BigVarChar | Type::NVarchar | Type::Null => Self::Text,
            Type::BigChar | Type::NChar => Self::PaddedText,
            Type::Text | Type::NText => Self::LongText,
            Type::Guid => Self::Guid,
            Type::Xml => Self::Xml,
            Type::BigVarBin | Type::BigBinary | Type::Image => Self::Binary,
            Type::SSVariant => Self::Variant,
            Type::Udt => Self::Clr,
        }
    }
}

fn value<'r>(kind: ColumnType, data: &'r ColumnData<'static>) -> SqlServerValue<'r> {
    use SqlServerValue as Value;
    let is_money = matches!(kind, ColumnType::Money | ColumnType::Money4);
    let found = match data {
        ColumnData::Bit(bit) => bit.map(Value::Bit),
        ColumnData::U8(number) => number.map(|number| Value::Integer(number.into())),
        ColumnData::I16(number) => number.map(|number| Value::Integer(number.into())),
        ColumnData::I32(number) => number.map(|number| Value::Integer(number.into())),
        ColumnData::I64(number) => number.map(Value::Integer),
        ColumnData::F32(number) => number.map(Value::Real),
        ColumnData::F64(number) if is_money => number.map(money),
        ColumnData::F64(number) => number.map(Value::Float),
        ColumnData::Numeric(number) => number.map(|number| Value::Decimal { digits: number.value(), scale: number.scale() }),
        ColumnData::Date(date) => date.map(|date| Value::Date(i64::from(date.days()) - SINCE_YEAR_1)),
        ColumnData::Time(time) => time.map(|time| Value::Time(parts(time))),
        ColumnData::DateTime(at) => at.map(|at| {
            let milliseconds = (u64::from(at.seconds_fragments()) * 10 + 1) / 3;
            Value::Instant { day: i64::from(at.days()) - SINCE_1900, time: milliseconds * (PARTS / 1_000) }
        }),
        // What the library calls fragments of a second are minutes here.
        ColumnData::SmallDateTime(at) => {
            at.map(|at| Value::Instant { day: i64::from(at.days()) - SINCE_1900, time: u64::from(at.seconds_fragments()) * 60 * PARTS })
        }
        ColumnData::DateTime2(at) => at.map(instant),
        // The server sends the instant in UTC, and beside it the offset, which is not needed.
        ColumnData::DateTimeOffset(at) => at.map(|at| instant(at.datetime2())),
        ColumnData::String(text) => text.as_deref().map(Value::Text),
        ColumnData::Xml(xml) => xml.as_deref().map(|xml| Value::Text(xml.as_ref())),
        ColumnData::Guid(guid) => guid.map(|guid| Value::Guid(guid.into_bytes())),
        ColumnData::Binary(bytes) => bytes.as_deref().map(Value::Binary),
    };
    found.unwrap_or(Value::Null)
}

fn instant(at: tiberius::time::DateTime2) -> SqlServerValue<'static> {
    SqlServerValue::Instant { day: i64::from(at.date().days()) - SINCE_YEAR_1, time: parts(at.time()) }
}

/// The server has at most seven digits behind the point.
fn parts(time: tiberius::time::Time) -> u64 {
    let missing = 7_u32.saturating_sub(time.scale().into());
    time.increments().saturating_mul(10_u64.pow(missing))
}

fn money(amount: f64) -> SqlServerValue<'static> {
    if amount.abs() < EXACT_MONEY {
        SqlServerValue::Decimal { digits: (amount * 1e4).round() as i128, scale: 4 }
    } else {
        SqlServerValue::TooMuchMoney
    }
}

#[cfg(test)]
mod tests {
    use tiberius::numeric::Numeric;
    use tiberius::time::{Date, DateTime, DateTime2, DateTimeOffset, SmallDateTime, Time};

    use super::*;

    #[test]
    fn times_are_counted_as_the_server_shows_them() {
        // 2026-11-28 is the day 739,947 since 0001-01-01 and 46,352 since 1900-01-01.
        let day = 20_785;
        let at = |time| SqlServerValue::Instant { day, time };
        let noon = 12 * 3_600 * PARTS;
        let date = Date::new(739_947);
        for (data, expected) in [
            (ColumnData::Date(Some(date)), SqlServerValue::Date(day)),
            (ColumnData::Time(Some(Time::new(43_200_123, 3))), SqlServerValue::Time(noon + 1_230_000)),
            (ColumnData::DateTime2(Some(DateTime2::new(date, Time::new(432_000_000_001, 7)))), at(noon + 1)),
            (ColumnData::DateTime2(Some(DateTime2::new(date, Time::new(43_200, 0)))), at(noon)),
            (ColumnData::DateTimeOffset(Some(DateTimeOffset::new(DateTime2::new(date, Time::new(43_200, 0)), 330))), at(noon)),
            (ColumnData::SmallDateTime(Some(SmallDateTime::new(46_352, 720))), at(noon)),
            // .003, .007 and .997: what 1/300, 2/300 and 299/300 are shown as.
            (ColumnData::DateTime(Some(DateTime::new(46_352, 43_200 * 300 + 1))), at(noon + 30_000)),
            (ColumnData::DateTime(Some(DateTime::new(46_352, 43_200 * 300 + 2))), at(noon + 70_000)),
            (ColumnData::DateTime(Some(DateTime::new(46_352, 43_200 * 300 + 299))), at(noon + 9_970_000)),
            (ColumnData::DateTime(Some(DateTime::new(-53_690, 0))), SqlServerValue::Instant { day: -79_257, time: 0 }),
            (ColumnData::DateTime(None), SqlServerValue::Null),
        ] {
            assert_eq!(value(ColumnType::Null, &data), expected, "{data:?}");
        }
    }

    #[test]
    fn money_is_exact_or_told_to_be_too_much() {
        for ten_thousandths in [0, 1, -1, 12_345, 2_251_799_813_679_999_i64, -2_251_799_813_679_999] {
            let expected = SqlServerValue::Decimal { digits: ten_thousandths.into(), scale: 4 };
            assert_eq!(money(ten_thousandths as f64 / 1e4), expected, "{ten_thousandths}");
        }
        assert_eq!(money(225_179_981_368.0), SqlServerValue::TooMuchMoney);
        assert_eq!(money(-922_337_203_685_477.6), SqlServerValue::TooMuchMoney);
        let amount = ColumnData::F64(Some(1.5));
        assert_eq!(value(ColumnType::Money, &amount), SqlServerValue::Decimal { digits: 15_000, scale: 4 });
        assert_eq!(value(ColumnType::Float8, &ColumnData::F64(Some(0.1))), SqlServerValue::Float(0.1));
        let number = ColumnData::Numeric(Some(Numeric::new_with_scale(-12_345, 2)));
        assert_eq!(value(ColumnType::Numericn, &number), SqlServerValue::Decimal { digits: -12_345, scale: 2 });
    }
}
