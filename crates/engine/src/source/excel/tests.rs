//! Workbooks made by hand, part by part: what is read of them, what is refused, and that each limit is the reason of its refusal.

mod hostile;
mod maker;
mod makers;
mod ods;
mod xlsb;

use std::collections::BTreeSet;

use api::import_run::RunReason;
use bytes::Bytes;
use futures::{StreamExt, stream};

use self::maker::{Book, sheet};
use super::*;
use crate::source::blob::MemoryBlob;
use crate::source::{FileSource, Rows, Said, Source, Start, Zoneless};

/// A worker's with the chart's default, of whose quarter the limits of the tests are made.
const MEMORY: Memory = Memory::of(Some(256 << 20));

/// A row as it is told: its cells joined by bars, or why it fails.
fn told(book: Vec<u8>, format: &str, used: &[&str]) -> Result<Told, String> {
    told_of(book, format, used, Zoneless::Utc)
}

fn told_of(book: Vec<u8>, format: &str, used: &[&str], zoneless: Zoneless) -> Result<Told, String> {
    let options = ExcelOptions::compile(&serde_json::from_str(format).unwrap()).map_err(|error| error.to_string())?.with(zoneless);
    let used: BTreeSet<String> = used.iter().map(|name| (*name).to_owned()).collect();
    let mut rows = SheetRows::open(book.into(), &options, &used, MEMORY).map_err(|error| error.to_string())?;
    let (mut batch, mut lines, mut skipped) = (Batch::new(), Vec::new(), 0);
    while rows.next(&mut batch).map_err(|error| error.to_string())? {
        for row in batch.rows() {
            assert_eq!(row.cells.len(), rows.header().len());
            let cells: Vec<_> = row.cells.iter().map(|cell| String::from_utf8(cell.to_vec()).unwrap()).collect();
            skipped += u64::from(row.skipped);
            lines.push(row.fault.as_ref().map_or(cells.join("|"), |fault| fault.result_text()));
        }
    }
    Ok(Told { header: rows.header().names().join("|"), described: rows.header().described(), lines, skipped, blank: rows.blank_lines() })
}

#[derive(Debug)]
struct Told {
    header: String,
    described: String,
    lines: Vec<String>,
    skipped: u64,
    blank: u64,
}

/// The rows of a sheet under the header `a|b|c`.
fn rows(body: &str) -> Vec<String> {
    told(Book::of(&sheet(&format!("{}{body}", maker::header(&["a", "b", "c"])))).bytes(), "{}", &[]).unwrap().lines
}

fn one(cell: &str) -> String {
    rows(&format!(r#"<row r="2">{cell}</row>"#)).concat()
}

#[test]
fn each_kind_of_cell_is_its_value() {
    for (cell, expected) in [
        (r#"<c r="A2"><v>1</v></c>"#, "1||"),
        (r#"<c r="A2" t="n"><v>0.1</v></c>"#, "0.1||"),
        (r#"<c r="A2"><v>1E+15</v></c>"#, "1000000000000000||"),
        (r#"<c r="B2" t="s"><v>0</v></c>"#, "|00123|"),
        (r#"<c r="B2" t="s"><v>1</v></c>"#, "|rich text|"),
        (r#"<c r="C2" t="inlineStr"><is><t xml:space="preserve"> x &amp; &#233;_x000D_&#10;y</t></is></c>"#, "|| x & é\r\ny"),
        (r#"<c r="C2" t="inlineStr"><is><r><t>a</t></r><r><t>b</t></r><rPh sb="0" eb="1"><t>no</t></rPh></is></c>"#, "||ab"),
        (r#"<c r="A2" t="str"><f>A1&amp;"x"</f><v>ax</v></c>"#, "ax||"),
        (r#"<c r="A2" t="b"><v>1</v></c><c r="B2" t="b"><v>0</v></c>"#, "true|false|"),
        (
            r#"<c r="A2" s="1"><v>45322</v></c><c r="B2" s="2"><v>45322.75</v></c><c r="C2" s="3"><v>0.375</v></c>"#,
            "2024-01-31|2024-01-31T18:00:00.000Z|09:00:00.000Z",
        ),
        (r#"<c r="A2" s="4"><v>1.1041666666666667</v></c><c r="B2" s="5"><v>0.25</v></c>"#, "PT26H30M|0.25|"),
        (r#"<c r="A2" t="d" s="1"><v>2024-01-31T00:00:00</v></c>"#, "2024-01-31||"),
        (r#"<c r="A2"><f>1+1</f><v>2</v></c>"#, "2||"),
        // Places may be left out, and stand in any order.
        (r#"<c><v>1</v></c><c><v>2</v></c>"#, "1|2|"),
        (r#"<c r="C2"><v>3</v></c><c r="A2"><v>1</v></c>"#, "1||3"),
        // Of a style that is not there.
        (r#"<c r="A2" s="99"><v>7</v></c>"#, "7||"),
        (r#"<c r="A2"><!-- no value --><v>7</v></c>"#, "7||"),
        (r#"<c r="A2" t="str"><v><![CDATA[<7>]]></v></c>"#, "<7>||"),
    ] {
        assert_eq!(one(cell), expected, "{cell}");
    }
}

#[test]
fn a_cell_that_is_no_value_fails_its_row_and_says_where_it_is() {
    for (cell, expected) in [
        (
            r#"<c r="B2" t="e"><f>x</f><v>#N/A</v></c>"#,
            "UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds the error #N/A: correct its formula, or clear the cell",
        ),
        (
            r#"<c r="B2" t="e"><v>secret</v></c>"#,
            "UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds the error that Excel has no word for: correct its formula, or clear the cell",
        ),
        (
            r#"<c r="A2"><v>1</v></c><c r="B2"><f>1+1</f></c>"#,
            "UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds a formula without a result: open the workbook in Excel or LibreOffice and save it there, which calculates it",
        ),
        (
            r#"<c r="B2"><f>1+1</f><v></v></c>"#,
            "UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds a formula without a result: open the workbook in Excel or LibreOffice and save it there, which calculates it",
        ),
        (
            r#"<c r="A2" s="1"><v>60</v></c>"#,
            "UNREADABLE_CELL: row 1 (cell A2): column \"a\" is formatted as a date, and its number is no day of the calendar between 1900 and 9999: correct it, or format it as a number",
        ),
        (
            r#"<c r="A2" t="inlineStr"><is><t>a_x0000_b</t></is></c>"#,
            "UNREADABLE_CELL: row 1 (cell A2): column \"a\" contains a NUL character, which Salesforce cannot store: remove it",
        ),
        (
            r#"<c r="D2"><v>1</v></c>"#,
            "RAGGED_ROW: row 1 (cell D2): text behind the last column \"c\"; if another row is the header, name it in the format's `headerRow`, else give the column a name, clear the cell, or leave it out with `range`",
        ),
    ] {
        assert_eq!(one(cell), expected, "{cell}");
    }
    // The result of a formula that is no text is none.
    assert_eq!(rows(r#"<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="str"><f>x</f><v></v></c></row>"#), ["1||"]);
}

#[test]
fn an_error_in_a_column_that_the_job_does_not_use_is_text() {
    let body = r#"<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><v>#REF!</v></c></row>"#;
    let book = || Book::of(&sheet(&format!("{}{body}", maker::header(&["a", "b"])))).bytes();
    assert_eq!(told(book(), "{}", &["a"]).unwrap().lines, ["1|#REF!"]);
    assert!(told(book(), "{}", &["a", "b"]).unwrap().lines[0].starts_with("UNREADABLE_CELL"));
}

#[test]
fn a_refused_row_shows_how_it_stood_and_keeps_no_more() {
    let body = r#"<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="e"><v>#N/A</v></c></row><row r="3"><c r="A3"><v>2</v></c></row>"#;
    let book = Book::of(&sheet(&format!("{}{body}", maker::header(&["a", "b"])))).bytes();
    let mut rows = SheetRows::open(book.into(), &ExcelOptions::default(), &BTreeSet::new(), MEMORY).unwrap();
    let mut batch = Batch::new();
    assert!(rows.next(&mut batch).unwrap());
    let refused: Vec<_> = batch.rows().iter().map(|row| row.refused.split_once("] ").map_or("", |(_, stood)| stood)).collect();
    assert_eq!(refused, ["1\\t#N/A", ""]);
}

#[test]
fn both_systems_of_dates_are_read() {
    let body = format!(
        r#"{}<row r="2"><c r="A2" s="1"><v>0</v></c></row><row r="3"><c r="A3" s="1"><v>43860</v></c></row>"#,
        maker::header(&["a"])
    );
    let mut book = Book::of(&sheet(&body));
    assert!(told(book.clone().bytes(), "{}", &[]).unwrap().lines[0].starts_with("UNREADABLE_CELL"));
    book.workbook_properties = r#"<workbookPr date1904="1"/>"#;
    assert_eq!(told(book.bytes(), "{}", &[]).unwrap().lines, ["1904-01-01", "2024-01-31"]);
}

#[test]
fn blank_rows_are_counted_and_short_ones_filled_up() {
    let body = r#"<row r="1"><c r="A1" s="1"/></row><row r="3"><c r="A3" t="str"><v>a</v></c><c r="C3" t="str"><v>c</v></c></row>
        <row r="4"><c r="A4"><v>1</v></c></row><row r="7"><c r="A7" t="str"><v>  </v></c></row><row r="8" spans="1:3"/><row r="9"><c r="C9"><v>2</v></c></row>"#;
    let found = told(Book::of(&sheet(body)).bytes(), "{}", &[]).unwrap();
    assert_eq!((found.header.as_str(), found.lines, found.blank), ("a||c", vec!["1||".to_owned(), "||2".to_owned()], 4));
    assert_eq!(found.described, "the workbook, sheet \"One\" with row 3 as its header, has the columns \"a\", \"\", \"c\"");
}

#[test]
fn header_range_and_footer_are_as_the_job_says() {
    let row = |number: u32, cells: &[(&str, &str)]| {
        let cells: String = cells.iter().map(|(column, text)| format!(r#"<c r="{column}{number}" t="str"><v>{text}</v></c>"#)).collect();
        format!(r#"<row r="{number}">{cells}</row>"#)
    };
    let body = [
        row(1, &[("A", "Report")]),
        row(3, &[("B", "n"), ("C", "x"), ("D", "y")]),
        row(4, &[("A", "!"), ("B", "1"), ("C", "2"), ("D", "3")]),
        row(5, &[("B", "4"), ("E", "note")]),
        row(7, &[("B", "total"), ("C", "9")]),
    ]
    .concat();
    let read = |format: &str| told(Book::of(&sheet(&body)).bytes(), format, &[]);
    let found = read(r#"{"range": "B3:C", "skipFooterRows": 1}"#).unwrap();
    assert_eq!(
        (found.header.as_str(), found.lines.as_slice(), found.skipped),
        ("n|x", ["1|2", "4|", "total|9"].map(String::from).as_slice(), 1)
    );
    let found = read(r#"{"headerRow": 3, "skipFooterRows": 3}"#).unwrap();
    assert_eq!((found.header.as_str(), found.lines.len(), found.skipped, found.blank), ("|n|x|y", 3, 3, 1));
    let found = read(r#"{"range": "B3:D4"}"#).unwrap();
    assert_eq!(found.lines, ["1|2|3"]);
    assert_eq!(read("{}").unwrap().header, "Report");
    for (format, expected) in [
        (r#"{"headerRow": 2}"#, "row 2 of sheet \"One\", which `headerRow` names, has no text"),
        (r#"{"headerRow": 99}"#, "row 99 of sheet \"One\", which `headerRow` names, has no text"),
        (r#"{"range": "F1:"}"#, "sheet \"One\" has no text in the format's `range`: its first row with text must name the columns"),
    ] {
        assert_eq!(read(format).unwrap_err(), expected);
    }
}

#[test]
fn what_is_hidden_is_read_unless_the_job_says_otherwise() {
    let body = r#"<row r="1" hidden="1"><c r="A1" t="str"><v>old</v></c></row>
        <row r="2"><c r="A2" t="str"><v>a</v></c><c r="B2" t="str"><v>b</v></c><c r="C2" t="str"><v>c</v></c></row>
        <row r="3" hidden="true"><c r="A3"><v>1</v></c></row><row r="4"><c r="A4"><v>2</v></c><c r="B4"><v>3</v></c><c r="C4"><v>4</v></c></row>"#;
    let all = format!(
        r#"<worksheet><cols><col min="2" max="2" hidden="1"/><col min="3" max="3" width="9"/></cols><sheetData>{body}</sheetData></worksheet>"#
    );
    let read = |format: &str| told(Book::of(&all).bytes(), format, &[]).unwrap();
    let found = read(r#"{"headerRow": 2}"#);
    assert_eq!((found.header.as_str(), found.lines.as_slice(), found.skipped), ("a|b|c", ["1||", "2|3|4"].map(String::from).as_slice(), 0));
    let found = read(r#"{"hidden": "Skip"}"#);
    assert_eq!((found.header.as_str(), found.lines.as_slice(), found.skipped), ("a|c", ["1|", "2|4"].map(String::from).as_slice(), 1));
    assert_eq!(read("{}").header, "old");
}

#[test]
fn the_first_visible_sheet_is_read_unless_one_is_named() {
    let book = || {
        let mut book = Book::of(&sheet(&maker::header(&["hidden one"])));
        book.sheets[0].1 = "hidden";
        book.sheets.push(("Zwei", "visible", sheet(&maker::header(&["second"]))));
        book.sheets.push(("Drei", "visible", sheet("")));
        book
    };
    let header = |format: &str| told(book().bytes(), format, &[]).map(|found| found.header);
    assert_eq!(header("{}").as_deref(), Ok("second"));
    assert_eq!(header(r#"{"sheet": "One"}"#).as_deref(), Ok("hidden one"));
    assert_eq!(header(r#"{"sheet": "zWEI"}"#).as_deref(), Ok("second"));
    assert_eq!(header(r#"{"sheetNumber": 1}"#).as_deref(), Ok("hidden one"));
    for (format, expected) in [
        (r#"{"sheet": "Vier"}"#, "there is no sheet \"Vier\"; the workbook has \"One\", \"Zwei\", \"Drei\""),
        (r#"{"sheetNumber": 4}"#, "there is no sheet number 4; the workbook has \"One\", \"Zwei\", \"Drei\", in this order"),
        (r#"{"sheet": "Drei"}"#, "sheet \"Drei\" has no text: its first row with text must name the columns"),
    ] {
        assert_eq!(header(format).unwrap_err(), expected);
    }
    let mut none = book();
    none.sheets.truncate(1);
    assert!(told(none.bytes(), "{}", &[]).unwrap_err().starts_with("the workbook has no visible sheet"));
}

#[test]
fn a_header_without_a_value_refuses_the_sheet() {
    let body = r#"<row r="1"><c r="A1" t="str"><v>a</v></c><c r="B1" t="e"><v>#REF!</v></c></row>"#;
    assert_eq!(
        told(Book::of(&sheet(body)).bytes(), "{}", &[]).unwrap_err(),
        "the header cannot be read: cell B1 holds the error #REF!: correct its formula, or clear the cell"
    );
}

#[test]
fn a_result_file_that_a_spreadsheet_saved_comes_back() {
    let body = format!(
        "{}{}",
        maker::header(&["'=x", "sf__Id", "sf__Created", "sf__Error"]),
        r#"<row r="2"><c r="A2" t="str"><v>'+49 30</v></c><c r="D2" t="str"><v>REQUIRED: no</v></c></row>"#
    );
    let found = told(Book::of(&sheet(&body)).bytes(), "{}", &[]).unwrap();
    assert_eq!(
        (found.header.as_str(), found.lines.as_slice()),
        ("=x|sf__Id|sf__Created|sf__Error", ["+49 30|||REQUIRED: no".to_owned()].as_slice())
    );
}

#[test]
fn what_is_no_workbook_is_called_what_it_is() {
    let docx = Book {
        parts: vec![
            ("_rels/.rels", maker::top("word/document.xml")),
            ("word/document.xml", "<x/>".into()),
            ("[Content_Types].xml", "<x/>".into()),
        ],
        ..Book::default()
    };
    let odt = Book {
        parts: vec![
            ("mimetype", "application/vnd.oasis.opendocument.text".into()),
            ("content.xml", "<document-content><body><text><p>a</p></text></body></document-content>".into()),
        ],
        ..Book::default()
    };
    let gone = Book { parts: vec![("_rels/.rels", maker::top("xl/workbook.bin"))], ..Book::default() };
    let save = "open it in Excel or LibreOffice and save it as .xlsx";
    let name = "name the format that it has, or save it as .xlsx";
    for (bytes, expected) in [
        (docx.archive(), format!("the file is a document of Microsoft Office, not an Excel workbook: {name}")),
        (odt.archive(), format!("the file is an OpenDocument file that is no spreadsheet, not an Excel workbook: {name}")),
        (gone.archive(), WorkbookError::Damaged { part: Part::Workbook }.to_string()),
        (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1....".to_vec(), WorkbookError::Damaged { part: Part::Archive }.to_string()),
        (b"a,b\n1,2\n".to_vec(), format!("the file is text, such as CSV, not an Excel workbook: {name}")),
        (b"\x09\x08\x08\0\0\x05".to_vec(), format!("the file is a workbook of Excel 95 or older, not an Excel workbook: {save}")),
        (b"\x1F\x8B\x08\0".to_vec(), format!("the file is gzip-compressed once more, not an Excel workbook: {name}")),
        (Vec::new(), format!("the file is empty, not an Excel workbook: {save}")),
    ] {
        assert_eq!(told(bytes, "{}", &[]).unwrap_err(), expected);
    }
}

/// Through the thread, in pieces.
#[tokio::test]
async fn rows_come_in_batches() {
    let body: String = (2..=5000).map(|row| format!(r#"<row r="{row}"><c r="A{row}"><v>{row}</v></c></row>"#)).collect();
    let book = Book::of(&sheet(&format!("{}{body}", maker::header(&["a"])))).bytes();
    let stream = |book: &[u8]| stream::iter(book.chunks(1000).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect::<Vec<_>>()).boxed();
    let mut rows = open(stream(&book).into(), ExcelOptions::default(), BTreeSet::new(), Memory::of(Some(64 << 20))).await.unwrap();
    let (mut batch, mut batches, mut found) = (Batch::new(), 0, Vec::new());
    while rows.next(&mut batch).await.unwrap() {
        batches += 1;
        found.extend(batch.rows().iter().map(|row| (row.number, String::from_utf8(row.cells[0].to_vec()).unwrap())));
    }
    assert!(batch.is_empty() && batches == 5);
    assert_eq!(found, (2..=5000).map(|row| (row - 1, row.to_string())).collect::<Vec<_>>());
}

/// As a job opens it.
#[tokio::test]
async fn a_workbook_is_a_file_like_any_other() {
    let book = Book::of(&sheet(&format!(r#"{}<row r="2"><c r="A2"><v>1</v></c></row><row r="4"/>"#, maker::header(&["a"])))).bytes();
    let open = async |bytes: Vec<u8>, format: Option<&str>| {
        let said = Said { format: format.map(|format| serde_json::from_str(format).unwrap()), ..Said::default() };
        let source = FileSource::new(MemoryBlob::new(bytes, 100), said);
        source.open(&Start::First, &["a".to_owned()].into()).await
    };
    for format in [None, Some(r#"{"excel": {}}"#)] {
        let mut rows = open(book.clone(), format).await.unwrap();
        let mut batch = Batch::new();
        assert_eq!(rows.header().names(), ["a"]);
        assert!(rows.next(&mut batch).await.unwrap());
        assert_eq!(batch.rows().iter().map(|row| row.cells[0].to_vec()).collect::<Vec<_>>(), [b"1"]);
        assert!(!rows.next(&mut batch).await.unwrap());
        assert_eq!(rows.blank_lines(), 2);
    }

    let refused = async |bytes: Vec<u8>, format| open(bytes, format).await.err().map(|error| (error.to_string(), error.reason())).unwrap();
    let (message, reason) = refused(book.clone(), Some(r#"{"csv": {}}"#)).await;
    assert_eq!(message, "the file is an Excel workbook, not CSV: leave `format` out, or set it to {excel: {}}");
    assert_eq!(reason, RunReason::SourceFailed);
    let (message, reason) = refused(book.clone(), Some(r#"{"excel": {"range": "A1"}}"#)).await;
    assert!(message.starts_with("`range: \"A1\"` is no range of cells"), "{message}");
    assert_eq!(reason, RunReason::SourceFailed);
    let (message, reason) = refused(book[..book.len() - 1].to_vec(), Some(r#"{"excel": {}}"#)).await;
    assert_eq!((message, reason), (WorkbookError::Damaged { part: Part::Archive }.to_string(), RunReason::SourceFailed));
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_refused_before_it_is_read() {
    let piece = Bytes::from(vec![0; 1 << 20]);
    let refused = async |mebibytes: usize| {
        let pieces = stream::iter(std::iter::repeat_n(piece.clone(), mebibytes).map(Ok)).boxed();
        open(pieces.into(), ExcelOptions::default(), BTreeSet::new(), Memory::of(Some(64 << 20)))
            .await
            .err()
            .map(|error| (error.to_string(), error.reason()))
            .unwrap()
    };
    let (message, _) = refused(16).await;
    assert!(message.contains("not an Excel workbook"), "control: {message}");
    let (message, reason) = refused(17).await;
    assert!(message.starts_with("the workbook has more than 16 MiB and cannot be fetched in parts"), "{message}");
    assert_eq!(reason, RunReason::FileTooLarge);
}
