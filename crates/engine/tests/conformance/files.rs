//! CSV files: in memory, and as the stream of an upload.

use std::io;
use std::ops::RangeFrom;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use engine::source::FileSource;
use engine::source::blob::{Blob, BlobError, ByteStream, Identity, MemoryBlob, UploadBlob};
use futures::future::ready;
use futures::{StreamExt, stream};

use super::{Implementation, Kind, Made, Wire};

const PIECE: usize = 64 << 10;

pub(crate) struct Memory;

#[async_trait]
impl Implementation for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn kind(&self) -> Kind {
        Kind::File
    }

    async fn numbers(&self, count: u64, width: usize, _: &[&str]) -> Made {
        let text: Vec<Bytes> = lines(count, width).collect();
        in_memory(text.concat())
    }

    async fn written(&self, text: &str, _: &[&str]) -> Made {
        in_memory(text.as_bytes().to_vec())
    }
}

fn in_memory(content: Vec<u8>) -> Made {
    let wire = Watched { blob: Arc::new(MemoryBlob::new(content, PIECE)), tap: Tap::default() };
    Made { source: Box::new(FileSource::new(wire.clone(), None)), wire: Box::new(wire) }
}

pub(crate) struct Upload;

#[async_trait]
impl Implementation for Upload {
    fn name(&self) -> &'static str {
        "upload"
    }

    fn kind(&self) -> Kind {
        Kind::Stream
    }

    async fn numbers(&self, count: u64, width: usize, _: &[&str]) -> Made {
        streamed(stream::iter(lines(count, width).map(Ok)).boxed())
    }

    async fn written(&self, text: &str, _: &[&str]) -> Made {
        let text = Bytes::copy_from_slice(text.as_bytes());
        streamed(stream::iter([Ok(text)]).boxed())
    }
}

fn streamed(bytes: ByteStream) -> Made {
    let tap = Tap::default();
    let blob = UploadBlob::new(tap.through(bytes));
    Made { source: Box::new(FileSource::new(blob, None)), wire: Box::new(tap) }
}

/// The file in pieces, made as they are asked for.
pub(crate) fn lines(count: u64, width: usize) -> impl Iterator<Item = Bytes> + Send {
    let text = "x".repeat(width);
    let each = (PIECE / (width + 8)).max(1) as u64;
    let rows = (0..count.div_ceil(each)).map(move |piece| {
        let ids = piece * each + 1..=((piece + 1) * each).min(count);
        ids.map(|id| format!("{id},{text}\n")).collect::<String>().into()
    });
    std::iter::once(Bytes::from_static(b"id,text\n")).chain(rows)
}

/// Counts what comes, and can make it end.
#[derive(Clone, Default)]
struct Tap {
    carried: Arc<AtomicU64>,
    cut: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Tap {
    fn through(&self, bytes: ByteStream) -> ByteStream {
        let (tap, ended) = (self.clone(), self.ended.clone());
        let bytes = bytes.take_while(move |_| ready(!ended.load(Ordering::SeqCst)));
        let passed = bytes.map(move |piece| {
            let piece: Bytes = piece?;
            if tap.cut.load(Ordering::SeqCst) {
                return Err(io::Error::new(io::ErrorKind::ConnectionReset, "the stream was cut"));
            }
            tap.carried.fetch_add(piece.len() as u64, Ordering::SeqCst);
            Ok(piece)
        });
        passed.boxed()
    }
}

impl Wire for Tap {
    fn carried(&self) -> u64 {
        self.carried.load(Ordering::SeqCst)
    }

    fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }

    fn end_early(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    fn replace(&self) -> bool {
        false
    }
}

#[derive(Clone)]
struct Watched {
    blob: Arc<MemoryBlob>,
    tap: Tap,
}

#[async_trait]
impl Blob for Watched {
    async fn identity(&self) -> Result<Identity, BlobError> {
        self.blob.identity().await
    }

    async fn open(&self, range: RangeFrom<u64>, identity: &Identity) -> Result<ByteStream, BlobError> {
        Ok(self.tap.through(self.blob.open(range, identity).await?))
    }
}

impl Wire for Watched {
    fn carried(&self) -> u64 {
        self.tap.carried()
    }

    fn cut(&self) {
        self.tap.cut();
    }

    fn end_early(&self) {
        self.tap.end_early();
    }

    fn replace(&self) -> bool {
        self.blob.replace("id,text\n9,other\n");
        true
    }
}
