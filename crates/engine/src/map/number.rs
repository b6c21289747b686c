//! Numbers as people write them → as Salesforce takes them. Nothing is guessed: a value that is not written as the job says
//! is no number.

use api::import_job::{Decimal, NumberFormat, Thousands};

/// How a column writes its numbers.
#[derive(Clone)]
pub(super) struct Number {
    /// As the job names it.
    pub(super) column: String,
    pub(super) format: NumberFormat,
}

impl Number {
    /// The number with a point before its fraction and nothing between its digits, or why it is none.
    pub(super) fn read(&self, value: &[u8]) -> Result<String, &'static str> {
        let text = std::str::from_utf8(value).map_err(|_| OTHERS)?;
        let (sign, text) = text.split_at(usize::from(text.starts_with(['+', '-'])));
        let (mantissa, exponent) = text.split_at(text.find(['e', 'E']).unwrap_or(text.len()));
        let (whole, fraction) = match mantissa.split_once(self.decimal()) {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let mut number = sign.to_owned();
        self.push_whole(whole, &mut number)?;
        match fraction {
            Some(fraction) => {
                check_digits(fraction)?;
                number.push('.');
                number.push_str(fraction);
            }
            None if whole.is_empty() => return Err(NO_DIGIT),
            None => {}
        }
        if !exponent.is_empty() {
            check_digits(exponent[1..].strip_prefix(['+', '-']).unwrap_or(&exponent[1..]))?;
            number.push_str(exponent);
        }
        Ok(number)
    }

    /// What stands before the fraction, perhaps nothing.
    fn push_whole(&self, whole: &str, number: &mut String) -> Result<(), &'static str> {
        let mut groups = whole.split(|c| self.divides(c));
        let first = groups.next().unwrap_or_default();
        let rest: Vec<&str> = groups.collect();
        if !(first.is_empty() && rest.is_empty()) {
            check_digits(first)?;
        }
        rest.iter().try_for_each(|group| check_digits(group))?;
        if !rest.is_empty() && (first.len() > 3 || rest.iter().any(|group| group.len() != 3)) {
            return Err("what stands between thousands does not divide it into groups of three digits");
        }
        number.push_str(first);
        rest.iter().for_each(|group| number.push_str(group));
        Ok(())
    }

    fn decimal(&self) -> char {
        match self.format.decimal {
            Decimal::Point => '.',
            Decimal::Comma => ',',
        }
    }

    fn divides(&self, c: char) -> bool {
        match self.format.thousands {
            None => false,
            Some(Thousands::Point) => c == '.',
            Some(Thousands::Comma) => c == ',',
            Some(Thousands::Apostrophe) => matches!(c, '\'' | '’'),
            Some(Thousands::Blank) => matches!(c, ' ' | '\u{A0}' | '\u{202F}' | '\u{2009}'),
        }
    }
}

const NO_DIGIT: &str = "a digit is missing";
const OTHERS: &str = "it has other characters than digits and the signs that `number` names";

fn check_digits(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err(NO_DIGIT),
        _ if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
        _ => Err(OTHERS),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::map::value::Typed;

    fn number(decimal: &str, thousands: Option<&str>) -> Number {
        let format = serde_json::from_value(json!({"decimal": decimal, "thousands": thousands})).unwrap();
        Number { column: "Amount".to_owned(), format }
    }

    #[test]
    fn numbers_are_read_by_the_signs_that_the_job_names() {
        for (decimal, thousands, text, expected) in [
            (",", Some("."), "1.234,56", "1234.56"),
            (",", Some("."), "-12.345.678", "-12345678"),
            (",", Some("."), "+1234,5", "+1234.5"),
            (",", Some("."), "0,5", "0.5"),
            (",", Some("."), ",5", ".5"),
            (",", None, "1234,5E-3", "1234.5E-3"),
            (".", Some(","), "1,234,567.89", "1234567.89"),
            (".", Some("'"), "1'234.5", "1234.5"),
            (".", Some("'"), "1’234.5", "1234.5"),
            (",", Some(" "), "1 234\u{A0}567\u{202F}890,1", "1234567890.1"),
            (".", None, "007", "007"),
        ] {
            assert_eq!(number(decimal, thousands).read(text.as_bytes()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_written_otherwise_is_no_number() {
        let groups = "what stands between thousands does not divide it into groups of three digits";
        for (decimal, thousands, text, expected) in [
            (",", Some("."), "1,2,3", OTHERS),
            (",", Some("."), "1234.56", groups),
            (",", Some("."), "1.23", groups),
            (",", Some("."), "1234.567", groups),
            (",", Some("."), "12.34.567,8", groups),
            (",", Some("."), ".123", NO_DIGIT),
            (",", Some("."), "1..234", NO_DIGIT),
            (",", Some("."), "1,234.567", OTHERS),
            (",", None, "1.234", OTHERS),
            (".", Some(","), "12,34,567", groups),
            (".", None, "1,5", OTHERS),
            (".", None, "5.", NO_DIGIT),
            (".", None, "-", NO_DIGIT),
            (".", None, "1e", NO_DIGIT),
            (".", None, "12-", OTHERS),
            (".", None, "€5", OTHERS),
            (".", Some(" "), "1 234 €", OTHERS),
            (".", None, "١٢", OTHERS),
        ] {
            assert_eq!(number(decimal, thousands).read(text.as_bytes()), Err(expected), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_a_number_of_the_same_digits(text in "[-+]?[0-9., '’\u{A0}]{0,12}(E-?[0-9]{0,2})?", comma in any::<bool>(), sign in 0..4usize) {
            let (decimal, thousands) = if comma { (",", [".", "'", " ", "."][sign]) } else { (".", [",", "'", " ", ","][sign]) };
            if let Ok(found) = number(decimal, Some(thousands)).read(text.as_bytes()) {
                prop_assert!(Typed::Number.accepts(found.as_bytes()), "{text} {found}");
                let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
                prop_assert_eq!(digits(&found), digits(&text));
            }
        }
    }
}
