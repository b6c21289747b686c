//! A character that escapes the next one, inside and outside of quotes. Before anything is parsed, what it escapes is
//! exchanged for bytes that UTF-8 never has; so the parser, and whoever watches over quotes, sees nothing but text there, and
//! knows nothing of it. Once a record is cut, the characters themselves come back. An escape takes as many bytes as before,
//! so places are those of the file.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::{memchr, memchr2_iter};

use super::charset::MALFORMED;
use super::parser::Dialect;
use super::record::{Kept, RawRecord};

/// Stands for the escape itself where it escapes.
const ESCAPE: u8 = 0xFD;
/// Stand for what is escaped.
const QUOTE: u8 = 0xF8;
const DELIMITER: u8 = 0xF9;
pub(super) const LF: u8 = 0xFA;
pub(super) const CR: u8 = 0xFB;
const ITSELF: u8 = 0xFC;

/// What is escaped by what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Escapes {
    escape: u8,
    delimiter: u8,
    quote: Option<u8>,
}

impl Escapes {
    pub(super) fn of(dialect: Dialect) -> Option<Self> {
        let Dialect { delimiter, quote, escape, .. } = dialect;
        escape.map(|escape| Self { escape, delimiter, quote })
    }

    /// What stands for a character that is escaped; nothing for those that an escape does nothing to, as in `\N`.
    fn masked(self, byte: u8) -> Option<u8> {
        match byte {
            b'\n' => Some(LF),
            b'\r' => Some(CR),
            _ if byte == self.escape => Some(ITSELF),
            _ if byte == self.delimiter => Some(DELIMITER),
            _ if Some(byte) == self.quote => Some(QUOTE),
            _ => None,
        }
    }

    fn unmasked(self, byte: u8) -> u8 {
        match byte {
            LF => b'\n',
            CR => b'\r',
            ITSELF | ESCAPE => self.escape,
            DELIMITER => self.delimiter,
            QUOTE => self.quote.unwrap_or(byte),
            _ => byte,
        }
    }

    /// The record with what was escaped in it, or nothing if nothing was.
    fn restored(self, record: &RawRecord<'_>) -> Option<Kept> {
        memchr(ESCAPE, record.text)?;
        let mut restored = Kept::from(record);
        restored.gap = None;
        restored.text.clear();
        restored.ends.clear();
        for cell in record.cells() {
            restored.text.extend(cell.iter().filter(|byte| **byte != ESCAPE).map(|byte| self.unmasked(*byte)));
            restored.ends.push(restored.text.len());
        }
        restored.raw.iter_mut().for_each(|byte| *byte = self.unmasked(*byte));
        Some(restored)
    }
}

/// Hands the record on as the file means it.
#[inline]
pub(super) fn restore<T>(escapes: Option<Escapes>, record: &RawRecord<'_>, take: impl FnOnce(&RawRecord<'_>) -> T) -> T {
    match escapes.and_then(|escapes| escapes.restored(record)) {
        Some(restored) => take(&restored.record()),
        None => take(record),
    }
}

/// Line ends that are escaped.
pub(super) fn lines(text: &[u8]) -> u64 {
    let is_crlf = |at: usize| at > 0 && text[at] == LF && text[at - 1] == CR;
    memchr2_iter(CR, LF, text).filter(|at| !is_crlf(*at)).count() as u64
}

/// The first line end, escaped or not.
pub(super) fn line_end(text: &[u8]) -> Option<usize> {
    text.iter().position(|byte| matches!(*byte, b'\r' | b'\n' | CR | LF))
}

/// Exchanges what is escaped in text that comes in pieces.
pub(super) struct Mask {
    escapes: Escapes,
    /// The last piece ended with an escape, which is held back.
    begun: bool,
    /// The last byte was a CR that is escaped; so is an LF that follows.
    behind_cr: bool,
}

impl Mask {
    pub(super) fn new(escapes: Escapes) -> Self {
        Self { escapes, begun: false, behind_cr: false }
    }

    pub(super) fn mask(&mut self, text: Bytes) -> Bytes {
        let is_changed = |byte: u8| byte == self.escapes.escape || is_ours(byte);
        if !self.begun && !self.behind_cr && !text.iter().any(|byte| is_changed(*byte)) {
            return text;
        }
        let mut out = Vec::with_capacity(text.len() + 1);
        for byte in &text {
            let byte = *byte;
            let behind_cr = std::mem::take(&mut self.behind_cr);
            if std::mem::take(&mut self.begun) {
                if let Some(masked) = self.escapes.masked(byte) {
                    out.extend([ESCAPE, masked]);
                    self.behind_cr = byte == b'\r';
                    continue;
                }
                out.push(self.escapes.escape);
            }
            match byte {
                b'\n' if behind_cr => out.push(LF),
                _ if byte == self.escapes.escape => self.begun = true,
                _ if is_ours(byte) => out.push(MALFORMED),
                _ => out.push(byte),
            }
        }
        out.into()
    }

    /// An escape that nothing follows.
    pub(super) fn finish(&mut self) -> Bytes {
        if std::mem::take(&mut self.begun) { vec![self.escapes.escape].into() } else { Bytes::new() }
    }
}

/// A whole text, exchanged.
pub(super) fn masked(escapes: Option<Escapes>, text: &[u8]) -> Cow<'_, [u8]> {
    match escapes {
        Some(escapes) => Cow::Owned(Mask::new(escapes).mask(Bytes::copy_from_slice(text)).into()),
        None => Cow::Borrowed(text),
    }
}

fn is_ours(byte: u8) -> bool {
    (QUOTE..=ESCAPE).contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ESCAPES: Escapes = Escapes { escape: b'\\', delimiter: b',', quote: Some(b'"') };

    fn masked(text: &[u8], step: usize) -> Vec<u8> {
        let mut mask = Mask::new(ESCAPES);
        let mut out: Vec<u8> = text.chunks(step).flat_map(|piece| mask.mask(Bytes::copy_from_slice(piece))).collect();
        out.extend_from_slice(&mask.finish());
        out
    }

    #[test]
    fn what_is_escaped_takes_as_many_bytes_in_pieces_of_any_size() {
        let text = b"a\\,b\\\"c\\\\d\\\r\ne\\\nf\\\r\\\ng\\N\\\\\\,\\";
        let expected =
            [b"a\xFD\xF9b\xFD\xF8c\xFD\xFCd\xFD\xFB\xFAe\xFD\xFAf\xFD\xFB\xFD\xFAg\\N".as_slice(), b"\xFD\xFC\xFD\xF9\\"].concat();
        assert_eq!(expected.len(), text.len());
        for step in 1..text.len() {
            assert_eq!(masked(text, step), expected, "{step}");
        }
        assert_eq!(masked(b"a\\\r,\n", 1), b"a\xFD\xFB,\n");
    }

    #[test]
    fn bytes_of_ours_that_the_file_has_are_malformed() {
        assert_eq!(masked(b"a\xFDb\xF8", 9), b"a\xFFb\xFF");
    }

    #[test]
    fn escaped_line_ends_are_counted_once_each() {
        assert_eq!(lines(b"a\xFD\xFB\xFAe\xFD\xFAf\xFD\xFBg\n"), 3);
    }
}
