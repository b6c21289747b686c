//! What a workbook may take. A few kilobytes of a compressed file can stand for gigabytes, and what a file says of its own sizes is not
//! believed: everything is counted as it is read.

use crate::source::limits::MAX_RECORD;

/// Parts of the file: sheets, drawings, pictures.
pub(super) const MAX_PARTS: usize = 10_000;

/// Bytes of a sheet once it is inflated. It is never held as a whole.
pub(super) const MAX_SHEET: u64 = 4 << 30;

/// Bytes of the texts that cells share once they are inflated, with their fonts.
pub(super) const MAX_TEXTS: u64 = 256 << 20;

/// Bytes of any other part once it is inflated: lists of sheets, parts and styles, of which much is held.
pub(super) const MAX_LIST: u64 = 32 << 20;

/// A part may grow so many times; sheets of people grow about ten times, sheets of equal rows a hundred times.
pub(super) const MAX_RATIO: u64 = 200;

/// A part that stays below this may grow as it likes.
pub(super) const FREE_OF_RATIO: u64 = 16 << 20;

/// Texts that cells share.
pub(super) const MAX_STRING_COUNT: usize = 4 << 20;

/// One piece of text or one element with its attributes, and one row.
pub(super) const MAX_PIECE: usize = MAX_RECORD;

/// Elements within elements.
pub(super) const MAX_DEPTH: usize = 64;

/// Columns of a sheet, as Excel has them: the last is `XFD`.
pub(super) const MAX_COLUMN: u32 = 16_384;

/// Rows of a sheet, as Excel has them.
pub(super) const MAX_ROW: u32 = 1_048_576;

/// Cells that are read in one sheet.
pub(super) const MAX_CELLS: u64 = 200_000_000;

/// Formats and styles of a workbook; Excel takes 65,490 of them.
pub(super) const MAX_STYLES: usize = 1 << 17;
