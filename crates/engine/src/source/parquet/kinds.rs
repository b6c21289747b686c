//! What kinds the fields of a footer are (parquet.thrift of Apache Parquet). The crate that decodes reads a field by its number, whatever kind
//! it claims: it would go on at another place than we who count, and take there for a list what is none.

use super::thrift::{Kind, Thrift};

/// What a field has to be.
enum Shape {
    Truth,
    Is(Kind),
    List(&'static Shape),
    /// By number; a field that is not here is passed over by everybody.
    Struct(&'static [(i16, Shape)]),
}

use Shape::{List, Struct, Truth};

const NUMBER: Shape = Shape::Is(Kind::Number);
const BYTE: Shape = Shape::Is(Kind::Byte);
const BYTES: Shape = Shape::Is(Kind::Bytes);
const DOUBLE: Shape = Shape::Is(Kind::Double);
const EMPTY: Shape = Struct(&[]);

const UNIT: Shape = Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]);
const TIME: Shape = Struct(&[(1, Truth), (2, UNIT)]);
const LOGICAL_TYPE: Shape = Struct(&[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, NUMBER), (2, NUMBER)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, BYTE), (2, Truth)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, BYTE)])),
    (17, Struct(&[(1, BYTES)])),
    (18, Struct(&[(1, BYTES), (2, NUMBER)])),
]);
const SCHEMA_ELEMENT: Shape = Struct(&[
    (1, NUMBER),
    (2, NUMBER),
    (3, NUMBER),
    (4, BYTES),
    (5, NUMBER),
    (6, NUMBER),
    (7, NUMBER),
    (8, NUMBER),
    (9, NUMBER),
    (10, LOGICAL_TYPE),
]);
const KEY_VALUE: Shape = Struct(&[(1, BYTES), (2, BYTES)]);
const STATISTICS: Shape =
    Struct(&[(1, BYTES), (2, BYTES), (3, NUMBER), (4, NUMBER), (5, BYTES), (6, BYTES), (7, Truth), (8, Truth), (9, NUMBER)]);
const BOX: Shape = Struct(&[(1, DOUBLE), (2, DOUBLE), (3, DOUBLE), (4, DOUBLE), (5, DOUBLE), (6, DOUBLE), (7, DOUBLE), (8, DOUBLE)]);
const COLUMN_META_DATA: Shape = Struct(&[
    (1, NUMBER),
    (2, List(&NUMBER)),
    (3, List(&BYTES)),
    (4, NUMBER),
    (5, NUMBER),
    (6, NUMBER),
    (7, NUMBER),
    (8, List(&KEY_VALUE)),
    (9, NUMBER),
    (10, NUMBER),
    (11, NUMBER),
    (12, STATISTICS),
    (13, List(&Struct(&[(1, NUMBER), (2, NUMBER), (3, NUMBER)]))),
    (14, NUMBER),
    (15, NUMBER),
    (16, Struct(&[(1, NUMBER), (2, List(&NUMBER)), (3, List(&NUMBER))])),
    (17, Struct(&[(1, BOX), (2, List(&NUMBER))])),
]);
const COLUMN_CHUNK: Shape =
    Struct(&[(1, BYTES), (2, NUMBER), (3, COLUMN_META_DATA), (4, NUMBER), (5, NUMBER), (6, NUMBER), (7, NUMBER), (9, BYTES)]);
const ROW_GROUP: Shape = Struct(&[
    (1, List(&COLUMN_CHUNK)),
    (2, NUMBER),
    (3, NUMBER),
    (4, List(&Struct(&[(1, NUMBER), (2, Truth), (3, Truth)]))),
    (5, NUMBER),
    (6, NUMBER),
    (7, NUMBER),
]);
const FILE_META_DATA: &[(i16, Shape)] = &[
    (1, NUMBER),
    (2, List(&SCHEMA_ELEMENT)),
    (3, NUMBER),
    (4, List(&ROW_GROUP)),
    (5, List(&KEY_VALUE)),
    (6, BYTES),
    (7, List(&Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))),
];

/// `None`: a field of the footer is of another kind than it has to be, or malformed.
pub(super) fn compare(footer: &[u8]) -> Option<()> {
    fields(&mut Thrift::new(footer), FILE_META_DATA)
}

fn fields(thrift: &mut Thrift<'_>, shapes: &'static [(i16, Shape)]) -> Option<()> {
    thrift.fields(|thrift, number, kind| match shapes.iter().find(|(known, _)| *known == number) {
        Some((_, shape)) => value(thrift, kind, shape),
        None => thrift.skip(kind),
    })
}

fn value(thrift: &mut Thrift<'_>, kind: Kind, shape: &'static Shape) -> Option<()> {
    match (shape, kind) {
        (Truth, Kind::True | Kind::False) => Some(()),
        (Shape::Is(known), kind) if *known == kind => thrift.skip(kind),
        (List(entry), Kind::List) => {
            let (kind, count) = thrift.list()?;
            (0..count).try_for_each(|_| value(thrift, kind, entry))
        }
        (Struct(shapes), Kind::Struct) => fields(thrift, shapes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A footer with one field of one column of one row group, or one order of a column.
    fn of_column(field: &[u8]) -> Option<()> {
        compare(&[&[0x49, 0x1C, 0x19, 0x1C, 0x3C], field, &[0, 0, 0, 0]].concat())
    }

    fn of_order(field: &[u8]) -> Option<()> {
        compare(&[&[0x79, 0x1C], field, &[0, 0]].concat())
    }

    #[test]
    fn each_field_is_compared_wherever_it_lies() {
        // Bounds of what is on a map (17), a count of what is no number (12, 9), the orders of a column (7).
        assert!(of_column(&[0x0C, 0x22, 0x29, 0x05, 0]).is_some(), "control: a list");
        assert!(of_column(&[0x0C, 0x22, 0x25, 0x02, 0]).is_none());
        assert!(of_column(&[0x05, 0x22, 0x02]).is_none());
        assert!(of_column(&[0xCC, 0x96, 0x02, 0]).is_some(), "control: a number");
        assert!(of_column(&[0xCC, 0x91, 0]).is_none());
        for order in [0x10, 0x20, 0x30] {
            assert!(of_order(&[order | 0x0C, 0]).is_some(), "control: a struct");
            assert!(of_order(&[order | 0x05, 0x02]).is_none());
        }
        // What nobody knows is passed over.
        assert!(of_column(&[0x05, 0x7E, 0x02]).is_some());
    }
}
