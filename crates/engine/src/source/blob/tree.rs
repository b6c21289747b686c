//! A server for the tests of what is chosen among its files.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use connect::{Entries, Entry, EntryKind, FileBytes, FileError, FileState, RemoteFiles};
use futures::{StreamExt, stream};

use super::listing::NotChosen;

/// In place of growth: it was listed, and is not there any more.
pub(super) const GONE: u64 = u64::MAX;

/// Paths, with their times and lengths; a file grows by its last number each time it is looked at.
pub(super) struct Tree {
    files: Mutex<BTreeMap<&'static str, (i64, u64, u64)>>,
    pub(super) listed: Mutex<Vec<String>>,
}

impl Tree {
    /// Paths, with their times and growth.
    pub(super) fn of(files: &[(&'static str, i64, u64)]) -> Self {
        let files = files.iter().map(|(path, modified, growth)| (*path, (*modified, 10, *growth))).collect();
        Self { files: Mutex::new(files), listed: Mutex::default() }
    }

    /// Writes one, or writes it anew.
    pub(super) fn put(&self, path: &'static str, modified: i64) {
        self.files.lock().unwrap().insert(path, (modified, 10, 0));
    }

    pub(super) fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path);
    }
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
            let inside = if folder.is_empty() { Some(*path) } else { path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) };
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

/// Why none is chosen, in words.
pub(super) fn told(error: NotChosen) -> String {
    match error {
        NotChosen::Server(error) => error.to_string(),
        NotChosen::Names(error) => error.to_string(),
    }
}
