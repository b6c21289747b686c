//! Rows of a CSV file, from bytes as they arrive. Strict where `csv-core` is generous: a quote that is never closed is
//! an error, ragged rows and text that is no text are faults of their row, each with its place.
//!
//! bytes → `text` (encoding) → `parser` (records; `quotes` watches over it) → `rows` (faults, batches)
//!
//! `again`: result files that come back

mod again;
mod parser;
mod quotes;
mod rows;
mod sniff;
mod text;

use api::import_job::CsvFormat;
use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use encoding_rs::Encoding;
use futures::{Stream, StreamExt};

use self::parser::Parser;
use self::rows::Rows;
use self::text::Text;
use crate::read::{ReadError, Source};
use crate::row::{Batch, Header};

/// How a file is read; what is absent is detected.
#[derive(Clone, Copy, Debug, Default)]
pub struct CsvOptions {
    delimiter: Option<u8>,
    encoding: Option<&'static Encoding>,
}

impl CsvOptions {
    pub fn compile(format: &CsvFormat) -> Result<Self, ReadError> {
        let delimiter = format.delimiter.as_deref().map(|text| match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\r' | b'\n' | 0) => Ok(*byte),
            _ => Err(ReadError::Delimiter),
        });
        let encoding = format.encoding.as_deref().map(|label| {
            let known = Encoding::for_label(label.as_bytes());
            known.ok_or_else(|| ReadError::UnknownEncoding { label: label.to_owned() })
        });
        Ok(Self { delimiter: delimiter.transpose()?, encoding: encoding.transpose()? })
    }
}

/// A CSV file being read.
pub struct CsvSource<S> {
    stream: S,
    text: Text,
    /// Text that is not parsed yet.
    pending: Bytes,
    /// The stream has ended.
    ended: bool,
    /// The last record was looked at.
    finished: bool,
    parser: Parser,
    rows: Rows,
    header: Header,
}

impl<S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin> CsvSource<S> {
    /// Enough to see the byte order mark and to tell the delimiter.
    const SAMPLE: usize = 64 << 10;

    /// Reads up to the header.
    pub async fn open(stream: S, options: CsvOptions) -> Result<Self, ReadError> {
        Self::open_with_sample(stream, options, Self::SAMPLE).await
    }

    async fn open_with_sample(mut stream: S, options: CsvOptions, sample: usize) -> Result<Self, ReadError> {
        let mut head = BytesMut::new();
        let mut ended = false;
        while head.len() < sample && !ended {
            match stream.next().await {
                Some(bytes) => head.extend_from_slice(&bytes?),
                None => ended = true,
            }
        }
        let mut head = head.freeze();
        let options = again::written_by_us(&head, options);
        let (mut text, mark) = Text::detect(&head, options.encoding)?;
        head.advance(mark);
        let mut pending = text.decode(head);
        if ended {
            pending = join(pending, text.finish());
        }
        let (told, line) = sniff::excel_hint(&pending);
        let delimiter = options.delimiter.or(told).unwrap_or_else(|| sniff::delimiter(&pending[line..], ended));
        pending.advance(line);

        let mut source = Self {
            stream,
            parser: Parser::new(delimiter, (mark + line) as u64, u64::from(line > 0)),
            rows: Rows::new(text.encoding()),
            text,
            pending,
            ended,
            finished: false,
            header: Header::new([] as [&str; 0]),
        };
        source.header = source.read_header().await?;
        Ok(source)
    }

    async fn read_header(&mut self) -> Result<Header, ReadError> {
        loop {
            let mut header = None;
            let more = self.step(|rows, record| rows.header(record).map(|found| header = found)).await?;
            match header {
                Some(header) => return Ok(header),
                None if more => continue,
                None => return Err(ReadError::Empty),
            }
        }
    }

    /// Parses at most one record out of the pending text, or gets more text. False when there is nothing more.
    async fn step(&mut self, mut take: impl FnMut(&mut Rows, parser::Record<'_>) -> Result<(), ReadError>) -> Result<bool, ReadError> {
        if !self.pending.is_empty() {
            let used = self.parser.feed(&self.pending, &mut |record| take(&mut self.rows, record).map(|()| false))?;
            self.pending.advance(used);
        } else if !self.ended {
            self.refill().await?;
        } else if !self.finished {
            self.finished = true;
            self.parser.finish(&mut |record| take(&mut self.rows, record).map(|()| false))?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// Says in which row parsing ended.
    fn in_row(&self, error: ReadError) -> ReadError {
        error.in_row(self.rows.read() + 1, &self.header)
    }

    async fn refill(&mut self) -> Result<(), ReadError> {
        match self.stream.next().await {
            Some(bytes) => self.pending = self.text.decode(bytes?),
            None => {
                self.ended = true;
                self.pending = self.text.finish();
            }
        }
        Ok(())
    }
}

#[async_trait]
impl<S: Stream<Item = std::io::Result<Bytes>> + Send + Unpin> Source for CsvSource<S> {
    fn header(&self) -> &Header {
        &self.header
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        loop {
            let (rows, header) = (&mut self.rows, &self.header);
            let mut take = |record: parser::Record<'_>| {
                rows.data(header, record, batch);
                Ok(!batch.is_full())
            };
            if !self.pending.is_empty() {
                let used = self.parser.feed(&self.pending, &mut take).map_err(|error| self.in_row(error))?;
                self.pending.advance(used);
            } else if !self.ended {
                self.refill().await?;
            } else if !self.finished {
                self.finished = true;
                self.parser.finish(&mut take).map_err(|error| self.in_row(error))?;
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
}

fn join(first: Bytes, second: Bytes) -> Bytes {
    if second.is_empty() { first } else { [first, second].concat().into() }
}

#[cfg(test)]
mod tests;
