//! What one cell may be and what is sent for it: blanks by policy, line ends as LF, and everything checked where the
//! answer is certain: ids, lengths, types, lists. The rest is Salesforce's to judge.

use crate::row::Record;
use api::import_job::BlankCells;
use jiff::tz::TimeZone;
use salesforce::FieldType;

use super::doubt::{self, Doubt};
use super::field::MappedField;
use super::id;
use super::local::{Local, NoTime};
use super::number::Number;
use super::picklist::{Picklist, Stranger};
use super::value::Typed;
use crate::cells::trim;
use crate::dedupe::Compare;
use crate::row::RowError;

/// Empties a field in Bulk API 2.0; an empty cell leaves the field as it is.
const CLEAR: &[u8] = b"#N/A";

#[derive(Clone)]
pub(super) struct CellRule {
    field: String,
    blank: Blank,
    check: Check,
    /// Blanks around the value are no part of it: all but free text.
    trimmed: bool,
    /// How Salesforce compares it with what is there.
    compare: Compare,
    /// The author of the job may write `#N/A` and words like `null`; in data they are an accident.
    literal: bool,
    /// How the column writes its numbers, if the job says so.
    number: Option<Number>,
    /// What becomes of times that say no zone, if the job names one and the field takes them.
    local: Option<Local>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Blank {
    Ignore,
    Clear,
    Fail,
    /// Without it no row is found, whatever the policy.
    FailAsKey,
    /// To be cleared, but Salesforce would look for a parent with this key instead.
    FailAsParent,
}

#[derive(Clone)]
enum Check {
    Nothing,
    /// With the name of the parent it points to.
    Id(Option<String>),
    Typed(Typed),
    Picklist(Picklist),
    /// With the most UTF-16 units.
    Text(usize),
}

impl CellRule {
    pub(super) fn new(target: &MappedField, blank: BlankCells) -> Self {
        let blank = match blank {
            _ if target.key => Blank::FailAsKey,
            BlankCells::Ignore => Blank::Ignore,
            BlankCells::Clear if target.finds_parent => Blank::FailAsParent,
            BlankCells::Clear => Blank::Clear,
            BlankCells::Fail => Blank::Fail,
        };
        use FieldType::{Combobox, Email, EncryptedString, Id, Phone, Reference, String, TextArea, Url};
        let check = match (target.kind, Typed::of(target.kind), &target.picklist) {
            (Id | Reference, ..) => Check::Id(target.relationship.clone()),
            (_, Some(typed), _) => Check::Typed(typed),
            (_, _, Some(picklist)) => Check::Picklist(picklist.clone()),
            (String | TextArea | Email | Phone | Url | EncryptedString | Combobox, ..) => Check::Text(most(target.length)),
            _ => Check::Nothing,
        };
        let finds = target.key || target.finds_parent;
        let compare = match check {
            Check::Id(_) => Compare::Id,
            _ if finds && !target.case_sensitive => Compare::Folded,
            _ => Compare::Exactly,
        };
        let trimmed = finds || !matches!(check, Check::Text(_) | Check::Nothing);
        Self { field: target.name.clone(), blank, check, trimmed, compare, literal: false, number: None, local: None }
    }

    /// The same for a column that writes its numbers in its own way.
    pub(super) fn with_number(self, number: Number) -> Self {
        Self { number: Some(number), ..self }
    }

    /// The same where times that say no zone are those of this one.
    pub(super) fn with_zone(self, zone: &TimeZone, column: Option<&str>) -> Self {
        let local = match self.check {
            Check::Typed(typed) => Local::of(typed, zone, column),
            Check::Nothing | Check::Id(_) | Check::Picklist(_) | Check::Text(_) => None,
        };
        Self { local, ..self }
    }

    /// The same for a value that stands in the job itself.
    pub(super) fn constant(&self) -> Self {
        Self { literal: true, ..self.clone() }
    }

    pub(super) fn field(&self) -> &str {
        &self.field
    }

    pub(super) fn compare(&self) -> Compare {
        self.compare
    }

    /// Whether the cell itself is sent, if it is good.
    pub(super) fn sends_cells(&self) -> bool {
        self.number.is_none() && self.local.is_none()
    }

    /// Whether the cell is sent as it stands, without a doubt. It holds no CR. Not all cells of which that is so are told: the others are
    /// for [`CellRule::apply`].
    #[inline]
    pub(super) fn takes_as_it_stands(&self, cell: &[u8]) -> bool {
        match (cell.first(), cell.last()) {
            (Some(first), Some(last)) if first.is_ascii_graphic() && last.is_ascii_graphic() => {
                cell != CLEAR && (self.is_plain(cell) || matches!(self.check(cell), Ok(None)))
            }
            (None, _) => self.blank == Blank::Ignore,
            _ => false,
        }
    }

    /// Appends what is sent for the cell, and says whether it looks like a mistake. `has_cr`: it may contain a CR.
    #[inline]
    pub(super) fn apply(&self, cell: &[u8], has_cr: bool, mapped: &mut Record) -> Result<Option<Doubt>, RowError> {
        let value = trim(cell);
        if value.is_empty() || value == CLEAR {
            mapped.push_field(self.cleared(value)?);
            return Ok(None);
        }
        if let Some(number) = &self.number {
            let plain = number.read(value).map_err(|why| self.wrong_number(number, why, value))?;
            let doubt = self.check(plain.as_bytes())?;
            mapped.push_field(plain.as_bytes());
            return Ok(doubt);
        }
        if let Some(local) = &self.local
            && let Some(read) = local.read(value)
        {
            let sent = read.map_err(|why| self.no_time(local, why))?;
            let doubt = self.check(sent.text.as_bytes())?;
            mapped.push_field(sent.text.as_bytes());
            return Ok(doubt.or(sent.twice.then_some(Doubt::TwiceShown)));
        }
        let doubt = if self.is_plain(value) { None } else { self.check(value)? };
        let sent = if self.trimmed { value } else { cell };
        if has_cr {
            mapped.push_field(&with_lf(sent));
        } else {
            mapped.push_field(sent);
        }
        Ok(doubt)
    }

    /// What is sent for a cell that is blank or says `#N/A`.
    fn cleared(&self, value: &[u8]) -> Result<&'static [u8], RowError> {
        if value.is_empty() {
            return self.blank();
        }
        if self.blank == Blank::Clear || (self.literal && matches!(self.blank, Blank::Ignore | Blank::Fail)) {
            return Ok(CLEAR);
        }
        Err(RowError::NotAvailable { field: self.field.clone() })
    }

    fn blank(&self) -> Result<&'static [u8], RowError> {
        let fail = |hint| Err(RowError::Blank { field: self.field.clone(), hint });
        match self.blank {
            Blank::Ignore => Ok(b""),
            Blank::Clear => Ok(CLEAR),
            Blank::Fail => fail(" (`blankCells: Fail`)"),
            Blank::FailAsKey => fail(": it finds the row"),
            Blank::FailAsParent => fail(
                ", as a parent cannot be cleared by its key: map the field that holds its id, or set `blankCells: Ignore` for this one",
            ),
        }
    }

    /// Whether nothing can be wrong with a value: so it is with most cells, which are then looked at no further.
    #[inline(always)]
    fn is_plain(&self, value: &[u8]) -> bool {
        match self.check {
            Check::Nothing => true,
            // A UTF-16 unit takes at least one byte.
            Check::Text(most) => value.len() <= most && !doubt::may_be_null(value),
            Check::Id(_) | Check::Typed(_) | Check::Picklist(_) => false,
        }
    }

    /// Salesforce trims too, so only what is left counts.
    fn check(&self, value: &[u8]) -> Result<Option<Doubt>, RowError> {
        match &self.check {
            Check::Nothing => Ok(None),
            Check::Id(relationship) => id::check(value).map(|()| None).map_err(|why| RowError::BadId {
                field: self.field.clone(),
                why,
                relationship: relationship.clone(),
            }),
            Check::Typed(typed) if typed.accepts(value) => Ok(None),
            Check::Typed(typed) => Err(self.wrong_type(*typed, value)),
            Check::Picklist(list) => match list.check(value) {
                Ok(()) => Ok(None),
                Err(Stranger(stranger)) if list.restricted => {
                    let found = formula::shown(&String::from_utf8_lossy(stranger));
                    let advice = list.advice(&String::from_utf8_lossy(stranger));
                    Err(RowError::NotInPicklist { field: self.field.clone(), found, advice })
                }
                Err(Stranger(_)) => Ok(Some(Doubt::NewValue)),
            },
            Check::Text(most) => {
                let found = if value.len() > *most { units(value) } else { 0 };
                if found > *most {
                    return Err(RowError::TooLong { field: self.field.clone(), limit: *most, found });
                }
                Ok(doubt::null(value).filter(|_| !self.literal).map(Doubt::Null))
            }
        }
    }

    fn wrong_number(&self, number: &Number, why: &'static str, value: &[u8]) -> RowError {
        RowError::NumberForm { field: self.field.clone(), column: number.column.clone(), why, hint: null_hint(value) }
    }

    fn no_time(&self, local: &Local, why: NoTime) -> RowError {
        let (field, column, zone) = (self.field.clone(), local.column.clone(), local.zone().to_owned());
        match why {
            NoTime::Skipped => RowError::SkippedTime { field, column, zone },
            NoTime::None => RowError::NoTimeOfDay { field, column },
        }
    }

    fn wrong_type(&self, typed: Typed, value: &[u8]) -> RowError {
        let hint = null_hint(value);
        let found = formula::shown(&String::from_utf8_lossy(value));
        RowError::WrongType { field: self.field.clone(), forms: typed.forms(), found, hint }
    }
}

/// The way out for a word that stands for nothing.
fn null_hint(value: &[u8]) -> String {
    doubt::null(value).map_or(String::new(), |_| format!("; {}", doubt::REMEDY))
}

/// Salesforce describes a field of any length with zero.
fn most(length: u32) -> usize {
    if length == 0 { usize::MAX } else { length as usize }
}

/// Counts UTF-16 units, as Salesforce does, and CRLF as the one LF that is sent.
fn units(text: &[u8]) -> usize {
    let crlf = text.windows(2).filter(|pair| pair == b"\r\n").count();
    let characters = text.iter().filter(|byte| **byte & 0xC0 != 0x80).count();
    let pairs = text.iter().filter(|byte| **byte >= 0xF0).count();
    characters + pairs - crlf
}

/// A Bulk job has one line ending through its whole file, also inside cells.
fn with_lf(cell: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(cell.len());
    let mut bytes = cell.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\r' {
            bytes.next_if_eq(&b'\n');
            out.push(b'\n');
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(blank: Blank, check: Check) -> CellRule {
        CellRule {
            field: "Name".to_owned(),
            blank,
            check,
            trimmed: false,
            compare: Compare::Exactly,
            literal: false,
            number: None,
            local: None,
        }
    }

    fn sent(rule: &CellRule, cell: &str) -> Result<String, String> {
        let mut mapped = Record::new();
        rule.apply(cell.as_bytes(), cell.contains('\r'), &mut mapped).map_err(|error| error.to_string())?;
        assert_eq!(mapped.len(), 1);
        Ok(String::from_utf8(mapped[0].to_vec()).unwrap())
    }

    #[test]
    fn blank_cells_follow_the_policy() {
        for cell in ["", " ", "\t \n", "\u{A0}", "\u{3000}", "\u{200B}\u{FEFF}", "\u{1}"] {
            assert_eq!(sent(&rule(Blank::Ignore, Check::Nothing), cell).unwrap(), "");
            assert_eq!(sent(&rule(Blank::Clear, Check::Id(None)), cell).unwrap(), "#N/A");
            assert_eq!(sent(&rule(Blank::Fail, Check::Nothing), cell).unwrap_err(), "Name is blank and must not be (`blankCells: Fail`)");
            let key = sent(&rule(Blank::FailAsKey, Check::Nothing), cell).unwrap_err();
            assert_eq!(key, "Name is blank and must not be: it finds the row");
            let parent = sent(&rule(Blank::FailAsParent, Check::Nothing), cell).unwrap_err();
            assert!(parent.starts_with("Name is blank and must not be, as a parent cannot be cleared by its key: "), "{parent}");
        }
        assert!(sent(&rule(Blank::FailAsParent, Check::Nothing), "#N/A").is_err());
    }

    #[test]
    fn a_spreadsheets_not_available_never_empties_a_field_by_accident() {
        assert!(sent(&rule(Blank::Ignore, Check::Nothing), "#N/A").unwrap_err().contains("would get \"#N/A\""));
        assert!(sent(&rule(Blank::Fail, Check::Nothing), " #N/A ").is_err());
        assert_eq!(sent(&rule(Blank::Clear, Check::Nothing), "#N/A").unwrap(), "#N/A");
        assert_eq!(sent(&rule(Blank::Ignore, Check::Nothing).constant(), "#N/A").unwrap(), "#N/A");
        assert!(sent(&rule(Blank::FailAsKey, Check::Nothing).constant(), "#N/A").is_err());
    }

    #[test]
    fn line_ends_in_cells_become_lf() {
        let rule = rule(Blank::Ignore, Check::Text(5));
        assert_eq!(sent(&rule, "a\r\nb\rc").unwrap(), "a\nb\nc");
        assert_eq!(sent(&rule, "a\r\nb\rcd").unwrap_err(), "Name takes 5 characters, this has 6");
    }

    #[test]
    fn length_is_counted_in_utf16_units_without_blanks_around() {
        let rule = rule(Blank::Ignore, Check::Text(3));
        assert_eq!(sent(&rule, "  Zoë ").unwrap(), "  Zoë ");
        assert_eq!(sent(&rule, "Zoës").unwrap_err(), "Name takes 3 characters, this has 4");
        assert_eq!(sent(&rule, "a😀").unwrap(), "a😀");
        assert_eq!(sent(&rule, "😀😀").unwrap_err(), "Name takes 3 characters, this has 4");
    }

    #[test]
    fn blanks_around_stay_with_free_text_and_go_from_everything_else() {
        let text = rule(Blank::Ignore, Check::Text(usize::MAX));
        assert_eq!(sent(&text, "\u{A0}a ").unwrap(), "\u{A0}a ");
        let number = CellRule { trimmed: true, ..rule(Blank::Ignore, Check::Typed(Typed::Number)) };
        assert_eq!(sent(&number, "\u{A0}12.5 ").unwrap(), "12.5");
        let key = CellRule { trimmed: true, ..rule(Blank::FailAsKey, Check::Text(3)) };
        assert_eq!(sent(&key, "\u{3000}abc\u{200B}").unwrap(), "abc");
    }

    #[test]
    fn what_a_type_does_not_take_says_what_it_takes() {
        let number = rule(Blank::Ignore, Check::Typed(Typed::Number));
        assert_eq!(
            sent(&number, "1\u{A0}000").unwrap_err(),
            "Name takes plain numbers like 1234.5, -12 or 1.2E3, without group separators and signs, not \"1<U+00A0>000\""
        );
        let date = rule(Blank::Ignore, Check::Typed(Typed::Date));
        assert_eq!(
            sent(&date, "#REF!").unwrap_err(),
            "Name takes dates like 2026-01-31, from the years 1700 to 4000, not \"#REF!\"; if it means nothing, make it blank: by format.csv.nullWords, or by NULLIF in a query"
        );
    }
}
