//! Files made by hand: one column in one row group, whose every claim can be a lie.

/// A value in Thrift's compact protocol.
#[derive(Clone, Debug)]
pub(super) enum V {
    Int(i64),
    Text(Vec<u8>),
    Struct(Vec<(i16, Self)>),
    List(Vec<Self>),
    /// A list without entries that says it has so many structs.
    Claim(u64),
}

use V::{Claim, Int, List, Struct, Text};

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

impl V {
    fn sign(&self) -> u8 {
        match self {
            // Readers take numbers of 32 and of 64 bits for each other.
            Int(_) => 5,
            Text(_) => 8,
            List(_) | Claim(_) => 9,
            Struct(_) => 12,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Int(number) => varint(((number << 1) ^ (number >> 63)).cast_unsigned(), out),
            Text(bytes) => {
                varint(bytes.len() as u64, out);
                out.extend_from_slice(bytes);
            }
            List(values) => {
                out.push(0xF0 | values.first().map_or(12, Self::sign));
                varint(values.len() as u64, out);
                values.iter().for_each(|value| value.write(out));
            }
            Claim(count) => {
                out.push(0xFC);
                varint(*count, out);
            }
            Struct(fields) => {
                for (number, value) in fields {
                    out.push(value.sign());
                    Int(i64::from(*number)).write(out);
                    value.write(out);
                }
                out.push(0);
            }
        }
    }
}

/// How a column is stored.
pub(super) const INT32: i64 = 1;
pub(super) const BYTE_ARRAY: i64 = 6;
/// How pages are packed.
pub(super) const GZIP: i64 = 2;
pub(super) const BROTLI: i64 = 4;
pub(super) const ZSTD: i64 = 6;
/// How values are written.
pub(super) const PLAIN: i64 = 0;
pub(super) const DELTA_LENGTH: i64 = 6;
pub(super) const DELTA_TEXT: i64 = 7;
pub(super) const DICTIONARY: i64 = 8;

/// A page with its header.
pub(super) fn page(header: Vec<(i16, V)>, body: &[u8]) -> Vec<u8> {
    let mut page = Vec::new();
    Struct(header).write(&mut page);
    page.extend_from_slice(body);
    page
}

/// A data page of the first version, of a column that is never absent.
pub(super) fn data(values: i64, encoding: i64, unpacked: usize, body: &[u8]) -> Vec<u8> {
    let of_data = Struct(vec![(1, Int(values)), (2, Int(encoding)), (3, Int(3)), (4, Int(3))]);
    page(vec![(1, Int(0)), (2, Int(unpacked as i64)), (3, Int(body.len() as i64)), (5, of_data)], body)
}

pub(super) fn dictionary(values: i64, body: &[u8]) -> Vec<u8> {
    let of_dictionary = Struct(vec![(1, Int(values)), (2, Int(PLAIN))]);
    page(vec![(1, Int(2)), (2, Int(body.len() as i64)), (3, Int(body.len() as i64)), (7, of_dictionary)], body)
}

/// A text as it is stored plainly.
pub(super) fn plain(text: &[u8]) -> Vec<u8> {
    [&(text.len() as u32).to_le_bytes(), text].concat()
}

/// A list of numbers that says it has so many, all of them equal to the first.
pub(super) fn equal(count: u64, number: i64) -> Vec<u8> {
    let mut list = Vec::new();
    [128, 4, count].into_iter().for_each(|claim| varint(claim, &mut list));
    Int(number).write(&mut list);
    list.extend((1..count.min(100_000)).step_by(128).flat_map(|_| [0; 5]));
    list
}

/// A list of numbers, every difference in 32 bits.
pub(super) fn differences(numbers: &[i32]) -> Vec<u8> {
    let mut list = vec![0x80, 0x01, 4];
    varint(numbers.len() as u64, &mut list);
    Int(i64::from(numbers[0])).write(&mut list);
    let steps: Vec<i64> = numbers.windows(2).map(|two| i64::from(two[1]) - i64::from(two[0])).collect();
    for block in steps.chunks(128) {
        let smallest = block.iter().min().copied().unwrap_or_default();
        Int(smallest).write(&mut list);
        let parts = block.len().div_ceil(32);
        list.extend((0..4).map(|part| if part < parts { 32 } else { 0 }));
        let filled = block.iter().copied().chain(std::iter::repeat(smallest)).take(parts * 32);
        list.extend(filled.flat_map(|step| ((step - smallest) as u32).to_le_bytes()));
    }
    list
}

#[derive(Clone)]
pub(super) struct Made {
    pub(super) kind: i64,
    pub(super) codec: i64,
    pub(super) rows: i64,
    pub(super) encodings: Vec<i64>,
    pub(super) pages: Vec<Vec<u8>>,
    /// The whole schema, if it is not the one column.
    pub(super) schema: Option<V>,
    /// Row groups, if they are not the one.
    pub(super) groups: Option<V>,
    /// Fields of the column's field in the schema.
    pub(super) field: Vec<(i16, V)>,
    /// Fields of the column in the row group.
    pub(super) chunk: Vec<(i16, V)>,
    /// Fields of the footer.
    pub(super) footer: Vec<(i16, V)>,
}

impl Made {
    pub(super) fn of(kind: i64, rows: i64, pages: Vec<Vec<u8>>) -> Self {
        let (field, chunk, footer) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, codec: 0, rows, encodings: vec![PLAIN], pages, schema: None, groups: None, field, chunk, footer }
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        let mut file = b"PAR1".to_vec();
        file.extend(self.pages.concat());
        let length = Int(file.len() as i64 - 4);
        let root = Struct(vec![(4, Text(b"root".to_vec())), (5, Int(1))]);
        let leaf = [vec![(1, Int(self.kind)), (3, Int(0)), (4, Text(b"a".to_vec()))], self.field].concat();
        let schema = self.schema.unwrap_or(List(vec![root, Struct(leaf)]));
        let meta = vec![
            (1, Int(self.kind)),
            (2, List(self.encodings.into_iter().map(Int).collect())),
            (3, List(vec![Text(b"a".to_vec())])),
            (4, Int(self.codec)),
            (5, Int(self.rows)),
            (6, length.clone()),
            (7, length.clone()),
            (9, Int(4)),
        ];
        let chunk = [vec![(2, Int(4)), (3, Struct(meta))], self.chunk].concat();
        let group = Struct(vec![(1, List(vec![Struct(chunk)])), (2, length), (3, Int(self.rows))]);
        let groups = self.groups.unwrap_or(List(vec![group]));
        let footer = [vec![(1, Int(1)), (2, schema), (3, Int(self.rows)), (4, groups)], self.footer].concat();
        let begin = file.len();
        Struct(footer).write(&mut file);
        let length = (file.len() - begin) as u32;
        file.extend(length.to_le_bytes());
        file.extend(b"PAR1");
        file
    }
}
