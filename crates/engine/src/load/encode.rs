//! CSV as we write it, for Salesforce and for result files: comma, LF, quotes only where needed.

use crate::row::Record;
use memchr::{memchr, memchr3};

/// Whether quotes must stand around a text: it has a comma, a quote or a line end.
pub(crate) fn needs_quotes(text: &[u8]) -> bool {
    memchr3(b',', b'"', b'\n', text).is_some() || memchr(b'\r', text).is_some()
}

/// Appends one cell.
pub(crate) fn cell(out: &mut Vec<u8>, cell: &[u8]) {
    if needs_quotes(cell) {
        quoted(out, b"", cell);
    } else {
        out.extend_from_slice(cell);
    }
}

/// Appends one cell in quotes, with `prefix` as its first characters.
pub(crate) fn quoted(out: &mut Vec<u8>, prefix: &[u8], cell: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(prefix);
    let mut rest = cell;
    while let Some(at) = rest.iter().position(|&byte| byte == b'"') {
        out.extend_from_slice(&rest[..=at]);
        out.push(b'"');
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Appends one line. A line of one empty cell is written as `""`: a blank line would be no row at all.
pub(crate) fn line(out: &mut Vec<u8>, row: &Record) {
    let start = out.len();
    if row.is_plain() {
        out.extend_from_slice(row.as_slice());
    } else {
        for (place, value) in row.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            cell(out, value);
        }
    }
    if out.len() == start {
        out.extend_from_slice(b"\"\"");
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(cells: &[&str]) -> String {
        let mut out = Vec::new();
        line(&mut out, &Record::from(cells.to_vec()));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_stand_only_where_they_are_needed() {
        assert_eq!(written(&["a b", "1,2", "say \"hi\"", "x\ny", ""]), "a b,\"1,2\",\"say \"\"hi\"\"\",\"x\ny\",\n");
    }

    #[test]
    fn a_row_of_one_empty_cell_stays_a_row() {
        assert_eq!(written(&[""]), "\"\"\n");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_it_was(rows in prop::collection::vec(prop::collection::vec("[a,\"\n\r é]{0,6}", 3), 0..20)) {
            let mut out = Vec::new();
            for row in &rows {
                line(&mut out, &Record::from(row.clone()));
            }
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(out.as_slice());
            let read: Vec<Vec<String>> = reader.records().map(|r| r.unwrap().iter().map(str::to_owned).collect()).collect();
            prop_assert_eq!(read, rows);
        }
    }
}
