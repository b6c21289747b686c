//! A file: a blob, and the format that makes rows of it.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use api::import_job::Format as Said;
use async_trait::async_trait;

use super::blob::{Blob, BlobError, Identity, whole};
use super::{Format, QueryError, ReadError, Rows, Source, Start};
use crate::load::Reread;

/// A [`Source`] whose rows stand in a file.
pub struct FileSource {
    blob: Box<dyn Blob>,
    /// What the job says of it; CSV, with everything detected, when it says nothing.
    said: Option<Said>,
    /// What the blob was when it was first opened.
    first: OnceLock<Identity>,
}

impl FileSource {
    /// `said`: the `format` of the job's source; absent, the file is CSV and everything about it is detected.
    pub fn new(blob: impl Blob + 'static, said: Option<Said>) -> Self {
        Self { blob: Box::new(blob), said, first: OnceLock::new() }
    }
}

#[async_trait]
impl Source for FileSource {
    /// Records have no keys that could be gone on behind. Whether a later attempt finds the same bytes, the loader tells by the rows.
    fn reread(&self) -> Reread {
        Reread::FromStart
    }

    async fn open(&self, start: &Start, used: &BTreeSet<String>) -> Result<Box<dyn Rows>, ReadError> {
        if let Start::Behind { key, .. } = start {
            return Err(QueryError::KeyShape { expected: 0, found: key.len() }.into());
        }
        let format = Format::compile(self.said.as_ref())?;
        let identity = self.blob.identity().await?;
        if *self.first.get_or_init(|| identity.clone()) != identity {
            return Err(BlobError::Changed.into());
        }
        let bytes = self.blob.open(0.., &identity).await?;
        format.rows(whole(bytes, identity.length), used).await
    }
}
