use futures::executor::block_on;
use futures::stream;
use proptest::prelude::*;

use super::*;
use crate::row::RowError;

type Read = (Vec<String>, Vec<(Vec<String>, Option<RowError>)>, u64);

/// Reads a whole file that arrives in pieces of the given sizes, over and over.
fn read_pieces(bytes: &[u8], options: CsvOptions, sizes: &[usize], sample: usize) -> Result<Read, ReadError> {
    let mut pieces = Vec::new();
    let mut rest = bytes;
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
        pieces.push(Ok(Bytes::copy_from_slice(piece)));
        rest = behind;
    }
    block_on(async {
        let mut source = CsvSource::open_with_sample(stream::iter(pieces), options, sample).await?;
        let mut batch = Batch::new();
        let mut rows = Vec::new();
        while source.next(&mut batch).await? {
            for row in batch.rows() {
                assert_eq!(row.number, rows.len() as u64 + 1);
                let cells: Vec<String> = row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
                assert_eq!(cells.len(), source.header().len());
                rows.push((cells, row.fault.clone()));
            }
        }
        Ok((source.header().names().to_vec(), rows, source.blank_lines()))
    })
}

fn read(bytes: impl AsRef<[u8]>) -> Result<Read, ReadError> {
    read_pieces(bytes.as_ref(), CsvOptions::default(), &[7], 64 << 10)
}

fn options(delimiter: Option<&str>, encoding: Option<&str>) -> Result<CsvOptions, ReadError> {
    CsvOptions::compile(&CsvFormat {
        delimiter: delimiter.map(str::to_owned),
        encoding: encoding.map(str::to_owned),
        ..CsvFormat::default()
    })
}

fn fault(file: &str) -> String {
    let (_, rows, _) = read(file).unwrap();
    let faults: Vec<String> = rows.into_iter().filter_map(|(_, fault)| fault).map(|fault| fault.to_string()).collect();
    let [one] = faults.as_slice() else { panic!("{file:?}: {faults:?}") };
    one.clone()
}

fn good(rows: &[&[&str]]) -> Vec<(Vec<String>, Option<RowError>)> {
    rows.iter().map(|row| (row.iter().map(|cell| cell.to_string()).collect(), None)).collect()
}

#[test]
#[expect(clippy::type_complexity, reason = "a table reads best with its shape beside it")]
fn files_as_people_have_them_are_read_as_they_are() {
    let table: [(&str, &[u8], &[&str], &[&[&str]]); 11] = [
        ("plain", b"a,b\n1,2\n", &["a", "b"], &[&["1", "2"]]),
        ("no last line end", b"a,b\n1,2", &["a", "b"], &[&["1", "2"]]),
        ("byte order mark", b"\xEF\xBB\xBFa,b\n1,2\n", &["a", "b"], &[&["1", "2"]]),
        ("CRLF", b"a,b\r\n1,2\r\n3,4\r\n", &["a", "b"], &[&["1", "2"], &["3", "4"]]),
        ("CR alone", b"a,b\r1,2\r3,4", &["a", "b"], &[&["1", "2"], &["3", "4"]]),
        ("semicolons", b"a;b\n1,5;2,5\n", &["a", "b"], &[&["1,5", "2,5"]]),
        ("Excel's hint", b"sep=|\r\na|b\r\n1|2\r\n", &["a", "b"], &[&["1", "2"]]),
        ("quoted line ends", b"a,b\n\"x\r\ny\",\"say \"\"hi\"\"\"\n", &["a", "b"], &[&["x\r\ny", "say \"hi\""]]),
        ("blanks kept", b"a,b\n 1 ,2\n", &["a", "b"], &[&[" 1 ", "2"]]),
        ("repeated and empty names", b",a,a\n1,2,3\n", &["", "a", "a"], &[&["1", "2", "3"]]),
        ("header alone", b"a,b\n", &["a", "b"], &[]),
    ];
    for (what, file, header, rows) in table {
        let (found_header, found_rows, _) = read(file).unwrap();
        assert_eq!(found_header, header, "{what}");
        assert_eq!(found_rows, good(rows), "{what}");
    }
}

#[test]
fn a_mark_split_over_two_reads_does_not_end_up_in_the_first_name() {
    for sizes in [[1], [2], [3]] {
        let (header, ..) = read_pieces(b"\xEF\xBB\xBFName\nx\n", CsvOptions::default(), &sizes, 64).unwrap();
        assert_eq!(header, ["Name"]);
    }
}

#[test]
fn utf_16_and_code_pages_are_decoded() {
    let utf16: Vec<u8> = [0xFEFF].into_iter().chain("Name;Ort\nJörg;Köln\n".encode_utf16()).flat_map(u16::to_be_bytes).collect();
    assert_eq!(read(&utf16).unwrap().1, good(&[&["Jörg", "Köln"]]));
    let latin = options(None, Some("windows-1252")).unwrap();
    assert_eq!(read_pieces(b"Name\nJ\xF6rg\n", latin, &[1], 4).unwrap().1, good(&[&["Jörg"]]));
}

#[test]
fn lines_without_text_are_skipped_and_counted() {
    let (header, rows, blank) = read("\n\r\n,,\na,b\n\n1,2\n  \n,\n\r\n3,4\n\n\n").unwrap();
    assert_eq!(header, ["a", "b"]);
    assert_eq!(rows, good(&[&["1", "2"], &["3", "4"]]));
    assert_eq!(blank, 9);
}

#[test]
fn a_ragged_row_fails_with_its_place_and_keeps_what_fits() {
    let (_, rows, _) = read("a,b\n1,2\n\"x\ny\",2,3\n4\n5,6\n").unwrap();
    assert_eq!(rows[1].0, ["x\ny", "2"]);
    assert_eq!(
        rows[1].1.as_ref().unwrap().to_string(),
        "row 2 (line 3, byte 8): 3 fields, one or more behind the last column \"b\"; put text with a delimiter in quotes"
    );
    assert_eq!(rows[2].0, ["4", ""]);
    assert_eq!(
        rows[2].1.as_ref().unwrap().to_string(),
        "row 3 (line 5, byte 18): no field for column \"b\"; write a delimiter for every field, also an empty one"
    );
    assert!(rows[3].1.is_none());
}

#[test]
fn misplaced_quotes_fail_their_row_and_name_their_line() {
    assert_eq!(
        fault("a,b\n\"x\ny\" z,2\n1,2\n"),
        "row 1 (line 3, byte 9): column \"a\" has text behind its closing quote; write a quote inside quoted text twice"
    );
    assert_eq!(
        fault("a,b\n1,2\n\"John\", \"Smith\"\n"),
        "row 2 (line 3, byte 16): column \"b\" has blanks before its opening quote; remove them"
    );
    assert!(fault("a,b\n1,\"2,\"\"\",\"3\"4\n").starts_with("row 1 (line 2, byte 16): column number 3 has text behind"));
}

#[test]
fn lines_are_counted_whichever_way_they_end_also_inside_quotes() {
    for end in ["\n", "\r\n", "\r"] {
        let file = ["a,b", "\"one", "", "two\",\"\"\"", "\"", "\"x\" y,2", ""].join(end);
        assert!(fault(&file).starts_with("row 2 (line 6,"), "{end:?}: {}", fault(&file));
    }
}

#[test]
fn text_that_is_no_text_fails_its_row_and_names_the_column_and_the_remedy() {
    let (_, rows, _) = read(b"a,b\nx,J\xF6rg\ny,z\n").unwrap();
    assert_eq!(rows[0].0, ["x", "J\u{FFFD}rg"]);
    assert_eq!(
        rows[0].1.as_ref().unwrap().to_string(),
        "row 1 (line 2, byte 4): column \"b\" is not valid UTF-8; save the file as UTF-8 or set the format's `encoding`"
    );
    assert!(rows[1].1.is_none());
    // Two halves that would make a character if the cells were looked at together.
    assert!(read(b"a,b\n\xC3,\xA9\n").unwrap().1[0].1.is_some());
    assert!(fault("a,b\nx,y\0\n").contains("column \"b\" contains a NUL"));
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_with_its_place() {
    let long = format!("a,b\n1,2\n{},2\n", "x".repeat(400_001));
    let open_and_long = format!("a,b\n1,2\n3,\"{}", "x\n".repeat(2_000_000));
    let wide = vec!["x"; 5_001].join(",");
    for (file, expected) in [
        ("", "the file is empty"),
        ("\n\n,,\n", "the file is empty"),
        ("a,b\n1,2\n3,\"4\n5,6\n", "row 2 (line 3, byte 10): column \"b\" has a quote that is opened and never closed"),
        ("a,\"b\n", "header (line 1, byte 2): column number 2 has a quote that is opened and never closed"),
        ("a, \"b\"\n", "header (line 1, byte 3): the name of column number 2 has a misplaced quote"),
        ("a\0,b\0\n", "header (line 1, byte 0): the header has NUL characters; if the file is UTF-16"),
        (&long, "row 2 (line 3, byte 8): the record has more than 400000 characters"),
        (&open_and_long, "row 2 (line 3, byte 8): the record has more than 400000 characters"),
        (&wide, "the header has 5001 columns, more than 5000"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let latin = read(b"a;J\xF6rg\nx;y\n").unwrap_err().to_string();
    assert!(latin.starts_with("header (line 1, byte 0): the name of column number 2 is not valid UTF-8; save"), "{latin}");
    assert_eq!(read(&long).unwrap_err().reason(), api::import_run::RunReason::FileTooComplex);
}

#[test]
fn four_hundred_thousand_characters_are_allowed_however_many_bytes_they_take() {
    let cell = "é".repeat(400_000);
    let (_, rows, _) = read(format!("a\n{cell}\n")).unwrap();
    assert_eq!(rows, good(&[&[&cell]]));
}

#[test]
fn impossible_options_are_refused() {
    for delimiter in ["\"", "\n", "é", ""] {
        assert!(matches!(options(Some(delimiter), None), Err(ReadError::Delimiter)), "{delimiter:?}");
    }
    let error = options(None, Some("klingon-8")).err().unwrap().to_string();
    assert_eq!(error, "`encoding: klingon-8` is not a WHATWG encoding name such as windows-1252 or utf-16le");
}

/// Cells made of what is special somewhere.
fn cell() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![Just("\""), Just(","), Just(";"), Just("\n"), Just("\r\n"), Just("\r"), Just(" "), Just("a"), Just("é"), Just("🛫")],
        0..6,
    )
    .prop_map(|parts| parts.concat())
}

fn file() -> impl Strategy<Value = Vec<Vec<String>>> {
    (1..5usize).prop_flat_map(|columns| proptest::collection::vec(proptest::collection::vec(cell(), columns), 0..12))
}

proptest! {
    #[test]
    fn what_a_writer_writes_is_read_back_whatever_the_pieces(
        records in file(), delimiter in prop_oneof![Just(b','), Just(b';'), Just(b'\t')], always in any::<bool>(), crlf in any::<bool>(),
        mark in any::<bool>(), sizes in proptest::collection::vec(1..9usize, 1..4),
    ) {
        let columns = records.first().map_or(1, Vec::len);
        let header: Vec<String> = (0..columns).map(|number| format!("c{number}")).collect();
        let mut writer = csv::WriterBuilder::new()
            .delimiter(delimiter)
            .quote_style(if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary })
            .terminator(if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') })
            .from_writer(if mark { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() });
        writer.write_record(&header).unwrap();
        records.iter().for_each(|record| writer.write_record(record).unwrap());
        let bytes = writer.into_inner().unwrap();

        let with_text = |record: &&Vec<String>| record.iter().any(|cell| cell.chars().any(|c| c != ' '));
        let expected: Vec<_> = records.iter().filter(with_text).map(|record| (record.clone(), None)).collect();
        let blank = (records.len() - expected.len()) as u64;
        let options = CsvOptions { delimiter: Some(delimiter), encoding: None };
        prop_assert_eq!(read_pieces(&bytes, options, &sizes, 4).unwrap(), (header, expected, blank));
    }

    #[test]
    fn any_bytes_are_read_the_same_in_any_pieces(
        bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'a'), any::<u8>()], 0..80),
        sizes in proptest::collection::vec(1..9usize, 1..4),
    ) {
        let options = CsvOptions { delimiter: Some(b','), encoding: None };
        let whole = read_pieces(&bytes, options, &[usize::MAX], 4);
        let pieces = read_pieces(&bytes, options, &sizes, 4);
        match (whole, pieces) {
            (Ok(whole), Ok(pieces)) => prop_assert_eq!(whole, pieces),
            (Err(whole), Err(pieces)) => prop_assert_eq!(whole.to_string(), pieces.to_string()),
            (whole, pieces) => prop_assert!(false, "{:?} but {:?}", whole.is_ok(), pieces.is_ok()),
        }
    }

    #[test]
    fn rows_without_a_fault_are_what_the_csv_crate_reads(
        bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'a'), Just(b'b')], 0..60),
    ) {
        let bytes = [b"x,y\n".as_slice(), &bytes].concat();
        let options = CsvOptions { delimiter: Some(b','), encoding: None };
        if let Ok((_, rows, _)) = read_pieces(&bytes, options, &[3], 4) {
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
            let theirs: Vec<Vec<String>> = reader
                .records()
                .map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
                .filter(|record: &Vec<String>| record.iter().any(|cell| cell.chars().any(|c| c != ' ')))
                .collect();
            prop_assert_eq!(theirs.len(), rows.len());
            for (theirs, (ours, fault)) in theirs.into_iter().zip(rows) {
                prop_assert!(fault.is_some() || theirs == ours, "{:?} {:?}", theirs, ours);
            }
        }
    }
}
