//! Cells that a spreadsheet would take for a formula.

use crate::row::Record;

use crate::load::encode;
use crate::own;

/// What happens to a cell of a result file that a spreadsheet would run.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Escape {
    /// It gets an apostrophe in front: the file is safe to open. An import takes it away again.
    #[default]
    Formulas,
    /// It stays as it is, for programs that read the file.
    Nothing,
}

impl Escape {
    pub(crate) fn cell(self, out: &mut Vec<u8>, cell: &[u8]) {
        if self.disarms(cell) {
            encode::quoted(out, b"'", cell);
        } else {
            encode::cell(out, cell);
        }
    }

    /// All cells, with commas between them and no line end.
    pub(crate) fn cells(self, out: &mut Vec<u8>, row: &Record) {
        if row.is_plain() {
            self.plain_cells(out, row);
            return;
        }
        for (place, cell) in row.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            self.cell(out, cell);
        }
    }

    /// Copied in one piece, but for the cells that get an apostrophe.
    fn plain_cells(self, out: &mut Vec<u8>, row: &Record) {
        let (text, mut copied, mut start) = (row.as_slice(), 0, 0);
        for &end in row.ends() {
            let end = end as usize;
            if self.disarms(&text[start..end]) {
                out.extend_from_slice(&text[copied..start]);
                encode::quoted(out, b"'", &text[start..end]);
                copied = end;
            }
            start = end + 1;
        }
        out.extend_from_slice(&text[copied..]);
    }

    #[inline]
    fn disarms(self, cell: &[u8]) -> bool {
        self == Self::Formulas && own::is_escaped(cell)
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
        for start in ["=", "+", "-", "@", "\t", "\r", "\n", "\0", "＝", "＋", "－", "＠"] {
            assert_eq!(written(Escape::Formulas, &format!("{start}1\"x")), format!("\"'{start}1\"\"x\""));
        }
        assert_eq!(written(Escape::Formulas, "1=1"), "1=1");
        // Else it would lose an apostrophe of its own on its way back.
        assert_eq!(written(Escape::Formulas, "'=1"), "\"''=1\"");
        assert_eq!(written(Escape::Formulas, "'t Hart"), "'t Hart");
    }

    #[test]
    fn a_row_is_its_cells_one_by_one() {
        for row in [["a", "=1"], ["", "b c"], ["a,b", "-1"], ["say \"hi\"", "x\ny"], ["a\rb", "@"]] {
            for escape in [Escape::Formulas, Escape::Nothing] {
                let mut out = Vec::new();
                escape.cells(&mut out, &Record::from(row.to_vec()));
                assert_eq!(String::from_utf8(out).unwrap(), row.map(|cell| written(escape, cell)).join(","));
            }
        }
    }

    #[test]
    fn a_file_for_programs_keeps_its_cells() {
        assert_eq!(written(Escape::Nothing, "=1"), "=1");
    }
}
