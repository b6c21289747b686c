//! What every state is handed, and the two ways to look at a job.

use salesforce::Error;
use salesforce::bulk::{JobId, JobInfo};
use tokio::time::sleep;

use super::calls::Bulk;
use crate::load::context::{Interrupted, LoadContext};
use crate::load::retries::RetryBudget;
use crate::load::stop::Directive;
use crate::load::task::ChunkTask;

/// The chunk, the run it belongs to, and what was tried so far.
pub(super) struct Step<'a> {
    pub(super) bulk: &'a dyn Bulk,
    pub(super) chunk: &'a mut ChunkTask,
    pub(super) load: &'a LoadContext,
    /// Jobs that were made for these rows.
    pub(super) jobs: u32,
    /// How often the results could not be read.
    pub(super) readings: u32,
    retries: RetryBudget,
}

/// What is known of a job now.
#[expect(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub(super) enum JobStatus {
    Known(JobInfo),
    /// Salesforce does not know this id (any more).
    NotFound,
}

impl<'a> Step<'a> {
    pub(super) fn new(bulk: &'a dyn Bulk, chunk: &'a mut ChunkTask, load: &'a LoadContext) -> Self {
        Self { bulk, chunk, load, jobs: 0, readings: 0, retries: RetryBudget::new() }
    }

    /// Looks at a job now. `None`: Salesforce does not say, and there is no more time to ask.
    pub(super) async fn look(&mut self, job: &JobId) -> Result<Option<JobStatus>, Interrupted> {
        loop {
            match self.load.unless_interrupted(self.bulk.job(job)).await? {
                Ok(info) => {
                    self.retries.answered();
                    return Ok(Some(JobStatus::Known(info)));
                }
                Err(error) if error.is_not_found() => return Ok(Some(JobStatus::NotFound)),
                Err(error) => {
                    self.load.note_refusal(&error);
                    tracing::info!(%job, %error, "a job could not be looked at");
                    if self.retries.is_refused(&error) || self.retries.is_over(self.load.directive()) {
                        return Ok(None);
                    }
                    self.pause().await?;
                }
            }
        }
    }

    /// Looks at a job after the wait that is due.
    pub(super) async fn poll(&mut self, job: &JobId) -> Result<Option<JobStatus>, Interrupted> {
        let load = self.load;
        if self.retries.is_over(load.directive()) {
            return Ok(None);
        }
        let wait = self.retries.next_look((load.random)());
        load.unless_interrupted(async {
            tokio::select! {
                () = sleep(wait) => {}
                () = load.stop_signal.must_end(), if load.directive() != Directive::StopNow => {}
            }
        })
        .await?;
        self.look(job).await
    }

    /// A wait after something went wrong.
    pub(super) async fn pause(&mut self) -> Result<(), Interrupted> {
        self.load.pause(&mut self.retries).await
    }

    /// What a failed step before the commit means for the run: it may pass, or the run stops.
    pub(super) async fn trouble(&mut self, doing: &str, error: &Error) -> Result<(), Interrupted> {
        self.load.trouble(doing, error, &mut self.retries).await
    }
}
