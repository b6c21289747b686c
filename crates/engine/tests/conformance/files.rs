//! Files: in memory and as the stream of an upload, packed and not, CSV and JSON.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_compression::Level;
use async_compression::tokio::bufread::GzipEncoder;
use async_trait::async_trait;
use bytes::Bytes;
use connect::Span;
use engine::source::blob::{Blob, BlobError, ByteStream, Identity, MemoryBlob, Turns, UploadBlob};
use engine::source::{FileSource, Said};
use futures::future::ready;
use futures::{StreamExt, TryStreamExt, stream};
use tokio_util::io::{ReaderStream, StreamReader};

use super::{Implementation, Kind, Made, Wire};

const PIECE: usize = 64 << 10;

/// A file of one format, packed in one way, that comes in one way.
pub(crate) struct Files {
    name: &'static str,
    kind: Kind,
    pack: fn(ByteStream) -> ByteStream,
    layout: Layout,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(crate) enum Layout {
    Csv,
    Json,
}

pub(crate) const MEMORY: Files = Files { name: "memory", kind: Kind::File, pack: |bytes| bytes, layout: Layout::Csv };
pub(crate) const UPLOAD: Files = Files { name: "upload", kind: Kind::Stream, ..MEMORY };
pub(crate) const GZIP: Files = Files { name: "gzip", pack: gzip, ..UPLOAD };
pub(crate) const ZSTD: Files = Files { name: "zstd", pack: zstd, ..UPLOAD };
pub(crate) const JSON: Files = Files { name: "NDJSON", layout: Layout::Json, ..UPLOAD };

/// Stored blocks, so that as many bytes come as are meant.
fn gzip(bytes: ByteStream) -> ByteStream {
    ReaderStream::new(GzipEncoder::with_quality(StreamReader::new(bytes), Level::Precise(0))).boxed()
}

/// A frame for each piece: letters that repeat themselves would be packed to nothing.
fn zstd(bytes: ByteStream) -> ByteStream {
    bytes.map_ok(|piece| zstd_stored(&piece)).boxed()
}

/// A frame of one raw block at a time (RFC 8878, 3.1.1): its header tells the window only.
pub(crate) fn zstd_stored(text: &[u8]) -> Bytes {
    let mut frame = b"\x28\xB5\x2F\xFD\x00\x58".to_vec();
    let blocks = text.chunks(64 << 10).collect::<Vec<_>>();
    for (number, block) in blocks.iter().enumerate() {
        let header = (block.len() as u32) << 3 | u32::from(number + 1 == blocks.len());
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame.into()
}

impl Files {
    fn made(&self, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Made {
        let columns = serde_json::json!({"json": {"columns": ["id", "text"]}});
        let format = (self.layout == Layout::Json).then(|| serde_json::from_value(columns).unwrap());
        let said = Said { format, ..Said::default() };
        if self.kind == Kind::File {
            let wire = Watched { blob: Arc::new(MemoryBlob::new(pieces.collect::<Vec<_>>().concat(), PIECE)), tap: Tap::default() };
            return Made { source: Box::new(FileSource::new(wire.clone(), said)), wire: Box::new(wire) };
        }
        let tap = Tap::default();
        let blob = UploadBlob::new(tap.through((self.pack)(stream::iter(pieces.map(Ok)).boxed())));
        Made { source: Box::new(FileSource::new(blob, said)), wire: Box::new(tap) }
    }
}

#[async_trait]
impl Implementation for Files {
    fn name(&self) -> &'static str {
        self.name
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn broken_rows(&self) -> &'static str {
        match self.layout {
            Layout::Csv => "id,text\n1,a\n2\n3,c,d\n4,e\n",
            Layout::Json => "{\"id\":1,\"text\":\"a\"}\n{\"id\":2\n{\"id\":3}}\n{\"id\":4,\"text\":\"e\"}\n",
        }
    }

    async fn numbers(&self, count: u64, width: usize, _: &[&str]) -> Made {
        match self.layout {
            Layout::Csv => self.made(lines(count, width)),
            Layout::Json => {
                let text = "x".repeat(width);
                let each = (PIECE / (width + 20)).max(1) as u64;
                self.made((0..count.div_ceil(each)).map(move |piece| {
                    let ids = piece * each + 1..=((piece + 1) * each).min(count);
                    ids.map(|id| format!("{{\"id\":{id},\"text\":\"{text}\"}}\n")).collect::<String>().into()
                }))
            }
        }
    }

    async fn written(&self, text: &str, _: &[&str]) -> Made {
        self.made(std::iter::once(Bytes::copy_from_slice(text.as_bytes())))
    }
}

/// The file in pieces, made as they are asked for.
pub(crate) fn lines(count: u64, width: usize) -> impl Iterator<Item = Bytes> + Send + use<> {
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
    async fn identity(&self, name: Option<&str>, turns: Option<&Turns>) -> Result<Identity, BlobError> {
        self.blob.identity(name, turns).await
    }

    async fn open(&self, span: Span, identity: &Identity) -> Result<ByteStream, BlobError> {
        Ok(self.tap.through(self.blob.open(span, identity).await?))
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
