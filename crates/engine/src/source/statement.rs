//! What a database is asked, before anything is written around it.

use std::borrow::Cow;

use api::import_job::SqlSource;

use super::QueryError;

/// The job's query, or one of all that its table has. `quoted`: a name as this database takes it for nothing else.
pub(super) fn query(source: &SqlSource, quoted: fn(&str) -> String) -> Result<Cow<'_, str>, QueryError> {
    match (&source.query, &source.table) {
        (Some(query), None) => Ok(Cow::Borrowed(query)),
        (None, Some(table)) => {
            let names: Vec<String> = table.split('.').map(quoted).collect();
            Ok(Cow::Owned(format!("SELECT * FROM {}", names.join("."))))
        }
        (Some(_), Some(_)) | (None, None) => Err(QueryError::NoQuery),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_by_its_name_and_by_nothing_that_stands_in_it() {
        let source = |said: serde_json::Value| -> SqlSource {
            let mut source = serde_json::json!({"connectionRef": {"name": "db"}});
            source.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
            serde_json::from_value(source).unwrap()
        };
        let quoted = |name: &str| format!("<{name}>");
        let told = |said: serde_json::Value| query(&source(said), quoted).map(Cow::into_owned).ok();
        assert_eq!(told(serde_json::json!({"query": "SELECT 1"})).as_deref(), Some("SELECT 1"));
        assert_eq!(told(serde_json::json!({"table": "a; DROP TABLE b"})).as_deref(), Some("SELECT * FROM <a; DROP TABLE b>"));
        assert_eq!(told(serde_json::json!({"table": "db.sales.accounts"})).as_deref(), Some("SELECT * FROM <db>.<sales>.<accounts>"));
        assert_eq!(told(serde_json::json!({})), None);
        assert_eq!(told(serde_json::json!({"query": "SELECT 1", "table": "a"})), None);
    }
}
