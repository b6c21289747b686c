//! Files that lie or are damaged. Those that break a limit have a twin that does not.

use std::io::Read;
use std::panic;
use std::sync::Once;

use flate2::Compression;
use flate2::bufread::GzEncoder;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::maker::V::{Claim, Int, List, Struct, Text};
use super::maker::{
    BROTLI, BYTE_ARRAY, DELTA_LENGTH, DELTA_TEXT, DICTIONARY, GZIP, INT32, Made, V, ZSTD, data, dictionary, differences, equal, page, plain,
};
use super::*;

fn cells(made: Made) -> Result<Vec<String>, String> {
    told(made.bytes(), &["a"]).map(|told| told.rows.concat())
}

fn refused(made: Made) -> String {
    cells(made).err().unwrap_or_default()
}

const DAMAGED: &str = "the Parquet file is damaged or cut off in column \"a\" of row group 1: fetch it again, or write it once more";
const FOOTER: &str = "the Parquet file is damaged or cut off in its footer: fetch it again, or write it once more";

fn texts(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| plain(text.as_bytes())).collect()
}

fn one_page(values: i64, encoding: i64, body: &[u8]) -> Made {
    Made { encodings: vec![encoding], ..Made::of(BYTE_ARRAY, values, vec![data(values, encoding, body.len(), body)]) }
}

#[test]
fn what_is_made_by_hand_is_read() {
    assert_eq!(cells(one_page(2, 0, &texts(&["x", "yz"]))).unwrap(), ["x", "yz"], "control of what follows");
    let numbers: Vec<u8> = [1_i32, -1].into_iter().flat_map(i32::to_le_bytes).collect();
    assert_eq!(cells(Made::of(INT32, 2, vec![data(2, 0, 8, &numbers)])).unwrap(), ["1", "-1"]);
    let two = vec![dictionary(2, &texts(&["x", "y"])), data(3, DICTIONARY, 3, &[1, 3 << 1, 1])];
    assert_eq!(cells(Made { encodings: vec![0, DICTIONARY], ..Made::of(BYTE_ARRAY, 3, two) }).unwrap(), ["y", "y", "y"]);
    // Pages without values, and such as hold something else, are passed over.
    let odd = vec![data(0, 0, 0, &[]), page(vec![(1, Int(1)), (2, Int(3)), (3, Int(3))], b"idx"), data(1, 0, 5, &plain(b"x"))];
    assert_eq!(cells(Made::of(BYTE_ARRAY, 1, odd)).unwrap(), ["x"]);
}

#[test]
fn pages_of_a_column_may_be_written_differently() {
    let pages = vec![
        dictionary(2, &texts(&["x", "y"])),
        data(2, DICTIONARY, 3, &[1, 2 << 1, 1]),
        data(1, 0, 5, &plain(b"z")),
        // From here on it is another's to decode, with the dictionary.
        data(3, DELTA_LENGTH, [equal(3, 1), b"abc".to_vec()].concat().len(), &[equal(3, 1), b"abc".to_vec()].concat()),
        data(1, DICTIONARY, 3, &[1, 1 << 1, 0]),
        data(1, 0, 5, &plain(b"w")),
    ];
    let made = Made { encodings: vec![0, DELTA_LENGTH, DICTIONARY], ..Made::of(BYTE_ARRAY, 8, pages) };
    assert_eq!(cells(made).unwrap(), ["y", "y", "z", "a", "b", "c", "x", "w"]);
}

#[test]
fn a_text_is_where_a_page_says_or_the_page_is_damaged() {
    let of = |numbers: &[u8]| {
        let pages = vec![
            dictionary(2, &texts(&["x", "a text of more bytes than fit into a register"])),
            data(2, DICTIONARY, numbers.len(), numbers),
        ];
        cells(Made { encodings: vec![0, DICTIONARY], ..Made::of(BYTE_ARRAY, 2, pages) })
    };
    assert_eq!(of(&[1, 3, 2]).unwrap(), ["x", "a text of more bytes than fit into a register"], "control");
    // A number of none among others is not passed over.
    let pages = vec![dictionary(2, &texts(&["x", "y"])), data(3, DICTIONARY, 4, &[2, 3, 0x1C, 0])];
    assert_eq!(refused(Made { encodings: vec![0, DICTIONARY], ..Made::of(BYTE_ARRAY, 3, pages) }), DAMAGED);
    // What fills up the last group of eight is no value.
    assert_eq!(of(&[3, 3, 0xC0, 0xFF, 0xFF]).unwrap(), ["x", "x"]);
    // One of none, one too few, wider than a number can be, no width, and a run that is cut off.
    for numbers in [&[2, 3, 2][..], &[1, 1 << 1, 0], &[33, 3, 2], &[], &[1, 2 << 1], &[1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]] {
        assert_eq!(of(numbers).unwrap_err(), DAMAGED, "{numbers:?}");
    }
    for length in [2_u32, u32::MAX] {
        let body = [&length.to_le_bytes()[..], b"x"].concat();
        assert_eq!(refused(one_page(1, 0, &body)), DAMAGED, "{length}");
        let pages = vec![dictionary(1, &body), data(1, DICTIONARY, 3, &[0, 2, 0])];
        assert_eq!(refused(Made { encodings: vec![0, DICTIONARY], ..Made::of(BYTE_ARRAY, 1, pages) }), DAMAGED, "{length}");
    }
}

#[test]
fn a_file_that_is_cut_off_is_damaged_wherever_that_is() {
    for name in ["pyarrow-nested.parquet", "duckdb-zstd-v2.parquet"] {
        let file = fixture(name);
        for length in (4..file.len()).step_by(97).chain([file.len() - 1, file.len() - 4, file.len() - 8]) {
            assert_eq!(told(file[..length].to_vec(), &[]).unwrap_err(), FOOTER, "{name} at {length}");
        }
    }
    for empty in [&b"PAR1"[..], b"PAR1PAR1", b"PAR1\0\0\0\0PAR1", b"PAR1\x04\0\0\0PAR1"] {
        assert_eq!(told(empty.to_vec(), &[]).unwrap_err(), FOOTER);
    }
}

#[test]
fn a_footer_that_lies_about_its_length_is_damaged() {
    let file = fixture("pyarrow-int96.parquet");
    let at = file.len() - 8;
    let length = u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    for wrong in [0, 1, length - 1, length + 1, length + 100, file.len() as u32, u32::MAX] {
        let mut file = file.clone();
        file[at..at + 4].copy_from_slice(&wrong.to_le_bytes());
        assert!(told(file, &[]).is_err(), "{wrong}");
    }
    assert!(told(file, &[]).is_ok(), "control");
}

/// Hundreds of backtraces of the crate that decodes would take minutes.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let told = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !info.location().is_some_and(|place| place.file().contains("/parquet-") || place.file().contains("/bytes-")) {
                told(info);
            }
        }));
    });
}

/// Whatever a byte becomes, the file is read or refused.
#[test]
fn no_changed_byte_ends_the_process() {
    quiet();
    let mut random = StdRng::seed_from_u64(1);
    let (mut read, mut refused) = (0, 0);
    for name in [
        "pyarrow-snappy-dictionary-v1.parquet",
        "pyarrow-delta-v2.parquet",
        "pyarrow-nested.parquet",
        "duckdb-lz4-v1.parquet",
        "pyarrow-int96.parquet",
    ] {
        let file = fixture(name);
        for _ in 0..600 {
            let mut file = file.clone();
            for _ in 0..random.random_range(1..4) {
                let at = random.random_range(0..file.len());
                file[at] = if random.random_bool(0.5) { random.random() } else { file[at] ^ 1 << random.random_range(0..8) };
            }
            match told(file, &["number"]) {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(read > 100 && refused > 100, "{read} read, {refused} refused");
}

#[test]
fn a_changed_byte_shows_where_the_file_has_checksums() {
    quiet();
    let file = fixture("pyarrow-gzip-dictionary-v2.parquet");
    let expected = told(file.clone(), &[]).unwrap().rows;
    // In the pages, whose headers have no checksum.
    for at in (4..file.len() / 2).step_by(31) {
        let mut file = file.clone();
        file[at] ^= 0x10;
        if let Ok(found) = told(file, &["number"]) {
            assert_eq!(found.rows, expected, "{at}");
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    GzEncoder::new(bytes, Compression::best()).read_to_end(&mut packed).unwrap();
    packed
}

#[test]
fn a_page_unpacks_to_what_it_says_and_no_further() {
    let zeros = plain(&vec![b'0'; 100_000]);
    for (codec, body) in [(GZIP, gzip(&zeros)), (ZSTD, zstd::bulk::compress(&zeros, 1).unwrap())] {
        let of = |unpacked: usize| Made { codec, ..Made::of(BYTE_ARRAY, 1, vec![data(1, 0, unpacked, &body)]) };
        assert_eq!(cells(of(zeros.len())).unwrap()[0].len(), 100_000, "control");
        for wrong in [0, 10, zeros.len() - 1, zeros.len() + 1] {
            assert_eq!(refused(of(wrong)), DAMAGED, "{codec} {wrong}");
        }
        // A page that says so is not even tried.
        assert_eq!(
            refused(of((128 << 20) + 1)),
            "the pages of the columns take more than 127 MiB at a time: write the file with smaller row groups or pages"
        );
    }
    // A gibibyte of zeros in two kilobytes, which nothing in Brotli tells beforehand.
    let bomb = Made { codec: BROTLI, ..Made::of(BYTE_ARRAY, 1, vec![data(1, 0, 100, include_bytes!("zeros.br"))]) };
    assert_eq!(refused(bomb), DAMAGED);
}

#[test]
fn a_dictionary_has_no_more_values_than_it_has_bytes_for() {
    let of = |values: i64| {
        let pages = vec![dictionary(values, &texts(&["x"])), data(1, DICTIONARY, 3, &[0, 2, 0])];
        Made { encodings: vec![0, DICTIONARY], ..Made::of(BYTE_ARRAY, 1, pages) }
    };
    assert_eq!(cells(of(1)).unwrap(), ["x"], "control");
    assert_eq!(refused(of(i64::from(i32::MAX))), DAMAGED);
    let none = Made { encodings: vec![DICTIONARY], ..Made::of(BYTE_ARRAY, 1, vec![data(1, DICTIONARY, 3, &[0, 2, 0])]) };
    assert_eq!(refused(none), DAMAGED);
}

#[test]
fn lengths_are_no_more_than_values() {
    let of = |count: u64| one_page(3, DELTA_LENGTH, &[equal(count, 1), b"xyz".to_vec()].concat());
    assert_eq!(cells(of(3)).unwrap(), ["x", "y", "z"], "control");
    for count in [4, 1 << 31, 1 << 62] {
        assert_eq!(refused(of(count)), DAMAGED, "{count}");
    }
    // Either of the two lists that a text with beginnings of the one before has.
    let of = |first: u64, second: u64| one_page(3, DELTA_TEXT, &[equal(first, 0), equal(second, 1), b"xyz".to_vec()].concat());
    assert_eq!(cells(of(3, 3)).unwrap(), ["x", "y", "z"], "control");
    for (first, second) in [(1 << 40, 3), (3, 1 << 40), (3, 4)] {
        assert_eq!(refused(of(first, second)), DAMAGED);
    }
    // A page written as its column does not say it is.
    assert_eq!(refused(Made { encodings: vec![0], ..of(3, 3) }), DAMAGED);
}

#[test]
fn texts_that_continue_each_other_are_made_one_at_a_time() {
    // A thousand texts of 100,000 characters in little more than one of them.
    let text = vec![b'x'; 100_000];
    let lengths = |first: i32, others: i32| differences(&[vec![first], vec![others; 999]].concat());
    let body = [lengths(0, 100_000), lengths(100_000, 0), text.clone()].concat();
    let mut rows = ParquetRows::open(one_page(1_000, DELTA_TEXT, &body).bytes().into(), &names(&["a"]), Memory::default()).unwrap();
    let (mut batch, mut read) = (Batch::new(), 0);
    while rows.next(&mut batch).unwrap() {
        read += batch.rows().len();
        assert!(batch.rows().iter().all(|row| row.cells[0] == text[..]));
        assert!(batch.rows().len() < 20, "a batch is full by its bytes");
    }
    assert_eq!(read, 1_000);
    // Longer than the one before.
    let body = [differences(&[1, 0]), differences(&[1, 1]), b"xy".to_vec()].concat();
    assert_eq!(refused(one_page(2, DELTA_TEXT, &body)), DAMAGED);
}

#[test]
fn a_schema_is_counted_before_it_is_followed() {
    let group = |name: &[u8], children: i64| Struct(vec![(3, Int(0)), (4, Text(name.to_vec())), (5, Int(children))]);
    let leaf = |name: &[u8]| Struct(vec![(1, Int(INT32)), (3, Int(0)), (4, Text(name.to_vec()))]);
    let none = || Some(List(Vec::new()));
    let of = |schema: Vec<V>| Made { schema: Some(List(schema)), groups: none(), ..Made::of(INT32, 0, Vec::new()) };
    let deep = |depth: usize| of([vec![group(b"g", 1); depth], vec![leaf(b"a")]].concat());
    assert_eq!(cells(deep(64)), Ok(vec![]), "control");
    for depth in [65, 10_000] {
        assert_eq!(
            refused(deep(depth)),
            "the Parquet file has too deep a schema, more than 64: write it with the fields that are meant further out"
        );
    }
    let wide = |count: usize| of([vec![group(b"g", count as i64)], vec![leaf(b"a"); count]].concat());
    assert_eq!(cells(wide(5_000)), Ok(vec![]), "control");
    assert_eq!(refused(wide(5_001)), "the header has 5001 columns, more than 5000");
    assert!(refused(wide(20_000)).starts_with("the Parquet file has too many columns, more than 20000"));
    let long = vec![b'n'; 1 << 20];
    let named = |count: usize| of([vec![group(b"g", 1), group(&long, count as i64)], vec![leaf(b"a"); count]].concat());
    assert_eq!(cells(named(2)), Ok(vec![]), "control");
    assert!(refused(named(100)).contains("too many bytes in the names"));
    // Fields that are said to be there and are not.
    assert_eq!(refused(of(vec![group(b"g", i64::from(i32::MAX)), leaf(b"a")])), FOOTER);
    assert_eq!(refused(of(vec![group(b"g", -1), leaf(b"a")])), FOOTER);
}

#[test]
fn lists_of_a_footer_are_as_long_as_they_say() {
    for claim in [Claim(1 << 30), Claim(u64::MAX), Claim(100)] {
        assert_eq!(refused(Made { groups: Some(claim.clone()), ..Made::of(INT32, 0, Vec::new()) }), FOOTER);
        assert_eq!(refused(Made { schema: Some(claim), ..Made::of(INT32, 0, Vec::new()) }), FOOTER);
    }
    let group = Struct(vec![(1, List(Vec::new())), (2, Int(0)), (3, Int(0))]);
    let many = Made { groups: Some(List(vec![group; 100_001])), ..Made::of(INT32, 0, Vec::new()) };
    assert!(refused(many).starts_with("the Parquet file has too many row groups and columns in them, more than 100000"));
    let mut nested = Int(1);
    for _ in 0..100 {
        nested = List(vec![nested]);
    }
    assert_eq!(refused(Made { footer: vec![(5, nested)], ..Made::of(INT32, 0, Vec::new()) }), FOOTER);
}

#[test]
fn a_field_of_a_footer_is_of_the_kind_that_it_has_to_be() {
    let by = |made_by: V| Made { groups: Some(List(Vec::new())), footer: vec![(6, made_by)], ..Made::of(INT32, 0, Vec::new()) };
    assert_eq!(cells(by(Text(b"somebody".to_vec()))), Ok(vec![]), "control");
    assert_eq!(refused(by(Int(1))), FOOTER);
    assert_eq!(refused(by(List(vec![Int(1)]))), FOOTER);
}

#[test]
fn there_are_as_many_rows_as_the_footer_says() {
    let of = |rows: i64, values: i64| Made { rows, ..one_page(values, 0, &texts(&["x"; 3])) };
    assert_eq!(cells(of(3, 3)).unwrap().len(), 3, "control");
    for (rows, values) in [(4, 3), (1_000_000, 3), (4, 4), (3, 2)] {
        assert_eq!(refused(of(rows, values)), DAMAGED, "{rows} of {values}");
    }
    assert_eq!(
        refused(of(4_000_000_001, 3)),
        "the Parquet file has too many values, more than 4000000000: write it with fewer rows or columns in a file"
    );
    assert_eq!(refused(of(-1, 3)), FOOTER);
    // A column with more values than its row group has rows.
    let length = Int(of(3, 3).pages.concat().len() as i64);
    let group = |values: i64| {
        let names = List(vec![Text(b"a".to_vec())]);
        let sizes = [(6, length.clone()), (7, length.clone()), (9, Int(4))];
        let meta = [(1, Int(BYTE_ARRAY)), (2, List(vec![Int(0)])), (3, names), (4, Int(0)), (5, Int(values))].into_iter().chain(sizes);
        let chunk = Struct(vec![(2, Int(4)), (3, Struct(meta.collect()))]);
        Some(List(vec![Struct(vec![(1, List(vec![chunk])), (2, length.clone()), (3, Int(2))])]))
    };
    assert_eq!(cells(Made { groups: group(2), ..of(2, 3) }).unwrap().len(), 2, "control");
    assert_eq!(refused(Made { groups: group(3), ..of(2, 3) }), DAMAGED);
}

#[test]
fn what_is_not_read_is_called_what_it_is() {
    let one = || one_page(1, 0, &plain(b"x"));
    for (made, expected) in [
        (Made { codec: 3, ..one() }, "the Parquet file is compressed with LZO, which is not read: write it with Zstandard, Snappy"),
        (Made { codec: 5, ..one() }, "the Parquet file is compressed with LZ4 in the frames of Hadoop, which is not read"),
        (Made { chunk: vec![(1, Text(b"other.parquet".to_vec()))], ..one() }, "the Parquet file says that its values stand in other files"),
        (Made { footer: vec![(8, Struct(vec![(1, Struct(Vec::new()))]))], ..one() }, "the Parquet file is encrypted"),
        (Made { field: vec![(6, Int(20))], ..one() }, "column \"a\" has the type BSON, which is no text: write it as JSON"),
        (one_page(1, 0, &plain(&vec![b'x'; 400_001])), "row 1: more than 400000 characters in the columns that the job uses"),
        (one_page(1, 0, &plain(&vec![b'x'; (8 << 20) + 1])), "row 1: more than 8 MiB: leave out long columns"),
    ] {
        let error = refused(made);
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(told(one_page(1, 0, &plain(&vec![b'x'; 400_001])).bytes(), &["other"]).unwrap().rows.len(), 1, "only what is sent counts");
    let error = told(fixture("duckdb-none-v2.parquet"), &["passed"]).unwrap_err();
    assert_eq!(error, "column \"passed\" has the type INTERVAL, which is no text: write it as a text, or as a number of seconds or days");
}
