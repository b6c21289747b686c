//! Where the write-ahead states of chunks go.

use async_trait::async_trait;

use api::import_run::Chunk;
use api::keeper::Control;

/// Durable once `write` returns: the keeper for a worker; nothing at all for a run without a cluster, which cannot be resumed.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Puts on record how far a chunk is. `last_key`: where the source goes on behind this chunk, for sources that can. The answer says
    /// whether somebody has cancelled the run.
    ///
    /// # Errors
    ///
    /// The step is not on record, or it is not known whether it is.
    async fn write(&self, chunk: &Chunk, last_key: Option<&[String]>) -> Result<Control, JournalError>;
}

/// Why a step could not be put on record.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another attempt has taken over: stop, and report nothing.
    #[error("another attempt of this run has taken over")]
    Fenced,
    /// For longer than a worker waits; another attempt may go on later.
    #[error("the journal cannot be written: {0}")]
    Unreachable(String),
}

/// Remembers nothing: a run that dies is not resumed.
pub struct NoJournal;

#[async_trait]
impl Journal for NoJournal {
    async fn write(&self, _: &Chunk, _: Option<&[String]>) -> Result<Control, JournalError> {
        Ok(Control::default())
    }
}
