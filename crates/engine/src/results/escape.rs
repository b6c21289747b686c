//! Cells that a spreadsheet would take for a formula.

use crate::load::encode;

/// What happens to a cell of a result file that a spreadsheet would run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Escape {
    /// It gets an apostrophe in front: the file is safe to open.
    #[default]
    Formulas,
    /// It stays as it is: the file can be imported again.
    Nothing,
}

impl Escape {
    pub(crate) fn cell(self, out: &mut Vec<u8>, cell: &[u8]) {
        match (self, cell.first()) {
            (Self::Formulas, Some(b'=' | b'+' | b'-' | b'@' | b'\t' | b'\0')) => encode::quoted(out, b"'", cell),
            _ => encode::cell(out, cell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(escape: Escape, cell: &str) -> String {
        let mut out = Vec::new();
        escape.cell(&mut out, cell.as_bytes());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_character_that_starts_a_formula_is_disarmed() {
        for start in ["=", "+", "-", "@", "\t", "\0"] {
            assert_eq!(written(Escape::Formulas, &format!("{start}1\"x")), format!("\"'{start}1\"\"x\""));
        }
        assert_eq!(written(Escape::Formulas, "1=1"), "1=1");
    }

    #[test]
    fn a_file_for_a_new_import_keeps_its_cells() {
        assert_eq!(written(Escape::Nothing, "=1"), "=1");
    }
}
