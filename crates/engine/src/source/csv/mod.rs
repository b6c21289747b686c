//! Rows of a CSV file, from bytes as they arrive. Strict where `csv-core` is generous: a quote that is never closed is
//! an error, ragged rows and text that is no text are faults of their row, each with its place.
//!
//! bytes → `input` (pieces; `text` decodes, `detect` tells the encoding) → `parser` (records; `quotes` and `suspect` watch over it) → `rows` (faults, batches)
//!
//! `again`: result files that come back

mod again;
mod charset;
mod contradiction;
mod detect;
mod footer;
mod input;
mod parser;
mod quotes;
mod rows;
mod sniff;
mod suspect;
mod text;
mod utf32;

use std::collections::BTreeSet;

use api::import_job::{CsvFormat, Quote};
use api::import_run::Warning;
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;

pub(super) use self::again::is_result_file;
use self::charset::Charset;
use self::input::{Head, Input};
use self::parser::{Dialect, Parser};
use self::rows::Records;
use self::text::Text;
use crate::row::{Batch, Header};
use crate::source::peek::ENOUGH;
use crate::source::{FileError, ReadError, Rows, kind};
use crate::taken::{Choice, Taken, TakenCsv};

/// How a file is read; what is absent is detected.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    delimiter: Option<u8>,
    encoding: Option<Charset>,
    quote: Option<Quote>,
    /// Columns that the job uses, by their names; none when nobody said.
    columns: BTreeSet<String>,
}

impl CsvOptions {
    /// The options of a job's `format.csv`.
    ///
    /// # Errors
    ///
    /// [`FileError::Delimiter`] unless the delimiter is one ASCII character and neither the quote nor a line end, and [`FileError::UnknownEncoding`]
    /// if the encoding is neither a label of the WHATWG nor UTF-32.
    pub fn compile(format: &CsvFormat) -> Result<Self, FileError> {
        let quote = quote(format.quote);
        let delimiter = format.delimiter.as_deref().map(|text| match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) && Some(*byte) != quote => Ok(*byte),
            _ => Err(FileError::Delimiter),
        });
        let encoding = format.encoding.as_deref().map(|label| {
            let known = Charset::of_label(label);
            known.ok_or_else(|| FileError::UnknownEncoding { label: label.to_owned() })
        });
        Ok(Self { delimiter: delimiter.transpose()?, encoding: encoding.transpose()?, quote: format.quote, columns: BTreeSet::new() })
    }

    /// Columns that the job uses: they tell which reading of the header is meant, and what has to fit into Salesforce.
    pub fn for_columns(self, columns: BTreeSet<String>) -> Self {
        Self { columns, ..self }
    }
}

fn quote(format: Option<Quote>) -> Option<u8> {
    match format {
        Some(Quote::None) => None,
        None | Some(Quote::Double) => Some(b'"'),
        Some(Quote::Single) => Some(b'\''),
    }
}

/// A CSV file being read.
pub struct CsvSource<S> {
    input: Input<S>,
    /// The last record was looked at.
    finished: bool,
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
        let (told, line) = sniff::excel_hint(input.pending());
        let quote = quote(options.quote);
        let (delimiter, delimiter_by) = match (options.delimiter, told) {
            (Some(delimiter), _) => (delimiter, Choice::Told),
            (None, Some(delimiter)) => (delimiter, Choice::Marked),
            (None, None) => (sniff::delimiter(&input.pending()[line..], input.has_ended(), quote, &options.columns), Choice::Detected),
        };
        input.advance(line);
        input.hold_end_marks();

        let dialect = Dialect { delimiter, quote };
        let mut source = Self {
            input,
            parser: Parser::new(dialect, (mark + line) as u64, u64::from(line > 0)),
            rows: Records::new(encoding, encoding_by, dialect),
            finished: false,
            header: Header::new([] as [&str; 0]),
        };
        let (names, quoted) = source.read_header(quote).await?;
        source.header = Header::of_file(names, Taken::Csv(TakenCsv { delimiter, delimiter_by, encoding, encoding_by, quoted }));
        source.parser.expect(source.header.len(), options.quote.is_none());
        if !options.columns.is_empty() {
            source.rows.used(options.columns.iter().filter_map(|name| source.header.find(name).ok()).collect());
        }
        Ok(source)
    }

    /// The names, and whether the line begins with a quote.
    async fn read_header(&mut self, quote: Option<u8>) -> Result<(Vec<String>, bool), ReadError> {
        loop {
            let mut header = None;
            let rows = &mut self.rows;
            let mut take = |record: parser::RawRecord<'_>| {
                header = rows.header(record)?.map(|names| (names, record.begins_with(quote)));
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
            let (rows, header) = (&mut self.rows, &self.header);
            let mut take = |record: parser::RawRecord<'_>| {
                rows.data(header, record, batch)?;
                Ok(!batch.is_full())
            };
            if !self.input.pending().is_empty() {
                let used = self.parser.feed(self.input.pending(), &mut take).map_err(|error| self.in_row(error))?;
                self.used(used);
            } else if !self.input.has_ended() {
                self.input.refill().await?;
            } else if !self.finished {
                let alone = self.input.has_end_marks() && !self.parser.in_record();
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
