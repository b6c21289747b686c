//! Result files: sealed here with each file's own key, streamed to the keeper as ciphertext while they grow.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use engine::results::{FileKind, ResultsSink, SinkError};
use envelope::stream::Sealer;
use futures::StreamExt as _;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::keeper::{CallError, Keeper};
use crate::file_grant;

/// Pieces on their way to the keeper; a piece is at most what the results buffer holds.
const IN_FLIGHT: usize = 4;

pub(super) struct SealedFiles {
    keeper: Arc<Keeper>,
    open: BTreeMap<FileKind, Writing>,
    /// The keeper has no room for them: what comes after a gap is not sent either.
    full: Option<String>,
}

struct Writing {
    uid: String,
    sealer: Sealer,
    sealed: mpsc::Sender<Result<Bytes, std::io::Error>>,
    sending: JoinHandle<Result<(), CallError>>,
}

impl SealedFiles {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, open: BTreeMap::new(), full: None }
    }

    async fn begin(&self, file: FileKind) -> Result<Writing, SinkError> {
        let grant = self.keeper.new_file(file.name()).await.map_err(sink)?;
        let (key, context) = file_grant::accept(&grant)
            .ok_or_else(|| SinkError::Unreachable("the keeper's grant for a result file cannot be read".into()))?;
        let (sealed, receiver) = mpsc::channel(IN_FLIGHT);
        let sending = tokio::spawn({
            let (keeper, uid) = (self.keeper.clone(), grant.uid.clone());
            async move { keeper.write_file(&uid, ReceiverStream::new(receiver).boxed()).await }
        });
        let mut beginning = BytesMut::new();
        let sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut beginning);
        let writing = Writing { uid: grant.uid, sealer, sealed, sending };
        Ok(writing.send(beginning).await)
    }
}

impl Writing {
    /// A closed channel means that sending has failed; `finish` says how.
    async fn send(self, sealed: BytesMut) -> Self {
        if !sealed.is_empty() {
            let _ = self.sealed.send(Ok(sealed.freeze())).await;
        }
        self
    }

    async fn finish(self) -> Result<String, SinkError> {
        let mut end = BytesMut::new();
        let Self { uid, sealer, sealed, sending } = self;
        sealer.finish(&mut end).map_err(std::io::Error::other)?;
        let _ = sealed.send(Ok(end.freeze())).await;
        drop(sealed);
        sending.await.map_err(std::io::Error::other)?.map_err(sink)?;
        Ok(uid)
    }
}

#[async_trait]
impl ResultsSink for SealedFiles {
    async fn write(&mut self, file: FileKind, bytes: Bytes) -> Result<(), SinkError> {
        if let Some(why) = &self.full {
            return Err(SinkError::Full(why.clone()));
        }
        let mut writing = match self.open.remove(&file) {
            Some(writing) => writing,
            None => self.begin(file).await?,
        };
        let mut sealed = BytesMut::with_capacity(bytes.len() + 4096);
        writing.sealer.update(&bytes, &mut sealed).map_err(std::io::Error::other)?;
        let writing = writing.send(sealed).await;
        if writing.sending.is_finished() {
            let ended = writing.finish().await.map(drop);
            if let Err(SinkError::Full(why)) = &ended {
                self.full = Some(why.clone());
            }
            return ended;
        }
        self.open.insert(file, writing);
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        if let Some(why) = self.full.take() {
            return Err(SinkError::Full(why));
        }
        let mut written = Vec::new();
        for (kind, writing) in std::mem::take(&mut self.open) {
            written.push((kind, writing.finish().await?));
        }
        Ok(written)
    }
}

fn sink(error: CallError) -> SinkError {
    match error {
        CallError::Refused => SinkError::Fenced,
        CallError::Answered(StatusCode::PAYLOAD_TOO_LARGE, why) => SinkError::Full(why),
        error => SinkError::Unreachable(error.to_string()),
    }
}
