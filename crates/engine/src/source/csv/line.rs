//! Cuts a line that is there as a whole and whose quotes are as they should be: around a whole cell, and twice in it. Nearly every row of a
//! file goes through here: where it ends, where its cells do and whether anything in it wants a closer look is found in one pass, 64 bytes
//! at a time.

use std::ops::ControlFlow;

use wide::u8x16;

use super::parser::Dialect;

/// Bytes that are looked at in one go, a bit each.
const BLOCK: usize = 64;

/// So many places are noted without asking whether there are as many: a branch for each would be guessed wrongly about as often.
const AT_ONCE: usize = 8;

/// A line, without the places of its delimiters.
pub(super) struct Cut {
    /// Where the line end stands.
    pub(super) end: usize,
    /// It has no character beyond ASCII and no NUL.
    pub(super) known_ascii: bool,
    /// Some cells have quotes around them.
    pub(super) quoted: bool,
    /// And some have quotes in them, each of which is there twice.
    pub(super) doubled: bool,
}

/// What is where in a block, the first byte in the lowest bit.
struct Marks {
    delimiters: u64,
    quotes: u64,
    line_ends: u64,
    /// NUL and bytes of characters beyond ASCII.
    odd: u64,
}

/// What the bytes before a block are to it, in its lowest bit.
struct Before {
    /// A quote is open: all bits.
    inside: u64,
    /// A cell begins with the block.
    begins: u64,
    /// A quote has closed: behind it a cell has to end, or a second one to make it a quote of the text.
    closed: u64,
    /// Some quote was there twice.
    doubled: bool,
}

/// The line that the input begins with. Adds where its delimiters are to `cuts`. `None`: the line goes on behind the input, or has a quote
/// that takes a closer look; what is in `cuts` then has no meaning.
pub(super) fn cut(input: &[u8], dialect: Dialect, cuts: &mut Vec<usize>) -> Option<Cut> {
    let before = Before { inside: 0, begins: 1, closed: 0, doubled: false };
    let mut line = Line { look: Look::new(dialect), before, known_ascii: true, quoted: false, cuts };
    let (blocks, rest) = input.as_chunks::<BLOCK>();
    for (number, block) in blocks.iter().enumerate() {
        if let ControlFlow::Break(cut) = line.goes_on(number * BLOCK, block) {
            return cut;
        }
    }
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    line.goes_on(blocks.len() * BLOCK, &last).break_value().flatten()
}

/// A line as far as it was looked at.
struct Line<'c> {
    look: Look,
    before: Before,
    known_ascii: bool,
    quoted: bool,
    cuts: &'c mut Vec<usize>,
}

impl Line<'_> {
    /// The next block, which begins at this place.
    #[inline]
    fn goes_on(&mut self, from: usize, block: &[u8; BLOCK]) -> ControlFlow<Option<Cut>> {
        let marks = self.look.at(block);
        self.quoted |= marks.quotes != 0 && marks.quotes.trailing_zeros() < marks.line_ends.trailing_zeros();
        let inside = if self.quoted { inside(marks.quotes) ^ self.before.inside } else { 0 };
        let stops = marks.line_ends & !inside;
        let line = in_front_of(stops);
        let delimiters = marks.delimiters & !inside & line;
        if self.quoted && !self.before.are_well_placed(&marks, inside, delimiters, stops) {
            return ControlFlow::Break(None);
        }
        note(delimiters, from, self.cuts);
        self.known_ascii &= marks.odd & line == 0;
        if stops != 0 {
            let Self { known_ascii, quoted, before: Before { doubled, .. }, .. } = *self;
            return ControlFlow::Break(Some(Cut { end: from + stops.trailing_zeros() as usize, known_ascii, quoted, doubled }));
        }
        self.before.begins = delimiters >> (BLOCK - 1);
        ControlFlow::Continue(())
    }
}

/// All bits before the first of these, or all if there is none.
fn in_front_of(stops: u64) -> u64 {
    stops.wrapping_sub(1) & !stops
}

/// What stands between quotes, with the opening ones and without the closing ones.
fn inside(quotes: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].iter().fold(quotes, |inside, shift| inside ^ (inside << shift))
}

impl Before {
    /// Every quote opens at the beginning of a cell, closes at its end, or is one of two; and no line ends inside. Becomes what this block is to the next.
    fn are_well_placed(&mut self, marks: &Marks, inside: u64, delimiters: u64, stops: u64) -> bool {
        let line = in_front_of(stops);
        let (opening, closing) = (marks.quotes & inside & line, marks.quotes & !inside & line);
        let begins = (delimiters << 1) | self.begins;
        let behind_closing = (closing << 1) | self.closed;
        self.inside = 0u64.wrapping_sub(inside >> (BLOCK - 1));
        self.closed = closing >> (BLOCK - 1);
        self.doubled |= opening & behind_closing != 0;
        opening & !(begins | behind_closing) == 0
            && behind_closing & !(opening | delimiters | stops) == 0
            && marks.line_ends & inside & line == 0
    }
}

/// Adds the places of these bits.
fn note(mut bits: u64, from: usize, cuts: &mut Vec<usize>) {
    while bits != 0 {
        let (count, begun) = (bits.count_ones() as usize, cuts.len());
        cuts.extend([(); AT_ONCE].map(|()| {
            let place = from + bits.trailing_zeros() as usize;
            bits &= bits.wrapping_sub(1);
            place
        }));
        cuts.truncate(begun + count);
    }
}

/// What is looked for, sixteen times each.
struct Look {
    delimiter: u8x16,
    quote: u8x16,
    /// All bits, or none where quotes are text.
    quotes: u64,
    lf: u8x16,
    cr: u8x16,
}

impl Look {
    #[inline]
    fn new(dialect: Dialect) -> Self {
        let [delimiter, quote, lf, cr] = [dialect.delimiter, dialect.quote.unwrap_or_default(), b'\n', b'\r'].map(u8x16::splat);
        Self { delimiter, quote, quotes: if dialect.quote.is_some() { u64::MAX } else { 0 }, lf, cr }
    }

    #[inline]
    fn at(&self, block: &[u8; BLOCK]) -> Marks {
        let mut marks = Marks { delimiters: 0, quotes: 0, line_ends: 0, odd: 0 };
        for (number, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            let bytes = u8x16::new(*bytes);
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (number * 16);
            marks.delimiters |= bits(bytes.simd_eq(self.delimiter));
            marks.quotes |= bits(bytes.simd_eq(self.quote)) & self.quotes;
            marks.line_ends |= bits(bytes.simd_eq(self.lf) | bytes.simd_eq(self.cr));
            // Of a byte its highest bit is taken, which those of ASCII have not.
            marks.odd |= bits(bytes | bytes.simd_eq(u8x16::ZERO));
        }
        marks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn dialect(quote: Option<u8>) -> Dialect {
        Dialect { delimiter: b',', quote, comment: None, escape: None }
    }

    type Found = Option<(usize, Vec<usize>, [bool; 3])>;

    /// The same, a cell at a time.
    fn plainly(input: &[u8], dialect: Dialect) -> Found {
        let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let is_quote = |byte: &u8| Some(*byte) == dialect.quote;
        let (mut at, mut cuts, mut quoted, mut doubled) = (0, Vec::new(), false, false);
        loop {
            if input.get(at).is_some_and(is_quote) {
                quoted = true;
                let inside = &input[at + 1..];
                let mut length = 0;
                loop {
                    length += inside[length..].iter().position(is_quote)?;
                    if !inside.get(length + 1).is_some_and(is_quote) {
                        break;
                    }
                    doubled = true;
                    length += 2;
                }
                if inside[..length].iter().any(is_line_end) {
                    return None;
                }
                at += length + 2;
            } else {
                let rest = &input[at.min(input.len())..];
                at += rest.iter().position(|byte| *byte == dialect.delimiter || is_line_end(byte) || is_quote(byte))?;
            }
            match input.get(at)? {
                byte if is_line_end(byte) => {
                    let line = &input[..at];
                    return Some((at, cuts, [line.is_ascii() && !line.contains(&0), quoted, doubled]));
                }
                byte if *byte == dialect.delimiter => cuts.push(at),
                _ => return None,
            }
            at += 1;
        }
    }

    fn found(input: &[u8], dialect: Dialect) -> Found {
        let mut cuts = vec![7];
        cut(input, dialect, &mut cuts)
            .map(|Cut { end, known_ascii, quoted, doubled }| (end, cuts.split_off(1), [known_ascii, quoted, doubled]))
    }

    #[test]
    fn every_byte_of_a_block_is_looked_at() {
        for length in [0, 1, 15, 16, 63, 64, 65, 127, 128, 200] {
            for at in 0..=length {
                for byte in [b',', b'"', b'\n', b'\r', 0, 0x7F, 0x80, 0xFF, b'x'] {
                    let mut input = vec![b'x'; length];
                    input.insert(at, byte);
                    input.push(b'\n');
                    for quote in [None, Some(b'"'), Some(0)] {
                        assert_eq!(found(&input, dialect(quote)), plainly(&input, dialect(quote)), "{byte} at {at} of {length}");
                    }
                    assert_eq!(found(&input[..at], dialect(None)), None, "no line end is made up");
                }
            }
        }
    }

    #[test]
    fn a_line_may_be_all_delimiters() {
        for length in [0, 7, 8, 9, 64, 100] {
            let input = [vec![b','; length], b"\r\n".to_vec()].concat();
            assert_eq!(found(&input, dialect(Some(b'"'))), Some((length, (0..length).collect(), [true, false, false])));
        }
    }

    #[test]
    fn quotes_are_judged_wherever_a_block_ends() {
        let lines: [(&[u8], bool); 15] = [
            (b"\"a,b\",c,\"\"\n", true),
            (b"\"\"\n", true),
            (b"\",\",\",\"\r\n", true),
            (b"a,\"b\"\n\"", true),
            (b"\"a\"\"b\",c\n", true),
            (b"\"a\"\"\",\"\"\"c\"\n", true),
            (b"\"\"a\"\",c\n", false),
            (b"\"\"\"a\n", false),
            (b"a\"b,c\n", false),
            (b" \"a\",c\n", false),
            (b"\"a\" ,c\n", false),
            (b"\"a\nb\",c\n", false),
            (b"\"a,c\n", false),
            (b"\"\"\"\"\n", true),
            (b"a,\"b\"c\n", false),
        ];
        for (line, is_plain) in lines {
            for before in 0..200 {
                let input = [&vec![b'x'; before], b",".as_slice(), line, b"next\n"].concat();
                let found = found(&input, dialect(Some(b'"')));
                assert_eq!(found, plainly(&input, dialect(Some(b'"'))), "{} behind {before}", line.escape_ascii());
                assert_eq!(found.is_some(), is_plain, "{} behind {before}", line.escape_ascii());
            }
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_is_there(input in prop::collection::vec(prop::sample::select(b"abcdef0,,;\"'\r\n\0\x80\xC3".to_vec()), 0..300), quoted: bool) {
            let quote = quoted.then_some(b'"');
            prop_assert_eq!(found(&input, dialect(quote)), plainly(&input, dialect(quote)));
        }

        #[test]
        fn it_finds_long_lines(cells in prop::collection::vec("[a-z]{0,20}|\"([a-z,]|\"\"){0,20}\"|\"[a-z\"]{0,5}", 1..30), behind in "[a-z,\n\"]{0,100}") {
            let input = format!("{}\n{behind}", cells.join(",")).into_bytes();
            prop_assert_eq!(found(&input, dialect(Some(b'"'))), plainly(&input, dialect(Some(b'"'))));
        }
    }
}
