//! What a person or a program reads of us. A reader that has gone away (`… | head`) wants no more of it: that is no failure, and no reason to
//! panic, which `println!` and `eprintln!` do.

use std::fmt::Display;
use std::io::{self, Write};

use anyhow::Context as _;

/// To standard output, with a line end.
pub(crate) fn print(text: impl Display) -> anyhow::Result<()> {
    write(format_args!("{text}\n"))
}

/// To standard output as it is.
pub(crate) fn write(text: impl Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    read_by_somebody(write!(out, "{text}").and_then(|()| out.flush())).context("standard output cannot be written")
}

/// A closed pipe is as good as one that was read.
pub(crate) fn read_by_somebody(written: io::Result<()>) -> io::Result<()> {
    written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
}

/// To standard error, with a line end. Where nobody hears us there is nobody to error_line.
pub fn error_line(text: impl Display) {
    error_text(format_args!("{text}\n"));
}

/// To standard error as it is.
pub(crate) fn error_text(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// `Connection refused (os error 111)` → `Connection refused`.
pub(crate) fn without_number(text: &str) -> String {
    match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.trim_end_matches(')').parse::<u32>().is_ok() => words.to_owned(),
        _ => text.to_owned(),
    }
}
