//! What can be wrong: with a formula (place, problem, remedy), and with a formula's value for one row.

use crate::blank::Shown;

/// Why a formula cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("character {at}: {problem}")]
pub struct FormulaError {
    /// Where, counted in characters from 1.
    pub at: usize,
    /// What is wrong there, and how to put it right.
    pub problem: Problem,
}

impl FormulaError {
    pub(crate) fn new(at: usize, problem: Problem) -> Self {
        Self { at, problem }
    }
}

/// What is wrong with a formula. Each is told with what would be right.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Nothing but blanks.
    #[error("the formula is empty")]
    Empty,
    /// More than [`MAX_LENGTH`](crate::MAX_LENGTH) characters.
    #[error("the formula has more than {} characters", crate::MAX_LENGTH)]
    TooLong,
    /// Deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("the formula is nested deeper than {} levels; split it over several fields", crate::MAX_DEPTH)]
    TooDeep,
    /// A character that means nothing here.
    #[error("{found:?} means nothing here{hint}")]
    Character {
        /// The character.
        found: char,
        /// What was probably meant, to be appended to a sentence; may be empty.
        hint: &'static str,
    },
    /// A text without its closing quote.
    #[error("this text is never closed: its last quote is missing")]
    OpenText,
    /// A column without its closing bracket.
    #[error("this column name is never closed: its ] is missing, or is a ] in the name, which is written ]]")]
    OpenColumn,
    /// Digits that are no number.
    #[error("{text:?} is not a number")]
    Number {
        /// As it is written.
        text: String,
    },
    /// As a number it would lose zeros, and so match other cells than it seems to.
    #[error("the number {text} reads as {number}; write \"{text}\" if it is a code, {number} if it is a number")]
    NumberLikeCode {
        /// As it is written.
        text: String,
        /// As it would be read.
        number: String,
    },
    /// Something else belongs here.
    #[error("expected {expected}, found {found}{hint}")]
    Unexpected {
        /// What belongs here.
        expected: &'static str,
        /// What is here, as a person would call it.
        found: String,
        /// What was probably meant, to be appended to a sentence; may be empty.
        hint: &'static str,
    },
    /// No such column, or several of the name; the text is that of [`Columns::find`](crate::Columns::find).
    #[error("{0}")]
    Column(String),
    /// A bare word that is no function and no constant.
    #[error("unknown name {name}{}; columns are written [{name}], texts \"{name}\"", .near.map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    Name {
        /// The word.
        name: String,
        /// A known word that is much like it.
        near: Option<&'static str>,
    },
    /// A function that does not exist.
    #[error("there is no function {name}{}", .near.map(|near| format!(", did you mean {near}?")).unwrap_or_default())]
    Function {
        /// Its name, as it is written.
        name: String,
        /// The function whose name is much like it.
        near: Option<&'static str>,
    },
    /// Too few or too many arguments.
    #[error("{name} is written {usage}; this has {found} arguments")]
    Arguments {
        /// The function.
        name: &'static str,
        /// How it is called, as [`Signature::usage`](crate::Signature::usage) says.
        usage: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A value of another type than is needed here.
    #[error("this is {found}, but {expected} is needed; {remedy}")]
    Type {
        /// The type that is needed, in words.
        expected: &'static str,
        /// The type that is here, in words.
        found: &'static str,
        /// How one becomes the other.
        remedy: &'static str,
    },
    /// It cannot be told whether texts or numbers are meant.
    #[error("{what} could mean texts or numbers; {remedy}")]
    Ambiguous {
        /// The operation, in words.
        what: &'static str,
        /// How to be clear.
        remedy: &'static str,
    },
    /// A comparison of two types that have nothing in common.
    #[error("{left} cannot be compared with {right}; {remedy}")]
    Incomparable {
        /// The type at the left, in words.
        left: &'static str,
        /// The type at the right, in words.
        right: &'static str,
        /// How to make them alike.
        remedy: &'static str,
    },
    /// A dictionary where none is taken.
    #[error("a dictionary stands only behind the first argument of MAP")]
    StrayDictionary,
    /// MAP without a dictionary.
    #[error("the second argument of MAP is a dictionary, as in {{\"One\": \"Blue\", \"Two\": \"Red\"}}")]
    NoDictionary,
    /// A key of a dictionary stands there twice.
    #[error("the dictionary has {} twice", Shown(.key))]
    RepeatedKey {
        /// The key.
        key: String,
    },
}

/// Why a formula has no value for one row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// The cell stands where a number is needed and is none.
    #[error("{} is not a number; write it like 1234.5, without currency or group separators", Shown(.text))]
    NotANumber {
        /// Its text, cut to what is shown.
        text: String,
    },
    /// The cell is a number of more digits than a calculation keeps.
    #[error("{} has more than 15 digits and cannot be calculated with exactly; use it as text", Shown(.text))]
    NotExact {
        /// Its text, cut to what is shown.
        text: String,
    },
    /// The cell is compared with a number and is written like a code.
    #[error("{} begins with a zero, as codes do, but is compared with a number; write VALUE(…) if it is the number {number}, else compare it with a text in quotes", Shown(.text))]
    LikeCode {
        /// Its text, cut to what is shown.
        text: String,
        /// The number that it would be read as.
        number: String,
    },
    /// The divisor is zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The result is no finite number.
    #[error("the result of a calculation is too large")]
    Overflow,
    /// A place or a length that is too small.
    #[error("{what} is {value}, but must be {least} or more")]
    Count {
        /// What is counted, in words.
        what: &'static str,
        /// What the row gives.
        value: String,
        /// The smallest that is taken.
        least: u8,
    },
    /// MAP has neither an entry nor a default.
    #[error("MAP has no entry for {}; add it, or a default as third argument", Shown(.key))]
    NoEntry {
        /// The text that was looked up, cut to what is shown.
        key: String,
    },
    /// The text becomes longer than [`MAX_TEXT`](crate::MAX_TEXT).
    #[error("the text becomes longer than {} bytes", crate::MAX_TEXT)]
    TextTooLong,
}
