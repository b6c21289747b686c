use futures::executor::block_on;
use futures::stream;
use serde_json::json;

use super::*;

struct Read {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    faults: Vec<(u64, String)>,
    blank_lines: u64,
    warnings: Vec<String>,
    described: String,
}

fn read_in(pieces: usize, text: &[u8], format: serde_json::Value, used: &[&str]) -> Result<Read, String> {
    let pieces: Vec<std::io::Result<Bytes>> = text.chunks(pieces).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let options = JsonOptions::compile(&serde_json::from_value(format).unwrap());
    let used = used.iter().map(|name| name.to_string()).collect();
    block_on(async {
        let mut source = JsonSource::open(stream::iter(pieces).boxed(), options, &used).await.map_err(|error| error.to_string())?;
        let (mut batch, mut rows, mut faults) = (Batch::new(), Vec::new(), Vec::new());
        while source.next(&mut batch).await.map_err(|error| error.to_string())? {
            for row in batch.rows() {
                rows.push(row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect());
                if let Some(fault) = &row.fault {
                    assert!(!row.refused.is_empty(), "a row that is refused shows how it stood");
                    faults.push((row.number, fault.result_text()));
                }
            }
        }
        Ok(Read {
            names: source.header().names().to_vec(),
            rows,
            faults,
            blank_lines: source.blank_lines(),
            warnings: source.warnings().iter().map(ToString::to_string).collect(),
            described: source.header().described(),
        })
    })
}

fn read(text: &str) -> Result<Read, String> {
    read_in(1 << 20, text.as_bytes(), json!({}), &["Name"])
}

fn error(text: &str) -> String {
    read(text).err().unwrap_or_default()
}

#[test]
fn the_same_objects_are_the_same_rows_however_they_stand() {
    let objects =
        [r#"{"Name":"Zoë \"x\"","n":1.50,"at":{"city":"Bonn","zip":null}}"#, r#"{"n":2e3,"Name":"a\nb","at":{"city":"","no":true}}"#];
    let pretty: Vec<String> = objects
        .iter()
        .map(|object| serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(object).unwrap()).unwrap())
        .collect();
    let names = ["Name", "n", "at.city", "at.zip", "at.no"];
    let rows = [["Zoë \"x\"", "1.50", "Bonn", "", ""], ["a\nb", "2000", "", "", "true"]];
    for text in [
        objects.join("\n"),
        format!("\u{FEFF}{}\r\n\r\n", objects.join("\r\n")),
        objects.concat(),
        format!("[{}]", objects.join(",")),
        format!("\n [ {} ]\n", objects.join(" ,\n ")),
    ] {
        for pieces in [1, 2, 13, 1000] {
            let read = read_in(pieces, text.as_bytes(), json!({}), &["Name"]).unwrap();
            assert_eq!(
                (read.names, read.rows, read.faults),
                (names.map(str::to_owned).to_vec(), rows.map(|row| row.map(str::to_owned).to_vec()).to_vec(), vec![]),
                "{text} in {pieces}"
            );
        }
    }
    // As `jq` prints them.
    let read = read_in(3, pretty.join("\n").as_bytes(), json!({}), &[]).unwrap();
    assert_eq!((read.rows.len(), read.faults.len()), (2, 0));
}

#[test]
fn a_line_that_is_wrong_harms_no_other() {
    let text = "{\"Name\":\"a\",\"n\":1}\n{\"Name\":\"b\"\n\n{\"Name\":\"c\"}}\n[1]\n{\"Name\":\"d\",\"Name\":\"e\"}\n{\"Name\":[1,2],\"n\":[3]}\n\
                {\"Name\":\"x\\u0000y\"}\n{\"Name\":\"\\ud800\"}\n{\"Name\":1e999}\n{\"Name\":\"last\",\"n\":[7,{\"a\":1}]}";
    for pieces in [1, 5, 4096] {
        let read = read_in(pieces, text.as_bytes(), json!({}), &["Name"]).unwrap();
        let expected = [
            (2, "MALFORMED_JSON: row 2 (line 2, byte 19): the record stops being valid JSON at byte 11 of it; correct it there"),
            (3, "MALFORMED_JSON: row 3 (line 4, byte 32): the record stops being valid JSON at byte 13 of it; correct it there"),
            (4, "MALFORMED_JSON: row 4 (line 5, byte 46): the record is a list; a row is an object: give its values names"),
            (5, "MALFORMED_JSON: row 5 (line 6, byte 50): field \"Name\" comes twice in the record; keep one of them"),
            (
                6,
                "NOT_ONE_VALUE: row 6 (line 7, byte 74): field \"Name\" is a list, and a column has one value; give each entry a field or a \
                 row of its own",
            ),
            (
                7,
                "NUL_CHARACTER: row 7 (line 8, byte 97): column \"Name\" contains a NUL character, which Salesforce cannot store; remove it",
            ),
            (
                8,
                "INVALID_ENCODING: row 8 (line 9, byte 117): the text in field \"Name\" has an escape that stands for no character: half of a \
                 surrogate pair; remove it",
            ),
            (
                9,
                "UNSTORABLE_VALUE: row 9 (line 10, byte 135): the number in field \"Name\" takes more than 400 digits without its exponent, \
                 which Salesforce cannot store; correct it",
            ),
        ];
        for (found, (row, text)) in read.faults.iter().zip(expected) {
            assert_eq!(*found, (row, text.to_owned()));
        }
        assert_eq!(read.faults.len(), expected.len());
        assert_eq!((read.rows.len(), read.blank_lines), (10, 1));
        // A list that the job does not use is kept for the result file.
        assert_eq!(read.rows[9], ["last", "[7,{\"a\":1}]"]);
    }
}

#[test]
fn bytes_that_are_no_text_fail_their_row_wherever_it_stands() {
    for (text, row) in [
        (b"[{\"Name\":\"Zo\xEB\"},{\"Name\":\"b\"}]".as_slice(), 1),
        (b"{\"Name\":\"Zo\xEB\"}\n{\"Name\":\"b\"}", 1),
        (b"{\"Name\":\"b\"}\n{\"Name\":\"Zo\xEB\"}\n", 2),
    ] {
        let read = read_in(7, text, json!({}), &["Name"]).unwrap();
        assert_eq!((read.rows.len(), read.faults.len(), read.faults[0].0), (2, 1, row));
        assert!(read.faults[0].1.ends_with("the record stops being valid JSON at byte 12 of it; correct it there"), "{}", read.faults[0].1);
    }
}

#[test]
fn a_file_that_is_broken_as_a_whole_ends_there() {
    for (text, expected) in [
        (
            "[{\"Name\":\"a\"} {\"Name\":\"b\"}]",
            "row 2 (line 1, byte 14): the file is no valid JSON here: a comma or the end of the array is expected here; correct it, or make the file again",
        ),
        ("[{\"Name\":\"a\"},", "row 2 (line 1, byte 14): the file ends inside of this record: it is cut off; fetch or make it again"),
        (
            "[{\"Name\":\"a\"},\n{\"Name\":\"b",
            "row 2 (line 2, byte 15): the file ends inside of this record: it is cut off; fetch or make it again",
        ),
        (
            "[{\"Name\":\"a\"}] x",
            "row 2 (line 1, byte 15): the file is no valid JSON here: the array has ended; correct it, or make the file again",
        ),
        (
            "{\"Name\":\n\"a\"}\nx",
            "row 2 (line 3, byte 14): the file is no valid JSON here: an object is expected here; correct it, or make the file again",
        ),
        ("[]", "the file has no object in its first mebibyte, so nothing tells its columns; name them in the format's `columns`"),
        ("[1,2]", "the file has no object in its first mebibyte, so nothing tells its columns; name them in the format's `columns`"),
        ("Name,City\nx,y\n", "the file is text of another kind, not JSON: if it is CSV, leave `format` out or set it to {csv: {}}"),
        ("%PDF-1.7", "the file is a PDF document, not JSON: open it where it was made and save it as CSV (UTF-8)"),
    ] {
        assert_eq!(error(text), expected, "{text}");
    }
}

#[test]
fn an_endless_record_is_refused_before_it_fills_memory() {
    for begin in ["{\"Name\":\"", "[{\"Name\":\"", "{\"a\":1}\n{\"Name\":\"", "{\"a\":{\"a\":{\"a\":["] {
        let text = format!("{begin}{}", "x".repeat(9 << 20));
        let told = error(&text);
        assert!(told.ends_with("the record has more than 8 MiB; look for a bracket or a quote that is never closed"), "{begin}: {told}");
    }
    let long = format!("{{\"Name\":\"{}\"}}", "x".repeat(400_001));
    assert!(error(&long).contains("more than 400000 characters"));
    let deep = format!("{{\"a\":1}}\n{}\n{{\"a\":{}}}", "[".repeat(1 << 20), "[".repeat(1 << 20));
    assert_eq!(read(&deep).unwrap().faults.len(), 2, "however deep, nobody's stack ends");
}

#[test]
fn fields_that_come_late_are_told_and_columns_can_be_named() {
    let mut text: String = (0..60_000).map(|n| format!("{{\"Name\":\"{n}\",\"n\":{n}}}\n")).collect();
    assert!(text.len() as u64 > SAMPLE);
    text.push_str("{\"Name\":\"x\",\"late\":{\"a\":1}}\n{\"Name\":\"y\",\"late\":{\"a\":2}}\n");
    let found = read(&text).unwrap();
    assert_eq!(found.names, ["Name", "n"]);
    assert_eq!(found.warnings.len(), 1);
    assert!(
        found.warnings[0].starts_with("late.a: is not in the first mebibyte of the file")
            && found.warnings[0].ends_with("(2 rows, the first is row 60001)"),
        "{}",
        found.warnings[0]
    );
    assert_eq!(
        found.described,
        "the first mebibyte of the file, read as JSON with an object on each line, has the fields \"Name\", \"n\"; the format's `columns` can \
         name others"
    );
    let long = format!("{text}{{\"{}\":1}}\n", "k".repeat(1 << 20));
    assert!(read(&long).unwrap().warnings.iter().all(|warning| warning.len() < 1000), "a name may be as long as a record");
    let named = read_in(4096, text.as_bytes(), json!({"columns": ["late.a", "Name"]}), &["Name"]).unwrap();
    assert_eq!((named.names, named.warnings), (vec!["late.a".to_owned(), "Name".to_owned()], vec![]));
    assert_eq!(
        (&named.rows[0][..], &named.rows[60_001][..]),
        (&["".to_owned(), "0".to_owned()][..], &["2".to_owned(), "y".to_owned()][..])
    );
    let empty = read_in(9, b"[]", json!({"columns": ["Name"]}), &[]).unwrap();
    assert_eq!((empty.names.len(), empty.rows.len()), (1, 0));
}
