//! What travels through the engine: a header, rows in batches, and what can be wrong with one row. Knows neither files
//! nor Salesforce.

use formula::Shown;
pub use salesforce::bulk::Record;

use crate::source::excel::{Place, Problem};
use crate::taken::{self, Choice, Taken, TakenCsv};

/// Names of the input columns, in input order. Names may repeat or be empty: such columns travel into the results but
/// cannot be named by a job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    cells: Record,
    names: Vec<String>,
    /// How the file was read that it stands in.
    taken: Option<Taken>,
}

impl Header {
    /// A header of these names, for rows that come from no file, such as those of a query.
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        Self { cells: Record::from(names.clone()), names, taken: None }
    }

    /// The header of a file.
    pub fn of_file<N: Into<String>>(names: impl IntoIterator<Item = N>, taken: Taken) -> Self {
        Self { taken: Some(taken), ..Self::new(names) }
    }

    /// What a person needs who looks for a column that is not there.
    pub fn described(&self) -> String {
        let names = taken::names(&self.names);
        match &self.taken {
            Some(taken @ Taken::Csv(TakenCsv { named: true, .. })) => format!("of the file, {taken}, the format's `columns` names {names}"),
            Some(taken @ (Taken::Csv(_) | Taken::Parquet)) => format!("the file, {taken}, has the columns {names}"),
            Some(taken @ Taken::Sheet { .. }) => format!("the workbook, {taken}, has the columns {names}"),
            Some(taken @ Taken::Json { told: true, .. }) => format!("of the file, {taken}, the format's `columns` names {names}"),
            Some(taken @ Taken::Json { told: false, .. }) => {
                format!("the first mebibyte of the file, {taken}, has the fields {names}; the format's `columns` can name others")
            }
            None => format!("the columns are {names}"),
        }
    }

    /// The names in input order, as they are in the source.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The header as the first line of a result file.
    pub fn cells(&self) -> &Record {
        &self.cells
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there is no column at all.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether the first column has this name, byte by byte.
    pub(crate) fn begins_with(&self, name: &[u8]) -> bool {
        self.names.first().is_some_and(|first| first.as_bytes() == name)
    }

    /// The one column of that name: exact first, else not minding blanks around it. Its place is counted from zero.
    ///
    /// # Errors
    ///
    /// If there is no such column, or several: a job can name neither.
    pub fn find(&self, name: &str) -> Result<usize, ColumnError> {
        let exact = self.positions(|column| column == name);
        let found = if exact.is_empty() { self.positions(|column| formula::trim(column) == formula::trim(name)) } else { exact };
        match found.as_slice() {
            [one] => Ok(*one),
            [] if self.is_one_column_with(name) => {
                let only = taken::quoted(&self.names[0], 200);
                Err(ColumnError::NotCut { name: name.to_owned(), only, why: NotCut::of(self.taken.as_ref()) })
            }
            [] => {
                let near = formula::nearest(name, self.names.iter().map(String::as_str)).map(str::to_owned);
                Err(ColumnError::Unknown { name: name.to_owned(), near })
            }
            [first, second, ..] => Err(ColumnError::Repeated { name: name.to_owned(), first: first + 1, second: second + 1 }),
        }
    }

    /// Whether all names seem to stand in the one column of a file whose delimiter is another one.
    fn is_one_column_with(&self, name: &str) -> bool {
        let [only] = self.names.as_slice() else { return false };
        if matches!(self.taken, Some(Taken::Json { .. } | Taken::Parquet)) {
            return false;
        }
        let separates = |c: Option<char>| c.is_none_or(|c| c.is_ascii_punctuation() && c != '_' || c == '\t');
        let name = formula::trim(name);
        !name.is_empty()
            && formula::trim(only) != name
            && only.match_indices(name).any(|(at, _)| {
                let (before, behind) = (&only[..at], &only[at + name.len()..]);
                separates(before.trim_end_matches(' ').chars().next_back()) && separates(behind.trim_start_matches(' ').chars().next())
            })
    }

    /// How the column at this place, counted from zero, is called.
    pub fn column(&self, at: usize) -> Column {
        self.names.get(at).filter(|name| !formula::is_blank(name)).map_or(Column::Number(at + 1), |name| Column::Name(name.clone()))
    }

    fn positions(&self, wanted: impl Fn(&str) -> bool) -> Vec<usize> {
        self.names.iter().enumerate().filter(|(_, column)| !formula::is_blank(column) && wanted(column)).map(|(at, _)| at).collect()
    }
}

/// A column as an error calls it: by its name, or by its place when it has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Column {
    /// Its name, as the header has it.
    Name(String),
    /// The first is 1.
    Number(usize),
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{}", Shown(name)),
            Self::Number(number) => write!(f, "number {number}"),
        }
    }
}

/// Why a name that the job uses is none of one column. Columns are counted from 1.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is; `near` is the most similar name that there is")]
pub enum ColumnError {
    #[error("there is no column {}{}", Shown(.name), .near.as_ref().map(|near| did_you_mean(near)).unwrap_or_default())]
    Unknown { name: String, near: Option<String> },
    /// `only` is in quotes already.
    #[error("there is no column {}, only {only}: {why}", Shown(.name))]
    NotCut { name: String, only: String, why: NotCut },
    #[error("column {} stands in the header twice, as number {first} and {second}: rename one of them", Shown(.name))]
    Repeated { name: String, first: usize, second: usize },
}

/// In formulas a closing bracket ends a name.
fn did_you_mean(near: &str) -> String {
    let bracket = if near.contains(']') { format!(" (in formulas [{}])", near.replace(']', "]]")) } else { String::new() };
    format!(", did you mean {}{bracket}?", Shown(near))
}

/// Why a header may be one column.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum NotCut {
    #[error("if these are several, set the format's `delimiter`")]
    Undetected,
    #[error("the format's `delimiter` is {0:?}; if these are several, name the character that stands between them")]
    OtherDelimiter(char),
    #[error(
        "the line is in quotes as a whole, which makes it one column; remove the quotes around the lines, and write quotes in them once"
    )]
    Quoted,
    #[error("if these are several, divide the column in Excel (Data, Text to Columns)")]
    Pasted,
}

impl NotCut {
    fn of(taken: Option<&Taken>) -> Self {
        match taken {
            Some(Taken::Sheet { .. }) => Self::Pasted,
            Some(Taken::Csv(TakenCsv { quoted: true, .. })) => Self::Quoted,
            Some(Taken::Csv(TakenCsv { delimiter_by: Choice::Told | Choice::Marked, delimiter, .. })) => {
                Self::OtherDelimiter(char::from(*delimiter))
            }
            _ => Self::Undetected,
        }
    }
}

/// One input row.
#[derive(Clone, Default)]
pub struct Row {
    /// 1 for the first row behind the header.
    pub number: u64,
    /// As many cells as the header has columns, in UTF-8.
    pub cells: Record,
    /// The `orderBy` values as the database writes them; empty for sources without them.
    pub key: Record,
    /// An earlier attempt has dealt with it: it is here only for a pipeline that remembers rows.
    pub seen: bool,
    /// A record of the file that is no row: it is counted, and that is all.
    pub skipped: bool,
    /// Why this row cannot be used. Its cells are then what could be read, for the result file.
    pub fault: Option<RowError>,
    /// How a row with a fault stood in its source, as the result file shows it; empty for others.
    pub refused: String,
}

/// Rows on their way from a source. Filled again and again so that reading allocates nothing per row.
#[derive(Default)]
pub struct Batch {
    rows: Vec<Row>,
    filled: usize,
    bytes: usize,
}

impl Batch {
    const MAX_ROWS: usize = 1024;
    const MAX_BYTES: usize = 1 << 20;
    /// A row that was larger, or refused, gives its memory back: else a hostile file could make every place of the batch as large as
    /// its largest row.
    const LARGE: usize = 16 << 10;

    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows that were pushed since the batch was cleared last.
    pub fn rows(&self) -> &[Row] {
        &self.rows[..self.filled]
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Whether no more rows should be pushed: there are 1024, or they take a mebibyte.
    pub fn is_full(&self) -> bool {
        self.filled >= Self::MAX_ROWS || self.bytes >= Self::MAX_BYTES
    }

    /// Empties the batch. Memory of rows is kept for the next ones, but for that of large or refused ones.
    pub fn clear(&mut self) {
        for row in &mut self.rows[..self.filled] {
            if size(&row.cells) > Self::LARGE || !row.refused.is_empty() {
                *row = Row::default();
            }
        }
        self.filled = 0;
        self.bytes = 0;
    }

    /// Adds a row and lets `fill` write its cells.
    pub fn push(&mut self, number: u64, fill: impl FnOnce(&mut Row)) {
        if self.filled == self.rows.len() {
            self.rows.push(Row::default());
        }
        let row = &mut self.rows[self.filled];
        row.number = number;
        row.cells.clear();
        row.key.clear();
        row.seen = false;
        row.skipped = false;
        row.fault = None;
        row.refused.clear();
        fill(row);
        self.filled += 1;
        self.bytes += size(&row.cells) + row.refused.len();
    }
}

/// Many empty cells take memory too.
fn size(cells: &Record) -> usize {
    cells.content_len() + cells.len() * size_of::<usize>()
}

/// Where in the source something stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Position {
    /// 1 for the first row behind the header, 0 for the header.
    pub row: u64,
    /// 1 for the first line of the file.
    pub line: u64,
    /// Bytes before it, counted in the text as UTF-8.
    pub byte: u64,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.row {
            0 => write!(f, "header (line {}, byte {})", self.line, self.byte),
            row => write!(f, "row {row} (line {}, byte {})", self.line, self.byte),
        }
    }
}

/// Why one row failed before it reached Salesforce. Written to the result file beside the row, never to a status or log.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is and shows its fields")]
pub enum RowError {
    #[error("{at}: no field for column {missing}; write a delimiter for every field, also an empty one")]
    TooFewFields { at: Position, missing: Column },
    #[error("{at}: {found} fields, one or more behind the last column {last}; {remedy}")]
    TooManyFields { at: Position, found: usize, last: Column, remedy: &'static str },
    #[error("{at}: the line is in quotes as a whole, which makes it one field; remove the quotes around it, and write quotes in it once")]
    LineInQuotes { at: Position },
    #[error("{at}: column {column} has text behind its closing quote; write a quote inside quoted text twice")]
    TextBehindQuote { at: Position, column: Column },
    #[error("{at}: column {column} has blanks before its opening quote; remove them")]
    BlankBeforeQuote { at: Position, column: Column },
    #[error(
        "{at}: column {column} opens a quote that its line does not close, and the lines behind it are rows; close it, write a quote inside \
         quoted text twice, or set the format's `quote` to none if quotes are text in this file"
    )]
    StrayQuote { at: Position, column: Column },
    #[error(
        "{at}: column {column} opens a quote that closes {lines} lines later, and those lines read as rows of their own; set the format's \
         `quote` to none if quotes are text in this file, or to '\"' if the lines belong into the cell"
    )]
    QuoteInDoubt { at: Position, column: Column, lines: u64 },
    #[error("{at}: column {column} is not valid {encoding}; {remedy}")]
    NotText { at: Position, column: Column, encoding: &'static str, remedy: &'static str },
    #[error("{at}: column {column} contains a NUL character, which Salesforce cannot store; remove it")]
    Nul { at: Position, column: Column },
    #[error("row {row}: column {column} is not valid UTF-8; write it as text, or leave it out of the mapping")]
    NotUtf8 { row: u64, column: Column },
    #[error("row {row}: column {column} contains a NUL character, which Salesforce cannot store; remove it")]
    NulInColumn { row: u64, column: Column },
    #[error("{at}: the record stops being valid JSON at byte {from} of it; correct it there")]
    NotJson { at: Position, from: usize },
    #[error("{at}: the record is {class}; a row is an object: give its values names")]
    NotAnObject { at: Position, class: &'static str },
    #[error("{at}: the record has more than 32 objects within each other; move the fields that are meant further out")]
    TooDeep { at: Position },
    #[error("{at}: field {column} comes twice in the record; keep one of them")]
    FieldTwice { at: Position, column: Column },
    #[error("{at}: field {column} is a list, and a column has one value; give each entry a field or a row of its own")]
    List { at: Position, column: Column },
    #[error(
        "{at}: the number in field {column} takes more than 400 digits without its exponent, which Salesforce cannot store; correct it"
    )]
    NumberTooLong { at: Position, column: Column },
    #[error("{at}: the text in field {column} has an escape that stands for no character: half of a surrogate pair; remove it")]
    NoCharacter { at: Position, column: Column },
    #[error("row {row}: column {} holds a value that is {value}, which Salesforce cannot store", Shown(.column))]
    NoSuchValue { row: u64, column: String, value: String },
    /// `cell`: where the sheet has it.
    #[error("row {row} (cell {cell}): column {column} {problem}")]
    Cell { row: u64, cell: Place, column: Column, problem: Problem },
    #[error(
        "row {row} (cell {cell}): text behind the last column {last}; if another row is the header, name it in the format's `headerRow`, else give the \
         column a name, clear the cell, or leave it out with `range`"
    )]
    BehindHeader { row: u64, cell: Place, last: Column },
    #[error("{place}: {source}")]
    Formula { place: String, source: formula::EvalError },
    #[error("{field} is blank and must not be{}", .hint)]
    Blank { field: String, hint: &'static str },
    #[error("every mapped cell is blank ({fields}), so that nothing would be sent; fill one of them, or leave such rows out with a filter")]
    BlankRow { fields: String },
    #[error("{field} would get \"#N/A\", which empties a field in Salesforce; set `blankCells: Clear` for it or clean the input")]
    NotAvailable { field: String },
    #[error("{field} takes {limit} characters, this has {found}")]
    TooLong { field: String, limit: usize, found: usize },
    #[error("{field} is not a Salesforce id: {why}{}", .relationship.as_ref().map(|name| format!("; to find the parent by another key, map to {name}.ExternalIdField")).unwrap_or_default())]
    BadId { field: String, why: &'static str, relationship: Option<String> },
    #[error("{field} takes {forms}, not {}{hint}", Shown(.found))]
    WrongType { field: String, forms: &'static str, found: String, hint: String },
    #[error("{field}: column {} is not written as the mapping's `number` says: {why}; correct the cell, or `number` if all are written so{hint}", Shown(.column))]
    NumberForm { field: String, column: String, why: &'static str, hint: String },
    #[error(
        "{field}: {} a time that there is not in {zone}, as the clocks are put forward over it; correct it, or write it with its offset, as in \
         2026-01-31T09:00:00+01:00", gets(.column.as_deref())
    )]
    SkippedTime { field: String, column: Option<String>, zone: String },
    #[error("{field}: {} a second 60, or a time behind 24:00, which is in no zone; correct it", gets(.column.as_deref()))]
    NoTimeOfDay { field: String, column: Option<String> },
    #[error("{field} is a restricted picklist without the value {}; {advice}", Shown(.found))]
    NotInPicklist { field: String, found: String, advice: String },
    /// As an earlier run told it.
    #[error("{text}")]
    RefusedBefore { text: String },
    #[error("more than {limit} different rows: `dedupe` cannot remember them all; remove repetitions in the source")]
    TooManyToRemember { limit: usize },
}

/// Of a value that stands in a column, or that the job makes.
fn gets(column: Option<&str>) -> String {
    column.map_or("it gets".to_owned(), |column| format!("column {} has", Shown(column)))
}

impl RowError {
    /// A fixed word for counting and for the result file.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooFewFields { .. } | Self::TooManyFields { .. } | Self::LineInQuotes { .. } | Self::BehindHeader { .. } => "RAGGED_ROW",
            Self::Cell { .. } => "UNREADABLE_CELL",
            Self::TextBehindQuote { .. } | Self::BlankBeforeQuote { .. } | Self::StrayQuote { .. } | Self::QuoteInDoubt { .. } => {
                "MALFORMED_QUOTE"
            }
            Self::NotText { .. } | Self::NotUtf8 { .. } => "INVALID_ENCODING",
            Self::Nul { .. } | Self::NulInColumn { .. } => "NUL_CHARACTER",
            Self::NotJson { .. } | Self::NotAnObject { .. } | Self::TooDeep { .. } | Self::FieldTwice { .. } => "MALFORMED_JSON",
            Self::List { .. } => "NOT_ONE_VALUE",
            Self::NoCharacter { .. } => "INVALID_ENCODING",
            Self::NoSuchValue { .. } | Self::NumberTooLong { .. } => "UNSTORABLE_VALUE",
            Self::Formula { .. } => "FORMULA_ERROR",
            Self::Blank { .. } => "BLANK_VALUE",
            Self::BlankRow { .. } => "BLANK_ROW",
            Self::NotAvailable { .. } => "NOT_AVAILABLE",
            Self::TooLong { .. } => "VALUE_TOO_LONG",
            Self::BadId { .. } => "MALFORMED_RECORD_ID",
            Self::WrongType { .. } | Self::NumberForm { .. } | Self::NoTimeOfDay { .. } => "WRONG_TYPE",
            Self::SkippedTime { .. } => "SKIPPED_TIME",
            Self::NotInPicklist { .. } => "NOT_IN_PICKLIST",
            Self::RefusedBefore { .. } => "REFUSED_ROW",
            Self::TooManyToRemember { .. } => "DEDUPE_LIMIT",
        }
    }

    /// Codes of rows that could not be read: their cells are what could be made of them.
    pub(crate) const OF_READERS: [&str; 9] = [
        "RAGGED_ROW",
        "MALFORMED_QUOTE",
        "MALFORMED_JSON",
        "NOT_ONE_VALUE",
        "INVALID_ENCODING",
        "NUL_CHARACTER",
        "UNSTORABLE_VALUE",
        "UNREADABLE_CELL",
        "REFUSED_ROW",
    ];

    /// As a result file says it, in the manner of Salesforce's own errors.
    pub fn result_text(&self) -> String {
        match self {
            Self::RefusedBefore { text } => text.clone(),
            error => format!("{}: {error}", error.code()),
        }
    }
}

/// Counts of every row that was read. The same numbers as in an ImportRun's status; `balanced()` is checked at the end.
pub type Accounting = api::import_run::Rows;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_found_by_its_exact_name_before_its_trimmed_one() {
        let header = Header::new(["Name ", "Name", " Phone "]);
        assert_eq!(header.find("Name"), Ok(1));
        assert_eq!(header.find("Name "), Ok(0));
        assert_eq!(header.find("Phone"), Ok(2));
    }

    #[test]
    fn an_unknown_column_names_the_nearest_one() {
        let error = Header::new(["Email", "Phone", ""]).find("Emial").unwrap_err();
        assert_eq!(error.to_string(), "there is no column \"Emial\", did you mean \"Email\"?");
        assert_eq!(Header::new(["", ""]).find("").unwrap_err(), ColumnError::Unknown { name: String::new(), near: None });
    }

    #[test]
    fn what_the_eye_does_not_see_in_a_name_is_shown() {
        let header = Header::new(["last\u{A0}name", "\u{FEFF}Id\u{200B}", "\u{A0}"]);
        assert_eq!(
            header.find("last name").unwrap_err().to_string(),
            "there is no column \"last name\", did you mean \"last<U+00A0>name\"?"
        );
        // Around a name blanks are nothing.
        assert_eq!(header.find("Id"), Ok(1));
        assert_eq!(header.column(2), Column::Number(3));
    }

    #[test]
    fn a_header_that_was_not_cut_is_told_from_a_wrong_name() {
        let error = Header::new(["city:first_name: zip"]).find("zip").unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no column \"zip\", only \"city:first_name: zip\": if these are several, set the format's `delimiter`"
        );
        for (header, name) in [("first_name", "name"), ("city name", "city"), ("city:region", "cit")] {
            assert!(matches!(Header::new([header]).find(name), Err(ColumnError::Unknown { .. })), "{header}");
        }
    }

    #[test]
    fn a_repeated_column_is_refused_only_when_it_is_named() {
        let header = Header::new(["Id", "Mail", "Mail"]);
        assert_eq!(header.find("Id"), Ok(0));
        assert_eq!(
            header.find("Mail").unwrap_err().to_string(),
            "column \"Mail\" stands in the header twice, as number 2 and 3: rename one of them"
        );
    }

    #[test]
    fn a_batch_is_full_by_rows_by_text_and_by_cells_and_keeps_no_large_row() {
        let mut batch = Batch::new();
        let mut rows_until_full = |fill: &dyn Fn(&mut Row)| {
            batch.clear();
            assert!(batch.rows.iter().all(|row| size(&row.cells) <= Batch::LARGE));
            let mut rows = 0;
            while !batch.is_full() {
                rows += 1;
                batch.push(rows, fill);
            }
            rows
        };
        assert_eq!(rows_until_full(&|row| row.cells.push_field(b"x")), 1024);
        assert_eq!(rows_until_full(&|row| row.cells.push_field(&[b'x'; 400_000])), 3);
        assert_eq!(rows_until_full(&|row| (0..5000).for_each(|_| row.cells.push_field(b""))), 27);
        assert_eq!(rows_until_full(&|row| row.cells.push_field(b"x")), 1024);
    }

    #[test]
    fn a_batch_forgets_what_its_rows_were_before() {
        let mut batch = Batch::new();
        batch.push(1, |row| {
            row.cells.push_field(b"a");
            row.key.push_field(b"1");
            row.fault = Some(RowError::TooFewFields { at: Position::default(), missing: Column::Number(2) });
            row.refused.push('a');
        });
        batch.clear();
        assert!(batch.is_empty());
        batch.push(2, |row| row.cells.push_field(b"b"));
        let [row] = batch.rows() else { panic!("one row") };
        assert_eq!((row.number, &row.cells, row.key.len(), row.fault.is_none()), (2, &Record::from(vec!["b"]), 0, true));
        assert_eq!(row.refused, "");
    }
}
