//! From the bytes of a file to UTF-8. What is no text in the file's encoding becomes the byte FF, and a place where the
//! bytes contradict the encoding gets the byte FE; UTF-8 contains neither: the check of a cell (`rows`) finds them there and
//! knows the column.

use bytes::Bytes;
use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8};

use super::contradiction::Watch;
use crate::source::FileError;
use crate::taken::Choice;

/// Stands where the input was malformed.
const MALFORMED: u8 = 0xFF;

/// Stands where the input can only be UTF-8, although the job says otherwise.
pub(super) const CONTRADICTED: u8 = 0xFE;

pub(super) struct Text {
    encoding: &'static Encoding,
    by: Choice,
    /// Absent: nothing to contradict, or not any more.
    watch: Option<Watch>,
    /// Absent: the bytes are UTF-8 already and pass unchanged; their cells are checked one by one.
    decoder: Option<Decoder>,
}

impl Text {
    /// The encoding by the byte order mark, else as wished, else UTF-8; and the length of the mark.
    pub(super) fn detect(head: &[u8], wished: Option<&'static Encoding>) -> Result<(Self, usize), FileError> {
        if head.starts_with(&[0xFF, 0xFE, 0, 0]) || head.starts_with(&[0, 0, 0xFE, 0xFF]) {
            return Err(FileError::Utf32);
        }
        let ((encoding, mark), by) = match (Encoding::for_bom(head), wished) {
            (Some(marked), _) => (marked, Choice::Marked),
            (None, Some(wished)) => ((wished, 0), Choice::Told),
            (None, None) => ((UTF_8, 0), Choice::Assumed),
        };
        let decoder = (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling());
        let watch = encoding.is_single_byte().then(Watch::default);
        Ok((Self { encoding, by, watch, decoder }, mark))
    }

    pub(super) fn encoding(&self) -> &'static str {
        self.encoding.name()
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
                    let before = decode(decoder, &bytes[..at], false);
                    let behind = decode(decoder, &bytes[at..], false);
                    return [&before, [CONTRADICTED].as_slice(), &behind].concat().into();
                }
            }
        }
        decode(decoder, &bytes, false)
    }

    /// What an unfinished character at the end leaves.
    pub(super) fn finish(&mut self) -> Bytes {
        match &mut self.decoder {
            None => Bytes::new(),
            Some(decoder) => decode(decoder, &[], true),
        }
    }
}

fn decode(decoder: &mut Decoder, mut bytes: &[u8], last: bool) -> Bytes {
    let mut out = Vec::new();
    loop {
        let start = out.len();
        let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len().saturating_mul(3)).max(16);
        out.resize(start + room, 0);
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut out[start..], last);
        bytes = &bytes[read..];
        out.truncate(start + written);
        match result {
            DecoderResult::InputEmpty => return out.into(),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => out.push(MALFORMED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8], wished: Option<&str>, step: usize) -> Vec<u8> {
        let wished = wished.map(|label| Encoding::for_label(label.as_bytes()).unwrap());
        let (mut text, mark) = Text::detect(bytes, wished).unwrap();
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
    fn a_legacy_code_page_is_read_as_told_unless_a_mark_says_otherwise() {
        assert_eq!(whole(b"Zo\xEB", Some("windows-1252"), 1), "Zoë".as_bytes());
        assert_eq!(whole(b"\xEF\xBB\xBFZo\xC3\xAB", Some("windows-1252"), 2), "Zoë".as_bytes());
    }

    #[test]
    fn malformed_input_leaves_a_byte_that_utf_8_never_has() {
        let lone_surrogate: Vec<u8> = [0x41u16, 0xD800, 0x42].into_iter().flat_map(u16::to_le_bytes).collect();
        assert_eq!(whole(&lone_surrogate, Some("utf-16le"), 3), b"A\xFFB");
        assert_eq!(whole(&[0x41, 0x00, 0x42], Some("utf-16le"), 3), b"A\xFF");
        assert!(matches!(Text::detect(&[0xFF, 0xFE, 0, 0, 0x41, 0, 0, 0], None), Err(FileError::Utf32)));
    }
}
