//! The last records of a file, which the job says are no rows: each is held back until as many follow it.

use std::collections::VecDeque;

use super::record::{Kept, RawRecord};
use crate::row::Position;
use crate::source::FileError;
use crate::source::limits::MAX_RECORD;

/// What is held back may take so much memory, in bytes.
const MAX_HELD: usize = 2 * MAX_RECORD;

pub(super) struct Tail {
    /// How many of the last records are none.
    count: usize,
    held: VecDeque<Kept>,
    bytes: usize,
}

impl Tail {
    pub(super) fn new(count: usize) -> Self {
        Self { count, held: VecDeque::new(), bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// Takes a record with text, and gives back the one that is not among the last any more. `blank_lines`: so many stand before it; `row`: its number.
    pub(super) fn push(&mut self, record: &RawRecord<'_>, blank_lines: u64, row: u64) -> Result<Option<Kept>, FileError> {
        let mut kept = Kept::from(record);
        kept.blank_lines = blank_lines;
        self.bytes += kept.size();
        self.held.push_back(kept);
        let first = if self.held.len() > self.count { self.held.pop_front() } else { None };
        self.bytes -= first.as_ref().map_or(0, Kept::size);
        if self.bytes > MAX_HELD {
            return Err(FileError::FooterTooLong { at: Position { row, ..record.at }, limit: MAX_HELD >> 20 });
        }
        Ok(first)
    }

    /// The file has ended: what is held are the last records.
    pub(super) fn take(&mut self) -> VecDeque<Kept> {
        std::mem::take(&mut self.held)
    }
}
