//! Whole numbers of many bytes → all their digits, with a point where it belongs.

use super::limits::MAX_NUMBER;

/// Nine digits at a time.
const NINE: u64 = 1_000_000_000;

/// Appends a number in two's complement, its highest byte first, which counts in parts of ten to the power of `scale`.
pub(super) fn write(bytes: &[u8], scale: usize, text: &mut String) -> Result<(), &'static str> {
    let negative = bytes.first().is_some_and(|first| first & 0x80 != 0);
    let filling = if negative { 0xFF } else { 0 };
    // What is in front of a number may be as long as a file.
    let start = bytes.iter().position(|byte| *byte != filling).unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    if bytes.len() > MAX_NUMBER {
        return Err("a number of more than 76 digits");
    }
    let mut number = [filling; MAX_NUMBER + 4];
    let place = number.len() - bytes.len();
    number[place..].copy_from_slice(bytes);
    let mut limbs: Vec<u32> = number.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).collect();
    if negative {
        negate(&mut limbs);
    }
    let mut digits = String::new();
    for nine in nines(&mut limbs).iter().rev() {
        digits.push_str(&format!("{nine:09}"));
    }
    let digits = digits.trim_start_matches('0');
    // A zero before the point.
    let digits = format!("{digits:0>width$}", width = scale + 1);
    if negative {
        text.push('-');
    }
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    text.push_str(whole);
    if scale > 0 {
        text.push('.');
        text.push_str(fraction);
    }
    Ok(())
}

fn negate(limbs: &mut [u32]) {
    let mut carry = true;
    for limb in limbs.iter_mut().rev() {
        (*limb, carry) = (!*limb).overflowing_add(u32::from(carry));
    }
}

/// Divides until nothing is left; the last nine digits come first.
fn nines(limbs: &mut [u32]) -> Vec<u32> {
    let mut found = Vec::new();
    while limbs.iter().any(|limb| *limb != 0) {
        let mut rest = 0;
        for limb in limbs.iter_mut() {
            let number = rest << 32 | u64::from(*limb);
            *limb = (number / NINE) as u32;
            rest = number % NINE;
        }
        found.push(rest as u32);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(bytes: &[u8], scale: usize) -> Result<String, &'static str> {
        let mut text = String::new();
        write(bytes, scale, &mut text).map(|()| text)
    }

    #[test]
    fn all_digits_are_written() {
        let ends = [(0x7F, 0xFF, ""), (0x80, 0x00, "-")];
        // The largest number of 32 bytes, and the smallest.
        let largest = "57896044618658097711785492504343953926634992332820282019728792003956564819967";
        let smallest = "57896044618658097711785492504343953926634992332820282019728792003956564819968";
        for ((first, rest, sign), digits) in ends.into_iter().zip([largest, smallest]) {
            let mut bytes = [rest; 32];
            bytes[0] = first;
            assert_eq!(told(&bytes, 0).unwrap(), format!("{sign}{digits}"));
            assert_eq!(told(&bytes, 76).unwrap(), format!("{sign}{}.{}", &digits[..1], &digits[1..]));
        }
        for (bytes, scale, expected) in [
            (&[][..], 0, "0"),
            (&[0], 0, "0"),
            (&[0], 2, "0.00"),
            (&[0, 0, 5], 3, "0.005"),
            (&[0xFF], 0, "-1"),
            (&[0xFF, 0xFF, 0x6A], 2, "-1.50"),
            (&[0x3B, 0x9A, 0xCA, 0x00], 0, "1000000000"),
            (&[0xFF; 1000], 0, "-1"),
        ] {
            assert_eq!(told(bytes, scale).as_deref(), Ok(expected));
        }
        assert!(told(&[1; 33], 0).is_err());
    }

    proptest! {
        #[test]
        fn it_is_the_number(number: i128, scale in 0_usize..40) {
            let text = told(&number.to_be_bytes(), scale).unwrap();
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert_eq!(fraction.len(), scale);
            prop_assert_eq!(format!("{whole}{fraction}").parse::<i128>().unwrap(), number);
        }
    }
}
