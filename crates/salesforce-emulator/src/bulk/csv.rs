//! The CSV of Bulk jobs, read as strictly as the service reads it and written as it writes it.
//!
//! The general reader of crate `csv` finds a record in everything; here a space beside a quote or a quote that never
//! closes is an error of the row.

use memchr::{memchr, memchr_iter, memchr2_iter};

/// How a job's data is delimited, the same in uploads and results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    pub(crate) crlf: bool,
}

pub(crate) const DELIMITERS: [(&str, u8); 6] =
    [("BACKQUOTE", b'`'), ("CARET", b'^'), ("COMMA", b','), ("PIPE", b'|'), ("SEMICOLON", b';'), ("TAB", b'\t')];

impl Dialect {
    /// From the names in a job; nothing for a name that does not exist.
    pub(crate) fn parse(delimiter: Option<&str>, line_ending: Option<&str>) -> Option<Self> {
        let delimiter = delimiter.unwrap_or("COMMA");
        let (_, delimiter) = DELIMITERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(delimiter))?;
        let crlf = match line_ending.unwrap_or("LF") {
            "LF" => false,
            "CRLF" => true,
            _ => return None,
        };
        Some(Self { delimiter: *delimiter, crlf })
    }

    pub(crate) fn delimiter_name(self) -> &'static str {
        DELIMITERS.iter().find(|(_, byte)| *byte == self.delimiter).map_or("COMMA", |(name, _)| name)
    }

    pub(crate) fn line_ending_name(self) -> &'static str {
        if self.crlf { "CRLF" } else { "LF" }
    }

    pub(crate) fn newline(self) -> &'static [u8] {
        if self.crlf { b"\r\n" } else { b"\n" }
    }

    /// A line with nothing on it; a line with empty quotes is a row with one empty cell.
    pub(crate) fn is_blank(self, line: &[u8]) -> bool {
        line == self.newline()
    }

    /// One line ending through the whole file, inside quotes too.
    pub(crate) fn line_endings_match(self, data: &[u8]) -> bool {
        if !self.crlf {
            // A carriage return counts only as part of a line ending: alone it is a character like any other.
            return !memchr_iter(b'\r', data).any(|at| data.get(at + 1) == Some(&b'\n'));
        }
        let lonely = |(at, byte): (usize, &u8)| *byte == b'\n' && (at == 0 || data[at - 1] != b'\r');
        !data.iter().enumerate().any(lonely)
    }
}

/// One parsed record; reused from row to row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    text: Vec<u8>,
    ends: Vec<u32>,
    /// What is wrong with the row's quoting.
    pub(crate) fault: Option<&'static str>,
}

impl Record {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The bytes of a cell; a cell beyond the last is empty.
    pub(crate) fn cell(&self, number: usize) -> &[u8] {
        let Some(end) = self.ends.get(number) else { return &[] };
        let start = if number == 0 { 0 } else { self.ends[number - 1] };
        &self.text[start as usize..*end as usize]
    }

    fn close_cell(&mut self) {
        self.ends.push(self.text.len() as u32);
    }
}

/// Reads the record that starts at `at` and returns where the next one starts.
pub(crate) fn read(data: &[u8], mut at: usize, dialect: Dialect, record: &mut Record) -> usize {
    record.text.clear();
    record.ends.clear();
    record.fault = None;
    loop {
        let is_quoted = data.get(at) == Some(&b'"');
        at = if is_quoted { quoted(data, at + 1, record) } else { at };
        at = plain(data, at, dialect, is_quoted, record);
        record.close_cell();
        match data.get(at) {
            Some(byte) if *byte == dialect.delimiter => at += 1,
            Some(b'\r') => return at + 2,
            Some(_) => return at + 1,
            None => return at,
        }
    }
}

/// The inside of quotes; returns the position after the closing one.
fn quoted(data: &[u8], mut at: usize, record: &mut Record) -> usize {
    loop {
        let Some(length) = memchr(b'"', &data[at..]) else {
            record.text.extend_from_slice(&data[at..]);
            record.fault = Some("a quote is not closed");
            return data.len();
        };
        record.text.extend_from_slice(&data[at..at + length]);
        at += length + 1;
        if data.get(at) != Some(&b'"') {
            return at;
        }
        record.text.push(b'"');
        at += 1;
    }
}

/// Characters up to the next delimiter or line end; after a closing quote there must be none.
fn plain(data: &[u8], at: usize, dialect: Dialect, after_quote: bool, record: &mut Record) -> usize {
    let rest = &data[at..];
    let ends_line = |offset: &usize| !dialect.crlf || rest[*offset] == dialect.delimiter || rest.get(offset + 1) == Some(&b'\n');
    let line_end = if dialect.crlf { b'\r' } else { b'\n' };
    let length = memchr2_iter(dialect.delimiter, line_end, rest).find(ends_line).unwrap_or(rest.len());
    let text = &rest[..length];
    if !text.is_empty() && (after_quote || memchr(b'"', text).is_some()) && record.fault.is_none() {
        record.fault = Some("a quote has characters beside it");
    }
    record.text.extend_from_slice(text);
    at + length
}

/// Adds a quoted cell.
pub(crate) fn put_cell(out: &mut Vec<u8>, cell: &[u8]) {
    out.push(b'"');
    let mut rest = cell;
    while let Some(at) = memchr(b'"', rest) {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    const LF: Dialect = Dialect { delimiter: b',', crlf: false };
    const CRLF: Dialect = Dialect { delimiter: b';', crlf: true };

    fn rows(text: &str, dialect: Dialect) -> Vec<Result<Vec<String>, &'static str>> {
        let (mut at, mut rows, mut record) = (0, Vec::new(), Record::default());
        while at < text.len() {
            at = read(text.as_bytes(), at, dialect, &mut record);
            let cells = (0..record.len()).map(|i| String::from_utf8(record.cell(i).to_vec()).unwrap()).collect();
            rows.push(record.fault.map_or(Ok(cells), Err));
        }
        rows
    }

    fn ok(cells: &[&str]) -> Result<Vec<String>, &'static str> {
        Ok(cells.iter().map(|cell| (*cell).to_owned()).collect())
    }

    #[test]
    fn quotes_newlines_and_a_missing_last_newline() {
        assert_eq!(rows("a,\"b\"\"c\",\n\"x\ny\",,z", LF), [ok(&["a", "b\"c", ""]), ok(&["x\ny", "", "z"])]);
        assert_eq!(rows("a;\"b\r\nc\"\r\nd;e\r\n", CRLF), [ok(&["a", "b\r\nc"]), ok(&["d", "e"])]);
        assert_eq!(rows("\"\",\"\"\n", LF), [ok(&["", ""])]);
    }

    #[test]
    fn a_space_beside_a_quote_spoils_only_its_row() {
        let beside = Err("a quote has characters beside it");
        assert_eq!(rows("\"a\", \"b\"\nc,d\n\"e\" ,f\n", LF), [beside.clone(), ok(&["c", "d"]), beside]);
    }

    #[test]
    fn an_open_quote_is_no_record() {
        assert_eq!(rows("a,\"b\nc", LF), [Err("a quote is not closed")]);
    }

    #[test]
    fn line_endings_are_checked_inside_quotes_too() {
        assert!(LF.line_endings_match(b"a\n\"b\nc\"\n"));
        assert!(!LF.line_endings_match(b"a\n\"b\r\nc\"\n"));
        assert!(CRLF.line_endings_match(b"a\r\n\"b\r\nc\""));
        assert!(!CRLF.line_endings_match(b"a\r\n\"b\nc\""));
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        put_cell(&mut out, b"say \"hi\"");
        assert_eq!(rows(&String::from_utf8(out).unwrap(), LF), [ok(&["say \"hi\""])]);
    }
}
