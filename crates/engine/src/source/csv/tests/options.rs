//! What the job says of the file.

use serde_json::json;

use super::*;

fn format(format: serde_json::Value) -> CsvOptions {
    CsvOptions::compile(&serde_json::from_value(format).unwrap()).unwrap()
}

/// Reads the file in pieces of several sizes, which must not matter.
fn read_as(file: impl AsRef<[u8]>, options: &CsvOptions) -> Result<(Read, Vec<u64>), ReadError> {
    let mut results: Vec<_> = [1, 2, 7, 4096].map(|size| read_all(file.as_ref(), options.clone(), &[size], 64 << 10)).into();
    let words = |result: &Result<(Read, Vec<u64>), ReadError>| match result {
        Ok(read) => format!("{read:?}"),
        Err(error) => error.to_string(),
    };
    assert!(results.iter().all(|result| words(result) == words(&results[0])));
    results.swap_remove(0)
}

#[test]
fn the_header_begins_where_the_job_says_whatever_stands_before_it() {
    for end in ["\n", "\r\n", "\r"] {
        let lines = ["Report of \"the North", "", "from;to,,,\u{FEFF}", "a,b", "1,2", "3", "\"x\n y\",4", ""].join(end);
        let ((header, rows, _), _) = read_as(&lines, &format(json!({"headerRow": 4}))).unwrap();
        assert_eq!(header, ["a", "b"], "{end:?}");
        assert_eq!((&rows[0], &rows[2].0), (&good(&[&["1", "2"]])[0], &vec!["x\n y".to_owned(), "4".to_owned()]));
        // Its place is that of the file.
        let (before, told) = (lines.find("3").unwrap(), rows[1].1.as_ref().unwrap().to_string());
        assert!(told.starts_with(&format!("row 2 (line 6, byte {before})")), "{told}");
    }
    // The delimiter is detected from the header on, however much stands before it.
    let long = format!("{}a;b\n1,5;2,5\n", "one,two,three\n".repeat(10_000));
    let ((header, ..), _) = read_as(&long, &format(json!({"headerRow": 10_001}))).unwrap();
    assert_eq!(header, ["a", "b"]);
    // The hint counts as a line, and is obeyed.
    for row in [1, 2] {
        assert_eq!(read_as("sep=|\na|b\n1|2\n", &format(json!({"headerRow": row}))).unwrap().0.0, ["a", "b"]);
    }
    // Lines without text behind it are no header.
    assert_eq!(read_as("x\n,\n\na,b\n", &format(json!({"headerRow": 2}))).unwrap().0.0, ["a", "b"]);
    let error = read_as("a,b\n1,2\n", &format(json!({"headerRow": 9}))).unwrap_err();
    assert_eq!(error.to_string(), "the file has no text from line 9 on, where the header is to be; correct the format's `headerRow`");
}

#[test]
fn a_file_without_a_header_gets_its_names_from_the_job() {
    let named = format(json!({"columns": ["id", "name"]}));
    let (read, skipped) = read_as("1;Smith, J\n2;Doe, A, B\n", &named).unwrap();
    assert_eq!(
        (read.0, read.1, skipped),
        (vec!["id".to_owned(), "name".to_owned()], good(&[&["1", "Smith, J"], &["2", "Doe, A, B"]]), vec![])
    );
    let (_, rows, _) = read_as("sep=|\n1|2\n3\n", &named).unwrap().0;
    assert_eq!(rows[1].1.as_ref().unwrap().to_string().split(';').next().unwrap(), "row 2 (line 3, byte 10): no field for column \"name\"");
    // The names as a line are the header after all.
    assert_eq!(read_as("id,name\n1,2\n", &named).unwrap().1, [1]);
    assert_eq!(read_as("", &named).unwrap().0.1, []);
    assert!(
        missing("1;2\n", named, "nam")
            .starts_with("of the file, cut at semicolons (detected), read as UTF-8, the format's `columns` names")
    );
    let both = serde_json::from_value(json!({"columns": ["a"], "headerRow": 1})).unwrap();
    assert!(matches!(CsvOptions::compile(&both), Err(FileError::ColumnsAndHeader)));
}

#[test]
fn lines_behind_the_header_are_left_out_as_told() {
    for end in ["\n", "\r\n", "\r"] {
        let lines = ["a,b", "text,\"in units", "", "1,2", "3", ""].join(end);
        let ((_, rows, blank), _) = read_as(&lines, &format(json!({"skipRows": 2}))).unwrap();
        assert_eq!((rows.len(), &rows[0], blank), (2, &good(&[&["1", "2"]])[0], 0));
        let told = rows[1].1.as_ref().unwrap().to_string();
        assert!(told.starts_with(&format!("row 2 (line 5, byte {})", lines.find('3').unwrap())), "{told}");
    }
    let ((header, rows, _), _) = read_as("made,\"today\n1;2\n", &format(json!({"columns": ["a", "b"], "skipRows": 1}))).unwrap();
    assert_eq!((header.len(), rows), (2, good(&[&["1", "2"]])));
    let ((header, rows, _), _) = read_as("\"a\nA\",b\nm,kg\n1,2\n", &format(json!({"skipRows": 1}))).unwrap();
    assert_eq!((header[0].as_str(), rows), ("a\nA", good(&[&["1", "2"]])));
    assert_eq!(read_as("a,b\n1,2\n", &format(json!({"skipRows": 5}))).unwrap().0.1, []);
}

#[test]
fn the_last_records_are_counted_as_skipped_as_told() {
    let two = format(json!({"skipFooterRows": 2}));
    let file = "a,b\n1,2\n\n\"3\n\",4\n\n  \nTotal,6\n \nchecked by \"x\" y\n\n";
    let ((_, rows, blank), skipped) = read_as(file, &two).unwrap();
    assert_eq!((rows, blank, skipped), (good(&[&["1", "2"], &["3\n", "4"]]), 5, vec![3, 4]));
    assert_eq!(read_as("a,b\n1,2\n", &two).unwrap().1, [1]);
    // A report's footer above it, and a header once more among the rows, are known as ever.
    let file = "a,b\n1,2\na,b\n3,4\n\nCopyright (c) X\nGenerated By: Y\nlast\nvery last\n";
    let ((_, rows, _), skipped) = read_as(file, &two).unwrap();
    assert_eq!((rows, skipped), (good(&[&["1", "2"], &["3", "4"]]), vec![2, 4, 5, 6, 7]));
    // An open quote names its row, held rows counted.
    let error = read_as("a,b\n1,2\n3,4\n5,\"6", &two).unwrap_err().to_string();
    assert!(error.starts_with("row 3 (line 4, byte 14): column \"b\" has a quote"), "{error}");
    let long = format!("a\n{}", format!("{}\n", "x".repeat(2 << 20)).repeat(12));
    let error = read_with(long, CsvOptions { used: ["b".to_owned()].into(), ..format(json!({"skipFooterRows": 9})) }).unwrap_err();
    assert!(error.to_string().contains("which the format's `skipFooterRows` holds back, take more than 16 MiB"), "{error}");
}

#[test]
fn lines_that_are_comments_are_no_rows_wherever_a_record_would_begin() {
    let comment = format(json!({"comment": "#"}));
    for end in ["\n", "\r\n", "\r"] {
        let lines = ["#made by \"x", "# a;b;c;d", "a,b", "#", "1,#2", "\"x", "#y\",3", "", "#,", " #,4", "5", "# end"].join(end);
        let ((header, rows, blank), skipped) = read_as(&lines, &comment).unwrap();
        assert_eq!((header.len(), blank, skipped), (2, 1, vec![]), "{end:?}");
        assert_eq!(rows[..3], good(&[&["1", "#2"], &[&format!("x{end}#y"), "3"], &[" #", "4"]]));
        let told = rows[3].1.as_ref().unwrap().to_string();
        assert!(told.starts_with(&format!("row 4 (line 11, byte {})", lines.find("5").unwrap())), "{told}");
    }
    // One of the delimiters that are detected, and the only one in the line.
    assert_eq!(read_as(";x;y;z\na,b\n1,2\n", &format(json!({"comment": ";"}))).unwrap().0.1, good(&[&["1", "2"]]));
    // A comment does not hide that the lines behind a stray quote are rows.
    let ((_, rows, _), _) = read_as("id,name,note\n1,b,\"never closed\n# x\n2,c,z\n", &comment).unwrap();
    assert_eq!(rows.iter().map(|(_, fault)| fault.is_some()).collect::<Vec<_>>(), [true, false]);
    assert_eq!(read_as("a,b\n1,2\n#\x1A", &comment).unwrap().1, [] as [u64; 0]);
    for (taken, why) in
        [(json!({"comment": ","}), false), (json!({"comment": ",", "delimiter": ","}), true), (json!({"comment": "\""}), true)]
    {
        let refused = CsvOptions::compile(&serde_json::from_value(taken).unwrap()).is_err();
        assert_eq!(refused, why);
    }
}

#[test]
fn an_escape_makes_the_next_character_text_inside_and_outside_of_quotes() {
    let escape = format(json!({"escape": "\\"}));
    for (file, expected) in [
        ("a,b\nx\\,y,2\n", ["x,y", "2"]),
        ("a,b\n\"say \\\"hi\\\"\",\\\"2\n", ["say \"hi\"", "\"2"]),
        ("a,b\n\"two\\\nlines\",a\\\r\nb\n", ["two\nlines", "a\r\nb"]),
        ("a,b\n\"C:\\\\\",\\\\\\\\\n", ["C:\\", "\\\\"]),
        // Quotes that are written twice are read, too.
        ("a,b\n\"x \"\"y\"\"\",\\N\n", ["x \"y\"", "\\N"]),
        // Before other characters it is text, and so it is at the end.
        ("a,b\n\\t\\0\\x,C:\\new\\", ["\\t\\0\\x", "C:\\new\\"]),
        ("a,b\n\\\"x,5\" pipe\\", ["\"x", "5\" pipe\\"]),
    ] {
        assert_eq!(read_as(file, &escape).unwrap(), ((vec!["a".into(), "b".into()], good(&[&expected]), 0), vec![]), "{file:?}");
    }
    let text = format(json!({"escape": "\\", "quote": "none", "delimiter": "\t"}));
    let ((header, rows, _), _) = read_as("a\\\tb\tc\n\\N\tsay \\\"hi\n1\\\n2\t\"x\\\\\n", &text).unwrap();
    assert_eq!((header, rows), (vec!["a\tb".into(), "c".into()], good(&[&["\\N", "say \\\"hi"], &["1\n2", "\"x\\"]])));
    // The delimiter is detected although it stands escaped in cells, and another one cuts as evenly without escapes.
    assert_eq!(read_as("a;b,c\n1\\,\\,;2,3\n\\,;4,5\n", &escape).unwrap().0.0, ["a;b", "c"]);
    for taken in [json!({"escape": "\""}), json!({"escape": ";", "delimiter": ";"}), json!({"escape": "#", "comment": "#"})] {
        let error = CsvOptions::compile(&serde_json::from_value(taken).unwrap()).err().unwrap().to_string();
        assert_eq!(error, "the format's `escape` must be one ASCII character that shows and stands for nothing else in the file");
    }
}

#[test]
fn a_comment_ends_with_its_line_also_behind_an_escape() {
    for end in ["\n", "\r\n", "\r"] {
        let file = ["# C:\\", "a,b", "#\\", "#\\x\\", "1,2", "3"].join(end);
        let (_, rows, blank) = read_as(&file, &format(json!({"escape": "\\", "comment": "#"}))).unwrap().0;
        assert_eq!((&rows[0], rows.len(), blank), (&good(&[&["1", "2"]])[0], 2, 0), "{end:?}");
        assert!(rows[1].1.as_ref().unwrap().to_string().starts_with("row 2 (line 6,"), "{rows:?}");
    }
}

#[test]
fn places_behind_escaped_line_ends_are_those_of_the_file() {
    let escape = format(json!({"escape": "\\", "skipRows": 2}));
    for end in ["\n", "\r\n", "\r"] {
        let file = ["a,b", "left\\", "out", "1\\", "2,\"x\\", "y", "z\"", "3", "\"\\", "\" 4,5", "", "\"6,7"].join(end);
        let read = |file: &str| read_as(file, &escape).unwrap().0.1;
        let at = |text: &str| file.rfind(text).unwrap();
        let rows = read(&file[..at("\"6")]);
        let told: Vec<String> = rows.iter().filter_map(|(_, fault)| Some(fault.as_ref()?.to_string())).collect();
        assert!(told[0].starts_with(&format!("row 2 (line 8, byte {}): no field", at("3"))), "{told:?}");
        assert!(told[1].starts_with(&format!("row 3 (line 10, byte {}): column \"a\" has text behind", at(" 4"))), "{told:?}");
        assert_eq!((rows.len(), &rows[0].0[0]), (3, &format!("1{end}2")));
        let open = read_as(&file, &escape).unwrap_err().to_string();
        assert!(open.starts_with(&format!("row 4 (line 12, byte {})", at("\"6"))), "{open}");
    }
    // A row that fails is shown as it stood.
    let pieces = [Ok(Bytes::from_static(b"a,b\nx\\,y\\\"\n"))];
    block_on(async {
        let mut source = CsvSource::open(stream::iter(pieces), format(json!({"escape": "\\"}))).await.unwrap();
        let mut batch = Batch::new();
        source.next(&mut batch).await.unwrap();
        assert!(batch.rows()[0].refused.ends_with("x\\\\,y\\\\\""), "{}", batch.rows()[0].refused);
    });
}

#[test]
fn bytes_that_are_no_text_stay_so_beside_escapes() {
    let (_, rows, _) = read_as(b"a,b\n\xFD\\,x,y\n\xF8,z\n", &format(json!({"escape": "\\", "encoding": "utf-8"}))).unwrap().0;
    assert!(rows.iter().all(|(_, fault)| fault.as_ref().is_some_and(|fault| fault.code() == "INVALID_ENCODING")), "{rows:?}");
}

#[test]
fn blanks_around_cells_are_left_out_where_the_job_says_so() {
    let file = " a ,b\n x y\t,\" \u{A0}z\n \"\n,  1\n";
    let (header, rows, _) = read_as(file, &format(json!({"blanksAround": "Remove"}))).unwrap().0;
    assert_eq!((header, rows), (vec![" a ".into(), "b".into()], good(&[&["x y", "z"], &["", "1"]])));
    for options in [json!({}), json!({"blanksAround": "Keep"})] {
        assert_eq!(read_as(file, &format(options)).unwrap().0.1, good(&[&[" x y\t", " \u{A0}z\n "], &["", "  1"]]));
    }
}

proptest! {
    #[test]
    fn what_is_written_with_escapes_is_read_back_whatever_the_pieces(
        rows in proptest::collection::vec((cell(), cell(), any::<[bool; 2]>()), 1..8), delimiter in prop_oneof![Just(','), Just('\t'), Just(';')],
        quote in any::<bool>(), end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")], sizes in proptest::collection::vec(1..9usize, 1..4),
    ) {
        // An escaped CR before the LF that ends a line would take it along.
        let end = if rows.iter().any(|(_, second, _)| second.ends_with('\r')) { "\r\n" } else { end };
        let special = |c: char| matches!(c, '\\' | '\n' | '\r') || c == delimiter || (quote && c == '"');
        // As MySQL does it: what could be taken for something else is escaped, in quotes or not.
        let write = |text: &str, quoted: bool| {
            let escaped: String = text.chars().flat_map(|c| [special(c).then_some('\\'), Some(c)]).flatten().collect();
            if quoted && quote { format!("\"{escaped}\"") } else { escaped }
        };
        let mut file = format!("a{delimiter}b{end}");
        for (first, second, [quote_first, quote_second]) in &rows {
            file += &format!("x{}{delimiter}{}{end}", write(first, false), write(second, *quote_second));
            file += &format!("{}{delimiter}x{end}", write(&format!("x{first}"), *quote_first));
        }
        let quote = if quote { Quote::Double } else { Quote::None };
        let options = CsvOptions { escape: Some(b'\\'), delimiter: Some(delimiter as u8), quote: Some(quote), ..CsvOptions::default() };
        let expected: Found = rows
            .iter()
            .flat_map(|(first, second, _)| [vec![format!("x{first}"), second.clone()], vec![format!("x{first}"), "x".to_owned()]])
            .map(|cells| (cells, None))
            .collect();
        let (header, found, _) = read_pieces(file.as_bytes(), options, &sizes, 4).unwrap();
        prop_assert_eq!((header, found), (vec!["a".to_owned(), "b".to_owned()], expected), "{:?}", file);
    }

    #[test]
    fn places_are_those_of_the_file_and_pieces_do_not_matter_whatever_the_job_says(
        parts in proptest::collection::vec(
            prop_oneof![
                4 => prop::sample::select(vec!["\"", ",", "\n", "\r", "\r\n", "\\", "#", " ", "a", "1,2\n", "\x1A", "é"]).prop_map(|part| part.as_bytes().to_vec()),
                1 => any::<u8>().prop_map(|byte| vec![byte]),
            ],
            0..60,
        ),
        escape in any::<bool>(), comment in any::<bool>(), quote in any::<bool>(), named in any::<bool>(), trims in any::<bool>(),
        numbers in (1..4u32, 0..3u32, 0..3u32), sizes in proptest::collection::vec(1..9usize, 1..4),
    ) {
        let file = parts.concat();
        let (header_row, skip, footer) = numbers;
        let said = json!({
            "escape": escape.then_some("\\"), "comment": comment.then_some("#"), "quote": if quote { "\"" } else { "none" }, "delimiter": ",",
            "columns": if named { vec!["x", "y"] } else { vec![] }, "headerRow": (!named).then_some(header_row), "skipRows": skip,
            "skipFooterRows": footer, "blanksAround": if trims { "Remove" } else { "Keep" }, "encoding": "utf-8",
        });
        let whole = read_all(&file, format(said.clone()), &[usize::MAX], 4);
        let told = |read: &Result<(Read, Vec<u64>), ReadError>| match read {
            Ok(read) => format!("{read:?}"),
            Err(error) => error.to_string(),
        };
        prop_assert_eq!(told(&whole), told(&read_all(&file, format(said), &sizes, 4)));
        let faults = whole.as_ref().map(|((_, rows, _), _)| rows.iter().filter_map(|(_, fault)| Some(fault.as_ref()?.to_string())).collect());
        for told in faults.unwrap_or_else(|error| vec![error.to_string()]) {
            let Some((_, place)) = told.split_once("(line ") else { continue };
            let (line, byte) = place.split_once(')').unwrap().0.split_once(", byte ").unwrap();
            let before = &file[..byte.parse().unwrap()];
            let ends = before.iter().enumerate().filter(|(at, byte)| match byte {
                b'\n' => *at == 0 || before[at - 1] != b'\r',
                byte => **byte == b'\r',
            });
            prop_assert_eq!(line.parse(), Ok(ends.count() + 1), "{}", told);
        }
    }
}
