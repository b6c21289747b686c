//! The values of one column in one row group, decoded a few at a time.

use parquet::basic::Type;
use parquet::column::page::PageReader;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError as Undecoded;
use parquet::schema::types::ColumnDescPtr;

use super::decoder::safely;
use super::error::{ParquetError, Part};
use super::pages::Pages;
use super::shape::Shape;
use super::texts::Texts;
use super::value::{Stored, Wrong};

/// The cells of a column.
pub(super) trait Cells {
    /// Appends the next cell, if it is not absent; one that is text is not judged yet. The outer error ends the file.
    fn next(&mut self, text: &mut Vec<u8>) -> Result<Result<(), Wrong>, ParquetError>;
}

/// `ahead`: how many values are decoded at a time.
pub(super) fn cells(column: &ColumnDescPtr, pages: Pages, part: Part, shape: Shape, ahead: usize) -> Box<dyn Cells> {
    match column.physical_type() {
        Type::BYTE_ARRAY => Box::new(Texts::new(column.clone(), pages, part, shape, ahead)),
        _ => decoded(column, Box::new(pages), part, shape, ahead),
    }
}

/// By the crate that decodes.
pub(super) fn decoded(column: &ColumnDescPtr, pages: Box<dyn PageReader>, part: Part, shape: Shape, ahead: usize) -> Box<dyn Cells> {
    let present = column.max_def_level();
    macro_rules! typed {
        ($reader:expr) => {
            Box::new(Typed {
                reader: $reader,
                levels: Vec::new(),
                values: Vec::new(),
                rows: 0,
                row: 0,
                value: 0,
                told: String::new(),
                present,
                part,
                shape,
                ahead,
            })
        };
    }
    match get_column_reader(column.clone(), pages) {
        ColumnReader::BoolColumnReader(reader) => typed!(reader),
        ColumnReader::Int32ColumnReader(reader) => typed!(reader),
        ColumnReader::Int64ColumnReader(reader) => typed!(reader),
        ColumnReader::Int96ColumnReader(reader) => typed!(reader),
        ColumnReader::FloatColumnReader(reader) => typed!(reader),
        ColumnReader::DoubleColumnReader(reader) => typed!(reader),
        ColumnReader::ByteArrayColumnReader(reader) => typed!(reader),
        ColumnReader::FixedLenByteArrayColumnReader(reader) => typed!(reader),
    }
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    /// Of the rows that were decoded; none if every row has a value.
    levels: Vec<i16>,
    /// Of the rows that have one.
    values: Vec<T::T>,
    /// How many rows were decoded, and which of them and of their values comes next.
    rows: usize,
    row: usize,
    value: usize,
    /// A value that is no text, as it is told.
    told: String,
    present: i16,
    part: Part,
    shape: Shape,
    ahead: usize,
}

impl<T: DataType<T: Stored>> Typed<T> {
    fn fill(&mut self) -> Result<(), ParquetError> {
        let damaged = || self.part.clone().damaged();
        self.levels.clear();
        self.values.clear();
        let levels = (self.present > 0).then_some(&mut self.levels);
        let read = safely(|| self.reader.read_records(self.ahead, levels, None, &mut self.values));
        let (rows, values, _) = read.ok_or_else(damaged)?.map_err(|error| refused(error).unwrap_or_else(damaged))?;
        if self.values.len() != values || rows == 0 {
            return Err(damaged());
        }
        (self.rows, self.row, self.value) = (if self.present > 0 { self.levels.len() } else { values }, 0, 0);
        Ok(())
    }
}

/// What the pages said, in whose words the decoder does not speak.
fn refused(error: Undecoded) -> Option<ParquetError> {
    match error {
        Undecoded::External(error) => error.downcast().ok().map(|error| *error),
        _ => None,
    }
}

impl<T: DataType<T: Stored>> Cells for Typed<T> {
    fn next(&mut self, text: &mut Vec<u8>) -> Result<Result<(), Wrong>, ParquetError> {
        if self.row == self.rows {
            self.fill()?;
        }
        let is_absent = self.levels.get(self.row).is_some_and(|level| *level != self.present);
        self.row += 1;
        if is_absent {
            return Ok(Ok(()));
        }
        let value = self.values.get(self.value).ok_or_else(|| self.part.clone().damaged())?;
        self.value += 1;
        if let Some(found) = value.text(self.shape) {
            text.extend_from_slice(found);
            return Ok(Ok(()));
        }
        self.told.clear();
        let told = value.tell(self.shape, &mut self.told);
        text.extend_from_slice(self.told.as_bytes());
        Ok(told)
    }
}
