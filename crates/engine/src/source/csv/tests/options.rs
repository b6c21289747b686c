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
