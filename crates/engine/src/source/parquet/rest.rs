//! What of a column was not read yet. Of a file that is held it is a part; of another so much is fetched at once as the budget has for it.

use std::ops::Range;

use bytes::Bytes;

use super::budget::Budget;
use super::error::{ParquetError, Part};
use crate::source::random_access::RandomAccess;

/// At once, so much is fetched of a column at most, and at least.
const MOST: usize = 4 << 20;
const LEAST: usize = 16 << 10;

/// The bytes of a column in one row group, from its start.
pub(super) struct Rest {
    file: RandomAccess,
    /// The first of them.
    here: Bytes,
    /// Where the others are.
    there: Range<u64>,
    budget: Budget,
    /// So many are fetched at once, or as many as are needed.
    window: usize,
    part: Part,
}

impl Rest {
    /// `columns`: how many are read at a time.
    pub(super) fn of(file: &RandomAccess, range: Range<u64>, columns: usize, budget: &Budget, part: Part) -> Result<Self, ParquetError> {
        if range.start > range.end || range.end > file.len() {
            return Err(part.damaged());
        }
        let held = match file {
            RandomAccess::Held(_) => file.part(range.clone()).ok(),
            RandomAccess::Fetched(_) => None,
        };
        let there = if held.is_some() { range.end..range.end } else { range };
        // Pages take as much once they are unpacked, and more.
        let window = (budget.limit() / 4 / columns.max(1)).clamp(LEAST, MOST);
        Ok(Self { file: file.clone(), here: held.unwrap_or_default(), there, budget: budget.clone(), window, part })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.here.is_empty() && self.there.is_empty()
    }

    /// The next bytes: so many, or all that are left if those are fewer. There may be more.
    pub(super) fn at_least(&mut self, count: usize) -> Result<&Bytes, ParquetError> {
        let missing = count.saturating_sub(self.here.len());
        if missing > 0 && !self.there.is_empty() {
            let count = (missing.max(self.window) as u64).min(self.there.end - self.there.start);
            let share = self.budget.take(self.here.len() + count as usize)?;
            let range = self.there.start..self.there.start + count;
            self.there.start = range.end;
            let fetched = self.file.part(range).map_err(|_| self.part.clone().damaged())?;
            let mut bytes = Vec::with_capacity(self.here.len() + fetched.len());
            bytes.extend_from_slice(&self.here);
            bytes.extend_from_slice(&fetched);
            self.here = share.hold(bytes);
        }
        Ok(&self.here)
    }

    /// Takes so many of those that are here.
    pub(super) fn split_to(&mut self, count: usize) -> Bytes {
        self.here.split_to(count)
    }
}
