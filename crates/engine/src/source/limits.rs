//! Bounds of one record, whatever it comes from.

use super::QueryError;
use crate::row::Batch;

/// Longest record that is read, in bytes: what a record takes in memory, and what keeps an open quote from taking the
/// whole file.
pub(super) const MAX_RECORD: usize = 8 << 20;

/// Columns of a file.
pub(super) const MAX_COLUMNS: usize = 5_000;

/// Salesforce takes no longer records; it counts for what is sent.
pub(super) const MAX_CHARACTERS: usize = 400_000;

/// Characters of a text: every byte but those 10xxxxxx begins one.
pub(super) fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

/// Of the last row of a query: only what is sent has a limit of Salesforce's. `used`: columns that the job uses.
pub(super) fn check_length(batch: &Batch, used: &[usize]) -> Result<(), QueryError> {
    let Some(row) = batch.rows().last() else { return Ok(()) };
    let sent: usize = used.iter().filter_map(|column| row.cells.get(*column)).map(characters).sum();
    if sent > MAX_CHARACTERS { Err(QueryError::RowTooLong { row: row.number, limit: MAX_CHARACTERS }) } else { Ok(()) }
}
