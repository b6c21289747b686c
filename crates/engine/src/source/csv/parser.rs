//! Text in pieces of any size → records, one after the other. Buffers in, borrowed records out; does no I/O and judges
//! no cell. A line that is there as a whole, with nothing but whole cells in quotes, is cut where it stands; everything else goes
//! through `csv-core`, which cuts and unescapes. Places, blank lines, limits and quotes are ours.

use std::borrow::Cow;

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr, memchr_iter, memchr2};

use super::escapes;
use super::line::{self, Cut};
use super::quotes::{FaultKind, Place, Quotes};
use super::record::{Fault, RawRecord};
use super::suspect;
use crate::row::{Column, Position};
use crate::source::FileError;
use crate::source::limits::MAX_RECORD;

/// Cells of a record; a header may have fewer by far.
const MAX_CELLS: usize = 100_000;

/// A byte order mark in the text.
const MARK: &[u8; 3] = b"\xEF\xBB\xBF";

/// What cuts a file into records and cells.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Dialect {
    pub(super) delimiter: u8,
    /// Absent: quotes are text.
    pub(super) quote: Option<u8>,
    /// A line that begins with it where a record would begin is none.
    pub(super) comment: Option<u8>,
    /// What it escapes was exchanged (`escapes`) before the text comes here.
    pub(super) escape: Option<u8>,
}

/// Takes a record; false: stop behind it.
pub(super) type Take<'t> = &'t mut dyn FnMut(&RawRecord<'_>) -> Result<bool, FileError>;

pub(super) struct Parser {
    dialect: Dialect,
    /// Columns of the header, once it is known; without them no quote is doubted.
    columns: Option<usize>,
    /// Nobody said that quotes are quotes.
    suspects: bool,
    core: Reader,
    quotes: Quotes,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// Ends of the cells of a line that is cut where it stands.
    cuts: Vec<usize>,
    /// Its cells, if some have quotes around them.
    unquoted: Vec<u8>,
    /// The record under way as it came, as far as it came in earlier pieces.
    begun: Vec<u8>,
    /// To be parsed before all other text: it was taken for a part of a cell.
    again: Vec<u8>,
    /// Bytes parsed twice.
    repeated: u64,
    in_record: bool,
    in_comment: bool,
    /// Bytes of a byte order mark, matched at the start of a record.
    mark: usize,
    behind_mark: bool,
    /// The last line end was a CR; an LF that follows belongs to it.
    behind_cr: bool,
    start: Position,
    byte: u64,
    line: u64,
    blank_lines: u64,
}

impl Parser {
    /// `byte` and `line` count what the caller has skipped.
    pub(super) fn new(dialect: Dialect, byte: u64, lines: u64) -> Self {
        Self {
            dialect,
            columns: None,
            suspects: false,
            core: core(dialect),
            quotes: Quotes::new(dialect.delimiter, dialect.quote.unwrap_or(b'"')),
            text: vec![0; 16 << 10],
            text_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            cuts: Vec::new(),
            unquoted: Vec::new(),
            begun: Vec::new(),
            again: Vec::new(),
            repeated: 0,
            in_record: false,
            in_comment: false,
            mark: 0,
            behind_mark: false,
            behind_cr: false,
            start: Position::default(),
            byte,
            line: lines + 1,
            blank_lines: 0,
        }
    }

    /// What the header has told. `suspects`: quoted cells that may be rows are doubted.
    pub(super) fn expect(&mut self, columns: usize, suspects: bool) {
        self.columns = Some(columns);
        self.suspects = suspects;
    }

    /// The last line ended with a CR; an LF that follows belongs to it.
    pub(super) fn is_behind_cr(&self) -> bool {
        self.behind_cr
    }

    /// The caller has left out so much, up to the end of a line.
    pub(super) fn skip(&mut self, bytes: u64, lines: u64) {
        self.byte += bytes;
        self.line += lines;
        self.behind_cr = false;
    }

    pub(super) fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// The text goes on in a line that has begun.
    pub(super) fn in_line(&self) -> bool {
        self.in_record || self.in_comment
    }

    /// Text that comes before all other, if there is any.
    pub(super) fn take_again(&mut self) -> Option<Vec<u8>> {
        (!self.again.is_empty()).then(|| std::mem::take(&mut self.again))
    }

    /// Parses until the input ends, `take` has enough or there is text to parse again; tells how much was used.
    pub(super) fn feed(&mut self, input: &[u8], take: Take<'_>) -> Result<usize, FileError> {
        let mut used = if self.in_comment { self.skip_comment(input) } else { 0 };
        // Where the record under way begins in the input, or goes on.
        let mut from = 0;
        while used < input.len() {
            if !self.in_record {
                if self.mark > 0 || input[used] == MARK[0] {
                    used += self.skip_mark(&input[used..]);
                    from = used;
                    if self.mark > 0 || used == input.len() {
                        continue;
                    }
                }
                if !self.in_record {
                    if self.skip_line_end(input[used]) {
                        used += 1;
                        continue;
                    }
                    if self.dialect.comment == Some(input[used]) {
                        used += self.skip_comment(&input[used..]);
                        continue;
                    }
                    self.cuts.clear();
                    if let Some(cut) = line::cut(&input[used..], self.dialect, &mut self.cuts) {
                        let line = &input[used..used + cut.end];
                        used += cut.end + 1;
                        if !self.cut(line, input[used - 1], &cut, take)? {
                            break;
                        }
                        continue;
                    }
                    self.begin();
                    from = used;
                }
            }
            let (result, read) = self.advance(&input[used..]);
            used += read;
            match result {
                ReadRecordResult::Record => {
                    if !self.emit(&input[from..used], take)? || !self.again.is_empty() {
                        break;
                    }
                }
                ReadRecordResult::OutputFull => self.text.resize(self.text.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.grow_ends()?,
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
            if self.in_record && self.byte - self.start.byte > MAX_RECORD as u64 {
                let mut raw = std::mem::take(&mut self.begun);
                raw.extend_from_slice(&input[from..used]);
                if !self.recover(&raw, false, take)? {
                    return Err(FileError::RecordTooLong { at: self.start, limit: MAX_RECORD >> 20 });
                }
                break;
            }
        }
        if self.in_record {
            self.begun.extend_from_slice(&input[from..used]);
        }
        Ok(used)
    }

    /// The text has ended: what is unfinished is a record if no quote is open.
    pub(super) fn finish(&mut self, take: Take<'_>) -> Result<(), FileError> {
        if self.mark > 0 {
            self.begin_with_mark();
        }
        if !self.in_record {
            return Ok(());
        }
        if let Some(place) = self.quotes.open() {
            let raw = std::mem::take(&mut self.begun);
            if self.recover(&raw, true, take)? {
                return Ok(());
            }
            let at = self.position(place, &raw);
            return Err(FileError::UnbalancedQuote { at, column: Column::Number(place.field + 1) });
        }
        while self.advance(&[]).0 == ReadRecordResult::OutputEndsFull {
            self.grow_ends()?;
        }
        self.emit(b"", take).map(|_| ())
    }

    /// Takes a byte order mark that stands before a record; what turns out to be none begins the record. Tells how much
    /// was used.
    fn skip_mark(&mut self, input: &[u8]) -> usize {
        if self.mark == 0 && input.len() >= MARK.len() && !input.starts_with(MARK) {
            return 0;
        }
        let matched = input.iter().zip(&MARK[self.mark..]).take_while(|(byte, mark)| byte == mark).count();
        self.mark += matched;
        if self.mark == MARK.len() {
            self.byte += MARK.len() as u64;
            self.mark = 0;
            self.behind_mark = true;
        } else if matched < input.len() {
            self.begin_with_mark();
        }
        matched
    }

    /// Bytes as a mark begins with, and no mark: they are the first of a record.
    fn begin_with_mark(&mut self) {
        let matched = std::mem::take(&mut self.mark);
        self.begin();
        self.begun.extend_from_slice(&MARK[..matched]);
        self.advance(&MARK[..matched]);
    }

    /// Line ends between records: the rest of a CRLF, or a blank line.
    fn skip_line_end(&mut self, byte: u8) -> bool {
        // The rest of a CRLF that stands escaped at the end of a comment.
        let escaped = byte == escapes::LF && self.behind_cr && self.dialect.escape.is_some();
        if !matches!(byte, b'\r' | b'\n') && !escaped {
            self.behind_cr = false;
            return false;
        }
        self.byte += 1;
        if self.behind_cr && byte != b'\r' {
            self.behind_cr = false;
        } else {
            self.line += 1;
            self.blank_lines += 1;
            self.behind_cr = byte == b'\r';
        }
        true
    }

    /// The rest of a line that is a comment, as far as it is there. Tells how much was used.
    fn skip_comment(&mut self, input: &[u8]) -> usize {
        // An escape does not make the next line a part of it.
        let end = match self.dialect.escape {
            None => memchr2(b'\n', b'\r', input),
            Some(_) => escapes::line_end(input),
        };
        self.in_comment = end.is_none();
        if let Some(end) = end {
            self.line += 1;
            self.behind_cr = matches!(input[end], b'\r' | escapes::CR);
        }
        let used = end.map_or(input.len(), |end| end + 1);
        self.byte += used as u64;
        used
    }

    /// A line that was cut where it stands. `cuts` has the places of its delimiters.
    fn cut(&mut self, line: &[u8], end: u8, cut: &Cut, take: Take<'_>) -> Result<bool, FileError> {
        let at = Position { row: 0, line: self.line, byte: self.byte };
        if line.len() > MAX_RECORD {
            return Err(FileError::RecordTooLong { at, limit: MAX_RECORD >> 20 });
        }
        self.byte += line.len() as u64 + 1;
        self.line += 1 + if cut.known_ascii { 0 } else { self.escaped_lines(line) };
        self.behind_cr = end == b'\r';
        if cut.quoted { self.give_unquoted(at, line, cut, take) } else { self.give(at, line, cut.known_ascii, None, take) }
    }

    /// The same without the quotes around its cells.
    fn give_unquoted(&mut self, at: Position, line: &[u8], cut: &Cut, take: Take<'_>) -> Result<bool, FileError> {
        self.cuts.push(line.len());
        self.unquoted.clear();
        let mut from = 0;
        for end in &mut self.cuts {
            let cell = &line[from..*end];
            from = *end + 1;
            match self.dialect.quote {
                Some(quote) if cell.first() == Some(&quote) => {
                    let mut rest = &cell[1..cell.len() - 1];
                    // Of two quotes in it one is text.
                    while cut.doubled
                        && let Some(at) = memchr(quote, rest)
                    {
                        self.unquoted.extend_from_slice(&rest[..=at]);
                        rest = &rest[at + 2..];
                    }
                    self.unquoted.extend_from_slice(rest);
                }
                _ => self.unquoted.extend_from_slice(cell),
            }
            *end = self.unquoted.len();
        }
        take(&RawRecord {
            at,
            text: &self.unquoted,
            ends: &self.cuts,
            gap: None,
            raw: [b"", line],
            known_ascii: cut.known_ascii,
            fault: None,
            marked: std::mem::take(&mut self.behind_mark),
            blank_lines: self.blank_lines,
        })
    }

    /// A line as it stands, cut at its delimiters, whose places `cuts` has.
    fn give(&mut self, at: Position, line: &[u8], known_ascii: bool, fault: Option<Fault>, take: Take<'_>) -> Result<bool, FileError> {
        self.cuts.push(line.len());
        let marked = std::mem::take(&mut self.behind_mark);
        take(&RawRecord {
            at,
            text: line,
            ends: &self.cuts,
            gap: Some(self.dialect.delimiter),
            raw: [b"", line],
            known_ascii,
            fault,
            marked,
            blank_lines: self.blank_lines,
        })
    }

    fn begin(&mut self) {
        self.in_record = true;
        self.text_len = 0;
        self.ends_len = 0;
        self.begun.clear();
        self.quotes.begin();
        self.start = Position { row: 0, line: self.line, byte: self.byte };
    }

    fn advance(&mut self, input: &[u8]) -> (ReadRecordResult, usize) {
        let (result, read, text, ends) = self.core.read_record(input, &mut self.text[self.text_len..], &mut self.ends[self.ends_len..]);
        if self.dialect.quote.is_some() {
            self.quotes.scan(&input[..read], self.byte);
        }
        self.byte += read as u64;
        self.text_len += text;
        self.ends_len += ends;
        (result, read)
    }

    /// A record is whole; `raw` is the rest of it as it came.
    fn emit(&mut self, raw: &[u8], take: Take<'_>) -> Result<bool, FileError> {
        let mut fault = self.quotes.fault().map(|(kind, place)| self.fault(kind, place, &whole(&self.begun, raw)));
        if let Some(columns) = self.columns.filter(|_| self.quotes.lines() > 0) {
            let wrong = fault.is_some() || self.ends_len != columns;
            if wrong || self.suspects {
                let whole = whole(&self.begun, raw);
                if wrong {
                    if self.recover(&whole, true, take)? {
                        return Ok(true);
                    }
                } else if let Some(lines) = suspect::swallowed(&whole, self.dialect, columns) {
                    fault = Some(self.fault(FaultKind::Suspected { lines }, self.quotes.opened(), &whole));
                }
            }
        }
        self.in_record = false;
        self.behind_cr = raw.last() == Some(&b'\r');
        self.line += self.quotes.lines() + 1;
        if self.dialect.escape.is_some() {
            self.line += self.escaped_lines(&whole(&self.begun, raw));
        }
        take(&RawRecord {
            at: self.start,
            text: &self.text[..self.text_len],
            ends: &self.ends[..self.ends_len],
            gap: None,
            raw: [&self.begun, raw],
            known_ascii: false,
            fault,
            marked: std::mem::take(&mut self.behind_mark),
            blank_lines: self.blank_lines,
        })
    }

    /// For a record that cannot be right: gives its first line as a broken row, and what is behind it is parsed again,
    /// if that line is certain to be the broken one. Parsing again is bounded, whatever the file.
    fn recover(&mut self, raw: &[u8], whole: bool, take: Take<'_>) -> Result<bool, FileError> {
        let Some(stray) = self.columns.and_then(|columns| suspect::stray(raw, self.dialect, columns, whole)) else { return Ok(false) };
        let again = &raw[stray.next..];
        if self.repeated + again.len() as u64 > 4 * (self.byte + MAX_RECORD as u64) {
            return Ok(false);
        }
        self.repeated += again.len() as u64;
        self.again = again.to_vec();
        self.in_record = false;
        self.behind_cr = false;
        self.core = core(self.dialect);
        let place = Place { byte: self.start.byte + stray.quote.byte, ..stray.quote };
        let fault = self.fault(FaultKind::Stray, place, raw);
        self.byte = self.start.byte + stray.next as u64;
        self.line = self.start.line + 1 + self.escaped_lines(&raw[..stray.line]);
        self.cuts.clear();
        self.cuts.extend(memchr_iter(self.dialect.delimiter, &raw[..stray.line]));
        self.give(self.start, &raw[..stray.line], false, Some(fault), take)?;
        Ok(true)
    }

    /// `raw`: the record as it came.
    fn fault(&self, kind: FaultKind, place: Place, raw: &[u8]) -> Fault {
        Fault { kind, at: self.position(place, raw), field: place.field }
    }

    fn position(&self, place: Place, raw: &[u8]) -> Position {
        let before = &raw[..(place.byte - self.start.byte) as usize];
        Position { row: 0, line: self.start.line + place.lines + self.escaped_lines(before), byte: place.byte }
    }

    /// Line ends that are text, and that an editor counts all the same.
    fn escaped_lines(&self, text: &[u8]) -> u64 {
        if self.dialect.escape.is_some() { escapes::lines(text) } else { 0 }
    }

    fn grow_ends(&mut self) -> Result<(), FileError> {
        if self.ends_len > MAX_CELLS {
            return Err(FileError::TooManyCells { at: self.start, limit: MAX_CELLS });
        }
        self.ends.resize(self.ends.len() * 2, 0);
        Ok(())
    }
}

/// A record as it came, in earlier pieces and in the last one.
fn whole<'r>(begun: &[u8], raw: &'r [u8]) -> Cow<'r, [u8]> {
    if begun.is_empty() { Cow::Borrowed(raw) } else { Cow::Owned([begun, raw].concat()) }
}

/// It would take a mark off the first record it sees; that one was looked for at the start of the file.
fn core(dialect: Dialect) -> Reader {
    let quote = dialect.quote.unwrap_or(b'"');
    let mut core = ReaderBuilder::new().delimiter(dialect.delimiter).quoting(dialect.quote.is_some()).quote(quote).build();
    core.read_record(b"\n", &mut [0], &mut [0]);
    core
}
