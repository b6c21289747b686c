//! Result files: sealed here with each file's own key, streamed to the keeper as ciphertext while they grow. Each is on its way by itself: a
//! small run has all three at once, at its end, and waits for the slowest of them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use engine::results::{FileKind, ResultsSink, SinkError};
use envelope::stream::Sealer;
use futures::future::{ready, try_join_all};
use futures::stream::{BoxStream, StreamExt as _, once, try_unfold};
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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

/// A file on its way.
struct Writing {
    pieces: mpsc::Sender<Piece>,
    /// Ends with the file's id.
    sending: JoinHandle<Result<String, SinkError>>,
}

enum Piece {
    Plain(Bytes),
    /// Said, and not concluded from silence: a file whose writer is gone is cut off and not whole.
    End,
}

impl SealedFiles {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, open: BTreeMap::new(), full: None }
    }
}

impl Writing {
    fn begin(keeper: Arc<Keeper>, file: FileKind) -> Self {
        let (pieces, receiver) = mpsc::channel(IN_FLIGHT);
        Self { pieces, sending: tokio::spawn(send(keeper, file, receiver)) }
    }

    /// A closed channel means that sending has failed; `ended` says how.
    async fn push(&self, piece: Piece) {
        let _ = self.pieces.send(piece).await;
    }

    async fn ended(self) -> Result<String, SinkError> {
        self.sending.await.map_err(io::Error::other)?
    }

    async fn finish(self) -> Result<String, SinkError> {
        self.push(Piece::End).await;
        self.ended().await
    }
}

async fn send(keeper: Arc<Keeper>, file: FileKind, pieces: mpsc::Receiver<Piece>) -> Result<String, SinkError> {
    let grant = keeper.new_file(file.name()).await.map_err(sink)?;
    let (key, context) =
        file_grant::accept(&grant).ok_or_else(|| SinkError::Unreachable("the keeper's grant for a result file cannot be read".into()))?;
    let mut beginning = BytesMut::new();
    let sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut beginning);
    let sealed = once(ready(Ok(beginning.freeze()))).chain(sealed(sealer, pieces)).boxed();
    keeper.write_file(&grant.uid, sealed).await.map_err(sink)?;
    Ok(grant.uid)
}

fn sealed(sealer: Sealer, pieces: mpsc::Receiver<Piece>) -> BoxStream<'static, io::Result<Bytes>> {
    let seal = |state: Option<(Sealer, mpsc::Receiver<Piece>)>| async move {
        let Some((mut sealer, mut pieces)) = state else { return Ok(None) };
        match pieces.recv().await {
            Some(Piece::Plain(plain)) => {
                let mut sealed = BytesMut::with_capacity(plain.len() + 4096);
                sealer.update(&plain, &mut sealed).map_err(io::Error::other)?;
                Ok(Some((sealed.freeze(), Some((sealer, pieces)))))
            }
            Some(Piece::End) => {
                let mut end = BytesMut::new();
                sealer.finish(&mut end).map_err(io::Error::other)?;
                Ok(Some((end.freeze(), None)))
            }
            None => Err(io::Error::other("the file was given up")),
        }
    };
    try_unfold(Some((sealer, pieces)), seal).boxed()
}

#[async_trait]
impl ResultsSink for SealedFiles {
    async fn write(&mut self, file: FileKind, bytes: Bytes) -> Result<(), SinkError> {
        if let Some(why) = &self.full {
            return Err(SinkError::Full(why.clone()));
        }
        let writing = self.open.entry(file).or_insert_with(|| Writing::begin(self.keeper.clone(), file));
        writing.push(Piece::Plain(bytes)).await;
        if writing.sending.is_finished()
            && let Some(writing) = self.open.remove(&file)
        {
            let ended = writing.ended().await.map(drop);
            if let Err(SinkError::Full(why)) = &ended {
                self.full = Some(why.clone());
            }
            return ended;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        if let Some(why) = self.full.take() {
            return Err(SinkError::Full(why));
        }
        let files = std::mem::take(&mut self.open).into_iter();
        try_join_all(files.map(|(kind, writing)| async move { Ok((kind, writing.finish().await?)) })).await
    }
}

fn sink(error: CallError) -> SinkError {
    match error {
        CallError::Refused => SinkError::Fenced,
        CallError::Answered(StatusCode::PAYLOAD_TOO_LARGE, why) => SinkError::Full(why),
        error => SinkError::Unreachable(error.to_string()),
    }
}
