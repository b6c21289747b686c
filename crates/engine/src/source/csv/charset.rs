//! The encodings that a file may have: those of `encoding_rs`, and UTF-32, which the WHATWG has no name for and programs
//! write all the same.

use bytes::Bytes;
use encoding_rs::{DecoderResult, Encoding, UTF_8};

use super::utf32::{self, Utf32};

/// Stands where the input was malformed; UTF-8 never contains it.
pub(super) const MALFORMED: u8 = 0xFF;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Charset {
    Listed(&'static Encoding),
    Utf32(Utf32),
}

impl Charset {
    pub(super) const UTF_8: Self = Self::Listed(UTF_8);

    /// By a label of the WHATWG, or `utf-32le` or `utf-32be`.
    pub(super) fn of_label(label: &str) -> Option<Self> {
        match label.trim().to_ascii_lowercase().as_str() {
            "utf-32le" => Some(Self::Utf32(Utf32::Little)),
            "utf-32be" => Some(Self::Utf32(Utf32::Big)),
            _ => Encoding::for_label(label.as_bytes()).map(Self::Listed),
        }
    }

    /// By the byte order mark, if there is one; and its length. The mark of UTF-32 begins like that of UTF-16, and no text begins
    /// with a NUL.
    pub(super) fn of_mark(head: &[u8]) -> Option<(Self, usize)> {
        if head.starts_with(&[0xFF, 0xFE, 0, 0]) {
            return Some((Self::Utf32(Utf32::Little), 4));
        }
        if head.starts_with(&[0, 0, 0xFE, 0xFF]) {
            return Some((Self::Utf32(Utf32::Big), 4));
        }
        Encoding::for_bom(head).map(|(encoding, mark)| (Self::Listed(encoding), mark))
    }

    /// As messages call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Listed(encoding) => encoding.name(),
            Self::Utf32(Utf32::Little) => "UTF-32LE",
            Self::Utf32(Utf32::Big) => "UTF-32BE",
        }
    }

    /// A code page of one byte a character.
    pub(super) fn is_single_byte(self) -> bool {
        matches!(self, Self::Listed(encoding) if encoding.is_single_byte())
    }

    /// Nothing for UTF-8, which needs none.
    pub(super) fn decoder(self) -> Option<Decoder> {
        match self {
            Self::Listed(encoding) if encoding == UTF_8 => None,
            Self::Listed(encoding) => Some(Decoder::Listed(encoding.new_decoder_without_bom_handling())),
            Self::Utf32(order) => Some(Decoder::Utf32(utf32::Decoder::new(order))),
        }
    }
}

/// From bytes in pieces of any size to UTF-8, with the byte FF where they are malformed.
pub(super) enum Decoder {
    Listed(encoding_rs::Decoder),
    Utf32(utf32::Decoder),
}

impl Decoder {
    /// `last`: nothing follows, so what is begun is malformed.
    pub(super) fn decode(&mut self, bytes: &[u8], last: bool) -> Bytes {
        match self {
            Self::Listed(decoder) => decode(decoder, bytes, last),
            Self::Utf32(decoder) => decoder.decode(bytes, last, MALFORMED).into(),
        }
    }
}

fn decode(decoder: &mut encoding_rs::Decoder, mut bytes: &[u8], last: bool) -> Bytes {
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

    #[test]
    fn a_mark_of_utf_32_is_not_taken_for_one_of_utf_16() {
        assert_eq!(Charset::of_mark(&[0xFF, 0xFE, 0, 0, 0x41]), Some((Charset::Utf32(Utf32::Little), 4)));
        assert_eq!(Charset::of_mark(&[0, 0, 0xFE, 0xFF]), Some((Charset::Utf32(Utf32::Big), 4)));
        assert_eq!(Charset::of_mark(&[0xFF, 0xFE, 0x41, 0]).map(|(charset, mark)| (charset.name(), mark)), Some(("UTF-16LE", 2)));
        assert_eq!(Charset::of_mark(b"\xEF\xBB\xBFa"), Some((Charset::UTF_8, 3)));
        assert_eq!(Charset::of_mark(b"a,b"), None);
    }

    #[test]
    fn encodings_are_found_by_their_labels() {
        for (label, name) in [("utf-32le", "UTF-32LE"), ("UTF-32BE", "UTF-32BE"), ("latin1", "windows-1252"), ("utf8", "UTF-8")] {
            assert_eq!(Charset::of_label(label).map(Charset::name), Some(name));
        }
        // Which order it has, it does not say.
        assert_eq!(Charset::of_label("utf-32"), None);
    }
}
