//! Rows of a JSON file: one object is one row, whether they stand a line each (NDJSON), one after the other or in one array.
//!
//! bytes → `split` (values) → `record` (cells by their paths) → rows

mod record;
mod split;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use api::import_job::JsonFormat;
use api::import_run::Warning;
use api::text::cut;
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use self::record::{Columns, Fields, Wrong};
use self::split::{Found, Layout, Next, Splitter};
use super::blob::ByteStream;
use super::kind::{self, Foreign};
use super::limits::{MAX_CHARACTERS, MAX_COLUMNS, characters};
use super::peek::peek;
use super::{FileError, ReadError, Rows};
use crate::own;
use crate::row::{Batch, Header, Position, RowError};
use crate::taken::Taken;

/// The objects that begin in so much of the file tell which columns there are, in bytes.
const SAMPLE: u64 = 1 << 20;

/// How a JSON file is read.
#[derive(Clone, Debug, Default)]
pub struct JsonOptions {
    /// The columns; none: those of the first mebibyte.
    columns: Vec<String>,
}

impl JsonOptions {
    /// The options of a job's `format.json`.
    pub fn compile(format: &JsonFormat) -> Self {
        Self { columns: format.columns.clone() }
    }
}

/// A JSON file being read.
pub struct JsonSource {
    bytes: ByteStream,
    splitter: Splitter,
    header: Header,
    columns: Columns,
    /// The job uses the column.
    used: Vec<bool>,
    fields: Fields,
    read: u64,
    /// Fields that are no column, unless the job names the columns.
    others: Option<Others>,
}

impl JsonSource {
    /// Reads the first mebibyte, from which the columns are told.
    pub async fn open(bytes: ByteStream, options: JsonOptions, used: &BTreeSet<String>) -> Result<Self, ReadError> {
        let (head, bytes) = peek(bytes).await?;
        let text = kind::without_mark(&head);
        // An export without any object may be an empty file.
        if !kind::is_json(text) && !matches!(text.trim_ascii_start(), [] | [b'[', ..]) {
            return Err(foreign(&head).instead_of("JSON").into());
        }
        let layout = Layout::of(text);
        let mut bytes = behind(bytes, head.len() - text.len());
        let mut splitter = Splitter::new(layout);
        let told = !options.columns.is_empty();
        let names = if told { options.columns } else { sample(&mut bytes, &mut splitter).await? };
        let header = Header::of_file(names, Taken::Json { layout: layout.words(), told });
        let used: Vec<usize> = used.iter().filter_map(|name| header.find(name).ok()).collect();
        Ok(Self {
            bytes,
            splitter,
            columns: Columns::new(header.names()),
            used: (0..header.len()).map(|column| used.contains(&column)).collect(),
            header,
            fields: Fields::default(),
            read: 0,
            others: (!told).then(Others::default),
        })
    }

    fn row(&mut self, Found { at, text }: Found, batch: &mut Batch) -> Result<(), FileError> {
        self.read += 1;
        let at = Position { row: self.read, ..at };
        let Self { columns, fields, header, used, others, .. } = self;
        let record = std::str::from_utf8(&text).map_err(|error| Wrong::NotJson { from: error.valid_up_to() + 1 });
        let mut wrong = record.and_then(|record| {
            columns.read(record, fields, |path| {
                if let Some(others) = others {
                    others.note(path, at.row);
                }
            })
        });
        let readable = wrong.is_ok();
        let record = record.unwrap_or_default();
        let mut sent = 0;
        batch.push(at.row, |row| {
            for (column, used) in used.iter().enumerate() {
                let place = if readable { fields.get(column) } else { None };
                let value = place.map(|place| &record[place]);
                let cell = value.map_or(Ok("".into()), |value| record::cell(value, *used, column));
                match cell {
                    Ok(cell) => {
                        sent += if *used { cell.len() } else { 0 };
                        if cell.contains('\0') {
                            row.fault.get_or_insert(RowError::Nul { at, column: header.column(column) });
                            row.cells.push_field(cell.replace('\0', "\u{FFFD}").as_bytes());
                        } else {
                            row.cells.push_field(cell.as_bytes());
                        }
                    }
                    Err(error) => {
                        wrong = wrong.and(Err(error));
                        row.cells.push_field(b"");
                    }
                }
            }
            if let Err(wrong) = wrong {
                row.fault = Some(told(wrong, at, header));
            }
            if row.fault.is_some() {
                row.refused = own::refused(header.cells(), &row.cells, &text);
            }
        });
        if sent > MAX_CHARACTERS { self.check_length(at, batch) } else { Ok(()) }
    }

    /// Only what is sent has a limit of Salesforce's.
    fn check_length(&self, at: Position, batch: &Batch) -> Result<(), FileError> {
        let Some(row) = batch.rows().last() else { return Ok(()) };
        let sent: usize = row.cells.iter().zip(&self.used).filter(|(_, used)| **used).map(|(cell, _)| characters(cell)).sum();
        if sent > MAX_CHARACTERS { Err(FileError::TooMuchToSend { at, limit: MAX_CHARACTERS }) } else { Ok(()) }
    }
}

#[async_trait]
impl Rows for JsonSource {
    fn header(&self) -> &Header {
        &self.header
    }

    async fn next(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        batch.clear();
        while !batch.is_full() {
            match self.splitter.next().map_err(|error| error.in_row(self.read + 1, &self.header))? {
                Next::Value(found) => self.row(found, batch)?,
                Next::More => match self.bytes.next().await.transpose()? {
                    Some(piece) => self.splitter.feed(&piece),
                    None => self.splitter.end(),
                },
                Next::End => return Ok(!batch.is_empty()),
            }
        }
        Ok(true)
    }

    fn blank_lines(&self) -> u64 {
        self.splitter.blank_lines()
    }

    fn warnings(&self) -> Vec<Warning> {
        self.others.as_ref().map(Others::warnings).unwrap_or_default()
    }
}

impl Layout {
    fn words(self) -> &'static str {
        match self {
            Self::Lines => "JSON with an object on each line",
            Self::Values => "JSON with objects one after the other",
            Self::Array => "a JSON array",
        }
    }
}

/// What the file is that is no JSON.
fn foreign(head: &[u8]) -> Foreign {
    let text = Foreign { what: "text of another kind", remedy: "if it is CSV, leave `format` out or set it to {csv: {}}" };
    kind::of_bytes(head).or_else(|| kind::of_text(head)).unwrap_or(text)
}

/// The stream without its first bytes, which are in its first piece.
fn behind(bytes: ByteStream, mark: usize) -> ByteStream {
    let mut left = mark;
    let cut = move |piece: Bytes| piece.slice(std::mem::take(&mut left).min(piece.len())..);
    bytes.map_ok(cut).boxed()
}

/// The paths of the objects that begin in the sample, in the order in which they come. What is read meanwhile is fed to `reader`. What is
/// wrong in it is told when its row is read, unless there is nothing else.
async fn sample(bytes: &mut ByteStream, reader: &mut Splitter) -> Result<Vec<String>, ReadError> {
    let mut splitter = Splitter::new(reader.layout());
    let (mut names, mut known, mut rows) = (Vec::new(), HashSet::new(), 0);
    let broken = loop {
        match splitter.next() {
            Ok(Next::Value(Found { at, .. })) if at.byte >= SAMPLE => break None,
            Ok(Next::Value(Found { text, .. })) => {
                rows += 1;
                add_names(&text, &mut names, &mut known);
            }
            Ok(Next::More) => match bytes.next().await.transpose()? {
                Some(piece) => {
                    splitter.feed(&piece);
                    reader.feed(&piece);
                }
                None => {
                    splitter.end();
                    reader.end();
                }
            },
            Ok(Next::End) => break None,
            Err(error) => break Some(error),
        }
    };
    match broken {
        _ if names.len() > MAX_COLUMNS => Err(FileError::TooManyFields { limit: MAX_COLUMNS }.into()),
        Some(error) if names.is_empty() => Err(error.in_row(rows + 1, &Header::new([] as [&str; 0])).into()),
        None if names.is_empty() => Err(FileError::NoObject.into()),
        _ => Ok(names),
    }
}

fn add_names(record: &Bytes, names: &mut Vec<String>, known: &mut HashSet<String>) {
    let Ok(record) = std::str::from_utf8(record) else { return };
    // A record that is wrong somewhere has named its fields up to there.
    let _ = record::walk(record, &mut |path, _| {
        if names.len() <= MAX_COLUMNS && !known.contains(path) {
            known.insert(path.to_owned());
            names.push(path.to_owned());
        }
        Ok(())
    });
}

fn told(wrong: Wrong, at: Position, header: &Header) -> RowError {
    match wrong {
        Wrong::NotJson { from } => RowError::NotJson { at, from },
        Wrong::NotAnObject { class } => RowError::NotAnObject { at, class },
        Wrong::TooDeep => RowError::TooDeep { at },
        Wrong::Twice { column } => RowError::FieldTwice { at, column: header.column(column) },
        Wrong::List { column } => RowError::List { at, column: header.column(column) },
        Wrong::NumberTooLong { column } => RowError::NumberTooLong { at, column: header.column(column) },
        Wrong::NoCharacter { column } => RowError::NoCharacter { at, column: header.column(column) },
    }
}

/// Fields that first come behind the sample.
#[derive(Default)]
struct Others {
    found: BTreeMap<String, (i64, i64)>,
}

impl Others {
    fn note(&mut self, path: &str, row: u64) {
        let row = row.cast_signed();
        // A name may be as long as a record.
        let short = (path.len() > Warning::TEXT_LIMIT).then(|| cut(path, Warning::TEXT_LIMIT));
        let path = short.as_deref().unwrap_or(path);
        if let Some((rows, _)) = self.found.get_mut(path) {
            *rows += 1;
        } else if self.found.len() < Warning::MOST {
            self.found.insert(path.to_owned(), (1, row));
        }
    }

    fn warnings(&self) -> Vec<Warning> {
        let warning = |(path, (rows, first_row)): (&String, &(i64, i64))| Warning {
            field: path.clone(),
            what:
                "is not in the first mebibyte of the file, so it is no column: nothing reads it and result files do not have it; name the \
                   columns in the format's `columns` if it is to be one"
                    .to_owned(),
            rows: *rows,
            first_row: *first_row,
        };
        self.found.iter().map(warning).collect()
    }
}

#[cfg(test)]
mod tests;
