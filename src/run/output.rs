//! What a person or a program sees of a run: progress on standard error, the summary on standard output.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use api::import_run::{Rows, Warning};
use engine::load::{Ending, Ledger};
use serde::Serialize;

use crate::output::{Output, grouped, rows};
use crate::terminal;

/// A line on a terminal is rewritten; elsewhere lines add up, so they come rarely.
const ON_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// Tells how far the run is until its books are closed.
pub(super) fn show_progress(ledger: Arc<Ledger>) {
    let ledger = Arc::downgrade(&ledger);
    let began = Instant::now();
    tokio::spawn(async move {
        let terminal = std::io::stderr().is_terminal();
        loop {
            tokio::time::sleep(if terminal { ON_TERMINAL } else { ELSEWHERE }).await;
            let Some(ledger) = ledger.upgrade() else { return };
            let progress = ledger.progress();
            let text = format!("{} · {} of {} chunks", rows(&progress.rows), progress.chunks_done, progress.chunks);
            if terminal {
                terminal::error_text(format_args!("\r\x1b[K{text} · {} s", began.elapsed().as_secs()));
            } else {
                terminal::error_line(text);
            }
        }
    });
}

pub(super) fn finish_progress() {
    if std::io::stderr().is_terminal() {
        terminal::error_text("\r\x1b[K");
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary<'a> {
    reason: String,
    message: &'a str,
    rows: Rows,
    failed_rows: Vec<FailedRow<'a>>,
    results: Vec<File<'a>>,
    /// Results that matched no row of the input; the files list them.
    unmatched: u64,
    /// What was sent although it looks like a mistake.
    warnings: &'a [Warning],
    /// Which file was read, where the path of the job has a `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a str>,
    /// So many files that match were left.
    #[serde(skip_serializing_if = "is_none_left")]
    files_left: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_none_left(files: &u64) -> bool {
    *files == 0
}

#[derive(Serialize)]
struct FailedRow<'a> {
    row: i64,
    reason: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a str,
    rows: u64,
    bytes: u64,
}

pub(super) fn print(output: Output, ending: &Ending) -> anyhow::Result<()> {
    let text = match output {
        Output::Json => serde_json::to_string_pretty(&summary(ending))? + "\n",
        Output::Text => text(ending),
    };
    terminal::write(text)
}

fn summary(ending: &Ending) -> Summary<'_> {
    Summary {
        reason: ending.reason.to_string(),
        message: &ending.message,
        rows: ending.rows,
        failed_rows: ending.failed_rows.iter().map(|row| FailedRow { row: row.row, reason: &row.reason }).collect(),
        results: ending.results.iter().map(|file| File { path: &file.location, rows: file.rows, bytes: file.bytes }).collect(),
        unmatched: ending.unmatched,
        warnings: &ending.warnings,
        file: ending.file.as_deref(),
        files_left: ending.files_left,
    }
}

fn text(ending: &Ending) -> String {
    let mut text = format!("{}\n", ending.reason);
    if !ending.message.is_empty() {
        let _ = writeln!(text, "{}", ending.message);
    }
    if let Some(file) = &ending.file {
        let left = if ending.files_left > 0 { format!(" ({} more wait)", ending.files_left) } else { String::new() };
        let _ = writeln!(text, "read from {file}{left}");
    }
    let _ = writeln!(text, "{}", rows(&ending.rows));
    if !ending.failed_rows.is_empty() {
        text.push_str("\nThe first failed rows\n");
        for failed in &ending.failed_rows {
            let _ = writeln!(text, "  row {}: {}", grouped(failed.row), failed.reason);
        }
    }
    if !ending.warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for warning in &ending.warnings {
            let _ = writeln!(text, "  {warning}");
        }
    }
    if ending.unmatched > 0 {
        let _ = writeln!(text, "\n{} results match no row of the input: the files list them", ending.unmatched);
    }
    if !ending.results.is_empty() {
        text.push_str("\nResults\n");
        for file in &ending.results {
            let _ = writeln!(text, "  {} ({} rows)", file.location, grouped(i64::try_from(file.rows).unwrap_or(i64::MAX)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::import_run::RunReason;
    use engine::results::{FileKind, WrittenResult};

    fn ending() -> Ending {
        Ending {
            origin: Vec::new(),
            reason: RunReason::CompletedWithFailedRows,
            message: String::new(),
            rows: Rows { read: 1_002, filtered: 1, succeeded: 1_000, failed: 1, ..Rows::default() },
            results: vec![WrittenResult { kind: FileKind::Failed, location: "r/failed.csv".into(), rows: 1, bytes: 40 }],
            failed_rows: vec![engine::load::FailedRow { row: 7, reason: "TOO_LONG: Name".into() }],
            unmatched: 0,
            warnings: vec![Warning { field: "Industry".into(), what: "odd".into(), rows: 3, first_row: 5 }],
            file: Some("in/a-3.csv".into()),
            files_left: 2,
            bookmark: Vec::new(),
            fenced: false,
        }
    }

    #[test]
    fn a_person_reads_the_accounting_the_reasons_and_where_the_results_are() {
        let expected = "CompletedWithFailedRows\nread from in/a-3.csv (2 more wait)\n1,002 read · 1 filtered · 1,000 succeeded · 1 failed\n\n\
                        The first failed rows\n  row 7: TOO_LONG: Name\n\nWarnings\n  Industry: odd (3 rows, the first is row 5)\n\nResults\n  r/failed.csv (1 rows)\n";
        assert_eq!(text(&ending()), expected);
    }

    #[test]
    fn a_program_reads_the_same_as_json() {
        let json = serde_json::to_value(summary(&ending())).unwrap();
        assert_eq!(json["reason"], "CompletedWithFailedRows");
        assert_eq!(json["rows"]["succeeded"], 1_000);
        assert_eq!((&json["file"], &json["filesLeft"]), (&"in/a-3.csv".into(), &2.into()));
        assert_eq!(json["failedRows"][0]["row"], 7);
        assert_eq!(json["results"][0]["path"], "r/failed.csv");
        assert_eq!(json["warnings"], serde_json::json!([{"field": "Industry", "what": "odd", "rows": 3, "firstRow": 5}]));
    }
}
