//! A list of numbers that are told by how each differs from the one before: how many it says that it has, and where it ends.

use super::thrift::Thrift;

/// The head of such a list.
pub(super) struct Differences {
    /// How many numbers it has.
    pub(super) count: u64,
    /// Parts of a block, each with a width of its own.
    parts: usize,
    /// Numbers of a part.
    each: u64,
    /// Bytes of the head.
    head: usize,
}

impl Differences {
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut numbers = Thrift::new(bytes);
        let (block, parts, count, _first) = (numbers.unsigned()?, numbers.unsigned()?, numbers.unsigned()?, numbers.number()?);
        let each = block.checked_div(parts)?;
        Some(Self { count, parts: usize::try_from(parts).ok()?, each, head: bytes.len() - numbers.left() })
    }

    /// Where it ends in the bytes that it was read from.
    pub(super) fn end(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = self.head;
        // The first number stands in the head.
        let mut left = self.count.saturating_sub(1);
        while left > 0 {
            let mut block = Thrift::new(bytes.get(at..)?);
            let _smallest = block.number()?;
            at = bytes.len() - block.left();
            let widths = bytes.get(at..at.checked_add(self.parts)?)?;
            at += self.parts;
            for width in widths {
                if left == 0 {
                    break;
                }
                at = at.checked_add(usize::try_from(u64::from(*width).checked_mul(self.each)? / 8).ok()?)?;
                left = left.saturating_sub(self.each.max(1));
            }
            if widths.is_empty() {
                return None;
            }
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_ends_behind_the_last_part_that_is_needed() {
        // Blocks of 128 in 4 parts of 32 numbers.
        let head = |count: u8| vec![0x80, 0x01, 4, count, 2];
        for (count, body, expected) in [
            (0, vec![], 5),
            (1, vec![], 5),
            // The widths of parts that are not needed may be anything.
            (2, [&[0, 1, 9, 9, 9][..], &[0; 4], &[7; 9]].concat(), 5 + 5 + 4),
            (34, [&[0, 1, 2, 9, 9][..], &[0; 12]].concat(), 5 + 5 + 4 + 8),
        ] {
            let bytes = [head(count), body].concat();
            let list = Differences::read(&bytes).unwrap();
            assert_eq!((list.count, list.end(&bytes)), (u64::from(count), Some(expected)), "{count}");
        }
        let short = [head(100), vec![0]].concat();
        assert_eq!(Differences::read(&short).unwrap().end(&short), None);
        assert!(Differences::read(&[0x80, 0x01, 0, 2, 2]).is_none(), "no parts");
    }
}
