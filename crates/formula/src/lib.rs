//! The formula language: text → tokens → tree → checked program, compiled once against the columns, then evaluated for
//! every row into a reused buffer. Knows no rows but through [`Cells`], no files and no clock.
//!
//! The rules in short: cells are text. A column is read as a number where a number stands beside it; what is no number
//! is then an error of that row, and a blank is a blank: it makes a calculation blank and a comparison false. `=`
//! compares texts exactly, case included. Where a column could be meant both ways the formula is refused and says how
//! to be clear; so is a number that is written like a code (`007`, or `1.50` as a key of MAP), because its zeros would
//! be lost. Lengths and places count UTF-16 units, as Salesforce does.

#![warn(missing_docs)]

mod blank;
mod check;
mod error;
mod eval;
mod function;
mod near;
mod number;
mod parse;
mod program;
mod token;
mod tree;

pub use blank::{Shown, is_blank, is_blank_char, shown, trim};
pub use error::{EvalError, FormulaError, Problem};
pub use function::{FUNCTIONS, Signature};
pub use near::{nearest, nearest_few};

use program::{BoolNode, TextNode};

/// Longest formula, in characters.
pub const MAX_LENGTH: usize = 4_096;
/// Deepest nesting.
pub const MAX_DEPTH: usize = 128;
/// Longest text that a formula may make, in bytes.
pub const MAX_TEXT: usize = 400_000;

/// Where a formula finds its columns.
pub trait Columns {
    /// Index of the column, or what is wrong with the name.
    ///
    /// # Errors
    /// A sentence for the author of the formula: there is no such column, or several.
    fn find(&self, name: &str) -> Result<usize, String>;
}

/// The cells of one row.
pub trait Cells {
    /// Text of the cell in the column of this index, as [`Columns::find`] gave it; empty where the row has none.
    fn cell(&self, column: usize) -> &str;
}

/// A formula whose value is text, as a cell holds it.
#[derive(Debug)]
pub struct Value(TextNode);

/// A formula that is true or false.
#[derive(Debug)]
pub struct Condition(BoolNode);

impl Value {
    /// Reads a formula whose value is a text, a number or a truth, and looks its columns up.
    ///
    /// # Errors
    /// Where the formula is wrong, and what would be right.
    pub fn compile(source: &str, columns: &dyn Columns) -> Result<Self, FormulaError> {
        check::value(&parse::parse(source)?, columns).map(Self)
    }

    /// Appends the value to `out`.
    ///
    /// # Errors
    /// Why this row has no value. `out` may hold a part of it then.
    pub fn write(&self, cells: &dyn Cells, out: &mut String) -> Result<(), EvalError> {
        self.0.write(cells, out)
    }
}

impl Condition {
    /// Reads a formula that is true or false, and looks its columns up.
    ///
    /// # Errors
    /// Where the formula is wrong, and what would be right.
    pub fn compile(source: &str, columns: &dyn Columns) -> Result<Self, FormulaError> {
        check::condition(&parse::parse(source)?, columns).map(Self)
    }

    /// Whether the row meets it. `scratch` keeps its capacity from row to row and nothing else.
    ///
    /// # Errors
    /// Why this row can be neither.
    pub fn holds(&self, cells: &dyn Cells, scratch: &mut String) -> Result<bool, EvalError> {
        scratch.clear();
        self.0.value(cells, scratch)
    }
}

#[cfg(test)]
mod tests;
