//! The formula language: any text as a formula of a value and as a condition, for a row with texts and one with numbers.

use formula::{Cells, Columns, Condition, FormulaError, MAX_TEXT, Value};

const HEADER: [&str; 6] = ["First", "Last", "Amount", "Blank", "Odd]name", "Code"];
const ROWS: [[&str; 6]; 2] = [["Zoë", "  Lee  Roy ", "12.5", " ", "x", "01"], ["-1", "3e400", "0", "0.1", "999999999999999999999", "🦀"]];

struct Header;

impl Columns for Header {
    fn find(&self, name: &str) -> Result<usize, String> {
        HEADER.iter().position(|column| *column == name).ok_or_else(|| format!("there is no column {name:?}"))
    }
}

struct Row([&'static str; 6]);

impl Cells for Row {
    fn cell(&self, column: usize) -> &str {
        self.0[column]
    }
}

pub(crate) fn feed(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    match Value::compile(source, &Header) {
        Ok(value) => ROWS.into_iter().for_each(|row| evaluate(&value, &Row(row))),
        Err(error) => has_a_place(source, &error),
    }
    match Condition::compile(source, &Header) {
        Ok(condition) => {
            for row in ROWS {
                let (mut clean, mut used) = (String::new(), "left over".to_owned());
                let (row, again) = (condition.holds(&Row(row), &mut clean), condition.holds(&Row(row), &mut used));
                assert_eq!(row, again, "what is left in the buffer changes nothing");
            }
        }
        Err(error) => has_a_place(source, &error),
    }
}

fn evaluate(value: &Value, row: &Row) {
    let (mut out, mut appended) = (String::new(), "kept".to_owned());
    let (first, again) = (value.write(row, &mut out), value.write(row, &mut appended));
    assert_eq!(first, again, "a value does not depend on what the buffer holds");
    if first.is_ok() {
        assert_eq!(appended.strip_prefix("kept"), Some(out.as_str()), "a value is appended");
        assert!(out.len() <= MAX_TEXT, "a value of {} bytes", out.len());
    }
}

fn has_a_place(source: &str, error: &FormulaError) {
    assert!((1..=source.chars().count() + 1).contains(&error.at), "{error}");
}
