use api::import_job::{CsvFormat, Quote};
use futures::executor::block_on;
use futures::stream;
use proptest::prelude::*;

use super::*;
use crate::row::RowError;

mod encodings;
mod options;

type Found = Vec<(Vec<String>, Option<RowError>)>;
type Read = (Vec<String>, Found, u64);

/// Reads a whole file that arrives in pieces of the given sizes, over and over. No record may be none.
fn read_pieces(bytes: &[u8], options: CsvOptions, sizes: &[usize], sample: usize) -> Result<Read, ReadError> {
    let (read, skipped) = read_all(bytes, options, sizes, sample)?;
    assert_eq!(skipped, [] as [u64; 0], "records that are no rows");
    Ok(read)
}

/// The same, and the numbers of the records that are no rows.
fn read_all(bytes: &[u8], options: CsvOptions, sizes: &[usize], sample: usize) -> Result<(Read, Vec<u64>), ReadError> {
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
        let (mut rows, mut skipped) = (Vec::new(), Vec::new());
        while source.next(&mut batch).await? {
            for row in batch.rows() {
                assert_eq!(row.number, (rows.len() + skipped.len()) as u64 + 1);
                let cells: Vec<String> = row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
                assert_eq!(cells.len(), source.header().len());
                if row.skipped {
                    assert!(row.fault.is_none());
                    skipped.push(row.number);
                } else {
                    rows.push((cells, row.fault.clone()));
                }
            }
        }
        Ok(((source.header().names().to_vec(), rows, source.blank_lines()), skipped))
    })
}

fn read(bytes: impl AsRef<[u8]>) -> Result<Read, ReadError> {
    read_with(bytes, CsvOptions::default())
}

fn options(delimiter: Option<&str>, encoding: Option<&str>) -> Result<CsvOptions, FileError> {
    CsvOptions::compile(&CsvFormat {
        delimiter: delimiter.map(str::to_owned),
        encoding: encoding.map(str::to_owned),
        ..CsvFormat::default()
    })
}

fn quoted(quote: Quote) -> CsvOptions {
    CsvOptions { quote: Some(quote), ..CsvOptions::default() }
}

fn named(columns: &[&str]) -> CsvOptions {
    CsvOptions::default().for_columns(columns.iter().map(|name| name.to_string()).collect())
}

fn read_with(file: impl AsRef<[u8]>, options: CsvOptions) -> Result<Read, ReadError> {
    let file = file.as_ref();
    read_pieces(file, options, &[if file.len() > 1 << 20 { 64 << 10 } else { 7 }], 64 << 10)
}

fn fault(file: &str) -> String {
    let (_, rows, _) = read(file).unwrap();
    let faults: Vec<String> = rows.into_iter().filter_map(|(_, fault)| fault).map(|fault| fault.to_string()).collect();
    let [one] = faults.as_slice() else { panic!("{file:?}: {faults:?}") };
    one.clone()
}

fn good(rows: &[&[&str]]) -> Found {
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
fn utf_16_utf_32_and_code_pages_are_decoded() {
    let utf16: Vec<u8> = [0xFEFF].into_iter().chain("Name;Ort\nJörg;Köln\n".encode_utf16()).flat_map(u16::to_be_bytes).collect();
    assert_eq!(read(&utf16).unwrap().1, good(&[&["Jörg", "Köln"]]));
    let utf32: Vec<u8> = "\u{FEFF}Name;Ort\nJörg;Köln\n".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    assert_eq!(read(&utf32).unwrap().1, good(&[&["Jörg", "Köln"]]));
    let cut_off = read_with(&utf32[4..utf32.len() - 6], options(None, Some("utf-32le")).unwrap()).unwrap();
    assert_eq!(cut_off.1[0].1.as_ref().unwrap().code(), "INVALID_ENCODING");
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
    // Behind what the encoding is told by.
    let far = [b"a,b\n".as_slice(), &b"1,2\n".repeat(detect::JUDGED / 4), b"x,J\xF6rg\ny,z\n"].concat();
    let (_, rows, _) = read(far).unwrap();
    let [.., (cells, Some(broken)), (_, None)] = rows.as_slice() else { panic!("the last row but one fails") };
    assert_eq!(*cells, ["x", "J\u{FFFD}rg"]);
    assert_eq!(
        broken.to_string(),
        "row 262145 (line 262146, byte 1048580): column \"b\" is not valid UTF-8; save the file as UTF-8 or set the format's `encoding`"
    );
    // UTF-8 with a place that is none.
    let (_, rows, _) = read(b"a,b\nx,Zo\xC3\xAB\ny,J\xF6rg\n").unwrap();
    assert_eq!(rows.iter().map(|(_, fault)| fault.is_some()).collect::<Vec<_>>(), [false, true]);
    // Two halves that would make a character if the cells were looked at together.
    assert!(read_with(b"a,b\n\xC3,\xA9\n", options(None, Some("utf-8")).unwrap()).unwrap().1[0].1.is_some());
    assert!(fault("a,b\nx,y\0\n").contains("column \"b\" contains a NUL"));
}

#[test]
fn what_cannot_be_read_at_all_is_an_error_with_its_place() {
    let long = format!("a,b\n1,2\n{},2\n", "x".repeat(400_001));
    let open_and_long = format!("a,b\n1,2\n3,\"{}", "x\n".repeat(5_000_000));
    let many_fields = format!("a,b\n1,2\n3,\"\"{}\n", ",".repeat(300_000));
    let wide = vec!["x"; 5_001].join(",");
    for (file, expected) in [
        ("", "the file is empty"),
        ("\n\n,,\n", "the file is empty"),
        ("a,b\n1,2\n3,\"4\nfive,6\n", "row 2 (line 3, byte 10): column \"b\" has a quote that is opened and never closed"),
        ("a,\"b\n", "header (line 1, byte 2): column number 2 has a quote that is opened and never closed"),
        ("a, \"b\"\n", "header (line 1, byte 3): the name of column number 2 has a misplaced quote"),
        ("a\0,b\0\n", "header (line 1, byte 0): the header has NUL characters; if the file is UTF-16"),
        (&long, "row 2 (line 3, byte 8): the record has more than 400000 characters"),
        (&open_and_long, "row 2 (line 3, byte 8): the record has more than 8 MiB; look for a quote that is never closed"),
        (&many_fields, "row 2 (line 3, byte 8): the record has more than 100000 fields"),
        (&wide, "the header has 5001 columns, more than 5000"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let latin = read_with(b"a;J\xF6rg\nx;y\n", options(None, Some("utf-8")).unwrap()).unwrap_err().to_string();
    assert!(latin.starts_with("header (line 1, byte 0): the name of column number 2 is not valid UTF-8; name"), "{latin}");
    assert_eq!(read(&long).unwrap_err().reason(), api::import_run::RunReason::FileTooComplex);
}

#[test]
fn four_hundred_thousand_characters_are_allowed_however_many_bytes_they_take() {
    let cell = "é".repeat(400_000);
    let (_, rows, _) = read(format!("a\n{cell}\n")).unwrap();
    assert_eq!(rows, good(&[&[&cell]]));
}

#[test]
fn only_columns_that_the_job_uses_have_the_limit_of_what_is_sent() {
    let long = "é".repeat(1_000_000);
    let file = format!("a,b,c\n1,{long},3\n\"4\",\"{long}\",6\n");
    let (_, rows, _) = read_with(&file, named(&["a", "c", "not there"])).unwrap();
    assert_eq!(rows, good(&[&["1", &long, "3"], &["4", &long, "6"]]));
    for columns in [["a", "b"].as_slice(), &["b"], &[]] {
        let error = read_with(&file, named(columns)).unwrap_err();
        assert!(error.to_string().starts_with("row 1 (line 2, byte 6): the record has more than 400000 characters"), "{error}");
        assert_eq!(error.reason(), api::import_run::RunReason::FileTooComplex);
    }
    // Together they have too many, none of them alone.
    let half = "x".repeat(200_001);
    let file = format!("a,b\n{half},{half}\n");
    assert!(read_with(&file, named(&["a", "b"])).is_err());
    assert!(read_with(&file, named(&["a"])).is_ok());
    let huge = format!("a,b\n1,{}\n", "x".repeat(9 << 20));
    assert!(read_pieces(huge.as_bytes(), named(&["a"]), &[64 << 10], 64 << 10).unwrap_err().to_string().contains("more than 8 MiB"));
}

#[test]
fn quotes_are_text_where_the_job_says_so() {
    let file = "id\tname\tnote\n1\tFirst\tplain\n2\tSecond\t\"Weird Al\n3\tThird\t\"Quoted\"\n4\tFourth\tscreen 12\"\n";
    let (_, rows, _) = read_with(file, quoted(Quote::None)).unwrap();
    let expected =
        good(&[&["1", "First", "plain"], &["2", "Second", "\"Weird Al"], &["3", "Third", "\"Quoted\""], &["4", "Fourth", "screen 12\""]]);
    assert_eq!(rows, expected);
    let (header, rows, _) = read_with("'a,b',c\n'it''s\n1',5\"\n", quoted(Quote::Single)).unwrap();
    assert_eq!((header, rows), (vec!["a,b".to_owned(), "c".to_owned()], good(&[&["it's\n1", "5\""]])));
    let (_, rows, _) = read_with("a,b\n1,\"2,3\n", quoted(Quote::None)).unwrap();
    let error = rows[0].1.as_ref().unwrap().to_string();
    assert!(error.ends_with("as quotes are text in this file, every delimiter ends a field: remove those too many"), "{error}");
    let single = CsvFormat { delimiter: Some("'".to_owned()), quote: Some(Quote::Single), ..CsvFormat::default() };
    assert!(matches!(CsvOptions::compile(&single), Err(FileError::Delimiter)));
}

#[test]
fn quoted_cells_that_swallow_rows_refuse_the_file_with_both_readings() {
    let file = "id\tname\tnote\n1\tFirst\tplain\n2\tSecond\t\"Weird Al\n3\tThird\tplain\n4\tFourth\tplain\n5\tFifth\tscreen 12\"\n6\tSixth\tplain\n";
    let error = read(file).unwrap_err();
    assert_eq!(
        error.to_string(),
        "row 2 (line 3, byte 36): column \"note\" opens a quote that closes 3 lines later, and those lines read as rows of their own. Up \
         to where it was read, the file has 3 rows, 1 of them in such doubt, if quotes enclose text, and 6 rows if quotes are text. Set the \
         format's `quote` to none if quotes are text in this file, or to '\"' if the lines belong into their cells"
    );
    assert_eq!(error.reason(), api::import_run::RunReason::SourceFailed);
    // Who says that quotes are quotes is believed.
    let (_, rows, _) = read_with(file, quoted(Quote::Double)).unwrap();
    assert_eq!((rows.len(), rows[1].0[2].lines().count()), (3, 4));
    // One in a hundred rows fails alone.
    let mut many = file.to_owned();
    (7..=600).for_each(|number| many += &format!("{number}\tName\tplain\n"));
    let (_, rows, _) = read(&many).unwrap();
    let faults: Vec<usize> = rows.iter().enumerate().filter(|(_, (_, fault))| fault.is_some()).map(|(at, _)| at + 1).collect();
    assert_eq!((rows.len(), faults), (597, vec![2]));
    assert_eq!(rows[1].1.as_ref().unwrap().code(), "MALFORMED_QUOTE");
}

#[test]
fn a_stray_quote_fails_its_row_and_the_rows_behind_it_are_read() {
    for (file, broken, rows_found) in [
        ("id,name,note\n1,a,x\n2,b,\"never closed\n3,c,z\n4,d,w\n", 2, 4),
        ("id,name,note\n1,a,x\n2,b,\"never closed\n3,\"c, d\",z\n4,d,w", 2, 4),
        ("id,name,note\r\n1,a,x\r\n2,b,\"never closed\r\n\r\n3,c,z\r\n4,say \"hi\",w\r\n", 2, 4),
        // It runs into the quote of another cell, and what follows there is no end of a cell.
        ("id,name,note\n1,\"a,x\n2,b,y\n3,\"c\",z\n4,d,w\n", 1, 4),
        // It closes in a column that makes the row ragged.
        ("id,name,note\n1,\"a,x\n2,b,y\n3,c,12\"\n4,d,w\n", 1, 4),
    ] {
        let (_, rows, _) = read(file).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        let faults: Vec<(usize, &str)> =
            rows.iter().enumerate().filter_map(|(at, (_, fault))| Some((at + 1, fault.as_ref()?.code()))).collect();
        assert_eq!((rows.len(), faults), (rows_found, vec![(broken, "MALFORMED_QUOTE")]), "{file:?}");
        assert_eq!(rows[3].0[0], "4", "{file:?}");
    }
    assert_eq!(
        fault("id,name,note\n1,a,x\n2,b,\"never closed\n3,c,z\n"),
        "row 2 (line 3, byte 23): column \"note\" opens a quote that its line does not close, and the lines behind it are rows; close it, \
         write a quote inside quoted text twice, or set the format's `quote` to none if quotes are text in this file"
    );
    // Lines that may belong into the cell: nothing is certain.
    for file in ["id,name,note\n1,a,\"never closed\nand more\n3,c,z\n", "a,b\n1,\"x\n", "a\n\"x\ny\n"] {
        assert!(matches!(read(file), Err(ReadError::File(FileError::UnbalancedQuote { .. }))), "{file:?}");
    }
}

#[test]
fn a_stray_quote_in_a_long_file_is_found_within_bounded_memory() {
    let mut file = "id,name,note\n1,a,\"x\n".to_owned();
    let mut number = 1;
    while file.len() < 10 << 20 {
        number += 1;
        file += &format!("{number},a name of some length,a note that is there to take up some room in the file\n");
    }
    let (_, rows, _) = read_pieces(file.as_bytes(), CsvOptions::default(), &[64 << 10], 64 << 10).unwrap();
    assert_eq!(rows.len(), number);
    assert!(rows.iter().skip(1).all(|(_, fault)| fault.is_none()));
    assert!(matches!(rows[0].1, Some(RowError::StrayQuote { .. })));
    // Lines that each open a quote again and again do not make the file be read again and again.
    let hostile = "a,b,c\n".to_owned() + &format!("1,a\"b,\"{}\n", "c".repeat(300)).repeat(30_000);
    assert!(matches!(
        read_pieces(hostile.as_bytes(), CsvOptions::default(), &[64 << 10], 64 << 10),
        Err(ReadError::File(FileError::RecordTooLong { .. }))
    ));
}

#[test]
fn a_line_that_is_quoted_as_a_whole_is_told_as_such() {
    assert_eq!(
        fault("Name,Email\nGrace,g@example.org\n\"Ada,\"\"a@example.org\"\"\"\n"),
        "row 2 (line 3, byte 31): the line is in quotes as a whole, which makes it one field; remove the quotes around it, and write quotes \
         in it once"
    );
    assert!(fault("Name,Email\n\"Ada\"\n").contains("no field for column \"Email\""));
}

#[test]
fn delimiters_with_nothing_behind_them_are_no_fault() {
    let (_, rows, _) = read("Name,City\nA,Oslo,\nB,Rome,, \n\"C\",\"Bonn\",\"\"\n").unwrap();
    assert_eq!(rows, good(&[&["A", "Oslo"], &["B", "Rome"], &["C", "Bonn"]]));
    assert!(read("Name,City\nA,Oslo,,x\n").unwrap().1[0].1.is_some());
}

#[test]
fn the_names_that_the_job_uses_decide_where_a_line_is_cut() {
    let file = "Name, Vorname;E-Mail\nLovelace, Ada;a@example.org\n";
    let (header, ..) = read_with(file, named(&["Name, Vorname", "E-Mail"])).unwrap();
    assert_eq!(header, ["Name, Vorname", "E-Mail"]);
}

fn missing(file: &str, options: CsvOptions, column: &str) -> String {
    let pieces = [Ok(Bytes::copy_from_slice(file.as_bytes()))];
    let source = block_on(CsvSource::open(stream::iter(pieces), options)).unwrap();
    format!("{}; {}", source.header().described(), source.header().find(column).unwrap_err())
}

#[test]
fn a_missing_column_tells_how_the_header_was_taken() {
    for (file, options, column, expected) in [
        (
            "a;b\n1;2\n",
            CsvOptions::default(),
            "bb",
            "the file, cut at semicolons (detected), read as UTF-8, has the columns \"a\", \"b\"; there is no column \"bb\", did you mean \"b\"?",
        ),
        (
            "sep=|\na|b\n",
            CsvOptions::default(),
            "zzz",
            "the file, cut at bars (its first line says so), read as UTF-8, has the columns \"a\", \"b\"; there is no column \"zzz\"",
        ),
        (
            "city:zip\n",
            options(None, Some("windows-1252")).unwrap(),
            "zip",
            "the file, cut at commas (detected), read as windows-1252 (`encoding` says so), has the columns \"city:zip\"; there is no column \
             \"zip\", only \"city:zip\": if these are several, set the format's `delimiter`",
        ),
        (
            "\u{FEFF}city;zip\n",
            options(Some(":"), None).unwrap(),
            "zip",
            "the file, cut at ':' (`delimiter` says so), read as UTF-8 (its byte order mark says so), has the columns \"city;zip\"; there is no \
             column \"zip\", only \"city;zip\": the format's `delimiter` is ':'; if these are several, name the character that stands between them",
        ),
        (
            "\"Name,Given Name,E-mail 1 - Value\"\n\"Ada Lovelace,Ada,ada@example.org\"\n",
            options(Some(","), None).unwrap(),
            "E-mail 1 - Value",
            "the file, cut at commas (`delimiter` says so), read as UTF-8, has the columns \"Name,Given Name,E-mail 1 - Value\"; there is no \
             column \"E-mail 1 - Value\", only \"Name,Given Name,E-mail 1 - Value\": the line is in quotes as a whole, which makes it one \
             column; remove the quotes around the lines, and write quotes in them once",
        ),
        (
            "Amount [EUR],b\n",
            CsvOptions::default(),
            "Amount [EUR",
            "the file, cut at commas (detected), read as UTF-8, has the columns \"Amount [EUR]\", \"b\"; there is no column \"Amount [EUR\", did \
             you mean \"Amount [EUR]\" (in formulas [Amount [EUR]]])?",
        ),
    ] {
        assert_eq!(missing(file, options, column), expected);
    }
}

#[test]
fn advice_never_repeats_what_is_set() {
    let told = read_with(b"a,b\nx,J\xF6rg\n", options(None, Some("utf-8")).unwrap()).unwrap().1[0].1.clone().unwrap().to_string();
    assert!(
        told.ends_with("not valid UTF-8; name the encoding that the file is in, or save it as UTF-8 and leave out `encoding`"),
        "{told}"
    );
    let marked = read(b"\xEF\xBB\xBFa,b\nx,J\xF6rg\n").unwrap().1[0].1.clone().unwrap().to_string();
    assert!(marked.ends_with("not valid UTF-8; its byte order mark says so: save the file again as UTF-8"), "{marked}");
    let nul = read_with(b"a\0,b\0\n", options(None, Some("windows-1252")).unwrap()).unwrap_err().to_string();
    assert!(nul.ends_with("although the file is read as windows-1252; name the encoding that it is in"), "{nul}");
}

#[test]
fn what_is_no_csv_is_told_before_anything_is_read() {
    for (file, expected) in [
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1..".as_slice(), "the file is an Excel workbook (.xls, or one with a password), not CSV: "),
        (b"\x1F\x8B\x08\0\x90", "the file is gzip-compressed once more, not CSV: unpack it"),
        (b"\xEF\xBB\xBF<html><body>", "the file is an HTML page"),
    ] {
        let error = read(file).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    assert_eq!(read("ID,Name\n1,A\n").unwrap().1, good(&[&["1", "A"]]));
}

#[test]
fn bytes_that_contradict_the_declared_code_page_refuse_the_file() {
    let latin = || options(None, Some("windows-1252")).unwrap();
    let error = read_with("Name,City\nx,y\nZoë,Köln\n", latin()).unwrap_err().to_string();
    assert_eq!(
        error,
        "row 2 (line 3, byte 14): column \"Name\" is UTF-8, not windows-1252 as the format's `encoding` says: leave `encoding` out"
    );
    let header = read_with("Größe,b\n1,2\n", latin()).unwrap_err().to_string();
    assert!(header.starts_with("header (line 1, byte 0): column number 1 is UTF-8, not windows-1252"), "{header}");
    // Far behind the start of the file, and cut by a piece's end.
    let far = format!("Name\n{}Zoë\n", "plain\n".repeat(20_000));
    for size in [64 << 10, 1000, 7] {
        assert!(
            matches!(read_pieces(far.as_bytes(), latin(), &[size], 64 << 10), Err(ReadError::File(FileError::Contradicted { .. }))),
            "{size}"
        );
    }
    // A capital before a sign makes a sequence by chance.
    for file in [b"Name\nCAF\xC9\x99\n".as_slice(), b"Name\nZo\xEB\nZo\xC3\xAB\n"] {
        assert!(read_with(file, latin()).unwrap().1.iter().all(|(_, fault)| fault.is_none()), "{file:?}");
    }
}

fn skipped(file: impl AsRef<[u8]>) -> (Found, Vec<u64>) {
    let results: Vec<_> = [1, 2, 7, 4096].map(|size| read_all(file.as_ref(), CsvOptions::default(), &[size], 64 << 10).unwrap()).into();
    assert!(results.iter().all(|result| *result == results[0]));
    let ((_, rows, _), skipped) = results[0].clone();
    (rows, skipped)
}

#[test]
fn joined_files_and_end_marks_are_counted_as_skipped() {
    let rows = good(&[&["1", "2"], &["3", "4"]]);
    for (file, numbers) in [
        ("a,b\n1,2\na,b\n3,4\n", vec![2]),
        ("a,b\n1,2\n\u{FEFF}a,b\n3,4\n", vec![2]),
        ("\u{FEFF}\"a\",\"b\"\r\n1,2\r\n\u{FEFF}\"a\",\"b\"\r\n3,4\r\n", vec![2]),
        ("a,b\n1,2\n3,4\n\x1A", vec![3]),
        ("a,b\r\n1,2\r\n3,4\r\n\x1A\x1A\x1A", vec![3]),
        ("a,b\n1,2\n\x1A\n3,4\n", vec![2]),
        ("a,b\n1,2\n\x1Aa,b\n3,4\n\x1A", vec![2, 4]),
        ("a,b\n1,2\n\n\u{FEFF}a,b\n3,4\n", vec![2]),
        ("sep=,\r\na,b\r\n1,2\r\nsep=,\r\na,b\r\n3,4\r\n", vec![2, 3]),
    ] {
        assert_eq!(skipped(file), (rows.clone(), numbers), "{file:?}");
    }
    // At the end of the last line it is no record of its own.
    assert_eq!(skipped("a,b\n1,2\n3,4\x1A"), (rows.clone(), vec![]));
    assert_eq!(skipped("a,b\n1,2\n3,\"4\"\x1A"), (rows, vec![]));
    // Inside it is text.
    assert_eq!(skipped("a,b\n1,\x1A2\n"), (good(&[&["1", "\x1A2"]]), vec![]));
    // A file of one column, with a blank line between the parts.
    assert_eq!(skipped("a\n1\n\n\u{FEFF}a\n2\n"), (good(&[&["1"], &["2"]]), vec![2]));
    assert_eq!(skipped(format!("a,b\n1,2\n3,4{}", "\x1A".repeat(5_000))).0[1].0[1].len(), 5_001);
    // Letters that begin like a mark.
    assert_eq!(skipped("a,b\n\u{FF21},2\n\u{FF21}\n").0[0].0, ["\u{FF21}", "2"]);
    let error = read("a,b\n1,2\n\u{FEFF}b,a\n2,1\n").unwrap_err().to_string();
    assert!(error.starts_with("row 2 (line 3, byte 11): a byte order mark begins another file here"), "{error}");
}

#[test]
fn a_reports_footer_is_counted_as_skipped_and_other_lines_are_not() {
    let footer = "\n\n\n\"Accounts of the North\"\n\"Copyright (c) 2000-2026 salesforce.com, inc. All rights reserved.\"\n\
                  \"Confidential Information - Do Not Distribute\"\n\"Generated By:  Ada Lovelace  11/24/2026, 6:10 AM\"\n\"Example GmbH\"\n";
    let file = format!("\"Name\",\"City\"\n\"A\",\"Oslo\"\n{footer}");
    assert_eq!(skipped(&file), (good(&[&["A", "Oslo"]]), vec![2, 3, 4, 5, 6]));
    assert_eq!(skipped(file.trim_end()), (good(&[&["A", "Oslo"]]), vec![2, 3, 4, 5, 6]));
    let one = format!("\"Name\"\n\"A\"\n\n\"B\"\n{footer}");
    assert_eq!(skipped(&one), (good(&[&["A"], &["B"]]), vec![3, 4, 5, 6, 7]));
    assert_eq!(skipped("a,b\n1,2\n\n(1 rows affected)\n"), (good(&[&["1", "2"]]), vec![2]));
    // Rows that are too short, and a footer that does not end the file, are rows that fail.
    for file in ["a,b\n1,2\n\nBonn\n", "a,b\n1,2\n\nCopyright (c) x\n3,4\n", "a,b\n1,2\nGenerated By: x\n"] {
        let (rows, skipped) = skipped(file);
        assert_eq!(skipped, [] as [u64; 0], "{file:?}");
        assert!(rows.iter().any(|(_, fault)| fault.is_some()), "{file:?}");
    }
    // One line of a column proves nothing.
    assert_eq!(skipped("a\n1\n\nGenerated By: x\n"), (good(&[&["1"], &["Generated By: x"]]), vec![]));
}

#[test]
fn impossible_options_are_refused() {
    for delimiter in ["\"", "\n", "é", ""] {
        assert!(matches!(options(Some(delimiter), None), Err(FileError::Delimiter)), "{delimiter:?}");
    }
    let error = options(None, Some("klingon-8")).err().unwrap().to_string();
    assert_eq!(error, "`encoding: klingon-8` is not a WHATWG encoding name such as windows-1252 or utf-16le, nor utf-32le or utf-32be");
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
        let options = CsvOptions { delimiter: Some(delimiter), quote: Some(Quote::Double), ..CsvOptions::default() };
        prop_assert_eq!(read_pieces(&bytes, options, &sizes, 4).unwrap(), (header, expected, blank));
    }

    #[test]
    fn addresses_of_several_lines_are_never_taken_for_rows(
        addresses in proptest::collection::vec(("[A-Z][a-z]{2,8}", "[0-9]{1,3} [A-Z][a-z]{3,9} (St|Ave|Rd)(, Apt [0-9]{1,2})?", "[A-Z][a-z]{3,9}, [A-Z]{2} [0-9]{5}", "(, Germany)?"), 1..40),
        columns in 1..5usize, at in 0..5usize, crlf in any::<bool>(), sizes in proptest::collection::vec(1..99usize, 1..4),
    ) {
        let at = at % columns;
        let rows: Vec<Vec<String>> = addresses
            .iter()
            .zip(1..)
            .map(|((name, street, city, land), number)| {
                let cell = |column| if column == at { format!("{name}\n{street}\n{city}{land}") } else { format!("{number}{name}") };
                (0..columns).map(cell).collect()
            })
            .collect();
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().terminator(end).from_writer(Vec::new());
        writer.write_record((0..columns).map(|number| format!("c{number}"))).unwrap();
        rows.iter().for_each(|row| writer.write_record(row).unwrap());
        let (_, found, _) = read_pieces(&writer.into_inner().unwrap(), CsvOptions::default(), &sizes, 64 << 10).unwrap();
        prop_assert_eq!(found, rows.into_iter().map(|row| (row, None)).collect::<Vec<_>>());
    }

    #[test]
    fn a_stray_quote_never_takes_another_row_with_it(
        lines in 2..60usize, columns in 2..6usize, strays in proptest::collection::btree_map(0..60usize, (0..6usize, any::<bool>()), 0..6),
        delimiter in prop_oneof![Just('\t'), Just('|'), Just(';')], sizes in proptest::collection::vec(1..99usize, 1..4),
    ) {
        // Text with quotes at the start of cells, in the middle or at the end of others, from a system that does not quote.
        let mut file: String = (0..columns).map(|column| format!("c{column}")).collect::<Vec<_>>().join(&delimiter.to_string()) + "\n";
        for line in 0..lines {
            let cell = |column: usize| match strays.get(&line) {
                Some((at, true)) if at % columns == column && column > 0 => format!("\"text {line}"),
                Some((at, false)) if at % columns == column && column > 0 => format!("12\" {line}"),
                _ => format!("{}", line * 10 + column),
            };
            file += &((0..columns).map(cell).collect::<Vec<_>>().join(&delimiter.to_string()) + "\n");
        }
        let options = CsvOptions { delimiter: Some(delimiter as u8), ..CsvOptions::default() };
        match read_pieces(file.as_bytes(), options, &sizes, 64 << 10) {
            Ok((_, rows, _)) => {
                prop_assert_eq!(rows.len(), lines, "{}", file);
                for (line, (cells, fault)) in rows.iter().enumerate() {
                    let first = (line * 10).to_string();
                    prop_assert_eq!(&cells[0], &first);
                    let stray = strays.get(&line).is_some_and(|(at, opens)| *opens && at % columns > 0);
                    prop_assert_eq!(fault.is_some(), stray, "{:?} in {}", fault, file);
                }
            }
            Err(error) => prop_assert!(matches!(error, ReadError::File(FileError::QuotesInDoubt { .. } | FileError::UnbalancedQuote { .. })), "{}", error),
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_in_any_pieces(
        bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'a'), any::<u8>()], 0..80),
        sizes in proptest::collection::vec(1..9usize, 1..4),
    ) {
        let options = CsvOptions { delimiter: Some(b','), ..CsvOptions::default() };
        let whole = read_all(&bytes, options.clone(), &[usize::MAX], 4);
        let pieces = read_all(&bytes, options, &sizes, 4);
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
        let options = CsvOptions { delimiter: Some(b','), ..CsvOptions::default() };
        if let Ok((_, rows, _)) = read_pieces(&bytes, options, &[3], 4) {
            // A stray quote is where we read more rows than others do.
            prop_assume!(!rows.iter().any(|(_, fault)| matches!(fault, Some(RowError::StrayQuote { .. }))));
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
            let theirs: Vec<Vec<String>> = reader
                .records()
                .map(|record| record.unwrap().iter().map(str::to_owned).collect::<Vec<_>>())
                .filter(|record: &Vec<String>| record.iter().any(|cell| cell.chars().any(|c| c != ' ')))
                .collect();
            prop_assert_eq!(theirs.len(), rows.len());
            for (mut theirs, (ours, fault)) in theirs.into_iter().zip(rows) {
                // What is too much and blank is left out.
                if theirs.iter().skip(2).all(|cell| cell.chars().all(|c| c == ' ')) {
                    theirs.truncate(2);
                }
                prop_assert!(fault.is_some() || theirs == ours, "{:?} {:?}", theirs, ours);
            }
        }
    }
}
