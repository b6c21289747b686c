//! What is sent although it looks like a mistake, counted: nothing of the cells themselves, so that a status may tell it.

use api::import_run::Warning;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Doubt {
    /// Salesforce will add it to the list.
    NewValue,
    /// A text that programs write where they have nothing.
    Null(&'static str),
    /// A time that the clocks of the job's zone show twice.
    TwiceShown,
}

/// In any case.
const NULLS: [&str; 4] = ["null", "(null)", "<null>", "[null]"];

/// As they are written: `NAN` may be a code.
const EXACT_NULLS: [&str; 15] = [
    "\\N",
    "NaN",
    "nan",
    "None",
    "undefined",
    "#REF!",
    "#VALUE!",
    "#NAME?",
    "#DIV/0!",
    "#NUM!",
    "#NULL!",
    "#SPILL!",
    "#CALC!",
    "#FIELD!",
    "#GETTING_DATA",
];

/// The way out, from a file and from a database.
pub(super) const REMEDY: &str = "if it means nothing, make it blank: by format.csv.nullWords, or by NULLIF in a query";

const LONGEST_NULL: usize = "#GETTING_DATA".len();

/// Tells nearly every cell apart by its length or its first character.
#[inline(always)]
pub(super) fn may_be_null(cell: &[u8]) -> bool {
    cell.len() <= LONGEST_NULL && matches!(cell.first(), Some(b'#' | b'(' | b'<' | b'[' | b'\\' | b'n' | b'N' | b'u'))
}

/// The word that stands for nothing, if the cell is one.
pub(super) fn null(cell: &[u8]) -> Option<&'static str> {
    if !may_be_null(cell) {
        return None;
    }
    let mut all = NULLS.iter().map(|word| (word, cell.eq_ignore_ascii_case(word.as_bytes())));
    let exact = EXACT_NULLS.iter().map(|word| (word, cell == word.as_bytes()));
    all.by_ref().chain(exact).find(|(_, found)| *found).map(|(word, _)| *word)
}

/// Counts by field and kind.
#[derive(Debug, Default)]
pub(crate) struct Doubts {
    /// Of the row at hand, which may still fail: each with the number of its entry.
    pending: Vec<(usize, Doubt)>,
    counted: Vec<Counted>,
    /// Of more kinds than are listed.
    others: Option<Count>,
}

#[derive(Debug)]
struct Counted {
    entry: usize,
    doubt: Doubt,
    count: Count,
}

#[derive(Clone, Copy, Debug)]
struct Count {
    rows: i64,
    first: i64,
}

impl Doubts {
    pub(super) fn begin_row(&mut self) {
        self.pending.clear();
    }

    pub(super) fn note(&mut self, entry: usize, doubt: Doubt) {
        self.pending.push((entry, doubt));
    }

    /// The row is sent.
    pub(super) fn end_row(&mut self, row: u64) {
        let row = i64::try_from(row).unwrap_or(i64::MAX);
        for (entry, doubt) in self.pending.drain(..) {
            let known = self.counted.iter().position(|counted| counted.entry == entry && counted.doubt == doubt);
            match known {
                Some(at) => self.counted[at].count.rows += 1,
                None if self.counted.len() + 1 < Warning::MOST => {
                    self.counted.push(Counted { entry, doubt, count: Count { rows: 1, first: row } });
                }
                None => self.others.get_or_insert(Count { rows: 0, first: row }).rows += 1,
            }
        }
    }

    /// `field`: what the entries write to.
    pub(super) fn warnings<'f>(&self, field: impl Fn(usize) -> &'f str) -> Vec<Warning> {
        let warning =
            |field: &str, what: String, count: Count| Warning { field: field.to_owned(), what, rows: count.rows, first_row: count.first };
        let listed = self.counted.iter().map(|counted| {
            let what = match counted.doubt {
                Doubt::NewValue => "its picklist has no such value; Salesforce adds it".to_owned(),
                Doubt::Null(word) => format!("the text \"{word}\"; {REMEDY}"),
                Doubt::TwiceShown => {
                    "a time that comes twice as the clocks of source.timeZone go back; the first was sent, and one with its offset would say which".to_owned()
                }
            };
            warning(field(counted.entry), what, counted.count)
        });
        let others = self.others.map(|count| warning("more fields", "doubts of more kinds than are listed".to_owned(), count));
        listed.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_nothing_are_known_and_names_are_not() {
        for word in ["null", "NULL", "Null", "(null)", "\\N", "NaN", "None", "#REF!", "#VALUE!", "#DIV/0!"] {
            assert!(null(word.as_bytes()).is_some(), "{word}");
        }
        for word in ["NAN", "Nullmeier", "none", "#1", "N", "n", "", "NONE", "nothing at all", "#ref"] {
            assert_eq!(null(word.as_bytes()), None, "{word}");
        }
    }

    #[test]
    fn only_rows_that_are_sent_are_counted() {
        let mut doubts = Doubts::default();
        for row in 1..=4 {
            doubts.begin_row();
            doubts.note(0, Doubt::NewValue);
            if row > 1 {
                doubts.end_row(row);
            }
        }
        let told: Vec<String> = doubts.warnings(|_| "Industry").iter().map(ToString::to_string).collect();
        assert_eq!(told, ["Industry: its picklist has no such value; Salesforce adds it (3 rows, the first is row 2)"]);
    }

    #[test]
    fn more_kinds_than_fit_are_counted_together() {
        let mut doubts = Doubts::default();
        for entry in 0..100 {
            doubts.begin_row();
            doubts.note(entry, Doubt::Null("NaN"));
            doubts.end_row(entry as u64 + 1);
        }
        let warnings = doubts.warnings(|_| "Field__c");
        assert_eq!(warnings.len(), Warning::MOST);
        assert_eq!(warnings.iter().map(|warning| warning.rows).sum::<i64>(), 100);
        assert_eq!(warnings.last().unwrap().first_row, 20);
    }
}
