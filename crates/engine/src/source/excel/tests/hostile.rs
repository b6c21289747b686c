//! Workbooks that nobody made by accident. Each has a control that differs in the one thing that is refused.

use super::maker::{Book, Lies, header, sheet};
use super::*;
use crate::source::excel::limits::{MAX_DEPTH, MAX_LIST, MAX_PARTS, MAX_RATIO, MAX_STYLES};

fn read(book: &Book) -> Result<Vec<String>, String> {
    read_bytes(book.bytes())
}

fn read_bytes(bytes: Vec<u8>) -> Result<Vec<String>, String> {
    told(bytes, "{}", &[]).map(|found| found.lines)
}

fn small() -> Book {
    Book::of(&sheet(&format!(r#"{}<row r="2"><c r="A2"><v>1</v></c></row>"#, header(&["a"]))))
}

fn good() -> Result<Vec<String>, String> {
    Ok(vec!["1".to_owned()])
}

#[test]
fn far_cells_take_no_room() {
    let far = |header_cell: &str| {
        let body = format!(
            r#"<row r="1"><c r="A1" t="str"><v>a</v></c>{header_cell}</row><row r="2"><c r="A2"><v>1</v></c></row><row r="1048576"><c r="A1048576"><v>2</v></c><c r="XFD1048576"><v>3</v></c></row>"#
        );
        told(Book::of(&sheet(&body)).bytes(), "{}", &[])
    };
    let found = far("").unwrap();
    assert_eq!((found.lines.len(), found.lines[0].as_str(), found.blank), (2, "1", 1_048_573));
    assert!(found.lines[1].starts_with("RAGGED_ROW: row 2 (cell XFD1048576): text behind the last column \"a\""), "{}", found.lines[1]);
    assert_eq!(far(r#"<c r="XFD1" t="str"><v>z</v></c>"#).unwrap_err(), "the header has 16384 columns, more than 5000");
    assert_eq!(far(r#"<c r="GJH1" t="str"><v>z</v></c>"#).unwrap().lines.len(), 2);
    for outside in [
        r#"<row r="1048577"/>"#,
        r#"<row r="0"/>"#,
        r#"<row r="2"><c r="XFE2"/></row>"#,
        r#"<row r="2"><c r="A3"/></row>"#,
        r#"<row r="1"/>"#,
    ] {
        let damaged = read(&Book::of(&sheet(&format!("{}{outside}", header(&["a"])))));
        assert_eq!(damaged.unwrap_err(), WorkbookError::Damaged { part: Part::Sheet }.to_string(), "{outside}");
    }
}

#[test]
fn a_row_takes_as_many_cells_as_a_sheet_has_columns() {
    let cells = |count: usize| {
        let body = format!(r#"{}<row r="2">{}</row>"#, header(&["a"]), "<c/>".repeat(count));
        read(&Book::of(&sheet(&body)))
    };
    assert_eq!(cells(16_384), Ok(vec![]));
    assert!(cells(16_385).unwrap_err().contains("damaged in the sheet"));
}

#[test]
fn a_cell_stands_once_in_its_row() {
    let twice = r#"<row r="2"><c r="A2"><v>1</v></c><c r="A2"><v>2</v></c></row>"#;
    assert!(read(&Book::of(&sheet(&format!("{}{twice}", header(&["a"]))))).unwrap_err().contains("damaged in the sheet"));
}

/// Blanks deflate a thousand times.
fn blank(mebibytes: usize) -> String {
    format!("<!--{}-->", " ".repeat(1 << 20)).repeat(mebibytes)
}

#[test]
fn a_sheet_that_inflates_beyond_all_proportion_is_refused() {
    let blanks = |mebibytes: usize| {
        let body = format!(r#"{}{}<row r="2"><c r="A2"><v>1</v></c></row>"#, header(&["a"]), blank(mebibytes));
        Book::of(&sheet(&body))
    };
    assert_eq!(read(&blanks(15)), good());
    assert_eq!(read(&blanks(20)).unwrap_err(), WorkbookError::Inflates { part: Part::Sheet, limit: MAX_RATIO }.to_string());
}

#[test]
fn sizes_that_the_archive_tells_are_not_believed() {
    let lying = |mebibytes: usize| {
        let strings = format!("<sst>{}</sst>", blank(mebibytes));
        let book = Book { lies: Lies { size: Some(10), ..Lies::default() }, ..small() };
        read(&book.with("xl/sharedStrings.xml", strings))
    };
    assert_eq!(lying(1), good());
    assert_eq!(lying(20).unwrap_err(), WorkbookError::Inflates { part: Part::Strings, limit: MAX_RATIO }.to_string());
}

#[test]
fn shared_texts_are_held_within_a_limit() {
    let text = "x".repeat(1 << 20);
    // Stored, so that it does not look like a bomb.
    let strings = |mebibytes: usize, more: &str| {
        let book = Book { stored: true, ..small() };
        read(&book.with("xl/sharedStrings.xml", format!("<sst>{}{more}</sst>", format!("<si><t>{text}</t></si>").repeat(mebibytes))))
    };
    assert_eq!(strings(64, ""), good());
    assert_eq!(strings(64, "<si><t>x</t></si>").unwrap_err(), WorkbookError::TooMuchText { limit: 64 << 20 }.to_string());
}

#[test]
fn shared_texts_have_the_same_part_of_a_worker_s_memory_as_the_file() {
    let text = "x".repeat(1 << 20);
    let book = Book { stored: true, ..small() };
    let book = book.with("xl/sharedStrings.xml", format!("<sst>{}</sst>", format!("<si><t>{text}</t></si>").repeat(17))).bytes();
    let opened = |memory: u64| {
        let memory = Memory::of(Some(memory << 20));
        SheetRows::open(book.clone().into(), &ExcelOptions::default(), &BTreeSet::new(), memory)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    assert_eq!(opened(68), Ok(()));
    assert_eq!(opened(64), Err(WorkbookError::TooMuchText { limit: 16 << 20 }.to_string()));
}

#[test]
fn lists_of_parts_and_styles_are_held_within_a_limit() {
    for (name, part, root) in [
        ("xl/styles.xml", Part::Styles, "styleSheet"),
        ("xl/workbook.xml", Part::Workbook, "workbook"),
        ("xl/_rels/workbook.xml.rels", Part::Relations, "Relationships"),
    ] {
        // Stored, so that it does not look like a bomb.
        let list = format!("<{root}>{}</{root}>", blank(33));
        let error = read(&Book { stored: true, ..small() }.with(name, list)).unwrap_err();
        assert_eq!(error, WorkbookError::PartTooLarge { part, limit: MAX_LIST }.to_string());
    }
}

#[test]
fn a_text_of_many_pieces_is_held_within_the_same_limit() {
    let run = format!("<r><t>{}</t></r>", "x".repeat(1 << 20));
    let part = format!("{}<!-- -->", "1".repeat(1 << 20));
    let cell = |cell: String| {
        let body = format!(r#"{}<row r="2"><c r="A2"><v>1</v></c></row><row r="3">{cell}</row>"#, header(&["a"]));
        read(&Book { stored: true, ..Book::of(&sheet(&body)) }).map(|rows| rows.len())
    };
    for (before, piece, behind) in [("<c r='B3' t='inlineStr'><is>", &run, "</is></c>"), ("<c r='B3'><v>", &part, "</v></c>")] {
        assert_eq!(cell(format!("{before}{behind}")), Ok(1), "control");
        let error = cell(format!("{before}{}{behind}", piece.repeat(9))).unwrap_err();
        assert_eq!(error, WorkbookError::PieceTooLong { part: Part::Sheet, limit: 8 << 20 }.to_string(), "{before}");
    }
    let strings = |runs: usize| {
        let book = Book { stored: true, ..small() };
        read(&book.with("xl/sharedStrings.xml", format!("<sst><si>{}</si></sst>", run.repeat(runs))))
    };
    assert_eq!(strings(7), good());
    assert_eq!(strings(9).unwrap_err(), WorkbookError::PieceTooLong { part: Part::Strings, limit: 8 << 20 }.to_string());
}

#[test]
fn one_piece_of_text_is_held_within_a_limit() {
    let text = |kibibytes: usize, before: &str, behind: &str| {
        let body = format!(r#"{}<row r="2"><c r="A2"><v>1</v></c></row>{before}{}{behind}"#, header(&["a"]), "x".repeat(kibibytes << 10));
        read(&Book { stored: true, ..Book::of(&sheet(&body)) })
    };
    for (before, behind) in
        [("", ""), ("<!--", "-->"), ("<row r='3'><c a='", "'/></row>"), ("<?x ", "?>"), ("<", "/>"), ("<![CDATA[", "]]>")]
    {
        assert_eq!(text(8100, before, behind), good(), "{before}");
        let error = text(8400, before, behind).unwrap_err();
        assert_eq!(error, WorkbookError::PieceTooLong { part: Part::Sheet, limit: 8 << 20 }.to_string(), "{before}");
    }
}

#[test]
fn a_row_is_held_within_a_limit_however_its_texts_are_shared() {
    let strings = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(1 << 20));
    let cells = |count: usize| {
        let body = format!(r#"{}<row r="2"><c r="A2"><v>1</v></c>{}</row>"#, header(&["a"]), r#"<c t="s"><v>0</v></c>"#.repeat(count));
        told(Book::of(&sheet(&body)).with("xl/sharedStrings.xml", strings.clone()).bytes(), "{}", &["a"])
    };
    assert!(cells(7).unwrap().lines[0].starts_with("RAGGED_ROW"));
    assert_eq!(cells(8).unwrap_err(), WorkbookError::RowTooLong { row: 2, limit: 8 << 20 }.to_string());
}

#[test]
fn what_is_sent_of_a_row_is_as_long_as_salesforce_takes() {
    let strings = format!("<sst><si><t>{}</t></si></sst>", "é".repeat(200_000));
    let body = format!(r#"{}<row r="2"><c t="s"><v>0</v></c><c t="s"><v>0</v></c><c><v>1</v></c></row>"#, header(&["a", "b", "c"]));
    let book = Book::of(&sheet(&body)).with("xl/sharedStrings.xml", strings);
    let read = |used: &[&str]| told(book.bytes(), "{}", used).map(|found| found.lines.len());
    assert_eq!(read(&["a", "c"]), Ok(1));
    assert_eq!(read(&["a", "b"]), Ok(1));
    assert_eq!(read(&["a", "b", "c"]).unwrap_err(), WorkbookError::TooMuchToSend { row: 2, limit: 400_000 }.to_string());
    assert_eq!(read(&[]).unwrap_err(), WorkbookError::TooMuchToSend { row: 2, limit: 400_000 }.to_string());
}

#[test]
fn rows_that_are_held_back_are_held_within_a_limit() {
    let strings = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(1 << 20));
    let rows: String = (2..=12).map(|row| format!(r#"<row r="{row}"><c t="s"><v>0</v></c><c><v>1</v></c></row>"#)).collect();
    let body = format!("{}{rows}", header(&["a", "b"]));
    let book = Book::of(&sheet(&body)).with("xl/sharedStrings.xml", strings);
    let read = |format: &str| told(book.bytes(), format, &["b"]).map(|found| (found.lines.len(), found.skipped));
    assert_eq!(read(r#"{"skipFooterRows": 6}"#), Ok((11, 6)));
    assert_eq!(read(r#"{"skipFooterRows": 9}"#).unwrap_err(), WorkbookError::RowTooLong { row: 9, limit: 8 << 20 }.to_string());
}

#[test]
fn parts_are_counted_before_anything_is_made_of_them() {
    let parts = |count: usize| {
        let mut zip = small().zip();
        (usize::from(zip.count)..count).for_each(|number| zip.add(&number.to_string(), b""));
        // What the archive says of their number is not asked.
        zip.count = zip.count.min(9999);
        read_bytes(zip.finish())
    };
    assert_eq!(parts(9_999), good());
    assert_eq!(parts(MAX_PARTS + 1).unwrap_err(), WorkbookError::TooManyParts { limit: MAX_PARTS }.to_string());
}

#[test]
fn elements_are_nested_no_deeper_than_in_workbooks() {
    let deep = |depth: usize| read(&small().with("xl/styles.xml", format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))));
    assert_eq!(deep(MAX_DEPTH), good());
    assert_eq!(deep(MAX_DEPTH + 1).unwrap_err(), WorkbookError::TooDeep { part: Part::Styles, limit: MAX_DEPTH }.to_string());
}

#[test]
fn styles_are_counted() {
    let styles = |count: usize| {
        let formats: String = (0..count).map(|id| format!("<numFmt numFmtId='{id}' formatCode='0'/>")).collect();
        read(&Book { stored: true, ..small() }.with("xl/styles.xml", format!("<s>{formats}</s>")))
    };
    assert_eq!(styles(1000), good());
    assert_eq!(styles(MAX_STYLES + 1).unwrap_err(), WorkbookError::TooManyStyles { limit: MAX_STYLES }.to_string());
}

#[test]
fn entities_of_a_files_own_are_refused() {
    let with = |before: &str, text: &str| {
        let body = format!(
            r#"{before}<worksheet><sheetData>{}<row r="2"><c t="str"><v>{text}</v></c></row></sheetData></worksheet>"#,
            header(&["a"])
        );
        read(&Book::of(&body))
    };
    assert_eq!(with("", "&lt;&#x41;&#65;&amp;").unwrap(), ["<AA&"]);
    let bomb = r#"<!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>"#;
    for (before, text) in [(bomb, "&b;"), (bomb, "x"), ("", "&b;"), ("", "&#0;"), ("", "&#xD800;"), ("", "&#99999999;"), ("", "&lt")] {
        assert_eq!(with(before, text).unwrap_err(), WorkbookError::Damaged { part: Part::Sheet }.to_string(), "{before} {text}");
    }
}

#[test]
fn many_attributes_are_read_in_time() {
    let attributes: String = (0..200_000).map(|number| format!(" a{number}='1'")).collect();
    let body = format!(r#"{}<row r="2"{attributes}><c r="A2"{attributes}><v>1</v></c></row>"#, header(&["a"]));
    let began = std::time::Instant::now();
    assert_eq!(read(&Book::of(&sheet(&body))), good());
    // Each compared with all before it, it would be some minutes.
    assert!(began.elapsed().as_secs() < 20);
}

#[test]
fn an_archive_that_was_cut_off_or_changed_is_damaged() {
    let whole = small().bytes();
    for length in 2..whole.len() {
        let error = read_bytes(whole[..length].to_vec()).unwrap_err();
        assert_eq!(error, WorkbookError::Damaged { part: Part::Archive }.to_string(), "{length}");
    }
    // Any byte: it is read all the same, or refused, and nothing panics. Values are never others.
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        if let Ok(rows) = read_bytes(changed) {
            assert_eq!(Ok(rows), good(), "{at}");
        }
    }
}

#[test]
fn bytes_that_are_not_those_that_were_packed_are_damaged() {
    let book = |off_by: u32| Book { lies: Lies { crc_off_by: off_by, ..Lies::default() }, ..small() };
    assert_eq!(read(&book(0)), good());
    assert!(read(&book(1)).unwrap_err().starts_with("the workbook is damaged in"));
}

#[test]
fn an_archive_with_a_password_is_told_so() {
    let book = Book { lies: Lies { encrypted: true, ..Lies::default() }, ..small() };
    assert_eq!(read(&book).unwrap_err(), WorkbookError::Protected.to_string());
}

#[test]
fn a_sheet_that_breaks_off_is_damaged() {
    let rest = r#"<row r="2"><c r="A2"><v>1</v></c></row>"#;
    for sheet in [
        format!("<worksheet><sheetData>{}{rest}", header(&["a"])),
        format!("<worksheet><sheetData>{}{rest}</sheetData>", header(&["a"])),
        format!("<worksheet><sheetData>{}<row r=\"2\"><c r=\"A2\"><v>1", header(&["a"])),
        "<worksheet>".to_owned(),
        "<worksheet></worksheet>".to_owned(),
        String::new(),
        format!("<worksheet><sheetData>{}<row r='2'><c t='s'><v>7</v></c></row></sheetData></worksheet>", header(&["a"])),
        format!("<worksheet><sheetData>{}<row r='2'><c t='x'><v>7</v></c></row></sheetData></worksheet>", header(&["a"])),
        format!("<worksheet><sheetData>{}<row r='2'><c><v>seven</v></c></row></sheetData></worksheet>", header(&["a"])),
    ] {
        assert_eq!(read(&Book::of(&sheet)).unwrap_err(), WorkbookError::Damaged { part: Part::Sheet }.to_string(), "{sheet}");
    }
}

#[test]
fn no_refusal_shows_a_cell() {
    for cell in [
        "<c t='e'><v>SECRET</v></c>",
        "<c s='1'><v>99999999</v></c>",
        "<c t='d'><v>SECRET</v></c>",
        "<c t='inlineStr'><is><t>SECRET_x0000_</t></is></c>",
        "<c><v>1</v></c><c t='str'><v>SECRET</v></c>",
        "<c><v>SECRET</v></c>",
        "<c t='b'><v>SECRET</v></c>",
        "<c t='SECRET'><v>1</v></c>",
    ] {
        let body = format!("{}<row r='2'>{cell}</row>", header(&["a"]));
        let told = match read(&Book::of(&sheet(&body))) {
            Ok(rows) => rows.concat(),
            Err(error) => error,
        };
        assert!(told.contains("cell A2") || told.contains("cell B2") || told.contains("damaged"), "{told}");
        assert!(!told.contains("SECRET") && !told.contains("99999999"), "{told}");
    }
}

/// What xlwt wrote, changed.
fn old(change: impl FnOnce(&mut Vec<u8>)) -> Result<usize, String> {
    let mut bytes = xlwt();
    change(&mut bytes);
    told(bytes, "{}", &[]).map(|found| found.lines.len())
}

fn xlwt() -> Vec<u8> {
    std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/workbooks/xlwt.xls")).unwrap()
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    let at = memchr::memmem::find(bytes, from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
}

#[test]
fn old_workbooks_with_a_password_or_too_old_are_told_so() {
    assert_eq!(old(|_| ()), Ok(5));
    // CODEPAGE becomes FILEPASS, and BIFF8 becomes BIFF5.
    assert_eq!(old(|bytes| replace(bytes, b"\x42\0\x02\0", b"\x2F\0")).unwrap_err(), WorkbookError::Protected.to_string());
    let older = old(|bytes| replace(bytes, b"\x09\x08\x10\0\0\x06\x05\0", b"\x09\x08\x10\0\0\x05")).unwrap_err();
    assert!(older.starts_with("the file is a workbook of Excel 95 or older, not an Excel workbook"), "{older}");
}

#[test]
fn chains_of_sectors_that_lead_back_are_damaged() {
    let number = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let leads_to = |next: Option<u32>| {
        old(|bytes| {
            let directory = number(bytes, 48);
            let entry = (number(bytes, 76) as usize + 1) * 512 + directory as usize * 4;
            let next = next.unwrap_or(directory);
            bytes[entry..entry + 4].copy_from_slice(&next.to_le_bytes());
        })
    };
    assert_eq!(leads_to(Some(0xFFFF_FFFE)), Ok(5));
    assert_eq!(leads_to(None).unwrap_err(), WorkbookError::Damaged { part: Part::Archive }.to_string());
}

#[test]
fn an_old_workbook_that_was_cut_off_or_changed_does_no_harm() {
    let whole = xlwt();
    for length in (8..whole.len() - 512).step_by(61) {
        assert!(read_bytes(whole[..length].to_vec()).is_err(), "{length}");
    }
    // It has no checksums: a value may be another one, but nothing panics, and nothing takes long.
    for at in 8..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= if at % 2 == 0 { 0xFF } else { 0x81 };
        let _ = read_bytes(changed);
    }
}
