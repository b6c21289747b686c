//! Small numbers of so many bits each, in runs: which text of a dictionary a value is, or whether it is there at all.

use bytes::Bytes;

/// The format calls them RLE, and hybrids of run lengths and packed bits.
pub(super) struct Numbers {
    bytes: Bytes,
    /// Behind the run that is read.
    at: usize,
    /// Bits of a number.
    width: u32,
    run: Run,
}

enum Run {
    /// One number, so often.
    Same { number: u32, left: usize },
    /// Numbers one beside the other, from this bit of all bytes on.
    Packed { bit: usize, left: usize },
}

impl Numbers {
    /// `None`: numbers are not as wide.
    pub(super) fn new(bytes: Bytes, width: u32) -> Option<Self> {
        (width <= u32::BITS).then_some(Self { bytes, at: 0, width, run: Run::Same { number: 0, left: 0 } })
    }

    /// `None`: there are no more.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u32> {
        loop {
            match &mut self.run {
                Run::Same { number, left: left @ 1.. } => {
                    *left -= 1;
                    return Some(*number);
                }
                Run::Packed { bit, left: left @ 1.. } => {
                    let word = word(&self.bytes[*bit / 8..]) >> (*bit % 8);
                    *left -= 1;
                    *bit += self.width as usize;
                    return Some((word & ((1 << self.width) - 1)) as u32);
                }
                Run::Same { .. } | Run::Packed { .. } => self.begin()?,
            }
        }
    }

    /// The next run.
    fn begin(&mut self) -> Option<()> {
        let (head, read) = varint(self.bytes.get(self.at..)?)?;
        self.at += read;
        let (rest, count) = (self.bytes.len() - self.at, (head >> 1) as usize);
        if head & 1 == 0 {
            let length = self.width.div_ceil(8) as usize;
            let number = word(self.bytes[self.at..].get(..length)?) as u32;
            self.at += length;
            self.run = Run::Same { number, left: count };
            return Some(());
        }
        // Groups of eight. Some leave out what would fill up the last one.
        let (numbers, length) = (count.saturating_mul(8), count.saturating_mul(self.width as usize).min(rest));
        let left = if self.width == 0 { numbers } else { numbers.min(length * 8 / self.width as usize) };
        self.run = Run::Packed { bit: self.at * 8, left };
        self.at += length;
        Some(())
    }
}

/// Up to eight bytes, the lowest first.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_le_bytes(*eight),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Seven bits a byte, and how many bytes they take.
fn varint(bytes: &[u8]) -> Option<(u32, usize)> {
    let end = bytes.iter().take(5).position(|byte| byte & 0x80 == 0)?;
    let number = bytes[..=end].iter().rev().fold(0, |number, byte| number << 7 | u64::from(byte & 0x7F));
    Some((u32::try_from(number).ok()?, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &'static [u8], width: u32) -> Vec<u32> {
        let mut numbers = Numbers::new(Bytes::from_static(bytes), width).unwrap();
        std::iter::from_fn(|| numbers.next()).collect()
    }

    #[test]
    fn numbers_come_in_runs() {
        // The example of the format's specification: 0 to 7 with three bits each.
        assert_eq!(all(&[3, 0x88, 0xC6, 0xFA], 3), (0..8).collect::<Vec<_>>());
        assert_eq!(all(&[8, 5, 3, 0x88, 0xC6, 0xFA, 2, 1], 3), [5, 5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7, 1]);
        assert_eq!(all(&[4, 0x34, 0x12], 12), [0x1234, 0x1234]);
        assert_eq!(all(&[3, 1, 2, 3, 4, 5, 6, 7, 8, 9], 9)[..2], [0x0201 & 0x1FF, 0x0302 >> 1 & 0x1FF]);
        assert_eq!(all(&[0xC8, 0x01, 7], 3), [7; 100]);
        assert_eq!((all(&[6], 0), all(&[3], 0)), (vec![0; 3], vec![0; 8]));
        let full = all(&[3, 1, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0, 0], 32);
        assert_eq!(full, [1, 2, u32::MAX, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn no_number_is_made_up() {
        for (bytes, width, count) in
            [(&b""[..], 3, 0), (&[3], 3, 0), (&[3, 0x88], 3, 2), (&[8], 3, 0), (&[0xFF; 9], 1, 0), (&[0, 0, 0], 0, 0)]
        {
            assert_eq!(all(bytes, width).len(), count, "{bytes:?}");
        }
        // As many as a head can say, of which none are there.
        assert_eq!(all(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 1], 32).len(), 0);
        assert!(Numbers::new(Bytes::new(), 33).is_none());
    }
}
