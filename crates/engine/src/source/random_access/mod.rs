//! Formats that say at the end of a file where everything in it is. A file that fits into the memory for it is held as it came; of a larger one
//! each part is fetched when it is read, if its place gives parts and knows whether it is still the same file.
//!
//! [`Content`] (a file as it comes) → [`RandomAccess`] (`fetched`: its parts over the network) → read on a thread that may block (`threaded`)

mod fetched;
mod threaded;

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut, buf};
use futures::StreamExt;
use tokio_util::sync::DropGuard;

use self::fetched::{Fetched, FetchedReader};
pub(super) use self::threaded::{HeldRows, Threaded};
use super::blob::{Blob, BlobError, ByteStream, Identity};
use super::{FileError, ReadError};
use crate::Memory;

/// Bytes of the end of a file that are fetched at once.
const END: u64 = 64 << 10;

/// The bytes of a file as they come, and where parts of it can be asked for.
pub(super) struct Content {
    pub(super) bytes: ByteStream,
    /// Absent when nothing but these bytes is there, such as for what is unpacked.
    place: Option<(Arc<dyn Blob>, Identity)>,
}

impl Content {
    /// `identity`: of the file that `bytes` are the whole of.
    pub(super) fn of(bytes: ByteStream, blob: Arc<dyn Blob>, identity: Identity) -> Self {
        Self { bytes, place: Some((blob, identity)) }
    }

    /// Any part of the file. `too_large`: that it can neither be held nor be fetched in parts.
    pub(super) async fn random_access(self, memory: Memory, too_large: impl FnOnce(usize) -> FileError) -> Result<RandomAccess, ReadError> {
        let limit = memory.file();
        if let Some((blob, identity)) = self.place
            && identity.length.is_some_and(|length| length > limit as u64)
        {
            // What was on its way is not wanted.
            drop(self.bytes);
            return match Fetched::open(blob, identity, END).await? {
                Some(fetched) => Ok(RandomAccess::Fetched(fetched)),
                None => Err(too_large(limit).into()),
            };
        }
        whole(self.bytes, limit, too_large).await.map(RandomAccess::Held)
    }
}

impl From<ByteStream> for Content {
    fn from(bytes: ByteStream) -> Self {
        Self { bytes, place: None }
    }
}

/// All bytes of the file, unless they are more than the limit.
async fn whole(mut bytes: ByteStream, limit: usize, too_large: impl FnOnce(usize) -> FileError) -> Result<Bytes, ReadError> {
    let mut all = BytesMut::new();
    while let Some(piece) = bytes.next().await {
        let piece = piece.map_err(BlobError::from)?;
        if all.len() + piece.len() > limit {
            return Err(too_large(limit).into());
        }
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// A file of which any part can be read, by a thread that may block.
#[derive(Clone)]
pub(super) enum RandomAccess {
    /// In memory, as it came.
    Held(Bytes),
    /// Where it is kept.
    Fetched(Fetched),
}

impl RandomAccess {
    /// In bytes.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Fetched(fetched) => fetched.len(),
        }
    }

    /// What of it takes memory as long as it is read.
    pub(super) fn held(&self) -> usize {
        match self {
            Self::Held(bytes) => bytes.len(),
            Self::Fetched(_) => 0,
        }
    }

    /// Why a part of it did not come, once. What was made of the file meanwhile is worth nothing.
    pub(super) fn failure(&self) -> Option<BlobError> {
        match self {
            Self::Held(_) => None,
            Self::Fetched(fetched) => fetched.failure(),
        }
    }

    /// When this is dropped, no thread waits for a part any more.
    pub(super) fn guard(&self) -> Option<DropGuard> {
        match self {
            Self::Held(_) => None,
            Self::Fetched(fetched) => Some(fetched.guard()),
        }
    }

    /// Its first bytes, so many if there are.
    pub(super) fn head(&self, count: u64) -> io::Result<Bytes> {
        self.part(0..count.min(self.len()))
    }

    /// All bytes of a part. Who asks knows how many those are: they are held.
    pub(super) fn part(&self, range: Range<u64>) -> io::Result<Bytes> {
        match self {
            Self::Held(bytes) => slice(bytes, &range),
            Self::Fetched(fetched) => fetched.part(range),
        }
    }

    /// The bytes of a part one after the other.
    pub(super) fn reader(&self, range: Range<u64>) -> io::Result<PartReader> {
        match self {
            Self::Held(bytes) => Ok(PartReader::Held(slice(bytes, &range)?.reader())),
            Self::Fetched(fetched) => Ok(PartReader::Fetched(fetched.reader(range)?)),
        }
    }

    /// The same, as they come. Wants a runtime.
    pub(super) fn stream(&self, range: Range<u64>) -> io::Result<ByteStream> {
        match self {
            Self::Held(bytes) => Ok(pieces(slice(bytes, &range)?)),
            Self::Fetched(fetched) => fetched.stream(range),
        }
    }
}

impl From<Bytes> for RandomAccess {
    fn from(bytes: Bytes) -> Self {
        Self::Held(bytes)
    }
}

/// A file may say that a part of it is where there is nothing.
fn check(range: &Range<u64>, length: u64) -> io::Result<()> {
    if range.start <= range.end && range.end <= length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> io::Result<Bytes> {
    check(range, bytes.len() as u64)?;
    // Both fit, as the length does.
    Ok(bytes.slice(range.start as usize..range.end as usize))
}

/// In pieces that are worked on one at a time.
const PIECE: usize = 64 << 10;

fn pieces(bytes: Bytes) -> ByteStream {
    let length = bytes.len();
    let pieces = (0..length).step_by(PIECE).map(move |start| Ok(bytes.slice(start..(start + PIECE).min(length))));
    futures::stream::iter(pieces).boxed()
}

/// Reads a part from its start.
pub(super) enum PartReader {
    Held(buf::Reader<Bytes>),
    Fetched(FetchedReader),
}

impl Read for PartReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Held(bytes) => bytes.read(into),
            Self::Fetched(bytes) => bytes.read(into),
        }
    }
}

#[cfg(test)]
mod tests;
