//! Jobs that are not used any more, and jobs of which an earlier attempt says no more than that it made them.

use salesforce::bulk::{JobId, JobState};

use super::step::{JobStatus, Step};
use super::{BulkState, Committed, Ended, InDoubt, Planned};
use crate::load::context::Interrupted;
use crate::load::stop::Directive;

/// Not to be used any more. Next: abort it.
pub(super) struct Withdrawn {
    pub(super) job: JobId,
    /// It may have been committed before the abort.
    pub(super) raced: bool,
}

impl Withdrawn {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        let directive = step.load.directive();
        match step.load.unless_interrupted(step.bulk.abort(&self.job)).await? {
            // It may yet be committed: look again.
            Err(error) if self.raced => {
                step.trouble("abort a job", &error).await?;
                Ok(BulkState::InDoubt(InDoubt::refused(self.job)))
            }
            _ => Ok(self.aborted(directive)),
        }
    }

    /// The abort was answered, or failed where that does not matter: a job that nobody closes does nothing.
    pub(super) fn aborted(self, directive: Directive) -> BulkState {
        match (self.raced, directive) {
            (true, _) => BulkState::Committed(Committed { job: self.job, certain: false }),
            (false, Directive::Continue) => BulkState::Planned(Planned),
            (false, _) => BulkState::abandoned(),
        }
    }
}

/// On record as made, without a word of its data. Next: look at it.
pub(super) struct Found {
    pub(super) job: JobId,
}

impl Found {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        Ok(match step.look(&self.job).await? {
            Some(status) => self.observed(status),
            None => BulkState::undecided(Some(&self.job), "its job could not be looked at"),
        })
    }

    pub(super) fn observed(self, status: JobStatus) -> BulkState {
        match status {
            JobStatus::NotFound => BulkState::Planned(Planned),
            JobStatus::Known(info) => match info.state {
                JobState::Open => BulkState::Withdrawn(Withdrawn { job: self.job, raced: false }),
                // Not by us, but rows may have been written: believe the job, not the record.
                JobState::UploadComplete | JobState::InProgress => BulkState::Committed(Committed { job: self.job, certain: true }),
                JobState::JobComplete | JobState::Failed | JobState::Aborted => BulkState::Ended(Ended { job: self.job, info }),
            },
        }
    }
}
