//! The result sets of a job, read row by row as they arrive. Nothing here knows which input row a result belongs to.

use std::ops::Range;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::StreamExt;
use futures::stream::BoxStream;
use memchr::memchr;
use reqwest::Response;

use super::record::Record;
use crate::client::broke_off;
use crate::error::Error;

const CALL: &str = "read the results of the bulk job";

/// How long the next part of a result set may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A result row is a row we sent (at most 400,000 characters) and an error text.
const MAX_ROW: usize = 8 << 20;

/// Columns of a result set: a mapping has at most 500, Salesforce adds two.
const MAX_COLUMNS: usize = 1_024;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Which rows of a job.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ResultKind {
    /// Written. Readable when the job is `JobComplete` or `Failed`.
    Successful,
    /// Tried and refused. Readable when the job is `JobComplete` or `Failed`.
    Failed,
    /// Never tried. Readable when the job is `Failed` or `Aborted`.
    Unprocessed,
}

impl ResultKind {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Successful => "successfulResults",
            Self::Failed => "failedResults",
            Self::Unprocessed => "unprocessedrecords",
        }
    }
}

/// One row of a result set, split into what Salesforce added and what it echoes. Reused from row to row.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ResultRow {
    /// `sf__Id`; empty where Salesforce gave none (a failed insert, an unprocessed row).
    pub id: Vec<u8>,
    /// `sf__Created`; false where the set has no such column.
    pub created: bool,
    /// `sf__Error` as it stands; see [`crate::RowError::parse`].
    pub error: String,
    /// The echoed cells, decoded, in the order of [`ResultReader::columns`].
    pub cells: Record,
}

/// Reads one result set. Rows come in no particular order.
pub struct ResultReader {
    rows: Rows,
    columns: Record,
    id: Option<usize>,
    created: Option<usize>,
    error: Option<usize>,
    width: usize,
    expected: Option<u64>,
    read: u64,
}

impl ResultReader {
    pub(super) async fn open(kind: ResultKind, response: Response) -> Result<Self, Error> {
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if header("sforce-locator").is_some_and(|locator| locator != "null") {
            return Err(Error::unreadable(CALL, "it is only a part: a locator names another"));
        }
        let expected = header("sforce-numberofrecords").and_then(|number| number.parse().ok());
        let host = response.url().host_str().unwrap_or_default().to_owned();
        let body = response.bytes_stream().map(move |part| part.map_err(|error| broke_off(CALL, &host, error))).boxed();
        Self::start(kind, Rows::new(body), expected).await
    }

    /// Reads a result set that is here already, in the parts in which it came. `expected` is how many rows somebody counted.
    ///
    /// # Errors
    ///
    /// When the header lacks Salesforce's own columns.
    pub async fn over(kind: ResultKind, parts: Vec<Bytes>, expected: Option<u64>) -> Result<Self, Error> {
        Self::start(kind, Rows::new(futures::stream::iter(parts.into_iter().map(Ok)).boxed()), expected).await
    }

    async fn start(kind: ResultKind, mut rows: Rows, expected: Option<u64>) -> Result<Self, Error> {
        // With no rows some orgs answer a header, some nothing.
        let first = rows.next().await?;
        let (found, header) = (first.is_some(), first.map(|record| record.cells().collect::<Record>()).unwrap_or_default());
        let place = |name: &str| header.iter().position(|cell| cell.eq_ignore_ascii_case(name.as_bytes()));
        let (id, created, error) = match kind {
            ResultKind::Unprocessed => (None, None, None),
            ResultKind::Successful => (place("sf__Id"), place("sf__Created"), None),
            ResultKind::Failed => (place("sf__Id"), None, place("sf__Error")),
        };
        let complete = match kind {
            ResultKind::Unprocessed => true,
            ResultKind::Successful => id.is_some() && created.is_some(),
            ResultKind::Failed => error.is_some(),
        };
        if found && !complete {
            return Err(Error::unreadable(CALL, "its header lacks Salesforce's own columns"));
        }
        let own = [id, created, error];
        let columns = header.iter().enumerate().filter(|(i, _)| !own.contains(&Some(*i))).map(|(_, cell)| cell).collect();
        Ok(Self { rows, columns, id, created, error, width: header.len(), expected, read: 0 })
    }

    /// Makes the end of the set an error unless exactly `rows` were read: the job's own counters.
    pub fn expecting(mut self, rows: u64) -> Self {
        self.expected = Some(rows);
        self
    }

    /// The echoed columns, Salesforce's own left out.
    pub fn columns(&self) -> &Record {
        &self.columns
    }

    /// Rows read so far.
    pub fn rows_read(&self) -> u64 {
        self.read
    }

    /// Reads the next row; false at the end. An error leaves the reader useless: ask for a new one.
    ///
    /// # Errors
    ///
    /// The set breaks off, or has more or fewer rows than are expected, or its rows have not the cells of its header.
    pub async fn next(&mut self, row: &mut ResultRow) -> Result<bool, Error> {
        let Some(record) = self.rows.next().await? else { return self.finish() };
        check(&record, self.read, self.expected, self.width)?;
        row.id.clear();
        row.error.clear();
        row.created = false;
        row.cells.clear();
        for (place, cell) in record.cells().enumerate() {
            match Some(place) {
                place if place == self.id => row.id.extend_from_slice(cell),
                place if place == self.error => row.error.push_str(&String::from_utf8_lossy(cell)),
                place if place == self.created => row.created = cell == b"true",
                _ => row.cells.push_field(cell),
            }
        }
        self.read += 1;
        Ok(true)
    }

    /// Reads the next row for its being there; false at the end.
    ///
    /// # Errors
    ///
    /// As [`ResultReader::next`].
    pub async fn skip(&mut self) -> Result<bool, Error> {
        let Some(record) = self.rows.next().await? else { return self.finish() };
        check(&record, self.read, self.expected, self.width)?;
        self.read += 1;
        Ok(true)
    }

    fn finish(&self) -> Result<bool, Error> {
        if self.rows.breaks_off() {
            return Err(Error::unreadable(CALL, "it breaks off inside its last row"));
        }
        match self.expected {
            Some(expected) if expected != self.read => {
                Err(Error::unreadable(CALL, format_args!("it has {} rows, salesforce counted {expected}", self.read)))
            }
            _ => Ok(false),
        }
    }
}

/// Whether a record may come behind so many rows.
#[inline]
fn check(record: &Cut<'_>, read: u64, expected: Option<u64>, width: usize) -> Result<(), Error> {
    if expected.is_some_and(|expected| read >= expected) {
        return Err(Error::unreadable(CALL, format_args!("it goes on after the {read} rows that salesforce counted")));
    }
    if record.len() != width {
        return Err(Error::unreadable(CALL, format_args!("row {} has {} cells, the header {width}", read + 1, record.len())));
    }
    Ok(())
}

/// CSV records out of a stream of bytes. A record that is there as a whole and doubles no quote is cut where it stands; everything else
/// goes through `csv-core`, and so does the first record: the parser takes a byte order mark off it.
struct Rows {
    body: BoxStream<'static, Result<Bytes, Error>>,
    ended: bool,
    unread: Bytes,
    /// The newest byte that arrived.
    last: Option<u8>,
    parser: csv_core::Reader,
    began: bool,
    /// The newest record: cells one after the other, or a part of the answer as it came, and where the cells stand in it.
    text: Bytes,
    copied: Vec<u8>,
    ends: Vec<usize>,
    places: Vec<Range<usize>>,
}

/// One record, until the next one is read.
struct Cut<'a> {
    text: &'a [u8],
    places: &'a [Range<usize>],
}

impl<'a> Cut<'a> {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn cells(&self) -> impl Iterator<Item = &'a [u8]> {
        let text = self.text;
        self.places.iter().map(move |place| &text[place.clone()])
    }
}

impl Rows {
    fn new(body: BoxStream<'static, Result<Bytes, Error>>) -> Self {
        Self {
            body,
            ended: false,
            unread: Bytes::new(),
            last: None,
            parser: csv_core::Reader::new(),
            began: false,
            text: Bytes::new(),
            copied: vec![0; 4096],
            ends: vec![0; 64],
            places: Vec::new(),
        }
    }

    /// An answer that was cut short as if it were whole may end inside a cell, and its rows are then as many as they should be. Whole ones
    /// end with a line, or at least with the quote that Salesforce puts behind every value.
    fn breaks_off(&self) -> bool {
        self.last.is_some_and(|byte| !matches!(byte, b'\n' | b'\r' | b'"'))
    }

    async fn next(&mut self) -> Result<Option<Cut<'_>>, Error> {
        self.refill().await?;
        if !self.began {
            self.gather(BYTE_ORDER_MARK.len() + 1).await?;
        }
        if std::mem::replace(&mut self.began, true)
            && let Some(length) = cut(&self.unread, &mut self.places)
        {
            self.text = self.unread.split_to(length);
            return Ok(Some(Cut { text: &self.text, places: &self.places }));
        }
        let (mut filled, mut fields) = (0, 0);
        loop {
            self.refill().await?;
            let (result, read, wrote, ended) = self.parser.read_record(&self.unread, &mut self.copied[filled..], &mut self.ends[fields..]);
            self.unread.advance(read);
            filled += wrote;
            fields += ended;
            match result {
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull if self.copied.len() >= MAX_ROW => {
                    return Err(Error::unreadable(CALL, format_args!("a row is longer than {MAX_ROW} bytes")));
                }
                csv_core::ReadRecordResult::OutputFull => self.copied.resize(self.copied.len() * 2, 0),
                csv_core::ReadRecordResult::OutputEndsFull if self.ends.len() >= MAX_COLUMNS => {
                    return Err(Error::unreadable(CALL, format_args!("a row has more than {MAX_COLUMNS} cells")));
                }
                csv_core::ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                csv_core::ReadRecordResult::Record => break,
                csv_core::ReadRecordResult::End => return Ok(None),
            }
        }
        let mut start = 0;
        self.places.clear();
        self.places.extend(self.ends[..fields].iter().map(|end| std::mem::replace(&mut start, *end)..*end));
        Ok(Some(Cut { text: &self.copied, places: &self.places }))
    }

    /// Sees to it that so many bytes are unread, or all that come: the parser takes off a byte order mark only where it sees the
    /// whole of it, and takes nothing behind the mark for the end.
    async fn gather(&mut self, bytes: usize) -> Result<(), Error> {
        while self.unread.len() < bytes && !self.ended {
            let begun = std::mem::take(&mut self.unread);
            self.refill().await?;
            self.unread = [begun, std::mem::take(&mut self.unread)].concat().into();
        }
        Ok(())
    }

    /// Sees to it that something is unread; nothing afterwards means the end, which the parser wants to be told by empty input.
    async fn refill(&mut self) -> Result<(), Error> {
        while self.unread.is_empty() && !self.ended {
            let part = tokio::time::timeout(PATIENCE, self.body.next()).await;
            match part.map_err(|_| Error::stalled(CALL, "the instance", PATIENCE))? {
                Some(part) => {
                    self.unread = part?;
                    self.last = self.unread.last().copied().or(self.last);
                }
                None => self.ended = true,
            }
        }
        Ok(())
    }
}

/// Cuts the record at the start of `text` if it is there as a whole, each cell either without any quote or between two: tells where its
/// cells stand and how long it is. Everything else, and what CSV leaves open, is `None`.
fn cut(text: &[u8], places: &mut Vec<Range<usize>>) -> Option<usize> {
    places.clear();
    let mut at = 0;
    // A line without anything is no record; the parser skips it.
    if matches!(text.first()?, b'\n' | b'\r') {
        return None;
    }
    while places.len() < MAX_COLUMNS {
        let end = if text.get(at)? == &b'"' {
            let end = at + 1 + find_quote(&text[at + 1..])?;
            places.push(at + 1..end);
            end + 1
        } else {
            let end = at + text[at..].iter().position(|byte| matches!(byte, b',' | b'\n' | b'\r' | b'"'))?;
            places.push(at..end);
            end
        };
        match text.get(end)? {
            b',' => at = end + 1,
            b'\n' => return Some(end + 1),
            b'\r' if text.get(end + 1)? == &b'\n' => return Some(end + 2),
            _ => return None,
        }
    }
    None
}

/// The next quote. Most cells are short: eight bytes at a time find it sooner than the preparations for more at once.
#[inline]
fn find_quote(text: &[u8]) -> Option<usize> {
    const NEAR: usize = 32;
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let (words, _) = text[..text.len().min(NEAR)].as_chunks::<8>();
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        let differing = u64::from_le_bytes(*word) ^ u64::from_le_bytes([b'"'; 8]);
        // The lowest high bit stands at the first byte that does not differ.
        let same = differing.wrapping_sub(ONES) & !differing & (ONES << 7);
        if same != 0 {
            return Some(at + same.trailing_zeros() as usize / 8);
        }
    }
    let looked = words.len() * 8;
    memchr(b'"', &text[looked..]).map(|at| looked + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUCCESS: &str = "\"sf__Id\",\"sf__Created\",Icao__c,Name\n\"0018c00002DJIpJAAX\",\"true\",\"EDDF\",\"Frankfurt \"\"Main\"\"\"\n\"0018c00002DJIpKAAX\",\"false\",\"KDFW\",\"a\nb\"\n";

    async fn reader(kind: ResultKind, text: &str, part: usize, expected: Option<u64>) -> Result<ResultReader, Error> {
        ResultReader::over(kind, text.as_bytes().chunks(part).map(Bytes::copy_from_slice).collect(), expected).await
    }

    async fn all(kind: ResultKind, text: &str, part: usize) -> Vec<ResultRow> {
        let mut reader = reader(kind, text, part, None).await.unwrap_or_else(|e| panic!("{e}"));
        let mut rows = Vec::new();
        let mut row = ResultRow::default();
        while reader.next(&mut row).await.unwrap() {
            rows.push(row.clone());
        }
        rows
    }

    #[tokio::test]
    async fn a_byte_order_mark_is_no_part_of_a_name_however_it_arrives() {
        let marked = SUCCESS.replacen("\"sf__Id\"", "\u{feff}sf__Id", 1);
        for part in 1..8 {
            assert_eq!(all(ResultKind::Successful, &marked, part).await, all(ResultKind::Successful, SUCCESS, part).await, "{part}");
        }
    }

    #[tokio::test]
    async fn rows_do_not_depend_on_how_the_bytes_arrive() {
        let whole = all(ResultKind::Successful, SUCCESS, SUCCESS.len()).await;
        assert_eq!(whole.len(), 2);
        assert_eq!((whole[0].id.as_slice(), whole[0].created, whole[1].created), (b"0018c00002DJIpJAAX".as_slice(), true, false));
        assert_eq!(whole[0].cells, vec!["EDDF", "Frankfurt \"Main\""]);
        assert_eq!(whole[1].cells, vec!["KDFW", "a\nb"]);
        for part in 1..20 {
            assert_eq!(all(ResultKind::Successful, SUCCESS, part).await, whole);
        }
    }

    #[test]
    fn the_next_quote_is_found_wherever_it_stands() {
        for length in 0..80 {
            assert_eq!(find_quote(&vec![b'!'; length]), None);
            for at in 0..length {
                let mut text = vec![b'#'; length];
                text[at..].fill(b'"');
                assert_eq!(find_quote(&text), Some(at));
            }
        }
    }

    /// What is cut where it stands is what `csv-core` makes of it.
    #[test]
    fn a_record_that_is_cut_is_the_one_that_a_parser_reads() {
        let cells = ["", "a", "\"\"", "\"a\"", "\"a,b\"", "\"a\nb\"", "\"say \"\"hi\"\"\"", "x\"y", "\"a\"b", " \"a\""];
        let mut cuts = 0;
        for (first, second) in cells.iter().flat_map(|first| cells.iter().map(move |second| (first, second))) {
            for end in ["\n", "\r\n", "\r", ""] {
                let text = format!("{first},{second}{end}");
                let mut places = Vec::new();
                let Some(length) = cut(text.as_bytes(), &mut places) else { continue };
                cuts += 1;
                assert_eq!(length, text.len());
                let cut = places.into_iter().map(|place| &text.as_bytes()[place]).collect::<Record>();
                let mut parser = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
                assert_eq!(parser.byte_records().next().unwrap().unwrap().iter().collect::<Record>(), cut, "{text:?}");
            }
        }
        assert_eq!(cuts, 6 * 6 * 2, "six of the cells can be cut, before either line end");
        for open in ["\n", "\r\n", "a", "a,", "\"a", "\"a\"", "a\r"] {
            assert_eq!(cut(open.as_bytes(), &mut Vec::new()), None, "{open:?}");
        }
    }

    /// At the start of the answer it is a mark, and no part of the first column's name; anywhere else it is the row's own character.
    #[tokio::test]
    async fn a_byte_order_mark_is_taken_off_the_answer_and_off_no_row() {
        let rows = all(ResultKind::Successful, "\u{feff}sf__Id,sf__Created,Name\n1,true,x\n", 100).await;
        assert_eq!((rows[0].id.as_slice(), &rows[0].cells), (b"1".as_slice(), &Record::from(vec!["x"])));
        for part in [3, 100] {
            let rows = all(ResultKind::Unprocessed, "Name,Note\n\u{feff}x,\"a \"\"b\"\"\"\n", part).await;
            assert_eq!(rows[0].cells, vec!["\u{feff}x", "a \"b\""]);
        }
    }

    #[tokio::test]
    async fn salesforces_columns_are_found_wherever_they_stand() {
        let rows = all(ResultKind::Failed, "Name,sf__Error,sf__Id\nx,\"A_B:m:Name --\",\n", 7).await;
        assert_eq!(rows[0].error, "A_B:m:Name --");
        assert!(rows[0].id.is_empty());
        assert_eq!(rows[0].cells, vec!["x"]);
    }

    #[tokio::test]
    async fn unprocessed_rows_echo_every_column() {
        let rows = all(ResultKind::Unprocessed, "Name,sf__Id\nx,y\n", 100).await;
        assert_eq!(rows[0].cells, vec!["x", "y"]);
    }

    #[tokio::test]
    async fn an_empty_set_has_a_header_or_nothing_at_all() {
        assert!(all(ResultKind::Successful, "", 1).await.is_empty());
        assert!(all(ResultKind::Successful, "\"sf__Id\",\"sf__Created\",Name\n", 100).await.is_empty());
    }

    #[tokio::test]
    async fn a_set_with_fewer_rows_than_counted_is_an_error_at_its_end() {
        let mut short = reader(ResultKind::Successful, SUCCESS, 1000, None).await.unwrap_or_else(|e| panic!("{e}")).expecting(3);
        let mut row = ResultRow::default();
        assert!(short.next(&mut row).await.unwrap());
        assert!(short.next(&mut row).await.unwrap());
        let error = short.next(&mut row).await.unwrap_err();
        assert!(error.to_string().contains("2 rows, salesforce counted 3"), "{error}");
    }

    #[tokio::test]
    async fn rows_that_are_only_counted_are_held_to_the_same() {
        let count = async |text: &str, expected| {
            let mut reader = reader(ResultKind::Successful, text, 7, expected).await.unwrap_or_else(|e| panic!("{e}"));
            while reader.skip().await? {}
            Ok::<_, Error>(reader.rows_read())
        };
        assert_eq!(count(SUCCESS, Some(2)).await.unwrap(), 2);
        for (text, expected, says) in [
            (SUCCESS.to_owned(), 1, "goes on after the 1 rows"),
            (SUCCESS.to_owned(), 3, "2 rows, salesforce counted 3"),
            (format!("{SUCCESS}1,true,x\n"), 3, "row 3 has 3 cells, the header 4"),
            (SUCCESS.trim_end_matches("\"\n").to_owned(), 2, "breaks off"),
        ] {
            let error = count(&text, Some(expected)).await.unwrap_err();
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn a_last_row_that_breaks_off_inside_a_cell_is_an_error_however_many_there_are() {
        for (text, whole) in [
            ("sf__Id,sf__Created,Phone\n1,true,+49 141\n", true),
            ("sf__Id,sf__Created,Phone\n1,true,\"+49 141\"", true),
            ("sf__Id,sf__Created,Phone\n1,true,+49 14", false),
            ("sf__Id,sf__Created,Phone\n1,true,\"+49 14", false),
        ] {
            let mut reader = reader(ResultKind::Successful, text, 5, Some(1)).await.unwrap_or_else(|e| panic!("{e}"));
            let mut row = ResultRow::default();
            assert!(reader.next(&mut row).await.unwrap());
            assert_eq!(reader.next(&mut row).await.is_ok(), whole, "{text}");
        }
    }

    #[tokio::test]
    async fn a_row_that_breaks_off_and_a_foreign_header_are_errors() {
        let mut broken =
            reader(ResultKind::Successful, "sf__Id,sf__Created,Name\n001,true", 5, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(broken.next(&mut ResultRow::default()).await.is_err());
        assert!(reader(ResultKind::Failed, "<html>", 5, None).await.is_err());
    }

    #[tokio::test]
    async fn a_set_that_goes_on_after_what_was_counted_and_a_row_of_a_million_cells_are_errors() {
        let mut endless = reader(ResultKind::Successful, SUCCESS, 1000, Some(1)).await.unwrap_or_else(|e| panic!("{e}"));
        let mut row = ResultRow::default();
        assert!(endless.next(&mut row).await.unwrap());
        let error = endless.next(&mut row).await.unwrap_err();
        assert!(error.to_string().contains("goes on after the 1 rows"), "{error}");
        let wide = ",".repeat(1_000_000) + "\n";
        for text in [wide.clone(), format!("sf__Id,sf__Created\n{wide}")] {
            let read = reader(ResultKind::Successful, &text, 65_536, None).await;
            let error = match read {
                Ok(mut reader) => reader.next(&mut row).await.unwrap_err(),
                Err(error) => error,
            };
            assert!(error.to_string().contains("more than 1024 cells"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_row_larger_than_every_buffer_is_read_and_an_endless_one_is_not() {
        let long = format!("sf__Id,sf__Created,Name\n1,true,\"{}\"\n", "x".repeat(400_000));
        assert_eq!(all(ResultKind::Successful, &long, 60_000).await[0].cells[0].len(), 400_000);
        let endless = format!("sf__Id,sf__Created,Name\n1,true,\"{}", "x".repeat(MAX_ROW + 1));
        let mut reader = reader(ResultKind::Successful, &endless, 60_000, None).await.unwrap_or_else(|e| panic!("{e}"));
        assert!(reader.next(&mut ResultRow::default()).await.is_err());
    }
}
