//! Values → texts as Salesforce takes them: plain digits without an exponent, ISO 8601, `true` and `false`.

use std::fmt::Write;

use half::f16;
use parquet::data_type::{ByteArray, FixedLenByteArray, Int96};

use super::decimal;
use super::shape::{Clock, Shape};
use crate::source::values::{OUT_OF_RANGE, clock, day, plain};

/// Why a value is no text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wrong {
    /// Its bytes are not UTF-8.
    NotText,
    /// It is something that Salesforce has no place for.
    NoSuchValue(&'static str),
    /// It has a NUL character.
    Nul,
}

const NOT_FINITE: Wrong = Wrong::NoSuchValue("not a finite number");
const NOT_OF_ITS_TYPE: Wrong = Wrong::NoSuchValue("not one of its column's type");

const DAY_MS: i64 = 86_400_000;

/// A value as it is stored.
pub(super) trait Stored {
    /// Appends the value as text. What does not fit the shape cannot be: the column was compared with it.
    fn tell(&self, shape: Shape, text: &mut String) -> Result<(), Wrong>;

    /// The bytes of a value that is text already, if it is good.
    fn text(&self, _: Shape) -> Option<&[u8]> {
        None
    }
}

impl Stored for bool {
    fn tell(&self, _: Shape, text: &mut String) -> Result<(), Wrong> {
        text.push_str(if *self { "true" } else { "false" });
        Ok(())
    }
}

impl Stored for i32 {
    fn tell(&self, shape: Shape, text: &mut String) -> Result<(), Wrong> {
        match shape {
            Shape::Unsigned => Ok(_ = write!(text, "{}", self.cast_unsigned())),
            Shape::Date => day(i64::from(*self), text).map_err(Wrong::NoSuchValue),
            other => i64::from(*self).tell(other, text),
        }
    }
}

impl Stored for i64 {
    fn tell(&self, shape: Shape, text: &mut String) -> Result<(), Wrong> {
        match shape {
            Shape::Unsigned => Ok(_ = write!(text, "{}", self.cast_unsigned())),
            Shape::Decimal(scale) => decimal::write(&self.to_be_bytes(), scale, text).map_err(Wrong::NoSuchValue),
            Shape::Time(clock) => time(*self, clock, text),
            Shape::Instant(clock) => instant(milliseconds(*self, clock.parts), clock, text),
            _ => Ok(_ = write!(text, "{self}")),
        }
    }
}

impl Stored for Int96 {
    /// Nanoseconds of a day, and the day's number in the count of astronomers, which begins at noon.
    fn tell(&self, shape: Shape, text: &mut String) -> Result<(), Wrong> {
        let Shape::Instant(clock) = shape else { return Err(NOT_OF_ITS_TYPE) };
        let [low, high, day] = self.data() else { return Err(NOT_OF_ITS_TYPE) };
        let nanoseconds = (u64::from(*high) << 32 | u64::from(*low)).cast_signed();
        // 1970-01-01 is the day 2,440,588.
        let days = i64::from(day.cast_signed()) - 2_440_588;
        instant(days * DAY_MS + milliseconds(nanoseconds, clock.parts), clock, text)
    }
}

impl Stored for f32 {
    fn tell(&self, _: Shape, text: &mut String) -> Result<(), Wrong> {
        plain(*self, text).ok_or(NOT_FINITE)
    }
}

impl Stored for f64 {
    fn tell(&self, _: Shape, text: &mut String) -> Result<(), Wrong> {
        plain(*self, text).ok_or(NOT_FINITE)
    }
}

impl Stored for ByteArray {
    fn tell(&self, shape: Shape, text: &mut String) -> Result<(), Wrong> {
        bytes(self.data(), shape, text)
    }

    fn text(&self, shape: Shape) -> Option<&[u8]> {
        (shape == Shape::Text).then(|| self.data())
    }
}

impl Stored for FixedLenByteArray {
    fn tell(&self, shape: Shape, text: &mut String) -> Result<(), Wrong> {
        bytes(self.data(), shape, text)
    }

    fn text(&self, shape: Shape) -> Option<&[u8]> {
        (shape == Shape::Text).then(|| self.data())
    }
}

/// The same for bytes.
pub(super) fn bytes(bytes: &[u8], shape: Shape, text: &mut String) -> Result<(), Wrong> {
    match shape {
        Shape::Decimal(scale) => decimal::write(bytes, scale, text).map_err(Wrong::NoSuchValue),
        Shape::Uuid => {
            for (at, byte) in bytes.iter().enumerate() {
                let _ = write!(text, "{}{byte:02x}", if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" });
            }
            if bytes.len() == 16 { Ok(()) } else { Err(NOT_OF_ITS_TYPE) }
        }
        Shape::Float16 => {
            let bytes = bytes.try_into().map_err(|_| NOT_OF_ITS_TYPE)?;
            float16(f16::from_le_bytes(bytes), text)
        }
        _ => {
            let found = std::str::from_utf8(bytes).map_err(|_| Wrong::NotText)?;
            text.push_str(found);
            if found.contains('\0') { Err(Wrong::Nul) } else { Ok(()) }
        }
    }
}

/// In the fewest digits that stand for it alone among numbers of 16 bits; five are always enough.
fn float16(number: f16, text: &mut String) -> Result<(), Wrong> {
    let wide = number.to_f64();
    let rounded = (0..5).map(|digits| format!("{wide:.digits$e}").parse().unwrap_or(wide));
    plain(rounded.into_iter().find(|rounded| f16::from_f64(*rounded) == number).unwrap_or(wide), text).ok_or(NOT_FINITE)
}

/// Salesforce keeps no finer part of a second; a part is never rounded up into the next one.
fn milliseconds(count: i64, parts: i64) -> i64 {
    count.div_euclid(parts / 1_000)
}

/// With a `Z` when it is one of UTC.
fn time(count: i64, of: Clock, text: &mut String) -> Result<(), Wrong> {
    let time = milliseconds(count, of.parts);
    if !(0..DAY_MS).contains(&time) {
        return Err(Wrong::NoSuchValue("not a time of day"));
    }
    clock(time, text);
    if of.utc {
        text.push('Z');
    }
    Ok(())
}

/// The same with its day.
fn instant(milliseconds: i64, of: Clock, text: &mut String) -> Result<(), Wrong> {
    day(milliseconds.div_euclid(DAY_MS), text).map_err(Wrong::NoSuchValue)?;
    text.push('T');
    time(milliseconds.rem_euclid(DAY_MS), Clock { parts: 1_000, ..of }, text).map_err(|_| Wrong::NoSuchValue(OUT_OF_RANGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(value: &dyn Stored, shape: Shape) -> Result<String, Wrong> {
        let mut text = String::new();
        value.tell(shape, &mut text).map(|()| text)
    }

    const UTC: Clock = Clock { parts: 1_000_000, utc: true };
    const LOCAL: Clock = Clock { parts: 1_000_000_000, utc: false };

    fn int96(day: i64, nanoseconds: i64) -> Int96 {
        let mut value = Int96::new();
        let nanoseconds = nanoseconds.cast_unsigned();
        value.set_data(nanoseconds as u32, (nanoseconds >> 32) as u32, (day + 2_440_588) as u32);
        value
    }

    #[test]
    fn values_are_written_as_salesforce_reads_them() {
        let uuid = FixedLenByteArray::from((0..16).collect::<Vec<u8>>());
        let half = |number: f32| FixedLenByteArray::from(f16::from_f32(number).to_le_bytes().to_vec());
        let cases: [(&dyn Stored, Shape, &str); 32] = [
            (&true, Shape::Plain, "true"),
            (&false, Shape::Plain, "false"),
            (&i32::MIN, Shape::Plain, "-2147483648"),
            (&-1_i32, Shape::Unsigned, "4294967295"),
            (&255_i32, Shape::Unsigned, "255"),
            (&i64::MIN, Shape::Plain, "-9223372036854775808"),
            (&-1_i64, Shape::Unsigned, "18446744073709551615"),
            (&0.1_f32, Shape::Plain, "0.1"),
            (&f32::MAX, Shape::Plain, "340282350000000000000000000000000000000"),
            (&0.1_f64, Shape::Plain, "0.1"),
            (&-0.0_f64, Shape::Plain, "0"),
            (&1e-7_f64, Shape::Plain, "0.0000001"),
            (&1e21_f64, Shape::Plain, "1000000000000000000000"),
            (&half(0.1), Shape::Float16, "0.1"),
            (&half(65504.0), Shape::Float16, "65500"),
            (&half(-0.000_000_06), Shape::Float16, "-0.00000006"),
            (&half(1.0 / 3.0), Shape::Float16, "0.3333"),
            (&-150_i32, Shape::Decimal(2), "-1.50"),
            (&5_i64, Shape::Decimal(3), "0.005"),
            (&ByteArray::from("Zoë 🛫"), Shape::Text, "Zoë 🛫"),
            (&uuid, Shape::Uuid, "00010203-0405-0607-0809-0a0b0c0d0e0f"),
            (&0_i32, Shape::Date, "1970-01-01"),
            (&-719_162_i32, Shape::Date, "0001-01-01"),
            (&2_932_896_i32, Shape::Date, "9999-12-31"),
            (&34_200_000_i32, Shape::Time(Clock { parts: 1_000, utc: false }), "09:30:00.000"),
            (&86_399_999_999_i64, Shape::Time(UTC), "23:59:59.999Z"),
            (&1_706_725_815_999_999_i64, Shape::Instant(UTC), "2024-01-31T18:30:15.999Z"),
            (&-1_i64, Shape::Instant(UTC), "1969-12-31T23:59:59.999Z"),
            (&1_706_725_815_000_000_001_i64, Shape::Instant(LOCAL), "2024-01-31T18:30:15.000"),
            (&int96(19_753, 66_615_500_000_000), Shape::Instant(LOCAL), "2024-01-31T18:30:15.500"),
            (&int96(0, -1), Shape::Instant(LOCAL), "1969-12-31T23:59:59.999"),
            (&int96(-719_162, 0), Shape::Instant(LOCAL), "0001-01-01T00:00:00.000"),
        ];
        for (value, shape, expected) in cases {
            assert_eq!(told(value, shape).as_deref(), Ok(expected), "{shape:?}");
        }
    }

    #[test]
    fn what_salesforce_cannot_hold_is_told() {
        let cases: [(&dyn Stored, Shape, Wrong); 15] = [
            (&f32::NAN, Shape::Plain, NOT_FINITE),
            (&f64::NEG_INFINITY, Shape::Plain, NOT_FINITE),
            (&FixedLenByteArray::from(f16::NAN.to_le_bytes().to_vec()), Shape::Float16, NOT_FINITE),
            (&FixedLenByteArray::from(f16::INFINITY.to_le_bytes().to_vec()), Shape::Float16, NOT_FINITE),
            (&FixedLenByteArray::from(vec![0; 3]), Shape::Float16, NOT_OF_ITS_TYPE),
            (&FixedLenByteArray::from(vec![0; 17]), Shape::Uuid, NOT_OF_ITS_TYPE),
            (&ByteArray::from(vec![0xFF]), Shape::Text, Wrong::NotText),
            (&ByteArray::from("a\0"), Shape::Text, Wrong::Nul),
            (&-719_163_i32, Shape::Date, Wrong::NoSuchValue(OUT_OF_RANGE)),
            (&2_932_897_i32, Shape::Date, Wrong::NoSuchValue(OUT_OF_RANGE)),
            (&i64::MAX, Shape::Instant(UTC), Wrong::NoSuchValue(OUT_OF_RANGE)),
            (&i64::MIN, Shape::Instant(UTC), Wrong::NoSuchValue(OUT_OF_RANGE)),
            (&int96(-2_440_588, i64::MIN), Shape::Instant(LOCAL), Wrong::NoSuchValue(OUT_OF_RANGE)),
            (&86_400_000_i32, Shape::Time(Clock { parts: 1_000, utc: true }), Wrong::NoSuchValue("not a time of day")),
            (&-1_i64, Shape::Time(UTC), Wrong::NoSuchValue("not a time of day")),
        ];
        for (value, shape, expected) in cases {
            assert_eq!(told(value, shape), Err(expected), "{shape:?}");
        }
    }

    #[test]
    fn every_number_of_16_bits_reads_back() {
        for bits in 0..=u16::MAX {
            let number = f16::from_bits(bits);
            let mut text = String::new();
            if float16(number, &mut text).is_ok() {
                assert_eq!(f16::from_f64(text.parse().unwrap()), number, "{text}");
                assert!(!text.contains('e'));
            } else {
                assert!(!number.is_finite());
            }
        }
    }
}
