//! Cuts a line that is there as a whole and has no quote. Nearly every row of a file goes through here: where it ends, where its delimiters
//! are and whether anything in it wants a closer look is found in one pass, 64 bytes at a time.

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
}

/// What is where in a block, the first byte in the lowest bit.
struct Marks {
    delimiters: u64,
    /// Line ends and quotes.
    stops: u64,
    /// NUL and bytes of characters beyond ASCII.
    odd: u64,
}

/// The line that the input begins with, unless it goes on behind the input or has a quote. Adds where its delimiters are to `cuts`, which
/// has something of no meaning in it when there is no such line.
pub(super) fn cut(input: &[u8], dialect: Dialect, cuts: &mut Vec<usize>) -> Option<Cut> {
    let look = Look::new(dialect);
    let mut known_ascii = true;
    let (blocks, rest) = input.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let behind = blocks.len() * BLOCK;
    let mut take = |from: usize, block: &[u8; BLOCK]| {
        let Marks { delimiters, stops, odd } = look.at(block);
        let stop = stops.trailing_zeros() as usize;
        // All bits in front of the stop, or all if there is none.
        let line = stops.wrapping_sub(1) & !stops;
        note(delimiters & line, from, cuts);
        known_ascii &= odd & line == 0;
        (stops != 0).then_some(from + stop)
    };
    let end = blocks.iter().enumerate().find_map(|(number, block)| take(number * BLOCK, block));
    let end = end.or_else(|| take(behind, &last))?;
    // Nothing that fills up the last block is meant.
    let stop = *input.get(end)?;
    (Some(stop) != dialect.quote).then_some(Cut { end, known_ascii })
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
    /// Without quotes a line end once more.
    quote: u8x16,
    lf: u8x16,
    cr: u8x16,
}

impl Look {
    #[inline]
    fn new(dialect: Dialect) -> Self {
        let [delimiter, quote, lf, cr] = [dialect.delimiter, dialect.quote.unwrap_or(b'\n'), b'\n', b'\r'].map(u8x16::splat);
        Self { delimiter, quote, lf, cr }
    }

    #[inline]
    fn at(&self, block: &[u8; BLOCK]) -> Marks {
        let mut marks = Marks { delimiters: 0, stops: 0, odd: 0 };
        for (number, bytes) in block.as_chunks::<16>().0.iter().enumerate() {
            let bytes = u8x16::new(*bytes);
            let bits = |mask: u8x16| u64::from(mask.to_bitmask()) << (number * 16);
            marks.delimiters |= bits(bytes.simd_eq(self.delimiter));
            marks.stops |= bits(bytes.simd_eq(self.quote) | bytes.simd_eq(self.lf) | bytes.simd_eq(self.cr));
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

    /// The same, a byte at a time.
    fn plainly(input: &[u8], dialect: Dialect) -> Option<(usize, Vec<usize>, bool)> {
        let is_stop = |byte: u8| byte == b'\n' || byte == b'\r' || Some(byte) == dialect.quote;
        let end = input.iter().position(|byte| is_stop(*byte))?;
        let line = &input[..end];
        let cuts = (0..end).filter(|at| line[*at] == dialect.delimiter).collect();
        (Some(input[end]) != dialect.quote).then(|| (end, cuts, line.is_ascii() && !line.contains(&0)))
    }

    fn found(input: &[u8], dialect: Dialect) -> Option<(usize, Vec<usize>, bool)> {
        let mut cuts = vec![7];
        cut(input, dialect, &mut cuts).map(|Cut { end, known_ascii }| (end, cuts.split_off(1), known_ascii))
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
            assert_eq!(found(&input, dialect(Some(b'"'))), Some((length, (0..length).collect(), true)));
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_is_there(input in prop::collection::vec(prop::sample::select(b"abcdef0,,;\"'\r\n\0\x80\xC3".to_vec()), 0..300), quoted: bool) {
            let quote = quoted.then_some(b'"');
            prop_assert_eq!(found(&input, dialect(quote)), plainly(&input, dialect(quote)));
        }

        #[test]
        fn it_finds_long_lines(line in "[a-z,]{0,400}", behind in "[a-z,\n\"]{0,100}") {
            let input = format!("{line}\n{behind}").into_bytes();
            prop_assert_eq!(found(&input, dialect(Some(b'"'))), plainly(&input, dialect(Some(b'"'))));
        }
    }
}
