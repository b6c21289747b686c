//! The values of one column in one row group, decoded a few at a time.

use std::collections::VecDeque;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::errors::ParquetError as Undecoded;
use parquet::schema::types::ColumnDescPtr;

use super::decoder::safely;
use super::error::{ParquetError, Part};
use super::pages::Pages;
use super::shape::Shape;
use super::value::{Stored, Wrong};

/// The cells of a column.
pub(super) trait Cells {
    /// Appends the next cell, if it is not absent. The outer error ends the file.
    fn next(&mut self, text: &mut String) -> Result<Result<(), Wrong>, ParquetError>;
}

/// `ahead`: how many values are decoded at a time.
pub(super) fn cells(column: &ColumnDescPtr, pages: Pages, part: Part, shape: Shape, ahead: usize) -> Box<dyn Cells> {
    let present = column.max_def_level();
    macro_rules! typed {
        ($reader:expr) => {
            Box::new(Typed { reader: $reader, levels: Vec::new(), values: Vec::new(), ready: VecDeque::new(), present, part, shape, ahead })
        };
    }
    match get_column_reader(column.clone(), Box::new(pages)) {
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
    levels: Vec<i16>,
    values: Vec<T::T>,
    /// Values that were decoded; an absent one is none.
    ready: VecDeque<Option<T::T>>,
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
        let mut values = self.values.drain(..);
        if self.present == 0 {
            self.ready.extend(values.map(Some));
            return Ok(());
        }
        for level in &self.levels {
            self.ready.push_back(if *level == self.present { Some(values.next().ok_or_else(damaged)?) } else { None });
        }
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
    fn next(&mut self, text: &mut String) -> Result<Result<(), Wrong>, ParquetError> {
        if self.ready.is_empty() {
            self.fill()?;
        }
        match self.ready.pop_front() {
            Some(Some(value)) => Ok(value.tell(self.shape, text)),
            Some(None) => Ok(Ok(())),
            None => Err(self.part.clone().damaged()),
        }
    }
}
