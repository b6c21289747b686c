//! What a Parquet file may take. A few bytes of it can stand for gigabytes, and what it says of its own sizes is checked before anything is
//! set aside for it.

use crate::source::limits::MAX_COLUMNS;

/// Bytes of the footer, which says where each column of each row group stands.
pub(super) const MAX_FOOTER: usize = 16 << 20;

/// Entries of all the lists in a footer.
pub(super) const MAX_ENTRIES: usize = 1 << 20;

/// Pieces of a file: its row groups, and the columns of each of them.
pub(super) const MAX_PIECES: usize = 100_000;

/// Columns and groups of columns.
pub(super) const MAX_FIELDS: usize = 4 * MAX_COLUMNS;

/// Fields within fields; a list is two of them.
pub(super) const MAX_DEPTH: usize = 64;

/// Bytes of the paths of all columns.
pub(super) const MAX_PATHS: usize = 16 << 20;

/// Values of the file: its rows times its columns.
pub(super) const MAX_VALUES: u64 = 4_000_000_000;

/// Values that are decoded ahead, of all columns.
pub(super) const MAX_AHEAD: usize = 1 << 16;

/// Values that are decoded ahead, of one column.
pub(super) const MAX_COLUMN_AHEAD: usize = 512;

/// Bytes of a number: 76 digits take 32.
pub(super) const MAX_NUMBER: usize = 32;

/// Digits behind the point.
pub(super) const MAX_SCALE: i32 = 76;
