//! A condition bound to the schema: does a row satisfy it.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::HashSet;

use super::ast::Operator;
use super::bind::Plan;
use super::path::FieldPath;
use crate::schema::FieldType;
use crate::store::RowView;

#[derive(Clone, Debug)]
pub(crate) enum Filter {
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Test(FieldPath, Test),
}

#[derive(Clone, Debug)]
pub(crate) enum Test {
    IsNull,
    NotNull,
    Compare(Comparison, Operand),
    /// Folded values.
    In {
        values: HashSet<String>,
        null: bool,
        negated: bool,
    },
    /// Becomes `In` once the inner query has run.
    InQuery {
        plan: Box<Plan>,
        negated: bool,
    },
    Like(Vec<LikePart>),
    Includes {
        sets: Vec<Vec<String>>,
        negated: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    pub(super) fn of(operator: Operator) -> Option<Self> {
        Some(match operator {
            Operator::Equal => Self::Equal,
            Operator::NotEqual => Self::NotEqual,
            Operator::Less => Self::Less,
            Operator::LessOrEqual => Self::LessOrEqual,
            Operator::Greater => Self::Greater,
            Operator::GreaterOrEqual => Self::GreaterOrEqual,
            Operator::Like => return None,
        })
    }

    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    fn accepts(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Number(f64),
    /// In the stored form, folded when the field folds: as equality wants it, or for the other comparisons as order does.
    Text(String),
    /// From the first up to, not including, the second.
    Span(String, String),
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LikePart {
    Char(char),
    One,
    Any,
}

impl Filter {
    pub(crate) fn holds(&self, view: &RowView<'_>) -> bool {
        match self {
            Self::And(all) => all.iter().all(|filter| filter.holds(view)),
            Self::Or(any) => any.iter().any(|filter| filter.holds(view)),
            Self::Not(inner) => !inner.holds(view),
            Self::Test(path, test) => test.holds(path, path.value(view)),
        }
    }
}

impl Test {
    fn holds(&self, path: &FieldPath, value: Option<Cow<'_, str>>) -> bool {
        // The boxes of a parent that is not there are not ticked.
        let value = value.or((path.kind == FieldType::Boolean).then_some(Cow::Borrowed("false")));
        match (self, value) {
            (Self::IsNull, value) => value.is_none(),
            (Self::NotNull, value) => value.is_some(),
            (Self::Compare(comparison, _), None) => *comparison == Comparison::NotEqual,
            (Self::Compare(comparison, operand), Some(value)) => compare(path, *comparison, operand, &value),
            (Self::In { null, negated, .. }, None) => *null != *negated,
            (Self::In { values, negated, .. }, Some(value)) => values.contains(path.fold(&value).as_ref()) != *negated,
            (Self::InQuery { .. }, _) => false,
            (Self::Like(_), None) => false,
            (Self::Like(parts), Some(value)) => like(parts, &value.to_lowercase().chars().collect::<Vec<_>>()),
            (Self::Includes { negated, .. }, None) => *negated,
            (Self::Includes { sets, negated }, Some(value)) => {
                let has = |wanted: &String| value.split(';').any(|one| one.eq_ignore_ascii_case(wanted));
                sets.iter().any(|set| set.iter().all(has)) != *negated
            }
        }
    }
}

fn compare(path: &FieldPath, comparison: Comparison, operand: &Operand, value: &str) -> bool {
    match operand {
        Operand::Number(wanted) => {
            let number: f64 = value.parse().unwrap_or(f64::NAN);
            number.partial_cmp(wanted).is_some_and(|ordering| comparison.accepts(ordering))
        }
        Operand::Text(wanted) => {
            let value = if comparison.is_equality() { path.fold(value) } else { path.sort_key(value) };
            comparison.accepts(value.as_ref().cmp(wanted.as_str()))
        }
        Operand::Span(start, end) => match comparison {
            Comparison::Equal => value >= start.as_str() && value < end.as_str(),
            Comparison::NotEqual => value < start.as_str() || value >= end.as_str(),
            Comparison::Less => value < start.as_str(),
            Comparison::LessOrEqual => value < end.as_str(),
            Comparison::Greater => value >= end.as_str(),
            Comparison::GreaterOrEqual => value >= start.as_str(),
        },
    }
}

/// `%` is any run, `_` one character, a backslash takes their meaning away.
pub(super) fn like_parts(pattern: &str) -> Vec<LikePart> {
    let (mut parts, mut chars) = (Vec::new(), pattern.chars().flat_map(char::to_lowercase));
    while let Some(c) = chars.next() {
        parts.push(match c {
            '\\' => LikePart::Char(chars.next().unwrap_or('\\')),
            '%' => LikePart::Any,
            '_' => LikePart::One,
            c => LikePart::Char(c),
        });
    }
    parts
}

/// Greedy matching that remembers only the last `%`: never worse than the lengths multiplied.
fn like(parts: &[LikePart], text: &[char]) -> bool {
    let (mut at, mut part, mut back) = (0, 0, None);
    while at < text.len() {
        match parts.get(part) {
            Some(LikePart::Any) => {
                back = Some((part, at));
                part += 1;
            }
            Some(LikePart::One) => (at, part) = (at + 1, part + 1),
            Some(LikePart::Char(c)) if *c == text[at] => (at, part) = (at + 1, part + 1),
            _ => {
                let Some((any, from)) = back else { return false };
                back = Some((any, from + 1));
                (at, part) = (from + 1, any + 1);
            }
        }
    }
    parts[part..].iter().all(|part| *part == LikePart::Any)
}

/// Ids compare in full, text folds, everything else is stored in one form.
pub(super) fn folds(kind: FieldType, case_sensitive: bool) -> bool {
    kind.is_text() && !case_sensitive
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        like(&like_parts(pattern), &text.to_lowercase().chars().collect::<Vec<_>>())
    }

    #[test]
    fn like_matches_as_sql_does() {
        for (pattern, text) in
            [("A%", "abc"), ("%c", "abc"), ("%b%", "abc"), ("a_c", "ABC"), ("%", ""), ("a%b%c", "a--b-b-c"), (r"100\%", "100%")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a", "ab"), ("_", ""), ("%b", "abc"), (r"100\%", "1000")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
