//! The files whose paths match.

use connect::{EntryKind, FileError, MOST_NAMES, RemoteFiles};
use futures::StreamExt;
use sha2::{Digest, Sha256};

use super::BlobError;
use super::pattern::Pattern;

/// So many files are looked at for one that is whole.
pub(super) const TRIED: usize = 8;

/// Bytes of the paths of folders that are still to be listed: a server may name folders without end.
const MOST_HELD: usize = 8 << 20;

/// A file that matches. The greater, the newer; of two that were written in the same second the one whose name is greater, which is the later
/// one where names count up.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Found {
    /// In seconds of Unix.
    modified: i64,
    pub(super) path: String,
    pub(super) length: u64,
}

impl Found {
    /// Tells it from every other file, and from itself once it is written anew. Short, as thousands of them are kept.
    pub(super) fn mark(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(self.modified.to_be_bytes());
        digest.update(self.length.to_be_bytes());
        digest.update(&self.path);
        hex::encode(&digest.finalize()[..16])
    }
}

/// Why none is chosen.
#[derive(Debug)]
pub(super) enum NotChosen {
    Server(FileError),
    Names(BlobError),
}

impl From<FileError> for NotChosen {
    fn from(error: FileError) -> Self {
        Self::Server(error)
    }
}

/// Tells of each file that matches, in no order; and how many names were looked at. No more is held than the folders to come.
pub(super) async fn each_match(files: &dyn RemoteFiles, pattern: &Pattern, mut found: impl FnMut(Found)) -> Result<usize, NotChosen> {
    let mut looked_at = 0;
    let start = pattern.start();
    let mut folders = vec![start.clone()];
    let mut held = 0_usize;
    let too_many = || NotChosen::Names(BlobError::TooManyNames { pattern: pattern.to_string() });
    while let Some((folder, depth)) = folders.pop() {
        held = held.saturating_sub(folder.len());
        let part = pattern.part(depth);
        let mut entries = match files.list(&folder, part.start()).await {
            Ok(entries) => entries,
            // It went since its name was listed.
            Err(FileError::NotFound(_)) if depth > start.1 => continue,
            Err(error) => return Err(error.into()),
        };
        while let Some(entry) = entries.next().await.transpose()? {
            looked_at += 1;
            if looked_at > MOST_NAMES {
                return Err(too_many());
            }
            if !part.matches(&entry.name) {
                continue;
            }
            let path = if folder.is_empty() { entry.name } else { format!("{folder}/{}", entry.name) };
            match entry.kind {
                EntryKind::Folder if !part.is_file => {
                    held += path.len();
                    if held > MOST_HELD {
                        return Err(too_many());
                    }
                    folders.push((path, depth + 1));
                }
                EntryKind::File { modified, length } if part.is_file => {
                    found(Found { modified, path, length });
                }
                EntryKind::Folder | EntryKind::File { .. } => {}
            }
        }
    }
    Ok(looked_at)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use connect::{Entries, Entry, FileBytes, FileState};
    use futures::stream;

    use super::*;

    /// A server with as many folders as anybody asks for.
    struct Endless;

    #[async_trait]
    impl RemoteFiles for Endless {
        async fn look(&self, path: &str) -> Result<FileState, FileError> {
            Err(FileError::NotFound(path.to_owned()))
        }

        async fn open(&self, _: &str, _: connect::Span, _: &FileState) -> Result<FileBytes, FileError> {
            unreachable!("nothing is read")
        }

        async fn list<'a>(&'a self, _: &'a str, _: &'a str) -> Result<Entries<'a>, FileError> {
            let folder = |number: u64| Ok(Entry { name: format!("{number:0>10000}"), kind: EntryKind::Folder });
            Ok(stream::iter((0..).map(folder)).boxed())
        }
    }

    #[tokio::test]
    async fn folders_without_end_are_not_held() {
        let error = each_match(&Endless, &Pattern::of("*/a.csv").unwrap(), |_| ()).await.unwrap_err();
        assert!(matches!(error, NotChosen::Names(BlobError::TooManyNames { .. })), "{error:?}");
    }

    #[test]
    fn a_file_that_is_written_anew_is_another_one() {
        let file = Found { modified: 100, path: "in/a.csv".into(), length: 10 };
        assert_eq!(file.mark(), file.clone().mark());
        for other in [
            Found { modified: 101, ..file.clone() },
            Found { length: 11, ..file.clone() },
            Found { path: "in/b.csv".into(), ..file.clone() },
        ] {
            assert_ne!(file.mark(), other.mark(), "{other:?}");
        }
    }
}
