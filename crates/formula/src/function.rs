//! The functions: one list, which the checker, the error messages and the documentation are made from.

use std::ops::RangeInclusive;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Function {
    And,
    Begins,
    Coalesce,
    Contains,
    If,
    IsBlank,
    Left,
    Len,
    Lower,
    Map,
    Mid,
    Not,
    Or,
    Right,
    Substitute,
    Text,
    Trim,
    Upper,
    Value,
}

/// How a function is written and what it does.
#[derive(Debug)]
pub struct Signature {
    /// In capitals, as it is shown; a formula may write it otherwise.
    pub name: &'static str,
    /// How it is called, such as `LEFT(text, count)`.
    pub usage: &'static str,
    /// What it does, in a sentence.
    pub help: &'static str,
    pub(crate) function: Function,
    pub(crate) arguments: RangeInclusive<usize>,
}

const ANY: usize = crate::MAX_LENGTH;

const fn function(
    function: Function,
    name: &'static str,
    arguments: RangeInclusive<usize>,
    usage: &'static str,
    help: &'static str,
) -> Signature {
    Signature { name, usage, help, function, arguments }
}

/// Every function, sorted by name.
pub static FUNCTIONS: &[Signature] = &[
    function(Function::And, "AND", 1..=ANY, "AND(condition, …)", "True when all are true."),
    function(Function::Begins, "BEGINS", 2..=2, "BEGINS(text, start)", "Whether the text begins with the other, case included."),
    function(Function::Coalesce, "COALESCE", 1..=ANY, "COALESCE(value, …)", "The first value that is not blank."),
    function(Function::Contains, "CONTAINS", 2..=2, "CONTAINS(text, part)", "Whether the text contains the other, case included."),
    function(Function::If, "IF", 3..=3, "IF(condition, then, else)", "One of two values."),
    function(Function::IsBlank, "ISBLANK", 1..=1, "ISBLANK(value)", "Whether nothing but blanks is there, of whatever kind."),
    function(
        Function::Left,
        "LEFT",
        1..=2,
        "LEFT(text, count)",
        "The first characters; one when count is absent. One that is cut in two stays out.",
    ),
    function(Function::Len, "LEN", 1..=1, "LEN(text)", "The number of characters, counted as Salesforce does: an emoji is two."),
    function(Function::Lower, "LOWER", 1..=1, "LOWER(text)", "The text in small letters."),
    function(
        Function::Map,
        "MAP",
        2..=3,
        "MAP(value, {\"from\": \"to\", …}, default)",
        "The entry of the value; without default a missing entry fails the row.",
    ),
    function(
        Function::Mid,
        "MID",
        3..=3,
        "MID(text, start, count)",
        "Characters from the middle; the first one is 1. One that is cut in two stays out.",
    ),
    function(Function::Not, "NOT", 1..=1, "NOT(condition)", "True when the condition is false."),
    function(Function::Or, "OR", 1..=ANY, "OR(condition, …)", "True when one is true."),
    function(
        Function::Right,
        "RIGHT",
        1..=2,
        "RIGHT(text, count)",
        "The last characters; one when count is absent. One that is cut in two stays out.",
    ),
    function(Function::Substitute, "SUBSTITUTE", 3..=3, "SUBSTITUTE(text, old, new)", "Replaces every occurrence."),
    function(Function::Text, "TEXT", 1..=1, "TEXT(value)", "The value as text."),
    function(Function::Trim, "TRIM", 1..=1, "TRIM(text)", "Without blanks at both ends, and single spaces in between."),
    function(Function::Upper, "UPPER", 1..=1, "UPPER(text)", "The text in capital letters."),
    function(Function::Value, "VALUE", 1..=1, "VALUE(text)", "The text as a number; blank when it is blank."),
];

/// Names are not case-sensitive.
pub(crate) fn find(name: &str) -> Option<&'static Signature> {
    FUNCTIONS.iter().find(|signature| signature.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_each_usage_begins_with_its_name() {
        assert!(FUNCTIONS.is_sorted_by_key(|signature| signature.name));
        for signature in FUNCTIONS {
            assert!(signature.usage.starts_with(&format!("{}(", signature.name)), "{}", signature.usage);
        }
    }

    #[test]
    fn the_users_guide_lists_every_function() {
        let guide = include_str!("../../../docs/user/import-jobs.md");
        let row = |signature: &Signature| format!("| `{}` | {} |\n", signature.usage, signature.help);
        let all: String = FUNCTIONS.iter().map(row).collect();
        assert!(guide.ends_with(&all), "docs/user/import-jobs.md has to end with:\n{all}");
    }
}
