//! Where rows come from, and how a file is read.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::after_success::AfterSuccess;
use super::excel::ExcelFormat;
use super::parquet::ParquetFormat;
use crate::meta::LocalRef;
use crate::schema::{self, PATH, TEXT, exactly_one, rule};
use crate::union::union;
use crate::zone::{UnknownZone, zone};

/// Where rows come from: exactly one of upload, sql and file is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(SourceKind::KEYS)]))]
pub struct Source {
    /// A file that a person uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upload: Option<UploadSource>,
    /// Rows of a database query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sql: Option<SqlSource>,
    /// A file where a Connection leads to, such as an object of a bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<FileSource>,
    /// IANA time zone of what has a date and a time and says no zone, e.g. `Europe/Berlin`: a field of date and time gets the instant, one of
    /// days the day there. Values that carry a zone, dates without a time and times without a date stay as they are. Absent: workbooks and
    /// databases are taken for UTC; of CSV, JSON and Parquet such values are sent as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// A file that a person uploaded, and how it is read.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadSource {
    /// Name of the Upload, in the same namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// How the file is read. Absent: CSV, a workbook of Excel or LibreOffice, JSON or Parquet, whichever it is, with everything detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    /// Which file of a ZIP archive is read: its name in there, folders included, where `*` stands for any characters. Absent: the archive
    /// has one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH))]
    pub member: Option<String>,
}

/// How a file is read: exactly one key is set.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [exactly_one(FormatKind::KEYS)]))]
pub struct Format {
    /// Comma-separated values (RFC 4180) and its relatives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    csv: Option<CsvFormat>,
    /// A workbook (.xlsx, .xlsm, .xlsb, .xls, .ods): one of its sheets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    excel: Option<ExcelFormat>,
    /// JSON (RFC 8259): an object a line (NDJSON), objects one after the other, or one array of objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    json: Option<JsonFormat>,
    /// Apache Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parquet: Option<ParquetFormat>,
}

/// How a CSV file is written, where that is not to be detected.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("!has(self.delimiter) || !has(self.quote) || self.delimiter != self.quote", "delimiter and quote must be two characters"),
    rule(
        "!has(self.comment) || (!has(self.delimiter) || self.comment != self.delimiter) && self.comment != (has(self.quote) ? self.quote : '\"')",
        "comment must be another character than delimiter and quote",
    ),
    rule(
        "!has(self.escape) || (!has(self.delimiter) || self.escape != self.delimiter) && (!has(self.comment) || self.escape != self.comment) && self.escape != (has(self.quote) ? self.quote : '\"')",
        "escape must be another character than delimiter, comment and quote; a quote that is written twice needs no escape",
    ),
    rule("!has(self.columns) || !has(self.headerRow)", "columns is for files without a header: leave out columns or headerRow"),
]))]
pub struct CsvFormat {
    /// One ASCII character between fields. Absent: detected among comma, semicolon, tab and bar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1))]
    pub delimiter: Option<String>,
    /// One ASCII character that makes the next one text: a quote, a delimiter, a line end or itself, inside and outside of quotes; before others
    /// it is text. `\` in files of MySQL and Hive. Absent: none, and quotes are written twice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), regex(pattern = MARK))]
    pub escape: Option<String>,
    /// One ASCII character: a line that begins with it is neither header nor row, unless it is within quotes. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1), regex(pattern = MARK))]
    pub comment: Option<String>,
    /// Number of the line at which the header begins, as an editor counts them. What stands before it is not read, whatever it is. Absent: 1,
    /// or the line behind `sep=`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub header_row: Option<u32>,
    /// Names of the columns of a file without a header, whose first line is a row. Absent: the header names them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 255), regex(pattern = TEXT)))]
    pub columns: Vec<String>,
    /// How many lines behind the header are not read; with `columns`, at the start of the file. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub skip_rows: Option<u32>,
    /// How many of the last rows are none, such as totals and notes. They are counted as `skipped`. Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub skip_footer_rows: Option<u32>,
    /// Character encoding by its WHATWG name, e.g. `windows-1252`, or `utf-32le`, `utf-32be`. Absent: the byte order mark decides; without
    /// one UTF-8, unless the first mebibyte is none: then it is detected, and a warning says what was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 40))]
    pub encoding: Option<String>,
    /// Words that stand in cells where there is nothing, such as `\N` or `NULL`: such a cell is blank, for filters and formulas too.
    /// Compared exactly, case included, without the blanks around them. Absent: no word is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 40), regex(pattern = TEXT)))]
    pub null_words: Vec<String>,
    /// What becomes of blanks around the value of a cell, quoted or not. Absent: `Keep`; keys, ids, numbers, dates, booleans and picklist values
    /// are sent without them anyway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blanks_around: Option<BlanksAround>,
    /// What quotes a field: `none` where quotes are text like any other, `"` or `'`. Absent: `"`, and a quoted field whose lines look like
    /// rows of their own is suspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Quote>,
}

/// How a JSON file is read. Each object is a row; the fields of an object within it are columns by their path, as in `address.city`.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JsonFormat {
    /// The columns, by name or path, in the order that result files have them; other fields are not read. Absent: the fields of the first
    /// mebibyte, in the order in which they come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000), inner(length(min = 1, max = 255), regex(pattern = TEXT)))]
    pub columns: Vec<String>,
}

/// What becomes of blanks around the value of a cell.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum BlanksAround {
    /// They are part of a text.
    #[default]
    Keep,
    /// They are left out as the cell is read, for steps, formulas and result files, too.
    Remove,
}

/// What quotes a field of a CSV file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Quote {
    /// Nothing: quotes are text like any other.
    #[serde(rename = "none")]
    None,
    /// `"`, as in RFC 4180.
    #[serde(rename = "\"")]
    Double,
    /// `'`.
    #[serde(rename = "'")]
    Single,
}

/// Rows of a query of a database.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    rule("has(self.query) != has(self.table)", "exactly one of query, table must be set"),
    rule("!has(self.watermark) || has(self.orderBy) && self.orderBy.size() > 0", "watermark needs orderBy: name the columns that identify each row"),
]))]
pub struct SqlSource {
    /// Connection to the database, in the same namespace.
    pub connection_ref: LocalRef,
    /// One SELECT statement, without a trailing semicolon. Absent: `table` is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 65536), regex(pattern = TEXT))]
    pub query: Option<String>,
    /// A table or view, all of its columns and rows: its name as the database has it, case included, behind that of its schema and a point where it
    /// is in another one than the user's, as in `sales.accounts`. For rows or columns that are to be left out, and for names with a point, write
    /// `query`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = TABLE))]
    pub table: Option<String>,
    /// Columns that order the rows and identify each one; with them a killed run goes on where it stopped. Absent: such a run stops with NeedsDecision.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)))]
    pub order_by: Vec<String>,
    /// Reads only rows that are new since the last successful run, by a column that grows. Absent: every run reads all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watermark: Option<Watermark>,
}

/// By what a run tells rows that no earlier one has read. The highest value that a successful run has read is kept encrypted; the next run
/// reads the rows beyond it. Another column or another `from` begins anew, as does another database.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Watermark {
    /// A column of the query that is never NULL and grows with every row that is new or changed: a time of change, a number that counts up.
    #[schemars(length(min = 1, max = 63))]
    pub column: String,
    /// The first run reads rows beyond this value, written as the database compares it with the column. Absent: it reads all rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = TEXT))]
    pub from: Option<String>,
}

/// A file where a Connection leads to, and how it is read.
#[derive(Clone, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    whole_path("path"),
    rule("!has(self.choose) || self.path.contains('*')", "choose needs a path with a *"),
    rule("!has(self.choose) || self.choose != 'All' || !has(self.unchanged)", "with choose: All each file is read once: leave unchanged out"),
]))]
pub struct FileSource {
    /// Connection to where the file is, in the same namespace.
    pub connection_ref: LocalRef,
    /// The name of one file, folders included: the key of an object. A `*` stands for any characters but a slash, and not for a dot at the
    /// beginning of a name; of the files that match, the one that was written last is read, and of those written in the same second the one
    /// whose name sorts last, unless `choose` says otherwise.
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH))]
    pub path: String,
    /// Which of the files that match a `path` with a `*` are read. Absent: `Newest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choose: Option<Choose>,
    /// How the file is read. Absent: CSV, a workbook of Excel or LibreOffice, JSON or Parquet, whichever it is, with everything detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
    /// Which file of a ZIP archive is read: its name in there, folders included, where `*` stands for any characters. Absent: the archive
    /// has one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = PATH))]
    pub member: Option<String>,
    /// What a run does with the file that the last successful run has read, if nobody changed it since. Absent: `Read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged: Option<Unchanged>,
    /// What becomes of the file at its server once a run has ended well with it. Absent: it stays where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_success: Option<AfterSuccess>,
}

/// A path that means the same to every server.
pub(super) fn whole_path(field: &str) -> Value {
    rule(
        &format!(
            "!self.{field}.startsWith('/') && !self.{field}.endsWith('/') && self.{field}.split('/').all(part, !(part in ['', '.', '..']))"
        ),
        &format!("{field} begins and ends without a slash, and has no part that is empty, . or .."),
    )
}

/// Which of several files that match are read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Choose {
    /// The one that was written last.
    Newest,
    /// Each once, in a run of its own, the oldest first. A file that is written anew is read again. While files are left, a run that ends
    /// well is followed by the next one at once; one that does not stops the row, and the next run begins with the same file.
    All,
}

/// What becomes of a file that was read before and is still the same.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[schemars(transform = schema::words)]
pub enum Unchanged {
    /// It is read once more.
    Read,
    /// The run ends with `NothingNew` and reads nothing.
    Skip,
}

/// Up to three names with a point between them.
const TABLE: &str = r"^[^.\x00-\x1f\x7f]+([.][^.\x00-\x1f\x7f]+){0,2}$";

/// One character of ASCII that shows.
const MARK: &str = "^[!-~]$";

union! {
    /// Where the rows of a job come from.
    pub enum SourceKind<'a> = Source::kind {
        /// A file that a person uploaded.
        "upload" upload => Upload(&'a UploadSource),
        /// Rows of a database query.
        "sql" sql => Sql(&'a SqlSource),
        /// A file where a Connection leads to.
        "file" file => File(&'a FileSource),
    }
}

union! {
    /// How a file is read.
    pub enum FormatKind<'a> = Format::kind {
        /// Comma-separated values and its relatives.
        "csv" csv => Csv(&'a CsvFormat),
        /// A sheet of a workbook.
        "excel" excel => Excel(&'a ExcelFormat),
        /// JSON.
        "json" json => Json(&'a JsonFormat),
        /// Parquet.
        "parquet" parquet => Parquet(&'a ParquetFormat),
    }
}

impl Source {
    /// The upload that is read, if one is.
    pub fn upload(&self) -> Option<&UploadSource> {
        match self.kind()? {
            SourceKind::Upload(upload) => Some(upload),
            SourceKind::Sql(_) | SourceKind::File(_) => None,
        }
    }

    /// The Connection that is read through, if one is.
    pub fn connection(&self) -> Option<&LocalRef> {
        match self.kind()? {
            SourceKind::Sql(query) => Some(&query.connection_ref),
            SourceKind::File(file) => Some(&file.connection_ref),
            SourceKind::Upload(_) => None,
        }
    }

    /// How the file is read, if one is: what the job says of it, and the field that says it.
    pub fn format(&self) -> Option<(Option<&Format>, &'static str)> {
        match self.kind()? {
            SourceKind::Upload(upload) => Some((upload.format.as_ref(), "source.upload.format")),
            SourceKind::File(file) => Some((file.format.as_ref(), "source.file.format")),
            SourceKind::Sql(_) => None,
        }
    }

    /// Which file of an archive is read, if the job says so.
    pub fn member(&self) -> Option<&str> {
        match self.kind()? {
            SourceKind::Upload(upload) => upload.member.as_deref(),
            SourceKind::File(file) => file.member.as_deref(),
            SourceKind::Sql(_) => None,
        }
    }

    /// What becomes of the file at its server, if the job says something.
    pub fn after_success(&self) -> Option<&AfterSuccess> {
        match self.kind()? {
            SourceKind::File(file) => file.after_success.as_ref(),
            SourceKind::Upload(_) | SourceKind::Sql(_) => None,
        }
    }

    /// The zone of times that say none, if the job names one.
    ///
    /// # Errors
    ///
    /// What it names is no zone.
    pub fn zone(&self) -> Result<Option<TimeZone>, UnknownZone> {
        self.time_zone.as_deref().map(zone).transpose()
    }

    /// Words that make a cell blank.
    pub fn null_words(&self) -> &[String] {
        match self.format().and_then(|(format, _)| format?.kind()) {
            Some(FormatKind::Csv(csv)) => &csv.null_words,
            // A cell that has nothing is empty.
            Some(FormatKind::Excel(_) | FormatKind::Json(_) | FormatKind::Parquet(_)) | None => &[],
        }
    }

    /// Leaves out the query, which is long.
    pub(super) fn forget_query(&mut self) {
        let Self { upload: _, sql, file: _, time_zone: _ } = self;
        if let Some(sql) = sql {
            sql.query = None;
        }
    }
}
