//! A stream as its records.

use crate::source::excel::binary::u16_at;

/// Text that did not fit into the record before it.
pub(super) const CONTINUE: u16 = 0x003C;

/// The records of a stream from a place on.
#[derive(Clone, Copy)]
pub(super) struct Records {
    pub(super) at: usize,
}

impl Records {
    /// Kind and content of the next record. `None`: the stream breaks off.
    pub(super) fn next<'b>(&mut self, stream: &'b [u8]) -> Option<(u16, &'b [u8])> {
        let rest = stream.get(self.at..)?;
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let content = rest.get(4..4 + length)?;
        self.at += 4 + length;
        Some((kind, content))
    }

    /// The same record and those that continue it.
    pub(super) fn whole<'b>(&mut self, stream: &'b [u8], first: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = vec![first];
        loop {
            let mut ahead = *self;
            match ahead.next(stream) {
                Some((CONTINUE, piece)) => {
                    pieces.push(piece);
                    *self = ahead;
                }
                _ => return pieces,
            }
        }
    }
}
