//! What one cell may be and what is sent for it: blanks by policy, line ends as LF, ids and lengths checked where the
//! answer is certain. Everything else is Salesforce's to judge.

use api::import_job::BlankCells;
use csv::ByteRecord;
use salesforce::FieldType;

use super::field::Target;
use super::id;
use crate::row::RowError;

/// Empties a field in Bulk API 2.0; an empty cell leaves the field as it is.
const CLEAR: &[u8] = b"#N/A";

#[derive(Clone)]
pub(super) struct CellRule {
    field: String,
    blank: Blank,
    check: Check,
    /// The author of the job may write `#N/A`; in data it is an accident.
    literal: bool,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Blank {
    Ignore,
    Clear,
    Fail,
    /// Without it no row is found, whatever the policy.
    FailAsKey,
}

#[derive(Clone, Copy)]
enum Check {
    Nothing,
    Id,
    Length(u32),
}

impl CellRule {
    pub(super) fn new(target: &Target, blank: BlankCells) -> Self {
        let blank = match blank {
            _ if target.key => Blank::FailAsKey,
            BlankCells::Ignore => Blank::Ignore,
            BlankCells::Clear => Blank::Clear,
            BlankCells::Fail => Blank::Fail,
        };
        use FieldType::{Email, EncryptedString, Id, Phone, Reference, String, TextArea, Url};
        let check = match target.kind {
            Id | Reference => Check::Id,
            String | TextArea | Email | Phone | Url | EncryptedString if target.length > 0 => Check::Length(target.length),
            _ => Check::Nothing,
        };
        Self { field: target.name.clone(), blank, check, literal: false }
    }

    /// The same for a value that stands in the job itself.
    pub(super) fn constant(&self) -> Self {
        Self { literal: true, ..self.clone() }
    }

    pub(super) fn field(&self) -> &str {
        &self.field
    }

    /// Appends what is sent for the cell. `has_cr`: it may contain a CR.
    pub(super) fn apply(&self, cell: &[u8], has_cr: bool, mapped: &mut ByteRecord) -> Result<(), RowError> {
        let trimmed = cell.trim_ascii();
        if trimmed.is_empty() {
            mapped.push_field(self.blank()?);
            return Ok(());
        }
        if trimmed == CLEAR {
            if self.blank == Blank::Clear || (self.literal && self.blank != Blank::FailAsKey) {
                mapped.push_field(CLEAR);
                return Ok(());
            }
            return Err(RowError::NotAvailable { field: self.field.clone() });
        }
        self.check(trimmed)?;
        if has_cr {
            mapped.push_field(&with_lf(cell));
        } else {
            mapped.push_field(cell);
        }
        Ok(())
    }

    fn blank(&self) -> Result<&'static [u8], RowError> {
        let fail = |hint| Err(RowError::Blank { field: self.field.clone(), hint });
        match self.blank {
            Blank::Ignore => Ok(b""),
            Blank::Clear => Ok(CLEAR),
            Blank::Fail => fail(" (`blankCells: Fail`)"),
            Blank::FailAsKey => fail(": it finds the row"),
        }
    }

    /// Salesforce trims too, so only what is left counts.
    fn check(&self, trimmed: &[u8]) -> Result<(), RowError> {
        match self.check {
            Check::Nothing => Ok(()),
            Check::Id => id::check(trimmed).map_err(|why| RowError::BadId { field: self.field.clone(), why }),
            // A character takes at least one byte: most cells need no counting.
            Check::Length(limit) if trimmed.len() <= limit as usize => Ok(()),
            Check::Length(limit) => {
                let found = characters(trimmed);
                if found <= limit as usize { Ok(()) } else { Err(RowError::TooLong { field: self.field.clone(), limit, found }) }
            }
        }
    }
}

/// Counts CRLF as the one LF that is sent.
fn characters(text: &[u8]) -> usize {
    let crlf = text.windows(2).filter(|pair| pair == b"\r\n").count();
    text.iter().filter(|byte| **byte & 0xC0 != 0x80).count() - crlf
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
        CellRule { field: "Name".to_owned(), blank, check, literal: false }
    }

    fn sent(rule: &CellRule, cell: &str) -> Result<String, String> {
        let mut mapped = ByteRecord::new();
        rule.apply(cell.as_bytes(), cell.contains('\r'), &mut mapped).map_err(|error| error.to_string())?;
        assert_eq!(mapped.len(), 1);
        Ok(String::from_utf8(mapped[0].to_vec()).unwrap())
    }

    #[test]
    fn blank_cells_follow_the_policy() {
        for cell in ["", " ", "\t \n"] {
            assert_eq!(sent(&rule(Blank::Ignore, Check::Nothing), cell).unwrap(), "");
            assert_eq!(sent(&rule(Blank::Clear, Check::Id), cell).unwrap(), "#N/A");
            assert_eq!(sent(&rule(Blank::Fail, Check::Nothing), cell).unwrap_err(), "Name is blank and must not be (`blankCells: Fail`)");
            let key = sent(&rule(Blank::FailAsKey, Check::Nothing), cell).unwrap_err();
            assert_eq!(key, "Name is blank and must not be: it finds the row");
        }
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
        let rule = rule(Blank::Ignore, Check::Length(5));
        assert_eq!(sent(&rule, "a\r\nb\rc").unwrap(), "a\nb\nc");
        assert_eq!(sent(&rule, "a\r\nb\rcd").unwrap_err(), "Name takes 5 characters, this has 6");
    }

    #[test]
    fn length_is_counted_in_characters_without_blanks_around() {
        let rule = rule(Blank::Ignore, Check::Length(3));
        assert_eq!(sent(&rule, "  Zoë ").unwrap(), "  Zoë ");
        assert_eq!(sent(&rule, "Zoës").unwrap_err(), "Name takes 3 characters, this has 4");
    }
}
