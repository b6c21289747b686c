//! Leaves out rows for which a formula is false.

use formula::{Condition, EvalError, FormulaError};

use crate::cells::{Cells, Columns};
use crate::row::Header;

pub(crate) struct Filter {
    condition: Condition,
}

impl Filter {
    pub(crate) fn compile(source: &str, header: &Header) -> Result<Self, FormulaError> {
        Ok(Self { condition: Condition::compile(source, &Columns(header))? })
    }

    pub(crate) fn keeps(&self, cells: &Cells<'_>, scratch: &mut String) -> Result<bool, EvalError> {
        self.condition.holds(cells, scratch)
    }
}
