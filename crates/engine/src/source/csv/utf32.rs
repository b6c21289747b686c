//! UTF-32: four bytes a character.

/// Which byte of a character comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Utf32 {
    /// The lowest.
    Little,
    /// The highest.
    Big,
}

pub(super) struct Decoder {
    order: Utf32,
    /// Of a character that the last piece did not end.
    begun: Vec<u8>,
}

impl Decoder {
    pub(super) fn new(order: Utf32) -> Self {
        Self { order, begun: Vec::new() }
    }

    /// The text as UTF-8, with the byte `malformed` for what is no character: halves of a surrogate pair, what is beyond the last
    /// character, and what is cut off at the end.
    pub(super) fn decode(&mut self, bytes: &[u8], last: bool, malformed: u8) -> Vec<u8> {
        let joined;
        let bytes = if self.begun.is_empty() {
            bytes
        } else {
            joined = [&self.begun, bytes].concat();
            &joined
        };
        let mut out = Vec::with_capacity(bytes.len() / 4);
        let (units, rest) = bytes.as_chunks::<4>();
        for unit in units {
            let unit = match self.order {
                Utf32::Little => u32::from_le_bytes(*unit),
                Utf32::Big => u32::from_be_bytes(*unit),
            };
            match char::from_u32(unit) {
                Some(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                None => out.push(malformed),
            }
        }
        self.begun = rest.to_vec();
        if last && !std::mem::take(&mut self.begun).is_empty() {
            out.push(malformed);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(order: Utf32, bytes: &[u8], step: usize) -> Vec<u8> {
        let mut decoder = Decoder::new(order);
        let mut out: Vec<u8> = bytes.chunks(step).flat_map(|piece| decoder.decode(piece, false, b'!')).collect();
        out.extend(decoder.decode(&[], true, b'!'));
        out
    }

    #[test]
    fn characters_are_read_in_either_order_and_in_pieces_of_any_size() {
        let text = "a,Zoë 🛫\n";
        let little: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let big: Vec<u8> = text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        for step in 1..9 {
            assert_eq!(decoded(Utf32::Little, &little, step), text.as_bytes());
            assert_eq!(decoded(Utf32::Big, &big, step), text.as_bytes());
        }
    }

    #[test]
    fn what_is_no_character_is_told() {
        let units: Vec<u8> = [0x41, 0xD800, 0x42, 0x0011_0000, u32::MAX, 0x43].into_iter().flat_map(u32::to_le_bytes).collect();
        for step in 1..9 {
            assert_eq!(decoded(Utf32::Little, &units, step), b"A!B!!C");
            assert_eq!(decoded(Utf32::Little, &units[..6], step), b"A!");
        }
    }
}
