//! What stands in the file of a record that has a fault. The piece of text at hand has it, but for the beginning of a record that came with
//! earlier pieces; only that is copied.

use std::borrow::Cow;

use super::parser::Record;

pub(super) struct Raw {
    /// Where the piece at hand begins in the text.
    at: u64,
    /// The text before it, back to where the unfinished record begins.
    before: Vec<u8>,
}

impl Raw {
    pub(super) fn beginning_at(at: u64) -> Self {
        Self { at, before: Vec::new() }
    }

    /// The record without its line end; `piece` is the text at hand.
    pub(super) fn of<'p>(&'p self, record: Record<'_>, piece: &'p [u8]) -> Cow<'p, [u8]> {
        let from = record.at.byte;
        let within = |place: u64| usize::try_from(place.saturating_sub(self.at)).map_or(piece.len(), |place| place.min(piece.len()));
        let here = &piece[within(from)..within(record.to)];
        let missing = usize::try_from(self.at.saturating_sub(from)).map_or(self.before.len(), |missing| missing.min(self.before.len()));
        let raw = match missing {
            0 => Cow::Borrowed(here),
            _ => Cow::Owned([&self.before[self.before.len() - missing..], here].concat()),
        };
        match raw.last() {
            Some(b'\n' | b'\r') => Cow::Owned(raw[..raw.len() - 1].to_vec()),
            _ => raw,
        }
    }

    /// This much was parsed; `begun`: where the record begins that is not whole yet.
    pub(super) fn passed(&mut self, parsed: &[u8], begun: Option<u64>) {
        match begun {
            None => self.before.clear(),
            Some(from) if from < self.at => self.before.extend_from_slice(parsed),
            Some(from) => {
                let from = usize::try_from(from - self.at).map_or(parsed.len(), |from| from.min(parsed.len()));
                self.before.clear();
                self.before.extend_from_slice(&parsed[from..]);
            }
        }
        self.at += parsed.len() as u64;
    }
}
