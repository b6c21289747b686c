//! From rows in memory to a job that has them all and is still open. Nothing is committed here: a job that nobody closes does nothing.

use api::import_run::RunReason;
use salesforce::Class;
use salesforce::bulk::JobId;

use super::step::Step;
use super::{BulkState, Uploaded, Withdrawn};
use crate::load::context::Interrupted;
use crate::load::record::{Handle, OnRecord, Stage};
use crate::load::stop::Directive;

/// How often the same rows may start over because their job was spoiled.
const MAX_JOBS: u32 = 8;

/// No job yet. Next: make one. Harmless to repeat.
pub(super) struct Planned;

impl Planned {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        // Of a chunk without its rows only the numbers are left, and they say that nothing was committed.
        if step.load.directive() != Directive::Continue || step.chunk.rows.is_none() {
            return Ok(BulkState::abandoned());
        }
        if step.chunk.body.is_none() {
            return Ok(BulkState::undecided(None, "its rows cannot be read again"));
        }
        if step.jobs >= MAX_JOBS {
            let text = format!("the rows of chunk {} were refused with {MAX_JOBS} jobs, one after the other", step.chunk.number);
            step.load.stop_signal.stop(RunReason::TargetFailed, text);
            return Ok(BulkState::abandoned());
        }
        match step.load.unless_interrupted(step.bulk.create()).await? {
            Ok(job) => {
                step.jobs += 1;
                Ok(BulkState::Created(Created { job }))
            }
            Err(error) if matches!(error.class(), Class::SpoiledJob | Class::Rechunk) => {
                step.load.stop_signal.stop(RunReason::TargetFailed, format!("salesforce would not make a job: {error}"));
                Ok(BulkState::abandoned())
            }
            Err(error) => {
                step.trouble("make a job", &error).await?;
                Ok(BulkState::Planned(self))
            }
        }
    }
}

/// The job exists, but only we know. Next: put its id on record.
pub(super) struct Created {
    job: JobId,
}

impl Created {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        step.chunk.handle = Some(Handle::from(&self.job));
        let proof = step.load.write_ahead(step.chunk, Stage::Prepared).await?;
        Ok(BulkState::Registered(self.recorded(proof)))
    }

    fn recorded(self, _: OnRecord) -> Registered {
        Registered { job: self.job }
    }
}

/// The id is on record. Next: send the data, once.
pub(super) struct Registered {
    job: JobId,
}

impl Registered {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        if step.load.directive() != Directive::Continue {
            return Ok(self.withdraw());
        }
        let body = step.chunk.body.clone().unwrap_or_default();
        match step.load.unless_interrupted(step.bulk.upload(&self.job, &body)).await? {
            Ok(uploaded) if uploaded.bytes == step.chunk.bytes => {
                step.chunk.sha256 = Some(uploaded.sha256);
                Ok(BulkState::Sent(Sent { job: self.job }))
            }
            Ok(_) => Ok(self.withdraw()),
            Err(error) => {
                step.trouble("take the rows", &error).await?;
                Ok(self.withdraw())
            }
        }
    }

    /// Whatever went wrong: data sent a second time spoils a job, another job costs one call.
    fn withdraw(self) -> BulkState {
        BulkState::Withdrawn(Withdrawn { job: self.job, raced: false })
    }
}

/// The data arrived whole. Next: put that on record.
pub(super) struct Sent {
    job: JobId,
}

impl Sent {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        let proof = step.load.write_ahead(step.chunk, Stage::Committing).await?;
        Ok(BulkState::Uploaded(Uploaded::recorded(self.job, proof)))
    }
}
