//! One record in one allocation: the stored cells in field order, each as field number, length and bytes.
//!
//! An update writes a new allocation and frees the old one, so a store that lives long holds no garbage.

/// A record may be alive, in the Recycle Bin, or gone for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    Live,
    Deleted,
    Purged,
}

#[derive(Clone, Debug)]
pub(crate) struct Row {
    cells: Box<[u8]>,
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) state: RowState,
}

impl Row {
    /// `cells` must be sorted by field number.
    pub(crate) fn new<'a>(cells: impl IntoIterator<Item = (usize, &'a str)>, now: i64) -> Self {
        Self { cells: pack(cells), created: now, modified: now, state: RowState::Live }
    }

    pub(crate) fn rewrite<'a>(&self, cells: impl IntoIterator<Item = (usize, &'a str)>, now: i64) -> Self {
        Self { cells: pack(cells), created: self.created, modified: now, state: self.state }
    }

    pub(crate) fn get(&self, field: usize) -> Option<&str> {
        self.cells().take_while(|(number, _)| *number <= field).find(|(number, _)| *number == field).map(|(_, text)| text)
    }

    pub(crate) fn cells(&self) -> Cells<'_> {
        Cells { rest: &self.cells }
    }

    pub(crate) fn purge(&mut self) {
        self.cells = Box::default();
        self.state = RowState::Purged;
    }
}

pub(crate) struct Cells<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Cells<'a> {
    type Item = (usize, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = take_varint(&mut self.rest);
        let length = take_varint(&mut self.rest);
        let (text, rest) = self.rest.split_at(length);
        self.rest = rest;
        Some((field, std::str::from_utf8(text).expect("cells are packed from text")))
    }
}

fn pack<'a>(cells: impl IntoIterator<Item = (usize, &'a str)>) -> Box<[u8]> {
    let mut packed = Vec::with_capacity(256);
    for (field, text) in cells {
        put_varint(&mut packed, field);
        put_varint(&mut packed, text.len());
        packed.extend_from_slice(text.as_bytes());
    }
    packed.into_boxed_slice()
}

fn put_varint(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take_varint(bytes: &mut &[u8]) -> usize {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            *bytes = &bytes[i + 1..];
            return value;
        }
    }
    unreachable!("a packed number ends")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_went_in() {
        let long = "x".repeat(40_000);
        let row = Row::new([(0, "a"), (3, ""), (200, long.as_str())], 1);
        assert_eq!(row.cells().collect::<Vec<_>>(), [(0, "a"), (3, ""), (200, long.as_str())]);
        assert_eq!(row.get(3), Some(""));
        assert_eq!(row.get(2), None);
        assert_eq!(row.get(201), None);
    }
}
