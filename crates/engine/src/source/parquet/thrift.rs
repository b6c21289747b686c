//! Just enough of Thrift's compact protocol, in which a footer and the headers of pages are written, to look into them before anything is set
//! aside for what they claim. `None`: it is malformed, or has more in it than it may.

use super::limits::{MAX_DEPTH, MAX_ENTRIES};

/// What a field or an entry of a list is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    True,
    False,
    Byte,
    /// Of 16, 32 or 64 bits.
    Number,
    Double,
    Bytes,
    List,
    Map,
    Struct,
    Uuid,
}

impl Kind {
    fn of(sign: u8) -> Option<Self> {
        Some(match sign {
            1 => Self::True,
            2 => Self::False,
            3 => Self::Byte,
            4..=6 => Self::Number,
            7 => Self::Double,
            8 => Self::Bytes,
            9 | 10 => Self::List,
            11 => Self::Map,
            12 => Self::Struct,
            13 => Self::Uuid,
            _ => return None,
        })
    }

    /// Of a list. Truths are none: nothing that we read has a list of them, and the crate that decodes passes over one as if its entries took
    /// no bytes. What it takes for a list behind it may then claim two thousand million entries, which it passes over one by one.
    fn entry(self) -> Option<Self> {
        (!matches!(self, Self::True | Self::False)).then_some(self)
    }
}

/// What was not read yet.
pub(super) struct Thrift<'b> {
    rest: &'b [u8],
    /// Entries of lists that there may still be.
    entries: usize,
}

impl<'b> Thrift<'b> {
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes, entries: MAX_ENTRIES }
    }

    /// Bytes that were not read.
    pub(super) fn left(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// A number without sign, seven bits in a byte.
    pub(super) fn unsigned(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn number(&mut self) -> Option<i64> {
        let number = self.unsigned()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    pub(super) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = self.unsigned()?;
        self.take(usize::try_from(length).ok()?)
    }

    /// Calls `field` with the number and the kind of each field of a struct; it has to read or skip the value.
    pub(super) fn fields(&mut self, mut field: impl FnMut(&mut Self, i16, Kind) -> Option<()>) -> Option<()> {
        let mut last: i16 = 0;
        loop {
            let head = self.byte()?;
            if head & 0x0F == 0 {
                return Some(());
            }
            let kind = Kind::of(head & 0x0F)?;
            last = match head >> 4 {
                0 => i16::try_from(self.number()?).ok()?,
                more => last.checked_add(i16::from(more))?,
            };
            field(self, last, kind)?;
        }
    }

    /// The kind of the entries of a list, and how many there are.
    pub(super) fn list(&mut self) -> Option<(Kind, usize)> {
        let head = self.byte()?;
        // So some write an empty list.
        if head == 0 {
            return Some((Kind::Byte, 0));
        }
        let count = match head >> 4 {
            15 => usize::try_from(self.unsigned()?).ok()?,
            few => usize::from(few),
        };
        let kind = Kind::of(head & 0x0F)?.entry()?;
        self.count(count)?;
        Some((kind, count))
    }

    fn count(&mut self, entries: usize) -> Option<()> {
        // Each takes a byte at least.
        self.entries = self.entries.checked_sub(entries).filter(|_| entries <= self.rest.len())?;
        Some(())
    }

    /// Passes over the value of a field.
    pub(super) fn skip(&mut self, kind: Kind) -> Option<()> {
        self.skip_within(kind, MAX_DEPTH)
    }

    fn skip_within(&mut self, kind: Kind, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // It stands in the head of its field.
            Kind::True | Kind::False => {}
            Kind::Byte => _ = self.byte()?,
            Kind::Number => _ = self.unsigned()?,
            Kind::Double => _ = self.take(8)?,
            Kind::Uuid => _ = self.take(16)?,
            Kind::Bytes => _ = self.bytes()?,
            Kind::List => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_within(kind, depth)?;
                }
            }
            Kind::Map => {
                let count = usize::try_from(self.unsigned()?).ok()?;
                if count > 0 {
                    self.count(count)?;
                    let kinds = self.byte()?;
                    let (key, value) = (Kind::of(kinds >> 4)?.entry()?, Kind::of(kinds & 0x0F)?.entry()?);
                    for _ in 0..count {
                        self.skip_within(key, depth)?;
                        self.skip_within(value, depth)?;
                    }
                }
            }
            Kind::Struct => self.fields(|thrift, _, kind| thrift.skip_within(kind, depth))?,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_maps_of_truths_are_malformed() {
        let skipped = |kind: Kind, bytes: &[u8]| Thrift::new(bytes).skip(kind).is_some();
        assert!(skipped(Kind::List, &[0x13, 0x01]), "control: one byte");
        assert!(skipped(Kind::Map, &[0x01, 0x33, 0x01, 0x01]), "control: a byte by a byte");
        // A truth that is a field stands in its head.
        assert!(skipped(Kind::Struct, &[0x11, 0x12, 0x00]));
        for truth in [1, 2] {
            assert!(!skipped(Kind::List, &[0x10 | truth, 0x01]));
            assert!(!skipped(Kind::Map, &[0x01, 0x30 | truth, 0x01, 0x01]));
            assert!(!skipped(Kind::Map, &[0x01, truth << 4 | 0x03, 0x01, 0x01]));
        }
    }
}
