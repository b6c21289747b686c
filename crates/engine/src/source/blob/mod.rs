//! Bytes somewhere, with an identity by which it shows whether they are still the same ones.

mod ahead;
mod growth;
mod listing;
mod local;
mod memory;
mod newest;
mod pace;
mod pattern;
mod put_away;
mod remote;
#[cfg(test)]
mod tree;
mod turn;
mod upload;
mod whole;

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use connect::{MOST_NAMES, Span};
use formula::Shown;
use futures::stream::BoxStream;

pub(super) use self::ahead::ahead;
pub use self::local::LocalBlob;
pub use self::memory::MemoryBlob;
pub(super) use self::pace::{Pace, paced};
pub use self::put_away::{Fate, Loaded, PutAway};
pub use self::remote::RemoteBlob;
use self::turn::MOST_READ;
pub(super) use self::turn::Turn;
pub use self::turn::Turns;
pub use self::upload::UploadBlob;
pub(super) use self::whole::whole;
use super::Remedy;

/// Bytes as they come. Nobody fetches more of them than one piece that is asked for, but for what a connection holds on
/// its way.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// A file somewhere: on a disk, at a keeper, in an S3 bucket. What each implementation owes is tested by `tests/conformance`.
#[async_trait]
pub trait Blob: Send + Sync {
    /// What can be told without reading the bytes. Where several may be meant: `name` is the one that an earlier attempt of the run took, and
    /// `turns` says that each is read once.
    async fn identity(&self, name: Option<&str>, turns: Option<&Turns>) -> Result<Identity, BlobError>;

    /// The bytes that are wanted, provided that the blob is still what `identity` said.
    async fn open(&self, span: Span, identity: &Identity) -> Result<ByteStream, BlobError>;
}

/// By what a blob is known; what its store does not tell is absent.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Identity {
    /// In bytes.
    pub length: Option<u64>,
    /// What changes with the bytes: an ETag, a version, a time of modification, as the store writes it.
    pub version: Option<String>,
    /// Which file it is, where several may be meant.
    pub name: Option<String>,
    /// What the list of files says of it, where each is read in its turn.
    pub mark: Option<String>,
}

impl Identity {
    /// As a list of texts, for another attempt of the run; empty when nothing is known.
    pub(super) fn texts(&self) -> Vec<String> {
        let Self { length, version, name, mark } = self;
        let texts = [length.map(|length| length.to_string()), version.clone(), name.clone()];
        if texts.iter().all(Option::is_none) {
            return Vec::new();
        }
        texts.into_iter().map(Option::unwrap_or_default).chain(mark.clone()).collect()
    }

    /// `None`: another version of this program wrote them.
    pub(super) fn of(texts: &[String]) -> Option<Self> {
        let [length, version, name, mark @ ..] = texts else { return None };
        let known = |text: &String| (!text.is_empty()).then(|| text.clone());
        let length = if length.is_empty() { None } else { Some(length.parse().ok()?) };
        Some(Self { length, version: known(version), name: known(name), mark: mark.first().cloned() })
    }
}

/// Why the bytes of a file do not come.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The bytes broke off, or could not be read; whether to try again goes by the kind of the error.
    #[error("reading the source failed")]
    Io(#[source] io::Error),
    /// Bytes that come once came, or never will.
    #[error("the source was opened before, or may not be opened any more")]
    Spent,
    /// Its [`Identity`] is another one than when it was first opened.
    #[error("the file is not what it was when this run first opened it: start a new run")]
    Changed,
    /// It is given as a whole or not at all.
    #[error("the source gives no parts of the file")]
    NoParts,
    /// It comes so slowly that the run would not end.
    #[error(
        "the source gave {bytes} bytes within {minutes} minutes, and {least} KiB is the least: look at its server, or at the way there"
    )]
    #[allow(missing_docs, reason = "the message says what they are")]
    TooSlow { bytes: u64, minutes: u64, least: u64 },
    /// None is meant.
    #[error("no file matches {} ({looked_at} names were looked at): correct source.file.path, or put the file there", Shown(.pattern))]
    #[allow(missing_docs, reason = "the message says what they are")]
    NoMatch { pattern: String, looked_at: usize },
    /// None is meant any more.
    #[error(
        "no file that matches {} waits to be read: earlier runs have read {read} of them ({looked_at} names were looked at)",
        Shown(.pattern)
    )]
    #[allow(missing_docs, reason = "the message says what they are")]
    AllRead { pattern: String, read: usize, looked_at: usize },
    /// More was read than is remembered.
    #[error(
        "earlier runs have read {MOST_READ} files that match {} and are still there, and no more can be remembered: move or delete what was read",
        Shown(.pattern)
    )]
    #[allow(missing_docs, reason = "the message says what it is")]
    TooManyRead { pattern: String },
    /// All that are meant have changed between two looks.
    #[error("every file that matches {} is still being written: it may be there in a moment", Shown(.pattern))]
    #[allow(missing_docs, reason = "the message says what it is")]
    Unfinished { pattern: String },
    /// Who meant them meant less.
    #[error("more than {MOST_NAMES} names would have to be looked at for {}: name its folders more narrowly in source.file.path", Shown(.pattern))]
    #[allow(missing_docs, reason = "the message says what it is")]
    TooManyNames { pattern: String },
    /// It is not where it is said to be.
    #[error("{0}: correct source.file.path, or put the file there")]
    Missing(String),
    /// Where it is kept nobody answers, or says no.
    #[error("the file cannot be read")]
    Store(#[source] connect::Error),
}

/// A blob whose stream ends with an error of its own is understood.
impl From<io::Error> for BlobError {
    fn from(error: io::Error) -> Self {
        error.downcast().unwrap_or_else(Self::Io)
    }
}

impl BlobError {
    pub(super) fn remedy(&self) -> Remedy {
        use io::ErrorKind as Kind;
        match self {
            Self::Io(error) => match error.kind() {
                Kind::InvalidData | Kind::InvalidInput | Kind::PermissionDenied | Kind::NotFound => Remedy::Correct,
                _ => Remedy::Wait,
            },
            Self::TooSlow { .. } | Self::Unfinished { .. } => Remedy::Wait,
            Self::Store(error) if error.is_transient() => Remedy::Wait,
            Self::AllRead { .. } => Remedy::None,
            Self::Spent
            | Self::Changed
            | Self::NoParts
            | Self::NoMatch { .. }
            | Self::TooManyNames { .. }
            | Self::TooManyRead { .. }
            | Self::Missing(_)
            | Self::Store(_) => Remedy::Correct,
        }
    }
}
