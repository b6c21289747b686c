//! Records → header and rows: counts them, skips those without any text, and notes what makes a row unusable.

use std::borrow::Cow;
use std::cmp::Ordering;

use memchr::memchr;

use super::parser::{Fault, Record};
use super::quotes::FaultKind;
use crate::own::{self, Own};
use crate::read::ReadError;
use crate::row::{Batch, Column, Header, Position, RowError};

const MAX_COLUMNS: usize = 5_000;

pub(super) struct Rows {
    encoding: &'static str,
    read: u64,
    blank: u64,
    /// The file is a result file of an earlier run.
    own: Option<Own>,
}

impl Rows {
    pub(super) fn new(encoding: &'static str) -> Self {
        Self { encoding, read: 0, blank: 0, own: None }
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
        let limit = MAX_COLUMNS + if record.cells().any(own::is_ours) { own::MOST } else { 0 };
        if record.ends.len() > limit {
            return Err(ReadError::TooManyColumns { found: record.ends.len(), limit });
        }
        if let Some(fault) = record.fault {
            return Err(ReadError::HeaderQuotes { at: fault.at, column: Column::Number(fault.field + 1) });
        }
        if memchr(0, record.text).is_some() {
            return Err(ReadError::HeaderNul { at: record.at });
        }
        let not_text = |number| ReadError::HeaderNotText { at: record.at, column: Column::Number(number), encoding: self.encoding };
        let names = record.cells().zip(1..).map(|(name, number)| std::str::from_utf8(name).map_err(|_| not_text(number)));
        let names = Header::new(names.collect::<Result<Vec<&str>, _>>()?);
        self.own = Own::of(names.cells());
        Ok(Some(self.own.as_ref().map_or(names, |own| Header::of(own.header()))))
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
            if let Some(own) = &self.own {
                own.restore(row, Position { row: self.read, ..record.at });
            }
            if row.fault.is_some() && row.refused.is_empty() {
                row.refused = own::refused(header.cells(), &row.cells, &record.raw());
            }
        });
    }

    fn check_shape(&self, header: &Header, record: Record<'_>, row: u64) -> Option<RowError> {
        if let Some(Fault { kind, at, field }) = record.fault {
            let (at, column) = (Position { row, ..at }, header.column(field));
            return Some(match kind {
                FaultKind::TextBehindQuote => RowError::TextBehindQuote { at, column },
                FaultKind::BlankBeforeQuote => RowError::BlankBeforeQuote { at, column },
            });
        }
        let (at, found) = (Position { row, ..record.at }, record.ends.len());
        match found.cmp(&header.len()) {
            Ordering::Less if self.own.as_ref().is_some_and(|own| own.may_end_at(found)) => None,
            Ordering::Less => Some(RowError::TooFewFields { at, missing: header.column(found) }),
            Ordering::Greater => Some(RowError::TooManyFields { at, found, last: header.column(header.len() - 1) }),
            Ordering::Equal => None,
        }
    }

    fn check_text(&self, header: &Header, record: Record<'_>, row: u64) -> Result<(), RowError> {
        let ascii = record.text.is_ascii();
        if ascii && memchr(0, record.text).is_none() {
            return Ok(());
        }
        let at = Position { row, ..record.at };
        for (number, cell) in record.cells().enumerate() {
            if !ascii && std::str::from_utf8(cell).is_err() {
                return Err(RowError::NotText { at, column: header.column(number), encoding: self.encoding });
            }
            if memchr(0, cell).is_some() {
                return Err(RowError::Nul { at, column: header.column(number) });
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
