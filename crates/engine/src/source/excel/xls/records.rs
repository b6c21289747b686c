//! A stream as its records, and numbers in them.

/// Text that did not fit into the record before it.
pub(super) const CONTINUE: u16 = 0x003C;

/// The records of a stream from a place on.
#[derive(Clone, Copy)]
pub(super) struct Records {
    pub(super) at: usize,
}

impl Records {
    /// Kind and content of the next record. `None`: the stream breaks off.
    pub(super) fn next<'b>(&mut self, stream: &'b [u8]) -> Option<(u16, &'b [u8])> {
        let rest = stream.get(self.at..)?;
        let (kind, length) = (u16_at(rest, 0)?, usize::from(u16_at(rest, 2)?));
        let content = rest.get(4..4 + length)?;
        self.at += 4 + length;
        Some((kind, content))
    }

    /// The same record and those that continue it.
    pub(super) fn whole<'b>(&mut self, stream: &'b [u8], first: &'b [u8]) -> Vec<&'b [u8]> {
        let mut pieces = vec![first];
        loop {
            let mut ahead = *self;
            match ahead.next(stream) {
                Some((CONTINUE, piece)) => {
                    pieces.push(piece);
                    *self = ahead;
                }
                _ => return pieces,
            }
        }
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes)
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(super) fn f64_at(bytes: &[u8], at: usize) -> Option<f64> {
    bytes.get(at..)?.first_chunk().copied().map(f64::from_le_bytes)
}

/// A number in four bytes: the upper half of one of floating point, or a whole one, perhaps in hundredths.
pub(super) fn rk(bytes: &[u8], at: usize) -> Option<f64> {
    let bits = u32_at(bytes, at)?;
    let number = if bits & 2 != 0 { f64::from(bits.cast_signed() >> 2) } else { f64::from_bits(u64::from(bits & !3) << 32) };
    Some(if bits & 1 != 0 { number / 100.0 } else { number })
}
