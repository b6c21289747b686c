//! What all chunks of a run share, and the few things every step does with it: call unless interrupted, wait, put on record.

use std::sync::Arc;

use crate::row::Record;
use api::import_run::RunReason;
use salesforce::{Class, Error};
use tokio::sync::Mutex;
use tokio::time::sleep;

use super::journal::Journal;
use super::lane::Lane;
use super::ledger::Ledger;
use super::order::WriteOrder;
use super::retries::RetryBudget;
use super::stop::{Directive, StopSignal};
use crate::results::correlate::Fingerprinter;
use crate::results::{ResultFiles, SinkError};

/// What all chunks of a run share.
pub struct LoadContext {
    pub(crate) lane: Arc<dyn Lane>,
    pub(crate) journal: Arc<dyn Journal>,
    pub(crate) stop_signal: StopSignal,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) order: WriteOrder,
    /// Absent when no results are written.
    pub(crate) files: Option<Mutex<ResultFiles>>,
    /// Header of what is sent.
    pub(crate) columns: Record,
    pub(crate) fingerprinter: Fingerprinter,
    pub(crate) max_failed_percent: Option<i32>,
    pub(crate) api_budget_percent: u8,
    pub(crate) random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

/// The chunk is left as it is: an interruption, or a journal that cannot be written.
pub struct Interrupted;

impl LoadContext {
    pub(crate) fn directive(&self) -> Directive {
        self.stop_signal.directive()
    }

    /// Drops the step when the run is interrupted: whatever state that leaves, a restart can tell.
    pub(crate) async fn unless_interrupted<T>(&self, step: impl Future<Output = T>) -> Result<T, Interrupted> {
        tokio::select! {
            biased;
            () = self.stop_signal.interrupted() => Err(Interrupted),
            done = step => Ok(done),
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

    /// A wait after something went wrong.
    pub(crate) async fn pause(&self, retries: &mut RetryBudget) -> Result<(), Interrupted> {
        self.unless_interrupted(sleep(retries.next_try((self.random)()))).await
    }

    /// What a failed step before the commit means for the run: it may pass, or the run stops.
    pub(crate) async fn trouble(&self, doing: &str, error: &Error, retries: &mut RetryBudget) -> Result<(), Interrupted> {
        tracing::info!(%error, doing, "a step of a chunk failed");
        let passing = match error.class() {
            Class::Transient | Class::Lock => retries.is_patient(),
            // Of what the rows were sent with, not of the rows: another job or a smaller one may do.
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
        self.pause(retries).await
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
        if let Some(usage) = self.lane.usage().filter(|usage| usage.exceeds(self.api_budget_percent)) {
            let text = format!(
                "{} of the org's {} API calls of the day are used, more than the budget of {} %",
                usage.used, usage.max, self.api_budget_percent
            );
            self.stop_signal.stop(RunReason::QuotaExceeded, text);
        }
    }
}
