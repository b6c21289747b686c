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
use super::brake::Brake;
use super::bulk::Bulk;
use super::journal::{Journal, JournalError};
use super::ledger::Ledger;
use super::machine::{OnRecord, Sight, Will};
use super::order::Order;
use crate::results::correlate::Fingerprints;
use crate::results::{ResultFiles, SinkError};

/// How long Salesforce may be out of reach before a chunk that is not committed gives up. A committed one waits for the run's deadline.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long chunks may take to end once the run has to.
const LAST_WORDS: Duration = Duration::from_secs(60);

/// A refused session does not heal by waiting.
const MAX_REFUSALS: u32 = 3;

pub(crate) struct Context {
    pub(crate) bulk: Arc<dyn Bulk>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) brake: Brake,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) order: Order,
    /// Absent when no results are written.
    pub(crate) files: Option<Mutex<ResultFiles>>,
    /// Header of what is sent.
    pub(crate) columns: ByteRecord,
    pub(crate) prints: Fingerprints,
    pub(crate) max_failed_percent: Option<i32>,
    pub(crate) api_budget_percent: u8,
    pub(crate) random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// The chunk is left as it is: an interruption, or a journal that cannot be written.
pub(crate) struct Left;

/// Time and tries of one chunk.
pub(crate) struct Pace {
    pub(crate) jobs: u32,
    pub(crate) readings: u32,
    refusals: u32,
    poll: Backoff,
    trouble: Backoff,
    trouble_since: Option<Instant>,
    ending_since: Option<Instant>,
}

impl Pace {
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
    fn is_over(&mut self, will: Will) -> bool {
        will == Will::StopNow && self.ending_since.get_or_insert_with(Instant::now).elapsed() > LAST_WORDS
    }
}

impl Context {
    /// Drops the step when the run is interrupted: whatever state that leaves, a restart can tell.
    pub(crate) async fn unless_interrupted<T>(&self, step: impl Future<Output = T>) -> Result<T, Left> {
        tokio::select! {
            biased;
            () = self.brake.interrupted() => Err(Left),
            done = step => Ok(done),
        }
    }

    /// Puts a state on record. Never cut short: an interruption waits for it.
    pub(crate) async fn write(&self, chunk: Chunk, last_key: Option<&[String]>) -> Result<OnRecord, Left> {
        match self.journal.write(&chunk, last_key).await {
            Ok(control) => {
                if control.cancel {
                    self.brake.stop(RunReason::Cancelled, "the run was cancelled");
                }
                Ok(OnRecord(()))
            }
            Err(JournalError::Fenced) => {
                self.brake.fence();
                Err(Left)
            }
            Err(JournalError::Unreachable(why)) => {
                self.brake.interrupt(format!("the keeper cannot be reached: {why}"));
                Err(Left)
            }
        }
    }

    /// A sink that fails stops the run, but not the accounting.
    pub(crate) fn sink_failed(&self, error: SinkError) -> Result<(), Left> {
        match error {
            SinkError::Fenced => self.brake.fence(),
            SinkError::Unreachable(_) => self.brake.interrupt(error.to_string()),
            SinkError::Full(_) => {
                self.brake.stop(RunReason::LimitExceeded, error.to_string());
                return Ok(());
            }
            SinkError::Io(_) => {
                self.brake.stop(RunReason::Internal, error.to_string());
                return Ok(());
            }
        }
        Err(Left)
    }

    /// Looks at a job now. `None`: it cannot be told, and there is no more time to ask.
    pub(crate) async fn look(&self, job: &JobId, pace: &mut Pace) -> Result<Option<Sight>, Left> {
        loop {
            match self.unless_interrupted(self.bulk.job(job)).await? {
                Ok(info) => {
                    pace.trouble = Backoff::trouble();
                    return Ok(Some(Sight::Job(info)));
                }
                Err(error) if error.is_not_found() => return Ok(Some(Sight::Gone)),
                Err(error) => {
                    self.note_refusal(&error);
                    pace.refusals += u32::from(!matches!(error.class(), Class::Transient | Class::Quota));
                    tracing::info!(%job, %error, "a job could not be looked at");
                    if pace.refusals >= MAX_REFUSALS || pace.is_over(self.brake.will()) {
                        return Ok(None);
                    }
                    self.rest(pace).await?;
                }
            }
        }
    }

    /// Looks at a job after the wait that is due.
    pub(crate) async fn poll(&self, job: &JobId, pace: &mut Pace) -> Result<Option<Sight>, Left> {
        if pace.is_over(self.brake.will()) {
            return Ok(None);
        }
        let wait = pace.poll.next((self.random)());
        self.unless_interrupted(async {
            tokio::select! {
                () = sleep(wait) => {}
                () = self.brake.must_end(), if self.brake.will() != Will::StopNow => {}
            }
        })
        .await?;
        self.look(job, pace).await
    }

    /// A wait after something went wrong.
    pub(crate) async fn rest(&self, pace: &mut Pace) -> Result<(), Left> {
        self.unless_interrupted(sleep(pace.trouble.next((self.random)()))).await
    }

    /// What a failed step before the commit means for the run: it may pass, or the run stops.
    pub(crate) async fn trouble(&self, doing: &str, error: &Error, pace: &mut Pace) -> Result<(), Left> {
        tracing::info!(%error, doing, "a step of a chunk failed");
        let passing = match error.class() {
            Class::Transient | Class::Lock => pace.trouble_since.get_or_insert_with(Instant::now).elapsed() < PATIENCE,
            // Of the job, not of the rows: another job may do.
            Class::SpoiledJob | Class::Rechunk => true,
            Class::Auth | Class::Quota => {
                self.note_refusal(error);
                return Ok(());
            }
            Class::Permanent | Class::Stop => false,
        };
        if !passing {
            self.brake.stop(RunReason::TargetFailed, format!("salesforce would not {doing}: {error}"));
            return Ok(());
        }
        self.rest(pace).await
    }

    /// Stops the run for what concerns all of its chunks.
    pub(crate) fn note_refusal(&self, error: &Error) {
        match error.class() {
            Class::Quota => self.brake.stop(RunReason::QuotaExceeded, format!("the org's allowance is used up: {error}")),
            Class::Auth => self.brake.stop(RunReason::AuthorizationFailed, error.to_string()),
            Class::Stop => self.brake.stop(RunReason::TargetFailed, error.to_string()),
            _ => {}
        }
    }

    /// Looked at after each chunk.
    pub(crate) fn check_guards(&self) {
        if self.ledger.books().exceeds(self.max_failed_percent) {
            let percent = self.max_failed_percent.unwrap_or_default();
            self.brake.stop(RunReason::TooManyFailedRows, format!("more than {percent} % of the rows failed"));
        }
        if let Some(usage) = self.bulk.usage().filter(|usage| usage.exceeds(self.api_budget_percent)) {
            let text = format!(
                "{} of the org's {} API calls of the day are used, more than the budget of {} %",
                usage.used, usage.max, self.api_budget_percent
            );
            self.brake.stop(RunReason::QuotaExceeded, text);
        }
    }
}
