//! SOQL, page by page.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{Call, Client, LARGE, READ};
use crate::error::Error;

/// Salesforce gives a query 120 s.
const QUERY: Call = Call { timeout: Some(Duration::from_secs(150)), ..READ.named("query").at_most(LARGE) };

/// A GET's address holds about 16 KB.
const MAX_SOQL: usize = 12_000;

/// The records of a query. Pages are fetched as they are needed; one page is held.
pub struct Records<T> {
    client: Client,
    page: VecDeque<T>,
    next: Option<String>,
    total: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page<T> {
    total_size: u64,
    done: bool,
    #[serde(default = "VecDeque::new")]
    records: VecDeque<T>,
    #[serde(default)]
    next_records_url: Option<String>,
}

impl<T: DeserializeOwned> Records<T> {
    /// How many records the whole query has; for `SELECT COUNT()` the count itself.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The next record, `None` after the last.
    ///
    /// # Errors
    ///
    /// A further page could not be fetched, or a record is no `T`. Nothing more can be had: run the query again.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        loop {
            if let Some(record) = self.page.pop_front() {
                return Ok(Some(record));
            }
            let Some(next) = self.next.take() else { return Ok(None) };
            let page: Page<T> = self.client.get_next(QUERY, &next).await?;
            (self.page, self.next) = page.into_parts()?;
        }
    }
}

impl<T> Page<T> {
    fn into_parts(self) -> Result<(VecDeque<T>, Option<String>), Error> {
        match (self.done, self.next_records_url) {
            (true, _) => Ok((self.records, None)),
            (false, Some(next)) => Ok((self.records, Some(next))),
            (false, None) => Err(Error::unreadable(QUERY.name, "it is not done and names no next page")),
        }
    }
}

impl Client {
    /// Runs a query in SOQL, of at most 12,000 bytes: it travels in an address. Harmless to repeat; a page that breaks off is asked for
    /// again.
    ///
    /// # Errors
    ///
    /// [`Error::Request`]: the query is too long. Salesforce's own refusals (`MALFORMED_QUERY`, `INVALID_FIELD`) are [`Error::Refused`].
    pub async fn query<T: DeserializeOwned>(&self, soql: &str) -> Result<Records<T>, Error> {
        if soql.len() > MAX_SOQL {
            let detail = format!("the query has {} bytes, at most {MAX_SOQL} fit: ask for fewer keys at a time", soql.len());
            return Err(Error::Request { call: QUERY.name, detail });
        }
        let page: Page<T> = self.get_json(QUERY, &["query"], &[("q", soql)]).await?;
        let total = page.total_size;
        let (page, next) = page.into_parts()?;
        Ok(Records { client: self.clone(), page, next, total })
    }

    /// Follows a `nextRecordsUrl`, which is a path on the instance and must stay there.
    pub(crate) async fn get_next<T: DeserializeOwned>(&self, call: Call, next: &str) -> Result<T, Error> {
        if !next.starts_with("/services/data/") {
            return Err(Error::unreadable(call.name, "its next page is not a path of the API"));
        }
        self.json(call, |client, session| {
            let url = session.instance_url.join(next).map_err(|error| Error::unreadable(call.name, error))?;
            client.request(Method::GET, url)
        })
        .await
    }
}

/// A text as a SOQL literal, quotes included, with everything escaped that could end it.
pub fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('\'');
    for c in text.chars() {
        match c {
            '\\' => literal.push_str("\\\\"),
            '\'' => literal.push_str("\\'"),
            '"' => literal.push_str("\\\""),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            other => literal.push(other),
        }
    }
    literal.push('\'');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_cannot_end_its_own_quotes() {
        assert_eq!(quoted("O'Hare"), r"'O\'Hare'");
        assert_eq!(quoted("a\\' OR Name != '"), r"'a\\\' OR Name != \''");
        assert_eq!(quoted("x\ny"), r"'x\ny'");
    }
}
