//! Binary workbooks made by hand, record by record: what is read of them, what is refused, and that each limit is the reason of its refusal.

use super::maker::{Lies, Zip, relation, top};
use super::*;
use crate::source::excel::limits::{MAX_LIST, MAX_RATIO, MAX_STYLES};

/// A workbook as its parts.
#[derive(Clone)]
struct Binary {
    sheet: Vec<u8>,
    strings: Vec<u8>,
    styles: Vec<u8>,
    workbook: Vec<u8>,
    stored: bool,
    lies: Lies,
}

fn record(kind: u16, content: &[u8]) -> Vec<u8> {
    record_of(kind, content.len(), content)
}

/// It may say that it is of another length.
fn record_of(kind: u16, length: usize, content: &[u8]) -> Vec<u8> {
    let mut bytes = if kind < 0x80 { vec![kind as u8] } else { vec![(kind & 0x7F) as u8 | 0x80, (kind >> 7) as u8] };
    let mut rest = length;
    loop {
        let more = if rest > 0x7F { 0x80 } else { 0 };
        bytes.push((rest & 0x7F) as u8 | more);
        rest >>= 7;
        if more == 0 {
            break;
        }
    }
    bytes.extend_from_slice(content);
    bytes
}

fn number(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

fn text(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [&number(units.len() as u32 / 2)[..], &units].concat()
}

fn rich(shown: &str) -> Vec<u8> {
    [&[1][..], &text(shown), &[1, 0, 0, 0, 0, 0, 0, 0]].concat()
}

/// A cell of a column with a style.
fn cell(kind: u16, column: u32, style: u32, value: &[u8]) -> Vec<u8> {
    record(kind, &[&number(column)[..], &number(style), value].concat())
}

fn short(kind: u16, style: u32, value: &[u8]) -> Vec<u8> {
    record(kind, &[&number(style)[..], value].concat())
}

fn real(value: f64) -> Vec<u8> {
    value.to_le_bytes().to_vec()
}

/// A row, counted from 1.
fn row_of(at: u32, hidden: bool, cells: &[Vec<u8>]) -> Vec<u8> {
    let head = [&number(at - 1)[..], &[0; 7], &[if hidden { 0x10 } else { 0 }], &[0; 5]].concat();
    [record(0, &head), cells.concat()].concat()
}

fn row(at: u32, cells: &[Vec<u8>]) -> Vec<u8> {
    row_of(at, false, cells)
}

fn header(names: &[&str]) -> Vec<u8> {
    row(1, &names.iter().map(|name| short(17, 0, &text(name))).collect::<Vec<_>>())
}

fn sheet(rows: &[Vec<u8>]) -> Vec<u8> {
    sheet_with(&[], rows)
}

fn sheet_with(before: &[u8], rows: &[Vec<u8>]) -> Vec<u8> {
    [record(129, &[]), before.to_vec(), record(145, &[]), rows.concat(), record(146, &[]), record(130, &[])].concat()
}

fn bundle(id: &str, name: &str, state: u32) -> Vec<u8> {
    record(156, &[&number(state)[..], &number(1), &text(id), &text(name)].concat())
}

fn style(format: u16) -> Vec<u8> {
    record(47, &[&[0; 2][..], &format.to_le_bytes(), &[0; 12]].concat())
}

fn styles() -> Vec<u8> {
    let format = record(44, &[&164_u16.to_le_bytes()[..], &text("yyyy\\-mm\\-dd hh:mm")].concat());
    let cells = [0, 14, 164, 20, 46, 9].map(style).concat();
    [format, record(626, &[]), style(22), record(627, &[]), record(617, &[]), cells, record(618, &[])].concat()
}

impl Binary {
    fn of(sheet: Vec<u8>) -> Self {
        Self {
            sheet,
            strings: [record(159, &[0; 8]), record(19, &rich("00123")), record(19, &rich("rich text")), record(160, &[])].concat(),
            styles: styles(),
            workbook: bundle("r1", "One", 0),
            stored: false,
            lies: Lies::default(),
        }
    }

    fn with_rows(rows: &[Vec<u8>]) -> Self {
        Self::of(sheet(&[&[header(&["a", "b", "c"])][..], rows].concat()))
    }

    fn bytes(&self) -> Vec<u8> {
        let mut zip = Zip::new(self.stored, self.lies);
        let relations = [
            relation("r1", "worksheet", "worksheets/sheet1.bin"),
            relation("r2", "worksheet", "worksheets/sheet2.bin"),
            relation("r3", "chartsheet", "chartsheets/sheet1.bin"),
            relation("s", "styles", "styles.bin"),
            relation("t", "sharedStrings", "/xl/sharedStrings.bin"),
        ]
        .concat();
        for (name, part) in [
            ("_rels/.rels", top("xl/workbook.bin").as_bytes()),
            ("xl/workbook.bin", &self.workbook),
            ("xl/_rels/workbook.bin.rels", format!("<Relationships>{relations}</Relationships>").as_bytes()),
            ("xl/styles.bin", &self.styles),
            ("xl/sharedStrings.bin", &self.strings),
            ("xl/worksheets/sheet1.bin", &self.sheet),
            ("xl/worksheets/sheet2.bin", &sheet(&[header(&["second"])])),
        ] {
            zip.add(name, part);
        }
        zip.finish()
    }

    fn read(&self) -> Result<Vec<String>, String> {
        told(self.bytes(), "{}", &[]).map(|found| found.lines)
    }
}

fn one(cells: &[Vec<u8>]) -> String {
    Binary::with_rows(&[row(2, cells)]).read().unwrap().concat()
}

fn small() -> Binary {
    Binary::of(sheet(&[header(&["a"]), row(2, &[cell(2, 0, 0, &number(1 << 2 | 2))])]))
}

fn good() -> Result<Vec<String>, String> {
    Ok(vec!["1".to_owned()])
}

fn damaged(part: Part) -> String {
    WorkbookError::Damaged { part }.to_string()
}

#[test]
fn each_kind_of_cell_is_its_value() {
    let rk = |number: i32, hundredths: u32| (number.cast_unsigned() << 2 | 2 | hundredths).to_le_bytes();
    for (cells, expected) in [
        (vec![cell(2, 0, 0, &rk(-7, 0))], "-7||"),
        (vec![cell(2, 0, 0, &rk(123, 1))], "1.23||"),
        (vec![cell(2, 1, 0, &0x3FF8_0000_u32.to_le_bytes())], "|1.5|"),
        (vec![cell(5, 0, 0, &real(0.1))], "0.1||"),
        (vec![cell(5, 0, 0, &real(1e15))], "1000000000000000||"),
        (vec![cell(5, 0, 0, &real(-0.0))], "0||"),
        (vec![cell(7, 1, 0, &number(0)), short(18, 0, &number(1))], "|00123|rich text"),
        (vec![cell(6, 2, 0, &text(" x é\r\ny\t😀"))], "|| x é\r\ny\t😀"),
        (vec![cell(6, 0, 0, &text("_x000D_"))], "_x000D_||"),
        (vec![cell(62, 0, 0, &rich("half bold"))], "half bold||"),
        (vec![cell(4, 0, 0, &[1]), short(15, 0, &[0])], "true|false|"),
        (
            vec![cell(5, 0, 1, &real(45322.0)), short(16, 2, &real(45322.75)), short(16, 3, &real(0.375))],
            "2024-01-31|2024-01-31T18:00:00.000Z|09:00:00.000Z",
        ),
        (vec![cell(5, 0, 4, &real(1.104_166_666_666_666_7)), short(16, 5, &real(0.25))], "PT26H30M|0.25|"),
        // The upper byte of a style is none of it, and there may be none.
        (vec![cell(2, 0, 0x0100_0001, &rk(45322, 0)), short(13, 99, &rk(7, 0))], "2024-01-31|7|"),
        // Results; the formulas stand behind them.
        (vec![cell(9, 0, 0, &[&real(2.5)[..], &[0, 0, 9, 9]].concat())], "2.5||"),
        (vec![cell(8, 0, 0, &[text("ax"), vec![0, 0, 9]].concat()), cell(10, 2, 0, &[1, 0, 0])], "ax||true"),
        (vec![cell(8, 0, 0, &text("")), cell(2, 1, 0, &rk(1, 0))], "|1|"),
        // Cells without a place stand behind those that have one; blank ones count.
        (vec![cell(1, 0, 0, &[]), short(12, 0, &[]), short(13, 0, &rk(3, 0))], "||3"),
        (vec![cell(2, 2, 0, &rk(3, 0)), cell(2, 0, 0, &rk(1, 0))], "1||3"),
        // Records that nobody here knows.
        (vec![record(427, &[1; 40]), cell(2, 0, 0, &rk(1, 0)), record(16_383, &[2])], "1||"),
    ] {
        assert_eq!(one(&cells), expected, "{cells:?}");
    }
}

#[test]
fn a_cell_that_is_no_value_fails_its_row_and_says_where_it_is() {
    let error = |word: &str| {
        format!("UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds the error {word}: correct its formula, or clear the cell")
    };
    for (cell, expected) in [
        (cell(3, 1, 0, &[0x2A]), error("#N/A")),
        (cell(11, 1, 0, &[0x07, 0, 0]), error("#DIV/0!")),
        (cell(3, 1, 0, &[0x2B]), error("#GETTING_DATA")),
        (cell(3, 1, 0, &[0x99]), error("that Excel has no word for")),
        (
            cell(6, 1, 0, &text("a\0b")),
            "UNREADABLE_CELL: row 1 (cell B2): column \"b\" contains a NUL character, which Salesforce cannot store: remove it".to_owned(),
        ),
    ] {
        assert_eq!(one(std::slice::from_ref(&cell)), expected);
    }
    let no_day = one(&[cell(5, 0, 1, &real(60.0))]);
    assert!(no_day.starts_with("UNREADABLE_CELL: row 1 (cell A2): column \"a\" is formatted as a date"), "{no_day}");
    let behind = one(&[cell(5, 3, 0, &real(60.0))]);
    assert!(behind.starts_with("RAGGED_ROW: row 1 (cell D2)"), "{behind}");
}

#[test]
fn both_systems_of_dates_are_read() {
    let mut book = Binary::of(sheet(&[header(&["a"]), row(2, &[cell(5, 0, 1, &real(43860.0))]), row(3, &[cell(5, 0, 1, &real(0.0))])]));
    assert!(book.read().unwrap()[1].starts_with("UNREADABLE_CELL"));
    book.workbook = [record(153, &[1, 0, 0, 0, 0, 0, 0, 0]), book.workbook].concat();
    assert_eq!(book.read().unwrap(), ["2024-01-31", "1904-01-01"]);
}

#[test]
fn options_are_those_of_any_workbook() {
    let put = |column: u32, shown: &str| cell(6, column, 0, &text(shown));
    let columns = |first: u32, last: u32, flags: u8| record(60, &[&number(first)[..], &number(last), &[0; 8], &[flags, 0]].concat());
    let body = sheet_with(
        &[columns(1, 1, 1), columns(2, 4, 0)].concat(),
        &[
            row_of(1, true, &[put(0, "old")]),
            row(3, &[put(0, "a"), put(1, "b"), put(2, "c")]),
            row(4, &[put(0, "1"), put(1, "2"), put(2, "3")]),
            row_of(5, true, &[put(0, "4")]),
            row(8, &[put(0, "total"), put(4, "note")]),
        ],
    );
    let read = |format: &str| told(Binary::of(body.clone()).bytes(), format, &["a"]).unwrap();
    assert_eq!(read("{}").header, "old");
    let found = read(r#"{"headerRow": 3, "skipFooterRows": 1}"#);
    assert_eq!(
        (found.header.as_str(), found.lines.as_slice(), found.skipped, found.blank),
        ("a|b|c", ["1|2|3", "4||", "total||"].map(String::from).as_slice(), 1, 2)
    );
    let found = read(r#"{"hidden": "Skip", "range": "A3:C5"}"#);
    assert_eq!((found.header.as_str(), found.lines.as_slice(), found.skipped), ("a|c", ["1|3", "4|"].map(String::from).as_slice(), 1));
    let error = told(Binary::of(body.clone()).bytes(), r#"{"headerRow": 2}"#, &[]).unwrap_err();
    assert_eq!(error, "row 2 of sheet \"One\", which `headerRow` names, has no text");
}

#[test]
fn the_first_visible_sheet_is_read_unless_one_is_named() {
    let mut book = Binary::of(sheet(&[header(&["hidden one"])]));
    book.workbook = [bundle("r1", "One", 2), bundle("r3", "Chart", 0), bundle("r2", "Zwei", 0)].concat();
    let header = |format: &str| told(book.bytes(), format, &[]).map(|found| found.header);
    assert_eq!(header("{}").as_deref(), Ok("second"));
    assert_eq!(header(r#"{"sheet": "one"}"#).as_deref(), Ok("hidden one"));
    assert_eq!(header(r#"{"sheetNumber": 3}"#).as_deref(), Ok("second"));
    assert!(header(r#"{"sheet": "Chart"}"#).unwrap_err().contains("\"Chart\" is no sheet with cells"));
    assert_eq!(header(r#"{"sheet": "Vier"}"#).unwrap_err(), "there is no sheet \"Vier\"; the workbook has \"One\", \"Chart\", \"Zwei\"");
}

#[test]
fn far_cells_take_no_room() {
    let far = row(1_048_576, &[cell(2, 0, 0, &number(2)), cell(2, 16_383, 0, &number(2))]);
    let found = told(Binary::with_rows(&[row(2, &[cell(2, 0, 0, &number(6))]), far]).bytes(), "{}", &[]).unwrap();
    assert_eq!((found.lines.len(), found.lines[0].as_str(), found.blank), (2, "1||", 1_048_573));
    assert!(found.lines[1].starts_with("RAGGED_ROW: row 2 (cell XFD1048576)"), "{}", found.lines[1]);
    for outside in [
        row(1_048_577, &[]),
        record(0, &[0xFF; 17]),
        row(1, &[]),
        row(2, &[cell(2, 16_384, 0, &number(2))]),
        row(2, &[cell(2, u32::MAX, 0, &number(2))]),
        row(2, &[cell(2, 16_383, 0, &number(2)), short(13, 0, &number(2))]),
        row(2, &[cell(2, 0, 0, &number(2)), cell(2, 0, 0, &number(2))]),
        row(2, &vec![cell(1, 0, 0, &[]); 16_385]),
    ] {
        assert_eq!(Binary::with_rows(&[outside]).read().unwrap_err(), damaged(Part::Sheet));
    }
    assert_eq!(Binary::with_rows(&[row(2, &vec![cell(1, 0, 0, &[]); 16_384])]).read(), Ok(vec![]));
}

#[test]
fn records_that_are_none_are_damaged() {
    let cells = |cells: &[Vec<u8>]| Binary::with_rows(&[row(2, cells)]).read();
    assert_eq!(cells(&[cell(2, 0, 0, &number(6))]), Ok(vec!["1||".to_owned()]));
    for kind in (2..=11).chain([62]) {
        assert_eq!(cells(&[cell(kind, 0, 0, &[])]).unwrap_err(), damaged(Part::Sheet), "{kind}");
        assert_eq!(cells(&[record(kind, &[0; 7])]).unwrap_err(), damaged(Part::Sheet), "{kind}");
    }
    for kind in 13..=18 {
        assert_eq!(cells(&[short(kind, 0, &[])]).unwrap_err(), damaged(Part::Sheet), "{kind}");
    }
    for wrong in [
        cell(4, 0, 0, &[2]),
        cell(5, 0, 0, &real(f64::NAN)),
        cell(5, 0, 1, &real(f64::INFINITY)),
        cell(6, 0, 0, &[0xFF, 0xFF, 0xFF, 0x7F, 1, 0]),
        cell(7, 0, 0, &number(2)),
        cell(7, 0, 0, &number(u32::MAX)),
        record(0, &[0; 11]),
    ] {
        assert_eq!(cells(std::slice::from_ref(&wrong)).unwrap_err(), damaged(Part::Sheet), "{wrong:?}");
    }
    let before = Binary::of(sheet(&[cell(2, 0, 0, &number(6)), header(&["a"])]));
    assert_eq!(before.read().unwrap_err(), damaged(Part::Sheet), "a cell of no row");
    for (wrong, part) in [
        (Binary { strings: record(19, &[0, 9, 0, 0, 0, 1]), ..small() }, Part::Strings),
        (Binary { styles: record(44, &[1, 0, 9, 0, 0, 0]), ..small() }, Part::Styles),
        (Binary { styles: [record(617, &[]), record(47, &[0])].concat(), ..small() }, Part::Styles),
        (Binary { workbook: record(156, &[0; 9]), ..small() }, Part::Workbook),
    ] {
        assert_eq!(wrong.read().unwrap_err(), damaged(part));
    }
}

#[test]
fn a_sheet_that_breaks_off_is_damaged() {
    let whole = small().sheet;
    // Behind its rows, nothing is asked for.
    for length in 0..whole.len() - 4 {
        let cut = Binary { sheet: whole[..length].to_vec(), ..small() };
        assert_eq!(cut.read().unwrap_err(), damaged(Part::Sheet), "{length}");
    }
    assert_eq!(small().read(), good());
    for part in [Part::Strings, Part::Styles] {
        let mut cut = small();
        match part {
            Part::Strings => cut.strings.truncate(40),
            _ => cut.styles.truncate(40),
        }
        assert_eq!(cut.read().unwrap_err(), damaged(part));
    }
}

#[test]
fn lengths_that_records_tell_are_not_believed() {
    let with = |length: usize| Binary { sheet: [record_of(5, length, &[0; 9]), sheet(&[])].concat(), ..small() }.read().unwrap_err();
    assert_eq!(with(8 << 20), damaged(Part::Sheet));
    assert_eq!(with((8 << 20) + 1), WorkbookError::PieceTooLong { part: Part::Sheet, limit: 8 << 20 }.to_string());
    // As much as four bytes can say.
    assert_eq!(with((1 << 28) - 1), WorkbookError::PieceTooLong { part: Part::Sheet, limit: 8 << 20 }.to_string());
    let piece = |bytes: usize| {
        let book = Binary::of(sheet_with(&record(999, &vec![7; bytes]), &[header(&["a"]), row(2, &[cell(2, 0, 0, &number(6))])]));
        Binary { stored: true, ..book }.read()
    };
    assert_eq!(piece(8 << 20), good());
    assert_eq!(piece((8 << 20) + 1).unwrap_err(), WorkbookError::PieceTooLong { part: Part::Sheet, limit: 8 << 20 }.to_string());
}

#[test]
fn what_inflates_beyond_its_limit_is_refused() {
    let zeros = |mebibytes: usize| record(999, &vec![0; 1 << 20]).repeat(mebibytes);
    let blanks = |mebibytes: usize| Binary::of(sheet_with(&zeros(mebibytes), &[header(&["a"]), row(2, &[cell(2, 0, 0, &number(6))])]));
    assert_eq!(blanks(15).read(), good());
    assert_eq!(blanks(20).read().unwrap_err(), WorkbookError::Inflates { part: Part::Sheet, limit: MAX_RATIO }.to_string());
    let lying = Binary { lies: Lies { size: Some(10), ..Lies::default() }, strings: zeros(20), ..small() };
    assert_eq!(lying.read().unwrap_err(), WorkbookError::Inflates { part: Part::Strings, limit: MAX_RATIO }.to_string());
    // Behind the rows, too.
    let behind = Binary::of([small().sheet, zeros(20)].concat());
    assert_eq!(behind.read().unwrap_err(), WorkbookError::Inflates { part: Part::Sheet, limit: MAX_RATIO }.to_string());
    // Stored, so that it does not look like a bomb.
    let list = |mebibytes: usize| Binary { stored: true, ..small() }.with_styles(zeros(mebibytes)).read();
    assert_eq!(list(31), good());
    assert_eq!(list(33).unwrap_err(), WorkbookError::PartTooLarge { part: Part::Styles, limit: MAX_LIST }.to_string());
}

impl Binary {
    fn with_styles(self, styles: Vec<u8>) -> Self {
        Self { styles, ..self }
    }
}

#[test]
fn rows_and_styles_are_held_within_limits() {
    let item = record(19, &[&[0][..], &text(&"x".repeat(1 << 20))].concat());
    let count = |count: usize| Binary { stored: true, ..small() }.with_styles([record(617, &[]), style(0).repeat(count)].concat()).read();
    assert_eq!(count(MAX_STYLES), good());
    assert_eq!(count(MAX_STYLES + 1).unwrap_err(), WorkbookError::TooManyStyles { limit: MAX_STYLES }.to_string());
    let shared = Binary { strings: item, ..Binary::of(sheet(&[header(&["a"]), row(2, &vec![short(18, 0, &number(0)); 9])])) };
    assert_eq!(shared.read().unwrap_err(), WorkbookError::RowTooLong { row: 2, limit: 8 << 20 }.to_string());
}

#[test]
fn a_file_that_was_cut_off_or_changed_is_damaged() {
    let whole = small().bytes();
    for length in 2..whole.len() {
        assert_eq!(told(whole[..length].to_vec(), "{}", &[]).unwrap_err(), damaged(Part::Archive), "{length}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        if let Ok(found) = told(changed, "{}", &[]) {
            assert_eq!(Ok(found.lines), good(), "{at}");
        }
    }
    let wrong = Binary { lies: Lies { crc_off_by: 1, ..Lies::default() }, ..small() };
    assert!(wrong.read().unwrap_err().starts_with("the workbook is damaged in"));
    let locked = Binary { lies: Lies { encrypted: true, ..Lies::default() }, ..small() };
    assert_eq!(locked.read().unwrap_err(), WorkbookError::Protected.to_string());
}

/// The archive's checksums keep changes out; whoever makes them on purpose makes those, too.
#[test]
fn parts_that_were_changed_on_purpose_do_no_harm() {
    let text_cells = [cell(6, 0, 0, &text("x")), short(18, 0, &number(1)), cell(9, 2, 2, &real(45322.5))];
    let book = Binary::with_rows(&[row(2, &text_cells), row_of(4, true, &[cell(3, 1, 0, &[7])])]);
    assert_eq!(book.read().unwrap().len(), 2);
    let parts: [fn(&mut Binary) -> &mut Vec<u8>; 4] =
        [|book| &mut book.sheet, |book| &mut book.strings, |book| &mut book.styles, |book| &mut book.workbook];
    for choose in parts {
        for at in 0..choose(&mut book.clone()).len() {
            for change in [0x01, 0x80, 0xFF] {
                let mut changed = book.clone();
                choose(&mut changed)[at] ^= change;
                let _ = changed.read();
            }
        }
    }
}

#[test]
fn no_refusal_shows_a_cell() {
    for wrong in [cell(6, 1, 0, &text("SECRET")), cell(6, 0, 0, &text("SECRET\0")), cell(4, 0, 0, b"SECRET"), cell(62, 0, 0, b"SECRET")] {
        let told = match Binary::of(sheet(&[header(&["a"]), row(2, &[wrong])])).read() {
            Ok(rows) => rows.concat(),
            Err(error) => error,
        };
        assert!(told.contains("cell A2") || told.contains("cell B2") || told.contains("damaged"), "{told}");
        assert!(!told.contains("SECRET"), "{told}");
    }
}
