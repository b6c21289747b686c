//! Records → header and rows: counts them, skips those without any text, and notes what makes a row unusable.

use std::borrow::Cow;

use memchr::memchr;

use super::parser::Record;
use super::quotes::FaultKind;
use crate::read::ReadError;
use crate::row::{Batch, Header, Position, RowError};

const MAX_COLUMNS: usize = 5_000;

pub(super) struct Rows {
    encoding: &'static str,
    read: u64,
    blank: u64,
}

impl Rows {
    pub(super) fn new(encoding: &'static str) -> Self {
        Self { encoding, read: 0, blank: 0 }
    }

    pub(super) fn read(&self) -> u64 {
        self.read
    }

    pub(super) fn blank_lines(&self) -> u64 {
        self.blank
    }

    /// The header, unless the record is blank.
    pub(super) fn header(&mut self, record: Record<'_>) -> Result<Option<Header>, ReadError> {
        if is_blank(record) {
            self.blank += 1;
            return Ok(None);
        }
        if record.ends.len() > MAX_COLUMNS {
            return Err(ReadError::TooManyColumns { found: record.ends.len(), limit: MAX_COLUMNS });
        }
        if let Some((_, at)) = record.fault {
            return Err(ReadError::HeaderQuotes { at });
        }
        if memchr(0, record.text).is_some() {
            return Err(ReadError::HeaderNul { at: record.at });
        }
        let names: Result<Vec<&str>, _> = record.cells().map(std::str::from_utf8).collect();
        let names = names.map_err(|_| ReadError::HeaderNotText { at: record.at, encoding: self.encoding })?;
        Ok(Some(Header::new(names)))
    }

    /// Adds a row, unless the record is blank.
    pub(super) fn data(&mut self, header: &Header, record: Record<'_>, batch: &mut Batch) {
        if is_blank(record) {
            self.blank += 1;
            return;
        }
        self.read += 1;
        batch.push(self.read, |row| {
            let text = self.check_text(header, record, self.read);
            row.fault = self.check_shape(header, record, self.read).or(text.as_ref().err().cloned());
            for cell in record.cells().take(header.len()) {
                match text {
                    Ok(()) => row.cells.push_field(cell),
                    Err(_) => row.cells.push_field(readable(cell).as_bytes()),
                }
            }
            for _ in record.ends.len()..header.len() {
                row.cells.push_field(b"");
            }
        });
    }

    fn check_shape(&self, header: &Header, record: Record<'_>, row: u64) -> Option<RowError> {
        match record.fault {
            Some((FaultKind::TextBehindQuote, at)) => return Some(RowError::TextBehindQuote { at: Position { row, ..at } }),
            Some((FaultKind::BlankBeforeQuote, at)) => return Some(RowError::BlankBeforeQuote { at: Position { row, ..at } }),
            None => {}
        }
        let (expected, found) = (header.len(), record.ends.len());
        (found != expected).then_some(RowError::Ragged { at: Position { row, ..record.at }, expected, found })
    }

    fn check_text(&self, header: &Header, record: Record<'_>, row: u64) -> Result<(), RowError> {
        let ascii = record.text.is_ascii();
        if ascii && memchr(0, record.text).is_none() {
            return Ok(());
        }
        let at = Position { row, ..record.at };
        for (number, cell) in record.cells().enumerate() {
            let column = || header.names().get(number).cloned().unwrap_or_else(|| format!("number {}", number + 1));
            if !ascii && std::str::from_utf8(cell).is_err() {
                return Err(RowError::NotText { at, column: column(), encoding: self.encoding });
            }
            if memchr(0, cell).is_some() {
                return Err(RowError::Nul { at, column: column() });
            }
        }
        Ok(())
    }
}

/// Only blanks in every cell, as spreadsheets leave behind.
fn is_blank(record: Record<'_>) -> bool {
    record.cells().all(|cell| cell.iter().all(|byte| matches!(byte, b' ' | b'\t')))
}

/// What can be shown of a cell that is no text.
fn readable(cell: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(cell);
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { text }
}
