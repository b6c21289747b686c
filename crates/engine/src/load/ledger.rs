//! The totals of a run: what became of how many rows, while it runs and at its end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};

use api::import_run::{Rows, RunReason};

use super::record::ChunkRecord;

/// Rows shown to a person with their reasons; all others are in the result files.
const SHOWN: usize = 10;

/// From so many rows with an outcome on, the share of failed ones says something.
const SHARE_FROM: i64 = 1_000;

/// One failed row.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FailedRow {
    /// Number of the data row, from 1.
    pub row: i64,
    /// The mapping's or Salesforce's, with its code in front.
    pub reason: String,
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Progress {
    /// Balances only at the end: until then rows are read that have no outcome yet.
    pub rows: Rows,
    /// Chunks so far, those of earlier attempts included.
    pub chunks: i64,
    /// Of those, the ones whose rows are accounted for.
    pub chunks_done: i64,
}

/// What the chunks of a run have come to so far. They add to it while others look at it.
#[derive(Default)]
pub struct Ledger {
    read: AtomicI64,
    next_number: AtomicI64,
    /// Chunks of earlier attempts that send rows of others again, by those others.
    resent: Mutex<BTreeMap<i64, ChunkRecord>>,
    totals: Mutex<Totals>,
}

#[derive(Clone, Default)]
pub(crate) struct Totals {
    /// Sum over finished chunks.
    pub(crate) rows: Rows,
    pub(crate) chunks: i64,
    pub(crate) chunks_done: i64,
    pub(crate) failed_rows: Vec<FailedRow>,
    pub(crate) unmatched: u64,
    /// Chunks of earlier attempts whose results could not be read once more.
    pub(crate) unreported: u64,
    /// What a person has to decide, per chunk.
    pub(crate) undecided: Vec<String>,
}

impl Ledger {
    /// How far the run is now.
    pub fn progress(&self) -> Progress {
        let totals = self.totals();
        let read = self.read.load(Ordering::Relaxed).max(totals.rows.read);
        Progress { rows: Rows { read, ..totals.rows }, chunks: totals.chunks, chunks_done: totals.chunks_done }
    }

    /// Numbers are given out from here on; `resent`: chunks of earlier attempts that send rows again.
    pub(crate) fn going_on(next_number: i64, resent: BTreeMap<i64, ChunkRecord>) -> Self {
        Self { next_number: AtomicI64::new(next_number), resent: Mutex::new(resent), ..Self::default() }
    }

    pub(crate) fn next_number(&self) -> i64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// The chunk that an earlier attempt made of the untried rows of `parent`.
    pub(crate) fn take_resent(&self, parent: i64) -> Option<ChunkRecord> {
        self.resent.lock().unwrap_or_else(PoisonError::into_inner).remove(&parent)
    }

    pub(crate) fn take_all_resent(&self) -> Vec<ChunkRecord> {
        std::mem::take(&mut *self.resent.lock().unwrap_or_else(PoisonError::into_inner)).into_values().collect()
    }

    pub(crate) fn note_read(&self, rows: i64) {
        self.read.store(rows, Ordering::Relaxed);
    }

    pub(crate) fn update(&self, edit: impl FnOnce(&mut Totals)) {
        edit(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }

    pub(crate) fn totals(&self) -> Totals {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Totals {
    pub(crate) fn finished(&mut self, rows: &Rows) {
        self.rows.add(rows);
        self.chunks_done += 1;
    }

    pub(crate) fn show(&mut self, failed: impl Iterator<Item = FailedRow>) {
        self.failed_rows.extend(failed.take(SHOWN));
        self.failed_rows.sort_unstable();
        self.failed_rows.truncate(SHOWN);
    }

    /// Whether too many rows fail.
    pub(crate) fn exceeds(&self, max_failed_percent: Option<i32>) -> bool {
        let (failed, with_outcome) = (self.rows.failed, self.rows.failed + self.rows.succeeded);
        max_failed_percent.is_some_and(|percent| with_outcome >= SHARE_FROM && failed * 100 > with_outcome * i64::from(percent))
    }

    /// How a run that nobody stopped has ended.
    pub(crate) fn conclude(&self, stopped: Option<(RunReason, String)>) -> (RunReason, String) {
        if !self.rows.balanced() {
            return (RunReason::AccountingMismatch, self.imbalance());
        }
        match stopped {
            Some(stopped) => stopped,
            None if !self.undecided.is_empty() => (RunReason::NeedsDecision, self.undecided.join("; ")),
            None if self.rows.unprocessed > 0 => (RunReason::AccountingMismatch, self.imbalance()),
            None if self.rows.failed > 0 => (RunReason::CompletedWithFailedRows, String::new()),
            None => (RunReason::Completed, String::new()),
        }
    }

    fn imbalance(&self) -> String {
        let Rows { read, filtered, deduplicated, not_sampled, skipped, succeeded, failed, unprocessed } = self.rows;
        format!(
            "{read} rows were read, but {filtered} filtered + {deduplicated} deduplicated + {not_sampled} not sampled + {skipped} skipped \
             + {succeeded} succeeded + {failed} failed + {unprocessed} unprocessed do not account for them: compare the result files with the org before loading again"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(rows: Rows) -> Totals {
        Totals { rows, ..Totals::default() }
    }

    #[test]
    fn a_share_of_few_rows_says_nothing() {
        let few = totals(Rows { succeeded: 1, failed: 998, ..Rows::default() });
        assert!(!few.exceeds(Some(5)));
        let enough = totals(Rows { succeeded: 949, failed: 51, ..Rows::default() });
        assert!(enough.exceeds(Some(5)) && !enough.exceeds(Some(6)) && !enough.exceeds(None));
        let exactly = totals(Rows { succeeded: 950, failed: 50, ..Rows::default() });
        assert!(!exactly.exceeds(Some(5)));
        assert!(exactly.exceeds(Some(0)));
    }

    #[test]
    fn totals_that_do_not_balance_fail_the_run_whatever_else_happened() {
        let off = totals(Rows { read: 3, succeeded: 2, ..Rows::default() });
        assert_eq!(off.conclude(None).0, RunReason::AccountingMismatch);
        assert_eq!(off.conclude(Some((RunReason::Cancelled, String::new()))).0, RunReason::AccountingMismatch);
        let even = totals(Rows { read: 3, succeeded: 2, failed: 1, ..Rows::default() });
        assert_eq!(even.conclude(None).0, RunReason::CompletedWithFailedRows);
        let quiet = totals(Rows { read: 3, succeeded: 2, unprocessed: 1, ..Rows::default() });
        assert_eq!(quiet.conclude(None).0, RunReason::AccountingMismatch);
        assert_eq!(quiet.conclude(Some((RunReason::Cancelled, String::new()))).0, RunReason::Cancelled);
    }

    #[test]
    fn the_first_failed_rows_are_shown_in_row_order() {
        let mut totals = Totals::default();
        totals.show([30, 20].into_iter().map(|row| FailedRow { row, reason: "r".into() }));
        totals.show((1..100).map(|row| FailedRow { row, reason: "r".into() }));
        assert_eq!(totals.failed_rows.iter().map(|f| f.row).collect::<Vec<_>>(), (1..=10).collect::<Vec<_>>());
    }
}
