//! Which delimiter a file uses, when nobody said.

use super::parser::Parser;

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

/// The candidate that cuts the first records most evenly into the most fields; a comma when none cuts at all.
pub(super) fn delimiter(sample: &[u8], whole: bool) -> u8 {
    let mut best = (0, 0, b',');
    for candidate in CANDIDATES {
        let counts = field_counts(sample, whole, candidate);
        let Some(&header) = counts.first().filter(|header| **header > 1) else { continue };
        let even = counts.iter().filter(|count| **count == header).count() * 1000 / counts.len();
        if (even, header) > (best.0, best.1) {
            best = (even, header, candidate);
        }
    }
    best.2
}

fn field_counts(sample: &[u8], whole: bool, delimiter: u8) -> Vec<usize> {
    let mut parser = Parser::new(delimiter, 0, 0);
    let mut counts = Vec::new();
    let mut take = |record: super::parser::Record<'_>| {
        counts.push(record.ends.len());
        Ok(counts.len() < RECORDS)
    };
    // An error means that this delimiter makes no sense of the sample; what was counted until then still speaks.
    if parser.feed(sample, &mut take).is_ok_and(|used| used == sample.len()) && whole {
        let _ = parser.finish(&mut take);
    }
    counts
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
            assert_eq!(delimiter(sample.as_bytes(), true) as char, expected as char, "{sample:?}");
        }
    }

    #[test]
    fn a_sample_that_ends_in_the_middle_is_judged_by_its_whole_records() {
        assert_eq!(delimiter(b"a;b\n1;2\n3;\"x,y,z,", false), b';');
    }

    #[test]
    fn excels_hint_is_understood_and_no_other_line_is_taken_for_it() {
        assert_eq!(excel_hint(b"sep=;\r\na;b"), (Some(b';'), 7));
        assert_eq!(excel_hint(b"sep=|\na|b"), (Some(b'|'), 6));
        assert_eq!(excel_hint(b"sep=,b\n"), (None, 0));
        assert_eq!(excel_hint(b"sep,b\n"), (None, 0));
    }
}
