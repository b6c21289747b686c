//! A file on the disk of whoever runs the program.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connect::Span;
use futures::StreamExt;
use futures::stream::try_unfold;
use tokio::task::spawn_blocking;

use super::{Blob, BlobError, ByteStream, Identity, Turns};

/// Bytes that are read at once.
const PIECE: u64 = 256 << 10;

/// A regular file, which is read at any place. What else a path may lead to, such as a pipe, comes once.
pub struct LocalBlob(Arc<File>);

impl LocalBlob {
    /// The file as it is opened; another one in its place is not read.
    pub fn new(file: File) -> Self {
        Self(Arc::new(file))
    }
}

#[async_trait]
impl Blob for LocalBlob {
    async fn identity(&self, _: Option<&str>, _: Option<&Turns>) -> Result<Identity, BlobError> {
        let metadata = self.0.metadata().map_err(BlobError::Io)?;
        let version = format!("{}.{:09}", metadata.mtime(), metadata.mtime_nsec());
        Ok(Identity { length: Some(metadata.len()), version: Some(version), name: None, mark: None })
    }

    async fn open(&self, Span { from, until }: Span, identity: &Identity) -> Result<ByteStream, BlobError> {
        if self.identity(None, None).await? != *identity {
            return Err(BlobError::Changed);
        }
        // What is written behind its end meanwhile is not part of it.
        let end = until.into_iter().chain(identity.length).min().unwrap_or(from);
        let file = self.0.clone();
        Ok(try_unfold((file, from), move |(file, at)| async move {
            let count = end.saturating_sub(at).min(PIECE) as usize;
            let (reading, mut piece) = (file.clone(), vec![0; count]);
            let read = spawn_blocking(move || {
                let read = reading.read_at(&mut piece, at)?;
                piece.truncate(read);
                io::Result::Ok(Bytes::from(piece))
            });
            let piece = read.await.map_err(io::Error::other)??;
            let next = at + piece.len() as u64;
            Ok((!piece.is_empty()).then_some((piece, (file, next))))
        })
        .boxed())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use futures::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn any_part_of_a_file_is_read_as_long_as_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let content: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        fs::write(&path, &content).unwrap();
        let blob = LocalBlob::new(File::open(&path).unwrap());
        let identity = blob.identity(None, None).await.unwrap();
        let read = async |span: Span| Ok::<_, BlobError>(blob.open(span, &identity).await?.try_collect::<Vec<_>>().await?.concat());
        assert!(read(Span::ALL).await.unwrap() == content);
        assert!(read(Span::from(999_990..)).await.unwrap() == content[999_990..]);
        assert!(read(Span::from(10..700_000)).await.unwrap() == content[10..700_000]);
        assert!(read(Span::from(10..10)).await.unwrap().is_empty() && read(Span::from(2_000_000..)).await.unwrap().is_empty());
        // A path may lead elsewhere meanwhile; the file is the one that was opened.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "other").unwrap();
        assert!(read(Span::ALL).await.unwrap() == content);
    }

    #[tokio::test]
    async fn a_file_that_is_written_to_is_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        fs::write(&path, "id\n1\n").unwrap();
        let blob = LocalBlob::new(File::open(&path).unwrap());
        let identity = blob.identity(None, None).await.unwrap();
        let mut stream = blob.open(Span::ALL, &identity).await.unwrap();
        fs::write(&path, "id\n1\n2\n").unwrap();
        assert_eq!(stream.try_next().await.unwrap().unwrap(), "id\n1\n", "it ends where it ended");
        assert!(matches!(blob.open(Span::ALL, &identity).await.err(), Some(BlobError::Changed)));
    }
}
