//! The write-ahead of chunks, kept by the keeper in the run's status.

use std::sync::Arc;

use api::import_run::Chunk;
use api::keeper::{ChunkCursor, ChunkWrite, Control, SecretText};
use async_trait::async_trait;
use engine::load::{Journal, JournalError};

use super::keeper::{CallError, Keeper};

pub(super) struct AtKeeper(Arc<Keeper>);

impl AtKeeper {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self(keeper)
    }
}

#[async_trait]
impl Journal for AtKeeper {
    async fn write(&self, chunk: &Chunk, last_key: Option<&[String]>) -> Result<Control, JournalError> {
        let cursor = last_key
            .map(|key| ChunkCursor { chunk: chunk.number, last_key: key.iter().map(|part| SecretText::new(part.as_str())).collect() });
        let write = ChunkWrite { attempt: self.0.attempt(), chunk: chunk.clone(), cursor };
        self.0.chunk(&write).await.map_err(|error| match error {
            // A pod that is refused has been replaced or its run is over; either way it has no say.
            CallError::Refused => JournalError::Fenced,
            error => JournalError::Unreachable(error.to_string()),
        })
    }
}
