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

/// To standard error, with a line end. Where nobody hears us there is nobody to tell.
pub fn error_line(text: impl Display) {
    error_text(format_args!("{text}\n"));
}

/// To standard error as it is.
pub(crate) fn error_text(text: impl Display) {
    let _ = write!(io::stderr().lock(), "{text}");
}

/// Panics of this process say where, and not what: their words may quote a row or a secret, and logs are kept.
pub fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|fault| {
        let place = fault.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        error_line(format_args!("dataimporter: a fault of the program at {place}; please report it"));
    }));
}

/// `Connection refused (os error 111)` → `Connection refused`.
pub(crate) fn without_number(text: &str) -> String {
    match text.rsplit_once(" (os error ") {
        Some((words, number)) if number.trim_end_matches(')').parse::<u32>().is_ok() => words.to_owned(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    const CHILD: &str = "DATAIMPORTER_TEST_PANICS";

    /// Panics in a process of its own, because the hook is for the whole of one.
    fn said(how: &str) -> String {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "terminal::tests::a_panic_says_where_and_not_what", "--nocapture"]).env(CHILD, how);
        let output = child.output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }

    #[test]
    fn a_panic_says_where_and_not_what() {
        if let Ok(how) = std::env::var(CHILD) {
            if how == "quietly" {
                super::keep_panics_quiet();
            }
            let cell = "é canary";
            assert!(cell[1..].is_empty());
        }
        assert!(said("as usual").contains("canary"), "control: a panic quotes what it is about");
        let quiet = said("quietly");
        assert!(!quiet.contains("canary") && quiet.contains("src/terminal.rs:"), "{quiet}");
    }
}
