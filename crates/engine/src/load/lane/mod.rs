//! A lane is one way to bring the rows of a chunk into Salesforce.
//!
//! The loader accounts for rows: it builds chunks, gives them numbers, keeps their order, writes result files, and decides what a restart
//! reads again. A lane knows the protocol that commits one chunk: which calls, in which order, what goes on record between them, and how
//! to tell after a crash or a lost answer whether the rows arrived. `bulk` is the only one so far; the loader's tests also run with a second,
//! `tests/calls.rs`, which is as unlike it as possible.
//!
//! What a lane owes the loader:
//!
//! - Nothing is committed before `Stage::Committing` is on record; `LoadContext::write_ahead` gives the proof.
//! - A row that was committed is not committed once more, also not by the next attempt, unless that changes nothing. Where a lane cannot
//!   tell, its verdict is `Undecided`, and no row is sent.
//! - Calls stop when the run is interrupted (`LoadContext::unless_interrupted`), and nothing is committed that was not under way when
//!   the run was stopped (`LoadContext::directive`).
//! - Each row of the chunk has its outcome, or is counted as unprocessed.
//! - A lane that leaves rows to another chunk (`Remainder::SendUntried`) can say once more, in a later attempt, which rows those are.
//!   One that cannot read results again tries such rows itself before its verdict.

pub(crate) mod bulk;

use crate::row::Record;
use api::import_run::RunReason;
use async_trait::async_trait;
use salesforce::ApiUsage;

use super::context::{Interrupted, LoadContext};
use super::task::ChunkTask;
use crate::results::Tally;

/// The protocol that commits chunks. Implemented in this crate only: nobody else can look into a chunk.
#[async_trait]
pub trait Lane: Send + Sync {
    /// Commits the rows of a chunk, or goes on where an earlier attempt left it, until it can say what became of them. May be dropped at
    /// any await when the process ends: what is on record must then be enough for the next attempt.
    ///
    /// # Errors
    ///
    /// The run is interrupted, or the journal cannot be written: the chunk stays as it is on record.
    async fn commit(&self, chunk: &mut ChunkTask, load: &LoadContext) -> Result<Verdict, Interrupted>;

    /// Most bytes in the body of one chunk. A chunk is cut a row of 8 MiB before that.
    fn max_bytes(&self) -> u64;

    /// The org's use of API calls as of the newest answer.
    fn usage(&self) -> Option<ApiUsage>;
}

/// What a lane says of a chunk in the end.
pub enum Verdict {
    /// Nothing was committed, and nothing will be.
    NothingCommitted,
    /// The lane has written what became of the rows into their outcomes.
    Settled(Settled),
    /// Only a person can say what became of the rows.
    Undecided(Undecided),
}

/// A chunk with results.
pub struct Settled {
    /// Rows by their results, as the lane got them.
    pub(crate) tally: Tally,
    /// Places and sent cells of rows that were never tried, places ascending.
    pub(crate) untried: Vec<(u32, Record)>,
    pub(crate) remainder: Remainder,
    /// Why the run stops (`TargetFailed`) if rows are to be sent once more and cannot be.
    pub(crate) hopeless: String,
}

/// What is to become of rows without a result.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Remainder {
    /// There are none.
    Empty,
    /// They are sent with another chunk.
    SendUntried,
    /// None of the rows was tried, and the lane does not list them: all are sent with another chunk.
    SendAll,
    /// They stay unprocessed; the run stops for this reason, if it is not being stopped already.
    Leave(Option<(RunReason, String)>),
}

/// A chunk that only a person can decide about.
pub struct Undecided {
    /// What to look for in the org, e.g. `job 750…`.
    pub(crate) look_for: Option<String>,
    pub(crate) why: &'static str,
}
