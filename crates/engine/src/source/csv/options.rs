//! What a job says of a CSV file, compiled.

use std::collections::BTreeSet;

use api::import_job::{BlanksAround, CsvFormat, Quote};

use super::charset::Charset;
use super::parser::Dialect;
use crate::source::FileError;

/// How a file is read; what is absent is detected.
#[derive(Clone, Debug, Default)]
pub struct CsvOptions {
    pub(super) delimiter: Option<u8>,
    pub(super) encoding: Option<Charset>,
    pub(super) quote: Option<Quote>,
    pub(super) comment: Option<u8>,
    pub(super) escape: Option<u8>,
    pub(super) rows: RowOptions,
    /// Columns that the job uses, by their names; none when nobody said.
    pub(super) used: BTreeSet<String>,
}

/// Which lines of a file are its header and its rows, and what of their cells is read.
#[derive(Clone, Debug, Default)]
pub(super) struct RowOptions {
    /// Names of the columns of a file without a header; none: it has one.
    pub(super) columns: Vec<String>,
    /// Lines before the header.
    pub(super) before_header: u64,
    /// Lines behind the header that are not read, or without a header at the start.
    pub(super) skipped: u64,
    /// How many of the last records are no rows.
    pub(super) footer: usize,
    /// Cells are read without the blanks around them.
    pub(super) trims: bool,
}

impl CsvOptions {
    /// The options of a job's `format.csv`.
    ///
    /// # Errors
    ///
    /// [`FileError::Delimiter`] unless the delimiter is one ASCII character and neither the quote nor a line end, [`FileError::UnknownEncoding`]
    /// if the encoding is neither a label of the WHATWG nor UTF-32, [`FileError::Mark`] if a character is not one or stands for two things, and
    /// [`FileError::ColumnsAndHeader`] if a file without a header is to have one.
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
        if !format.columns.is_empty() && format.header_row.is_some() {
            return Err(FileError::ColumnsAndHeader);
        }
        let rows = RowOptions {
            columns: format.columns.clone(),
            before_header: u64::from(format.header_row.unwrap_or(1).saturating_sub(1)),
            skipped: u64::from(format.skip_rows.unwrap_or(0)),
            footer: format.skip_footer_rows.unwrap_or(0) as usize,
            trims: format.blanks_around.unwrap_or_default() == BlanksAround::Remove,
        };
        let (delimiter, encoding) = (delimiter.transpose()?, encoding.transpose()?);
        let comment = mark("comment", format.comment.as_deref(), &[delimiter, quote])?;
        let escape = mark("escape", format.escape.as_deref(), &[delimiter, quote, comment])?;
        Ok(Self { delimiter, encoding, quote: format.quote, comment, escape, rows, used: BTreeSet::new() })
    }

    /// Columns that the job uses: they tell which reading of the header is meant, and what has to fit into Salesforce.
    pub fn for_columns(self, used: BTreeSet<String>) -> Self {
        Self { used, ..self }
    }

    /// The character that quotes, unless quotes are text.
    pub(super) fn quote(&self) -> Option<u8> {
        quote(self.quote)
    }

    /// How records are cut, once the delimiter is known.
    pub(super) fn dialect(&self, delimiter: u8) -> Dialect {
        Dialect { delimiter, quote: self.quote(), comment: self.comment, escape: self.escape }
    }

    /// Whether the character may be the delimiter that nobody named: it stands for nothing else.
    pub(super) fn may_delimit(&self, byte: u8) -> bool {
        ![self.comment, self.escape].contains(&Some(byte))
    }
}

/// A character of the option of this name; `others` stand for something else.
fn mark(option: &'static str, text: Option<&str>, others: &[Option<u8>]) -> Result<Option<u8>, FileError> {
    let Some(text) = text else { return Ok(None) };
    match text.as_bytes() {
        [byte] if byte.is_ascii_graphic() && !others.contains(&Some(*byte)) => Ok(Some(*byte)),
        _ => Err(FileError::Mark { option }),
    }
}

fn quote(format: Option<Quote>) -> Option<u8> {
    match format {
        Some(Quote::None) => None,
        None | Some(Quote::Double) => Some(b'"'),
        Some(Quote::Single) => Some(b'\''),
    }
}
