//! Numbers in the bytes of records. `None`: they break off.

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
