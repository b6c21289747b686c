//! The statements around the user's query. `COPY` takes no parameters, so a key to go on behind stands in the text,
//! quoted here and nowhere else.

use std::fmt::Write;

use connect::PostgresType;

use crate::source::{QueryError, Replay, Start};

/// Tells names and types of the columns. The line ends keep a comment at the end of the query from swallowing the rest.
pub(super) fn describe(query: &str) -> String {
    format!("SELECT * FROM (\n{query}\n) AS q")
}

pub(super) struct Query<'q> {
    pub(super) text: &'q str,
    pub(super) types: &'q [PostgresType],
    /// Columns that order the rows.
    pub(super) keys: &'q [usize],
    /// Only rows beyond this value of the first of them are read.
    pub(super) since: Option<&'q str>,
}

impl Query<'_> {
    /// The columns go by number, so that a query may name two of them alike.
    pub(super) fn copy(&self, start: &Start) -> Result<String, QueryError> {
        let mut select = list(0..self.types.len(), |column| self.expression(column));
        let aliases = list(0..self.types.len(), |column| format!("c{column}"));
        let mut rest = String::new();
        let beyond_watermark = || self.since.map(|since| self.beyond(&self.keys[..1], &[since.to_owned()])).transpose();
        let condition = match start {
            Start::First | Start::Again { .. } => beyond_watermark()?,
            // Where the run began lies before its key. Another run may have gone further meanwhile, and rows between are this one's all the same.
            Start::Behind { key, replay: Replay::None } => Some(self.beyond(self.keys, key)?),
            Start::Behind { key, replay: Replay::Seen } => {
                let _ = write!(select, ", {}", self.beyond(self.keys, key)?);
                beyond_watermark()?
            }
        };
        if let Some(condition) = condition {
            rest = format!(" WHERE {condition}");
        }
        if !self.keys.is_empty() {
            let _ = write!(rest, " ORDER BY {}", list(self.keys.iter().copied(), |column| self.expression(column)));
        }
        Ok(format!("COPY (SELECT {select} FROM (\n{}\n) AS q({aliases}){rest}) TO STDOUT (FORMAT text)", self.text))
    }

    /// Tells whether a column is NULL somewhere.
    pub(super) fn has_null(&self, column: usize) -> String {
        let aliases = list(0..self.types.len(), |column| format!("c{column}"));
        format!("SELECT EXISTS (SELECT FROM (\n{}\n) AS q({aliases}) WHERE c{column} IS NULL)", self.text)
    }

    /// Money is written in the server's currency otherwise.
    fn expression(&self, column: usize) -> String {
        if is_money(&self.types[column]) { format!("c{column}::numeric") } else { format!("c{column}") }
    }

    /// True for rows whose values in these columns are beyond the key, and for rows that have NULL there: reading them tells that they cannot be
    /// resumed, leaving them out would lose them.
    fn beyond(&self, keys: &[usize], key: &[String]) -> Result<String, QueryError> {
        if key.len() != keys.len() || key.is_empty() {
            return Err(QueryError::KeyShape { expected: keys.len(), found: key.len() });
        }
        let columns = list(keys.iter().copied(), |column| self.expression(column));
        let values = list(keys.iter().zip(key), |(column, text)| {
            let kind = &self.types[*column];
            let (schema, name) = if is_money(kind) { ("pg_catalog", "numeric") } else { (kind.schema.as_str(), kind.name.as_str()) };
            format!("{}::{}.{}", literal(text), identifier(schema), identifier(name))
        });
        Ok(format!("(ROW({columns}) > ROW({values})) IS NOT FALSE"))
    }
}

fn is_money(kind: &PostgresType) -> bool {
    kind.built_in.as_deref() == Some("money")
}

fn list<T>(items: impl IntoIterator<Item = T>, write: impl Fn(T) -> String) -> String {
    items.into_iter().map(write).collect::<Vec<_>>().join(", ")
}

/// An escape string means the same whatever the server's settings.
fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in(name: &str) -> PostgresType {
        PostgresType { schema: "pg_catalog".into(), name: name.into(), built_in: Some(name.into()), composite: false }
    }

    #[test]
    fn a_key_is_quoted_and_typed() {
        let query =
            Query { text: "SELECT 1 -- one", types: &[built_in("int4"), built_in("text"), built_in("money")], keys: &[1, 0], since: None };
        let start = Start::Behind { key: vec!["O'Neil\\".to_owned(), "7".to_owned()], replay: Replay::None };
        assert_eq!(
            query.copy(&start).unwrap(),
            "COPY (SELECT c0, c1, c2::numeric FROM (\nSELECT 1 -- one\n) AS q(c0, c1, c2) \
             WHERE (ROW(c1, c0) > ROW(E'O\\'Neil\\\\'::\"pg_catalog\".\"text\", E'7'::\"pg_catalog\".\"int4\")) IS NOT FALSE \
             ORDER BY c1, c0) TO STDOUT (FORMAT text)"
        );
    }

    #[test]
    fn only_rows_beyond_the_watermark_are_read_whatever_becomes_of_those_up_to_the_key() {
        let query = Query { text: "SELECT 1", types: &[built_in("int4"), built_in("date")], keys: &[1, 0], since: Some("2026-01-01") };
        let since = "(ROW(c1) > ROW(E'2026-01-01'::\"pg_catalog\".\"date\")) IS NOT FALSE";
        let behind = "(ROW(c1, c0) > ROW(E'2026-02-01'::\"pg_catalog\".\"date\", E'7'::\"pg_catalog\".\"int4\")) IS NOT FALSE";
        let start = |replay| Start::Behind { key: vec!["2026-02-01".to_owned(), "7".to_owned()], replay };
        let from = "FROM (\nSELECT 1\n) AS q(c0, c1)";
        let end = "ORDER BY c1, c0) TO STDOUT (FORMAT text)";
        assert_eq!(query.copy(&Start::First).unwrap(), format!("COPY (SELECT c0, c1 {from} WHERE {since} {end}"));
        assert_eq!(query.copy(&start(Replay::None)).unwrap(), format!("COPY (SELECT c0, c1 {from} WHERE {behind} {end}"));
        assert_eq!(query.copy(&start(Replay::Seen)).unwrap(), format!("COPY (SELECT c0, c1, {behind} {from} WHERE {since} {end}"));
    }

    #[test]
    fn a_key_that_does_not_fit_is_refused() {
        let query = Query { text: "SELECT 1", types: &[built_in("int4")], keys: &[0], since: None };
        for key in [vec![], vec!["1".to_owned(), "2".to_owned()]] {
            let found = key.len();
            let error = query.copy(&Start::Behind { key, replay: Replay::None }).unwrap_err();
            assert!(matches!(error, QueryError::KeyShape { expected: 1, found: f } if f == found));
        }
    }
}
