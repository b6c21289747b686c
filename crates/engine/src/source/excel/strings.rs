//! Texts: those that cells share, and what Excel does to characters that XML cannot hold.

use std::borrow::Cow;

use super::error::{Part, WorkbookError};
use super::limits::{MAX_PIECE, MAX_STRING_COUNT};
use super::package::Package;
use super::xml::{Token, Xml};

/// Texts that cells share, one behind the other: a place for each would take more than most texts do. They lie in blocks, as one text that grows
/// would take two and three times what it holds.
pub(super) struct Strings {
    blocks: Vec<String>,
    /// Where each text begins: its block, and the place in there.
    starts: Vec<u32>,
    /// Bytes of all of them.
    length: usize,
    limit: usize,
}

/// A block holds any text, so that none has to be cut.
const BLOCK_BITS: u32 = 23;
const BLOCK: usize = 1 << BLOCK_BITS;
const _: () = assert!(MAX_PIECE <= BLOCK);

impl Strings {
    /// None yet, and `limit` bytes at most.
    pub(super) fn within(limit: usize) -> Self {
        let addressable = BLOCK << (u32::BITS - BLOCK_BITS - 1);
        Self { blocks: Vec::new(), starts: Vec::new(), length: 0, limit: limit.min(addressable) }
    }

    /// Those of the part of this name.
    pub(super) fn read(package: &Package, name: Option<&str>, limit: usize) -> Result<Self, WorkbookError> {
        let mut strings = Self::within(limit);
        let Some(name) = name else { return Ok(strings) };
        let Some(part) = package.part(name, Part::Strings)? else { return Ok(strings) };
        let mut xml = Xml::new(part);
        let mut text = RichText::default();
        loop {
            match xml.next()? {
                Token::Start(element) => text.start(element.name()),
                Token::Text(piece) => {
                    text.piece(&piece);
                    xml.check_text(text.len())?;
                }
                Token::End(element) if element.name() == b"si" => {
                    strings.push(&text.whole())?;
                    text.clear();
                }
                Token::End(element) => text.end(element.name()),
                Token::Nothing => {}
                Token::Over => return Ok(strings),
            }
        }
    }

    pub(super) fn push(&mut self, text: &str) -> Result<(), WorkbookError> {
        if self.length + text.len() > self.limit {
            return Err(WorkbookError::TooMuchText { limit: self.limit });
        }
        if self.starts.len() == MAX_STRING_COUNT {
            return Err(WorkbookError::TooManyTexts { limit: MAX_STRING_COUNT });
        }
        if text.len() > BLOCK {
            return Err(WorkbookError::PieceTooLong { part: Part::Strings, limit: BLOCK });
        }
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK || block.len() + text.len() > BLOCK) {
            self.blocks.push(String::new());
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        self.starts.push((number << BLOCK_BITS | block.len()) as u32);
        block.push_str(text);
        self.length += text.len();
        Ok(())
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let place = |start: u32| (start as usize >> BLOCK_BITS, start as usize & (BLOCK - 1));
        let (number, start) = place(*self.starts.get(index)?);
        let block = &self.blocks[number];
        let end = match self.starts.get(index + 1).map(|next| place(*next)) {
            Some((next, end)) if next == number => end,
            _ => block.len(),
        };
        Some(&block[start..end])
    }
}

/// A text of several runs, each in its font. How it is pronounced is none of it.
#[derive(Default)]
pub(super) struct RichText {
    text: String,
    in_text: bool,
    in_pronunciation: bool,
}

impl RichText {
    pub(super) fn start(&mut self, name: &[u8]) {
        match name {
            b"rPh" => self.in_pronunciation = true,
            b"t" => self.in_text = !self.in_pronunciation,
            _ => {}
        }
    }

    pub(super) fn piece(&mut self, piece: &str) {
        if self.in_text {
            self.text.push_str(piece);
        }
    }

    pub(super) fn end(&mut self, name: &[u8]) {
        match name {
            b"rPh" => self.in_pronunciation = false,
            b"t" => self.in_text = false,
            _ => {}
        }
    }

    /// In bytes, as it stands there.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    pub(super) fn whole(&self) -> Cow<'_, str> {
        unescape(&self.text)
    }

    /// Another text begins.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.in_text = false;
        self.in_pronunciation = false;
    }
}

/// `_x000D_` is a carriage return: Excel writes characters that XML has no place for by their numbers in UTF-16, and `_x005F_` for a line
/// that would begin such a number.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains("_x") {
        return Cow::Borrowed(text);
    }
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("_x") {
        let (before, behind) = rest.split_at(at);
        plain.push_str(before);
        let found = unit(behind).and_then(|first| {
            let one = char::from_u32(u32::from(first)).map(|character| (character, UNIT));
            one.or_else(|| {
                // Two numbers that are one character.
                let second = unit(behind.get(UNIT..)?)?;
                char::decode_utf16([first, second]).next()?.ok().map(|character| (character, 2 * UNIT))
            })
        });
        let (character, length) = found.unwrap_or(('_', 1));
        plain.push(character);
        rest = &behind[length..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Bytes of `_x000D_`.
const UNIT: usize = 7;

fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..UNIT)?.strip_prefix("_x")?.strip_suffix('_')?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u16::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_again_wherever_their_block_ends() {
        let long = |letter: &str, length: usize| letter.repeat(length);
        let texts =
            [long("a", BLOCK - 1), long("b", 1), String::new(), long("c", 3), long("d", BLOCK), String::new(), long("é", 2), String::new()];
        let mut strings = Strings::within(usize::MAX);
        texts.iter().for_each(|text| strings.push(text).unwrap());
        for (index, text) in texts.iter().enumerate() {
            assert_eq!(strings.get(index), Some(text.as_str()), "{index}");
        }
        assert_eq!(strings.get(texts.len()), None);
        let error = strings.push(&long("e", BLOCK + 1)).unwrap_err().to_string();
        assert_eq!(error, WorkbookError::PieceTooLong { part: Part::Strings, limit: BLOCK }.to_string());
    }

    #[test]
    fn numbers_of_characters_are_characters() {
        for (text, expected) in [
            ("a_x000D_\nb", "a\r\nb"),
            ("_x005F_x000D_", "_x000D_"),
            ("_xD83D__xDE00_!", "😀!"),
            ("_xD83D_", "_xD83D_"),
            ("_x00E9_", "é"),
            ("_x000_", "_x000_"),
            ("_xé00D_", "_xé00D_"),
            ("_x+00D_", "_x+00D_"),
            ("a_x", "a_x"),
            ("_x000D", "_x000D"),
            ("plain", "plain"),
        ] {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }
}
