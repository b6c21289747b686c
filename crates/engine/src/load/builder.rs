//! Collects rows until they are a chunk: what is sent, what is kept for the results, and what links the two. No I/O.

use std::sync::Arc;

use crate::row::Record;
use api::import_run::Rows;
use memchr::memchr;

use super::body::{Body, BodyWriter};
use crate::results::Layout;
use crate::results::correlate::{Expected, Fingerprinter};
use crate::results::kept::{KeptRows, RowKeeper};
use crate::results::outcome::Outcomes;

/// Longest line of one row; the reader refuses longer records long before.
const LONGEST_ROW: u64 = 8 << 20;

/// Encoded rows may be larger than the input they come from (constants), but memory is memory.
const ENCODED_PER_INPUT: u64 = 4;

/// Rows of few bytes take memory by their number: each has a place, an outcome, a record's id and a fingerprint. A chunk takes no more rows
/// than it would have if each were as long as this.
const ROW: u64 = 128;

/// What so few rows take is nothing, however small chunks are to be.
const FEW_ROWS: u64 = 1_000;

/// When a chunk is full.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLimits {
    /// Bytes of input rows that are sent or reported.
    pub input_bytes: u64,
}

impl ChunkLimits {
    /// Of a process whose memory has no limit that is known.
    pub const DEFAULT_INPUT_BYTES: u64 = 4 << 20;

    fn rows(self) -> u64 {
        (self.input_bytes / ROW).max(FEW_ROWS)
    }

    /// `max`: most bytes that the lane takes in one body.
    fn encoded_bytes(self, max: u64) -> u64 {
        (self.input_bytes * ENCODED_PER_INPUT).min(max.saturating_sub(LONGEST_ROW))
    }
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self { input_bytes: Self::DEFAULT_INPUT_BYTES }
    }
}

/// How rows are built into chunks.
pub(crate) struct ChunkShape {
    /// Header of what is sent.
    pub(crate) columns: Record,
    /// Column of what is sent that identifies a row.
    pub(crate) key_column: Option<usize>,
    pub(crate) limits: ChunkLimits,
    /// What every chunk has for its cursor while its rows have no keys.
    pub(crate) origin: Record,
    /// Most bytes that the lane takes in one body.
    pub(crate) max_bytes: u64,
    /// Keep input rows for result files that look like this.
    pub(crate) keep: Option<Layout>,
}

/// Rows of one chunk, complete.
pub(crate) struct BuiltChunk {
    /// Number of the first data row, from 1.
    pub(crate) first_row: i64,
    /// Rows consumed, with those that were left out.
    pub(crate) input_rows: i64,
    /// What is already known of them: all but the outcomes of those sent.
    pub(crate) counted: Rows,
    /// Absent when nothing is to be sent.
    pub(crate) body: Option<Body>,
    pub(crate) rows: ChunkRows,
    /// Where the source goes on.
    pub(crate) last_key: Option<Vec<String>>,
}

/// What is needed to tell every row's outcome.
pub(crate) struct ChunkRows {
    /// Absent when no results are written.
    pub(crate) kept: Option<Arc<KeptRows>>,
    /// Places among the kept rows that belong to this chunk, if not all.
    pub(crate) chosen: Option<Vec<u32>>,
    /// Data row number of each place, counted from `first_row`.
    pub(crate) numbers: Arc<Vec<u32>>,
    pub(crate) outcomes: Outcomes,
    pub(crate) expected: Expected,
}

impl ChunkRows {
    pub(crate) fn sent(&self) -> u64 {
        self.expected.len() as u64
    }
}

/// Where a chunk ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    WhenFull,
    /// When it is full, and never behind so many input rows: others follow that are on record.
    FullOrAfter(i64),
    /// Behind exactly so many input rows: it was cut there before.
    After(i64),
}

/// A row as it was read.
#[derive(Clone, Copy)]
pub struct InputRow<'a> {
    /// A cell for each column of the header.
    pub cells: &'a Record,
    /// Where the source goes on behind it; empty for sources that do not say.
    pub key: &'a Record,
    /// How a row that the reader refused stood in its source; empty for others.
    pub refused: &'a str,
}

pub(crate) struct ChunkBuilder {
    limits: ChunkLimits,
    encoded_bytes: u64,
    fingerprinter: Fingerprinter,
    keeper: Option<RowKeeper>,
    body: BodyWriter,
    next_row: i64,
    input_rows: i64,
    input_bytes: u64,
    counted: Rows,
    numbers: Vec<u32>,
    outcomes: Outcomes,
    expected: Expected,
    last_key: Record,
    cut: Cut,
    scratch: Record,
}

impl ChunkBuilder {
    /// `first_row` is the number of the first row to come.
    pub(crate) fn new(shape: ChunkShape, first_row: i64) -> Self {
        let fingerprinter = Fingerprinter::new(shape.key_column);
        Self {
            limits: shape.limits,
            encoded_bytes: shape.limits.encoded_bytes(shape.max_bytes),
            outcomes: Outcomes::new(shape.keep.is_some()),
            keeper: shape.keep.map(RowKeeper::new),
            body: BodyWriter::new(&shape.columns),
            next_row: first_row,
            input_rows: 0,
            input_bytes: 0,
            counted: Rows::default(),
            numbers: Vec::new(),
            expected: Expected::new(fingerprinter.clone()),
            fingerprinter,
            last_key: shape.origin,
            cut: Cut::WhenFull,
            scratch: Record::new(),
        }
    }

    /// Where the current chunk ends.
    pub(crate) fn cut(&mut self, cut: Cut) {
        self.cut = cut;
    }

    pub(crate) fn filtered(&mut self, input: InputRow<'_>) {
        self.counted.filtered += 1;
        self.consumed(input);
    }

    pub(crate) fn deduplicated(&mut self, input: InputRow<'_>) {
        self.counted.deduplicated += 1;
        self.consumed(input);
    }

    /// A record that is no row.
    pub(crate) fn skipped(&mut self, input: InputRow<'_>) {
        self.counted.skipped += 1;
        self.consumed(input);
    }

    /// A row that fails before it is sent.
    pub(crate) fn rejected(&mut self, input: InputRow<'_>, reason: &str) {
        self.counted.failed += 1;
        self.note(input);
        if let Some(keeper) = &mut self.keeper {
            keeper.push_rejected(input.cells, input.refused);
        }
        self.outcomes.push_rejected(reason);
        self.consumed(input);
    }

    /// A row to send.
    pub(crate) fn send(&mut self, input: InputRow<'_>, mapped: &Record) {
        self.note(input);
        if let Some(keeper) = &mut self.keeper {
            keeper.push(input.cells);
        }
        let place = self.outcomes.len();
        self.outcomes.push_waiting();
        if !mapped.is_known_plain() && memchr(b'\r', mapped.as_slice()).is_some() {
            one_line_ending(mapped, &mut self.scratch);
            self.expected.push(place, &self.scratch);
            self.body.push(&self.scratch);
        } else {
            self.expected.push(place, mapped);
            self.body.push(mapped);
        }
        self.consumed(input);
    }

    pub(crate) fn is_full(&self) -> bool {
        let full = self.input_bytes >= self.limits.input_bytes
            || self.body.bytes() >= self.encoded_bytes
            || u64::from(self.outcomes.len()) >= self.limits.rows();
        match self.cut {
            Cut::WhenFull => full,
            Cut::FullOrAfter(rows) => full || self.input_rows >= rows,
            Cut::After(rows) => self.input_rows >= rows,
        }
    }

    /// Rows consumed since the last chunk was taken.
    pub(crate) fn pending(&self) -> i64 {
        self.input_rows
    }

    /// Everything since the last chunk was taken.
    pub(crate) fn close(&mut self) -> BuiltChunk {
        let input_rows = std::mem::take(&mut self.input_rows);
        let first_row = self.next_row;
        self.next_row += input_rows;
        self.input_bytes = 0;
        self.cut = Cut::WhenFull;
        let mut counted = std::mem::take(&mut self.counted);
        counted.read = input_rows;
        let kept = self.keeper.as_mut().map(RowKeeper::finish).map(Arc::new);
        let expected = std::mem::replace(&mut self.expected, Expected::new(self.fingerprinter.clone()));
        let last_key =
            (!self.last_key.is_empty()).then(|| self.last_key.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect());
        let outcomes = std::mem::replace(&mut self.outcomes, Outcomes::new(self.keeper.is_some()));
        let numbers = Arc::new(std::mem::take(&mut self.numbers));
        let rows = ChunkRows { kept, chosen: None, numbers, outcomes, expected };
        BuiltChunk { first_row, input_rows, counted, body: self.body.finish(), rows, last_key }
    }

    /// A body and the fingerprints of rows that are sent again, from the cells Salesforce gave back; places ascend.
    pub(crate) fn resend(fingerprinter: &Fingerprinter, columns: &Record, rows: &[Record]) -> (Option<Body>, Expected) {
        let mut body = BodyWriter::new(columns);
        let mut expected = Expected::new(fingerprinter.clone());
        for (place, cells) in (0..).zip(rows) {
            body.push(cells);
            expected.push(place, cells);
        }
        (body.finish(), expected)
    }

    pub(crate) fn fingerprinter(&self) -> &Fingerprinter {
        &self.fingerprinter
    }

    /// A row with an outcome.
    fn note(&mut self, input: InputRow<'_>) {
        self.input_bytes += (input.cells.as_slice().len() + 1 + input.refused.len()) as u64;
        self.numbers.push(self.input_rows as u32);
    }

    fn consumed(&mut self, input: InputRow<'_>) {
        self.input_rows += 1;
        if !input.key.is_empty() {
            self.last_key.clear();
            input.key.iter().for_each(|cell| self.last_key.push_field(cell));
        }
    }
}

/// Salesforce wants one line ending in the whole file, inside quoted cells too: CRLF and CR become LF.
fn one_line_ending(row: &Record, out: &mut Record) {
    let mut text = Vec::new();
    out.clear();
    for cell in row {
        text.clear();
        for (place, &byte) in cell.iter().enumerate() {
            match byte {
                b'\r' if cell.get(place + 1) == Some(&b'\n') => {}
                b'\r' => text.push(b'\n'),
                other => text.push(other),
            }
        }
        out.push_field(&text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use crate::load::lane::bulk::MAX_BYTES;
    use crate::results::Escape;

    fn builder(limits: ChunkLimits) -> ChunkBuilder {
        let columns = Record::from(vec!["Name"]);
        let shape = ChunkShape {
            columns,
            key_column: None,
            limits,
            origin: Record::new(),
            max_bytes: MAX_BYTES,
            keep: Some(Layout::new(Escape::Formulas, &row(&["Name", "N"]))),
        };
        ChunkBuilder::new(shape, 1)
    }

    fn text(body: &Body) -> Vec<u8> {
        body.pieces().flatten().collect()
    }

    fn key() -> Record {
        Record::from(vec!["4"])
    }

    fn read<'a>(cells: &'a Record, key: &'a Record) -> InputRow<'a> {
        InputRow { cells, key, refused: "" }
    }

    fn row(cells: &[&str]) -> Record {
        Record::from(cells.to_vec())
    }

    #[test]
    fn every_row_is_counted_once_and_only_mapped_ones_are_sent() {
        let mut chunk = builder(ChunkLimits::default());
        chunk.filtered(read(&row(&["a", "1"]), &key()));
        chunk.send(read(&row(&["b", "2"]), &key()), &row(&["B"]));
        chunk.rejected(read(&row(&["c", "3"]), &key()), "no");
        chunk.skipped(read(&row(&["Name", "Id"]), &key()));
        chunk.deduplicated(read(&row(&["d", "4"]), &key()));
        let built = chunk.close();
        assert_eq!(built.counted, Rows { read: 5, filtered: 1, deduplicated: 1, skipped: 1, failed: 1, ..Rows::default() });
        assert_eq!((built.first_row, built.input_rows, built.rows.sent()), (1, 5, 1));
        assert_eq!(*built.rows.numbers, [1, 2]);
        assert_eq!(built.last_key, Some(vec!["4".to_owned()]));
        assert_eq!(text(&built.body.unwrap()), b"Name\nB\n");
        chunk.filtered(read(&row(&["e", "5"]), &key()));
        let next = chunk.close();
        assert_eq!((next.first_row, next.input_rows), (6, 1));
        assert!(next.body.is_none());
    }

    #[test]
    fn a_chunk_is_full_by_the_input_it_keeps_or_by_what_it_encodes() {
        let mut chunk = builder(ChunkLimits { input_bytes: 20 });
        chunk.filtered(read(&row(&["a long row that is left out", "1"]), &key()));
        assert!(!chunk.is_full());
        chunk.send(read(&row(&["aaaaaaaa", "bbbbbbbbbb"]), &key()), &row(&["x"]));
        assert!(chunk.is_full());
        chunk.close();
        chunk.send(read(&row(&["a", "b"]), &key()), &row(&[&"x".repeat(80)]));
        assert!(chunk.is_full());
    }

    #[test]
    fn rows_of_few_bytes_fill_a_chunk_by_their_number() {
        let mut chunk = builder(ChunkLimits { input_bytes: 256_000 });
        let mut rows = 0;
        while !chunk.is_full() {
            chunk.filtered(read(&row(&["left out", "1"]), &key()));
            chunk.send(read(&row(&["a", ""]), &key()), &row(&["A"]));
            rows += 1;
        }
        assert_eq!(rows, 2_000);
        // Where chunks are to be small, as many as are nothing.
        let mut chunk = builder(ChunkLimits { input_bytes: 20_000 });
        (0..999).for_each(|_| chunk.send(read(&row(&["a", ""]), &key()), &row(&["A"])));
        assert!(!chunk.is_full());
        chunk.rejected(read(&row(&["a", ""]), &key()), "no");
        assert!(chunk.is_full());
    }

    #[test]
    fn a_chunk_cut_before_is_cut_the_same_way_again() {
        let mut chunk = builder(ChunkLimits { input_bytes: 1 });
        chunk.cut(Cut::After(2));
        chunk.send(read(&row(&["a", "1"]), &key()), &row(&["A"]));
        assert!(!chunk.is_full());
        chunk.filtered(read(&row(&["b", "2"]), &key()));
        assert!(chunk.is_full());
    }

    #[test]
    fn line_ends_inside_cells_become_lf() {
        let mut chunk = builder(ChunkLimits::default());
        chunk.send(read(&row(&["a", "1"]), &key()), &row(&["x\r\ny\rz\n"]));
        let mut built = chunk.close();
        assert_eq!(text(&built.body.unwrap()), b"Name\n\"x\ny\nz\n\"\n");
        assert_eq!(built.rows.expected.take(&row(&["x\ny\nz\n"])), Some(0));
    }

    #[test]
    fn a_chunk_is_never_more_than_salesforce_takes() {
        assert!(Memory::of(Some(64 << 30)).chunks(false).encoded_bytes(MAX_BYTES) + LONGEST_ROW <= MAX_BYTES);
    }
}
