//! What a result file says of itself, for the code that writes it (`results`) and the code that reads it when it comes back (`read`): people mend
//! `failed.csv` in whatever program they have and load it again. All of it stands in names of columns and in cells, because delimiter,
//! quotes, encoding and byte order mark do not survive a spreadsheet.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::row::{Record, Row, RowError};

pub(crate) const ID: &str = "sf__Id";
pub(crate) const CREATED: &str = "sf__Created";
pub(crate) const ERROR: &str = "sf__Error";
/// Beside a row that the reader refused: how it stood in its source.
pub(crate) const REFUSED: &str = "sf__Refused";
/// A column without cells: no apostrophes were added in this file.
pub(crate) const UNESCAPED: &str = "sf__Unescaped";

const ALL: [&str; 5] = [ID, CREATED, ERROR, REFUSED, UNESCAPED];

/// Columns that a result file has more than its source.
pub(crate) const MOST: usize = ALL.len();

/// Bytes of a refused row that are shown: a spreadsheet cuts off cells of more than 32,767 characters.
const SHOWN: usize = 8_000;

/// Characters of a reason that are told again.
const REASON: usize = 1_000;

/// Said behind the reason of a row that stands as it was refused.
const UNCHANGED: &str = "; the row stands as it was refused before: mend its cells, or empty its cell in sf__Refused if they are right";

/// Said behind the reason of a row of which nobody can tell whether it stands as it was refused.
const UNKNOWN: &str = "; how it stood is in no column sf__Refused: mend its cells, then empty its cell in sf__Error";

const DAMAGED: char = '\u{FFFD}';

/// Whether a column is one of ours.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    ALL.iter().any(|own| own.as_bytes() == name.trim_ascii())
}

/// Whether an apostrophe is put before a cell: a spreadsheet would run it. Also before one that begins with apostrophes before such a
/// text, so that taking one away gives back every cell as it was.
#[inline]
pub(crate) fn is_escaped(cell: &[u8]) -> bool {
    // Tells nearly every cell apart.
    let may_start = matches!(cell.first(), Some(b'\'' | b'\t' | b'\r' | b'\n' | b'\0' | b'=' | b'+' | b'-' | b'@' | 0xEF));
    may_start && starts_a_formula_behind_apostrophes(cell)
}

#[inline(never)]
fn starts_a_formula_behind_apostrophes(cell: &[u8]) -> bool {
    let mut text = cell;
    while let [b'\'', behind @ ..] = text {
        text = behind;
    }
    starts_a_formula(text)
}

fn starts_a_formula(text: &[u8]) -> bool {
    match text {
        // A spreadsheet trims these and looks at what follows.
        [b'\t' | b'\r' | b'\n' | b'\0', ..] => true,
        [b'=' | b'+' | b'-' | b'@', ..] => true,
        // `＝`, `＋`, `－` and `＠`, which spreadsheets of East Asian locales take for the narrow ones.
        [0xEF, 0xBC, 0x9D | 0x8B | 0x8D | 0xA0, ..] => true,
        _ => false,
    }
}

/// The cell before it was escaped.
fn unescaped(cell: &[u8]) -> &[u8] {
    cell.strip_prefix(b"'").filter(|behind| is_escaped(behind)).unwrap_or(cell)
}

/// What stands in `sf__Refused`: marks of the columns and of the cells, then the row as it was read.
pub(crate) fn refused(header: &Record, cells: &Record, raw: &[u8]) -> String {
    let columns = cells_of_others(header, header);
    let mut text = format!("[{} {}] ", mark(columns.iter().copied()), mark_of_cells(&cells_of_others(header, cells)));
    for chunk in raw[..raw.len().min(SHOWN)].utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                control if control.is_control() => text.push_str(&format!("\\u{{{:x}}}", u32::from(control))),
                other => text.push(other),
            }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02X}")));
    }
    if raw.len() > SHOWN {
        text.push_str(" …");
    }
    text
}

/// The cells whose columns are not ours.
fn cells_of_others<'r>(header: &Record, cells: &'r Record) -> Vec<&'r [u8]> {
    header.iter().zip(cells).filter(|(name, _)| !is_ours(name)).map(|(_, cell)| cell).collect()
}

fn mark_of_cells(cells: &[&[u8]]) -> String {
    let plain: Vec<Vec<u8>> = cells.iter().map(|cell| essence(cell)).collect();
    mark(plain.iter().map(Vec::as_slice))
}

fn mark<'c>(cells: impl Iterator<Item = &'c [u8]>) -> String {
    let mut hash = Sha256::new();
    for cell in cells {
        hash.update((cell.len() as u64).to_le_bytes());
        hash.update(cell);
    }
    hex::encode(&hash.finalize()[..4])
}

/// What a spreadsheet leaves of a cell that nobody touched: it writes `007` as `7`, `1.50` as `1.5`, turns dates round, spells `true` in
/// capitals and ends lines in its own way. Of numbers and dates the digits count, whatever their order.
fn essence(cell: &[u8]) -> Vec<u8> {
    let is_number = cell.iter().any(u8::is_ascii_digit) && cell.iter().all(|byte| byte.is_ascii_digit() || b"+-.,:/ ".contains(byte));
    if !is_number {
        return cell.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).map(u8::to_ascii_lowercase).collect();
    }
    let mut digits: Vec<u8> = cell.iter().copied().filter(|byte| matches!(byte, b'1'..=b'9')).collect();
    digits.sort_unstable();
    // A zero is not nothing.
    digits.push(b'#');
    digits
}

/// The header of a result file that came back.
#[derive(Debug)]
pub(crate) struct Own {
    /// As it was before it was escaped.
    header: Record,
    escaped: bool,
    error: usize,
    refused: Option<usize>,
    /// Where our columns begin, if nothing stands behind them.
    begin: Option<usize>,
}

impl Own {
    /// Nothing unless the header has the three columns that each of our files has. What Salesforce itself hands out has two of them.
    pub(crate) fn of(names: &Record) -> Option<Self> {
        let find = |own: &str| names.iter().position(|name| name.trim_ascii() == own.as_bytes());
        let (Some(_), Some(_), Some(error)) = (find(ID), find(CREATED), find(ERROR)) else { return None };
        let escaped = find(UNESCAPED).is_none();
        let behind = names.iter().zip(1..).filter(|(name, _)| !is_ours(name)).last().map_or(0, |(_, behind)| behind);
        let ours = names.iter().filter(|name| is_ours(name)).count();
        let header = names.iter().map(|name| if escaped { unescaped(name) } else { name }).collect();
        Some(Self { header, escaped, error, refused: find(REFUSED), begin: (behind + ours == names.len()).then_some(behind) })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.header.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect()
    }

    /// Whether a row may end here: a spreadsheet leaves out the last columns where they are empty in many rows.
    pub(crate) fn may_end_at(&self, cells: usize) -> bool {
        self.begin == Some(cells)
    }

    /// The row as it was before it was written: without the apostrophes that were added, and refused if it was refused and nobody has
    /// changed it since.
    pub(crate) fn restore(&self, row: &mut Row, at: impl fmt::Display) {
        if self.escaped && row.cells.iter().any(|cell| unescaped(cell).len() < cell.len()) {
            row.cells = row.cells.iter().map(unescaped).collect();
        }
        if row.fault.is_some() {
            return;
        }
        let told = row.cells.get(self.error).map(String::from_utf8_lossy).unwrap_or_default();
        let Some(column) = self.refused else {
            // An older file, or a column that somebody deleted.
            if told.split_once(':').is_some_and(|(code, _)| RowError::OF_READERS.contains(&code.trim())) {
                row.fault = Some(RowError::RefusedBefore { text: reason(&told) + UNKNOWN });
            }
            return;
        };
        let mark = row.cells.get(column).unwrap_or_default();
        if mark.trim_ascii().is_empty() || self.is_mended(&row.cells, mark) {
            return;
        }
        let told = match told.trim() {
            "" => format!("REFUSED_ROW: {at}: no reason is left in {ERROR}"),
            told => reason(told),
        };
        row.refused = String::from_utf8_lossy(mark).into_owned();
        row.fault = Some(RowError::RefusedBefore { text: told + UNCHANGED });
    }

    /// Cells that could not be read show it until somebody writes them anew; of other rows any cell has to be another than it was. Where
    /// the columns are others, nothing can be compared.
    fn is_mended(&self, cells: &Record, mark_before: &[u8]) -> bool {
        let cells = cells_of_others(&self.header, cells);
        let is_damaged = cells.iter().any(|cell| std::str::from_utf8(cell).is_ok_and(|cell| cell.contains(DAMAGED)));
        let marks =
            std::str::from_utf8(mark_before).ok().and_then(|text| text.trim_start().strip_prefix('[')?.split_once(']')?.0.split_once(' '));
        let columns = mark(cells_of_others(&self.header, &self.header).into_iter());
        !is_damaged && marks.is_some_and(|(of_columns, of_cells)| of_columns == columns && of_cells != mark_of_cells(&cells))
    }
}

/// As it was told the first time.
fn reason(told: &str) -> String {
    let told = told.trim();
    let told = [UNCHANGED, UNKNOWN].into_iter().fold(told, |told, said| told.strip_suffix(said).unwrap_or(told));
    told.chars().take(REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Position;
    use proptest::prelude::*;

    fn record(cells: &[&str]) -> Record {
        Record::from(cells.to_vec())
    }

    fn restored(header: &[&str], cells: &[&str]) -> Row {
        let own = Own::of(&record(header)).unwrap();
        let mut row = Row { cells: record(cells), ..Row::default() };
        own.restore(&mut row, Position { row: 2, line: 3, byte: 10 });
        row
    }

    const HEADER: [&str; 6] = ["id", "name", REFUSED, ID, CREATED, ERROR];

    fn refused_row(cells: [&str; 2]) -> String {
        refused(&record(&["id", "name"]), &record(&cells), b"1,\"x\" y\n\xEB\\")
    }

    #[test]
    fn only_a_header_with_all_three_columns_is_ours() {
        assert!(Own::of(&record(&["a", ID, CREATED, ERROR])).is_some_and(|own| own.escaped));
        assert!(Own::of(&record(&[ERROR, " sf__Created", "a", ID, UNESCAPED])).is_some_and(|own| !own.escaped));
        assert!(Own::of(&record(&[ID, ERROR, "a"])).is_none());
    }

    #[test]
    fn apostrophes_are_taken_away_once_from_cells_and_names() {
        let own = Own::of(&record(&["'=a", "''=b", "'c", ID, CREATED, ERROR])).unwrap();
        assert_eq!(own.names(), ["=a", "'=b", "'c", ID, CREATED, ERROR]);
        let row = restored(&HEADER, &["'+49 30", "''-1", "", "", "", "X:y"]);
        assert_eq!((&row.cells[0], &row.cells[1], row.fault), (b"+49 30".as_slice(), b"'-1".as_slice(), None));
        let header = ["id", "name", UNESCAPED, ID, CREATED, ERROR];
        assert_eq!(&restored(&header, &["'+49 30", "''-1", "", "", "", "X:y"]).cells[0], b"'+49 30");
    }

    #[test]
    fn a_refused_row_is_shown_as_it_stood() {
        let text = refused_row(["1", "x y"]);
        assert_eq!(text.split_once("] ").unwrap().1, "1,\"x\" y\\n\\xEB\\\\");
        let long = refused(&record(&["a"]), &record(&["x"]), &vec![b'x'; 400_000]);
        assert!(long.len() < SHOWN + 100 && long.ends_with("xx …"));
    }

    #[test]
    fn a_refused_row_stays_refused_until_its_cells_are_others_or_its_mark_is_gone() {
        let mark = refused_row(["007", "x y"]);
        let reason = "MALFORMED_QUOTE: no";
        let still = restored(&HEADER, &["007", "x y", &mark, "", "", reason]);
        assert_eq!(still.fault.as_ref().unwrap().result_text(), format!("{reason}{UNCHANGED}"));
        assert_eq!(still.refused, mark);
        // The same again, however long it is.
        let long = restored(&HEADER, &["007", "x y", &mark, "", "", &"é".repeat(100_000)]).fault.unwrap().result_text();
        assert_eq!(restored(&HEADER, &["007", "x y", &mark, "", "", &long]).fault.unwrap().result_text(), long);
        assert!(long.len() < 3_000);
        let told = still.fault.unwrap().result_text();
        assert_eq!(restored(&HEADER, &["007", "x y", &mark, "", "", &told]).fault.unwrap().result_text(), told);
        // A spreadsheet wrote it.
        assert!(restored(&HEADER, &["7", "X Y", &mark, "", "", reason]).fault.is_some());
        // Mended.
        assert_eq!(restored(&HEADER, &["007", "x z", &mark, "", "", reason]).fault, None);
        assert_eq!(restored(&HEADER, &["007", "x y", " ", "", "", reason]).fault, None);
        // Text that was no text is not mended by mending something else.
        let damaged = refused_row(["1", "Zo\u{FFFD}"]);
        assert!(restored(&HEADER, &["2", "Zo\u{FFFD}", &damaged, "", "", reason]).fault.is_some());
        assert_eq!(restored(&HEADER, &["1", "Zoë", &damaged, "", "", reason]).fault, None);
        // Without its reason, its mark, or its columns.
        let lost = restored(&HEADER, &["007", "x y", &mark, "", "", ""]).fault.unwrap().result_text();
        assert!(lost.starts_with("REFUSED_ROW: row 2 (line 3, byte 10): no reason"), "{lost}");
        assert!(restored(&HEADER, &["007", "x z", "1,\"x\" y", "", "", reason]).fault.is_some());
        assert!(restored(&["id", "other", REFUSED, ID, CREATED, ERROR], &["007", "x z", &mark, "", "", reason]).fault.is_some());
    }

    #[test]
    fn without_the_column_of_refused_rows_nobody_can_tell_what_was_mended() {
        let header = ["id", "name", ID, CREATED, ERROR];
        let told = |error: &str| restored(&header, &["1", "x", "", "", error]).fault.map(|fault| fault.result_text());
        let refused = told("RAGGED_ROW: row 3: no field").unwrap();
        assert_eq!(refused, format!("RAGGED_ROW: row 3: no field{UNKNOWN}"));
        assert_eq!(told(&refused), Some(refused.clone()));
        for good in ["", " ", "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --", "BLANK_VALUE: Name is blank"] {
            assert_eq!(told(good), None, "{good}");
        }
        // The next file has the column, and the row its mark.
        let again = restored(&HEADER, &["1", "x", &refused_row(["1", "x"]), "", "", &refused]).fault.unwrap().result_text();
        assert_eq!(again, format!("RAGGED_ROW: row 3: no field{UNCHANGED}"));
    }

    #[test]
    fn a_number_is_what_it_was_however_a_spreadsheet_writes_it() {
        for (before, now) in
            [("007", "7"), ("1.50", "1.5"), ("2026-01-05", "05.01.2026"), ("true", "TRUE"), ("0.0", "0"), ("a\r\nb", "a\nb")]
        {
            assert_eq!(essence(before.as_bytes()), essence(now.as_bytes()), "{before}");
        }
        for (before, now) in [("1", "1,50"), ("", "0"), ("a1", "a2"), ("x", "y"), ("-", "")] {
            assert_ne!(essence(before.as_bytes()), essence(now.as_bytes()), "{before}");
        }
    }

    #[test]
    fn a_row_may_end_before_our_columns_when_nothing_else_stands_behind_them() {
        assert!(Own::of(&record(&HEADER)).is_some_and(|own| own.may_end_at(2) && !own.may_end_at(5) && !own.may_end_at(1)));
        let moved = Own::of(&record(&["id", ID, CREATED, ERROR, "name"])).unwrap();
        assert!((0..5).all(|cells| !moved.may_end_at(cells)));
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back_as_it_was(cell in "['=+\\-@\t\r\n＝a]{0,6}") {
            let escaped = if is_escaped(cell.as_bytes()) { format!("'{cell}") } else { cell.clone() };
            prop_assert!(!starts_a_formula(escaped.as_bytes()));
            prop_assert_eq!(unescaped(escaped.as_bytes()), cell.as_bytes());
        }
    }
}
