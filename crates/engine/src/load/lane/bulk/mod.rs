//! Bulk API 2.0: a chunk is an ingest job, which is made, filled, closed, waited for, and whose result sets are read.
//!
//! ```text
//!  Planned ──create job──▶ Created ──journal──▶ Registered ──PUT──▶ Sent ──journal──▶ Uploaded ──PATCH──▶ Committed ──poll──▶ Ended
//!     ▲                                             │ no answer                          │ no answer                            │
//!     └──────────────── Withdrawn ◀─────────────────┘                                 InDoubt ──GET──▶ what the job shows   results
//!                          ▲                                                             │ Open, and not ours to close again    ▼
//!                          └─────────────────────────────────────────────────────────────┘                                 Verdict
//! ```
//!
//! Why no crash and no lost answer doubles or loses a row: a job left Open does nothing, and nobody but the holder of its id can close
//! it. The id is on record before the job can be closed, so a job that may have processed rows is always known. A job is filled at most
//! once: after a lost answer it is withdrawn and another one made. It is closed only when the record says its data is whole.
//!
//! Each state is a struct with what is known in it. Its `handle` makes the one call or write that the state is waiting for and gives the
//! next state; the decision itself is a function without I/O beside it.
//!
//! | file | states |
//! |---|---|
//! | `fill` | `Planned`, `Created`, `Registered`, `Sent`: before anything can be committed |
//! | `commit` | `Uploaded`, `InDoubt`, `Committed` |
//! | `withdraw` | `Withdrawn`, and `Found`: jobs that are not used any more |
//! | `settle` | `Ended`: what the results mean; `results` reads them |
//! | `step` | what every state is handed; looks at a job |
//! | `calls` | the calls, as a trait |

mod calls;
mod commit;
mod fill;
mod results;
mod settle;
mod step;
mod withdraw;

use async_trait::async_trait;
use salesforce::ApiUsage;
use salesforce::bulk::JobId;

pub use self::calls::{Bulk, EachResult, SalesforceBulk};
use self::commit::{Committed, InDoubt, Uploaded};
use self::fill::{Created, Planned, Registered, Sent};
use self::settle::Ended;
use self::step::Step;
use self::withdraw::{Found, Withdrawn};
use super::{Lane, Undecided, Verdict};
use crate::load::context::{Interrupted, LoadContext};
use crate::load::record::{Handle, Stage};
use crate::load::task::ChunkTask;

/// Most bytes in one Bulk 2.0 job: 150 MB after base64, says the Bulk API 2.0 developer guide.
pub(crate) const MAX_BYTES: u64 = 100_000_000;

/// Chunks as jobs of Bulk API 2.0.
pub struct BulkLane {
    bulk: Box<dyn Bulk>,
}

impl BulkLane {
    /// Jobs are made, filled and closed with these calls.
    pub fn new(bulk: impl Bulk + 'static) -> Self {
        Self { bulk: Box::new(bulk) }
    }
}

#[async_trait]
impl Lane for BulkLane {
    async fn commit(&self, chunk: &mut ChunkTask, load: &LoadContext) -> Result<Verdict, Interrupted> {
        let mut state = BulkState::of(chunk);
        let mut step = Step::new(&*self.bulk, chunk, load);
        loop {
            state = match state {
                BulkState::Planned(state) => state.handle(&mut step).await?,
                BulkState::Created(state) => state.handle(&mut step).await?,
                BulkState::Registered(state) => state.handle(&mut step).await?,
                BulkState::Sent(state) => state.handle(&mut step).await?,
                BulkState::Uploaded(state) => state.handle(&mut step).await?,
                BulkState::InDoubt(state) => state.handle(&mut step).await?,
                BulkState::Committed(state) => state.handle(&mut step).await?,
                BulkState::Withdrawn(state) => state.handle(&mut step).await?,
                BulkState::Found(state) => state.handle(&mut step).await?,
                BulkState::Ended(state) => state.handle(&mut step).await?,
                BulkState::Over(verdict) => return Ok(verdict),
            };
        }
    }

    fn max_bytes(&self) -> u64 {
        MAX_BYTES
    }

    fn usage(&self) -> Option<ApiUsage> {
        self.bulk.usage()
    }
}

/// Where a chunk stands.
enum BulkState {
    Planned(Planned),
    Created(Created),
    Registered(Registered),
    Sent(Sent),
    Uploaded(Uploaded),
    InDoubt(InDoubt),
    Committed(Committed),
    Withdrawn(Withdrawn),
    Found(Found),
    Ended(Ended),
    Over(Verdict),
}

impl BulkState {
    /// Where this attempt begins with a chunk.
    fn of(chunk: &ChunkTask) -> Self {
        let Some(record) = &chunk.recorded else { return Self::Planned(Planned) };
        match record.handle.as_ref().map(|handle| handle.as_str().parse()) {
            Some(Ok(job)) => Self::recover(record.stage, job),
            Some(Err(_)) => Self::undecided(None, "its job id on record is none"),
            None => Self::Planned(Planned),
        }
    }

    /// Where a restart goes on with a job that is on record.
    fn recover(stage: Stage, job: JobId) -> Self {
        match stage {
            Stage::Prepared => Self::Found(Found { job }),
            Stage::Committing => Self::InDoubt(InDoubt::after_a_restart(job)),
            // Its results can be read again, which changes nothing.
            Stage::Done => Self::Committed(Committed { job, certain: true }),
            Stage::Abandoned => Self::abandoned(),
            Stage::NeedsDecision => Self::undecided(Some(&job), "an earlier attempt could not tell"),
        }
    }

    fn abandoned() -> Self {
        Self::Over(Verdict::NothingCommitted)
    }

    fn undecided(job: Option<&JobId>, why: &'static str) -> Self {
        Self::Over(Verdict::Undecided(Undecided { look_for: job.map(|job| format!("job {job}")), why }))
    }
}

impl From<&JobId> for Handle {
    fn from(job: &JobId) -> Self {
        Self::new(job.as_str())
    }
}

#[cfg(test)]
mod tests {
    use salesforce::bulk::{JobInfo, JobState};

    use super::step::JobStatus;
    use super::*;
    use crate::load::stop::Directive;

    pub(super) fn id() -> JobId {
        "7505f000000abcdAAA".parse().unwrap()
    }

    pub(super) fn job(state: JobState, processed: u64, error: Option<&str>) -> JobInfo {
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
            BulkState::Over(Verdict::NothingCommitted) => "NothingCommitted",
            BulkState::Over(Verdict::Settled(_)) => "Settled",
            BulkState::Over(Verdict::Undecided(_)) => "Undecided",
        }
    }

    /// The restart table: what the journal says, what the org shows, what happens.
    #[test]
    fn a_restart_does_what_the_table_says() {
        use JobState::*;
        use Stage::{Committing, Prepared};
        let table = [
            (Prepared, Some(Open), "Withdrawn"),
            (Prepared, None, "Planned"),
            (Prepared, Some(UploadComplete), "Committed"),
            (Prepared, Some(JobComplete), "Ended"),
            (Prepared, Some(Aborted), "Ended"),
            (Committing, Some(Open), "Uploaded"),
            (Committing, Some(UploadComplete), "Committed"),
            (Committing, Some(InProgress), "Committed"),
            (Committing, Some(JobComplete), "Ended"),
            (Committing, Some(Failed), "Ended"),
            (Committing, Some(Aborted), "Ended"),
            (Committing, None, "Undecided"),
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
        let doubt = InDoubt::refused(id());
        assert_eq!(name(&doubt.observed(status(JobState::Open), Directive::Continue)), "Withdrawn after a race");
        let lost = InDoubt::answer_lost(id());
        assert_eq!(name(&lost.observed(status(JobState::Open), Directive::Continue)), "Uploaded");
    }

    #[test]
    fn an_abort_that_raced_a_commit_is_followed_by_the_results() {
        assert_eq!(name(&Withdrawn { job: id(), raced: true }.aborted(Directive::Continue)), "Committed");
        assert_eq!(name(&Withdrawn { job: id(), raced: false }.aborted(Directive::Continue)), "Planned");
        assert_eq!(name(&Withdrawn { job: id(), raced: false }.aborted(Directive::Stop)), "NothingCommitted");
    }

    #[test]
    fn a_cancelled_run_waits_for_what_is_committed_and_a_deadline_does_not() {
        let committed = || Committed { job: id(), certain: true };
        assert_eq!(name(&committed().observed(status(JobState::InProgress), Directive::Stop)), "Committed");
        assert_eq!(name(&committed().observed(status(JobState::InProgress), Directive::StopNow)), "Withdrawn after a race");
        let lost = InDoubt::answer_lost(id());
        assert_eq!(name(&lost.observed(status(JobState::Open), Directive::Stop)), "Withdrawn after a race");
    }
}
