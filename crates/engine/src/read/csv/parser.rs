//! Text in pieces of any size → records, one after the other. Buffers in, borrowed records out; does no I/O and judges
//! no cell. A line that is there as a whole and has no quote is cut where it stands; everything else goes through
//! `csv-core`, which cuts and unescapes. Places, blank lines, limits and quotes are ours.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use memchr::{memchr_iter, memchr3};

use super::quotes::{FaultKind, Quotes};
use crate::read::ReadError;
use crate::row::{Column, Position};

/// Salesforce takes no longer ones; also what keeps an open quote from swallowing the file.
pub(super) const MAX_CHARACTERS: usize = 400_000;

/// A record, unescaped, until the next one is parsed.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    /// Where it begins; the row number is the caller's.
    pub(super) at: Position,
    /// The cells one after the other.
    pub(super) text: &'a [u8],
    /// Where each ends in `text`.
    pub(super) ends: &'a [usize],
    /// Bytes between two cells: the delimiter, when the line was cut where it stands.
    gap: usize,
    /// As it came: in earlier pieces, and in the last one.
    raw: [&'a [u8]; 2],
    pub(super) fault: Option<Fault>,
}

/// What is wrong with the quotes of a record.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) at: Position,
    /// The field that it is in, counted from zero.
    pub(super) field: usize,
}

impl<'a> Record<'a> {
    pub(super) fn cells(self) -> impl Iterator<Item = &'a [u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let cell = &self.text[start..*end];
            start = end + self.gap;
            cell
        })
    }

    /// What stands in the file, without the line end.
    pub(super) fn raw(self) -> Vec<u8> {
        let mut raw = self.raw.concat();
        raw.pop_if(|last| matches!(last, b'\n' | b'\r'));
        raw
    }

    fn check_length(self) -> Result<(), ReadError> {
        let delimiters = self.gap * (self.ends.len() - 1);
        if self.text.len() > MAX_CHARACTERS && characters(self.text) - delimiters > MAX_CHARACTERS {
            return Err(too_long(self.at));
        }
        Ok(())
    }
}

/// Every byte but those 10xxxxxx begins a character.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count()
}

fn too_long(at: Position) -> ReadError {
    ReadError::RecordTooLong { at, limit: MAX_CHARACTERS }
}

/// Takes a record; false: stop behind it.
pub(super) type Take<'t> = &'t mut dyn FnMut(Record<'_>) -> Result<bool, ReadError>;

pub(super) struct Parser {
    delimiter: u8,
    core: Reader,
    quotes: Quotes,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    /// Ends of the cells of a line that is cut where it stands.
    cuts: Vec<usize>,
    /// The record under way as it came, as far as it came in earlier pieces.
    begun: Vec<u8>,
    in_record: bool,
    /// The last line end was a CR; an LF that follows belongs to it.
    behind_cr: bool,
    start: Position,
    byte: u64,
    line: u64,
    blank_lines: u64,
}

impl Parser {
    /// `byte` and `line` count what the caller has skipped.
    pub(super) fn new(delimiter: u8, byte: u64, lines: u64) -> Self {
        let mut core = ReaderBuilder::new().delimiter(delimiter).build();
        // It would take a mark off the first record it sees; that one was looked for at the start of the file.
        core.read_record(b"\n", &mut [0], &mut [0]);
        Self {
            delimiter,
            core,
            quotes: Quotes::new(delimiter),
            text: vec![0; 16 << 10],
            text_len: 0,
            ends: vec![0; 64],
            ends_len: 0,
            cuts: Vec::new(),
            begun: Vec::new(),
            in_record: false,
            behind_cr: false,
            start: Position::default(),
            byte,
            line: lines + 1,
            blank_lines: 0,
        }
    }

    pub(super) fn blank_lines(&self) -> u64 {
        self.blank_lines
    }

    /// Parses until the input ends or `take` has enough; tells how much was used.
    pub(super) fn feed(&mut self, input: &[u8], take: Take<'_>) -> Result<usize, ReadError> {
        let mut used = 0;
        // Where the record under way begins in the input, or goes on.
        let mut from = 0;
        while used < input.len() {
            if !self.in_record {
                if self.skip_line_end(input[used]) {
                    used += 1;
                    continue;
                }
                if let Some(end) = whole_line(&input[used..]) {
                    let line = &input[used..used + end];
                    used += end + 1;
                    if !self.cut(line, input[used - 1], take)? {
                        break;
                    }
                    continue;
                }
                self.begin();
                from = used;
            }
            let (result, read) = self.advance(&input[used..]);
            used += read;
            match result {
                ReadRecordResult::Record => {
                    if !self.emit(&input[from..used], take)? {
                        break;
                    }
                }
                ReadRecordResult::OutputFull => self.grow_text()?,
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
            }
        }
        if self.in_record {
            self.begun.extend_from_slice(&input[from..used]);
        }
        Ok(used)
    }

    /// The text has ended: what is unfinished is a record if no quote is open.
    pub(super) fn finish(&mut self, take: Take<'_>) -> Result<(), ReadError> {
        if !self.in_record {
            return Ok(());
        }
        if let Some(place) = self.quotes.open() {
            return Err(ReadError::UnbalancedQuote { at: self.position(place), column: Column::Number(place.field + 1) });
        }
        while self.advance(&[]).0 == ReadRecordResult::OutputEndsFull {
            self.ends.resize(self.ends.len() * 2, 0);
        }
        self.emit(b"", take).map(|_| ())
    }

    /// Line ends between records: the rest of a CRLF, or a blank line.
    fn skip_line_end(&mut self, byte: u8) -> bool {
        if !matches!(byte, b'\r' | b'\n') {
            self.behind_cr = false;
            return false;
        }
        self.byte += 1;
        if self.behind_cr && byte == b'\n' {
            self.behind_cr = false;
        } else {
            self.line += 1;
            self.blank_lines += 1;
            self.behind_cr = byte == b'\r';
        }
        true
    }

    /// A line without quotes, without a copy.
    fn cut(&mut self, line: &[u8], end: u8, take: Take<'_>) -> Result<bool, ReadError> {
        self.cuts.clear();
        self.cuts.extend(memchr_iter(self.delimiter, line));
        self.cuts.push(line.len());
        let at = Position { row: 0, line: self.line, byte: self.byte };
        self.byte += line.len() as u64 + 1;
        self.line += 1;
        self.behind_cr = end == b'\r';
        let record = Record { at, text: line, ends: &self.cuts, gap: 1, raw: [b"", line], fault: None };
        record.check_length()?;
        take(record)
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
        self.quotes.scan(&input[..read], self.byte);
        self.byte += read as u64;
        self.text_len += text;
        self.ends_len += ends;
        (result, read)
    }

    /// A record is whole; `raw` is the rest of it as it came.
    fn emit(&mut self, raw: &[u8], take: Take<'_>) -> Result<bool, ReadError> {
        self.in_record = false;
        self.behind_cr = raw.last() == Some(&b'\r');
        self.line += self.quotes.lines() + 1;
        let record = Record {
            at: self.start,
            text: &self.text[..self.text_len],
            ends: &self.ends[..self.ends_len],
            gap: 0,
            raw: [&self.begun, raw],
            fault: self.quotes.fault().map(|(kind, place)| Fault { kind, at: self.position(place), field: place.field }),
        };
        record.check_length()?;
        take(record)
    }

    fn position(&self, place: super::quotes::Place) -> Position {
        Position { row: 0, line: self.start.line + place.lines, byte: place.byte }
    }

    fn grow_text(&mut self) -> Result<(), ReadError> {
        if self.text_len > MAX_CHARACTERS && characters(&self.text[..self.text_len]) > MAX_CHARACTERS {
            return Err(too_long(self.start));
        }
        self.text.resize(self.text.len() * 2, 0);
        Ok(())
    }
}

/// Where the line ends, if it does and no quote comes before.
fn whole_line(input: &[u8]) -> Option<usize> {
    memchr3(b'\n', b'\r', b'"', input).filter(|at| input[*at] != b'"')
}
