//! The operator's part of a run's status.

use api::ImportRun;
use api::conditions::{Conditions, READY, RECONCILING, STALLED, SUCCEEDED};
use api::import_run::{ImportRunStatus, RunReason};
use jiff::Timestamp;

use super::Record;
use crate::finding::Finding;
use crate::labels;

/// The conditions of an ImportRun that the operator writes.
pub(super) const OWNED_CONDITIONS: &[&str] = &[READY, RECONCILING, STALLED, SUCCEEDED];

/// What the operator wrote last time.
pub fn owned_part(status: &ImportRunStatus) -> ImportRunStatus {
    let ImportRunStatus {
        observed_generation,
        conditions,
        snapshot_digest,
        attempts,
        placement,
        started_at,
        finished_at,
        rows: _,
        chunks: _,
        results: _,
        outcome: _,
        interruption: _,
    } = status;
    ImportRunStatus {
        observed_generation: *observed_generation,
        conditions: labels::owned(conditions, OWNED_CONDITIONS),
        snapshot_digest: snapshot_digest.clone(),
        attempts: attempts.clone(),
        placement: placement.clone(),
        started_at: started_at.clone(),
        finished_at: finished_at.clone(),
        ..Default::default()
    }
}

/// Of a run that goes on.
pub fn status(run: &ImportRun, record: Record, finding: &Finding, now: Timestamp) -> ImportRunStatus {
    let conditions = finding.mark(conditions(run, now)).build();
    ImportRunStatus { observed_generation: run.metadata.generation, conditions, ..record.status() }
}

/// Of a run that is over. Failed rows do not fail a run; the guard does.
pub fn finished(run: &ImportRun, record: Record, reason: RunReason, message: &str, now: Timestamp) -> ImportRunStatus {
    let word = reason.to_string();
    let conditions = conditions(run, now);
    let conditions = if reason.is_success() {
        conditions.with_true(SUCCEEDED, &word, message).ready(&word, message)
    } else {
        conditions.with_false(SUCCEEDED, &word, message).stalled(&word, message)
    };
    ImportRunStatus { observed_generation: run.metadata.generation, conditions: conditions.build(), ..record.finished(now).status() }
}

fn conditions(run: &ImportRun, now: Timestamp) -> Conditions {
    let previous = run.status.as_ref().map_or(&[][..], |s| &s.conditions);
    Conditions::from(previous, run.metadata.generation, now)
}
