//! Records → header and rows: counts them, skips those without any text, tells records that are no rows, and notes what
//! makes a row unusable.

use std::borrow::Cow;
use std::cmp::Ordering;

use api::import_run::Warning;
use memchr::memchr;

use super::footer::Footer;
use super::input::END_MARK;
use super::options::RowOptions;
use super::parser::Dialect;
use super::quotes::FaultKind;
use super::record::{Fault, RawRecord};
use super::tail::Tail;
use super::text::CONTRADICTED;
use crate::cells::trim;
use crate::own::{self, Own};
use crate::row::{Batch, Column, Header, Position, Record, RowError};
use crate::source::FileError;
use crate::source::limits::{MAX_CHARACTERS, MAX_COLUMNS, characters};
use crate::taken::{Choice, encoding_remedy};

/// What Excel's `sep=;` is once the line is cut.
const HINT: &[u8] = b"sep=";

/// Rows with a doubtful quote of which a file may have one in so many; they are judged from so many rows on, and at the
/// end of the file.
const ROWS_PER_DOUBT: u64 = 100;
const JUDGED_FROM: u64 = 1_000;

pub(super) struct Records {
    encoding: &'static str,
    encoding_by: Choice,
    dialect: Dialect,
    read: u64,
    blank: u64,
    /// Blank lines before the last record.
    blank_before: u64,
    footer: Footer,
    /// Columns that the job uses; absent when nobody said.
    used: Option<Vec<usize>>,
    doubts: Doubts,
    /// The file is a result file of an earlier run.
    own: Option<Own>,
    /// Rows with letters that another encoding would have as others, and the number of the first: of a file whose encoding was detected.
    guessed: (u64, u64),
    /// The last records, if the job says that they are no rows.
    tail: Option<Tail>,
    /// Cells are read without the blanks around them.
    trims: bool,
}

/// Quoted cells that may be rows.
#[derive(Default)]
struct Doubts {
    count: u64,
    /// Rows in them.
    rows: u64,
    first: Option<(Position, Column, u64)>,
}

impl Records {
    pub(super) fn new(encoding: &'static str, encoding_by: Choice, dialect: Dialect) -> Self {
        let (footer, doubts) = (Footer::default(), Doubts::default());
        Self {
            encoding,
            encoding_by,
            dialect,
            read: 0,
            blank: 0,
            blank_before: 0,
            footer,
            used: None,
            doubts,
            own: None,
            guessed: (0, 0),
            tail: None,
            trims: false,
        }
    }

    /// Only in these columns a record may be too long for Salesforce.
    pub(super) fn used(&mut self, columns: Vec<usize>) {
        self.used = Some(columns);
    }

    /// What the job says of them.
    pub(super) fn leave_out(&mut self, options: &RowOptions) {
        self.tail = (options.footer > 0).then(|| Tail::new(options.footer));
        self.trims = options.trims;
    }

    /// The number that the next record gets.
    pub(super) fn next(&self) -> u64 {
        self.read + (self.footer.len() + self.tail.as_ref().map_or(0, Tail::len)) as u64 + 1
    }

    pub(super) fn blank_lines(&self) -> u64 {
        self.blank
    }

    /// What the rows were read as, if nobody said so.
    pub(super) fn warnings(&self) -> Vec<Warning> {
        let (rows, first_row) = self.guessed;
        let what = format!(
            "the file is no UTF-8; it was read as {} (detected), which these rows have letters of: set format.csv.encoding if they are wrong",
            self.encoding
        );
        let warning = Warning { field: "encoding".to_owned(), what, rows: rows.cast_signed(), first_row: first_row.cast_signed() };
        if rows > 0 { vec![warning] } else { Vec::new() }
    }

    /// The names of the header, unless the record is blank.
    pub(super) fn header(&mut self, record: &RawRecord<'_>) -> Result<Option<Vec<String>>, FileError> {
        if is_blank(record) {
            self.blank += 1;
            return Ok(None);
        }
        self.blank_before = record.blank_lines + self.blank;
        let limit = MAX_COLUMNS + if record.cells().any(own::is_ours) { own::MOST } else { 0 };
        if record.ends.len() > limit {
            return Err(FileError::TooManyColumns { found: record.ends.len(), limit });
        }
        if let Some(fault) = record.fault {
            return Err(FileError::HeaderQuotes { at: fault.at, column: Column::Number(fault.field + 1) });
        }
        let (at, encoding) = (record.at, self.encoding);
        if memchr(0, record.text).is_some() {
            return Err(match self.encoding_by {
                Choice::Assumed => FileError::HeaderNul { at },
                Choice::Told | Choice::Marked | Choice::Detected => FileError::HeaderNulTold { at, encoding },
            });
        }
        let not_text = |name: &[u8], number| match memchr(CONTRADICTED, name) {
            Some(_) => FileError::Contradicted { at, column: Column::Number(number), encoding },
            None => FileError::HeaderNotText { at, column: Column::Number(number), encoding, remedy: encoding_remedy(self.encoding_by) },
        };
        let text = |name: &[u8]| std::str::from_utf8(name).map(str::to_owned).ok();
        let names = record.cells().zip(1..).map(|(name, number)| text(name).ok_or_else(|| not_text(name, number)));
        let names = names.collect::<Result<Vec<String>, _>>()?;
        self.own = Own::of(&Record::from(names.as_slice()));
        Ok(Some(self.own.as_ref().map_or(names, Own::names)))
    }

    /// Adds a row, unless the record is blank or among the last ones that are left out.
    pub(super) fn data(&mut self, header: &Header, record: &RawRecord<'_>, batch: &mut Batch) -> Result<(), FileError> {
        if is_blank(record) {
            self.blank += 1;
            return Ok(());
        }
        let blank_lines = record.blank_lines + self.blank;
        let next = self.next();
        match &mut self.tail {
            None => self.with_text(header, record, blank_lines, batch),
            Some(tail) => match tail.push(record, blank_lines, next)? {
                Some(kept) => self.with_text(header, &kept.record(), kept.blank_lines, batch),
                None => Ok(()),
            },
        }
    }

    /// A record with text. `blank_lines`: so many stand before it, blank records among them.
    fn with_text(&mut self, header: &Header, record: &RawRecord<'_>, blank_lines: u64, batch: &mut Batch) -> Result<(), FileError> {
        let first = record.cells().next().unwrap_or_default();
        let blank_before = std::mem::replace(&mut self.blank_before, blank_lines);
        let behind_blank = blank_before != self.blank_before;
        if behind_blank
            || record.marked
            || !self.footer.is_empty()
            || first.first() == Some(&END_MARK)
            || first == HINT
            || header.begins_with(first)
        {
            return self.odd(header, record, behind_blank, batch);
        }
        self.row(header, record, batch)
    }

    /// A record that may be no row.
    fn odd(&mut self, header: &Header, record: &RawRecord<'_>, behind_blank: bool, batch: &mut Batch) -> Result<(), FileError> {
        let first = record.cells().next().unwrap_or_default();
        let alone = record.ends.len() == 1 && record.fault.is_none();
        if alone && first.first() == Some(&END_MARK) && first.trim_ascii_end().iter().all(|byte| *byte == END_MARK) {
            self.release(header, batch)?;
            self.skip(header, record, batch);
            return Ok(());
        }
        let is_header = record.fault.is_none() && record.cells().map(without_end_mark).eq(header.names().iter().map(String::as_bytes));
        let is_hint = first == HINT && record.cells().skip(1).all(is_blank_cell);
        if is_header || is_hint {
            self.release(header, batch)?;
            self.skip(header, record, batch);
            return Ok(());
        }
        if record.marked {
            return Err(FileError::AnotherFile { at: Position { row: self.next(), ..record.at } });
        }
        // A footer may have blank lines; in a file of one column they cannot be told from those between rows.
        let new = behind_blank && !self.footer.is_signed() && header.len() == 1;
        if new {
            self.release(header, batch)?;
        }
        if alone && (behind_blank || !self.footer.is_empty()) && self.footer.may_have(first) {
            self.footer.hold(record.at, first);
            return Ok(());
        }
        self.release(header, batch)?;
        self.row(header, record, batch)
    }

    /// The file has ended.
    pub(super) fn finish(&mut self, header: &Header, batch: &mut Batch) -> Result<(), FileError> {
        let (held, is_footer) = self.footer.take(header.len());
        for (at, cell) in held {
            let ends = [cell.len()];
            let record = RawRecord::of_cell(at, &cell, &ends);
            if is_footer { self.skip(header, &record, batch) } else { self.row(header, &record, batch)? }
        }
        let last = self.tail.as_mut().map(Tail::take).unwrap_or_default();
        last.iter().for_each(|kept| self.skip(header, &kept.record(), batch));
        self.judge()
    }

    /// An end mark that stood alone behind the last line.
    pub(super) fn end_mark(&mut self, header: &Header, batch: &mut Batch) {
        self.skip(header, &RawRecord::of_cell(Position::default(), b"", &[0]), batch);
    }

    /// Lines that were held back are rows after all.
    fn release(&mut self, header: &Header, batch: &mut Batch) -> Result<(), FileError> {
        if self.footer.is_empty() {
            return Ok(());
        }
        let (held, _) = self.footer.take(header.len());
        held.iter().try_for_each(|(at, cell)| self.row(header, &RawRecord::of_cell(*at, cell, &[cell.len()]), batch))
    }

    /// Counts a record that is no row.
    fn skip(&mut self, header: &Header, record: &RawRecord<'_>, batch: &mut Batch) {
        self.read += 1;
        batch.push(self.read, |row| {
            row.skipped = true;
            let cells = record.cells().chain(std::iter::repeat(b"".as_slice()));
            cells.take(header.len()).for_each(|cell| row.cells.push_field(readable(cell).as_bytes()));
        });
    }

    fn row(&mut self, header: &Header, record: &RawRecord<'_>, batch: &mut Batch) -> Result<(), FileError> {
        self.read += 1;
        if record.text.len() > MAX_CHARACTERS {
            self.check_length(record)?;
        }
        if self.encoding_by == Choice::Detected && !record.known_ascii && !record.text.is_ascii() {
            let (rows, first) = self.guessed;
            self.guessed = (rows + 1, if rows == 0 { self.read } else { first });
        }
        if let Some(Fault { kind: FaultKind::Suspected { lines }, at, field }) = record.fault {
            self.doubt(Position { row: self.read, ..at }, header.column(field), lines)?;
        }
        let mut contradicted = None;
        batch.push(self.read, |row| {
            let text = self.check_text(header, record, self.read);
            row.fault = self.check_shape(header, record, self.read).or(text.as_ref().err().cloned());
            if let Some(line) = record.joined_by_commas().filter(|_| text.is_ok() && record.ends.len() == header.len() && !self.trims) {
                row.cells.set_line(line, record.ends);
                // A line that was cut where it stands has no quote in it, unless quotes are text or one is its fault.
                if self.dialect.quote == Some(b'"') && record.fault.is_none() {
                    row.cells.mark_plain();
                }
            } else {
                for cell in record.cells().take(header.len()) {
                    let cell = if self.trims { trim(cell) } else { cell };
                    match text {
                        Ok(()) => row.cells.push_field(cell),
                        Err(_) => row.cells.push_field(readable(cell).as_bytes()),
                    }
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
            if text.is_err() {
                contradicted = record.cells().position(|cell| memchr(CONTRADICTED, cell).is_some());
            }
        });
        match contradicted {
            None => Ok(()),
            Some(column) => {
                let (at, column) = (Position { row: self.read, ..record.at }, header.column(column));
                Err(FileError::Contradicted { at, column, encoding: self.encoding })
            }
        }
    }

    /// Only what is sent has a limit of Salesforce's.
    fn check_length(&self, record: &RawRecord<'_>) -> Result<(), FileError> {
        let is_used = |column: usize| self.used.as_ref().is_none_or(|used| used.contains(&column));
        let sent = record.cells().enumerate().filter(|(column, _)| is_used(*column)).map(|(_, cell)| characters(cell)).sum::<usize>();
        if sent <= MAX_CHARACTERS {
            return Ok(());
        }
        Err(FileError::TooMuchToSend { at: Position { row: self.read, ..record.at }, limit: MAX_CHARACTERS })
    }

    fn doubt(&mut self, at: Position, column: Column, lines: u64) -> Result<(), FileError> {
        self.doubts.count += 1;
        self.doubts.rows += lines;
        self.doubts.first.get_or_insert((at, column, lines));
        if self.read >= JUDGED_FROM { self.judge() } else { Ok(()) }
    }

    /// One doubtful quote fails its row; where they are many, the file is read wrongly.
    fn judge(&self) -> Result<(), FileError> {
        let Doubts { count: suspected, rows: more, first: Some((at, column, lines)) } = &self.doubts else { return Ok(()) };
        if suspected * ROWS_PER_DOUBT <= self.read {
            return Ok(());
        }
        let (column, rows) = (column.clone(), self.read);
        Err(FileError::QuotesInDoubt { at: *at, column, lines: *lines, rows, suspected: *suspected, as_text: rows + more })
    }

    fn check_shape(&self, header: &Header, record: &RawRecord<'_>, row: u64) -> Option<RowError> {
        if let Some(Fault { kind, at, field }) = record.fault {
            let (at, column) = (Position { row, ..at }, header.column(field));
            return Some(match kind {
                FaultKind::TextBehindQuote => RowError::TextBehindQuote { at, column },
                FaultKind::BlankBeforeQuote => RowError::BlankBeforeQuote { at, column },
                FaultKind::Stray => RowError::StrayQuote { at, column },
                FaultKind::Suspected { lines } => RowError::QuoteInDoubt { at, column, lines },
            });
        }
        let (at, found) = (Position { row, ..record.at }, record.ends.len());
        match found.cmp(&header.len()) {
            Ordering::Less if self.own.as_ref().is_some_and(|own| own.may_end_at(found)) => None,
            Ordering::Less
                if found == 1 && record.begins_with(self.dialect.quote) && memchr(self.dialect.delimiter, record.text).is_some() =>
            {
                Some(RowError::LineInQuotes { at })
            }
            Ordering::Less => Some(RowError::TooFewFields { at, missing: header.column(found) }),
            // Delimiters at the end of a line with nothing behind them say nothing.
            Ordering::Greater if record.cells().skip(header.len()).all(is_blank_cell) => None,
            Ordering::Greater => {
                let remedy = match self.dialect.quote {
                    Some(_) => "put text with a delimiter in quotes",
                    None => "as quotes are text in this file, every delimiter ends a field: remove those too many",
                };
                Some(RowError::TooManyFields { at, found, last: header.column(header.len() - 1), remedy })
            }
            Ordering::Equal => None,
        }
    }

    fn check_text(&self, header: &Header, record: &RawRecord<'_>, row: u64) -> Result<(), RowError> {
        if record.known_ascii {
            return Ok(());
        }
        let ascii = record.text.is_ascii();
        if ascii && memchr(0, record.text).is_none() {
            return Ok(());
        }
        let at = Position { row, ..record.at };
        for (number, cell) in record.cells().enumerate() {
            if !ascii && std::str::from_utf8(cell).is_err() {
                let remedy = encoding_remedy(self.encoding_by);
                return Err(RowError::NotText { at, column: header.column(number), encoding: self.encoding, remedy });
            }
            if memchr(0, cell).is_some() {
                return Err(RowError::Nul { at, column: header.column(number) });
            }
        }
        Ok(())
    }
}

/// Only blanks in every cell, as spreadsheets leave behind.
fn is_blank(record: &RawRecord<'_>) -> bool {
    record.cells().all(is_blank_cell)
}

fn is_blank_cell(cell: &[u8]) -> bool {
    cell.iter().all(|byte| matches!(byte, b' ' | b'\t'))
}

/// A file before may have ended with one, in files that were joined.
fn without_end_mark(cell: &[u8]) -> &[u8] {
    cell.strip_prefix(&[END_MARK]).unwrap_or(cell)
}

/// What can be shown of a cell that is no text.
fn readable(cell: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(cell);
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{FFFD}")) } else { text }
}
