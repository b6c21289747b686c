//! A file that stays where it is: each part is asked for when it is read.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use futures::stream::{StreamExt, TryStreamExt, once};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::check;
use crate::source::blob::{Blob, BlobError, ByteStream, Identity, Pace, ahead, whole};

/// A file of which parts are fetched. Clones are of the same file.
#[derive(Clone)]
pub(in crate::source) struct Fetched(Arc<Shared>);

struct Shared {
    place: Place,
    length: u64,
    end: Bytes,
    /// Nobody wants it any more.
    gone: CancellationToken,
    /// The first thing that went wrong on the way. Readers of a format take what they are told for damage.
    failure: Mutex<Option<BlobError>>,
}

#[derive(Clone)]
struct Place {
    blob: Arc<dyn Blob>,
    identity: Identity,
    /// Of all parts: one after the other may come too slowly, too.
    pace: Pace,
}

impl Place {
    /// The bytes of a part; nothing is asked for before they are.
    fn bytes(self, range: Range<u64>) -> ByteStream {
        let length = range.end - range.start;
        let Self { blob, identity, .. } = self;
        let opening = async move { blob.open(range.into(), &identity).await.map_err(io::Error::other) };
        whole(once(opening).try_flatten().boxed(), Some(length))
    }

    /// The same, fetched ahead. Whoever counts how long it waits counts its own waiting, not that of the one who fetches.
    fn stream(self, range: Range<u64>) -> ByteStream {
        self.pace.clone().of(ahead(self.bytes(range)))
    }

    async fn part(self, range: Range<u64>) -> io::Result<Bytes> {
        let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
        let mut bytes = self.pace.clone().of(self.bytes(range));
        while let Some(piece) = bytes.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all.freeze())
    }
}

impl Fetched {
    /// Fetches so many bytes of its end, at which every format looks first. `None`: its place gives no parts, or does not tell whether they are all of
    /// the same file.
    pub(super) async fn open(blob: Arc<dyn Blob>, identity: Identity, end: u64) -> Result<Option<Self>, BlobError> {
        let (Some(length), Some(_)) = (identity.length, &identity.version) else { return Ok(None) };
        let place = Place { blob, identity, pace: Pace::default() };
        match place.clone().part(length.saturating_sub(end)..length).await.map_err(BlobError::from) {
            Ok(end) => {
                let (gone, failure) = (CancellationToken::new(), Mutex::default());
                Ok(Some(Self(Arc::new(Shared { place, length, end, gone, failure }))))
            }
            Err(BlobError::NoParts) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.0.length
    }

    pub(super) fn part(&self, range: Range<u64>) -> io::Result<Bytes> {
        check(&range, self.0.length)?;
        let end = self.0.length - self.0.end.len() as u64;
        if range.start >= end {
            return Ok(self.0.end.slice((range.start - end) as usize..(range.end - end) as usize));
        }
        self.wait_for(self.0.place.clone().part(range))
    }

    pub(super) fn reader(&self, range: Range<u64>) -> io::Result<FetchedReader> {
        check(&range, self.0.length)?;
        Ok(FetchedReader { file: self.clone(), state: Reading::Closed(range) })
    }

    pub(super) fn stream(&self, range: Range<u64>) -> io::Result<ByteStream> {
        check(&range, self.0.length)?;
        Ok(self.0.place.clone().stream(range))
    }

    /// When this is dropped, nothing is waited for any more.
    pub(super) fn guard(&self) -> DropGuard {
        self.0.gone.clone().drop_guard()
    }

    /// What went wrong, once.
    pub(super) fn failure(&self) -> Option<BlobError> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Blocks the thread.
    fn wait_for<T>(&self, coming: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let come = Handle::current().block_on(async { self.0.gone.run_until_cancelled(coming).await });
        come.unwrap_or_else(|| Err(io::Error::other("nobody reads the file any more"))).map_err(|error| {
            let mut failure = self.0.failure.lock().unwrap_or_else(PoisonError::into_inner);
            failure.get_or_insert_with(|| BlobError::from(error));
            io::Error::other("a part of the file does not come")
        })
    }
}

/// Reads a part that is fetched meanwhile.
pub(in crate::source) struct FetchedReader {
    file: Fetched,
    state: Reading,
}

enum Reading {
    /// Nothing was asked for yet.
    Closed(Range<u64>),
    Open(ByteStream, Bytes),
}

impl Read for FetchedReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Reading::Closed(range) = &self.state {
            if range.is_empty() {
                return Ok(0);
            }
            // The task that reads ahead is begun where there is a runtime.
            let _runtime = Handle::current().enter();
            self.state = Reading::Open(self.file.stream(range.clone())?, Bytes::new());
        }
        let Reading::Open(bytes, piece) = &mut self.state else { return Ok(0) };
        while piece.is_empty() {
            match self.file.wait_for(bytes.try_next())? {
                Some(next) => *piece = next,
                None => return Ok(0),
            }
        }
        let count = piece.len().min(into.len());
        piece.split_to(count).copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
