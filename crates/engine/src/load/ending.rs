//! How a load ended: all chunks are done, the result files are finished, and one reason and message say what came of it.

use api::import_run::{Rows, RunReason, Warning};

use super::context::LoadContext;
use super::ledger::FailedRow;
use super::resume::Reread;
use crate::results::{SinkError, WrittenResult};

/// How a load ended.
#[derive(Debug)]
pub struct Ending {
    /// Success, or why the run ended as it did.
    pub reason: RunReason,
    /// For a person; empty when there is nothing to add to the reason.
    pub message: String,
    /// Balanced, unless the run was interrupted.
    pub rows: Rows,
    /// The result files that were finished.
    pub results: Vec<WrittenResult>,
    /// The first failed rows, by row number.
    pub failed_rows: Vec<FailedRow>,
    /// Results that matched no row; listed in the files.
    pub unmatched: u64,
    /// What was sent although it looks like a mistake; the caller, who maps the rows, adds them.
    pub warnings: Vec<Warning>,
    /// What tells what was read from everything else; the caller, who opens it, adds it.
    pub origin: Vec<String>,
    /// The file that was read, where the job leaves open which one; the caller, who opens it, adds it.
    pub file: Option<String>,
    /// So many files wait for runs of their own; the caller adds it, too.
    pub files_left: u64,
    /// What was read up to, where the source knows; the caller, who reads it, adds it. Empty: nothing, or nobody knows.
    pub bookmark: Vec<String>,
    /// Another attempt has taken over: nothing may be reported.
    pub fenced: bool,
}

impl Ending {
    /// No chunk is under way any more.
    pub(crate) async fn of(context: LoadContext, reread: Reread) -> Self {
        let totals = context.ledger.totals();
        let stopped = context.stop_signal.reason();
        let interrupted = context.stop_signal.is_interrupted();
        let fenced = context.stop_signal.is_fenced();
        let mut results = Vec::new();
        // The next attempt reads such a source from its start and writes files of all rows.
        let from_start = reread == Reread::FromStart;
        let writes_files = !(fenced || interrupted && from_start);
        let mut lost = None;
        if let Some(files) = context.files.filter(|_| writes_files) {
            match files.into_inner().finish().await {
                Ok(written) => results = written,
                Err(error) => lost = Some(error),
            }
        }
        let (reason, mut message) = match stopped {
            Some(stopped) if interrupted => stopped,
            stopped => totals.conclude(stopped),
        };
        let unreported = match totals.unreported {
            0 => None,
            chunks => Some(format!("the results of {chunks} chunks that an earlier attempt finished are counted but not in the files")),
        };
        let undecided = (reason != RunReason::NeedsDecision && !totals.undecided.is_empty())
            .then(|| format!("look for these rows in the org before loading them again: {}", totals.undecided.join("; ")));
        let lost_text = lost.as_ref().map(ToString::to_string);
        for more in lost_text.into_iter().chain(unreported).chain(undecided) {
            message.push_str(if message.is_empty() { "" } else { "; " });
            message.push_str(&more);
        }
        let reason = match &lost {
            // The rows are accounted for; another attempt reads them and their results once more and writes the files.
            Some(SinkError::Unreachable(_)) if from_start && totals.undecided.is_empty() => RunReason::Interrupted,
            Some(SinkError::Full(_)) if reason.is_success() => RunReason::LimitExceeded,
            Some(_) if reason.is_success() => RunReason::Internal,
            _ => reason,
        };
        let fenced = fenced || matches!(lost, Some(SinkError::Fenced));
        let rows = context.ledger.progress().rows;
        let (failed_rows, unmatched) = (totals.failed_rows, totals.unmatched);
        Self {
            reason,
            message,
            rows,
            results,
            failed_rows,
            unmatched,
            warnings: Vec::new(),
            origin: Vec::new(),
            file: None,
            files_left: 0,
            bookmark: Vec::new(),
            fenced,
        }
    }
}
