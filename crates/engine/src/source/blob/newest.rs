//! The newest of the files whose paths match.

use std::time::Duration;

use connect::{EntryKind, FileError, MOST_NAMES, RemoteFiles};
use futures::StreamExt;

use super::BlobError;
use super::pattern::Pattern;

/// How far apart a file is looked at twice: one that has grown meanwhile is still being written.
const APART: Duration = Duration::from_secs(3);

/// So many of the newest are looked at for one that is whole.
const TRIED: usize = 8;

/// Bytes of the paths of folders that are still to be listed: a server may name folders without end.
const MOST_HELD: usize = 8 << 20;

/// A file that matches. The greater, the newer; of two that were written in the same second the one whose name is greater, which is the later
/// one where names count up.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Found {
    /// In seconds of Unix.
    modified: i64,
    path: String,
    length: u64,
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

/// Its path.
pub(super) async fn newest(files: &dyn RemoteFiles, pattern: &Pattern) -> Result<String, NotChosen> {
    let (found, looked_at) = newest_of(files, pattern).await?;
    let unfinished = found.len();
    for file in found {
        if !files.shows_unfinished() || !grows(files, &file).await? {
            tracing::info!(file = file.path, looked_at, "the newest file that matches is read");
            return Ok(file.path);
        }
        tracing::info!(file = file.path, "a file that is still being written is left alone");
    }
    let pattern = pattern.to_string();
    Err(NotChosen::Names(if unfinished == 0 { BlobError::NoMatch { pattern, looked_at } } else { BlobError::Unfinished { pattern } }))
}

/// One that went since it was listed is left alone, too: who uploads may give it its name only then.
async fn grows(files: &dyn RemoteFiles, file: &Found) -> Result<bool, FileError> {
    let twice = async {
        let before = files.look(&file.path).await?;
        tokio::time::sleep(APART).await;
        Ok(files.look(&file.path).await? != before || before.length.is_some_and(|length| length != file.length))
    };
    match twice.await {
        Err(FileError::NotFound(_)) => Ok(true),
        looked => looked,
    }
}

/// The newest ones that match, the newest first, and how many names were looked at. No more is held than these and the folders to come.
async fn newest_of(files: &dyn RemoteFiles, pattern: &Pattern) -> Result<(Vec<Found>, usize), NotChosen> {
    let (mut found, mut looked_at): (Vec<Found>, usize) = (Vec::new(), 0);
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
                    let file = Found { modified, path, length };
                    let at = found.partition_point(|newer| *newer > file);
                    found.insert(at, file);
                    found.truncate(TRIED);
                }
                EntryKind::Folder | EntryKind::File { .. } => {}
            }
        }
    }
    Ok((found, looked_at))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use connect::{Entries, Entry, FileBytes, FileState};
    use futures::stream;

    use super::*;

    /// In place of growth: it was listed, and is not there any more.
    const GONE: u64 = u64::MAX;

    /// Paths, with their times and lengths; a file grows by its last number each time it is looked at.
    struct Tree {
        files: Mutex<BTreeMap<&'static str, (i64, u64, u64)>>,
        listed: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl RemoteFiles for Tree {
        async fn look(&self, path: &str) -> Result<FileState, FileError> {
            let mut files = self.files.lock().unwrap();
            let (_, length, growth) = files.get_mut(path).unwrap();
            if *growth == GONE {
                return Err(FileError::NotFound(path.to_owned()));
            }
            *length += *growth;
            Ok(FileState { length: Some(*length), version: None })
        }

        async fn open(&self, _: &str, _: u64, _: &FileState) -> Result<FileBytes, FileError> {
            unreachable!("nothing is read")
        }

        async fn list<'a>(&'a self, folder: &'a str, start: &'a str) -> Result<Entries<'a>, FileError> {
            self.listed.lock().unwrap().push(folder.to_owned());
            let mut entries: BTreeMap<String, EntryKind> = BTreeMap::new();
            for (path, (modified, length, _)) in self.files.lock().unwrap().iter() {
                let inside =
                    if folder.is_empty() { Some(*path) } else { path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) };
                let Some(inside) = inside else { continue };
                match inside.split_once('/') {
                    Some((name, _)) => entries.insert(name.to_owned(), EntryKind::Folder),
                    None => entries.insert(inside.to_owned(), EntryKind::File { modified: *modified, length: *length }),
                };
            }
            if entries.is_empty() {
                return Err(FileError::NotFound(format!("there is no folder {folder:?}")));
            }
            let entries: Vec<_> =
                entries.into_iter().filter(|(name, _)| name.starts_with(start)).map(|(name, kind)| Ok(Entry { name, kind })).collect();
            Ok(stream::iter(entries).boxed())
        }

        fn shows_unfinished(&self) -> bool {
            true
        }
    }

    /// A server with as many folders as anybody asks for.
    struct Endless;

    #[async_trait]
    impl RemoteFiles for Endless {
        async fn look(&self, path: &str) -> Result<FileState, FileError> {
            Err(FileError::NotFound(path.to_owned()))
        }

        async fn open(&self, _: &str, _: u64, _: &FileState) -> Result<FileBytes, FileError> {
            unreachable!("nothing is read")
        }

        async fn list<'a>(&'a self, _: &'a str, _: &'a str) -> Result<Entries<'a>, FileError> {
            let folder = |number: u64| Ok(Entry { name: format!("{number:0>10000}"), kind: EntryKind::Folder });
            Ok(stream::iter((0..).map(folder)).boxed())
        }
    }

    #[tokio::test]
    async fn folders_without_end_are_not_held() {
        let error = newest_of(&Endless, &Pattern::of("*/a.csv").unwrap()).await.unwrap_err();
        assert!(matches!(error, NotChosen::Names(BlobError::TooManyNames { .. })), "{error:?}");
    }

    fn tree(files: &[(&'static str, i64, u64)]) -> Tree {
        let files = files.iter().map(|(path, modified, growth)| (*path, (*modified, 10, *growth))).collect();
        Tree { files: Mutex::new(files), listed: Mutex::default() }
    }

    async fn chosen(tree: &Tree, path: &str) -> Result<String, String> {
        newest(tree, &Pattern::of(path).unwrap()).await.map_err(|error| match error {
            NotChosen::Server(error) => error.to_string(),
            NotChosen::Names(error) => error.to_string(),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_that_matches_is_chosen_and_of_equals_the_last_name() {
        let files = tree(&[
            ("in/a-1.csv", 100, 0),
            ("in/a-2.csv", 300, 0),
            ("in/a-3.csv", 300, 0),
            ("in/a-4.csv.part", 900, 0),
            ("in/b-9.csv", 900, 0),
            ("in/.a-5.csv", 900, 0),
            ("in/a-old/a-6.csv", 900, 0),
            ("other/a-7.csv", 950, 0),
        ]);
        assert_eq!(chosen(&files, "in/a-*.csv").await.unwrap(), "in/a-3.csv");
        assert_eq!(chosen(&files, "in/*.csv").await.unwrap(), "in/b-9.csv");
        assert_eq!(*files.listed.lock().unwrap(), ["in", "in"], "nothing else was listed");
        assert_eq!(chosen(&files, "*/a-*.csv").await.unwrap(), "other/a-7.csv");
        assert_eq!(chosen(&files, "in/*/a-*.csv").await.unwrap(), "in/a-old/a-6.csv");
        assert_eq!(
            chosen(&files, "in/c-*.csv").await.unwrap_err(),
            "no file matches \"in/c-*.csv\" (0 names were looked at): correct source.file.path, or put the file there"
        );
        assert_eq!(chosen(&files, "nowhere/c-*.csv").await.unwrap_err(), "there is no folder \"nowhere\"");
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_grows_is_left_alone() {
        let files = tree(&[("in/a.csv", 100, 0), ("in/b.csv", 200, 1), ("in/c.csv", 300, 1), ("in/d.csv", 400, GONE)]);
        assert_eq!(chosen(&files, "in/*.csv").await.unwrap(), "in/a.csv");
        let files = tree(&[("in/b.csv", 200, 1)]);
        let error = chosen(&files, "in/*.csv").await.unwrap_err();
        assert!(error.starts_with("every file that matches \"in/*.csv\" is still being written"), "{error}");
    }
}
