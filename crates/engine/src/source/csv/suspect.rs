//! Quotes that may be text. Files of systems that do not quote have cells that begin with a quote by chance; read with
//! quotes, such a cell runs on until the next quote and takes whole rows with it. Whether that happened is judged by
//! the other reading: the same lines with quotes as text.
//!
//! A line *reads as a row* when it has as many cells as the header, none behind the first begins with a blank (in
//! prose a comma is followed by one), and its first cell is a number if and only if that of the record is. With two
//! columns and a delimiter that is also punctuation one comma makes a row, so there the first cells must be numbers.

use memchr::{memchr, memchr_iter, memchr2};

use super::parser::Dialect;
use super::quotes::{Place, Quotes};

/// The first line of a record that is no record: the quote it opens is text, or was not closed.
pub(super) struct Stray {
    /// Length of the line, without its end.
    pub(super) line: usize,
    /// Where the next line begins.
    pub(super) next: usize,
    pub(super) quote: Place,
}

/// What a record's lines are like when quotes are text.
struct Rows {
    dialect: Dialect,
    columns: usize,
    /// Whether the first cell is a number; absent where a quote stands before it.
    number: Option<bool>,
}

impl Rows {
    /// By the record's first line; nothing when that is no row itself.
    fn of(line: &[u8], dialect: Dialect, columns: usize) -> Option<Self> {
        if columns < 2 || cells(line, dialect).count() != columns {
            return None;
        }
        let first = cells(line, dialect).next()?;
        let number = (first.first().copied() != dialect.quote).then(|| is_number(first));
        let prose = !matches!(dialect.delimiter, b'\t' | b'|');
        (columns > 2 || !prose || number == Some(true)).then_some(Self { dialect, columns, number })
    }

    /// The first cell is a number as in the first line, or none as there.
    fn begins(&self, line: &[u8]) -> bool {
        let like_first = |cell: &[u8]| !cell.starts_with(b" ") && self.number.is_none_or(|number| number == is_number(cell));
        cells(line, self.dialect).next().is_some_and(like_first)
    }

    fn has(&self, line: &[u8]) -> bool {
        let mut others = cells(line, self.dialect).skip(1);
        self.begins(line) && others.try_fold(1, |count, cell| (!cell.starts_with(b" ")).then_some(count + 1)) == Some(self.columns)
    }

    /// The line has quotes, and read with them it is a record of its own with all cells.
    fn has_quoted(&self, line: &[u8], quote: u8) -> bool {
        if memchr(quote, line).is_none() || line[0] != quote && !self.begins(line) {
            return false;
        }
        let mut quotes = Quotes::new(self.dialect.delimiter, quote);
        quotes.scan(line, 0);
        quotes.open().is_none() && quotes.fault().is_none() && quotes.fields() == self.columns
    }
}

/// A record that cannot be right, `raw`: whether for certain its first line alone is the broken one, and rows go on
/// behind it. So it is when that line leaves a quote open, has all cells when quotes are text, and every line behind it
/// reads as a row, by quotes as text or by quotes that close in it. `whole`: the last line is there up to its end.
pub(super) fn stray(raw: &[u8], dialect: Dialect, columns: usize, whole: bool) -> Option<Stray> {
    let quote = dialect.quote?;
    let (line, mut next) = first_line(raw)?;
    let rows = Rows::of(&raw[..line], dialect, columns)?;
    let mut quotes = Quotes::new(dialect.delimiter, quote);
    quotes.scan(&raw[..line], 0);
    let open = quotes.open().filter(|_| quotes.fault().is_none())?;
    let found = Stray { line, next, quote: open };
    let mut any = false;
    while next < raw.len() {
        let rest = &raw[next..];
        let (line, behind) = match first_line(rest) {
            Some((line, behind)) => (&rest[..line], behind),
            None if whole => (rest, rest.len()),
            None => break,
        };
        next += behind;
        if line.is_empty() || line.first().copied() == dialect.comment {
            continue;
        }
        if !rows.has(line) && !rows.has_quoted(line, quote) {
            return None;
        }
        any = true;
    }
    any.then_some(found)
}

/// How many rows a record swallowed if quotes are text, for a record that is right when they are not. Nothing: no
/// doubt about it. Its first and its last line and half of those between must read as rows.
pub(super) fn swallowed(raw: &[u8], dialect: Dialect, columns: usize) -> Option<u64> {
    let (line, mut next) = first_line(raw)?;
    let rows = Rows::of(&raw[..line], dialect, columns)?;
    let (mut found, mut others) = (0, 0);
    let mut last = false;
    while next < raw.len() {
        let (line, behind) = first_line(&raw[next..]).unwrap_or((raw.len() - next, raw.len() - next));
        last = rows.has(&raw[next..next + line]);
        *(if last { &mut found } else { &mut others }) += 1;
        next += behind;
    }
    (last && found >= others).then_some(found)
}

fn cells(line: &[u8], dialect: Dialect) -> impl Iterator<Item = &[u8]> {
    let ends = memchr_iter(dialect.delimiter, line).chain([line.len()]);
    let mut start = 0;
    ends.map(move |end| {
        let cell = &line[start..end];
        start = end + 1;
        cell
    })
}

fn is_number(cell: &[u8]) -> bool {
    !cell.is_empty() && cell.iter().all(u8::is_ascii_digit)
}

/// Length of the first line, and where the next begins; nothing when it does not end here.
fn first_line(raw: &[u8]) -> Option<(usize, usize)> {
    let end = memchr2(b'\n', b'\r', raw)?;
    let crlf = raw[end..].starts_with(b"\r\n");
    Some((end, end + 1 + usize::from(crlf)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(delimiter: u8) -> Dialect {
        Dialect { delimiter, quote: Some(b'"'), comment: None, escape: None }
    }

    #[test]
    fn lines_that_read_as_rows_are_suspected_and_addresses_are_not() {
        for (raw, delimiter, columns, expected) in [
            ("2\tSecond\t\"Weird Al\n3\tThird\tplain\n5\tFifth\tscreen 12\"\n", b'\t', 3, Some(2)),
            ("2|Second|\"Weird Al\r\n3|Third|screen 12\"\r\n", b'|', 3, Some(1)),
            ("\"Weird Al\tx\nThird\ty\"", b'\t', 2, Some(1)),
            ("1,\"Weird Al,x\n2,a,b\n3,b,12\"\n", b',', 3, Some(2)),
            ("1,\"Weird Al\n2,plain\n3,12\"\n", b',', 2, Some(2)),
            // Multi-line cells as people have them.
            ("Ada,\"12 Main St\nSpringfield, IL 62701\"\n", b',', 2, None),
            ("Ada,\"Hauptstr. 5\n10115 Berlin,Germany\"\n", b',', 2, None),
            ("1,Ada,\"12 Main St\nSpringfield, IL, 62701\"\n", b',', 3, None),
            ("1,Ada,\"12 Main St\nSpringfield,IL,62701\"\n", b',', 3, None),
            ("Ada,\"12 Main St\nSpringfield,IL\",London\n", b',', 3, None),
            ("1;\"Straße 1\nBerlin\";x\n", b';', 3, None),
            ("\"a\nb\"\n", b',', 1, None),
        ] {
            assert_eq!(swallowed(raw.as_bytes(), dialect(delimiter), columns), expected, "{raw:?}");
        }
    }

    #[test]
    fn a_stray_quote_is_certain_only_when_all_that_follows_are_rows() {
        for (raw, columns, whole, expected) in [
            ("2,b,\"never closed\n3,Third,plain\n", 3, true, Some(18)),
            ("2,b,\"never closed\n3,Third,plain", 3, true, Some(18)),
            ("2,b,\"never closed\r\n\r\n3,\"Smith, J\",plain\r\n", 3, true, Some(19)),
            ("2,b,\"never closed\n3,Third,plain\n4,Fou", 3, false, Some(18)),
            ("2,b,\"never closed\n4,Fou", 3, false, None),
            ("2,b,\"never closed\n3,Third\n", 3, true, None),
            ("2,\"never closed\nthird, plain\n", 2, true, None),
            ("2,\"never closed\nthird,plain\n", 2, true, None),
            ("2,b,\"He said\n\"hi\" there\n", 3, true, None),
            ("2,\"b,never closed,d\n3,Third,plain\n", 3, true, None),
            ("2,b\n3,\"c\n", 2, true, None),
        ] {
            let found = stray(raw.as_bytes(), dialect(b','), columns, whole);
            assert_eq!(found.map(|found| found.next), expected, "{raw:?}");
        }
    }
}
