//! A server for the tests of what is chosen among its files.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use connect::{ChangeError, Entries, Entry, EntryKind, FileBytes, FileError, FileState, RemoteFiles, Removed, Renamed, Span};
use futures::{StreamExt, stream};

use super::listing::NotChosen;

/// In place of growth: it was listed, and is not there any more.
pub(super) const GONE: u64 = u64::MAX;

/// Paths, with their times and lengths; a file grows by its last number each time it is looked at.
pub(super) struct Tree {
    files: Mutex<BTreeMap<String, (i64, u64, u64)>>,
    pub(super) listed: Mutex<Vec<String>>,
    changing: Mutex<Changing>,
}

/// How files are moved and deleted there.
#[derive(Clone, Copy, Default)]
struct Changing {
    /// By a copy, as at a store of objects.
    copies: bool,
    fault: Option<Fault>,
}

/// What goes wrong the next time that a file is moved or deleted.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Fault {
    /// It does nothing, and may do it a moment later.
    Busy,
    /// It does it, and nobody hears of it.
    LostAnswer,
    /// The copy is shorter.
    CutCopy,
    /// Somebody writes the file that is copied.
    WrittenAnew,
    /// Somebody deletes or moves the file a moment before.
    Overtaken,
    /// The credential may not.
    Denied,
}

impl Tree {
    /// Paths, with their times and growth.
    pub(super) fn of(files: &[(&'static str, i64, u64)]) -> Self {
        let files = files.iter().map(|(path, modified, growth)| ((*path).to_owned(), (*modified, 10, *growth))).collect();
        Self { files: Mutex::new(files), listed: Mutex::default(), changing: Mutex::default() }
    }

    /// Writes one, or writes it anew.
    pub(super) fn put(&self, path: &str, modified: i64) {
        self.files.lock().unwrap().insert(path.to_owned(), (modified, 10, 0));
    }

    pub(super) fn paths(&self) -> Vec<String> {
        self.files.lock().unwrap().keys().cloned().collect()
    }

    pub(super) fn copies(&self, copies: bool) {
        self.changing.lock().unwrap().copies = copies;
    }

    pub(super) fn fails(&self, fault: Fault) {
        self.changing.lock().unwrap().fault = Some(fault);
    }

    /// The fault comes once, unless it is one that stays.
    fn fault(&self) -> Option<Fault> {
        let mut changing = self.changing.lock().unwrap();
        if changing.fault == Some(Fault::Denied) { changing.fault } else { changing.fault.take() }
    }

    pub(super) fn remove(&self, path: &str) {
        self.files.lock().unwrap().remove(path);
    }
}

#[async_trait]
impl RemoteFiles for Tree {
    async fn look(&self, path: &str) -> Result<FileState, FileError> {
        let mut files = self.files.lock().unwrap();
        let (modified, length, growth) = match files.get_mut(path) {
            Some((.., growth)) if *growth == GONE => return Err(FileError::NotFound(path.to_owned())),
            None => return Err(FileError::NotFound(path.to_owned())),
            Some(file) => file,
        };
        *length += *growth;
        Ok(FileState { length: Some(*length), version: Some(modified.to_string()) })
    }

    async fn rename(&self, path: &str, to: &str) -> Result<Renamed, ChangeError> {
        let fault = self.fault();
        refuse(fault)?;
        let mut files = self.files.lock().unwrap();
        if fault == Some(Fault::Overtaken) {
            files.remove(path);
        }
        if files.contains_key(to) {
            return Err(ChangeError::Taken { path: to.to_owned() });
        }
        let copies = self.changing.lock().unwrap().copies;
        let file = if copies { files.get(path).copied() } else { files.remove(path) };
        let (modified, length, growth) = file.ok_or_else(|| FileError::NotFound(path.to_owned()))?;
        let length = if fault == Some(Fault::CutCopy) { length - 1 } else { length };
        files.insert(to.to_owned(), (modified + 1000, length, growth));
        if fault == Some(Fault::WrittenAnew) {
            files.insert(path.to_owned(), (modified + 1, length, 0));
        }
        match fault {
            Some(Fault::LostAnswer) => Err(lost().into()),
            _ => Ok(if copies { Renamed::Copied } else { Renamed::Moved }),
        }
    }

    async fn remove(&self, path: &str) -> Result<Removed, ChangeError> {
        let fault = self.fault();
        refuse(fault)?;
        let mut files = self.files.lock().unwrap();
        if fault == Some(Fault::Overtaken) {
            files.remove(path);
        }
        match files.remove(path) {
            _ if fault == Some(Fault::LostAnswer) => Err(lost().into()),
            Some(_) => Ok(Removed::Deleted),
            None => Ok(Removed::Absent),
        }
    }

    async fn open(&self, _: &str, _: Span, _: &FileState) -> Result<FileBytes, FileError> {
        unreachable!("nothing is read")
    }

    async fn list<'a>(&'a self, folder: &'a str, start: &'a str) -> Result<Entries<'a>, FileError> {
        self.listed.lock().unwrap().push(folder.to_owned());
        let mut entries: BTreeMap<String, EntryKind> = BTreeMap::new();
        for (path, (modified, length, _)) in self.files.lock().unwrap().iter() {
            let inside =
                if folder.is_empty() { Some(path.as_str()) } else { path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) };
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

/// Before anything is done.
fn refuse(fault: Option<Fault>) -> Result<(), ChangeError> {
    match fault {
        Some(Fault::Busy) => Err(lost().into()),
        Some(Fault::Denied) => Err(connect::Error::SftpDenied { target: "files.example:22".into(), path: "in".into() }.into()),
        _ => Ok(()),
    }
}

fn lost() -> connect::Error {
    connect::Error::Unreachable { target: "files.example:22".into(), source: std::io::ErrorKind::ConnectionReset.into() }
}

/// Why none is chosen, in words.
pub(super) fn told(error: NotChosen) -> String {
    match error {
        NotChosen::Server(error) => error.to_string(),
        NotChosen::Names(error) => error.to_string(),
    }
}
