//! The last requests as the server saw them: method, path, status. No bodies, no headers, no query strings.

use std::collections::VecDeque;

use serde::Serialize;

const KEPT: usize = 10_000;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// 0 when the connection was dropped instead of answered.
    pub status: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    total: usize,
}

impl Journal {
    pub(crate) fn add(&mut self, entry: Entry) {
        if self.entries.len() == KEPT {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.total += 1;
    }

    /// How many there ever were.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }
}
