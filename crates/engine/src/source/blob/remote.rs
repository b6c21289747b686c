//! A file at a server.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use connect::{FileBytes, FileError, FileState, RemoteFiles, Span};
use futures::{StreamExt, stream};

use super::listing::NotChosen;
use super::newest::newest;
use super::pattern::Pattern;
use super::turn::Turns;
use super::{Blob, BlobError, ByteStream, Identity};
use crate::load::TROUBLE;

/// How often in a row a file is asked for in vain, or gives no byte, before a stream of it ends.
const IN_VAIN: u32 = 4;

/// How often a stream goes on in all. A server that gives a byte for each request must not be asked for ever.
const IN_ALL: u32 = 100;

/// A stream that breaks goes on where it is, if the file is still the same.
pub struct RemoteBlob {
    files: Arc<dyn RemoteFiles>,
    path: String,
}

impl RemoteBlob {
    /// The file with this path there; where it has a `*`, the newest that matches. Nothing is asked of the server yet.
    pub fn new(files: Arc<dyn RemoteFiles>, path: String) -> Self {
        Self { files, path }
    }

    /// Path and mark of the file that is meant, where several may be.
    async fn chosen(&self, name: Option<&str>, turns: Option<&Turns>) -> Result<(Option<String>, Option<String>), BlobError> {
        let Some(pattern) = Pattern::of(&self.path) else { return Ok((None, None)) };
        let mut troubles = Troubles::default();
        loop {
            let chosen = match (turns, name) {
                (Some(turns), name) => turns.next(&*self.files, &pattern, name).await.map(|(path, mark)| (path, Some(mark))),
                (None, Some(name)) => Ok((name.to_owned(), None)),
                (None, None) => newest(&*self.files, &pattern).await.map(|path| (path, None)),
            };
            match chosen {
                Ok((path, mark)) => return Ok((Some(path), mark)),
                Err(NotChosen::Names(error)) => return Err(error),
                Err(NotChosen::Server(error)) => troubles.wait_after(error).await?,
            }
        }
    }
}

#[async_trait]
impl Blob for RemoteBlob {
    async fn identity(&self, name: Option<&str>, turns: Option<&Turns>) -> Result<Identity, BlobError> {
        let (name, mark) = self.chosen(name, turns).await?;
        let mut troubles = Troubles::default();
        loop {
            match self.files.look(name.as_ref().unwrap_or(&self.path)).await {
                Ok(FileState { length, version }) => return Ok(Identity { length, version, name, mark }),
                Err(error) => troubles.wait_after(error).await?,
            }
        }
    }

    async fn open(&self, Span { from, until }: Span, identity: &Identity) -> Result<ByteStream, BlobError> {
        let Identity { length, version, name, .. } = identity.clone();
        let mut reading = Reading {
            files: self.files.clone(),
            path: name.unwrap_or_else(|| self.path.clone()),
            state: FileState { length, version },
            at: from,
            until,
            bytes: None,
            troubles: Troubles::default(),
        };
        reading.begin().await?;
        Ok(stream::try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await.map_err(io::Error::other)?;
            Ok(piece.map(|piece| (piece, reading)))
        })
        .boxed())
    }
}

/// Where a stream is.
struct Reading {
    files: Arc<dyn RemoteFiles>,
    path: String,
    state: FileState,
    at: u64,
    until: Option<u64>,
    bytes: Option<FileBytes>,
    troubles: Troubles,
}

impl Reading {
    async fn begin(&mut self) -> Result<(), BlobError> {
        while self.bytes.is_none() {
            match self.files.open(&self.path, Span { from: self.at, until: self.until }, &self.state).await {
                Ok(bytes) => self.bytes = Some(bytes),
                Err(error) => self.troubles.wait_after(error).await?,
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        loop {
            self.begin().await?;
            let piece = match &mut self.bytes {
                Some(bytes) => bytes.next().await,
                None => None,
            };
            match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    self.at += piece.len() as u64;
                    self.troubles.are_over();
                    return Ok(Some(piece));
                }
                // Whether it is still the same file nobody could tell; the next attempt compares rows.
                Some(Err(error)) if self.state.version.is_none() => return Err(error.into()),
                Some(Err(error)) => {
                    self.bytes = None;
                    self.troubles.wait_after(error).await?;
                }
                // Whether that was all is seen by `whole`, which counts up to the length.
                None => return Ok(None),
            }
        }
    }
}

/// What went wrong so far and may pass.
#[derive(Default)]
pub(super) struct Troubles {
    in_vain: u32,
    in_all: u32,
}

impl Troubles {
    /// Comes back when it is time to ask again, with the error if there is no use in that.
    pub(super) async fn wait_after(&mut self, error: FileError) -> Result<(), FileError> {
        self.in_vain += 1;
        self.in_all += 1;
        let passing = matches!(&error, FileError::Failed(error) if error.is_transient());
        if !passing || self.in_vain >= IN_VAIN || self.in_all >= IN_ALL {
            return Err(error);
        }
        let wait = TROUBLE.spread(self.in_vain, rand::random());
        tracing::info!(error = %connect::explain(&error), ?wait, "a file is asked for again");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    pub(super) fn had_any(&self) -> bool {
        self.in_all > 0
    }

    fn are_over(&mut self) {
        self.in_vain = 0;
    }
}

impl From<FileError> for BlobError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Changed { .. } => Self::Changed,
            FileError::NoParts(_) => Self::NoParts,
            FileError::NotFound(_) | FileError::Path(_) => Self::Missing(error.to_string()),
            FileError::Failed(error) => Self::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::source::Remedy;

    /// A file of ten bytes whose stream breaks after four of them.
    struct Breaks {
        version: Option<String>,
        opened: Arc<AtomicUsize>,
    }

    #[async_trait]
    impl RemoteFiles for Breaks {
        async fn look(&self, _: &str) -> Result<FileState, FileError> {
            Ok(FileState { length: Some(10), version: self.version.clone() })
        }

        async fn list<'a>(&'a self, _: &'a str, _: &'a str) -> Result<connect::Entries<'a>, FileError> {
            unreachable!("the path names one file")
        }

        async fn open(&self, _: &str, Span { from, .. }: Span, state: &FileState) -> Result<FileBytes, FileError> {
            self.opened.fetch_add(1, Ordering::SeqCst);
            if from > 0 {
                assert!(state.version.is_some(), "nobody can tell whether it is the same file");
                return Ok(stream::iter([Ok(Bytes::from_static(b"o, you"))]).boxed());
            }
            let source = io::ErrorKind::ConnectionReset.into();
            let broken = connect::Error::Unreachable { target: "data.example:443".into(), source };
            Ok(stream::iter([Ok(Bytes::from_static(b"hell")), Err(broken.into())]).boxed())
        }
    }

    async fn read(version: Option<&str>) -> (Result<Vec<u8>, BlobError>, usize) {
        let opened = Arc::new(AtomicUsize::new(0));
        let blob = RemoteBlob::new(Arc::new(Breaks { version: version.map(str::to_owned), opened: opened.clone() }), "a.csv".into());
        let identity = blob.identity(None, None).await.unwrap();
        let mut bytes = blob.open(Span::ALL, &identity).await.unwrap();
        let mut found = Vec::new();
        while let Some(piece) = bytes.next().await {
            match piece {
                Ok(piece) => found.extend_from_slice(&piece),
                Err(error) => return (Err(error.into()), opened.load(Ordering::SeqCst)),
            }
        }
        (Ok(found), opened.load(Ordering::SeqCst))
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_a_version_is_left_to_the_next_attempt_and_not_called_another_one() {
        let (found, opened) = read(Some("v1")).await;
        assert_eq!((found.unwrap(), opened), (b"hello, you".to_vec(), 2));
        let (error, opened) = read(None).await;
        let error = error.unwrap_err();
        assert_eq!((error.remedy(), opened), (Remedy::Wait, 1), "{error}");
        assert!(!matches!(error, BlobError::Changed));
    }
}
