//! What became of each row of one chunk.

use std::collections::HashMap;
use std::sync::Arc;

/// Longest Salesforce id.
const ID: usize = 18;

/// A Salesforce id, empty where there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct RecordId {
    bytes: [u8; ID],
    length: u8,
}

impl RecordId {
    /// Anything longer than an id, and what is no plain text, is none.
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut id = Self::default();
        if text.len() <= ID && text.is_ascii() {
            id.bytes[..text.len()].copy_from_slice(text);
            id.length = text.len() as u8;
        }
        id
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RowOutcome {
    /// Sent, and not heard of.
    Waiting,
    Succeeded {
        created: bool,
    },
    Failed {
        error: TextId,
    },
    /// Never sent: it failed in a step or in the mapping.
    Rejected {
        error: TextId,
    },
    Unprocessed,
    /// Sent again with another chunk, which tells the rest.
    Resent,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TextId(u32);

/// Error texts, each kept once: a million rows tend to fail in few ways.
#[derive(Clone, Debug, Default)]
struct Texts {
    texts: Vec<Arc<str>>,
    known: HashMap<Arc<str>, TextId>,
}

impl Texts {
    fn add(&mut self, text: &str) -> TextId {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let (id, text) = (TextId(self.texts.len() as u32), Arc::<str>::from(text));
        self.texts.push(text.clone());
        self.known.insert(text, id);
        id
    }
}

/// A result that fits no row.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Unmatched {
    pub(crate) succeeded: bool,
    pub(crate) created: bool,
    pub(crate) id: RecordId,
    /// The error if there is one, and the cells as they were echoed.
    pub(crate) text: String,
}

/// Outcomes of the rows of one chunk, by their place in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcomes {
    rows: Vec<RowOutcome>,
    /// Of every row, once one of them has any; absent when nobody is going to read them.
    ids: Option<Vec<RecordId>>,
    texts: Texts,
    unmatched: Vec<Unmatched>,
}

impl Outcomes {
    /// `ids`: whether the ids of records are kept.
    pub(crate) fn new(ids: bool) -> Self {
        Self { ids: ids.then(Vec::new), ..Self::default() }
    }

    /// Whether somebody is going to read what became of each row.
    pub(crate) fn are_told(&self) -> bool {
        self.ids.is_some()
    }

    pub(crate) fn len(&self) -> u32 {
        self.rows.len() as u32
    }

    pub(crate) fn push_waiting(&mut self) {
        self.rows.push(RowOutcome::Waiting);
    }

    pub(crate) fn push_rejected(&mut self, error: &str) {
        let error = self.texts.add(error);
        self.rows.push(RowOutcome::Rejected { error });
    }

    pub(crate) fn succeeded(&mut self, row: u32, id: RecordId, created: bool) {
        self.rows[row as usize] = RowOutcome::Succeeded { created };
        self.keep(row, id);
    }

    pub(crate) fn failed(&mut self, row: u32, id: RecordId, error: &str) {
        let error = self.texts.add(error);
        self.rows[row as usize] = RowOutcome::Failed { error };
        self.keep(row, id);
    }

    fn keep(&mut self, row: u32, id: RecordId) {
        let Some(ids) = &mut self.ids else { return };
        if ids.is_empty() {
            ids.resize(self.rows.len(), RecordId::default());
        }
        ids[row as usize] = id;
    }

    pub(crate) fn unprocessed(&mut self, row: u32) {
        self.rows[row as usize] = RowOutcome::Unprocessed;
    }

    /// Nothing was sent, and nothing will be.
    pub(crate) fn all_unprocessed(&mut self) {
        for row in self.rows.iter_mut().filter(|row| matches!(row, RowOutcome::Waiting)) {
            *row = RowOutcome::Unprocessed;
        }
    }

    pub(crate) fn unmatched(&mut self, result: Unmatched) {
        self.unmatched.push(result);
    }

    pub(crate) fn unmatched_results(&self) -> &[Unmatched] {
        &self.unmatched
    }

    /// Back to how it was when the chunk was sent: its results are read from the start.
    pub(crate) fn forget_results(&mut self) {
        self.unmatched.clear();
        self.ids.as_mut().map(Vec::clear);
        for row in self.rows.iter_mut().filter(|row| !matches!(row, RowOutcome::Rejected { .. })) {
            *row = RowOutcome::Waiting;
        }
    }

    /// These rows go with another chunk, which gets outcomes of its own.
    pub(crate) fn hand_over(&mut self, places: &[u32]) -> Self {
        let mut resent = Self::new(self.ids.is_some());
        for place in places {
            self.rows[*place as usize] = RowOutcome::Resent;
            resent.push_waiting();
        }
        resent
    }

    pub(crate) fn text(&self, id: TextId) -> &str {
        &self.texts.texts[id.0 as usize]
    }

    /// What became of each row, with the id of its record if it has one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RowOutcome, RecordId)> + '_ {
        let ids = self.ids.as_deref().unwrap_or_default();
        self.rows.iter().copied().zip(ids.iter().copied().chain(std::iter::repeat(RecordId::default())))
    }

    /// The first rows that failed, with their reasons.
    pub(crate) fn failures(&self) -> impl Iterator<Item = (u32, &str)> {
        self.rows.iter().zip(0..).filter_map(|(row, place)| match row {
            RowOutcome::Failed { error, .. } | RowOutcome::Rejected { error } => Some((place, self.text(*error))),
            _ => None,
        })
    }
}

/// Rows of result sets, as Salesforce gave them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
    pub(crate) unprocessed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_results_again_keeps_what_was_rejected_before_sending() {
        let mut outcomes = Outcomes::new(true);
        outcomes.push_waiting();
        outcomes.push_rejected("too long");
        outcomes.failed(0, RecordId::default(), "X:m:--");
        assert_eq!(outcomes.failures().collect::<Vec<_>>(), [(0, "X:m:--"), (1, "too long")]);
        outcomes.forget_results();
        assert_eq!(outcomes.iter().next(), Some((RowOutcome::Waiting, RecordId::default())));
        assert_eq!(outcomes.failures().collect::<Vec<_>>(), [(1, "too long")]);
    }

    #[test]
    fn an_error_text_is_kept_once() {
        let mut outcomes = Outcomes::default();
        (0..1000).for_each(|_| outcomes.push_rejected("same"));
        assert_eq!(outcomes.texts.texts.len(), 1);
    }

    #[test]
    fn an_id_longer_than_an_id_is_none() {
        assert_eq!(RecordId::new(b"0018c00002DJIpJAAX").as_bytes(), b"0018c00002DJIpJAAX");
        assert_eq!(RecordId::new(b"0018c00002DJIpJAAXX").as_bytes(), b"");
    }
}
