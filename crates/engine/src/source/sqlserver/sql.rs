//! The statements around the user's query. A key to go on behind stands in the text, written here and nowhere else in a form that means the
//! same whatever the server's settings.

use connect::{SqlServerColumn, SqlServerKind};

use crate::source::ordered::{self, Dialect, KeyColumn};
use crate::source::{QueryError, Since, Start};

/// Makes what a query means independent of the server's settings. One that waits for a lock is better tried again than waited for.
pub(super) const SESSION: &str = "SET LOCK_TIMEOUT 30000; SET TEXTSIZE 2147483647; SET ROWCOUNT 0; SET XACT_ABORT ON; SET QUOTED_IDENTIFIER ON; \
    SET ANSI_NULLS ON; SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET CONCAT_NULL_YIELDS_NULL ON; SET ARITHABORT ON; \
    SET NUMERIC_ROUNDABORT OFF; SET DATEFORMAT ymd";

/// Whether a transaction may see one state of this database.
pub(super) const ALLOWS_SNAPSHOTS: &str = "SELECT CASE WHEN EXISTS (SELECT 1 FROM sys.databases WHERE database_id = DB_ID() \
    AND snapshot_isolation_state = 1) THEN 1 ELSE 0 END AS allowed";

/// Nothing ever commits it: what a query may have written is undone when the connection ends.
pub(super) fn begin(snapshot: bool) -> String {
    let level = if snapshot { "SNAPSHOT" } else { "READ COMMITTED" };
    format!("SET TRANSACTION ISOLATION LEVEL {level}; BEGIN TRANSACTION")
}

/// The query must end where it ends, or what is written behind it would be a statement of its own.
pub(super) fn check(query: &str) -> Result<(), QueryError> {
    if query.trim_end().ends_with(';') { Err(QueryError::Semicolon) } else { Ok(()) }
}

/// Tells the columns and gives no row.
pub(super) fn describe(query: &str) -> String {
    format!("SELECT TOP (0) q.* FROM (\n{query}\n) AS q")
}

/// Whether a column is NULL somewhere.
pub(super) fn has_null(query: &str, column: &SqlServerColumn) -> String {
    format!(
        "SELECT CASE WHEN EXISTS (SELECT 1 FROM (\n{query}\n) AS q WHERE q.{} IS NULL) THEN 1 ELSE 0 END AS found",
        quoted(&column.name)
    )
}

/// The user's query in order, from where reading begins.
pub(super) fn select(
    query: &str,
    columns: &[SqlServerColumn],
    keys: &[(usize, &'static str)],
    since: Option<&Since>,
    start: &Start,
) -> Result<String, QueryError> {
    let keys: Vec<Key<'_>> = keys.iter().map(|(key, field)| Key::of(&columns[*key], field)).collect::<Result<_, _>>()?;
    let or_null = |condition: &str, keys: &[Key<'_>]| {
        let nulls: Vec<String> = keys.iter().map(|key| format!("q.{} IS NULL", key.quoted)).collect();
        format!("({condition} OR {})", nulls.join(" OR "))
    };
    let mark = |behind: &str| format!(", CASE WHEN {behind} THEN 0 ELSE 1 END AS [seen]");
    ordered::select(query, &keys, since, start, &Dialect { or_null, mark })
}

/// A name that is nothing else.
pub(super) fn quoted(name: &str) -> String {
    format!("[{}]", name.replace(']', "]]"))
}

/// A column of `orderBy`.
struct Key<'q> {
    name: &'q str,
    kind: KeyKind,
    quoted: String,
    /// What is compared and ordered by.
    expression: String,
}

#[derive(Clone, Copy)]
enum KeyKind {
    Integer,
    Decimal,
    /// Compared as this type, which is the column's own or holds all that it does.
    Converted(&'static str),
    Text,
}

impl<'q> Key<'q> {
    fn of(column: &'q SqlServerColumn, field: &'static str) -> Result<Self, QueryError> {
        let refuse = |kind| Err(QueryError::KeyKind { field, column: column.name.clone(), kind });
        let kind = match column.kind {
            SqlServerKind::Bit | SqlServerKind::Integer => KeyKind::Integer,
            SqlServerKind::Decimal => KeyKind::Decimal,
            SqlServerKind::Date => KeyKind::Converted("date"),
            SqlServerKind::Time => KeyKind::Converted("time(7)"),
            SqlServerKind::DateTime => KeyKind::Converted("datetime"),
            SqlServerKind::DateTime2 => KeyKind::Converted("datetime2(7)"),
            SqlServerKind::DateTimeOffset => KeyKind::Converted("datetimeoffset(7)"),
            SqlServerKind::Guid => KeyKind::Converted("uniqueidentifier"),
            SqlServerKind::Text | SqlServerKind::PaddedText => KeyKind::Text,
            SqlServerKind::Money => return refuse("money, which is read with a loss"),
            SqlServerKind::Approximate => return refuse("an approximate number, whose text need not be its value"),
            SqlServerKind::LongText => return refuse("text or ntext, which the server does not order"),
            SqlServerKind::Xml => return refuse("XML"),
            SqlServerKind::Binary => return refuse("bytes"),
            SqlServerKind::Variant => return refuse("sql_variant"),
            SqlServerKind::Clr => return refuse("of a type made of code (CLR)"),
        };
        let quoted = quoted(&column.name);
        let expression = match kind {
            KeyKind::Integer | KeyKind::Decimal | KeyKind::Converted(_) => format!("q.{quoted}"),
            // A collation takes different texts for the same one, such as `a` and `A`, and would lose one behind the other. Compared are bytes;
            // the character at the end keeps spaces and zeros before it from being taken for nothing.
            KeyKind::Text => format!("CONVERT(varbinary(max), CONVERT(nvarchar(max), q.{quoted}) + N'|')"),
        };
        Ok(Self { name: &column.name, kind, quoted, expression })
    }
}

impl KeyColumn for Key<'_> {
    fn expression(&self) -> &str {
        &self.expression
    }

    fn literal(&self, value: &str) -> Result<String, QueryError> {
        // A person may write a space before the time; these styles want a letter.
        let value = &value.replacen(' ', "T", usize::from(matches!(self.kind, KeyKind::Converted(_))));
        let only = |more: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_hexdigit() || more.as_bytes().contains(&byte));
        match self.kind {
            KeyKind::Integer if value.parse::<i64>().is_ok() => Ok(format!("CONVERT(bigint, '{value}')")),
            KeyKind::Decimal if is_decimal(value) => Ok(value.to_owned()),
            // 126 and 127 are ISO 8601, without and with a zone; other types do not look at it.
            KeyKind::Converted(kind) if only("-:.TZ") => {
                Ok(format!("CONVERT({kind}, '{value}', {})", if value.ends_with('Z') { 127 } else { 126 }))
            }
            KeyKind::Text => {
                let bytes: Vec<u8> = value.encode_utf16().chain([u16::from(b'|')]).flat_map(u16::to_le_bytes).collect();
                Ok(format!("0x{}", hex::encode_upper(bytes)))
            }
            KeyKind::Integer | KeyKind::Decimal | KeyKind::Converted(_) => Err(QueryError::KeyText { column: self.name.to_owned() }),
        }
    }
}

/// Digits with at most one point among them, as this source writes them.
fn is_decimal(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction].into_iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Replay;

    fn column(name: &str, kind: SqlServerKind) -> SqlServerColumn {
        SqlServerColumn { name: name.to_owned(), kind }
    }

    fn behind(key: &[&str], replay: Replay) -> Start {
        Start::Behind { key: key.iter().map(|part| part.to_string()).collect(), replay }
    }

    #[test]
    fn a_key_is_quoted_and_typed() {
        let columns = [
            column("id", SqlServerKind::Integer),
            column("na]me", SqlServerKind::Text),
            column("at", SqlServerKind::DateTimeOffset),
            column("amount", SqlServerKind::Decimal),
        ];
        let text = |keys: &[usize], start: &Start| {
            let keys: Vec<_> = keys.iter().map(|key| (*key, "orderBy")).collect();
            select("SELECT 1 -- one", &columns, &keys, None, start)
        };
        assert_eq!(text(&[], &Start::First).unwrap(), "SELECT 1 -- one");
        assert_eq!(text(&[0], &Start::First).unwrap(), "SELECT q.* FROM (\nSELECT 1 -- one\n) AS q ORDER BY q.[id]");
        let name = "CONVERT(varbinary(max), CONVERT(nvarchar(max), q.[na]]me]) + N'|')";
        assert_eq!(
            text(&[1, 0], &behind(&["'ä", "-7"], Replay::None)).unwrap(),
            format!(
                "SELECT q.* FROM (\nSELECT 1 -- one\n) AS q WHERE ({name} > 0x2700E4007C00 OR ({name} = 0x2700E4007C00 AND \
                 (q.[id] > CONVERT(bigint, '-7'))) OR q.[na]]me] IS NULL OR q.[id] IS NULL) ORDER BY {name}, q.[id]"
            )
        );
        assert_eq!(
            text(&[2], &behind(&["2026-11-28T06:00:00.5000000Z"], Replay::Seen)).unwrap(),
            "SELECT q.*, CASE WHEN (q.[at] > CONVERT(datetimeoffset(7), '2026-11-28T06:00:00.5000000Z', 127) OR q.[at] IS NULL) THEN 0 ELSE 1 \
             END AS [seen] FROM (\nSELECT 1 -- one\n) AS q ORDER BY q.[at]"
        );
        assert!(text(&[3], &behind(&["-12.50"], Replay::None)).unwrap().contains("q.[amount] > -12.50 OR"));
        for key in ["1 OR 1", "", "1;", "0x1", "--", "1e5", "1.2.3", ".", "-"] {
            for column in [0, 3] {
                assert!(matches!(text(&[column], &behind(&[key], Replay::None)), Err(QueryError::KeyText { .. })), "{key}");
            }
        }
        assert!(matches!(text(&[2], &behind(&["' OR '"], Replay::None)), Err(QueryError::KeyText { .. })));
        assert!(matches!(text(&[2], &behind(&["a", "b"], Replay::None)), Err(QueryError::KeyShape { expected: 1, found: 2 })));
    }

    #[test]
    fn columns_that_do_not_order_by_their_text_are_refused() {
        use SqlServerKind as Kind;
        for kind in [Kind::Money, Kind::Approximate, Kind::LongText, Kind::Xml, Kind::Binary, Kind::Variant, Kind::Clr] {
            let columns = [column("k", kind)];
            assert!(
                matches!(select("SELECT k FROM t", &columns, &[(0, "orderBy")], None, &Start::First), Err(QueryError::KeyKind { .. })),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_watermark_is_compared_like_a_key_and_what_it_is_not_is_told() {
        let columns = [column("id", SqlServerKind::Integer), column("at", SqlServerKind::DateTime2)];
        let text =
            |since: Since, start: &Start| select("SELECT 1", &columns, &[(1, "watermark.column"), (0, "orderBy")], Some(&since), start);
        let since = "(q.[at] > CONVERT(datetime2(7), '2026-11-28T06:00:00', 126) OR q.[at] IS NULL)";
        let told = || Since::Told("2026-11-28 06:00:00".into());
        assert_eq!(
            text(told(), &Start::First).unwrap(),
            format!("SELECT q.* FROM (\nSELECT 1\n) AS q WHERE {since} ORDER BY q.[at], q.[id]")
        );
        let key = behind(&["2026-11-28T07:00:00.0000000", "7"], Replay::Seen);
        let replayed = text(told(), &key).unwrap();
        assert!(replayed.contains("CASE WHEN (q.[at] > CONVERT(datetime2(7), '2026-11-28T07:00:00.0000000', 126) OR"), "{replayed}");
        assert!(replayed.contains(&format!(" AS q WHERE {since} ORDER BY")), "{replayed}");
        let resumed = text(told(), &behind(&["2026-11-28T07:00:00.0000000", "7"], Replay::None)).unwrap();
        let behind_key = "WHERE (q.[at] > CONVERT(datetime2(7), '2026-11-28T07:00:00.0000000', 126) OR (q.[at] = ";
        assert!(resumed.contains(&format!(" AS q {behind_key}")) && !resumed.contains("2026-11-28T06:00:00"), "{resumed}");
        assert!(matches!(text(Since::Told("yesterday".into()), &Start::First), Err(QueryError::WatermarkFrom { .. })));
        assert!(matches!(text(Since::Kept("yesterday".into()), &Start::First), Err(QueryError::WatermarkKind { .. })));
    }

    #[test]
    fn a_semicolon_at_the_end_is_told_of() {
        for query in ["SELECT 1;", "SELECT 1 ; \n"] {
            assert!(matches!(check(query), Err(QueryError::Semicolon)), "{query}");
        }
        assert!(check("SELECT ';' AS a").is_ok());
    }
}
