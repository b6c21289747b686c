//! What a job says of a workbook, compiled.

use api::import_job::{ExcelFormat, Hidden};

use super::error::WorkbookError;
use super::limits::{MAX_COLUMN, MAX_ROW};
use super::place;
use crate::source::Zoneless;

/// How a workbook is read; what is absent is found.
#[derive(Clone, Debug, Default)]
pub struct ExcelOptions {
    pub(super) sheet: Wanted,
    pub(super) header_row: Option<u32>,
    pub(super) range: Range,
    pub(super) footer: usize,
    pub(super) skips_hidden: bool,
    pub(super) zoneless: Zoneless,
}

/// Which sheet.
#[derive(Clone, Debug, Default)]
pub(super) enum Wanted {
    #[default]
    FirstVisible,
    Named(String),
    Number(u32),
}

impl Wanted {
    /// Whether it is this sheet of the workbook, counted from 0. `visible`: and has cells.
    pub(super) fn is(&self, at: usize, name: &str, visible: bool) -> bool {
        match self {
            Self::FirstVisible => visible,
            // Excel keeps no two sheets whose names differ in case only.
            Self::Named(wanted) => name == wanted || name.to_lowercase() == wanted.to_lowercase(),
            Self::Number(number) => at + 1 == *number as usize,
        }
    }

    /// None of these sheets is it.
    pub(super) fn missing(&self, sheets: Vec<String>) -> WorkbookError {
        match self {
            Self::FirstVisible => WorkbookError::NoSheet,
            Self::Named(name) => WorkbookError::NoSuchSheet { name: name.clone(), sheets },
            Self::Number(number) => WorkbookError::NoSuchNumber { number: *number, sheets },
        }
    }
}

/// The cells that are read. Columns are counted from 0, rows from 1; both ends belong to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Range {
    pub(super) columns: (u32, u32),
    pub(super) rows: (u32, u32),
}

impl Default for Range {
    fn default() -> Self {
        Self { columns: (0, MAX_COLUMN - 1), rows: (1, MAX_ROW) }
    }
}

impl ExcelOptions {
    /// The options of a job's `format.excel`.
    ///
    /// # Errors
    ///
    /// If the range is none, or the header is not in it.
    pub fn compile(format: &ExcelFormat) -> Result<Self, WorkbookError> {
        let sheet = match (&format.sheet, format.sheet_number) {
            (Some(_), Some(_)) => return Err(WorkbookError::TwoSheets),
            (Some(name), None) => Wanted::Named(name.clone()),
            (None, Some(number)) => Wanted::Number(number),
            (None, None) => Wanted::FirstVisible,
        };
        let range = match &format.range {
            Some(range) => Range::parse(range).ok_or_else(|| WorkbookError::Range { range: range.clone() })?,
            None => Range::default(),
        };
        if let Some(row) = format.header_row.filter(|row| !(range.rows.0..=range.rows.1).contains(row)) {
            return Err(WorkbookError::HeaderRowOutside { row });
        }
        Ok(Self {
            sheet,
            header_row: format.header_row,
            range,
            footer: format.skip_footer_rows.unwrap_or(0) as usize,
            skips_hidden: format.hidden.unwrap_or_default() == Hidden::Skip,
            zoneless: Zoneless::default(),
        })
    }

    /// The same, where times are what the job says.
    #[must_use]
    pub fn with(self, zoneless: Zoneless) -> Self {
        Self { zoneless, ..self }
    }
}

impl Range {
    /// `B3:H200`, of which the end may lack its row or be absent.
    fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.split_once(':')?;
        let (Some(left), Some(top)) = place::parse(first.as_bytes())? else { return None };
        let (right, bottom) = place::parse(last.as_bytes())?;
        if right.is_none() && bottom.is_some() {
            return None;
        }
        let whole = Self::default();
        let range = Self { columns: (left, right.unwrap_or(whole.columns.1)), rows: (top, bottom.unwrap_or(whole.rows.1)) };
        (range.columns.0 <= range.columns.1 && range.rows.0 <= range.rows.1).then_some(range)
    }

    pub(super) fn is_whole(self) -> bool {
        self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compile(format: &str) -> Result<ExcelOptions, String> {
        ExcelOptions::compile(&serde_json::from_str(format).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_range_has_a_first_cell_and_may_have_a_last_one() {
        let range = |text: &str| Range::parse(text).map(|range| (range.columns, range.rows));
        assert_eq!(range("B3:H200"), Some(((1, 7), (3, 200))));
        assert_eq!(range("B3:H"), Some(((1, 7), (3, MAX_ROW))));
        assert_eq!(range("B3:"), Some(((1, MAX_COLUMN - 1), (3, MAX_ROW))));
        for none in ["B3", "B:H", "3:5", "B3:5", "H3:B5", "B5:H3", "XFE1:", ":", "b3:h5", "B3:H5:"] {
            assert_eq!(range(none), None, "{none}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        assert_eq!(compile(r#"{"range": "A5:C", "headerRow": 4}"#).unwrap_err(), "`headerRow: 4` is outside of the format's `range`");
        assert_eq!(
            compile(r#"{"range": "C5:A"}"#).unwrap_err(),
            "`range: \"C5:A\"` is no range of cells: write the first and the last cell, as in B3:H200, B3:H or B3:"
        );
        assert!(compile(r#"{"sheet": "A", "sheetNumber": 1}"#).is_err());
        assert!(compile(r#"{"range": "A5:C", "headerRow": 5, "sheet": "A"}"#).is_ok());
    }
}
