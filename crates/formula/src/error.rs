//! What can be wrong: with a formula (place, problem, remedy), and with a formula's value for one row.

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
    #[error("the dictionary has {key:?} twice")]
    RepeatedKey { key: String },
}

/// Why a formula has no value for one row.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum EvalError {
    #[error("{text:?} is not a number; write it like 1234.5, without currency or group separators")]
    NotANumber { text: String },
    #[error("{text:?} has more than 15 digits and cannot be calculated with exactly; use it as text")]
    NotExact { text: String },
    #[error("division by zero")]
    DivisionByZero,
    #[error("the result of a calculation is too large")]
    Overflow,
    #[error("{what} is {value}, but must be {least} or more")]
    Count { what: &'static str, value: String, least: u8 },
    #[error("MAP has no entry for {key:?}; add it, or a default as third argument")]
    NoEntry { key: String },
    #[error("the text becomes longer than {} bytes", crate::MAX_TEXT)]
    TextTooLong,
}

/// Enough of a cell's text to recognise it.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
