//! OpenDocument spreadsheets made by hand: what is read of them, what is refused, and that what stands for many costs no more than one.

use std::time::{Duration, Instant};

use super::maker::{Book, Lies};
use super::*;
use crate::source::excel::cells::SheetRow;
use crate::source::excel::limits::{MAX_CELLS, MAX_DEPTH, MAX_PARTS, MAX_ROW, MAX_SHEET, MAX_STYLES};
use crate::source::excel::package::Package;

const STYLES: &str = r#"<date-style name="D"><year/><text>-</text><month/></date-style><date-style name="I"><day/><hours/><minutes/></date-style>
    <time-style name="T"><hours/></time-style><time-style name="P" truncate-on-overflow="false"><hours/></time-style>
    <style name="day" family="table-cell" data-style-name="D"/><style name="instant" family="table-cell" data-style-name="I"/>
    <style name="time" family="table-cell" data-style-name="T"/><style name="passed" family="table-cell" data-style-name="P"/>
    <style name="bold" family="table-cell" parent-style-name="Instants"/><style name="column" family="table-column" data-style-name="D"/>
    <style name="off" family="table"><table-properties display="false"/></style><style name="on" family="table"><table-properties display="true"/></style>"#;

const COMMON: &str = r#"<document-styles><styles><date-style name="D"><hours/></date-style><style name="Instants" family="table-cell" parent-style-name="Base"/>
    <style name="Base" family="table-cell" data-style-name="D"/><style name="Round" family="table-cell" parent-style-name="Round"/></styles>
    <automatic-styles><date-style name="I"/></automatic-styles></document-styles>"#;

fn book(tables: &str) -> Book {
    Book::default().with(
        "content.xml",
        format!(
            "<document-content><scripts><p>no</p></scripts><automatic-styles>{STYLES}</automatic-styles><body><spreadsheet>\
             <calculation-settings/>{tables}<named-expressions/></spreadsheet></body></document-content>"
        ),
    )
}

fn table(rows: &str) -> Book {
    book(&format!(r#"<table name="One" style-name="on"><forms/><table-column number-columns-repeated="16384"/>{rows}</table>"#))
}

fn text(text: &str) -> String {
    format!(r#"<table-cell value-type="string"><p>{text}</p></table-cell>"#)
}

fn row(cells: &str) -> String {
    format!("<table-row>{cells}</table-row>")
}

fn header(names: &[&str]) -> String {
    row(&names.iter().map(|name| text(name)).collect::<String>())
}

fn read(book: &Book) -> Result<Vec<String>, String> {
    told(book.archive(), "{}", &[]).map(|found| found.lines)
}

/// The rows of a sheet under the header `a|b|c`.
fn rows(body: &str) -> Result<Vec<String>, String> {
    read(&table(&format!("{}{body}", header(&["a", "b", "c"]))).with("styles.xml", COMMON))
}

fn one(cells: &str) -> String {
    rows(&row(cells)).unwrap().concat()
}

#[test]
fn each_kind_of_cell_is_its_value() {
    for (cells, expected) in [
        (r#"<table-cell value-type="float" value="1.0"><p>1,00</p></table-cell>"#, "1||"),
        (r#"<table-cell value-type="float" value="1E+15"/>"#, "1000000000000000||"),
        (r#"<table-cell value-type="float" value="12345678901234567"/>"#, "12345678901234567||"),
        (r#"<table-cell value-type="percentage" value="0.125"><p>12.50 %</p></table-cell>"#, "0.125||"),
        (r#"<table-cell value-type="currency" currency="EUR" value="1234.5"><p>1.234,50 €</p></table-cell>"#, "1234.5||"),
        (r#"<table-cell value-type="boolean" boolean-value="true"><p>WAHR</p></table-cell>"#, "true||"),
        (r#"<table-cell value-type="string"><p>00123</p></table-cell>"#, "00123||"),
        // As LibreOffice has it, blanks and line ends within a paragraph stay.
        (
            r#"<table-cell value-type="string"><p>  a  b <s c="3"/><tab/>c<line-break/>d</p><p/><p>e</p></table-cell>"#,
            "  a  b    \tc\nd\n\ne||",
        ),
        (r#"<table-cell><p>untold</p></table-cell>"#, "untold||"),
        (r#"<table-cell value-type="string" string-value="value"><p>"shown"</p></table-cell>"#, "value||"),
        (
            r#"<table-cell value-type="string"><p>half <span>bold <a href="x">li<span>n</span>k</a></span>&amp;</p></table-cell>"#,
            "half bold link&||",
        ),
        (
            r#"<table-cell value-type="string"><annotation><date>2024</date><p>note</p></annotation><p>a<annotation><p>n</p></annotation>b</p><shapes><p>x</p></shapes></table-cell>"#,
            "ab||",
        ),
        (r#"<table-cell value-type="string"><p><ruby><ruby-base>日</ruby-base><ruby-text>hi</ruby-text></ruby></p></table-cell>"#, "日||"),
        (
            r#"<table-cell value-type="string"><table><table-row><table-cell><p>in</p></table-cell></table-row></table><p>out</p></table-cell>"#,
            "out||",
        ),
        (r#"<table-cell value-type="date" style-name="day" date-value="2024-01-31"/>"#, "2024-01-31||"),
        (r#"<table-cell value-type="date" style-name="day" date-value="2024-01-31T00:00:00"/>"#, "2024-01-31||"),
        (r#"<table-cell value-type="date" style-name="day" date-value="2024-01-31T18:30:15.999"/>"#, "2024-01-31T18:30:15.999Z||"),
        (r#"<table-cell value-type="date" date-value="2024-01-31"/>"#, "2024-01-31||"),
        (r#"<table-cell value-type="date" style-name="instant" date-value="2024-01-31"/>"#, "2024-01-31T00:00:00.000Z||"),
        // By the style of its style, whose format has the name of another one.
        (r#"<table-cell value-type="date" style-name="bold" date-value="2024-01-31"/>"#, "2024-01-31T00:00:00.000Z||"),
        (r#"<table-cell value-type="date" style-name="Round" date-value="2024-01-31"/>"#, "2024-01-31||"),
        (r#"<table-cell value-type="time" style-name="time" time-value="PT09H00M00S"/>"#, "09:00:00.000Z||"),
        (r#"<table-cell value-type="time" time-value="PT09H00M00.005S"/>"#, "09:00:00.005Z||"),
        (r#"<table-cell value-type="time" style-name="passed" time-value="PT09H00M00S"/>"#, "PT9H||"),
        (r#"<table-cell value-type="time" style-name="passed" time-value="PT26H30M00S"/>"#, "PT26H30M||"),
        // No time of a day, whatever its style says.
        (r#"<table-cell value-type="time" style-name="time" time-value="PT26H30M"/>"#, "PT26H30M||"),
        (r#"<table-cell value-type="time" time-value="-PT1H"/>"#, "PT-1H||"),
        (r#"<table-cell formula="of:=1+1" value-type="float" value="2"><p>2</p></table-cell>"#, "2||"),
        // An empty result, as LibreOffice writes it.
        (r#"<table-cell/><table-cell formula="x"><p/></table-cell><table-cell value-type="float" value="1"/>"#, "||1"),
        (r#"<table-cell/><table-cell><p>b</p></table-cell>"#, "|b|"),
        (r#"<table-cell number-columns-repeated="2" value-type="string"><p>twice</p></table-cell><table-cell/>"#, "twice|twice|"),
        (
            r#"<table-cell number-columns-spanned="2"><p>a</p></table-cell><covered-table-cell><p>under</p></covered-table-cell><table-cell><p>c</p></table-cell>"#,
            "a||c",
        ),
        (r#"<table-cell value-type="void"/><table-cell><p>b</p></table-cell>"#, "|b|"),
        // Text is what it is, be it the word for an error.
        (r#"<table-cell value-type="string"><p>#N/A</p></table-cell>"#, "#N/A||"),
    ] {
        assert_eq!(one(cells), expected, "{cells}");
    }
}

#[test]
fn a_cell_that_is_no_value_fails_its_row_and_says_where_it_is() {
    let error = |word: &str| {
        format!("UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds the error {word}: correct its formula, or clear the cell")
    };
    for (cell, expected) in [
        (r#"<table-cell formula="x" value-type="string" string-value="" calcext:value-type="error"><p>#N/A</p></table-cell>"#, error("#N/A")),
        // As OpenOffice writes it.
        (r#"<table-cell formula="x" value-type="float" value="0"><p>#DIV/0!</p></table-cell>"#, error("#DIV/0!")),
        (r#"<table-cell formula="x" value-type="float" value="0"><p>Err:502</p></table-cell>"#, error("that Excel has no word for")),
        (r#"<table-cell calcext:value-type="error"><p>secret</p></table-cell>"#, error("that Excel has no word for")),
        (
            r#"<table-cell formula="x"/>"#,
            "UNREADABLE_CELL: row 1 (cell B2): column \"b\" holds a formula without a result: open the workbook in Excel or LibreOffice and \
             save it there, which calculates it"
                .to_owned(),
        ),
    ] {
        assert_eq!(one(&format!("<table-cell/>{cell}")), expected, "{cell}");
    }
    let no_day = r#"<table-cell/><table-cell value-type="date" date-value="2023-02-29"/>"#;
    assert!(one(no_day).starts_with("UNREADABLE_CELL: row 1 (cell B2): column \"b\" is formatted as a date"), "{}", one(no_day));
}

#[test]
fn cells_without_a_style_have_that_of_their_row_or_column() {
    let cell = r#"<table-cell value-type="date" date-value="2024-01-31"/>"#;
    let columns = r#"<table-header-columns><table-column number-columns-repeated="2"/></table-header-columns>
        <table-column default-cell-style-name="instant"/><table-column/>"#;
    let body = format!(
        r#"{columns}<table-header-rows>{}</table-header-rows><table-row-group>{}<table-row default-cell-style-name="instant">{cell}</table-row></table-row-group>"#,
        header(&["a", "b", "c", "d"]),
        row(&cell.repeat(4)),
    );
    let found = read(&book(&format!(r#"<table name="One">{body}</table>"#)));
    assert_eq!(found.unwrap(), ["2024-01-31|2024-01-31|2024-01-31T00:00:00.000Z|2024-01-31", "2024-01-31T00:00:00.000Z|||"]);
}

#[test]
fn header_range_and_footer_are_as_the_job_says() {
    let number = |number: u32| format!(r#"<table-cell value-type="float" value="{number}"/>"#);
    let gap =
        |count: u32| format!(r#"<table-row number-rows-repeated="{count}"><table-cell number-columns-repeated="16384"/></table-row>"#);
    let body = [
        row(&text("Report")),
        gap(1),
        row(&format!("<table-cell/>{}{}{}", text("n"), text("x"), text("y"))),
        row(&format!("{}{}{}{}", text("!"), number(1), number(2), number(3))),
        format!(r#"<table-row number-rows-repeated="2"><table-cell/>{}</table-row>"#, number(4)),
        gap(2),
        row(&format!("<table-cell/>{}{}", text("total"), number(9))),
        gap(1_048_567),
    ]
    .concat();
    let read = |format: &str| told(table(&body).archive(), format, &[]);
    let found = read(r#"{"range": "B3:C", "skipFooterRows": 1}"#).unwrap();
    assert_eq!(
        (found.header.as_str(), found.lines.as_slice(), found.skipped, found.blank),
        ("n|x", ["1|2", "4|", "4|", "total|9"].map(String::from).as_slice(), 1, 2)
    );
    assert_eq!(read(r#"{"range": "B3:D5"}"#).unwrap().lines, ["1|2|3", "4||"]);
    assert_eq!(read(r#"{"range": "B6:C"}"#).unwrap().header, "4");
    let found = read(r#"{"headerRow": 3, "skipFooterRows": 3}"#).unwrap();
    assert_eq!((found.header.as_str(), found.lines.len(), found.skipped), ("|n|x|y", 4, 3));
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
    let body = format!(
        r#"<table-column/><table-column visibility="collapse" number-columns-repeated="2"/><table-column/>
            <table-row visibility="collapse">{}</table-row>{}<table-row visibility="filter" number-rows-repeated="2">{}</table-row>{}"#,
        text("old"),
        header(&["a", "b", "c", "d"]),
        text("1"),
        row(&[text("2"), text("3"), text("4"), text("5")].concat()),
    );
    let all = book(&format!(r#"<table name="One">{body}</table>"#)).archive();
    let found = told(all.clone(), r#"{"headerRow": 2}"#, &[]).unwrap();
    assert_eq!((found.header.as_str(), found.skipped), ("a|b|c|d", 0));
    assert_eq!(found.lines, ["1|||", "1|||", "2|3|4|5"]);
    let found = told(all.clone(), r#"{"hidden": "Skip"}"#, &[]).unwrap();
    assert_eq!((found.header.as_str(), found.lines, found.skipped), ("a|d", vec!["1|".into(), "1|".into(), "2|5".to_owned()], 2));
    assert_eq!(told(all, "{}", &[]).unwrap().header, "old");
}

#[test]
fn the_first_visible_sheet_is_read_unless_one_is_named() {
    let sheet = |name: &str, style: &str, title: &str| format!(r#"<table name="{name}" style-name="{style}">{}</table>"#, header(&[title]));
    let all = [
        // Not one of the sheets: other files, as LibreOffice remembers them, and tables within something else.
        format!("<tracked-changes>{}</tracked-changes>", sheet("Gone", "on", "x")),
        sheet("'file:///tmp/o.ods'#$S", "on", "other"),
        sheet("One", "off", "hidden one"),
        sheet("Zwei &amp; mehr", "on", "second"),
        r#"<table name="Drei"><shapes><frame><table name="x"/></frame></shapes></table>"#.to_owned(),
    ]
    .concat();
    let header = |format: &str| told(book(&all).archive(), format, &[]).map(|found| found.header);
    assert_eq!(header("{}").as_deref(), Ok("second"));
    assert_eq!(header(r#"{"sheet": "One"}"#).as_deref(), Ok("hidden one"));
    assert_eq!(header(r#"{"sheet": "zWEI & mehr"}"#).as_deref(), Ok("second"));
    assert_eq!(header(r#"{"sheetNumber": 1}"#).as_deref(), Ok("hidden one"));
    for (format, expected) in [
        (r#"{"sheet": "Vier"}"#, "there is no sheet \"Vier\"; the workbook has \"One\", \"Zwei & mehr\", \"Drei\""),
        (r#"{"sheetNumber": 4}"#, "there is no sheet number 4; the workbook has \"One\", \"Zwei & mehr\", \"Drei\", in this order"),
        (r#"{"sheet": "Drei"}"#, "sheet \"Drei\" has no text: its first row with text must name the columns"),
    ] {
        assert_eq!(header(format).unwrap_err(), expected);
    }
    let none = told(book(&sheet("One", "off", "x")).archive(), "{}", &[]).unwrap_err();
    assert!(none.starts_with("the workbook has no visible sheet"), "{none}");
}

#[test]
fn a_password_is_told_as_such() {
    let good = || table(&header(&["a"]));
    let listed =
        |entry: &str| read(&good().with("META-INF/manifest.xml", format!("<manifest><file-entry>{entry}</file-entry></manifest>")));
    assert_eq!(listed(""), Ok(vec![]));
    assert_eq!(listed("<encryption-data/>").unwrap_err(), WorkbookError::Protected.to_string());
    let whole = Book::default().with("mimetype", "application/vnd.oasis.opendocument.spreadsheet").with("encrypted-package", "x");
    assert_eq!(read(&whole).unwrap_err(), WorkbookError::Protected.to_string());
}

#[test]
fn what_has_no_sheets_is_no_workbook() {
    for content in [
        "<x/>",
        "<document-content/>",
        "<document-content><body/></document-content>",
        "<document-content><body><text/></body></document-content>",
    ] {
        let error = read(&Book::default().with("content.xml", content)).unwrap_err();
        assert!(error.starts_with("the file is an OpenDocument file that is no spreadsheet, not an Excel workbook"), "{error}");
    }
}

/// What is read, and that it takes no longer than a sheet of its size in the file.
fn quickly(body: &str, format: &str) -> Result<Told, String> {
    let began = Instant::now();
    let found = told(table(body).archive(), format, &["a"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    found
}

#[test]
fn what_is_repeated_without_text_costs_nothing() {
    let header = header(&["a"]);
    let blank = r#"<table-row number-rows-repeated="1048575"><table-cell number-columns-repeated="16384"/></table-row>"#;
    let found = quickly(&format!("{header}{blank}"), "{}").unwrap();
    assert_eq!((found.lines.len(), found.blank), (0, 0));
    // More rows and columns than there are do no harm as long as nothing stands there.
    let far = r#"<table-row number-rows-repeated="4294967295"><table-cell number-columns-repeated="4294967295"/><table-cell number-columns-repeated="4294967295"/></table-row>"#;
    assert_eq!(quickly(&format!("{header}{}{far}{far}", row(&text("1"))), "{}").unwrap().lines, ["1"]);
    let below = format!("{header}{far}{}", row(&text("1")));
    assert_eq!(quickly(&below, "{}").unwrap_err(), WorkbookError::TooManyRows { limit: MAX_ROW }.to_string());
    assert_eq!(quickly(&below, r#"{"range": "A1:B9"}"#).unwrap().lines.len(), 0);
    let beside = row(&format!(r#"<table-cell number-columns-repeated="16384"/>{}"#, text("1")));
    assert_eq!(quickly(&format!("{header}{beside}"), "{}").unwrap_err(), WorkbookError::Damaged { part: Part::Sheet }.to_string());
    for count in ["0", "-1", "4294967296", "x", ""] {
        let row = format!(r#"<table-row number-rows-repeated="{count}"/>"#);
        assert_eq!(
            quickly(&format!("{header}{row}"), "{}").unwrap_err(),
            WorkbookError::Damaged { part: Part::Sheet }.to_string(),
            "{count}"
        );
    }
}

#[test]
fn a_sheet_full_of_the_same_row_is_read_to_its_end() {
    let body = format!(r#"{}<table-row number-rows-repeated="1048575">{}</table-row>"#, header(&["a"]), text("1"));
    let found = quickly(&body, r#"{"range": "A1:A"}"#).unwrap();
    assert_eq!((found.lines.len(), found.lines.iter().all(|line| line == "1")), (1_048_575, true));
    assert_eq!(quickly(&body, r#"{"range": "A1:A3"}"#).unwrap().lines.len(), 2);
    assert_eq!(quickly(&body, r#"{"range": "A1048575:A"}"#).unwrap().lines.len(), 1);
    let longer = body.replace("1048575", "1048576");
    assert_eq!(quickly(&longer, "{}").unwrap_err(), WorkbookError::TooManyRows { limit: MAX_ROW }.to_string());
}

#[test]
fn what_is_repeated_is_counted_as_often_as_it_is_meant() {
    let header = header(&["a"]);
    let wide = r#"<table-cell value-type="float" value="1" number-columns-repeated="16384"/>"#;
    let full = |rows: usize| quickly(&format!(r#"{header}<table-row number-rows-repeated="{rows}">{wide}</table-row>"#), "{}");
    assert!(full(2).unwrap().lines[1].starts_with("RAGGED_ROW"));
    // Without what the rows of an import are made of, which takes its time.
    let body = format!(r#"{header}<table-row number-rows-repeated="1000000">{wide}</table-row>"#);
    let package = Package::open(Bytes::from(table(&body).archive()).into()).unwrap();
    let (mut sheet, _) = crate::source::excel::ods::open(&package, &ExcelOptions::default()).unwrap();
    let (mut found, mut count) = (SheetRow::default(), 0);
    let error = loop {
        match sheet.next(&mut found) {
            Ok(more) => assert!(more),
            Err(error) => break error,
        }
        count += found.cells.len() as u64;
    };
    assert_eq!(error.to_string(), WorkbookError::TooManyCells { limit: MAX_CELLS }.to_string());
    assert!(MAX_CELLS - count < 40_000, "{count}");
    let long = format!(r#"<table-cell number-columns-repeated="9"><p>{}</p></table-cell>"#, "x".repeat(1 << 20));
    assert_eq!(
        quickly(&format!("{header}{}", row(&long)), "{}").unwrap_err(),
        WorkbookError::RowTooLong { row: 2, limit: 8 << 20 }.to_string()
    );
    let blanks = |count: &str, times: usize| {
        let cell = format!(r#"<table-cell><p><s c="{count}"/></p></table-cell>"#);
        quickly(&format!("{header}{}", row(&format!("{}{}", text("1"), cell.repeat(times)))), r#"{"range": "A1:A"}"#)
            .map(|found| found.lines)
    };
    assert_eq!(blanks("8000000", 2), Ok(vec!["1".to_owned()]));
    for count in ["8388609", "18446744073709551615"] {
        assert_eq!(blanks(count, 1).unwrap_err(), WorkbookError::PieceTooLong { part: Part::Sheet, limit: 8 << 20 }.to_string());
    }
    assert_eq!(blanks("8000000", 600).unwrap_err(), WorkbookError::PartTooLarge { part: Part::Sheet, limit: MAX_SHEET }.to_string());
}

#[test]
fn lists_and_depths_have_limits() {
    let content = |styles: &str, tables: &str| {
        let book = Book { stored: true, ..Book::default() };
        let body = format!("<body><spreadsheet>{tables}<table name='One'>{}</table></spreadsheet></body>", header(&["a"]));
        read(&book.with("content.xml", format!("<document-content><automatic-styles>{styles}</automatic-styles>{body}</document-content>")))
    };
    assert_eq!(content(&"<style name='a' family='table-cell'/>".repeat(MAX_STYLES), ""), Ok(vec![]));
    let error = content(&"<style name='a' family='table-cell'/>".repeat(MAX_STYLES + 1), "").unwrap_err();
    assert_eq!(error, WorkbookError::TooManyStyles { limit: MAX_STYLES }.to_string());
    let long = "x".repeat(7 << 20);
    let styles = |count: usize| (0..count).map(|number| format!("<date-style name='{number}{long}'/>")).collect::<String>();
    assert_eq!(content(&styles(4), ""), Ok(vec![]));
    assert_eq!(content(&styles(5), "").unwrap_err(), WorkbookError::TooManyStyles { limit: MAX_STYLES }.to_string());
    let hidden = "<style name='off' family='table'><table-properties display='false'/></style>";
    assert_eq!(content(hidden, &"<table style-name='off'/>".repeat(MAX_PARTS)), Ok(vec![]));
    let error = content(hidden, &"<table style-name='off'/>".repeat(MAX_PARTS + 1)).unwrap_err();
    assert_eq!(error, WorkbookError::TooManyParts { limit: MAX_PARTS }.to_string());
    let deep = |depth: usize| {
        let spans = depth - 7;
        read(&table(&format!("{}{}", header(&["a"]), row(&text(&format!("{}1{}", "<span>".repeat(spans), "</span>".repeat(spans)))))))
    };
    assert_eq!(deep(MAX_DEPTH), Ok(vec!["1".to_owned()]));
    assert_eq!(deep(MAX_DEPTH + 1).unwrap_err(), WorkbookError::TooDeep { part: Part::Sheet, limit: MAX_DEPTH }.to_string());
}

#[test]
fn a_sheet_that_breaks_off_or_is_none_is_damaged() {
    let good = format!("{}{}", header(&["a"]), row(&text("1")));
    assert_eq!(read(&table(&good)), Ok(vec!["1".to_owned()]));
    for body in [
        format!("{good}<table-row>"),
        format!("{good}<table-row><table-cell><p>"),
        format!("{good}{}", row("<table-cell value-type='float' value='seven'/>")),
        format!("{good}{}", row("<table-cell value-type='float'/>")),
        format!("{good}{}", row("<table-cell value-type='float' date-value='2024-01-31'/>")),
        format!("{good}{}", row("<table-cell value-type='boolean' boolean-value='2'/>")),
        format!("{good}{}", row("<table-cell value-type='time' time-value='09:00'/>")),
        format!("{good}{}", row("<table-cell value-type='word'/>")),
        format!("{good}{}", row("<table-cell number-columns-repeated='0'/>")),
        format!("{good}{}", row("<table-cell><p><s c='-1'/></p></table-cell>")),
        format!("{good}{}", row("<table-cell><p>&a;</p></table-cell>")),
        format!("{good}{}", row("<table-cell style-name='&a;'/>")),
    ] {
        assert_eq!(read(&table(&body)).unwrap_err(), WorkbookError::Damaged { part: Part::Sheet }.to_string(), "{body}");
    }
    // Also behind the last row: the bytes are those that were packed, or the sheet is damaged.
    let lies = Lies { crc_off_by: 1, ..Lies::default() };
    let mut wrong = table(&good);
    wrong.lies = lies;
    assert!(told(wrong.archive(), "{}", &[]).unwrap_err().contains("damaged in the sheet"));
}

#[test]
fn a_file_that_was_cut_off_or_changed_is_damaged() {
    let good = Ok(vec!["1".to_owned()]);
    let whole = table(&format!("{}{}", header(&["a"]), row(&text("1")))).with("styles.xml", COMMON).archive();
    assert_eq!(told(whole.clone(), "{}", &[]).map(|found| found.lines), good);
    for length in 2..whole.len() {
        assert_eq!(told(whole[..length].to_vec(), "{}", &[]).unwrap_err(), WorkbookError::Damaged { part: Part::Archive }.to_string());
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x55;
        if let Ok(found) = told(changed, "{}", &[]) {
            assert_eq!(Ok(found.lines), good, "{at}");
        }
    }
}

#[test]
fn no_refusal_shows_a_cell() {
    for cell in [
        "<table-cell calcext:value-type='error'><p>SECRET</p></table-cell>",
        "<table-cell value-type='date' date-value='SECRET'/>",
        "<table-cell value-type='time' time-value='SECRET'/>",
        "<table-cell value-type='float' value='SECRET'/>",
        "<table-cell value-type='boolean' boolean-value='SECRET'/>",
        "<table-cell value-type='SECRET'/>",
        "<table-cell/><table-cell><p>SECRET</p></table-cell>",
    ] {
        let told = match read(&table(&format!("{}{}", header(&["a"]), row(cell)))) {
            Ok(rows) => rows.concat(),
            Err(error) => error,
        };
        assert!(told.contains("cell A2") || told.contains("cell B2") || told.contains("damaged"), "{told}");
        assert!(!told.contains("SECRET"), "{told}");
    }
}
