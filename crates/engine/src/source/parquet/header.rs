//! The header of a page → what it says of the page.

use parquet::basic::Encoding;

use super::thrift::{Kind, Thrift};

/// A header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageHeader {
    pub(super) unpacked: usize,
    pub(super) packed: usize,
    /// CRC-32 of the packed bytes.
    pub(super) checksum: Option<u32>,
    pub(super) kind: PageKind,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum PageKind {
    Dictionary {
        values: u32,
        encoding: Encoding,
    },
    Data {
        values: u32,
        encoding: Encoding,
        levels: Encoding,
    },
    /// The second version of data pages.
    Data2 {
        values: u32,
        nulls: u32,
        rows: u32,
        encoding: Encoding,
        /// Bytes of the levels of definition and of repetition, which are never packed.
        levels: [usize; 2],
        packed: bool,
    },
    /// A page that holds no values.
    #[default]
    Other,
}

/// The fields of the three headers within the header, which have much in common.
#[derive(Default)]
struct Fields {
    numbers: [Option<i64>; 9],
    /// The seventh of the second version.
    packed: Option<bool>,
}

impl PageHeader {
    /// Reads the header, and says how many bytes it takes. `None`: it is damaged.
    pub(super) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut thrift = Thrift::new(bytes);
        let (mut header, mut kind) = (Self::default(), None);
        let (mut dictionary, mut data, mut data2) = (None, None, None);
        thrift.fields(|thrift, number, found| {
            match (number, found) {
                (1, Kind::Number) => kind = Some(thrift.number()?),
                (2, Kind::Number) => header.unpacked = usize::try_from(i32::try_from(thrift.number()?).ok()?).ok()?,
                (3, Kind::Number) => header.packed = usize::try_from(i32::try_from(thrift.number()?).ok()?).ok()?,
                (4, Kind::Number) => header.checksum = Some(i32::try_from(thrift.number()?).ok()?.cast_unsigned()),
                (5, Kind::Struct) => data = Some(Fields::read(thrift)?),
                (7, Kind::Struct) => dictionary = Some(Fields::read(thrift)?),
                (8, Kind::Struct) => data2 = Some(Fields::read(thrift)?),
                _ => thrift.skip(found)?,
            }
            Some(())
        })?;
        header.kind = match kind? {
            0 => {
                let fields = data?;
                PageKind::Data { values: fields.count(1)?, encoding: fields.encoding(2)?, levels: fields.encoding(3)? }
            }
            2 => {
                let fields = dictionary?;
                PageKind::Dictionary { values: fields.count(1)?, encoding: fields.encoding(2)? }
            }
            3 => {
                let fields = data2?;
                let levels = [fields.count(5)? as usize, fields.count(6)? as usize];
                PageKind::Data2 {
                    values: fields.count(1)?,
                    nulls: fields.count(2)?,
                    rows: fields.count(3)?,
                    encoding: fields.encoding(4)?,
                    levels,
                    packed: fields.packed.unwrap_or(true),
                }
            }
            _ => PageKind::Other,
        };
        Some((header, bytes.len() - thrift.left()))
    }
}

impl Fields {
    fn read(thrift: &mut Thrift<'_>) -> Option<Self> {
        let mut fields = Self::default();
        thrift.fields(|thrift, number, kind| {
            match (usize::try_from(number).ok(), kind) {
                (Some(at @ 1..=8), Kind::Number) => fields.numbers[at] = Some(thrift.number()?),
                (Some(7), Kind::True | Kind::False) => fields.packed = Some(kind == Kind::True),
                _ => thrift.skip(kind)?,
            }
            Some(())
        })?;
        Some(fields)
    }

    fn count(&self, field: usize) -> Option<u32> {
        self.numbers[field].and_then(|number| i32::try_from(number).ok()).and_then(|number| u32::try_from(number).ok())
    }

    fn encoding(&self, field: usize) -> Option<Encoding> {
        Some(match self.numbers[field]? {
            0 => Encoding::PLAIN,
            2 => Encoding::PLAIN_DICTIONARY,
            3 => Encoding::RLE,
            #[expect(deprecated, reason = "old files have levels so")]
            4 => Encoding::BIT_PACKED,
            5 => Encoding::DELTA_BINARY_PACKED,
            6 => Encoding::DELTA_LENGTH_BYTE_ARRAY,
            7 => Encoding::DELTA_BYTE_ARRAY,
            8 => Encoding::RLE_DICTIONARY,
            9 => Encoding::BYTE_STREAM_SPLIT,
            _ => return None,
        })
    }
}
