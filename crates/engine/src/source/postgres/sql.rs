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
    /// Columns of `orderBy`.
    pub(super) keys: &'q [usize],
}

impl Query<'_> {
    /// The columns go by number, so that a query may name two of them alike.
    pub(super) fn copy(&self, start: &Start) -> Result<String, QueryError> {
        let mut select = list(0..self.types.len(), |column| self.expression(column));
        let aliases = list(0..self.types.len(), |column| format!("c{column}"));
        let mut rest = String::new();
        if let Start::Behind { key, replay } = start {
            let behind = self.behind(key)?;
            match replay {
                Replay::None => rest = format!(" WHERE {behind}"),
                Replay::Seen => {
                    let _ = write!(select, ", {behind}");
                }
            }
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

    /// True for rows behind the key, and for rows whose key is NULL: reading them tells that they cannot be resumed,
    /// leaving them out would lose them.
    fn behind(&self, key: &[String]) -> Result<String, QueryError> {
        if key.len() != self.keys.len() || key.is_empty() {
            return Err(QueryError::KeyShape { expected: self.keys.len(), found: key.len() });
        }
        let columns = list(self.keys.iter().copied(), |column| self.expression(column));
        let values = list(self.keys.iter().zip(key), |(column, text)| {
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

fn identifier(name: &str) -> String {
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
        let query = Query { text: "SELECT 1 -- one", types: &[built_in("int4"), built_in("text"), built_in("money")], keys: &[1, 0] };
        let start = Start::Behind { key: vec!["O'Neil\\".to_owned(), "7".to_owned()], replay: Replay::None };
        assert_eq!(
            query.copy(&start).unwrap(),
            "COPY (SELECT c0, c1, c2::numeric FROM (\nSELECT 1 -- one\n) AS q(c0, c1, c2) \
             WHERE (ROW(c1, c0) > ROW(E'O\\'Neil\\\\'::\"pg_catalog\".\"text\", E'7'::\"pg_catalog\".\"int4\")) IS NOT FALSE \
             ORDER BY c1, c0) TO STDOUT (FORMAT text)"
        );
    }

    #[test]
    fn a_key_that_does_not_fit_is_refused() {
        let query = Query { text: "SELECT 1", types: &[built_in("int4")], keys: &[0] };
        for key in [vec![], vec!["1".to_owned(), "2".to_owned()]] {
            let found = key.len();
            let error = query.copy(&Start::Behind { key, replay: Replay::None }).unwrap_err();
            assert!(matches!(error, QueryError::KeyShape { expected: 1, found: f } if f == found));
        }
    }
}
