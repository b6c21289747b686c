//! Which delimiter a file uses, when nobody said.

use std::collections::BTreeSet;

use super::escapes::{self, Escapes};
use super::options::CsvOptions;
use super::parser::{Dialect, Parser};
use super::record::RawRecord;

pub(super) const CANDIDATES: [u8; 4] = [b',', b';', b'\t', b'|'];
const RECORDS: usize = 20;

/// `sep=;` as Excel writes it in a first line: the delimiter, and the length of that line.
pub(super) fn excel_hint(text: &[u8]) -> (Option<u8>, usize) {
    let Some(rest) = text.strip_prefix(b"sep=") else { return (None, 0) };
    match rest {
        [delimiter, b'\r', b'\n', ..] if delimiter.is_ascii() => (Some(*delimiter), 7),
        [delimiter, b'\n' | b'\r', ..] if delimiter.is_ascii() => (Some(*delimiter), 6),
        _ => (None, 0),
    }
}

/// The candidate whose header has all columns that the job names, or whose first record has as many fields as it names columns, if
/// there is one; else the one that cuts the first
/// records most evenly, then the one whose header has more of those columns, then the one with the most fields. A comma
/// when none cuts at all.
pub(super) fn delimiter(sample: &[u8], whole: bool, options: &CsvOptions) -> u8 {
    let (used, columns) = (&options.used, options.rows.columns.len());
    let mut best = ((false, 0, 0, 0), b',');
    for delimiter in CANDIDATES.into_iter().filter(|delimiter| options.may_delimit(*delimiter)) {
        let Some(reading) = read(sample, whole, options.dialect(delimiter)) else { continue };
        let named_here = match columns {
            0 => used.iter().filter(|name| reading.header.contains(name.trim())).count(),
            _ => 0,
        };
        let all = if columns > 0 { reading.fields == columns } else { !used.is_empty() && named_here == used.len() };
        // What does not cut says nothing, unless the job knows the one column.
        if reading.fields == 1 && !all {
            continue;
        }
        let rank = (all, reading.even, named_here, reading.fields);
        if rank > best.0 {
            best = (rank, delimiter);
        }
    }
    best.1
}

/// What a delimiter makes of a sample.
struct Reading {
    header: BTreeSet<String>,
    fields: usize,
    /// Of a thousand records, how many have as many fields as the header.
    even: usize,
}

fn read(sample: &[u8], whole: bool, dialect: Dialect) -> Option<Reading> {
    let escapes = Escapes::of(dialect);
    let sample = &*escapes::masked(escapes, sample);
    let mut parser = Parser::new(dialect, 0, 0);
    let mut counts = Vec::new();
    let mut header = BTreeSet::new();
    let mut take = |record: &RawRecord<'_>| {
        if counts.is_empty() {
            let names = |record: &RawRecord<'_>| record.cells().map(|cell| String::from_utf8_lossy(cell).trim().to_owned()).collect();
            header = escapes::restore(escapes, record, names);
        }
        counts.push(record.ends.len());
        Ok(counts.len() < RECORDS)
    };
    // An error means that this delimiter makes no sense of the sample; what was counted until then still speaks.
    if parser.feed(sample, &mut take).is_ok_and(|used| used == sample.len()) && whole {
        let _ = parser.finish(&mut take);
    }
    let fields = *counts.first()?;
    let even = counts.iter().filter(|count| **count == fields).count() * 1000 / counts.len();
    Some(Reading { header, fields, even })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_one_that_cuts_evenly() {
        for (sample, expected) in [
            ("a,b,c\n1,2,3\n", b','),
            ("a;b;c\n1,5;2,5;3,5\n", b';'),
            ("name\tcity\nx, y\tz\n", b'\t'),
            ("a|b\n1|2", b'|'),
            ("Name, first;Age\nx;3\ny;4\n", b';'),
            ("\"a;b;c\",d\n\"1;2;3\",4\n", b','),
            ("one column\nx\n", b','),
            ("", b','),
            ("a;b", b';'),
        ] {
            assert_eq!(delimiter(sample.as_bytes(), true, &CsvOptions::default()) as char, expected as char, "{sample:?}");
        }
    }

    #[test]
    fn a_sample_that_ends_in_the_middle_is_judged_by_its_whole_records() {
        assert_eq!(delimiter(b"a;b\n1;2\n3;\"x,y,z,", false, &CsvOptions::default()), b';');
    }

    #[test]
    fn the_names_that_the_job_uses_decide_between_readings() {
        for (sample, named, expected) in [
            ("Name, Vorname;E-Mail\nLovelace, Ada;a@example.org\n", ["Name, Vorname", "E-Mail"].as_slice(), b';'),
            ("Name (last, first)\tCity\nLovelace, Ada\tLondon\n", &["Name (last, first)", "City"], b'\t'),
            ("Name, Vorname, Titel;E-Mail\nLovelace, Ada, Dr;a@example.org\n", &["E-Mail"], b';'),
            ("a;b,c;d\n1;2,3;4\n", &["a", "d"], b';'),
            ("a;b,c;d\n1;2,3;4\n", &["a;b", "c;d"], b','),
            // Some of the names stand in no reading: the one with more of them wins a tie.
            ("Name, Vorname;E-Mail\nLovelace, Ada;a@example.org\n", &["E-Mail", "Phone"], b';'),
        ] {
            let named = CsvOptions::default().for_columns(named.iter().map(|name| name.to_string()).collect());
            assert_eq!(delimiter(sample.as_bytes(), true, &named) as char, expected as char, "{sample:?}");
        }
        let one = CsvOptions::default().for_columns(["Name, Vorname".to_owned()].into());
        assert_ne!(delimiter(b"Name, Vorname\nLovelace, Ada\n", true, &one), b',');
    }

    #[test]
    fn excels_hint_is_understood_and_no_other_line_is_taken_for_it() {
        assert_eq!(excel_hint(b"sep=;\r\na;b"), (Some(b';'), 7));
        assert_eq!(excel_hint(b"sep=|\na|b"), (Some(b'|'), 6));
        assert_eq!(excel_hint(b"sep=,b\n"), (None, 0));
        assert_eq!(excel_hint(b"sep,b\n"), (None, 0));
    }
}
