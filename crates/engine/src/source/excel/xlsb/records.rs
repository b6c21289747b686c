//! A part as its records. What a record says of its length is an upper bound of what is read, never of what is reserved.

use std::io::{self, Read};

use crate::source::excel::binary::u32_at;
use crate::source::excel::error::WorkbookError;
use crate::source::excel::limits::MAX_PIECE;
use crate::source::excel::package::Guarded;

/// A record that was larger gives its memory back.
const LARGE: usize = 1 << 20;

/// A part that is made of records.
pub(super) struct Records {
    part: Guarded,
    content: Vec<u8>,
}

impl Records {
    pub(super) fn new(part: Guarded) -> Self {
        Self { part, content: Vec::new() }
    }

    pub(super) fn damaged(&self) -> WorkbookError {
        WorkbookError::Damaged { part: self.part.part() }
    }

    /// Kind and content of the next record. `None`: the part has ended, and its bytes are those that were packed.
    pub(super) fn next(&mut self) -> Result<Option<(u16, &[u8])>, WorkbookError> {
        let Some(first) = self.byte()? else { return Ok(None) };
        let mut kind = u16::from(first & 0x7F);
        if first & 0x80 != 0 {
            kind |= u16::from(self.byte()?.ok_or_else(|| self.damaged())? & 0x7F) << 7;
        }
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?.ok_or_else(|| self.damaged())?;
            length |= usize::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if length > MAX_PIECE {
            return Err(WorkbookError::PieceTooLong { part: self.part.part(), limit: MAX_PIECE });
        }
        if self.content.capacity() > LARGE {
            self.content = Vec::new();
        }
        self.content.clear();
        let read = self.part.by_ref().take(length as u64).read_to_end(&mut self.content);
        read.map_err(|error| WorkbookError::of_reading(&error, self.part.part()))?;
        if self.content.len() < length {
            return Err(self.damaged());
        }
        Ok(Some((kind, &self.content)))
    }

    /// The next record, where there has to be one.
    pub(super) fn must(&mut self) -> Result<(u16, &[u8]), WorkbookError> {
        let damaged = self.damaged();
        self.next()?.ok_or(damaged)
    }

    fn byte(&mut self) -> Result<Option<u8>, WorkbookError> {
        let mut byte = [0];
        match self.part.read(&mut byte) {
            Ok(read) => Ok((read > 0).then_some(byte[0])),
            Err(error) => Err(WorkbookError::of_reading(&error, self.part.part())),
        }
    }

    /// Up to the end, where it shows whether the bytes are those that were packed.
    pub(super) fn finish(&mut self) -> Result<(), WorkbookError> {
        let read = io::copy(&mut self.part, &mut io::sink());
        read.map(drop).map_err(|error| WorkbookError::of_reading(&error, self.part.part()))
    }
}

/// A text and what stands behind it: how many characters in UTF-16 it has, and these. `None`: it breaks off.
pub(super) fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let count = u32_at(bytes, 0)? as usize;
    let (units, rest) = bytes.get(4..)?.split_at_checked(count.checked_mul(2)?)?;
    let units: Vec<u16> = units.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    Some((String::from_utf16_lossy(&units), rest))
}

/// A text of several fonts, which stand behind it, as does how it is pronounced.
pub(super) fn rich_text(bytes: &[u8]) -> Option<String> {
    Some(text(bytes.get(1..)?)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_as_long_as_it_says_or_none() {
        let bytes = [3, 0, 0, 0, b'a', 0, 0x3D, 0xD8, 0, 0xDE, 7];
        assert_eq!(text(&bytes), Some(("a😀".to_owned(), &bytes[10..])));
        assert_eq!(text(&[1, 0, 0, 0, 0, 0xD8]), Some(("\u{FFFD}".to_owned(), &[][..])));
        assert_eq!(rich_text(&[9, 1, 0, 0, 0, b'x', 0, 1, 2]), Some("x".to_owned()));
        for broken in [&[][..], &[1, 0, 0], &[2, 0, 0, 0, b'a', 0], &[0xFF, 0xFF, 0xFF, 0xFF, b'a', 0]] {
            assert_eq!(text(broken), None, "{broken:?}");
        }
    }
}
