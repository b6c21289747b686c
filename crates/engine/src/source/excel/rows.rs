//! Rows of a sheet → header and rows: finds the header, skips what is blank, holds the last rows back, and notes what makes a row
//! unusable. Nothing here waits: it runs where it may take its time.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;

use super::cells::{Sheet, SheetRow};
use super::error::WorkbookError;
use super::kind::{self, Kind};
use super::limits::MAX_PIECE;
use super::options::ExcelOptions;
use super::place::Place;
use super::{ods, sheet, xls, xlsb};
use crate::Memory;
use crate::own::{self, Own};
use crate::row::{Batch, Header, Record, Row, RowError};
use crate::source::FileError;
use crate::source::limits::{MAX_CHARACTERS, MAX_COLUMNS, characters};
use crate::source::random_access::RandomAccess;
use crate::taken::Taken;

/// A sheet of a workbook.
pub struct SheetRows {
    sheet: Box<dyn Sheet>,
    header: Header,
    /// Where the header's columns stand in the sheet.
    columns: Vec<u32>,
    /// Whether the job uses a column; absent when nobody said.
    used: Option<Vec<bool>>,
    /// The sheet is a result file of an earlier run.
    own: Option<Own>,
    /// How many of the last rows are none.
    footer: usize,
    held: VecDeque<SheetRow>,
    held_bytes: usize,
    /// A row whose memory is used again.
    spare: SheetRow,
    read: u64,
    blank: u64,
    /// The last row of the sheet that was looked at.
    last: u32,
    ended: bool,
}

impl SheetRows {
    /// Reads up to the header. `used`: the columns that the job uses, by their names; only in these a cell without a value fails its row. `memory`:
    /// of which the texts that cells share are a part.
    ///
    /// # Errors
    ///
    /// [`FileError::Workbook`] when the bytes are no workbook that can be read, or the sheet or its header is not there.
    pub fn open(bytes: Bytes, options: &ExcelOptions, used: &BTreeSet<String>, memory: Memory) -> Result<Self, FileError> {
        Self::of(bytes.into(), options, used, memory)
    }

    pub(in crate::source) fn of(
        file: RandomAccess,
        options: &ExcelOptions,
        used: &BTreeSet<String>,
        memory: Memory,
    ) -> Result<Self, FileError> {
        let (mut sheet, name) = match kind::of(file, memory)? {
            Kind::Xlsx(package, workbook) => sheet::open(&package, &workbook, options, memory)?,
            Kind::Xlsb(package, workbook) => xlsb::open(&package, &workbook, options, memory)?,
            Kind::Xls(bytes) => xls::open(bytes, options, memory)?,
            Kind::Ods(package) => ods::open(&package, options)?,
        };
        let mut row = SheetRow::default();
        find_header(sheet.as_mut(), &mut row, options, &name)?;
        let (columns, names) = columns(sheet.as_ref(), &row, options)?;
        let own = Own::of(&Record::from(names.as_slice()));
        let names = own.as_ref().map_or(names, Own::names);
        let header = Header::of_file(names, Taken::Sheet { sheet: name, header_row: row.number });
        let used = (!used.is_empty()).then(|| {
            let used: Vec<usize> = used.iter().filter_map(|name| header.find(name).ok()).collect();
            (0..columns.len()).map(|column| used.contains(&column)).collect()
        });
        let (footer, last) = (options.footer, row.number);
        let (held, held_bytes, read, blank) = (VecDeque::new(), 0, 0, 0);
        Ok(Self { sheet, header, columns, used, own, footer, held, held_bytes, spare: row, read, blank, last, ended: false })
    }

    /// Names of the columns.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Rows without any text so far; they are not rows.
    pub fn blank_lines(&self) -> u64 {
        self.blank
    }

    /// Clears the batch and fills it. False: the sheet has ended and the batch is empty.
    ///
    /// # Errors
    ///
    /// When the workbook turns out to be damaged, or a limit is met.
    pub fn next(&mut self, batch: &mut Batch) -> Result<bool, FileError> {
        batch.clear();
        while !self.ended && !batch.is_full() {
            let mut row = std::mem::take(&mut self.spare);
            if self.sheet.next(&mut row)? {
                self.take(row, batch)?;
            } else {
                self.ended = true;
                for row in std::mem::take(&mut self.held) {
                    self.emit(&row, true, batch)?;
                }
            }
        }
        Ok(!batch.is_empty())
    }

    fn take(&mut self, row: SheetRow, batch: &mut Batch) -> Result<(), FileError> {
        // Rows without cells need not be there.
        self.blank += u64::from(row.number - self.last - 1);
        self.last = row.number;
        if row.is_blank() {
            self.blank += 1;
            self.spare = row;
            return Ok(());
        }
        self.held_bytes += row.len();
        if self.held_bytes > MAX_PIECE {
            return Err(WorkbookError::RowTooLong { row: row.number, limit: MAX_PIECE }.into());
        }
        self.held.push_back(row);
        if self.held.len() > self.footer
            && let Some(row) = self.held.pop_front()
        {
            self.held_bytes -= row.len();
            self.emit(&row, row.hidden, batch)?;
            self.spare = row;
        }
        Ok(())
    }

    fn emit(&mut self, from: &SheetRow, skipped: bool, batch: &mut Batch) -> Result<(), FileError> {
        self.read += 1;
        if from.len() > MAX_CHARACTERS {
            self.check_length(from)?;
        }
        batch.push(self.read, |row| {
            row.skipped = skipped;
            let fault = self.fill(row, from);
            if skipped {
                return;
            }
            row.fault = fault;
            if let Some(own) = &self.own {
                let at = format!("row {} (row {} of the sheet)", row.number, from.number);
                own.restore(row, at);
            }
            if row.fault.is_some() && row.refused.is_empty() {
                let stood = from.cells.iter().map(|cell| from.text(cell)).collect::<Vec<_>>().join("\t");
                row.refused = own::refused(self.header.cells(), &row.cells, stood.as_bytes());
            }
        });
        Ok(())
    }

    /// Writes the cells, and says what is wrong with the first that is no value.
    fn fill(&self, row: &mut Row, from: &SheetRow) -> Option<RowError> {
        let (mut cells, mut fault) = (from.cells.iter().peekable(), None);
        for (at, column) in self.columns.iter().enumerate() {
            let Some(cell) = cells.next_if(|cell| cell.column == *column) else {
                row.cells.push_field(b"");
                continue;
            };
            row.cells.push_field(from.text(cell).as_bytes());
            if let Some(problem) = cell.problem.filter(|_| self.is_used(at)) {
                let cell = Place { column: *column, row: from.number };
                fault.get_or_insert_with(|| RowError::Cell { row: row.number, cell, column: self.header.column(at), problem });
            }
        }
        fault.or_else(|| {
            let cell = cells.find(|cell| !from.is_blank_cell(cell))?;
            let cell = Place { column: cell.column, row: from.number };
            Some(RowError::BehindHeader { row: row.number, cell, last: self.header.column(self.columns.len() - 1) })
        })
    }

    fn is_used(&self, column: usize) -> bool {
        self.used.as_ref().is_none_or(|used| used[column])
    }

    /// Only what is sent has a limit of Salesforce's.
    fn check_length(&self, from: &SheetRow) -> Result<(), FileError> {
        let is_sent = |column: u32| self.columns.binary_search(&column).is_ok_and(|at| self.is_used(at));
        let sent: usize = from.cells.iter().filter(|cell| is_sent(cell.column)).map(|cell| characters(from.text(cell).as_bytes())).sum();
        if sent <= MAX_CHARACTERS {
            return Ok(());
        }
        Err(WorkbookError::TooMuchToSend { row: from.number, limit: MAX_CHARACTERS }.into())
    }
}

/// The row that names the columns: the one that the job names, else the first with text that is shown.
fn find_header(sheet: &mut dyn Sheet, row: &mut SheetRow, options: &ExcelOptions, name: &str) -> Result<(), WorkbookError> {
    while sheet.next(row)? {
        match options.header_row {
            None if row.hidden || row.is_blank() => continue,
            None => return Ok(()),
            Some(wanted) if row.number < wanted => continue,
            Some(wanted) if row.number == wanted && !row.is_blank() => return Ok(()),
            Some(_) => break,
        }
    }
    let sheet = name.to_owned();
    Err(match options.header_row {
        Some(row) => WorkbookError::HeaderRowEmpty { sheet, row },
        None => WorkbookError::Empty { sheet, within: if options.range.is_whole() { "" } else { " in the format's `range`" } },
    })
}

/// Where the columns are and how they are called: from the first that is read to the last that has a name.
fn columns(sheet: &dyn Sheet, row: &SheetRow, options: &ExcelOptions) -> Result<(Vec<u32>, Vec<String>), FileError> {
    let named: Vec<_> = row.cells.iter().filter(|cell| !row.is_blank_cell(cell)).collect();
    let last = named.last().map_or(0, |cell| cell.column);
    let columns: Vec<u32> = (options.range.columns.0..=last).filter(|column| sheet.has_column(*column)).collect();
    let ours = named.iter().any(|cell| own::is_ours(row.text(cell).as_bytes()));
    let limit = MAX_COLUMNS + if ours { own::MOST } else { 0 };
    if columns.len() > limit {
        return Err(FileError::TooManyColumns { found: columns.len(), limit });
    }
    let mut names = vec![String::new(); columns.len()];
    for cell in named {
        if let Some(problem) = cell.problem {
            return Err(WorkbookError::Header { place: Place { column: cell.column, row: row.number }, problem }.into());
        }
        if let Ok(at) = columns.binary_search(&cell.column) {
            row.text(cell).clone_into(&mut names[at]);
        }
    }
    Ok((columns, names))
}
