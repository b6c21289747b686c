//! Files that are packed: gzip and Zstandard as they come, a ZIP archive by the list at its end. What comes out is read
//! like any other file; nothing is unpacked twice, and nothing touches a disk.

mod zip;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_compression::tokio::bufread::{DeflateDecoder, GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt, try_unfold};
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::blob::{BlobError, ByteStream};
use super::kind::{self, Zipped};
use super::random_access::Content;
use super::{FileError, ReadError};
use crate::Memory;

/// How a file is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
    Zip,
}

/// Bytes of what is unpacked that come at once.
const PIECE: usize = 64 << 10;

/// How much may come out of a file.
#[derive(Clone, Copy)]
struct Bounds {
    /// As many bytes may come out of any file.
    harmless: u64,
    /// Beyond that, how many times larger than the packed file. Tables are packed to a tenth, sparse ones to a fiftieth.
    times: u64,
}

const BOUNDS: Bounds = Bounds { harmless: 256 << 20, times: 200 };

/// Memory for what a Zstandard frame refers back to, as a power of two: as much as its format asks every reader to have. `zstd` needs more
/// only with `--ultra` or `--long`.
const ZSTD_WINDOW: u32 = 23;

impl Packing {
    /// By the first bytes. Workbooks are ZIP archives inside; they are none here.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(b"\x1F\x8B") {
            Some(Self::Gzip)
        } else if head.starts_with(b"\x28\xB5\x2F\xFD") || is_skippable_frame(head) {
            Some(Self::Zstd)
        } else {
            (kind::zipped(head) == Some(Zipped::Archive)).then_some(Self::Zip)
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip-compressed",
            Self::Zstd => "Zstandard-compressed",
            Self::Zip => "a ZIP archive",
        }
    }
}

/// Zstandard's frames for other things, with which its files may begin.
fn is_skippable_frame(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..])
}

/// The bytes of the file that is packed in there. `member`: which one of an archive.
pub(super) async fn unpack(packing: Packing, content: Content, member: Option<&str>, memory: Memory) -> Result<ByteStream, ReadError> {
    unpack_within(BOUNDS, packing, content, member, memory).await
}

async fn unpack_within(
    bounds: Bounds,
    packing: Packing,
    content: Content,
    member: Option<&str>,
    memory: Memory,
) -> Result<ByteStream, ReadError> {
    match packing {
        Packing::Gzip => Ok(inflate(bounds, packing, content.bytes, |reader| {
            let mut decoder = GzipDecoder::new(reader);
            // Files that were packed one by one and joined are one file.
            decoder.multiple_members(true);
            decoder
        })),
        Packing::Zstd => Ok(inflate(bounds, packing, content.bytes, |reader| {
            let mut decoder = ZstdDecoder::with_params(reader, &[DParameter::window_log_max(ZSTD_WINDOW)]);
            decoder.multiple_members(true);
            decoder
        })),
        Packing::Zip => zip::member(bounds, content, member, memory).await,
    }
}

type Packed = StreamReader<ByteStream, Bytes>;

fn inflate<D: AsyncRead + Send + 'static>(
    bounds: Bounds,
    packing: Packing,
    bytes: ByteStream,
    decoder: impl FnOnce(Packed) -> D,
) -> ByteStream {
    let read = Arc::new(AtomicU64::new(0));
    let counted = {
        let read = read.clone();
        bytes.inspect_ok(move |piece| _ = read.fetch_add(piece.len() as u64, Ordering::Relaxed)).map_err(Below::mark)
    };
    let out = ReaderStream::with_capacity(decoder(StreamReader::new(counted.boxed())), PIECE).boxed();
    try_unfold((out, 0), move |(mut out, unpacked)| {
        let read = read.clone();
        async move {
            let Some(piece) = out.next().await.transpose().map_err(|error| Below::unmark(error, packing))? else { return Ok(None) };
            let unpacked = unpacked + piece.len() as u64;
            if unpacked > bounds.harmless && unpacked / bounds.times > read.load(Ordering::Relaxed) {
                return Err(io::Error::other(FileError::UnpacksTooFar { what: packing.name(), times: bounds.times }));
            }
            Ok(Some((piece, (out, unpacked))))
        }
    })
    .boxed()
}

/// Marks errors of the packed bytes on their way through a decoder, whose own errors mean that the file is broken.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct Below(io::Error);

impl Below {
    fn mark(error: io::Error) -> io::Error {
        io::Error::other(Self(error))
    }

    fn unmark(error: io::Error, packing: Packing) -> io::Error {
        match error.downcast::<Self>() {
            Ok(Self(below)) => below,
            Err(own) => io::Error::other(FileError::Unpack { what: packing.name(), why: own.to_string() }),
        }
    }
}

/// A stream that ends with an error of its own is understood.
impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.downcast::<FileError>() {
            Ok(error) => Self::File(error),
            Err(error) => Self::Blob(BlobError::from(error)),
        }
    }
}

#[cfg(test)]
mod tests;
