//! A header and a row as formulas see them.

use csv::ByteRecord;

use crate::row::Header;

pub(crate) struct Columns<'h>(pub(crate) &'h Header);

impl formula::Columns for Columns<'_> {
    fn find(&self, name: &str) -> Result<usize, String> {
        self.0.find(name).map_err(|error| error.to_string())
    }
}

pub(crate) struct Cells<'r>(pub(crate) &'r ByteRecord);

impl formula::Cells for Cells<'_> {
    fn cell(&self, column: usize) -> &str {
        // Sources hand on nothing but UTF-8; a row that is none carries a fault and never comes here.
        self.0.get(column).and_then(|cell| std::str::from_utf8(cell).ok()).unwrap_or_default()
    }
}
