//! The write-ahead record of one chunk, in the loader's own words.
//!
//! Where a run is stored, a record has the words of Bulk API 2.0 (`Created`, `Uploaded`, `jobID`), because that was the first lane. This
//! file alone translates, so that runs that are under way stay readable and no other file has to know.

use api::import_run::{Chunk, ChunkState, Rows, RunReason};

use super::context::{Interrupted, LoadContext};
use super::journal::JournalError;
use super::task::ChunkTask;

/// How far a chunk is, as far as a restart has to know.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Stage {
    /// The lane has something by which it finds the chunk again; we have committed nothing of it. Stored as `Created`.
    Prepared,
    /// The rows may be in Salesforce. Stored as `Uploaded`.
    Committing,
    /// Every row that stays with the chunk has its outcome.
    Done,
    /// Nothing was committed, and nothing will be.
    Abandoned,
    /// Only a person can say what became of the rows.
    NeedsDecision,
}

/// What a lane finds a chunk again by. Only the lane that made it reads it. Stored as `jobID`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Handle(String);

impl Handle {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// One chunk as it is on record.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct ChunkRecord {
    pub(crate) number: i64,
    /// The chunk whose rows are sent again with this one.
    pub(crate) resends: Option<i64>,
    pub(crate) stage: Stage,
    /// Number of the first data row, from 1.
    pub(crate) first_row: i64,
    /// Rows consumed, with those that were left out.
    pub(crate) input_rows: i64,
    pub(crate) sent_rows: i64,
    /// Bytes of the body.
    pub(crate) bytes: i64,
    /// Of the body; absent while the lane has not sent it.
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) handle: Option<Handle>,
    pub(crate) rows: Rows,
}

impl ChunkRecord {
    pub(crate) fn is_under_way(&self) -> bool {
        matches!(self.stage, Stage::Prepared | Stage::Committing)
    }
}

impl From<&Chunk> for ChunkRecord {
    fn from(stored: &Chunk) -> Self {
        Self {
            number: stored.number,
            resends: stored.resends,
            stage: match stored.state {
                ChunkState::Created => Stage::Prepared,
                ChunkState::Uploaded => Stage::Committing,
                ChunkState::Done => Stage::Done,
                ChunkState::Abandoned => Stage::Abandoned,
                ChunkState::NeedsDecision => Stage::NeedsDecision,
            },
            first_row: stored.first_row,
            input_rows: stored.input_rows,
            sent_rows: stored.sent_rows,
            bytes: stored.bytes,
            sha256: stored.sha256.as_deref().and_then(parse_sha256),
            handle: stored.job_id.as_deref().map(Handle::new),
            rows: stored.rows,
        }
    }
}

impl From<ChunkRecord> for Chunk {
    fn from(record: ChunkRecord) -> Self {
        Self {
            number: record.number,
            resends: record.resends,
            state: match record.stage {
                Stage::Prepared => ChunkState::Created,
                Stage::Committing => ChunkState::Uploaded,
                Stage::Done => ChunkState::Done,
                Stage::Abandoned => ChunkState::Abandoned,
                Stage::NeedsDecision => ChunkState::NeedsDecision,
            },
            first_row: record.first_row,
            input_rows: record.input_rows,
            sent_rows: record.sent_rows,
            bytes: record.bytes,
            sha256: record.sha256.map(hex::encode),
            job_id: record.handle.map(|handle| handle.0),
            rows: record.rows,
            // The keeper seals it: the journal is given the cursor itself.
            sealed_cursor: None,
        }
    }
}

fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    hex::decode_to_slice(text, &mut digest).ok().map(|()| digest)
}

/// Proof that a stage is in the journal. Only a write to the journal makes one.
pub(crate) struct OnRecord(());

impl LoadContext {
    /// Puts on record that a lane has come to `stage` with a chunk.
    pub(crate) async fn write_ahead(&self, chunk: &mut ChunkTask, stage: Stage) -> Result<OnRecord, Interrupted> {
        chunk.under_way = true;
        self.write(chunk.record(stage, chunk.counted), chunk.last_key.as_deref()).await
    }

    /// Puts a record into the journal. Never cut short: an interruption waits for it.
    pub(crate) async fn write(&self, record: ChunkRecord, last_key: Option<&[String]>) -> Result<OnRecord, Interrupted> {
        match self.journal.write(&record.into(), last_key).await {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stored form is that of runs under way: each line is what a worker of the first release wrote.
    #[test]
    fn records_are_stored_in_the_words_that_they_always_had() {
        let digest = "ab".repeat(32);
        for (state, stage) in [
            ("Created", Stage::Prepared),
            ("Uploaded", Stage::Committing),
            ("Done", Stage::Done),
            ("Abandoned", Stage::Abandoned),
            ("NeedsDecision", Stage::NeedsDecision),
        ] {
            let stored = serde_json::json!({
                "number": 7, "resends": 3, "state": state, "firstRow": 11, "inputRows": 10, "sentRows": 9, "bytes": 100,
                "sha256": digest, "jobID": "7505f000000abcdAAA",
                "rows": Rows { read: 10, filtered: 1, succeeded: 9, ..Rows::default() },
            });
            let chunk: Chunk = serde_json::from_value(stored.clone()).unwrap();
            let record = ChunkRecord::from(&chunk);
            assert_eq!((record.stage, record.handle.as_ref().map(Handle::as_str)), (stage, Some("7505f000000abcdAAA")));
            assert_eq!(record.sha256, Some([0xab; 32]));
            assert_eq!(serde_json::to_value(Chunk::from(record)).unwrap(), stored);
        }
    }
}
