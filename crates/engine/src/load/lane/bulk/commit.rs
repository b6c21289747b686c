//! The commit of a job, and what to make of it when the answer is lost.

use salesforce::bulk::{JobId, JobState};
use salesforce::{Class, Delivery};

use super::step::{JobStatus, Step};
use super::{BulkState, Ended, Withdrawn};
use crate::load::context::Interrupted;
use crate::load::record::OnRecord;
use crate::load::stop::Directive;

/// On record as whole. Next: close the job, which commits it.
pub(super) struct Uploaded {
    job: JobId,
}

impl Uploaded {
    /// A job is closed only when the record says that its data is whole.
    pub(super) fn recorded(job: JobId, _: OnRecord) -> Self {
        Self { job }
    }

    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        if step.load.directive() != Directive::Continue {
            return Ok(BulkState::Withdrawn(Withdrawn { job: self.job, raced: false }));
        }
        Ok(match step.load.unless_interrupted(step.bulk.close(&self.job)).await? {
            Ok(()) => BulkState::Committed(Committed { job: self.job, certain: true }),
            Err(error) if error.delivery() == Delivery::Answered && error.class() != Class::Transient => {
                step.load.note_refusal(&error);
                BulkState::InDoubt(InDoubt::refused(self.job))
            }
            Err(_) => BulkState::InDoubt(InDoubt::answer_lost(self.job)),
        })
    }
}

/// The job may or may not be committed, and the record says that its data is whole. Next: look at it.
pub(super) struct InDoubt {
    job: JobId,
    refused: bool,
}

impl InDoubt {
    /// Salesforce answered that it will not close the job.
    pub(super) fn refused(job: JobId) -> Self {
        Self { job, refused: true }
    }

    pub(super) fn answer_lost(job: JobId) -> Self {
        Self { job, refused: false }
    }

    /// An earlier attempt has put on record that the data is whole; whether it came to close the job is not known.
    pub(super) fn after_a_restart(job: JobId) -> Self {
        Self { job, refused: false }
    }

    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        let directive = step.load.directive();
        Ok(match step.look(&self.job).await? {
            Some(status) => self.observed(status, directive),
            None => BulkState::undecided(Some(&self.job), "its job could not be looked at"),
        })
    }

    pub(super) fn observed(self, status: JobStatus, directive: Directive) -> BulkState {
        let JobStatus::Known(info) = status else {
            return BulkState::undecided(Some(&self.job), "salesforce does not know the job any more");
        };
        match info.state {
            // The same job again: it can be committed only once, however many closings are under way.
            JobState::Open if !self.refused && directive == Directive::Continue => BulkState::Uploaded(Uploaded { job: self.job }),
            JobState::Open => BulkState::Withdrawn(Withdrawn { job: self.job, raced: true }),
            JobState::UploadComplete | JobState::InProgress => BulkState::Committed(Committed { job: self.job, certain: true }),
            JobState::JobComplete | JobState::Failed | JobState::Aborted => BulkState::Ended(Ended { job: self.job, info }),
        }
    }
}

/// Salesforce processes it, or it was withdrawn too late to be sure that it does not. Next: look at it until it is over.
pub(super) struct Committed {
    pub(super) job: JobId,
    /// The commit is known to have happened.
    pub(super) certain: bool,
}

impl Committed {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        let directive = step.load.directive();
        if self.certain && !step.chunk.was_handed_over() {
            // Whatever comes, these rows are not sent as a whole again.
            step.chunk.body = None;
        }
        Ok(match step.poll(&self.job).await? {
            Some(status) => self.observed(status, directive),
            None => BulkState::undecided(Some(&self.job), "its job did not end before the run had to"),
        })
    }

    pub(super) fn observed(self, status: JobStatus, directive: Directive) -> BulkState {
        match status {
            JobStatus::NotFound => BulkState::undecided(Some(&self.job), "salesforce does not know the job any more"),
            JobStatus::Known(info) if info.state.is_terminal() => BulkState::Ended(Ended { job: self.job, info }),
            JobStatus::Known(_) if directive == Directive::StopNow => BulkState::Withdrawn(Withdrawn { job: self.job, raced: true }),
            // Open is an answer from before the commit.
            JobStatus::Known(_) => BulkState::Committed(self),
        }
    }
}
