//! What keeps a cell from being a value.

/// Why a cell has no value that could be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum Problem {
    /// What Excel shows in place of a result, or of text that is no number.
    #[error("holds the error {0}: correct its formula, or clear the cell")]
    Error(&'static str),
    #[error("holds a formula without a result: open the workbook in Excel or LibreOffice and save it there, which calculates it")]
    NoResult,
    #[error("is formatted as a date, and its number is no day of the calendar between 1900 and 9999: correct it, or format it as a number")]
    NoDay,
    #[error("contains a NUL character, which Salesforce cannot store: remove it")]
    Nul,
}

/// Words that Excel and its relatives show; anything else that calls itself an error is not shown.
const ERRORS: [&str; 15] = [
    "#N/A",
    "#NULL!",
    "#DIV/0!",
    "#VALUE!",
    "#REF!",
    "#NAME?",
    "#NUM!",
    "#GETTING_DATA",
    "#SPILL!",
    "#CALC!",
    "#FIELD!",
    "#BLOCKED!",
    "#CONNECT!",
    "#BUSY!",
    "#UNKNOWN!",
];

impl Problem {
    pub(super) fn error(word: &str) -> Self {
        Self::Error(ERRORS.into_iter().find(|known| *known == word).unwrap_or("that Excel has no word for"))
    }

    /// Of a number that stands for an error in records.
    pub(super) fn of_code(code: u8) -> Self {
        Self::error(match code {
            0x00 => "#NULL!",
            0x07 => "#DIV/0!",
            0x0F => "#VALUE!",
            0x17 => "#REF!",
            0x1D => "#NAME?",
            0x24 => "#NUM!",
            0x2A => "#N/A",
            0x2B => "#GETTING_DATA",
            _ => "",
        })
    }

    /// Of a result that is only told as the text that is shown; OpenDocument has no errors among its kinds of values.
    pub(super) fn of_result(shown: &str) -> Option<Self> {
        let is_number = shown.strip_prefix("Err:").is_some_and(|number| number.bytes().all(|digit| digit.is_ascii_digit()));
        (is_number || ERRORS.contains(&shown)).then(|| Self::error(shown))
    }

    /// As a result file shows the cell.
    pub(super) fn shown(self) -> &'static str {
        match self {
            Self::Error(word) => word,
            Self::NoResult | Self::NoDay | Self::Nul => "",
        }
    }
}
