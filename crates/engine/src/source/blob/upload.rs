//! The bytes of an upload, or of a pipe on a laptop.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use connect::Span;

use super::{Blob, BlobError, ByteStream, Identity, Turns};

/// Bytes that come once, from their start: the first caller that opens the blob takes them. Its identity is not known beforehand; the
/// maker of the stream compares length and digest at its end.
pub struct UploadBlob(Mutex<Option<ByteStream>>);

impl UploadBlob {
    /// A blob of these bytes, which [`Blob::open`] gives out once.
    pub fn new(bytes: ByteStream) -> Self {
        Self(Mutex::new(Some(bytes)))
    }
}

#[async_trait]
impl Blob for UploadBlob {
    async fn identity(&self, _: Option<&str>, _: Option<&Turns>) -> Result<Identity, BlobError> {
        Ok(Identity::default())
    }

    async fn open(&self, span: Span, _: &Identity) -> Result<ByteStream, BlobError> {
        let mut bytes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.take_if(|_| span == Span::ALL).ok_or(BlobError::Spent)
    }
}
