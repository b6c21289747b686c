//! Rows of a CSV file, from bytes as they arrive. Strict where `csv-core` is generous: a quote that is never closed is
//! an error, ragged rows and text that is no text are faults of their row, each with its place.
//!
//! bytes → `input` (pieces; `text` decodes, `detect` tells the encoding, `escapes` hides what is escaped) → `parser` (records; `line` cuts those without quotes, `quotes` and `suspect` watch over the others) → `rows` (faults, batches)
//!
//! `again`: result files that come back

mod again;
mod charset;
mod contradiction;
mod detect;
mod escapes;
mod footer;
mod input;
mod line;
mod options;
mod parser;
mod quotes;
mod record;
mod rows;
mod sniff;
mod suspect;
mod tail;
mod text;
mod utf32;

use api::import_run::Warning;
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

pub(super) use self::again::is_result_file;
use self::escapes::Escapes;
use self::input::{Head, Input};
pub use self::options::CsvOptions;
use self::parser::Parser;
use self::record::RawRecord;
use self::rows::Records;
use self::text::Text;
use crate::row::{Batch, Header};
use crate::source::peek::ENOUGH;
use crate::source::{FileError, ReadError, Rows, kind};
use crate::taken::{Choice, Taken, TakenCsv};

/// A CSV file being read.
pub struct CsvSource<S> {
    input: Input<S>,
    /// The last record was looked at.
    finished: bool,
    escapes: Option<Escapes>,
    parser: Parser,
    rows: Records,
    header: Header,
}

impl<S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin> CsvSource<S> {
    /// Reads up to the header.
    pub async fn open(stream: S, options: CsvOptions) -> Result<Self, ReadError> {
        Self::open_with_sample(stream, options, ENOUGH).await
    }

    async fn open_with_sample(stream: S, options: CsvOptions, sample: usize) -> Result<Self, ReadError> {
        let mut head = Head::new(stream);
        let first = head.look(sample).await?;
        if let Some(foreign) = kind::of_bytes(first) {
            return Err(foreign.instead_of("CSV").into());
        }
        let options = again::written_by_us(first, options);
        let (text, mark) = match Text::known(first, options.encoding) {
            Some(known) => known,
            None => (Text::detect(head.look(detect::JUDGED).await?), 0),
        };
        let (encoding, encoding_by) = (text.encoding(), text.by());
        let mut input = head.text(text, mark, sample);
        if let Some(foreign) = kind::of_text(input.pending()) {
            return Err(foreign.instead_of("CSV").into());
        }
        let (told, hint) = sniff::excel_hint(input.pending());
        let told = told.filter(|delimiter| options.may_delimit(*delimiter));
        input.hold_end_marks();
        let named = !options.rows.columns.is_empty();
        let hint = u64::from(hint > 0);
        let lines = if named { hint + options.rows.skipped } else { hint.max(options.rows.before_header) };
        let skipped = input.skip_lines(lines, false).await?;
        if lines > 0 {
            input.fill(sample).await?;
        }
        let (delimiter, delimiter_by) = match (options.delimiter, told) {
            (Some(delimiter), _) => (delimiter, Choice::Told),
            (None, Some(delimiter)) => (delimiter, Choice::Marked),
            (None, None) => (sniff::delimiter(input.pending(), input.has_ended(), &options), Choice::Detected),
        };
        let quote = options.quote();
        let dialect = options.dialect(delimiter);
        let escapes = Escapes::of(dialect);
        if let Some(escapes) = escapes {
            input.mask(escapes);
        }
        let mut source = Self {
            input,
            escapes,
            parser: Parser::new(dialect, mark as u64 + skipped, lines),
            rows: Records::new(encoding, encoding_by, dialect),
            finished: false,
            header: Header::new([] as [&str; 0]),
        };
        let (names, quoted) = if named {
            (options.rows.columns.clone(), false)
        } else {
            let header = source.read_header(quote, options.rows.before_header).await?;
            source.skip(options.rows.skipped).await?;
            header
        };
        source.header = Header::of_file(names, Taken::Csv(TakenCsv { delimiter, delimiter_by, encoding, encoding_by, quoted, named }));
        source.parser.expect(source.header.len(), options.quote.is_none());
        source.rows.leave_out(&options.rows);
        if !options.used.is_empty() {
            source.rows.used(options.used.iter().filter_map(|name| source.header.find(name).ok()).collect());
        }
        Ok(source)
    }

    /// Leaves out the next lines.
    async fn skip(&mut self, lines: u64) -> Result<(), ReadError> {
        if lines > 0 {
            let bytes = self.input.skip_lines(lines, self.parser.is_behind_cr()).await?;
            self.parser.skip(bytes, lines);
        }
        Ok(())
    }

    /// The names, and whether the line begins with a quote. `behind`: how many lines were left out before it.
    async fn read_header(&mut self, quote: Option<u8>, behind: u64) -> Result<(Vec<String>, bool), ReadError> {
        loop {
            let mut header = None;
            let (rows, escapes) = (&mut self.rows, self.escapes);
            let mut take = |record: &RawRecord<'_>| {
                header = escapes::restore(escapes, record, |record| rows.header(record))?.map(|names| (names, record.begins_with(quote)));
                Ok(false)
            };
            let more = if !self.input.pending().is_empty() {
                let used = self.parser.feed(self.input.pending(), &mut take)?;
                self.input.advance(used);
                true
            } else if !self.input.has_ended() {
                self.input.refill().await?;
                true
            } else {
                let more = !std::mem::replace(&mut self.finished, true);
                self.parser.finish(&mut take)?;
                more
            };
            match header {
                Some(header) => return Ok(header),
                None if more => continue,
                None if behind > 0 => return Err(FileError::NoHeader { line: behind + 1 }.into()),
                None => return Err(FileError::Empty.into()),
            }
        }
    }

    /// Says in which row parsing ended.
    fn in_row(&self, error: FileError) -> FileError {
        error.in_row(self.rows.next(), &self.header)
    }

    /// What the parser wants to see again comes first.
    fn used(&mut self, bytes: usize) {
        self.input.advance(bytes);
        if let Some(again) = self.parser.take_again() {
            self.input.push_front(again);
        }
    }
}

#[async_trait]
impl<S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin> Rows for CsvSource<S> {
    fn header(&self) -> &Header {
        &self.header
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        loop {
            let (rows, header, escapes) = (&mut self.rows, &self.header, self.escapes);
            let mut take = |record: &RawRecord<'_>| {
                escapes::restore(escapes, record, |record| rows.data(header, record, batch))?;
                Ok(!batch.is_full())
            };
            if !self.input.pending().is_empty() {
                let used = self.parser.feed(self.input.pending(), &mut take).map_err(|error| self.in_row(error))?;
                self.used(used);
            } else if !self.input.has_ended() {
                self.input.refill().await?;
            } else if !self.finished {
                let alone = self.input.has_end_marks() && !self.parser.in_line();
                self.parser.finish(&mut take).map_err(|error| self.in_row(error))?;
                self.used(0);
                self.finished = self.input.pending().is_empty();
                if self.finished {
                    self.rows.finish(&self.header, batch)?;
                    if alone {
                        self.rows.end_mark(&self.header, batch);
                    }
                }
            } else {
                return Ok(!batch.is_empty());
            }
            if batch.is_full() {
                return Ok(true);
            }
        }
    }

    fn blank_lines(&self) -> u64 {
        self.parser.blank_lines() + self.rows.blank_lines()
    }

    fn warnings(&self) -> Vec<Warning> {
        self.rows.warnings()
    }
}

#[cfg(test)]
mod tests;
