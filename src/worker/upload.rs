//! The uploaded file as plain bytes: ciphertext from the keeper, opened here. Of the whole file length and SHA-256 are compared with what
//! the keeper counted when it arrived, and the last part is held back until both agree; of a part each chunk is authentic by itself.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use api::keeper::UploadGrant;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use connect::Span;
use engine::load::StopSignal;
use engine::source::blob::{Blob, BlobError, ByteStream, Identity, Turns};
use envelope::stream::{BEGINNING, Opener, PartOpener, SealedPart};
use envelope::{EncryptionContext, FileKey};
use futures::stream::{StreamExt as _, try_unfold};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::keeper::{CallError, Keeper};
use crate::file_grant;

/// The upload of a run.
pub(super) struct KeptUpload {
    keeper: Arc<Keeper>,
    grant: UploadGrant,
    stop_signal: StopSignal,
    /// Without which no part opens.
    beginning: OnceCell<Bytes>,
}

impl KeptUpload {
    pub(super) fn new(keeper: Arc<Keeper>, grant: UploadGrant, stop_signal: StopSignal) -> Self {
        Self { keeper, grant, stop_signal, beginning: OnceCell::new() }
    }

    fn key(&self) -> io::Result<(FileKey, EncryptionContext)> {
        file_grant::accept(&self.grant.file).ok_or_else(|| io::Error::other("the keeper's grant for the upload cannot be read"))
    }

    fn refused(&self, error: CallError) -> io::Error {
        error.stop_run(&self.stop_signal);
        io::Error::other(error)
    }

    async fn whole(&self) -> io::Result<ByteStream> {
        let (key, context) = self.key()?;
        let response = self.keeper.read_file(&self.grant.file.uid).await.map_err(|error| self.refused(error))?;
        let reading = Reading {
            response,
            opener: Opener::new(key, context),
            digest: Sha256::new(),
            bytes: 0,
            expected: (self.grant.bytes, self.grant.sha256.clone()),
            held: BytesMut::new(),
        };
        Ok(try_unfold(Some(Box::new(reading)), next).boxed())
    }

    async fn sealed(&self, range: Range<u64>) -> Result<reqwest::Response, BlobError> {
        let answer = self.keeper.read_part(&self.grant.file.uid, range).await;
        answer.map_err(|error| BlobError::Io(self.refused(error)))?.ok_or(BlobError::NoParts)
    }

    async fn beginning(&self) -> Result<Bytes, BlobError> {
        let answer = self.sealed(0..BEGINNING as u64).await?;
        answer.bytes().await.map_err(|error| BlobError::Io(broken(&error)))
    }

    async fn part(&self, content: Range<u64>) -> Result<ByteStream, BlobError> {
        let beginning = self.beginning.get_or_try_init(|| self.beginning()).await?;
        let (key, context) = self.key().map_err(BlobError::Io)?;
        let part = SealedPart::of(content, self.grant.bytes);
        let opener = PartOpener::begin(&key, &context, beginning, &part).map_err(|error| BlobError::Io(damaged(error)))?;
        let answer = self.sealed(part.sealed).await?;
        Ok(try_unfold(Some((answer, opener)), |state| async {
            let Some((mut answer, mut opener)) = state else { return Ok(None) };
            let mut opened = BytesMut::new();
            while let Some(sealed) = answer.chunk().await.map_err(|error| broken(&error))? {
                opener.update(&sealed, &mut opened).map_err(damaged)?;
                if !opened.is_empty() {
                    return Ok(Some((opened.freeze(), Some((answer, opener)))));
                }
            }
            opener.finish(&mut opened).map_err(damaged)?;
            Ok((!opened.is_empty()).then(|| (opened.freeze(), None)))
        })
        .boxed())
    }
}

#[async_trait]
impl Blob for KeptUpload {
    async fn identity(&self, _: Option<&str>, _: Option<&Turns>) -> Result<Identity, BlobError> {
        let (length, version) = (Some(self.grant.bytes), Some(self.grant.sha256.clone()));
        Ok(Identity { length, version, name: None, mark: None })
    }

    async fn open(&self, Span { from, until }: Span, _: &Identity) -> Result<ByteStream, BlobError> {
        let until = until.map_or(self.grant.bytes, |until| until.min(self.grant.bytes));
        match (from, until) {
            (0, until) if until == self.grant.bytes => self.whole().await.map_err(BlobError::Io),
            (from, until) if from < until => self.part(from..until).await,
            _ => Ok(futures::stream::empty().boxed()),
        }
    }
}

struct Reading {
    response: reqwest::Response,
    opener: Opener,
    digest: Sha256,
    bytes: u64,
    expected: (u64, String),
    /// Opened and not handed on yet.
    held: BytesMut,
}

async fn next(reading: Option<Box<Reading>>) -> io::Result<Option<(Bytes, Option<Box<Reading>>)>> {
    let Some(mut reading) = reading else { return Ok(None) };
    loop {
        match reading.response.chunk().await.map_err(|error| broken(&error))? {
            Some(sealed) => {
                let ready = reading.held.split().freeze();
                reading.take(&sealed)?;
                if !ready.is_empty() {
                    return Ok(Some((ready, Some(reading))));
                }
            }
            None => {
                let last = reading.end()?;
                return Ok((!last.is_empty()).then_some((last, None)));
            }
        }
    }
}

impl Reading {
    fn take(&mut self, sealed: &[u8]) -> io::Result<()> {
        let mut opened = BytesMut::with_capacity(sealed.len());
        self.opener.update(sealed, &mut opened).map_err(damaged)?;
        self.count(opened);
        Ok(())
    }

    fn count(&mut self, opened: BytesMut) {
        self.digest.update(&opened);
        self.bytes += opened.len() as u64;
        self.held.unsplit(opened);
    }

    fn end(mut self: Box<Self>) -> io::Result<Bytes> {
        let mut opened = BytesMut::new();
        let opener = self.opener;
        opener.finish(&mut opened).map_err(damaged)?;
        self.digest.update(&opened);
        self.bytes += opened.len() as u64;
        self.held.unsplit(opened);
        let found = (self.bytes, hex::encode(self.digest.finalize()));
        if found != self.expected {
            return Err(io::Error::other("the upload is not the file that arrived: upload it again"));
        }
        Ok(self.held.freeze())
    }
}

fn broken(error: &reqwest::Error) -> io::Error {
    io::Error::other(format!("the keeper's answer with the upload broke off: {}", connect::diagnose(error).text))
}

fn damaged(error: envelope::OpenError) -> io::Error {
    io::Error::other(format!("the upload cannot be opened: {error}"))
}
