//! Record ids: three characters of object, three of pod, nine of number in base 62; the 18-character form adds a checksum
//! from which the case of the first fifteen can be restored.

const POD: &[u8; 3] = b"5e0";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The 18-character id of row `number` of an object.
pub(crate) fn format(prefix: &str, number: u64) -> String {
    let mut id = Vec::with_capacity(18);
    id.extend_from_slice(prefix.as_bytes());
    id.extend_from_slice(POD);
    let mut rest = number;
    let mut digits = [b'0'; 9];
    for digit in digits.iter_mut().rev() {
        *digit = DIGITS[(rest % 62) as usize];
        rest /= 62;
    }
    id.extend_from_slice(&digits);
    let suffix = suffix(&id);
    id.extend_from_slice(&suffix);
    String::from_utf8(id).expect("ids are ASCII")
}

/// The canonical 18 characters of an id given in either form; nothing when it is no id at all.
pub(crate) fn canonical(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    if !bytes.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    let mut id = match bytes.len() {
        15 => bytes.to_vec(),
        18 => restore_case(bytes)?,
        _ => return None,
    };
    let suffix = suffix(&id);
    id.extend_from_slice(&suffix);
    String::from_utf8(id).ok()
}

/// The row number behind a canonical id of this organisation.
pub(crate) fn number(id: &str) -> Option<u64> {
    let bytes = id.as_bytes();
    if bytes.get(3..6)? != POD {
        return None;
    }
    bytes.get(6..15)?.iter().try_fold(0u64, |number, byte| {
        let digit = DIGITS.iter().position(|digit| digit == byte)? as u64;
        number.checked_mul(62)?.checked_add(digit)
    })
}

fn suffix(id: &[u8]) -> [u8; 3] {
    let mut suffix = [0; 3];
    for (i, block) in id[..15].chunks(5).enumerate() {
        let bits = block.iter().enumerate().filter(|(_, c)| c.is_ascii_uppercase()).fold(0, |bits, (k, _)| bits | 1 << k);
        suffix[i] = CHECKS[bits];
    }
    suffix
}

/// The 18-character form compares case-insensitively: its suffix says which letters are capitals.
fn restore_case(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut id = Vec::with_capacity(18);
    for (i, block) in bytes[..15].chunks(5).enumerate() {
        let bits = CHECKS.iter().position(|check| *check == bytes[15 + i].to_ascii_uppercase())?;
        for (k, c) in block.iter().enumerate() {
            let capital = bits & (1 << k) != 0;
            if capital && !c.is_ascii_alphabetic() {
                return None;
            }
            id.push(if capital { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() });
        }
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_ids_get_their_real_suffix() {
        let vectors = [
            "0015500001QdQWaAAN",
            "750R0000000zlh9IAA",
            "012000000000000AAA",
            "005600000045vWeAAI",
            "01I28000001HT0sEAG",
            "01I28000001aDreEAE",
            "0018c00002DJIpJAAX",
        ];
        for id in vectors {
            assert_eq!(canonical(&id[..15]).as_deref(), Some(id));
            assert_eq!(canonical(&id.to_ascii_lowercase()).as_deref(), Some(id));
            assert_eq!(canonical(&id.to_ascii_uppercase()).as_deref(), Some(id));
        }
    }

    #[test]
    fn row_numbers_survive_the_round_trip() {
        for n in [1, 61, 62, 9_999, 150_000_000] {
            let id = format("a00", n);
            assert_eq!(id.len(), 18);
            assert_eq!(number(&id), Some(n));
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in ["", "x", "0015500001QdQWa!AN", "0015500001QdQWa999", "0015500001QdQW"] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
