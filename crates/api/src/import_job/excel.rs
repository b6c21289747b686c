//! How a workbook is read.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{self, TEXT, rule};

/// Which part of a workbook is read. Everything may be left out: then it is the first visible sheet, and its first row with text names the
/// columns.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.sheet) || !has(self.sheetNumber)", "a sheet has a name or a number: leave out sheet or sheetNumber"),
]))]
pub struct ExcelFormat {
    /// Name of the sheet, as its tab shows it. Absent: the first visible sheet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = TEXT))]
    pub sheet: Option<String>,
    /// Which sheet, counted from 1 from the left, hidden ones included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10000))]
    pub sheet_number: Option<u32>,
    /// Number of the row with the names of the columns, as the sheet shows it. Absent: the first row with text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_048_576))]
    pub header_row: Option<u32>,
    /// Cells that are read, header included, such as `B3:H200`; the end may leave out its row (`B3:H`) or be empty (`B3:`). Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = RANGE))]
    pub range: Option<String>,
    /// How many of the last rows are none, such as totals and notes. They are counted as `skipped`. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 16))]
    pub skip_footer_rows: Option<u32>,
    /// What becomes of hidden rows and columns. Absent: `Read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hidden: Option<Hidden>,
}

/// What becomes of hidden rows and columns of a sheet.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Hidden {
    /// They are read like all others: what a filter hides is still there.
    #[default]
    Read,
    /// They are left out.
    Skip,
}

/// The first cell, a colon, and at most the last cell.
const RANGE: &str = r"^[A-Z]{1,3}[1-9][0-9]{0,6}:([A-Z]{1,3}([1-9][0-9]{0,6})?)?$";
