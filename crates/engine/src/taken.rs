//! How a file's text and header were taken, for a person who is told that something is not in it.

use std::fmt;

use formula::Shown;

/// Who chose.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Choice {
    /// The job.
    Told,
    /// The file itself: a byte order mark, or Excel's `sep=`.
    Marked,
    /// Nobody: what the file holds shows it.
    Detected,
    /// Nobody: it is what most files have.
    Assumed,
}

/// What a file was read as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Taken {
    /// CSV.
    Csv(TakenCsv),
    /// A sheet of a workbook.
    Sheet {
        /// Its name, as its tab shows it.
        sheet: String,
        /// Number of the row that names the columns, as the sheet shows it.
        header_row: u32,
    },
    /// JSON.
    Json {
        /// How its objects stand in the file, in words.
        layout: &'static str,
        /// The job named the columns.
        told: bool,
    },
    /// Parquet.
    Parquet,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csv(taken) => write!(f, "{taken}"),
            Self::Sheet { sheet, header_row } => write!(f, "sheet {} with row {header_row} as its header", quoted(sheet, 60)),
            Self::Json { layout, .. } => write!(f, "read as {layout}"),
            Self::Parquet => f.write_str("read as Parquet"),
        }
    }
}

/// What a CSV file was read with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TakenCsv {
    /// The character between fields, an ASCII one.
    pub delimiter: u8,
    /// Who chose the delimiter.
    pub delimiter_by: Choice,
    /// The encoding's WHATWG name, such as `UTF-8`.
    pub encoding: &'static str,
    /// Who chose the encoding.
    pub encoding_by: Choice,
    /// The first field of the header stands in quotes.
    pub quoted: bool,
    /// The job named the columns.
    pub named: bool,
}

impl fmt::Display for TakenCsv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delimiter = match self.delimiter {
            b',' => "commas",
            b';' => "semicolons",
            b'\t' => "tabs",
            b'|' => "bars",
            other => return write!(f, "cut at {:?}{}, read as {}", char::from(other), by(self.delimiter_by), self.encoding()),
        };
        write!(f, "cut at {delimiter}{}, read as {}", by(self.delimiter_by), self.encoding())
    }
}

impl TakenCsv {
    fn encoding(&self) -> String {
        let by = match self.encoding_by {
            Choice::Told => " (`encoding` says so)",
            Choice::Marked => " (its byte order mark says so)",
            Choice::Detected => " (detected)",
            Choice::Assumed => "",
        };
        format!("{}{by}", self.encoding)
    }
}

fn by(delimiter: Choice) -> &'static str {
    match delimiter {
        Choice::Told => " (`delimiter` says so)",
        Choice::Marked => " (its first line says so)",
        Choice::Detected | Choice::Assumed => " (detected)",
    }
}

/// What to do about bytes that are no text in the file's encoding.
pub(crate) fn encoding_remedy(by: Choice) -> &'static str {
    match by {
        Choice::Assumed => "save the file as UTF-8 or set the format's `encoding`",
        Choice::Detected => "name the encoding that it has in the format's `encoding`, or save it as UTF-8",
        Choice::Told => "name the encoding that the file is in, or save it as UTF-8 and leave out `encoding`",
        Choice::Marked => "its byte order mark says so: save the file again as UTF-8",
    }
}

/// Names of columns as a message shows them: all of them, unless they are too many or too long.
pub(crate) fn names(names: &[String]) -> String {
    const MOST: usize = 50;
    const LONGEST: usize = 60;
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| quoted(name, LONGEST)).collect();
    if names.len() > MOST {
        shown.push(format!("and {} more", names.len() - MOST));
    }
    shown.join(", ")
}

/// A name in quotes, cut off where it gets long.
pub(crate) fn quoted(name: &str, longest: usize) -> String {
    match name.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", Shown(&name[..end])),
        None => Shown(name).to_string(),
    }
}
