//! What the values of a column are: by its logical type, by the older converted type, or by how they are stored.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type};
use parquet::schema::types::ColumnDescriptor;

use super::limits::{MAX_NUMBER, MAX_SCALE};

/// How the values of a column become text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shape {
    /// As it is stored: `true`, `-1`, `0.5`.
    Plain,
    /// A number without sign.
    Unsigned,
    Float16,
    /// Digits behind the point.
    Decimal(usize),
    Text,
    Uuid,
    Date,
    Time(Clock),
    Instant(Clock),
    /// No text.
    None(NoText),
}

/// How a time is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Clock {
    /// Of a second.
    pub(super) parts: i64,
    /// It is one of UTC; else it has no zone.
    pub(super) utc: bool,
}

/// Why values are no text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct NoText {
    pub(super) kind: &'static str,
    pub(super) remedy: &'static str,
}

const TEXT: &str = "a text (STRING)";

impl Shape {
    pub(super) fn of(column: &ColumnDescriptor) -> Self {
        let stored = column.physical_type();
        match column.logical_type_ref() {
            Some(logical) => Self::of_logical(logical, column),
            None => Self::of_converted(column.converted_type(), column),
        }
        // A type says what bytes mean that it does not fit, as no writer does.
        .filter(|shape| shape.fits(stored, column.type_length()))
        .unwrap_or(Self::none("a type that does not fit how it is stored", TEXT))
    }

    fn of_logical(logical: &LogicalType, column: &ColumnDescriptor) -> Option<Self> {
        Some(match logical {
            LogicalType::String | LogicalType::Enum | LogicalType::Json => Self::Text,
            LogicalType::Decimal(_) => Self::decimal(column)?,
            LogicalType::Date => Self::Date,
            LogicalType::Time(time) => Self::Time(Clock { parts: parts(&time.unit), utc: time.is_adjusted_to_u_t_c }),
            LogicalType::Timestamp(time) => Self::Instant(Clock { parts: parts(&time.unit), utc: time.is_adjusted_to_u_t_c }),
            LogicalType::Integer(number) if number.is_signed => Self::Plain,
            LogicalType::Integer(_) => Self::Unsigned,
            LogicalType::Uuid => Self::Uuid,
            LogicalType::Float16 => Self::Float16,
            // A column without any value.
            LogicalType::Unknown => return Some(Self::stored(column)),
            LogicalType::Bson => Self::none("BSON", "JSON"),
            LogicalType::Geometry(_) | LogicalType::Geography(_) => Self::none("a shape of geography", TEXT),
            _ => Self::none("a type that is not known here", TEXT),
        })
    }

    fn of_converted(converted: ConvertedType, column: &ColumnDescriptor) -> Option<Self> {
        let clock = |parts| Clock { parts, utc: true };
        Some(match converted {
            ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => Self::Text,
            ConvertedType::DECIMAL => Self::decimal(column)?,
            ConvertedType::DATE => Self::Date,
            ConvertedType::TIME_MILLIS => Self::Time(clock(1_000)),
            ConvertedType::TIME_MICROS => Self::Time(clock(1_000_000)),
            ConvertedType::TIMESTAMP_MILLIS => Self::Instant(clock(1_000)),
            ConvertedType::TIMESTAMP_MICROS => Self::Instant(clock(1_000_000)),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64 => Self::Unsigned,
            ConvertedType::INT_8 | ConvertedType::INT_16 | ConvertedType::INT_32 | ConvertedType::INT_64 => Self::Plain,
            ConvertedType::BSON => Self::none("BSON", "JSON"),
            ConvertedType::INTERVAL => Self::none("INTERVAL", "a text, or as a number of seconds or days"),
            ConvertedType::NONE | ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE | ConvertedType::LIST => Self::stored(column),
        })
    }

    /// Without any type but the one that it is stored by.
    fn stored(column: &ColumnDescriptor) -> Self {
        match column.physical_type() {
            Type::BYTE_ARRAY => Self::Text,
            Type::INT96 => Self::Instant(Clock { parts: 1_000_000_000, utc: false }),
            Type::FIXED_LEN_BYTE_ARRAY => Self::none("FIXED_LEN_BYTE_ARRAY, which are bytes of any meaning", TEXT),
            Type::BOOLEAN | Type::INT32 | Type::INT64 | Type::FLOAT | Type::DOUBLE => Self::Plain,
        }
    }

    fn decimal(column: &ColumnDescriptor) -> Option<Self> {
        let scale = column.type_scale();
        // Without one it is a whole number.
        let scale = if scale == -1 { 0 } else { scale };
        (0..=MAX_SCALE).contains(&scale).then_some(Self::Decimal(scale as usize))
    }

    const fn none(kind: &'static str, remedy: &'static str) -> Self {
        Self::None(NoText { kind, remedy })
    }

    fn fits(&self, stored: Type, width: i32) -> bool {
        let is_whole = matches!(stored, Type::INT32 | Type::INT64);
        match self {
            Self::Plain => !matches!(stored, Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY | Type::INT96),
            Self::Unsigned => is_whole,
            Self::Decimal(_) if stored == Type::FIXED_LEN_BYTE_ARRAY => usize::try_from(width).is_ok_and(|width| width <= MAX_NUMBER),
            Self::Decimal(_) => is_whole || stored == Type::BYTE_ARRAY,
            Self::Text => stored == Type::BYTE_ARRAY,
            Self::Uuid => stored == Type::FIXED_LEN_BYTE_ARRAY && width == 16,
            Self::Float16 => stored == Type::FIXED_LEN_BYTE_ARRAY && width == 2,
            Self::Date => stored == Type::INT32,
            Self::Time(_) => is_whole,
            Self::Instant(_) => stored == Type::INT64 || stored == Type::INT96,
            Self::None(_) => true,
        }
    }
}

fn parts(unit: &TimeUnit) -> i64 {
    match unit {
        TimeUnit::MILLIS => 1_000,
        TimeUnit::MICROS => 1_000_000,
        TimeUnit::NANOS => 1_000_000_000,
    }
}
