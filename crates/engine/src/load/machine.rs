//! The life of one chunk, from rows in memory to rows accounted for, so that no crash and no lost answer doubles or loses a row.
//! Pure: each state says what to do next, each answer gives the next state. No clock, no I/O.
//!
//! ```text
//!  Planned ──create job──▶ Created ──journal──▶ Registered ──PUT──▶ Sent ──journal──▶ Uploaded ──PATCH──▶ Committed ──poll──▶ Ended
//!     ▲                                             │ no answer                          │ no answer                            │
//!     └──────────────── Withdrawn ◀─────────────────┘                                 InDoubt ──GET──▶ what the job shows   results
//!                          ▲                                                             │ Open, and not ours to close again    ▼
//!                          └─────────────────────────────────────────────────────────────┘                                   Settled
//! ```
//!
//! Why it holds: a job left Open does nothing, and nobody but the holder of its id can close it. The id is on record before the job can
//! be closed, so a job that may have processed rows is always known. A job is filled at most once: after a lost answer it is withdrawn
//! and another one made. It is closed only when the record says its data is whole.

use api::import_run::ChunkState;
use salesforce::bulk::{JobId, JobInfo, JobState};

use super::stop::Directive;

/// Proof that a state is in the journal; made only by the one who wrote it there.
pub(crate) struct OnRecord(pub(super) ());

/// What is known of the job now.
#[expect(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub(crate) enum JobStatus {
    Known(JobInfo),
    /// Salesforce does not know this id (any more).
    NotFound,
}

#[expect(clippy::large_enum_variant, reason = "a handful exist at a time")]
pub(crate) enum BulkState {
    Planned(Planned),
    Created(Created),
    Registered(Registered),
    Sent(Sent),
    Uploaded(Uploaded),
    InDoubt(InDoubt),
    Committed(Committed),
    Withdrawn(Withdrawn),
    Ended(Ended),
    /// On record as not closed: a restart has to look.
    Found(Found),
    /// Nothing was committed, and nothing will be.
    Abandoned,
    /// Only a person can say what became of the rows.
    NeedsDecision(Option<JobId>, &'static str),
}

impl BulkState {
    /// Where a restart goes on with a chunk that the journal knows.
    pub(crate) fn recover(state: ChunkState, job: JobId) -> Self {
        match state {
            ChunkState::Created => Self::Found(Found { job }),
            ChunkState::Uploaded => Self::InDoubt(InDoubt { job, refused: false }),
            // Its results can be read again, which changes nothing.
            ChunkState::Done => Self::Committed(Committed { job, certain: true }),
            ChunkState::Abandoned => Self::Abandoned,
            ChunkState::NeedsDecision => Self::NeedsDecision(Some(job), "an earlier attempt could not tell"),
        }
    }
}

/// No job yet. Next: make one. Harmless to repeat.
pub(crate) struct Planned;

impl Planned {
    pub(crate) fn created(self, job: JobId) -> Created {
        Created { job }
    }
}

/// The job exists, but only we know. Next: put its id on record.
pub(crate) struct Created {
    pub(crate) job: JobId,
}

impl Created {
    pub(crate) fn recorded(self, _: OnRecord) -> Registered {
        Registered { job: self.job }
    }
}

/// The id is on record. Next: send the data, once.
pub(crate) struct Registered {
    pub(crate) job: JobId,
}

impl Registered {
    pub(crate) fn sent(self) -> Sent {
        Sent { job: self.job }
    }

    /// Whatever went wrong: data sent a second time spoils a job, another job costs one call.
    pub(crate) fn withdraw(self) -> Withdrawn {
        Withdrawn { job: self.job, raced: false }
    }
}

/// The data arrived whole. Next: put that on record.
pub(crate) struct Sent {
    pub(crate) job: JobId,
}

impl Sent {
    pub(crate) fn recorded(self, _: OnRecord) -> Uploaded {
        Uploaded { job: self.job }
    }
}

/// On record as whole. Next: close the job, which commits it.
pub(crate) struct Uploaded {
    pub(crate) job: JobId,
}

impl Uploaded {
    pub(crate) fn committed(self) -> Committed {
        Committed { job: self.job, certain: true }
    }

    /// Salesforce answered that it will not close the job.
    pub(crate) fn refused(self) -> InDoubt {
        InDoubt { job: self.job, refused: true }
    }

    pub(crate) fn answer_lost(self) -> InDoubt {
        InDoubt { job: self.job, refused: false }
    }

    pub(crate) fn withdraw(self) -> Withdrawn {
        Withdrawn { job: self.job, raced: false }
    }
}

/// The job may or may not be committed. Next: look at it.
pub(crate) struct InDoubt {
    pub(crate) job: JobId,
    refused: bool,
}

impl InDoubt {
    pub(crate) fn observed(self, status: JobStatus, directive: Directive) -> BulkState {
        let JobStatus::Known(info) = status else {
            return BulkState::NeedsDecision(Some(self.job), "salesforce does not know the job any more");
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
pub(crate) struct Committed {
    pub(crate) job: JobId,
    /// The commit is known to have happened.
    pub(crate) certain: bool,
}

impl Committed {
    pub(crate) fn observed(self, status: JobStatus, directive: Directive) -> BulkState {
        match status {
            JobStatus::NotFound => BulkState::NeedsDecision(Some(self.job), "salesforce does not know the job any more"),
            JobStatus::Known(info) if info.state.is_terminal() => BulkState::Ended(Ended { job: self.job, info }),
            JobStatus::Known(_) if directive == Directive::StopNow => BulkState::Withdrawn(Withdrawn { job: self.job, raced: true }),
            // Open is an answer from before the commit.
            JobStatus::Known(_) => BulkState::Committed(self),
        }
    }
}

/// Not to be used any more. Next: abort it.
pub(crate) struct Withdrawn {
    pub(crate) job: JobId,
    /// It may have been committed before the abort.
    pub(crate) raced: bool,
}

impl Withdrawn {
    /// The abort was answered, or failed where that does not matter: a job that nobody closes does nothing.
    pub(crate) fn aborted(self, directive: Directive) -> BulkState {
        match (self.raced, directive) {
            (true, _) => BulkState::Committed(Committed { job: self.job, certain: false }),
            (false, Directive::Continue) => BulkState::Planned(Planned),
            (false, _) => BulkState::Abandoned,
        }
    }
}

/// On record as made, without a word of its data. Next: look at it.
pub(crate) struct Found {
    pub(crate) job: JobId,
}

impl Found {
    pub(crate) fn observed(self, status: JobStatus) -> BulkState {
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

/// Over. Next: read its results.
pub(crate) struct Ended {
    pub(crate) job: JobId,
    pub(crate) info: JobInfo,
}

/// Rows of the result sets that were read.
pub(crate) use crate::results::Tally;

/// What the results mean for the chunk.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Settlement {
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
pub(crate) enum Leftover {
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

/// How often the same rows are sent again because a job ended before it tried any of them.
const MAX_RESENDS: u8 = 4;

impl Ended {
    /// `depth`: how often these rows were sent in vain.
    pub(crate) fn settle(&self, tally: Tally, sent: u64, depth: u8, directive: Directive) -> Settlement {
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
    use super::*;

    fn id() -> JobId {
        "7505f000000abcdAAA".parse().unwrap()
    }

    fn job(state: JobState, processed: u64, error: Option<&str>) -> JobInfo {
        let mut info: JobInfo =
            serde_json::from_value(serde_json::json!({"id": id(), "state": state, "object": "Account", "operation": "insert"})).unwrap();
        info.number_records_processed = processed;
        info.error_message = error.map(str::to_owned);
        info
    }

    fn status(state: JobState) -> JobStatus {
        JobStatus::Known(job(state, 0, None))
    }

    fn name(state: &BulkState) -> &'static str {
        match state {
            BulkState::Planned(_) => "Planned",
            BulkState::Created(_) => "Created",
            BulkState::Registered(_) => "Registered",
            BulkState::Sent(_) => "Sent",
            BulkState::Uploaded(_) => "Uploaded",
            BulkState::InDoubt(_) => "InDoubt",
            BulkState::Committed(_) => "Committed",
            BulkState::Withdrawn(w) if w.raced => "Withdrawn after a race",
            BulkState::Withdrawn(_) => "Withdrawn",
            BulkState::Ended(_) => "Ended",
            BulkState::Found(_) => "Found",
            BulkState::Abandoned => "Abandoned",
            BulkState::NeedsDecision(..) => "NeedsDecision",
        }
    }

    /// The restart table: what the journal says, what the org shows, what happens.
    #[test]
    fn a_restart_does_what_the_table_says() {
        use ChunkState::{Created, Uploaded};
        use JobState::*;
        let table = [
            (Created, Some(Open), "Withdrawn"),
            (Created, None, "Planned"),
            (Created, Some(UploadComplete), "Committed"),
            (Created, Some(JobComplete), "Ended"),
            (Created, Some(Aborted), "Ended"),
            (Uploaded, Some(Open), "Uploaded"),
            (Uploaded, Some(UploadComplete), "Committed"),
            (Uploaded, Some(InProgress), "Committed"),
            (Uploaded, Some(JobComplete), "Ended"),
            (Uploaded, Some(Failed), "Ended"),
            (Uploaded, Some(Aborted), "Ended"),
            (Uploaded, None, "NeedsDecision"),
        ];
        for (recorded, shown, expected) in table {
            let seen = shown.map_or(JobStatus::NotFound, status);
            let next = match BulkState::recover(recorded, id()) {
                BulkState::Found(found) => found.observed(seen),
                BulkState::InDoubt(doubt) => doubt.observed(seen, Directive::Continue),
                other => other,
            };
            assert_eq!(name(&next), expected, "{recorded:?} and {shown:?}");
        }
    }

    #[test]
    fn a_refused_commit_is_never_tried_again_on_an_open_job() {
        let doubt = Uploaded { job: id() }.refused();
        assert_eq!(name(&doubt.observed(status(JobState::Open), Directive::Continue)), "Withdrawn after a race");
        let lost = Uploaded { job: id() }.answer_lost();
        assert_eq!(name(&lost.observed(status(JobState::Open), Directive::Continue)), "Uploaded");
    }

    #[test]
    fn an_abort_that_raced_a_commit_is_followed_by_the_results() {
        assert_eq!(name(&Withdrawn { job: id(), raced: true }.aborted(Directive::Continue)), "Committed");
        assert_eq!(name(&Withdrawn { job: id(), raced: false }.aborted(Directive::Continue)), "Planned");
        assert_eq!(name(&Withdrawn { job: id(), raced: false }.aborted(Directive::Stop)), "Abandoned");
    }

    #[test]
    fn a_cancelled_run_waits_for_what_is_committed_and_a_deadline_does_not() {
        assert_eq!(name(&Committed { job: id(), certain: true }.observed(status(JobState::InProgress), Directive::Stop)), "Committed");
        assert_eq!(
            name(&Committed { job: id(), certain: true }.observed(status(JobState::InProgress), Directive::StopNow)),
            "Withdrawn after a race"
        );
        assert_eq!(name(&Uploaded { job: id() }.answer_lost().observed(status(JobState::Open), Directive::Stop)), "Withdrawn after a race");
    }

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
