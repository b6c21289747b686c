//! Why a workbook cannot be read. Says sheets, places and limits, never what stands in a cell.

use std::io;

use formula::Shown;

use super::place::Place;
use super::problem::Problem;
use crate::source::Remedy;
use crate::taken;

/// What is wrong with a workbook as a whole, or with what the job says of it.
#[derive(Clone, Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is and shows its fields")]
pub enum WorkbookError {
    #[error("the file is {what}, not an Excel workbook: {remedy}")]
    NotAWorkbook { what: &'static str, remedy: &'static str },
    #[error(
        "the workbook is protected with a password: remove it in Excel (File, Info, Protect Workbook) or LibreOffice (File, Save As) and save \
         the workbook again"
    )]
    Protected,
    #[error("the workbook is damaged in {part}: open it in the program that it was made with, and save it again as .xlsx")]
    Damaged { part: Part },
    #[error(
        "the workbook has more than {} MiB and cannot be fetched in parts, so that it would have to be held in memory: unpack it if it is packed, upload \
         it as .xlsx or put it so into a bucket or onto an SFTP server, or save the sheet as CSV (UTF-8), which is read at any size",
        .limit >> 20
    )]
    TooLarge { limit: usize },
    #[error("the workbook has more than {limit} parts inside: copy the sheet into a workbook of its own")]
    TooManyParts { limit: usize },
    #[error("{part} inflates to more than {} MiB: save the sheet as CSV (UTF-8)", .limit >> 20)]
    PartTooLarge { part: Part, limit: u64 },
    #[error("{part} inflates to more than {limit} times its size: save the sheet as CSV (UTF-8)")]
    Inflates { part: Part, limit: u64 },
    #[error("{part} has a piece of text of more than {} MiB: no cell takes as much, look at what wrote the workbook", .limit >> 20)]
    PieceTooLong { part: Part, limit: usize },
    #[error("{part} has elements within elements, more than {limit} deep: look at what wrote the workbook")]
    TooDeep { part: Part, limit: usize },
    #[error("the texts of the workbook have more than {} MiB: save the sheet as CSV (UTF-8)", .limit >> 20)]
    TooMuchText { limit: usize },
    #[error("the workbook has more than {limit} different texts: save the sheet as CSV (UTF-8)")]
    TooManyTexts { limit: usize },
    #[error("the workbook has more than {limit} styles: copy the cells into a new workbook, without their styles")]
    TooManyStyles { limit: usize },
    #[error("the sheet has more than {limit} cells: save it as CSV (UTF-8), or divide it")]
    TooManyCells { limit: u64 },
    #[error("the sheet has text below row {limit}: save it as CSV (UTF-8), or divide it")]
    TooManyRows { limit: u32 },
    #[error("row {row} of the sheet has more than {} MiB: shorten its texts", .limit >> 20)]
    RowTooLong { row: u32, limit: usize },
    #[error("row {row} of the sheet has more than {limit} characters in the columns that the job uses; Salesforce takes no more")]
    TooMuchToSend { row: u32, limit: usize },
    #[error("there is no sheet {}; the workbook has {}", Shown(.name), taken::names(.sheets))]
    NoSuchSheet { name: String, sheets: Vec<String> },
    #[error("there is no sheet number {number}; the workbook has {}, in this order", taken::names(.sheets))]
    NoSuchNumber { number: u32, sheets: Vec<String> },
    #[error("the workbook has no visible sheet with cells: name the one that is meant in the format's `sheet`")]
    NoSheet,
    #[error("{} is no sheet with cells, but a chart, a dialog or a macro", Shown(.name))]
    NotCells { name: String },
    #[error("sheet {} has no text{}: its first row with text must name the columns", Shown(.sheet), .within)]
    Empty { sheet: String, within: &'static str },
    #[error("row {row} of sheet {}, which `headerRow` names, has no text", Shown(.sheet))]
    HeaderRowEmpty { sheet: String, row: u32 },
    #[error("`headerRow: {row}` is outside of the format's `range`")]
    HeaderRowOutside { row: u32 },
    #[error("`range: {}` is no range of cells: write the first and the last cell, as in B3:H200, B3:H or B3:", Shown(.range))]
    Range { range: String },
    #[error("the header cannot be read: cell {place} {problem}")]
    Header { place: Place, problem: Problem },
    #[error("the format names a sheet and a number of a sheet: leave out `sheet` or `sheetNumber`")]
    TwoSheets,
}

impl WorkbookError {
    /// The limit that was met while a part was read, or else that it is damaged.
    pub(super) fn of_reading(error: &io::Error, part: Part) -> Self {
        let met = error.get_ref().and_then(|error| error.downcast_ref::<Self>());
        met.cloned().unwrap_or(Self::Damaged { part })
    }

    pub(in crate::source) fn remedy(&self) -> Remedy {
        match self {
            Self::TooLarge { .. } => Remedy::Split,
            Self::TooManyParts { .. }
            | Self::PartTooLarge { .. }
            | Self::Inflates { .. }
            | Self::PieceTooLong { .. }
            | Self::TooDeep { .. }
            | Self::TooMuchText { .. }
            | Self::TooManyTexts { .. }
            | Self::TooManyStyles { .. }
            | Self::TooManyCells { .. }
            | Self::TooManyRows { .. }
            | Self::RowTooLong { .. }
            | Self::TooMuchToSend { .. } => Remedy::Shorten,
            Self::NotAWorkbook { .. }
            | Self::Protected
            | Self::Damaged { .. }
            | Self::NoSuchSheet { .. }
            | Self::NoSuchNumber { .. }
            | Self::NoSheet
            | Self::NotCells { .. }
            | Self::Empty { .. }
            | Self::HeaderRowEmpty { .. }
            | Self::HeaderRowOutside { .. }
            | Self::Range { .. }
            | Self::Header { .. }
            | Self::TwoSheets => Remedy::Correct,
        }
    }
}

/// A part of a workbook, as messages call it. Names of parts are the file's own and are not shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Part {
    #[error("its archive")]
    Archive,
    #[error("its list of sheets")]
    Workbook,
    #[error("its list of parts")]
    Relations,
    #[error("its styles")]
    Styles,
    #[error("its shared texts")]
    Strings,
    #[error("the sheet")]
    Sheet,
}
