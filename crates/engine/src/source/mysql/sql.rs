//! The statements around the user's query. A key to go on behind stands in the text, written here and nowhere else in a
//! form that means the same whatever the server's settings.

use std::time::Duration;

use connect::{MySqlColumn, MySqlKind};

use crate::source::ordered::{self, Dialect, KeyColumn};
use crate::source::{QueryError, Since, Start};

/// Makes every value's text independent of the server's settings, and the transaction one that reads one state and
/// writes nothing.
pub(super) fn session(mariadb: bool, time_left: Duration) -> Vec<String> {
    let seconds = time_left.as_secs().max(1);
    // The server ends a connection that nobody has read from for a minute, as may be when Salesforce is slow.
    let patience = seconds.min(365 * 24 * 3600);
    let limit = if mariadb {
        format!("SET SESSION max_statement_time = {seconds}")
    } else {
        format!("SET SESSION max_execution_time = {}", (seconds * 1000).min(u64::from(u32::MAX)))
    };
    vec![
        "SET NAMES utf8mb4".to_owned(),
        "SET SESSION time_zone = '+00:00'".to_owned(),
        "SET SESSION sql_mode = REPLACE(@@SESSION.sql_mode, 'PAD_CHAR_TO_FULL_LENGTH', '')".to_owned(),
        "SET SESSION sql_select_limit = 18446744073709551615".to_owned(),
        format!("SET SESSION net_write_timeout = {patience}"),
        limit,
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ".to_owned(),
        "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY".to_owned(),
    ]
}

/// The user's query, in order and from where reading begins.
pub(super) fn select(
    query: &str,
    columns: &[MySqlColumn],
    keys: &[(usize, &'static str)],
    since: Option<&Since>,
    start: &Start,
) -> Result<String, QueryError> {
    let keys: Vec<Key<'_>> = keys.iter().map(|(key, field)| Key::of(&columns[*key], field)).collect::<Result<_, _>>()?;
    let or_null = |condition: &str, _: &[Key<'_>]| format!("(({condition}) IS NOT FALSE)");
    let mark = |behind: &str| format!(", {behind}");
    ordered::select(query, &keys, since, start, &Dialect { or_null, mark })
}

/// A name that is nothing else.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A column of `orderBy`.
struct Key<'q> {
    name: &'q str,
    kind: KeyKind,
    /// What is compared and ordered by.
    expression: String,
}

#[derive(Clone, Copy)]
enum KeyKind {
    Number,
    /// Of a date, a time or both.
    Time,
    Text,
}

impl<'q> Key<'q> {
    fn of(column: &'q MySqlColumn, field: &'static str) -> Result<Self, QueryError> {
        let refuse = |kind| Err(QueryError::KeyKind { field, column: column.name.clone(), kind });
        let kind = match column.kind {
            MySqlKind::Number => KeyKind::Number,
            MySqlKind::Date | MySqlKind::Time | MySqlKind::DateTime | MySqlKind::Timestamp => KeyKind::Time,
            MySqlKind::Text => KeyKind::Text,
            MySqlKind::Approximate => return refuse("an approximate number, whose text need not be its value"),
            MySqlKind::Choice => return refuse("an ENUM or SET, which is not ordered by its text"),
            MySqlKind::Bit | MySqlKind::Binary => return refuse("bytes"),
            MySqlKind::Json => return refuse("JSON"),
        };
        let quoted = format!("q.{}", quoted(&column.name));
        let expression = match kind {
            KeyKind::Number | KeyKind::Time => quoted,
            // A collation takes different texts for the same one, such as `a` and `A`, and would lose one behind the other.
            KeyKind::Text => format!("CAST(CONVERT({quoted} USING utf8mb4) AS BINARY)"),
        };
        Ok(Self { name: &column.name, kind, expression })
    }
}

impl KeyColumn for Key<'_> {
    fn expression(&self) -> &str {
        &self.expression
    }

    fn literal(&self, value: &str) -> Result<String, QueryError> {
        let changed = || QueryError::KeyText { column: self.name.to_owned() };
        let only = |more: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit() || more.as_bytes().contains(&byte));
        match self.kind {
            // In quotes it would be compared as an approximate number.
            KeyKind::Number if only("-.") && value.parse::<f64>().is_ok() => Ok(value.to_owned()),
            KeyKind::Time if only("-.: ") => Ok(format!("'{value}'")),
            KeyKind::Text => Ok(format!("X'{}'", hex::encode(value))),
            KeyKind::Number | KeyKind::Time => Err(changed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Replay;

    fn column(name: &str, kind: MySqlKind) -> MySqlColumn {
        MySqlColumn { name: name.to_owned(), kind }
    }

    fn behind(key: &[&str], replay: Replay) -> Start {
        Start::Behind { key: key.iter().map(|part| part.to_string()).collect(), replay }
    }

    #[test]
    fn a_key_is_quoted_and_typed() {
        let columns = [column("id", MySqlKind::Number), column("na`me", MySqlKind::Text), column("at", MySqlKind::DateTime)];
        let text = |keys: &[usize], start: &Start| {
            let keys: Vec<_> = keys.iter().map(|key| (*key, "orderBy")).collect();
            select("SELECT 1 -- one", &columns, &keys, None, start)
        };
        assert_eq!(text(&[], &Start::First).unwrap(), "SELECT 1 -- one");
        assert_eq!(
            text(&[1, 0], &behind(&["O'Neil\\", "-7"], Replay::None)).unwrap(),
            "SELECT q.* FROM (\nSELECT 1 -- one\n) AS q WHERE \
             ((CAST(CONVERT(q.`na``me` USING utf8mb4) AS BINARY) > X'4f274e65696c5c' OR \
             (CAST(CONVERT(q.`na``me` USING utf8mb4) AS BINARY) = X'4f274e65696c5c' AND (q.`id` > -7))) IS NOT FALSE) \
             ORDER BY CAST(CONVERT(q.`na``me` USING utf8mb4) AS BINARY), q.`id`"
        );
        assert_eq!(
            text(&[2], &behind(&["2026-11-27 06:00:00.5"], Replay::Seen)).unwrap(),
            "SELECT q.*, ((q.`at` > '2026-11-27 06:00:00.5') IS NOT FALSE) FROM (\nSELECT 1 -- one\n) AS q ORDER BY q.`at`"
        );
        for key in ["1 OR 1", "", "1;", "0x1", "--", "1e5"] {
            assert!(matches!(text(&[0], &behind(&[key], Replay::None)), Err(QueryError::KeyText { .. })), "{key}");
        }
        assert!(matches!(text(&[2], &behind(&["' OR '"], Replay::None)), Err(QueryError::KeyText { .. })));
        assert!(matches!(text(&[2], &behind(&["a", "b"], Replay::None)), Err(QueryError::KeyShape { expected: 1, found: 2 })));
    }

    #[test]
    fn only_rows_beyond_the_watermark_are_read_whatever_becomes_of_those_up_to_the_key() {
        let columns = [column("id", MySqlKind::Number), column("at", MySqlKind::DateTime)];
        let text = |since: &Since, start: &Start| select("SELECT 1", &columns, &[1, 0].map(|key| (key, "orderBy")), Some(since), start);
        let since = "((q.`at` > '2026-01-01') IS NOT FALSE)";
        let behind_key = "((q.`at` > '2026-02-01' OR (q.`at` = '2026-02-01' AND (q.`id` > 7))) IS NOT FALSE)";
        let told = Since::Told("2026-01-01".to_owned());
        let (from, order) = ("FROM (\nSELECT 1\n) AS q", "ORDER BY q.`at`, q.`id`");
        assert_eq!(text(&told, &Start::First).unwrap(), format!("SELECT q.* {from} WHERE {since} {order}"));
        assert_eq!(
            text(&told, &behind(&["2026-02-01", "7"], Replay::None)).unwrap(),
            format!("SELECT q.* {from} WHERE {behind_key} {order}")
        );
        assert_eq!(
            text(&told, &behind(&["2026-02-01", "7"], Replay::Seen)).unwrap(),
            format!("SELECT q.*, {behind_key} {from} WHERE {since} {order}")
        );
        for no_time in ["2026-01-01T00:00:00Z", "1 OR 1", "' OR '"] {
            let error = text(&Since::Told(no_time.to_owned()), &Start::First).unwrap_err();
            assert!(matches!(&error, QueryError::WatermarkFrom { column, .. } if column == "at"), "{error}");
            let error = text(&Since::Kept(no_time.to_owned()), &Start::First).unwrap_err();
            assert!(matches!(&error, QueryError::WatermarkKind { .. }) && !error.to_string().contains(no_time), "{error}");
        }
    }

    #[test]
    fn columns_that_do_not_order_by_their_text_are_refused() {
        for kind in [MySqlKind::Approximate, MySqlKind::Choice, MySqlKind::Bit, MySqlKind::Binary, MySqlKind::Json] {
            let columns = [column("k", kind)];
            assert!(
                matches!(select("SELECT k FROM t", &columns, &[(0, "orderBy")], None, &Start::First), Err(QueryError::KeyKind { .. })),
                "{kind:?}"
            );
        }
    }
}
