//! From the bytes of a file to UTF-8. What is no text in the file's encoding becomes the byte FF, and a place where the
//! bytes contradict the encoding gets the byte FE; UTF-8 contains neither: the check of a cell (`rows`) finds them there and
//! knows the column.

use bytes::Bytes;

use super::charset::{Charset, Decoder};
use super::contradiction::Watch;
use super::detect;
use crate::taken::Choice;

/// Stands where the input can only be UTF-8, although the job says otherwise.
pub(super) const CONTRADICTED: u8 = 0xFE;

pub(super) struct Text {
    charset: Charset,
    by: Choice,
    /// Absent: nothing to contradict, or not any more.
    watch: Option<Watch>,
    /// Absent: the bytes are UTF-8 already and pass unchanged; their cells are checked one by one.
    decoder: Option<Decoder>,
}

impl Text {
    /// The encoding by the byte order mark, else as wished; and the length of the mark. Nothing: it has to be detected.
    pub(super) fn known(head: &[u8], wished: Option<Charset>) -> Option<(Self, usize)> {
        match (Charset::of_mark(head), wished) {
            (Some((charset, mark)), _) => Some((Self::new(charset, Choice::Marked), mark)),
            (None, Some(wished)) => Some((Self::new(wished, Choice::Told), 0)),
            (None, None) => None,
        }
    }

    /// The encoding by the first bytes of a file without a mark, [`detect::JUDGED`] of them or all.
    pub(super) fn detect(head: &[u8]) -> Self {
        match detect::charset(head) {
            Some(charset) => Self::new(charset, Choice::Detected),
            None => Self::new(Charset::UTF_8, Choice::Assumed),
        }
    }

    fn new(charset: Charset, by: Choice) -> Self {
        // What was detected is no UTF-8 already.
        let watch = (charset.is_single_byte() && by == Choice::Told).then(Watch::default);
        Self { charset, by, watch, decoder: charset.decoder() }
    }

    pub(super) fn encoding(&self) -> &'static str {
        self.charset.name()
    }

    /// Who chose the encoding.
    pub(super) fn by(&self) -> Choice {
        self.by
    }

    pub(super) fn decode(&mut self, bytes: Bytes) -> Bytes {
        let Some(decoder) = &mut self.decoder else { return bytes };
        if let Some(watch) = &mut self.watch {
            match watch.look(&bytes) {
                None => {}
                Some(Err(_)) => self.watch = None,
                Some(Ok(at)) => {
                    self.watch = None;
                    let before = decoder.decode(&bytes[..at], false);
                    let behind = decoder.decode(&bytes[at..], false);
                    return [&before, [CONTRADICTED].as_slice(), &behind].concat().into();
                }
            }
        }
        decoder.decode(&bytes, false)
    }

    /// What an unfinished character at the end leaves.
    pub(super) fn finish(&mut self) -> Bytes {
        match &mut self.decoder {
            None => Bytes::new(),
            Some(decoder) => decoder.decode(&[], true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], wished: Option<&str>, step: usize) -> Vec<u8> {
        let wished = wished.map(|label| Charset::of_label(label).unwrap());
        let (mut text, mark) = Text::known(bytes, wished).unwrap_or_else(|| (Text::detect(bytes), 0));
        let mut out = Vec::new();
        for piece in bytes[mark..].chunks(step) {
            out.extend_from_slice(&text.decode(Bytes::copy_from_slice(piece)));
        }
        out.extend_from_slice(&text.finish());
        out
    }

    #[test]
    fn utf_16_with_a_mark_is_read_in_pieces_of_any_size() {
        let bytes: Vec<u8> = [0xFEFF].into_iter().chain("Zoë 🛫\n".encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for step in 1..9 {
            assert_eq!(whole(&bytes, None, step), "Zoë 🛫\n".as_bytes());
        }
    }

    #[test]
    fn utf_32_is_read_by_its_mark_or_as_told() {
        let marked: Vec<u8> = "\u{FEFF}Zoë 🛫\n".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let told: Vec<u8> = "Zoë 🛫\n".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        for step in 1..9 {
            assert_eq!(whole(&marked, None, step), "Zoë 🛫\n".as_bytes());
            assert_eq!(whole(&told, Some("utf-32be"), step), "Zoë 🛫\n".as_bytes());
        }
    }

    #[test]
    fn a_legacy_code_page_is_read_as_told_unless_a_mark_says_otherwise() {
        assert_eq!(whole(b"Zo\xEB", Some("windows-1252"), 1), "Zoë".as_bytes());
        assert_eq!(whole(b"\xEF\xBB\xBFZo\xC3\xAB", Some("windows-1252"), 2), "Zoë".as_bytes());
    }

    #[test]
    fn malformed_input_leaves_a_byte_that_utf_8_never_has() {
        let lone_surrogate: Vec<u8> = [0x41u16, 0xD800, 0x42].into_iter().flat_map(u16::to_le_bytes).collect();
        assert_eq!(whole(&lone_surrogate, Some("utf-16le"), 3), b"A\xFFB");
        assert_eq!(whole(&[0x41, 0x00, 0x42], Some("utf-16le"), 3), b"A\xFF");
    }
}
