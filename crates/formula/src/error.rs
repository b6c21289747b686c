//! What can be wrong: with a formula (place, problem, remedy), and with a formula's value for one row.

use crate::blank::Shown;

/// Why a formula cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("character {at}: {problem}")]
pub struct FormulaError {
    /// Where, counted in characters from 1.
    pub at: usize,
    pub problem: Problem,
}

impl FormulaError {
    pub(crate) fn new(at: usize, problem: Problem) -> Self {
        Self { at, problem }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("the formula is empty")]
    Empty,
    #[error("the formula has more than {} characters", crate::MAX_LENGTH)]
    TooLong,
    #[error("the formula is nested deeper than {} levels; split it over several fields", crate::MAX_DEPTH)]
    TooDeep,
    #[error("{found:?} means nothing here{hint}")]
    Character { found: char, hint: &'static str },
    #[error("this text is never closed: its last quote is missing")]
    OpenText,
    #[error("this column name is never closed: its ] is missing, or is a ] in the name, which is written ]]")]
    OpenColumn,
    #[error("{text:?} is not a number")]
    Number { text: String },
    /// As a number it would lose zeros, and so match other cells than it seems to.
    #[error("the number {text} reads as {number}; write \"{text}\" if it is a code, {number} if it is a number")]
    NumberLikeCode { text: String, number: String },
    #[error("expected {expected}, found {found}{hint}")]
    Unexpected { expected: &'static str, found: String, hint: &'static str },
    #[error("{0}")]
    Column(String),
    #[error("unknown name {name}{}; columns are written [{name}], texts \"{name}\"", .near.map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    Name { name: String, near: Option<&'static str> },
    #[error("there is no function {name}{}", .near.map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    Function { name: String, near: Option<&'static str> },
    #[error("{name} is written {usage}; this has {found} arguments")]
    Arguments { name: &'static str, usage: &'static str, found: usize },
    #[error("this is {found}, but {expected} is needed; {remedy}")]
    Type { expected: &'static str, found: &'static str, remedy: &'static str },
    #[error("{what} could mean texts or numbers; {remedy}")]
    Ambiguous { what: &'static str, remedy: &'static str },
    #[error("{left} cannot be compared with {right}; {remedy}")]
    Incomparable { left: &'static str, right: &'static str, remedy: &'static str },
    #[error("a dictionary stands only behind the first argument of MAP")]
    StrayDictionary,
    #[error("the second argument of MAP is a dictionary, as in {{\"One\": \"Blue\", \"Two\": \"Red\"}}")]
    NoDictionary,
    #[error("the dictionary has {} twice", Shown(.key))]
    RepeatedKey { key: String },
}

/// Why a formula has no value for one row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvalError {
    #[error("{} is not a number; write it like 1234.5, without currency or group separators", Shown(.text))]
    NotANumber { text: String },
    #[error("{} has more than 15 digits and cannot be calculated with exactly; use it as text", Shown(.text))]
    NotExact { text: String },
    #[error("{} begins with a zero, as codes do, but is compared with a number; write VALUE(…) if it is the number {number}, else compare it with a text in quotes", Shown(.text))]
    LikeCode { text: String, number: String },
    #[error("division by zero")]
    DivisionByZero,
    #[error("the result of a calculation is too large")]
    Overflow,
    #[error("{what} is {value}, but must be {least} or more")]
    Count { what: &'static str, value: String, least: u8 },
    #[error("MAP has no entry for {}; add it, or a default as third argument", Shown(.key))]
    NoEntry { key: String },
    #[error("the text becomes longer than {} bytes", crate::MAX_TEXT)]
    TextTooLong,
}
