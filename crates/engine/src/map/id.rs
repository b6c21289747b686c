//! Record ids: 15 characters that mind case, or 18 whose last three say which of the others are capitals, so that a tool
//! that changed case is found out.

const SUFFIX: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// Why this is no id.
pub(super) fn check(id: &[u8]) -> Result<(), &'static str> {
    if !id.iter().all(u8::is_ascii_alphanumeric) {
        return Err("ids have only letters and digits");
    }
    match id.len() {
        15 => Ok(()),
        18 if id[..15].chunks(5).map(suffix).eq(id[15..].iter().map(u8::to_ascii_uppercase)) => Ok(()),
        18 => Err("its last three characters do not fit the others; a spreadsheet or a tool that changes case has damaged it"),
        _ => Err("ids have 15 or 18 characters"),
    }
}

fn suffix(block: &[u8]) -> u8 {
    let bits = block.iter().enumerate().map(|(bit, byte)| usize::from(byte.is_ascii_uppercase()) << bit).sum::<usize>();
    SUFFIX[bits]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_real_orgs_pass_in_both_lengths() {
        for id in [
            "0015500001QdQWaAAN",
            "750R0000000zlh9IAA",
            "012000000000000AAA",
            "005600000045vWeAAI",
            "01I28000001HT0sEAG",
            "01I28000001aDreEAE",
            "0018c00002DJIpJAAX",
        ] {
            assert_eq!(check(id.as_bytes()), Ok(()), "{id}");
            assert_eq!(check(&id.as_bytes()[..15]), Ok(()), "{id}");
        }
    }

    #[test]
    fn damaged_ids_are_told_apart() {
        assert!(check(b"0015500001qdqwaAAN").unwrap_err().contains("changes case"));
        assert_eq!(check(b"0015500001QdQWaAA").unwrap_err(), "ids have 15 or 18 characters");
        assert_eq!(check(b"0015500001QdQW-").unwrap_err(), "ids have only letters and digits");
    }
}
