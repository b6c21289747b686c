//! Workbooks that other people's programs wrote (`crates/engine/tests/workbooks/make.sh`), value by value against what Python says of them.

use super::*;

fn book(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/workbooks/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn expected() -> Vec<Vec<String>> {
    serde_json::from_slice(&book("expected.json")).unwrap()
}

/// The rows with their header, each as its cells.
fn table(name: &str) -> Vec<Vec<String>> {
    table_of(name, Zoneless::Utc)
}

fn table_of(name: &str, zoneless: Zoneless) -> Vec<Vec<String>> {
    let found = told_of(book(name), "{}", &[], zoneless).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(found.described.split(" has ").next(), Some("the workbook, sheet \"Accounts\" with row 1 as its header,"), "{name}");
    [found.header].into_iter().chain(found.lines).map(|line| line.split('|').map(str::to_owned).collect()).collect()
}

#[test]
fn every_value_is_what_was_written() {
    for name in [
        "openpyxl.xlsx",
        "openpyxl-1904.xlsx",
        "openpyxl-iso.xlsx",
        "xlsxwriter.xlsx",
        "xlsxwriter-inline.xlsx",
        "xlsxwriter-1904.xlsx",
        "libreoffice.xlsx",
        "libreoffice-1904.xlsx",
        "libreoffice.xls",
        "libreoffice-1904.xls",
        "xlwt.xls",
        "xlwt-1904.xls",
        "sheetjs.xlsb",
        "sheetjs-inline.xlsb",
        "odfpy.ods",
        "libreoffice.ods",
    ] {
        let (found, expected) = (table(name), expected());
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{name}");
        }
    }
}

#[test]
fn of_a_job_that_names_a_zone_no_day_with_a_time_says_one_whatever_kind_of_file_it_is() {
    let has_day_and_time = |cell: &str| cell.len() > 11 && cell.as_bytes()[10] == b'T' && cell.ends_with('Z');
    for name in ["openpyxl.xlsx", "openpyxl-iso.xlsx", "libreoffice.xls", "sheetjs.xlsb", "odfpy.ods"] {
        let mut count = 0;
        let expected: Vec<Vec<String>> = expected()
            .into_iter()
            .map(|row| {
                let cell = |cell: String| {
                    let bare = has_day_and_time(&cell).then(|| cell.trim_end_matches('Z').to_owned());
                    count += usize::from(bare.is_some());
                    bare.unwrap_or(cell)
                };
                row.into_iter().map(cell).collect()
            })
            .collect();
        assert!(count > 3, "control: {count}");
        assert_eq!(table_of(name, Zoneless::Local), expected, "{name}");
    }
}

#[test]
fn what_quick_writers_write_is_read() {
    for (name, most) in [("pyexcelerate.xlsx", 11), ("pyxlsbwriter.xlsb", 11)] {
        let (found, expected) = (table(name), expected());
        let mut missing = 0;
        for (found, expected) in found.iter().zip(&expected) {
            for (column, (found, expected)) in found.iter().zip(expected).enumerate() {
                // They were not given all of them.
                if found.is_empty() { missing += 1 } else { assert_eq!(found, expected, "{name}, column {column}") }
            }
        }
        assert_eq!((found.len(), missing), (expected.len(), most), "{name}");
    }
}

#[test]
fn texts_of_many_records_are_read() {
    let expected: Vec<String> = serde_json::from_slice(&book("long.json")).unwrap();
    let found = told(book("xlwt-long.xls"), "{}", &[]).unwrap();
    assert_eq!([vec![found.header], found.lines].concat(), expected);
}

#[test]
fn reports_of_people_are_read() {
    let format = r#"{"headerRow": 4, "skipFooterRows": 1, "range": "B1:E"}"#;
    let found = told(book("odd.xlsx"), format, &["Name", "Sum", "State"]).unwrap();
    assert_eq!(found.described, "the workbook, sheet \"Data 2024\" with row 4 as its header, has the columns \"Name\", \"Sum\", \"State\"");
    assert_eq!(
        found.lines,
        [
            "half bold text|2|A",
            "UNREADABLE_CELL: row 2 (cell B6): column \"Name\" holds the error #N/A: correct its formula, or clear the cell",
            "after a blank row|7|",
            "hidden||",
            "carriage\r\nreturn||_x000D_ is text",
            "Total|9|",
        ]
    );
    assert_eq!((found.skipped, found.blank), (1, 2));
    let skip = told(book("odd.xlsx"), r#"{"headerRow": 4, "range": "B1:E", "hidden": "Skip"}"#, &["Name"]).unwrap();
    assert_eq!((skip.header.as_str(), skip.skipped, skip.lines[3].as_str()), ("Name|Sum", 1, "hidden|"));
    // A title above the header, merged: its text stands in the first cell alone.
    assert_eq!(told(book("odd.xlsx"), "{}", &[]).unwrap().header, "|A report of ours");
    assert_eq!(told(book("odd.xlsx"), r#"{"sheetNumber": 1}"#, &[]).unwrap().header, "nothing here");
}

#[test]
fn odd_cells_of_an_old_workbook_are_read() {
    let found = told(book("xlwt-odd.xls"), "{}", &[]).unwrap();
    assert_eq!(
        found.described,
        "the workbook, sheet \"Data\" with row 2 as its header, has the columns \"\", \"Name\", \"Sum\", \"State\""
    );
    assert_eq!(
        found.lines,
        [
            "|half bold|-1.25|true",
            "UNREADABLE_CELL: row 2 (cell B4): column \"Name\" holds the error #N/A: correct its formula, or clear the cell",
            "UNREADABLE_CELL: row 3 (cell C5): column \"Sum\" holds a formula without a result: open the workbook in Excel or LibreOffice and \
             save it there, which calculates it",
            "|hidden|12345678|false",
            "RAGGED_ROW: row 5 (cell F9): text behind the last column \"State\"; if another row is the header, name it in the format's \
             `headerRow`, else give the column a name, clear the cell, or leave it out with `range`",
        ]
    );
    assert_eq!((found.skipped, found.blank), (0, 2));
    let skip = told(book("xlwt-odd.xls"), r#"{"hidden": "Skip", "range": "B2:D"}"#, &["Name"]).unwrap();
    assert_eq!((skip.header.as_str(), skip.skipped, skip.lines[2].as_str()), ("Name|State", 1, "hidden|false"));
    assert_eq!(told(book("xlwt-odd.xls"), r#"{"sheet": "notes"}"#, &[]).unwrap().header, "nothing here");
}

#[test]
fn odd_cells_of_a_binary_workbook_are_read() {
    let found = told(book("sheetjs-odd.xlsb"), "{}", &[]).unwrap();
    assert_eq!(
        found.described,
        "the workbook, sheet \"Data\" with row 2 as its header, has the columns \"\", \"Name\", \"Sum\", \"State\""
    );
    assert_eq!(
        found.lines,
        [
            "|half bold|-1.25|true",
            "UNREADABLE_CELL: row 2 (cell B4): column \"Name\" holds the error #N/A: correct its formula, or clear the cell",
            "|rk|0.25|false",
            "|hidden|12345678|false",
            "RAGGED_ROW: row 5 (cell F9): text behind the last column \"State\"; if another row is the header, name it in the format's \
             `headerRow`, else give the column a name, clear the cell, or leave it out with `range`",
        ]
    );
    assert_eq!(found.skipped, 0);
    let skip = told(book("sheetjs-odd.xlsb"), r#"{"hidden": "Skip", "range": "B2:D"}"#, &["Name"]).unwrap();
    assert_eq!((skip.header.as_str(), skip.skipped, skip.lines[2].as_str()), ("Name|State", 1, "rk|false"));
    assert_eq!(told(book("sheetjs-odd.xlsb"), r#"{"sheet": "notes"}"#, &[]).unwrap().header, "nothing here");
}

#[test]
fn odd_cells_of_an_opendocument_spreadsheet_are_read() {
    for name in ["odfpy-odd.ods", "libreoffice-odd.ods"] {
        let found =
            told(book(name), r#"{"headerRow": 4, "skipFooterRows": 1, "range": "B1:G"}"#, &["Name", "Sum", "State", "Day"]).unwrap();
        assert_eq!(
            found.described,
            "the workbook, sheet \"Data 2024\" with row 4 as its header, has the columns \"Name\", \"Sum\", \"State\", \"Day\"",
            "{name}"
        );
        assert_eq!(
            found.lines,
            [
                "half bold text|2|A|2024-01-31",
                "UNREADABLE_CELL: row 2 (cell B6): column \"Name\" holds the error #N/A: correct its formula, or clear the cell",
                "alike|7|7|",
                "alike|7|7|",
                "alike|7|7|",
                "hidden|||",
                "RAGGED_ROW: row 7 (cell G12): text behind the last column \"Day\"; if another row is the header, name it in the format's \
                 `headerRow`, else give the column a name, clear the cell, or leave it out with `range`",
                "Total|9||",
            ],
            "{name}"
        );
        assert_eq!((found.skipped, found.blank), (1, 1_048_001), "{name}");
        let skip = told(book(name), r#"{"headerRow": 4, "hidden": "Skip", "range": "B1:E"}"#, &["Name"]).unwrap();
        assert_eq!((skip.header.as_str(), skip.skipped, skip.lines[5].as_str()), ("Name|Sum|Day", 1, "hidden||"), "{name}");
        assert_eq!(told(book(name), "{}", &[]).unwrap().header, "|A report of ours", "{name}");
        assert_eq!(told(book(name), r#"{"sheet": "notes"}"#, &[]).unwrap().header, "nothing here", "{name}");
    }
}

#[test]
fn a_workbook_with_a_password_is_told_so() {
    assert_eq!(told(book("protected.xlsx"), "{}", &[]).unwrap_err(), WorkbookError::Protected.to_string());
}
