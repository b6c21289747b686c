//! Where a query begins that reads only rows which no earlier run has read.

use api::import_job::SqlSource;

/// Rows beyond this value of the watermark are read.
#[derive(Clone, Eq, PartialEq)]
pub enum Since {
    /// What the job says for its first run; errors may show it.
    Told(String),
    /// What an earlier run has read up to: a value of a row, which nothing shows.
    Kept(String),
}

impl Since {
    /// `bookmark`: what the last run has read up to, if there was one.
    pub fn of(query: &SqlSource, bookmark: &[String]) -> Option<Self> {
        let watermark = query.watermark.as_ref()?;
        let kept = bookmark.first().map(|value| Self::Kept(value.clone()));
        kept.or_else(|| watermark.from.clone().map(Self::Told))
    }

    /// The value, for the one place that writes it into the statement.
    pub(super) fn value(&self) -> &str {
        match self {
            Self::Told(value) | Self::Kept(value) => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_comes_before_what_the_job_says() {
        let query = |watermark: serde_json::Value| -> SqlSource {
            serde_json::from_value(serde_json::json!({
                "connectionRef": {"name": "db"}, "query": "SELECT 1", "orderBy": ["id"], "watermark": watermark,
            }))
            .unwrap()
        };
        let value = |query: &SqlSource, bookmark: &[&str]| {
            let bookmark: Vec<String> = bookmark.iter().map(|text| (*text).to_owned()).collect();
            Since::of(query, &bookmark).map(|since| since.value().to_owned())
        };
        let by = query(serde_json::json!({"column": "at"}));
        let from = query(serde_json::json!({"column": "at", "from": "2026-01-01"}));
        let none = SqlSource { watermark: None, ..by.clone() };
        assert_eq!(value(&by, &[]), None);
        assert_eq!(value(&from, &[]).as_deref(), Some("2026-01-01"));
        assert_eq!(value(&from, &["2026-11-28"]).as_deref(), Some("2026-11-28"));
        assert_eq!(value(&none, &["2026-11-28"]), None);
    }
}
