//! Bytes that contradict a declared code page. In a code page of one byte a character every byte is some character, so
//! UTF-8 under such a label loads without an error, as `ZoÃ«`. The rule: as long as every byte beyond ASCII is part of
//! a well-formed UTF-8 sequence, a sequence that writes nothing in a code page ends the doubt: of three bytes or more
//! (`â€™`), or of two with the first one C2 or C3 (`Ã«`, `Â°`), or the third of any kind. The first byte that is no
//! such sequence proves the code page, and nothing is doubted behind it. A block of the file is judged as a whole, so
//! that a capital before a sign (`É™` is well-formed by chance) does no harm among ordinary text.

/// Other sequences of two bytes that chance may make.
const BY_CHANCE: u8 = 2;

#[derive(Default)]
pub(super) struct Watch {
    /// Of a sequence that the last block did not end.
    begun: Vec<u8>,
    seen: u8,
}

/// The bytes are no UTF-8.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct CodePage;

impl Watch {
    /// Looks at the next block. Some: the doubt is over; the number is the place where UTF-8 shows.
    pub(super) fn look(&mut self, block: &[u8]) -> Option<Result<usize, CodePage>> {
        if self.begun.is_empty() && block.is_ascii() {
            return None;
        }
        let before = self.begun.len();
        let joined = [&self.begun, block].concat();
        let text = match std::str::from_utf8(&joined) {
            Ok(text) => text,
            Err(error) if error.error_len().is_some() => return Some(Err(CodePage)),
            Err(error) => std::str::from_utf8(&joined[..error.valid_up_to()]).unwrap_or_default(),
        };
        for (at, c) in text.char_indices().filter(|(_, c)| !c.is_ascii()) {
            self.seen += 1;
            if c.len_utf8() > 2 || c <= '\u{FF}' || self.seen > BY_CHANCE {
                return Some(Ok(at.saturating_sub(before)));
            }
        }
        self.begun = joined[text.len()..].to_vec();
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use encoding_rs::WINDOWS_1252;
    use proptest::prelude::*;

    fn judge(bytes: &[u8], block: usize) -> Option<Result<usize, CodePage>> {
        let mut watch = Watch::default();
        bytes
            .chunks(block)
            .enumerate()
            .find_map(|(number, block_bytes)| watch.look(block_bytes).map(|verdict| verdict.map(|at| at + number * block)))
    }

    #[test]
    fn utf_8_shows_and_code_pages_do_not() {
        for text in ["Zoë", "it’s", "25 °C", "Привет", "🛫"] {
            assert!(matches!(judge(text.as_bytes(), 64), Some(Ok(_))), "{text}");
        }
        for (bytes, verdict) in [
            (b"Zo\xEB\n".as_slice(), Some(Err(CodePage))),
            (b"Zo\xEB", None),
            // `CAFÉ™` and `É”` are well-formed by chance.
            (b"CAF\xC9\x99\n", None),
            (b"\x93L\x92\xC9T\xC9\x94", Some(Err(CodePage))),
            (b"Zo\xC3\xAB and Ren\xE9\n", Some(Err(CodePage))),
        ] {
            assert_eq!(judge(bytes, 64), verdict, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn names_of_western_europe_are_told_from_their_utf_8(words in proptest::collection::vec("[a-zA-Zäöüßéèêëçñåøæ ]{1,12}", 1..20), block in 1..40usize) {
            let text = words.join(",") + "\n";
            let (page, ..) = WINDOWS_1252.encode(&text);
            prop_assert!(!matches!(judge(&page, block), Some(Ok(_))), "{}", text);
            let utf8 = judge(text.as_bytes(), block);
            prop_assert_eq!(utf8.is_some(), !text.is_ascii());
            if let Some(verdict) = utf8 {
                let at = verdict.unwrap();
                // The sequence itself may have begun in the block before.
                prop_assert!(text.as_bytes()[..at].iter().filter(|byte| !byte.is_ascii()).count() < 2);
            }
        }
    }
}
