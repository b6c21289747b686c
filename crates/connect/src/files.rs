//! Files at a server, as every client of one reads them.

use std::ops::{Range, RangeFrom};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::error::Error;

/// Names that are looked at before a server's list is given up. Who has more files than this in a folder names them more narrowly.
pub const MOST_NAMES: usize = 1_000_000;

/// Files that are read over a network. Nothing is asked twice: who reads knows how often and how long.
#[async_trait]
pub trait RemoteFiles: Send + Sync {
    /// By what the file is known now.
    ///
    /// # Errors
    ///
    /// It is not there, cannot be one that is read, or something failed on the way.
    async fn look(&self, path: &str) -> Result<FileState, FileError>;

    /// The bytes of the file that are wanted, if it is still what `state` says.
    ///
    /// # Errors
    ///
    /// [`FileError::Changed`], [`FileError::NoParts`] for a span that has an end, or as [`look`](RemoteFiles::look); what fails later comes as
    /// the last item of the stream.
    async fn open(&self, path: &str, span: Span, state: &FileState) -> Result<FileBytes, FileError>;

    /// What a folder has, in no order and by and by; the folder without a name is where paths begin. Names that do not begin with `start` may
    /// be left out.
    async fn list<'a>(&'a self, folder: &'a str, start: &'a str) -> Result<Entries<'a>, FileError>;

    /// Gives the file a path that no other file has, and makes the folders of it that are missing.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Taken`], or as [`look`](RemoteFiles::look).
    async fn rename(&self, path: &str, to: &str) -> Result<Renamed, ChangeError> {
        let _ = (path, to);
        Err(ChangeError::OnlyRead)
    }

    /// Deletes the file; that none was there is no error.
    ///
    /// # Errors
    ///
    /// As [`look`](RemoteFiles::look).
    async fn remove(&self, path: &str) -> Result<Removed, ChangeError> {
        let _ = path;
        Err(ChangeError::OnlyRead)
    }

    /// A file may be seen here while it is still being written.
    fn shows_unfinished(&self) -> bool {
        false
    }
}

/// Which bytes of a file are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// The place of the first one.
    pub from: u64,
    /// The place behind the last one. Absent: all that follow.
    pub until: Option<u64>,
}

impl Span {
    /// All bytes of a file.
    pub const ALL: Self = Self { from: 0, until: None };
}

impl From<RangeFrom<u64>> for Span {
    fn from(range: RangeFrom<u64>) -> Self {
        Self { from: range.start, until: None }
    }
}

impl From<Range<u64>> for Span {
    fn from(range: Range<u64>) -> Self {
        Self { from: range.start, until: Some(range.end) }
    }
}

/// How a file got its new path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Renamed {
    /// It has that one only.
    Moved,
    /// There is a copy of it, and it is still to be removed.
    Copied,
}

/// What became of a file that was to be deleted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removed {
    /// It was deleted; or it was gone before, and its server does not tell, as S3 does not.
    Deleted,
    /// There was none.
    Absent,
}

/// What a folder has, as it comes.
pub type Entries<'a> = BoxStream<'a, Result<Entry, FileError>>;

/// Something in a folder.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// Its name in the folder, without a slash.
    pub name: String,
    /// A file, or a folder.
    pub kind: EntryKind,
}

/// What is in a folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryKind {
    /// More names.
    Folder,
    /// A file.
    File {
        /// When it was last written, in seconds of Unix.
        modified: i64,
        /// In bytes.
        length: u64,
    },
}

/// By what a file is known; what its server does not tell is absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct FileState {
    /// In bytes.
    pub length: Option<u64>,
    /// What changes with the bytes: an ETag or a time of modification, as the server writes it.
    pub version: Option<String>,
}

/// The bytes of a file as they come; a piece that does not come ends them.
pub type FileBytes = BoxStream<'static, Result<Bytes, FileError>>;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum FileError {
    /// Where it should be, and what is missing there.
    #[error("{0}")]
    NotFound(String),
    /// Its path is none that a file there can have, and why.
    #[error("{0}")]
    Path(String),
    /// It is not the one that was asked for any more.
    #[error("{path:?} has changed")]
    Changed { path: String },
    /// Its server gives a file as a whole or not at all.
    #[error("{0} gives no parts of a file")]
    NoParts(String),
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Why a file is not moved or deleted.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's message says what it is")]
pub enum ChangeError {
    /// Nothing is written over it.
    #[error("{path:?} is there already")]
    Taken { path: String },
    #[error("files there are only read")]
    OnlyRead,
    #[error(transparent)]
    File(#[from] FileError),
}

impl From<Error> for ChangeError {
    fn from(error: Error) -> Self {
        Self::File(error.into())
    }
}
