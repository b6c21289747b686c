//! Bytes in memory.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use connect::Span;
use futures::{StreamExt, stream};

use super::{Blob, BlobError, ByteStream, Identity, Turns};

/// For tests and benchmarks: comes in pieces of a chosen size, and may be replaced by other bytes.
pub struct MemoryBlob {
    piece: usize,
    content: Mutex<(Bytes, u64)>,
}

impl MemoryBlob {
    /// # Panics
    /// Without any size of a piece there are no pieces.
    pub fn new(bytes: impl Into<Bytes>, piece: usize) -> Self {
        assert!(piece > 0, "pieces have a size");
        Self { piece, content: Mutex::new((bytes.into(), 0)) }
    }

    /// Puts other bytes in place of these; what is being read stays what it was.
    pub fn replace(&self, bytes: impl Into<Bytes>) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        *content = (bytes.into(), content.1 + 1);
    }

    fn now(&self) -> (Bytes, Identity) {
        let (bytes, version) = self.content.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let identity = Identity { length: Some(bytes.len() as u64), version: Some(version.to_string()), name: None, mark: None };
        (bytes, identity)
    }
}

#[async_trait]
impl Blob for MemoryBlob {
    async fn identity(&self, _: Option<&str>, _: Option<&Turns>) -> Result<Identity, BlobError> {
        Ok(self.now().1)
    }

    async fn open(&self, Span { from, until }: Span, identity: &Identity) -> Result<ByteStream, BlobError> {
        let (bytes, now) = self.now();
        if now != *identity {
            return Err(BlobError::Changed);
        }
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let (start, end) = (place(from), until.map_or(bytes.len(), place));
        let piece = self.piece;
        Ok(stream::unfold(bytes.slice(start..end.max(start)), move |mut rest| async move {
            let next = rest.split_to(piece.min(rest.len()));
            (!next.is_empty()).then_some((Ok(next), rest))
        })
        .boxed())
    }
}
