//! The uploaded file as a stream of plain bytes: ciphertext from the keeper, opened here, its length and SHA-256 compared with what
//! the keeper counted when it arrived. The last part is held back until both agree.

use std::io;
use std::sync::Arc;

use api::keeper::UploadGrant;
use bytes::{Bytes, BytesMut};
use engine::load::StopSignal;
use envelope::stream::Opener;
use futures::stream::{BoxStream, StreamExt as _, try_unfold};
use sha2::{Digest as _, Sha256};

use super::keeper::Keeper;
use crate::file_grant;

struct Reading {
    response: reqwest::Response,
    opener: Opener,
    digest: Sha256,
    bytes: u64,
    expected: (u64, String),
    /// Opened and not handed on yet.
    held: BytesMut,
}

pub(super) fn stream(keeper: Arc<Keeper>, grant: UploadGrant, stop_signal: StopSignal) -> BoxStream<'static, io::Result<Bytes>> {
    let beginning = UploadState::Granted(keeper, Box::new(grant), stop_signal);
    try_unfold(beginning, next).boxed()
}

enum UploadState {
    Granted(Arc<Keeper>, Box<UploadGrant>, StopSignal),
    Reading(Box<Reading>),
    Ended,
}

async fn next(state: UploadState) -> io::Result<Option<(Bytes, UploadState)>> {
    let mut reading = match state {
        UploadState::Granted(keeper, grant, stop_signal) => Box::new(begin(&keeper, &grant, &stop_signal).await?),
        UploadState::Reading(reading) => reading,
        UploadState::Ended => return Ok(None),
    };
    loop {
        match reading.response.chunk().await.map_err(|error| io::Error::other(connect::diagnose(&error).text))? {
            Some(sealed) => {
                let ready = reading.held.split().freeze();
                reading.take(&sealed)?;
                if !ready.is_empty() {
                    return Ok(Some((ready, UploadState::Reading(reading))));
                }
            }
            None => {
                let last = reading.end()?;
                return Ok((!last.is_empty()).then_some((last, UploadState::Ended)));
            }
        }
    }
}

async fn begin(keeper: &Keeper, grant: &UploadGrant, stop_signal: &StopSignal) -> io::Result<Reading> {
    let (key, context) =
        file_grant::accept(&grant.file).ok_or_else(|| io::Error::other("the keeper's grant for the upload cannot be read"))?;
    let response = keeper.read_file(&grant.file.uid).await.map_err(|error| {
        error.stop_run(stop_signal);
        io::Error::other(error)
    })?;
    Ok(Reading {
        response,
        opener: Opener::new(key, context),
        digest: Sha256::new(),
        bytes: 0,
        expected: (grant.bytes, grant.sha256.clone()),
        held: BytesMut::new(),
    })
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

fn damaged(error: envelope::OpenError) -> io::Error {
    io::Error::other(format!("the upload cannot be opened: {error}"))
}
