//! Result files: sealed here with each file's own key. A small one is sent at its end; a larger one is streamed to the keeper as ciphertext
//! while it grows.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use engine::results::{FileKind, ResultsSink, SinkError};
use envelope::stream::Sealer;
use futures::StreamExt as _;
use futures::future::try_join_all;
use http::StatusCode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::keeper::{CallError, Keeper};
use crate::file_grant;

/// Pieces on their way to the keeper; a piece is at most what the results buffer holds.
const IN_FLIGHT: usize = 4;
/// A file that stays below this is sent at its end, as a whole: it can be sent again while the keeper is away, and all three of a small run
/// are on their way at once.
const SMALL: usize = 256 << 10;

pub(super) struct SealedFiles {
    keeper: Arc<Keeper>,
    open: BTreeMap<FileKind, Writing>,
    /// The keeper has no room for them: what comes after a gap is not sent either.
    full: Option<String>,
}

enum Writing {
    Small(BytesMut),
    Streamed(Box<Stream>),
}

/// A file that is sent while it grows.
struct Stream {
    uid: String,
    sealer: Sealer,
    sealed: mpsc::Sender<Result<Bytes, std::io::Error>>,
    sending: JoinHandle<Result<(), CallError>>,
}

impl SealedFiles {
    pub(super) fn new(keeper: Arc<Keeper>) -> Self {
        Self { keeper, open: BTreeMap::new(), full: None }
    }
}

/// A file that the keeper knows of, its beginning sealed.
async fn begin(keeper: &Keeper, file: FileKind) -> Result<(String, Sealer, BytesMut), SinkError> {
    let grant = keeper.new_file(file.name()).await.map_err(sink)?;
    let (key, context) =
        file_grant::accept(&grant).ok_or_else(|| SinkError::Unreachable("the keeper's grant for a result file cannot be read".into()))?;
    let mut beginning = BytesMut::new();
    let sealer = Sealer::begin(key, &context, &mut rand::rng(), &mut beginning);
    Ok((grant.uid, sealer, beginning))
}

async fn send_whole(keeper: &Keeper, file: FileKind, plain: &[u8]) -> Result<String, SinkError> {
    let (uid, mut sealer, mut sealed) = begin(keeper, file).await?;
    sealer.update(plain, &mut sealed).map_err(std::io::Error::other)?;
    sealer.finish(&mut sealed).map_err(std::io::Error::other)?;
    keeper.write_whole_file(&uid, sealed.freeze()).await.map_err(sink)?;
    Ok(uid)
}

impl Stream {
    async fn begin(keeper: Arc<Keeper>, file: FileKind) -> Result<Self, SinkError> {
        let (uid, sealer, beginning) = begin(&keeper, file).await?;
        let (sealed, receiver) = mpsc::channel(IN_FLIGHT);
        let sending = tokio::spawn({
            let uid = uid.clone();
            async move { keeper.write_file(&uid, ReceiverStream::new(receiver).boxed()).await }
        });
        let mut stream = Self { uid, sealer, sealed, sending };
        stream.send(beginning).await;
        Ok(stream)
    }

    async fn write(&mut self, plain: &[u8]) -> Result<(), SinkError> {
        let mut sealed = BytesMut::with_capacity(plain.len() + 4096);
        self.sealer.update(plain, &mut sealed).map_err(std::io::Error::other)?;
        self.send(sealed).await;
        Ok(())
    }

    /// A closed channel means that sending has failed; `finish` says how.
    async fn send(&mut self, sealed: BytesMut) {
        if !sealed.is_empty() {
            let _ = self.sealed.send(Ok(sealed.freeze())).await;
        }
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
        let mut stream = match self.open.remove(&file).unwrap_or_else(|| Writing::Small(BytesMut::new())) {
            Writing::Small(mut plain) if plain.len() + bytes.len() < SMALL => {
                plain.extend_from_slice(&bytes);
                self.open.insert(file, Writing::Small(plain));
                return Ok(());
            }
            Writing::Small(plain) => {
                let mut stream = Box::new(Stream::begin(self.keeper.clone(), file).await?);
                stream.write(&plain).await?;
                stream
            }
            Writing::Streamed(stream) => stream,
        };
        stream.write(&bytes).await?;
        if stream.sending.is_finished() {
            let ended = stream.finish().await.map(drop);
            if let Err(SinkError::Full(why)) = &ended {
                self.full = Some(why.clone());
            }
            return ended;
        }
        self.open.insert(file, Writing::Streamed(stream));
        Ok(())
    }

    async fn finish(&mut self) -> Result<Vec<(FileKind, String)>, SinkError> {
        if let Some(why) = self.full.take() {
            return Err(SinkError::Full(why));
        }
        let ends = std::mem::take(&mut self.open).into_iter().map(|(kind, writing)| {
            let keeper = self.keeper.clone();
            async move {
                let uid = match writing {
                    Writing::Small(plain) => send_whole(&keeper, kind, &plain).await?,
                    Writing::Streamed(stream) => stream.finish().await?,
                };
                Ok((kind, uid))
            }
        });
        try_join_all(ends).await
    }
}

fn sink(error: CallError) -> SinkError {
    match error {
        CallError::Refused => SinkError::Fenced,
        CallError::Answered(StatusCode::PAYLOAD_TOO_LARGE, why) => SinkError::Full(why),
        error => SinkError::Unreachable(error.to_string()),
    }
}
