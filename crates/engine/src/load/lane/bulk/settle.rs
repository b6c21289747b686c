//! A job that is over: what its results mean for the chunk.

use api::import_run::RunReason;
use salesforce::Class;
use salesforce::bulk::{JobId, JobInfo, JobState};

use super::BulkState;
use super::results::{Readback, read_results};
use super::step::Step;
use crate::load::context::Interrupted;
use crate::load::lane::{Remainder, Settled, Verdict};
use crate::load::stop::Directive;
use crate::results::Tally;

/// How often the same rows are sent again because a job ended before it tried any of them.
const MAX_RESENDS: u8 = 4;

/// How often results that Salesforce refuses to give, or gives in part only, are asked for: a person who has to decide is the last resort.
const MAX_READINGS: u32 = 8;

/// Over. Next: read its results.
pub(super) struct Ended {
    pub(super) job: JobId,
    pub(super) info: JobInfo,
}

impl Ended {
    pub(super) async fn handle(self, step: &mut Step<'_>) -> Result<BulkState, Interrupted> {
        let Some(Readback { tally, untried }) = self.read(step).await? else {
            return Ok(BulkState::undecided(Some(&self.job), "its results cannot be read"));
        };
        let directive = if step.chunk.may_send_again() { step.load.directive() } else { Directive::Stop };
        let remainder = match self.settle(tally, step.chunk.sent, step.chunk.depth, directive) {
            Settlement::Complete => Remainder::Empty,
            Settlement::ResendAll => Remainder::SendAll,
            Settlement::Resend => Remainder::SendUntried,
            Settlement::Leave(leftover) => Remainder::Leave(self.stop_for(leftover)),
        };
        Ok(BulkState::Over(Verdict::Settled(Settled { tally, untried, remainder, hopeless: self.hopeless() })))
    }

    /// `None`: the results cannot be read, and there is no more time to try.
    async fn read(&self, step: &mut Step<'_>) -> Result<Option<Readback>, Interrupted> {
        loop {
            let reading = read_results(step.bulk, self, &step.load.columns, step.chunk.rows_at_hand());
            match step.load.unless_interrupted(reading).await? {
                Ok(readback) => return Ok(Some(readback)),
                Err(error) => {
                    tracing::info!(chunk = step.chunk.number, job = %self.job, %error, "results have to be read again");
                    step.load.note_refusal(&error);
                    step.readings += 1;
                    let hopeless = !matches!(error.class(), Class::Transient | Class::Quota) && step.readings >= MAX_READINGS;
                    if hopeless || step.load.directive() == Directive::StopNow {
                        return Ok(None);
                    }
                    step.pause().await?;
                }
            }
        }
    }

    /// What rows without a result mean for the run.
    fn stop_for(&self, leftover: Leftover) -> Option<(RunReason, String)> {
        let job = &self.job;
        match leftover {
            Leftover::Stopping => None,
            Leftover::JobRefused => Some((RunReason::TargetFailed, format!("salesforce refused job {job} as a whole: {}", self.message()))),
            Leftover::Quota => Some((RunReason::QuotaExceeded, format!("salesforce stopped job {job}: {}", self.message()))),
            Leftover::Hopeless => Some((RunReason::TargetFailed, self.hopeless())),
            Leftover::Unaccounted => {
                let text = format!("job {job} is complete, but its results do not account for the rows sent: compare them with the org");
                Some((RunReason::AccountingMismatch, text))
            }
        }
    }

    fn hopeless(&self) -> String {
        format!("salesforce ended job {} ({:?}) before all rows were tried: {}", self.job, self.info.state, self.message())
    }

    fn message(&self) -> &str {
        self.info.error_message.as_deref().unwrap_or("no reason")
    }
}

/// What the results mean for the chunk.
#[derive(Debug, Eq, PartialEq)]
enum Settlement {
    /// Every row has its outcome.
    Complete,
    /// Nothing was ever processed, and Salesforce need not even list it: all rows once more, with another job.
    ResendAll,
    /// These rows were never tried: send exactly them, with another job.
    Resend,
    /// They stay unprocessed.
    Leave(Leftover),
}

/// Why rows stay without an outcome.
#[derive(Debug, Eq, PartialEq)]
enum Leftover {
    /// The run is stopping.
    Stopping,
    /// Salesforce refuses the job as a whole: every other chunk would fare alike.
    JobRefused,
    /// The allowance of the day is used up.
    Quota,
    /// It failed again and again.
    Hopeless,
    /// Fewer results than rows, although all were processed.
    Unaccounted,
}

impl Ended {
    /// `depth`: how often these rows were sent in vain.
    fn settle(&self, tally: Tally, sent: u64, depth: u8, directive: Directive) -> Settlement {
        let untouched = tally.succeeded + tally.failed == 0 && self.info.number_records_processed == 0;
        match self.info.state {
            _ if tally.succeeded + tally.failed == sent => Settlement::Complete,
            JobState::Failed | JobState::Aborted => match self.failure() {
                _ if directive != Directive::Continue => Settlement::Leave(Leftover::Stopping),
                Failure::Refused => Settlement::Leave(Leftover::JobRefused),
                Failure::Quota => Settlement::Leave(Leftover::Quota),
                Failure::Other if depth >= MAX_RESENDS && untouched => Settlement::Leave(Leftover::Hopeless),
                // Aborted before it began; it need not even list its rows.
                Failure::Other if untouched && tally.unprocessed != sent && self.info.state == JobState::Aborted => Settlement::ResendAll,
                Failure::Other if tally.unprocessed > 0 => Settlement::Resend,
                Failure::Other => Settlement::Leave(Leftover::Hopeless),
            },
            _ => Settlement::Leave(Leftover::Unaccounted),
        }
    }

    fn failure(&self) -> Failure {
        let text = self.info.error_message.as_deref().unwrap_or_default();
        let names = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if names(&["ExceededQuota", "LIMIT_EXCEEDED"]) {
            Failure::Quota
        } else if names(&["InvalidBatch", "ClientInputError", "FeatureNotEnabled", "InvalidOperation", "InvalidUser", "InvalidEntity"]) {
            Failure::Refused
        } else {
            Failure::Other
        }
    }
}

enum Failure {
    Refused,
    Quota,
    Other,
}

#[cfg(test)]
mod tests {
    use super::super::tests::{id, job};
    use super::*;

    #[test]
    fn only_rows_never_tried_are_sent_again() {
        let ended = |state, processed, error| Ended { job: id(), info: job(state, processed, error) };
        let tally = |succeeded, failed, unprocessed| Tally { succeeded, failed, unprocessed };
        let settle = |e: &Ended, t| e.settle(t, 10, 0, Directive::Continue);
        assert_eq!(settle(&ended(JobState::JobComplete, 10, None), tally(8, 2, 0)), Settlement::Complete);
        assert_eq!(settle(&ended(JobState::JobComplete, 9, None), tally(8, 1, 0)), Settlement::Leave(Leftover::Unaccounted));
        assert_eq!(settle(&ended(JobState::Failed, 4, Some("Timeout")), tally(3, 1, 6)), Settlement::Resend);
        assert_eq!(settle(&ended(JobState::Aborted, 0, None), tally(0, 0, 10)), Settlement::Resend);
        assert_eq!(settle(&ended(JobState::Aborted, 0, None), tally(0, 0, 0)), Settlement::ResendAll);
        let header = Some("InvalidBatch : Field name not found : Nam");
        assert_eq!(settle(&ended(JobState::Failed, 0, header), tally(0, 0, 10)), Settlement::Leave(Leftover::JobRefused));
        let timeout = ended(JobState::Failed, 4, Some("Timeout"));
        assert_eq!(timeout.settle(tally(3, 1, 6), 10, 0, Directive::Stop), Settlement::Leave(Leftover::Stopping));
        assert_eq!(timeout.settle(tally(3, 1, 6), 10, MAX_RESENDS, Directive::Continue), Settlement::Resend);
        let idle = ended(JobState::Failed, 0, Some("Timeout"));
        assert_eq!(idle.settle(tally(0, 0, 10), 10, MAX_RESENDS, Directive::Continue), Settlement::Leave(Leftover::Hopeless));
    }
}
