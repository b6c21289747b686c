//! What all chunks of a run share, and the few things every step does with it: call unless interrupted, wait, put on record.

use std::sync::Arc;
use std::time::Duration;

use api::import_run::{Chunk, RunReason};
use csv::ByteRecord;
use salesforce::bulk::JobId;
use salesforce::{Class, Error};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::backoff::Backoff;
use super::bulk::Bulk;
use super::journal::{Journal, JournalError};
use super::ledger::Ledger;
use super::machine::{JobStatus, OnRecord};
use super::order::WriteOrder;
use super::stop::{Directive, StopSignal};
use crate::results::correlate::Fingerprinter;
use crate::results::{ResultFiles, SinkError};

/// How long Salesforce may be out of reach before a chunk that is not committed gives up. A committed one waits for the run's deadline.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long chunks may take to end once the run has to.
const ENDING_TIME: Duration = Duration::from_secs(60);

/// A refused session does not heal by waiting.
const MAX_REFUSALS: u32 = 3;

pub(crate) struct LoadContext {
    pub(crate) bulk: Arc<dyn Bulk>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) stop_signal: StopSignal,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) order: WriteOrder,
    /// Absent when no results are written.
    pub(crate) files: Option<Mutex<ResultFiles>>,
    /// Header of what is sent.
    pub(crate) columns: ByteRecord,
    pub(crate) fingerprinter: Fingerprinter,
    pub(crate) max_failed_percent: Option<i32>,
    pub(crate) api_budget_percent: u8,
    pub(crate) random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// The chunk is left as it is: an interruption, or a journal that cannot be written.
pub(crate) struct Interrupted;

/// Time and tries of one chunk.
pub(crate) struct RetryBudget {
    pub(crate) jobs: u32,
    pub(crate) readings: u32,
    refusals: u32,
    poll: Backoff,
    trouble: Backoff,
    trouble_since: Option<Instant>,
    ending_since: Option<Instant>,
}

impl RetryBudget {
    pub(crate) fn new() -> Self {
        Self {
            jobs: 0,
            readings: 0,
            refusals: 0,
            poll: Backoff::poll(),
            trouble: Backoff::trouble(),
            trouble_since: None,
            ending_since: None,
        }
    }

    /// Whether waiting any longer is out of the question.
    fn is_over(&mut self, directive: Directive) -> bool {
        directive == Directive::StopNow && self.ending_since.get_or_insert_with(Instant::now).elapsed() > ENDING_TIME
    }
}

impl LoadContext {
    /// Drops the step when the run is interrupted: whatever state that leaves, a restart can tell.
    pub(crate) async fn unless_interrupted<T>(&self, step: impl Future<Output = T>) -> Result<T, Interrupted> {
        tokio::select! {
            biased;
            () = self.stop_signal.interrupted() => Err(Interrupted),
            done = step => Ok(done),
        }
    }

    /// Puts a state on record. Never cut short: an interruption waits for it.
    pub(crate) async fn write(&self, chunk: Chunk, last_key: Option<&[String]>) -> Result<OnRecord, Interrupted> {
        match self.journal.write(&chunk, last_key).await {
            Ok(control) => {
                if control.cancel {
                    self.stop_signal.stop(RunReason::Cancelled, "the run was cancelled");
                }
                Ok(OnRecord(()))
            }
            Err(JournalError::Fenced) => {
                self.stop_signal.fence();
                Err(Interrupted)
            }
            Err(JournalError::Unreachable(why)) => {
                self.stop_signal.interrupt(format!("the keeper cannot be reached: {why}"));
                Err(Interrupted)
            }
        }
    }

    /// A sink that fails stops the run, but not the accounting.
    pub(crate) fn sink_failed(&self, error: SinkError) -> Result<(), Interrupted> {
        match error {
            SinkError::Fenced => self.stop_signal.fence(),
            SinkError::Unreachable(_) => self.stop_signal.interrupt(error.to_string()),
            SinkError::Full(_) => {
                self.stop_signal.stop(RunReason::LimitExceeded, error.to_string());
                return Ok(());
            }
            SinkError::Io(_) => {
                self.stop_signal.stop(RunReason::Internal, error.to_string());
                return Ok(());
            }
        }
        Err(Interrupted)
    }

    /// Looks at a job now. `None`: Salesforce does not say, and there is no more time to ask.
    pub(crate) async fn look(&self, job: &JobId, retries: &mut RetryBudget) -> Result<Option<JobStatus>, Interrupted> {
        loop {
            match self.unless_interrupted(self.bulk.job(job)).await? {
                Ok(info) => {
                    retries.trouble = Backoff::trouble();
                    return Ok(Some(JobStatus::Known(info)));
                }
                Err(error) if error.is_not_found() => return Ok(Some(JobStatus::NotFound)),
                Err(error) => {
                    self.note_refusal(&error);
                    retries.refusals += u32::from(!matches!(error.class(), Class::Transient | Class::Quota));
                    tracing::info!(%job, %error, "a job could not be looked at");
                    if retries.refusals >= MAX_REFUSALS || retries.is_over(self.stop_signal.directive()) {
                        return Ok(None);
                    }
                    self.rest(retries).await?;
                }
            }
        }
    }

    /// Looks at a job after the wait that is due.
    pub(crate) async fn poll(&self, job: &JobId, retries: &mut RetryBudget) -> Result<Option<JobStatus>, Interrupted> {
        if retries.is_over(self.stop_signal.directive()) {
            return Ok(None);
        }
        let wait = retries.poll.next((self.random)());
        self.unless_interrupted(async {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.stop_signal.must_end(), if self.stop_signal.directive() != Directive::StopNow => {}
            }
        })
        .await?;
        self.look(job, retries).await
    }

    /// A wait after something went wrong.
    pub(crate) async fn rest(&self, retries: &mut RetryBudget) -> Result<(), Interrupted> {
        self.unless_interrupted(sleep(retries.trouble.next((self.random)()))).await
    }

    /// What a failed step before the commit means for the run: it may pass, or the run stops.
    pub(crate) async fn trouble(&self, doing: &str, error: &Error, retries: &mut RetryBudget) -> Result<(), Interrupted> {
        tracing::info!(%error, doing, "a step of a chunk failed");
        let passing = match error.class() {
            Class::Transient | Class::Lock => retries.trouble_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE,
            // Of the job, not of the rows: another job may do.
            Class::SpoiledJob | Class::Rechunk => true,
            Class::Auth | Class::Quota => {
                self.note_refusal(error);
                return Ok(());
            }
            Class::Permanent | Class::Stop => false,
        };
        if !passing {
            self.stop_signal.stop(RunReason::TargetFailed, format!("salesforce would not {doing}: {error}"));
            return Ok(());
        }
        self.rest(retries).await
    }

    /// Stops the run for what concerns all of its chunks.
    pub(crate) fn note_refusal(&self, error: &Error) {
        match error.class() {
            Class::Quota => self.stop_signal.stop(RunReason::QuotaExceeded, format!("the org's allowance is used up: {error}")),
            Class::Auth => self.stop_signal.stop(RunReason::AuthorizationFailed, error.to_string()),
            Class::Stop => self.stop_signal.stop(RunReason::TargetFailed, error.to_string()),
            _ => {}
        }
    }

    /// Looked at after each chunk.
    pub(crate) fn check_guards(&self) {
        if self.ledger.totals().exceeds(self.max_failed_percent) {
            let percent = self.max_failed_percent.unwrap_or_default();
            self.stop_signal.stop(RunReason::TooManyFailedRows, format!("more than {percent} % of the rows failed"));
        }
        if let Some(usage) = self.bulk.usage().filter(|usage| usage.exceeds(self.api_budget_percent)) {
            let text = format!(
                "{} of the org's {} API calls of the day are used, more than the budget of {} %",
                usage.used, usage.max, self.api_budget_percent
            );
            self.stop_signal.stop(RunReason::QuotaExceeded, text);
        }
    }
}
