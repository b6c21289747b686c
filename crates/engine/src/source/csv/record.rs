//! A record as the parser hands it on, borrowed from its buffers, and one that is kept for longer.

use super::quotes::FaultKind;
use crate::row::Position;

/// A record, unescaped, until the next one is parsed. It is handed on by reference: to copy it for each row costs more than to cut the row.
pub(super) struct RawRecord<'a> {
    /// Where it begins; the row number is the caller's.
    pub(super) at: Position,
    /// The cells one after the other.
    pub(super) text: &'a [u8],
    /// Where each ends in `text`.
    pub(super) ends: &'a [usize],
    /// What stands between two cells in `text`: the delimiter, when the line was cut where it stands.
    pub(super) gap: Option<u8>,
    /// As it came: in earlier pieces, and in the last one.
    pub(super) raw: [&'a [u8]; 2],
    /// It has no character beyond ASCII and no NUL. Otherwise nobody has looked yet.
    pub(super) known_ascii: bool,
    pub(super) fault: Option<Fault>,
    /// It begins behind a byte order mark that is not the file's first.
    pub(super) marked: bool,
    /// Blank lines before it, from the start of the file.
    pub(super) blank_lines: u64,
}

/// What is wrong with the quotes of a record.
#[derive(Clone, Copy)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) at: Position,
    /// The field that it is in, counted from zero.
    pub(super) field: usize,
}

impl<'a> RawRecord<'a> {
    /// A record of one cell, kept from earlier.
    pub(super) fn of_cell(at: Position, text: &'a [u8], ends: &'a [usize; 1]) -> Self {
        Self { at, text, ends, gap: None, raw: [b"", text], known_ascii: false, fault: None, marked: false, blank_lines: 0 }
    }

    /// Whether it begins with this byte.
    pub(super) fn begins_with(&self, byte: Option<u8>) -> bool {
        byte.is_some() && self.raw[0].first().or(self.raw[1].first()).copied() == byte
    }

    /// What stands in the file, without the line end.
    pub(super) fn raw(&self) -> Vec<u8> {
        let mut raw = self.raw.concat();
        raw.pop_if(|last| matches!(last, b'\n' | b'\r'));
        raw
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let Self { text, ends, .. } = *self;
        let (mut start, gap) = (0, usize::from(self.gap.is_some()));
        ends.iter().map(move |end| {
            let cell = &text[start..*end];
            start = end + gap;
            cell
        })
    }

    /// The cells with a comma between each two, if that is how they stand in `text`.
    pub(super) fn joined_by_commas(&self) -> Option<&'a [u8]> {
        (self.gap == Some(b',')).then_some(self.text)
    }
}

/// A record that outlives the buffers it was parsed in.
pub(super) struct Kept {
    at: Position,
    pub(super) text: Vec<u8>,
    pub(super) ends: Vec<usize>,
    pub(super) gap: Option<u8>,
    pub(super) raw: Vec<u8>,
    known_ascii: bool,
    fault: Option<Fault>,
    marked: bool,
    pub(super) blank_lines: u64,
}

impl From<&RawRecord<'_>> for Kept {
    fn from(record: &RawRecord<'_>) -> Self {
        let RawRecord { at, text, ends, gap, raw, known_ascii, fault, marked, blank_lines } = *record;
        Self { at, text: text.to_vec(), ends: ends.to_vec(), gap, raw: raw.concat(), known_ascii, fault, marked, blank_lines }
    }
}

impl Kept {
    pub(super) fn record(&self) -> RawRecord<'_> {
        let Self { at, text, ends, gap, raw, known_ascii, fault, marked, blank_lines } = self;
        RawRecord {
            at: *at,
            text,
            ends,
            gap: *gap,
            raw: [b"", raw],
            known_ascii: *known_ascii,
            fault: *fault,
            marked: *marked,
            blank_lines: *blank_lines,
        }
    }

    /// Memory that it takes, in bytes.
    pub(super) fn size(&self) -> usize {
        self.text.len() + self.raw.len() + self.ends.len() * size_of::<usize>()
    }
}
