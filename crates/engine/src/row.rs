//! What travels through the engine: a header, rows in batches, and what can be wrong with one row. Knows neither files
//! nor Salesforce.

use csv::ByteRecord;

/// Names of the input columns, in input order. Names may repeat or be empty: such columns travel into the results but
/// cannot be named by a job.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Header {
    cells: ByteRecord,
    names: Vec<String>,
}

impl Header {
    pub fn new<N: Into<String>>(names: impl IntoIterator<Item = N>) -> Self {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        Self { cells: ByteRecord::from(names.clone()), names }
    }

    /// The names as the cells of a line; they are text.
    pub(crate) fn of(cells: &ByteRecord) -> Self {
        Self::new(cells.iter().map(String::from_utf8_lossy))
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The header as the first line of a result file.
    pub fn cells(&self) -> &ByteRecord {
        &self.cells
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The one column of that name: exact first, else not minding blanks around it.
    pub fn find(&self, name: &str) -> Result<usize, ColumnError> {
        let exact = self.positions(|column| column == name);
        let found = if exact.is_empty() { self.positions(|column| column.trim() == name.trim()) } else { exact };
        match found.as_slice() {
            [one] => Ok(*one),
            [] if self.is_one_column_with(name) => Err(ColumnError::NotCut { name: name.to_owned(), only: self.names[0].clone() }),
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
        only.split(|c: char| c.is_ascii_punctuation() && c != '_').any(|part| part.trim() == name.trim())
    }

    /// How the column at this place, counted from zero, is called.
    pub fn column(&self, at: usize) -> Column {
        self.names.get(at).filter(|name| !name.trim().is_empty()).map_or(Column::Number(at + 1), |name| Column::Name(name.clone()))
    }

    fn positions(&self, wanted: impl Fn(&str) -> bool) -> Vec<usize> {
        self.names.iter().enumerate().filter(|(_, column)| !column.trim().is_empty() && wanted(column)).map(|(at, _)| at).collect()
    }
}

/// A column as an error calls it: by its name, or by its place when it has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Column {
    Name(String),
    /// The first is 1.
    Number(usize),
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => write!(f, "{name:?}"),
            Self::Number(number) => write!(f, "number {number}"),
        }
    }
}

#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ColumnError {
    #[error("there is no column {name:?}{}", .near.as_ref().map(|near| format!(", did you mean {near:?}?")).unwrap_or_default())]
    Unknown { name: String, near: Option<String> },
    #[error("there is no column {name:?}, only {only:?}: if these are several, set the format's `delimiter`")]
    NotCut { name: String, only: String },
    #[error("column {name:?} stands in the header twice, as number {first} and {second}: rename one of them")]
    Repeated { name: String, first: usize, second: usize },
}

/// One input row.
#[derive(Clone, Default)]
pub struct Row {
    /// 1 for the first row behind the header.
    pub number: u64,
    /// As many cells as the header has columns, in UTF-8.
    pub cells: ByteRecord,
    /// The `orderBy` values as the database writes them; empty for sources without them.
    pub key: ByteRecord,
    /// An earlier attempt has dealt with it: it is here only for a pipeline that remembers rows.
    pub seen: bool,
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

    pub fn new() -> Self {
        Self::default()
    }

    pub fn rows(&self) -> &[Row] {
        &self.rows[..self.filled]
    }

    pub fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub fn is_full(&self) -> bool {
        self.filled >= Self::MAX_ROWS || self.bytes >= Self::MAX_BYTES
    }

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
        row.fault = None;
        row.refused.clear();
        fill(row);
        self.filled += 1;
        self.bytes += size(&row.cells) + row.refused.len();
    }
}

/// Many empty cells take memory too.
fn size(cells: &ByteRecord) -> usize {
    cells.as_slice().len() + cells.len() * size_of::<usize>()
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
pub enum RowError {
    #[error("{at}: no field for column {missing}; write a delimiter for every field, also an empty one")]
    TooFewFields { at: Position, missing: Column },
    #[error("{at}: {found} fields, one or more behind the last column {last}; put text with a delimiter in quotes")]
    TooManyFields { at: Position, found: usize, last: Column },
    #[error("{at}: column {column} has text behind its closing quote; write a quote inside quoted text twice")]
    TextBehindQuote { at: Position, column: Column },
    #[error("{at}: column {column} has blanks before its opening quote; remove them")]
    BlankBeforeQuote { at: Position, column: Column },
    #[error("{at}: column {column} is not valid {encoding}; save the file as UTF-8 or set the format's `encoding`")]
    NotText { at: Position, column: Column, encoding: &'static str },
    #[error("{at}: column {column} contains a NUL character, which Salesforce cannot store; remove it")]
    Nul { at: Position, column: Column },
    #[error("row {row}: column {column:?} holds a value that is {value}, which Salesforce cannot store")]
    NoSuchValue { row: u64, column: String, value: String },
    #[error("{place}: {source}")]
    Formula { place: String, source: formula::EvalError },
    #[error("{field} is blank and must not be{}", .hint)]
    Blank { field: String, hint: &'static str },
    #[error("every mapped cell is blank ({fields}), so that nothing would be sent; fill one of them, or leave such rows out with a filter")]
    BlankRow { fields: String },
    #[error("{field} would get \"#N/A\", which empties a field in Salesforce; set `blankCells: Clear` for it or clean the input")]
    NotAvailable { field: String },
    #[error("{field} takes {limit} characters, this has {found}")]
    TooLong { field: String, limit: u32, found: usize },
    #[error("{field} is not a Salesforce id: {why}")]
    BadId { field: String, why: &'static str },
    /// As an earlier run told it.
    #[error("{told}")]
    RefusedBefore { told: String },
    #[error("more than {limit} different rows: `dedupe` cannot remember them all; remove repetitions in the source")]
    TooManyToRemember { limit: usize },
}

impl RowError {
    /// A fixed word for counting and for the result file.
    pub fn code(&self) -> &'static str {
        match self {
            Self::TooFewFields { .. } | Self::TooManyFields { .. } => "RAGGED_ROW",
            Self::TextBehindQuote { .. } | Self::BlankBeforeQuote { .. } => "MALFORMED_QUOTE",
            Self::NotText { .. } => "INVALID_ENCODING",
            Self::Nul { .. } => "NUL_CHARACTER",
            Self::NoSuchValue { .. } => "UNSTORABLE_VALUE",
            Self::Formula { .. } => "FORMULA_ERROR",
            Self::Blank { .. } => "BLANK_VALUE",
            Self::BlankRow { .. } => "BLANK_ROW",
            Self::NotAvailable { .. } => "NOT_AVAILABLE",
            Self::TooLong { .. } => "VALUE_TOO_LONG",
            Self::BadId { .. } => "MALFORMED_RECORD_ID",
            Self::RefusedBefore { .. } => "REFUSED_ROW",
            Self::TooManyToRemember { .. } => "DEDUPE_LIMIT",
        }
    }

    /// As a result file says it, in the manner of Salesforce's own errors.
    pub fn told(&self) -> String {
        match self {
            Self::RefusedBefore { told } => told.clone(),
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
        assert_eq!((row.number, &row.cells, row.key.len(), row.fault.is_none()), (2, &ByteRecord::from(vec!["b"]), 0, true));
        assert_eq!(row.refused, "");
    }
}
