//! Which cells stand in a line of a result file, and in what order: those of the input, then our own.

use crate::row::Record;

use super::escape::Escape;
use super::files::FileKind;
use crate::own;

#[derive(Clone)]
pub(crate) struct Layout {
    escape: Escape,
    /// Of each input column, whether it is one of ours: of an earlier run, and not carried on. Empty when none is.
    left_out: Vec<bool>,
    /// Input columns that stay.
    columns: usize,
}

impl Layout {
    pub(crate) fn new(escape: Escape, header: &Record) -> Self {
        let ours: Vec<bool> = header.iter().map(own::is_ours).collect();
        let columns = ours.iter().filter(|ours| !**ours).count();
        Self { escape, left_out: if columns < ours.len() { ours } else { Vec::new() }, columns }
    }

    /// The cells of the input, without a line end.
    pub(super) fn input(&self, out: &mut Vec<u8>, row: &Record) {
        if self.left_out.is_empty() {
            self.escape.cells(out, row);
        } else {
            let stay = row.iter().zip(&self.left_out).filter(|(_, left_out)| !**left_out);
            self.escape.cells(out, &stay.map(|(cell, _)| cell).collect());
        }
    }

    /// The input of a row that is not sent: `failed.csv` also says how it stood in its source, if the reader refused it.
    pub(super) fn rejected(&self, out: &mut Vec<u8>, row: &Record, refused: &str) {
        self.input(out, row);
        out.push(b',');
        self.escape.cell(out, refused.as_bytes());
    }

    pub(super) fn header(&self, out: &mut Vec<u8>, header: &Record, kind: FileKind) {
        self.input(out, header);
        let refused = (kind == FileKind::Failed).then_some(own::REFUSED);
        let unescaped = (self.escape == Escape::Nothing).then_some(own::UNESCAPED);
        for name in refused.into_iter().chain(unescaped).chain([own::ID, own::CREATED, own::ERROR]) {
            out.push(b',');
            out.extend_from_slice(name.as_bytes());
        }
        out.push(b'\n');
    }

    /// What became of a row, behind its input.
    pub(super) fn outcome(&self, out: &mut Vec<u8>, id: &[u8], created: &[u8], error: &str) {
        if self.escape == Escape::Nothing {
            out.push(b',');
        }
        for part in [b",", id, b",", created, b","] {
            out.extend_from_slice(part);
        }
        self.escape.cell(out, error.as_bytes());
        out.push(b'\n');
    }

    /// The input of a result that belongs to no row.
    pub(super) fn blank(&self, kind: FileKind) -> Vec<u8> {
        vec![b','; self.columns.saturating_sub(1) + usize::from(kind == FileKind::Failed)]
    }
}
